//! The account with the CA: made once, and kept in a file that only its owner
//! can read.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use super::{AcmeSettings, problem::Problem};
use crate::registry::write_whole;

/// The account in `folder`, or a new one. What has been read once is not asked
/// for again.
pub(super) async fn open(settings: &AcmeSettings, folder: &Path) -> Result<Account, Problem> {
    let file = path(folder);
    let builder = match &settings.ca {
        Some(ca) => Account::builder_with_root(ca)?,
        None => Account::builder()?,
    };
    match fs::read(&file) {
        Ok(text) => {
            let known: AccountCredentials =
                serde_json::from_slice(&text).map_err(instant_acme::Error::from)?;
            return Ok(builder.from_credentials(known).await?);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Problem::File { path: file, error }),
    }
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
    write(&file, &text)?;
    Ok(account)
}

/// Forgets the account in `folder`, which the CA does not know any more.
pub(super) fn forget(folder: &Path) {
    let _ = fs::rename(path(folder), folder.join("account.json.unknown"));
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
    fn each_directory_has_a_folder_of_its_own() {
        let folder = |settings: AcmeSettings| settings.folder(Path::new("/d"));
        let production = folder(AcmeSettings::default());
        assert_eq!(production, Path::new("/d/acme/acme-v02.api.letsencrypt.org_directory"));
        let staging = folder(AcmeSettings { staging: true, ..Default::default() });
        assert_ne!(staging, production);
        let odd = Some("https://../../etc/dir".to_owned());
        let odd = folder(AcmeSettings { directory: odd, ..Default::default() });
        assert_eq!(odd, Path::new("/d/acme/_.._etc_dir"));
    }
}
