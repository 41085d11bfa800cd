//! What each source had when it was last heard, on disk: so that a restart
//! while a source is out of reach still routes.
//!
//! One file a source, of lines of JSON: a head with what the rest is held
//! against, then an instance a line. It is replaced as a whole, so there is
//! always one that is sound; one that is not is put aside, and never taken for
//! less than it was.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Found, SourceName};

/// The folder of the files, in `data_dir`.
const FOLDER: &str = "sources";

/// The form of the file; another one is not read.
const FORMAT: u32 = 1;

/// What a source had at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastKnown {
    /// The source.
    pub source: SourceName,
    /// Its kind.
    pub kind: String,
    /// When it was last heard.
    pub heard: SystemTime,
    /// All that it had.
    pub found: Vec<Arc<Found>>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LastKnownError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It does not hold what it says; it was put aside.
    #[error("{} is damaged ({why}) and was put aside as {}", path.display(), aside.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
        /// Where it is now.
        aside: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    source: SourceName,
    kind: String,
    /// Milliseconds since 1970.
    heard: u64,
    instances: usize,
    /// Of all lines that follow, in hexadecimal.
    sha256: String,
}

fn path_of(data_dir: &Path, source: &SourceName) -> PathBuf {
    data_dir.join(FOLDER).join(format!("{source}.jsonl"))
}

/// Writes it. Blocks.
///
/// # Errors
///
/// What the system says. The file is what it was then.
pub fn write(data_dir: &Path, known: &LastKnown) -> io::Result<()> {
    let mut body = Vec::new();
    for found in &known.found {
        serde_json::to_writer(&mut body, found)?;
        body.push(b'\n');
    }
    let heard = known.heard.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let head = Head {
        format: FORMAT,
        source: known.source.clone(),
        kind: known.kind.clone(),
        heard: u64::try_from(heard.as_millis()).unwrap_or(u64::MAX),
        instances: known.found.len(),
        sha256: hexadecimal(&Sha256::digest(&body)),
    };
    let path = path_of(data_dir, &known.source);
    let folder = data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    // Another process may be at it during an upgrade.
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&new)?;
        serde_json::to_writer(&mut file, &head)?;
        file.write_all(b"\n")?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Reads what `source` had; none if it never had anything. Blocks.
///
/// # Errors
///
/// Says why what there is cannot be used.
pub fn read(data_dir: &Path, source: &SourceName) -> Result<Option<LastKnown>, LastKnownError> {
    let path = path_of(data_dir, source);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LastKnownError::Unreadable { path, error }),
    };
    match parse(&bytes, source) {
        Ok(known) => Ok(Some(known)),
        Err(why) => {
            let aside = path.with_extension("damaged");
            // Where even that fails it is damaged again the next time.
            let _ = fs::rename(&path, &aside);
            Err(LastKnownError::Damaged { path, why, aside })
        }
    }
}

fn parse(bytes: &[u8], source: &SourceName) -> Result<LastKnown, String> {
    let end = memchr::memchr(b'\n', bytes).ok_or("it has no head")?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let head: Head = serde_json::from_slice(head).map_err(|error| format!("its head: {error}"))?;
    if head.format != FORMAT {
        return Err(format!("it has format {}, this program reads {FORMAT}", head.format));
    }
    if head.source != *source {
        return Err(format!("it is of the source {}", head.source));
    }
    if hexadecimal(&Sha256::digest(body)) != head.sha256 {
        return Err("it does not match its checksum".to_owned());
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let found: Result<Vec<Arc<Found>>, _> = lines.map(serde_json::from_slice).collect();
    let found = found.map_err(|error| error.to_string())?;
    if found.len() != head.instances {
        return Err(format!("it has {} of {} instances", found.len(), head.instances));
    }
    let heard = std::time::Duration::from_millis(head.heard);
    let heard = SystemTime::UNIX_EPOCH.checked_add(heard).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(LastKnown { source: head.source, kind: head.kind, heard, found })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(count: u16) -> LastKnown {
        let text: Vec<_> = (1..=count)
            .map(|n| format!("{{\"service\":\"a\",\"address\":\"10.0.0.1:{n}\"}}"))
            .collect();
        let text = format!("{{\"instances\":[{}]}}", text.join(","));
        let found = crate::sources::document::of_json(text.as_bytes()).expect("a document").found;
        LastKnown {
            source: "east".parse().expect("a name"),
            kind: "file".to_owned(),
            heard: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000),
            found: found.into_iter().map(Arc::new).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let east = "east".parse().expect("a name");
        assert!(read(folder.path(), &east).expect("nothing is fine").is_none());
        for count in [3, 0, 20] {
            write(folder.path(), &known(count)).expect("written");
            assert_eq!(read(folder.path(), &east).expect("sound"), Some(known(count)));
        }
        let files = fs::read_dir(folder.path().join(FOLDER)).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left over");
    }

    #[test]
    fn what_is_damaged_is_put_aside_and_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let east = "east".parse().expect("a name");
        let path = path_of(folder.path(), &east);
        write(folder.path(), &known(3)).expect("written");
        let sound = fs::read(&path).expect("there");
        for cut in (0..sound.len()).step_by(37) {
            fs::write(&path, &sound[..cut]).expect("written");
            let error = read(folder.path(), &east).expect_err("a part is damaged");
            assert!(error.to_string().contains("damaged"), "{error}");
            assert!(!path.exists() && path.with_extension("damaged").exists());
        }
        for at in (0..sound.len()).step_by(11) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).expect("written");
            if let Ok(Some(read)) = read(folder.path(), &east) {
                // A byte of the head that is about nothing but the time or the kind.
                assert_eq!(read.found, known(3).found);
            }
        }
    }
}
