//! The files: an account and a certificate for each ACME server, below a directory that is named after it.
//!
//! Another server is thus another account and another certificate, and going back finds the old ones. Every file is replaced
//! whole, and belongs to its owner alone.

use std::io;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};
use tracing::warn;
use zeroize::Zeroizing;

use super::issued::Issued;
use super::{Error, Options};
use crate::{blocking, whole_file};

/// An account as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The server whose account it is: two may lead to one name of a directory.
    server: String,
    credentials: AccountCredentials,
}

/// Where the certificate lies.
pub(crate) fn certificate_file(options: &Options) -> PathBuf {
    directory(options).join("certificate.pem")
}

/// Makes the directory, so that what keeps it from being made is known at the start. Blocks.
pub(crate) fn make_directory(options: &Options) -> Result<(), Error> {
    let directory = directory(options);
    whole_file::make_directory(&directory).map_err(|source| Error::State { path: directory, source })
}

/// The account, if there is one of this server. One that cannot be understood is none.
pub(super) async fn account(options: &Options) -> Result<Option<AccountCredentials>, Error> {
    let path = account_file(options);
    let server = options.directory.clone();
    blocking::run(move || {
        let text = match std::fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::State { path, source }),
        };
        match serde_json::from_slice::<Kept>(&text) {
            Ok(kept) => Ok(Some(kept.credentials).filter(|_| kept.server == server)),
            // Not its text, which may hold the key.
            Err(_) => {
                warn!(file.path = %path.display(), "the file holds no ACME account; a new one will be made");
                Ok(None)
            }
        }
    })
    .await
}

/// Keeps an account.
pub(super) async fn keep_account(options: &Options, credentials: AccountCredentials) -> Result<(), Error> {
    let kept = Kept { server: options.directory.clone(), credentials };
    let text = serde_json::to_vec(&kept).map_err(|source| Error::State { path: account_file(options), source: source.into() })?;
    write(account_file(options), Zeroizing::new(text)).await
}

/// Keeps a certificate with its key.
pub(super) async fn keep_certificate(options: &Options, issued: &Issued) -> Result<(), Error> {
    write(certificate_file(options), issued.pem()).await
}

async fn write(path: PathBuf, content: Zeroizing<Vec<u8>>) -> Result<(), Error> {
    blocking::run(move || {
        whole_file::replace(&path, &content, whole_file::PRIVATE).map_err(|source| Error::State { path: path.clone(), source })
    })
    .await
}

fn account_file(options: &Options) -> PathBuf {
    directory(options).join("account.json")
}

fn directory(options: &Options) -> PathBuf {
    options.state.join(name_of(&options.directory))
}

/// A server's address as the name of a directory.
fn name_of(address: &str) -> PathBuf {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' };
    let name: String = address.chars().map(letter).take(LONGEST_NAME).collect();
    // Never `.` or `..`, and never hidden.
    Path::new(name.trim_start_matches('.')).to_path_buf()
}

const LONGEST_NAME: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_directory_of_its_own() {
        for (address, name) in [
            (super::super::LETS_ENCRYPT, "acme-v02.api.letsencrypt.org-directory"),
            ("https://localhost:14000/dir", "localhost-14000-dir"),
            ("https://../../etc/x?y=ä", "-..-etc-x-y--"),
        ] {
            assert_eq!(name_of(address), Path::new(name), "{address}");
        }
    }

    fn options(state: &Path, directory: &str) -> Options {
        let (hosts, state, directory) = (std::collections::BTreeSet::new(), state.to_owned(), directory.to_owned());
        Options { state, directory, hosts, email: None, eab: None, http: None, authority: None }
    }

    const CREDENTIALS: &str = r#"{"id":"id","key_pkcs8":"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJVWC_QzOTCS5vtsJp2IG-UDc8cdDfeoKtxSZxaznM-mhRANCAAQenCPoGgPFTdPJ7VLLKt56RxPlYT1wNXnHc54PEyBg3LxKaH0-sJkX0mL8LyPEdsfL_Oz4TxHkWLJGrXVtNhfH"}"#;

    #[tokio::test]
    async fn an_account_is_kept_for_the_owner_and_for_its_server_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("acme");
        let options = options(&state, "https://ca.example/dir");
        assert!(account(&options).await.unwrap().is_none());
        keep_account(&options, serde_json::from_str(CREDENTIALS).unwrap()).await.unwrap();
        assert!(account(&options).await.unwrap().is_some());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&account_file(&options)), mode(&state)), (0o600, 0o700));
        // Another server whose address makes the same name.
        assert!(account(&self::options(&state, "https://ca.example:dir")).await.unwrap().is_none());
        std::fs::write(account_file(&options), "half an acc").unwrap();
        assert!(account(&options).await.unwrap().is_none(), "one that cannot be understood is none");
    }
}
