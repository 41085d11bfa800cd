//! Which `proxy.toml` is meant.

use std::path::{Path, PathBuf};

/// Where a config file is looked for when none is named.
const PLACES: [&str; 2] = ["proxy.toml", "/etc/portolan/proxy.toml"];

/// No config file was named and none was found.
#[derive(Debug, thiserror::Error)]
#[error("there is no config file; tried {}", .tried.join(", "))]
pub(super) struct NoConfigFile {
    tried: Vec<String>,
}

impl NoConfigFile {
    /// What a person can try, a line each.
    pub(super) fn advice(&self) -> Vec<String> {
        vec![
            "name one with --config FILE or PORTOLAN_CONFIG".to_owned(),
            "`portolan demo` shows a proxy at work without one".to_owned(),
            "`portolan config reference` tells what goes into one".to_owned(),
        ]
    }
}

/// The file that was named, or the first place that has one.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, NoConfigFile> {
    find_in(named, &PLACES.map(Path::new))
}

fn find_in(named: Option<&Path>, places: &[&Path]) -> Result<PathBuf, NoConfigFile> {
    // An empty variable is one that is not set. A named file that is missing is
    // told by whoever reads it: it must not be passed over for another.
    if let Some(named) = named.filter(|path| !path.as_os_str().is_empty()) {
        return Ok(named.to_owned());
    }
    let found = places.iter().find(|place| place.exists());
    found.map(|place| (*place).to_owned()).ok_or_else(|| {
        let shown = |place: &&Path| match place.is_relative() {
            true => format!("./{}", place.display()),
            false => place.display().to_string(),
        };
        NoConfigFile { tried: places.iter().map(shown).collect() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_wins_even_if_it_is_missing() {
        let named = Path::new("/nowhere/proxy.toml");
        assert_eq!(find_in(Some(named), &[Path::new("/")]).expect("named"), named);
    }

    #[test]
    fn the_first_place_that_has_one_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        std::fs::write(&second, "").expect("written");
        let places = [first.as_path(), second.as_path()];
        assert_eq!(find_in(None, &places).expect("found"), second);
        assert_eq!(find_in(Some(Path::new("")), &places).expect("found"), second);
    }

    #[test]
    fn the_places_tried_are_named() {
        let places = [Path::new("no-such.toml"), Path::new("/no/such.toml")];
        let error = find_in(None, &places).expect_err("none");
        assert_eq!(
            error.to_string(),
            "there is no config file; tried ./no-such.toml, /no/such.toml"
        );
    }
}
