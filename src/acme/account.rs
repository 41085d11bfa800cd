//! The account with the CA: made once, and kept in a file that only its owner
//! can read. Proxies that share their names share it, and each keeps it as well.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountBuilder, AccountCredentials, ExternalAccountKey, NewAccount};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::Deserialize;
use tokio::time::sleep;

use super::{AcmeSettings, Storage, problem::Problem, record::Keys};
use crate::registry::{Swap, write_whole};

/// An account that can be used.
pub(super) struct Opened {
    pub(super) account: Account,
    /// The version that proxies share; 0 if it is this proxy's alone.
    version: i64,
}

/// What proxies share, and under which keys.
pub(super) type Shared<'a> = (&'a dyn Storage, Keys);

/// How soon it is asked again for the turn to make an account.
const AGAIN: Duration = Duration::from_secs(1);

impl Opened {
    /// Whether the others have no other one by now.
    pub(super) fn is_current(&self, shared: Option<&Shared<'_>>) -> bool {
        let there = shared.and_then(|(storage, keys)| storage.value(&keys.account()));
        there.is_none_or(|there| there.version == self.version)
    }
}

/// The account that proxies share, the one in `folder`, or a new one. What has
/// been read once is not asked for again.
pub(super) async fn open(
    settings: &AcmeSettings,
    folder: &Path,
    shared: Option<Shared<'_>>,
) -> Result<Opened, Problem> {
    let builder = match &settings.ca {
        Some(ca) => Account::builder_with_root(ca)?,
        None => Account::builder()?,
    };
    let Some((storage, keys)) = shared else {
        let account = match on_disk(folder, settings)? {
            Some((known, _)) => builder.from_credentials(known).await?,
            None => make(builder, settings, folder).await?.0,
        };
        return Ok(Opened { account, version: 0 });
    };
    let mut turn = None;
    loop {
        let there = storage.value(&keys.account());
        let version = there.as_ref().map_or(0, |there| there.version);
        match there.map(|there| credentials(&there.value, settings)) {
            Some(Ok(known)) => {
                let text = serde_json::to_vec(&known).map_err(instant_acme::Error::from)?;
                write(&path(folder), &text)?;
                return Ok(Opened { account: builder.from_credentials(known).await?, version });
            }
            Some(Err(problem)) => {
                tracing::warn!("the account that proxies share is refused: {problem}");
            }
            None => {}
        }
        if let Some((known, text)) = on_disk(folder, settings)? {
            if storage.lost().is_none() && put(storage, &keys, &text, version).await? {
                continue;
            }
            return Ok(Opened { account: builder.from_credentials(known).await?, version });
        }
        if storage.lost().is_some() {
            let account = make(builder, settings, folder).await?.0;
            return Ok(Opened { account, version });
        }
        // Of those who have none, one makes it.
        if turn.is_none() {
            turn = storage.turn(&keys.account_turn()).await?;
            if turn.is_none() {
                sleep(AGAIN).await;
            }
            continue;
        }
        let (account, text) = make(builder, settings, folder).await?;
        put(storage, &keys, &text, version).await?;
        let version = storage.value(&keys.account()).map_or(0, |there| there.version);
        return Ok(Opened { account, version });
    }
}

/// Has the others use the account of `text`, if they still have that of
/// `version`.
async fn put(
    storage: &dyn Storage,
    keys: &Keys,
    text: &[u8],
    version: i64,
) -> Result<bool, Problem> {
    let swap = Swap { key: keys.account(), value: Some(text.to_vec()), of: version };
    Ok(storage.swap(vec![swap]).await?)
}

/// The account in `folder`, if there is one.
fn on_disk(
    folder: &Path,
    settings: &AcmeSettings,
) -> Result<Option<(AccountCredentials, Vec<u8>)>, Problem> {
    let file = path(folder);
    match fs::read(&file) {
        Ok(text) => Ok(Some((credentials(&text, settings)?, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::File { path: file, error }),
    }
}

/// The credentials of `text`, which are those of the directory that is wanted.
fn credentials(text: &[u8], settings: &AcmeSettings) -> Result<AccountCredentials, Problem> {
    #[derive(Deserialize)]
    struct Of {
        directory: Option<String>,
    }
    let Of { directory } = serde_json::from_slice(text).map_err(instant_acme::Error::from)?;
    if directory.as_deref() != Some(settings.directory()) {
        return Err(Problem::ForeignAccount);
    }
    let known: AccountCredentials =
        serde_json::from_slice(text).map_err(instant_acme::Error::from)?;
    // Looked at here: a key that cannot be used is to be found out before the
    // CA is asked for anything.
    KeyPair::from_pkcs8_der_and_sign_algo(known.private_key(), &PKCS_ECDSA_P256_SHA256)?;
    Ok(known)
}

/// Makes an account, and keeps it in `folder`.
async fn make(
    builder: AccountBuilder,
    settings: &AcmeSettings,
    folder: &Path,
) -> Result<(Account, Vec<u8>), Problem> {
    let contact: Vec<_> = settings.contact.iter().map(|address| url(address)).collect();
    let contact: Vec<_> = contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: settings.accept_terms,
        only_return_existing: false,
    };
    let external = match &settings.external_account {
        None => None,
        Some(external) => {
            let hmac = external.hmac.trim_end_matches('=');
            let hmac = BASE64_URL_SAFE_NO_PAD.decode(hmac).map_err(|_| Problem::BadHmac)?;
            Some(ExternalAccountKey::new(external.kid.clone(), &hmac))
        }
    };
    let directory = settings.directory().to_owned();
    let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
    let text = serde_json::to_vec(&credentials).map_err(instant_acme::Error::from)?;
    write(&path(folder), &text)?;
    Ok((account, text))
}

/// Forgets the account `opened`, which the CA does not know any more.
pub(super) async fn forget(folder: &Path, shared: Option<Shared<'_>>, opened: &Opened) {
    let _ = fs::rename(path(folder), folder.join("account.json.unknown"));
    let Some((storage, keys)) = shared.filter(|_| opened.version != 0) else { return };
    let swap = Swap { key: keys.account(), value: None, of: opened.version };
    if let Err(error) = storage.swap(vec![swap]).await {
        tracing::warn!("the account that the CA does not know stays with the others: {error}");
    }
}

/// Puts a file into its folder, as a whole and for its owner alone.
pub(super) fn write(path: &Path, contents: &[u8]) -> Result<(), Problem> {
    let failed = |error| Problem::File { path: path.to_owned(), error };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    write_whole(path, contents).map_err(failed)
}

fn path(folder: &Path) -> PathBuf {
    folder.join("account.json")
}

/// `mailto:` may be left out.
fn url(contact: &str) -> String {
    if contact.contains(':') { contact.to_owned() } else { format!("mailto:{contact}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_of_its_directory_and_has_a_key() {
        let settings = AcmeSettings::default();
        let text = |directory: &str, key: &[u8]| {
            let key = BASE64_URL_SAFE_NO_PAD.encode(key);
            let value = serde_json::json!({
                "id": "https://ca.example/account/1", "key_pkcs8": key, "directory": directory,
            });
            value.to_string().into_bytes()
        };
        let key = KeyPair::generate().expect("a key").serialize_der();
        assert!(credentials(&text(settings.directory(), &key), &settings).is_ok());
        let elsewhere = credentials(&text("https://ca.example/dir", &key), &settings);
        assert!(matches!(elsewhere, Err(Problem::ForeignAccount)));
        for broken in [text(settings.directory(), &[7; 40]), Vec::new(), b"{}".to_vec()] {
            assert!(credentials(&broken, &settings).is_err());
        }
    }

    #[test]
    fn each_directory_has_a_folder_of_its_own() {
        let folder = |settings: AcmeSettings| settings.folder(Path::new("/d"));
        let production = folder(AcmeSettings::default());
        assert_eq!(production, Path::new("/d/acme/acme-v02.api.letsencrypt.org_directory"));
        let staging = folder(AcmeSettings { staging: true, ..Default::default() });
        assert_ne!(staging, production);
        let staging = AcmeSettings { staging: true, ..Default::default() };
        let url = "https://acme-staging-v02.api.letsencrypt.org/directory";
        assert_eq!(staging.directory(), url);
        // A directory that is named is the one that is meant.
        let directory = Some("https://ca.example/dir".to_owned());
        let named = AcmeSettings { directory, ..staging };
        assert_eq!(named.directory(), "https://ca.example/dir");
        let odd = Some("https://../../etc/dir".to_owned());
        let odd = folder(AcmeSettings { directory: odd, ..Default::default() });
        assert_eq!(odd, Path::new("/d/acme/_.._etc_dir"));
    }
}
