//! The secret that signs the state of uploads, where the configuration names none.
//!
//! Kept in the state directory, so that a client goes on with its upload after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::blocking;

const LENGTH: usize = 32;

/// Reads the secret of a state directory, making it where it is missing or was never finished. The caller holds the directory's lock.
pub(super) async fn of_state(state: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let path = state.join("upload.secret");
    blocking::run(move || {
        let read = match fs::read(&path) {
            Ok(secret) if secret.len() == LENGTH => Ok(Zeroizing::new(secret)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => make(&path),
        };
        read.with_context(|| format!("state: {} cannot be read or made", path.display()))
    })
    .await
}

fn make(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut secret = Zeroizing::new(vec![0; LENGTH]);
    rand::fill(&mut secret).map_err(|_| io::Error::other("the system has no random bytes"))?;
    let staged = path.with_extension("secret.tmp");
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&staged)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn the_secret_outlives_a_restart_and_is_nobody_elses_to_read() {
        let state = tempfile::tempdir().unwrap();
        let first = of_state(state.path()).await.unwrap();
        assert_eq!(of_state(state.path()).await.unwrap(), first);
        let path = state.path().join("upload.secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").unwrap();
        assert_ne!(of_state(state.path()).await.unwrap(), first);
    }
}
