//! As whom the server runs, settled before any thread starts.
//!
//! Started as root it becomes the owner of the data root: what it writes then belongs to whom the rest belongs, and a fault in it is
//! not one of root's. A new or empty data root of root's is given to [`HEIR`]; one that root has filled keeps root, since
//! what lies in it could not be written by anybody else. Started as anybody else it stays that, and says early what it may not write.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat};
use rustix::process::{getegid, geteuid};
use tracing::{info, warn};

use super::privileges::{self, Owner, ROOT};
use crate::auth::{OidcKeys, Options};
use crate::config::{Config, Loaded};
use crate::telemetry::AuditOutput;

/// What a server that root starts does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootStart {
    /// It becomes the owner of the data root.
    BecomeOwner,
    /// It stays root, because that was asked for.
    Stay,
}

/// Who gets a data root that is nobody's yet: the user `registry` of the image.
const HEIR: Owner = Owner { user: 65532, group: 65532 };

/// The directories from the data root down to where repositories and blobs lie.
const LEVELS: [&str; 6] =
    ["", "docker", "docker/registry", "docker/registry/v2", "docker/registry/v2/blobs", "docker/registry/v2/repositories"];

/// Those that have an entry for every kind of thing in the tree.
const BROAD_LEVELS: [&str; 2] = ["docker/registry/v2/blobs/sha256", "docker/registry/v2/repositories"];

/// How many of these entries are looked at.
const MOST_ENTRIES: usize = 10_000;

/// Settles as whom the server runs. There must be no other thread yet.
pub(super) fn settle(loaded: &Loaded, start: RootStart) -> Result<()> {
    let config = &loaded.config;
    let root = &config.storage.root_directory;
    let me = Owner { user: geteuid().as_raw(), group: getegid().as_raw() };
    if me.user != 0 {
        return may_write(config, me);
    }
    if start == RootStart::Stay {
        info!("the registry stays root, as it was told");
        return Ok(());
    }
    let found = Found::at(root).with_context(|| format!("storage.filesystem.rootdirectory: {} cannot be looked at", root.display()))?;
    let owner = match found.owner() {
        Ok(owner) => owner,
        Err(heir) => {
            let root = root.display();
            warn!(
                "the registry runs as root, since root has filled {root}; to run it as a user, stop it and give all away: chown -R {heir} {root}"
            );
            return Ok(());
        }
    };
    for (directory, mode) in [(root.clone(), 0o755), (config.state.clone(), 0o700)].into_iter().chain(of_acme(config)) {
        hand_over(&directory, mode, owner).with_context(|| format!("{} cannot be given to {owner}", directory.display()))?;
    }
    if let AuditOutput::File(path) = &config.telemetry.audit {
        hand_over_log(path, owner).with_context(|| format!("log.audit.output: {} cannot be given to {owner}", path.display()))?;
    }
    privileges::become_owner(owner).with_context(|| {
        format!("root cannot become {owner}, the owner of {}; start it as that user, or with `serve --as-root`", root.display())
    })?;
    let hidden = hidden(loaded)?;
    let kept = privileges::give_up_all_but(if hidden.is_empty() { privileges::Need::Ports } else { privileges::Need::PortsAndFiles })?;
    if !hidden.is_empty() {
        let names = hidden.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
        let remedy = format!("let the user {} read the files and pass through the directories", owner.user);
        let Some(kept) = kept else { bail!("{owner} may not read {names}; {remedy}") };
        warn!("{owner} may not read {names}: the registry keeps {kept} for that; to do without, {remedy}");
    }
    info!(user.id = owner.user, group.id = owner.group, "the registry runs as the owner of its data");
    may_write(config, owner)
}

/// Settles as whom garbage is collected: root becomes the owner of the data, whom what it makes on the way then belongs to. There must
/// be no other thread yet.
pub(super) fn settle_on_data(config: &Config) -> Result<()> {
    let root = &config.storage.root_directory;
    if geteuid().as_raw() != 0 {
        return Ok(());
    }
    let found = Found::at(root).with_context(|| format!("storage.filesystem.rootdirectory: {} cannot be looked at", root.display()))?;
    match found {
        Found::Filled { .. } => {
            let Ok(owner) = found.owner() else { return Ok(()) };
            privileges::become_owner(owner).with_context(|| format!("root cannot become {owner}, the owner of {}", root.display()))?;
            // The way to the data may be closed to their owner.
            privileges::give_up_all_but(privileges::Need::PortsAndFiles).map(drop)
        }
        Found::Nothing | Found::Empty(_) => Ok(()),
    }
}

/// What lies at the data root.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// An empty directory, and whose.
    Empty(Owner),
    /// One with something in it, and whose both are.
    Filled {
        directory: Owner,
        content: Owner,
    },
}

impl Found {
    fn at(root: &Path) -> io::Result<Self> {
        let directory = match fs::metadata(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Nothing),
            metadata => owner_of(&metadata?),
        };
        for entry in fs::read_dir(root)? {
            // Which a new file system has.
            if entry?.file_name() != "lost+found" {
                let content = if has_of_root(root)? { ROOT } else { directory };
                return Ok(Self::Filled { directory, content });
            }
        }
        Ok(Self::Empty(directory))
    }

    /// Whom the data belong to from now on; an error names who could have them if root had not filled the directory.
    fn owner(&self) -> Result<Owner, Owner> {
        let (directory, content) = match *self {
            Self::Nothing => return Ok(HEIR),
            Self::Empty(owner) => (owner, owner),
            Self::Filled { directory, content } => (directory, content),
        };
        let heir = if directory.user == 0 { HEIR } else { directory };
        if content.user == 0 && matches!(self, Self::Filled { .. }) { Err(heir) } else { Ok(heir) }
    }
}

/// Whether root has written here: a stock registry that runs as root does so in a directory of anybody. The upper levels tell, and
/// the entries of those that get one for each repository and each first byte of a digest.
fn has_of_root(root: &Path) -> io::Result<bool> {
    let is_of_root = |path: &Path| -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            metadata => Ok(owner_of(&metadata?).user == 0),
        }
    };
    for name in LEVELS {
        if is_of_root(&root.join(name))? {
            return Ok(true);
        }
    }
    for name in BROAD_LEVELS {
        let entries = match fs::read_dir(root.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries.take(MOST_ENTRIES) {
            if is_of_root(&entry?.path())? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn owner_of(metadata: &Metadata) -> Owner {
    Owner { user: metadata.uid(), group: metadata.gid() }
}

/// Makes a directory that is missing, and gives away what is new, or empty and root's.
///
/// Only where nobody but root decides what lies there: whoever owns a directory above could put a link in its place. What lies below the
/// owner's own directories the owner makes himself.
fn hand_over(directory: &Path, mode: u32, owner: Owner) -> io::Result<()> {
    if !is_of_root_alone(directory)? {
        return Ok(());
    }
    match Found::at(directory)? {
        Found::Filled { .. } => return Ok(()),
        Found::Empty(current) if current.user != 0 => return Ok(()),
        Found::Empty(_) => {}
        Found::Nothing => {
            if let Some(parent) = directory.parent() {
                fs::create_dir_all(parent)?;
            }
            DirBuilder::new().mode(mode).create(directory)?;
        }
    }
    fchown(File::open(directory)?, Some(owner.user), Some(owner.group))
}

/// Whether only root can put something in the place of what lies at a path, or of a directory above it: they are root's, written to by
/// nobody else, and no link is among them.
fn is_of_root_alone(path: &Path) -> io::Result<bool> {
    const SHARED: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let path = std::path::absolute(path)?;
    if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(false);
    }
    for directory in path.ancestors().skip(1) {
        let metadata = match fs::symlink_metadata(directory) {
            // Root is about to make it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        let is_shared = metadata.mode() & SHARED != 0 && metadata.mode() & STICKY == 0;
        if !metadata.is_dir() || metadata.uid() != 0 || is_shared {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where certificates of ACME are kept: beside what another registry may have filled, in a directory of our own.
fn of_acme(config: &Config) -> impl Iterator<Item = (PathBuf, u32)> {
    let acme = config.tls.iter().filter_map(|tls| tls.acme.as_ref());
    acme.flat_map(|acme| [Some(acme.state.clone()), acme.certificate().parent().map(Path::to_owned)]).flatten().map(|path| (path, 0o700))
}

/// Makes a log that is missing, and gives it away when it is root's. Never what a link leads to: others may have made it.
fn hand_over_log(path: &Path, owner: Owner) -> io::Result<()> {
    if !is_of_root_alone(path)? {
        return Ok(());
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let log = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)?;
    let metadata = log.metadata()?;
    let is_ours_to_give = metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == 0;
    if is_ours_to_give { fchown(log, Some(owner.user), Some(owner.group)) } else { Ok(()) }
}

/// What the configuration names and this user cannot reach: files, and directories on the way to the data.
fn hidden(loaded: &Loaded) -> Result<Vec<PathBuf>> {
    let Config { storage, state, .. } = &loaded.config;
    let mut hidden = Vec::new();
    for path in files(loaded) {
        // Without waiting for whoever writes to a pipe.
        let opened = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path);
        if opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            hidden.push(path);
        }
    }
    for path in [&storage.root_directory, state] {
        if fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            let barred = path.ancestors().skip(1).filter(|above| !is_passable(above)).last();
            hidden.push(barred.unwrap_or(path).to_owned());
        }
    }
    hidden.sort();
    hidden.dedup();
    Ok(hidden)
}

fn is_passable(directory: &Path) -> bool {
    rustix::fs::access(directory, Access::EXEC_OK) != Err(rustix::io::Errno::ACCESS)
}

/// The files that are read, now and whenever they change.
fn files(loaded: &Loaded) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = loaded.source.files().map(Path::to_owned).collect();
    if let Some(tls) = &loaded.config.tls {
        files.extend([tls.certificate.clone(), tls.key.clone()]);
        files.extend(tls.client.iter().flat_map(|client| client.authorities.clone()));
        files.extend(tls.acme.iter().filter_map(|acme| acme.authority.clone()));
    }
    match &loaded.config.auth {
        Options::Open => {}
        Options::Htpasswd(options) => {
            files.push(options.path.clone());
            let service = options.token_service.as_ref();
            files.extend(service.map(|service| service.signing_key.clone()));
            files.extend(service.and_then(|service| service.certificate.clone()));
            files.extend(options.oidc.iter().filter_map(|issuer| match &issuer.keys {
                OidcKeys::File(path) => Some(path.clone()),
                OidcKeys::Discovered => None,
            }));
        }
        Options::Token(options) => files.extend([&options.root_cert_bundle, &options.jwks].into_iter().flatten().cloned()),
    }
    files
}

/// Whether the directories that are written to can be, as far as a look at the upper ones tells.
fn may_write(config: &Config, me: Owner) -> Result<()> {
    let root = &config.storage.root_directory;
    writable_below(root, &LEVELS, me).context("storage.filesystem.rootdirectory")?;
    writable_below(&config.state, &[""], me).context("state")
}

fn writable_below(top: &Path, names: &[&str], me: Owner) -> Result<()> {
    let handle = match rustix::fs::open(top, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::ACCESS) => bail!("{me} cannot reach {}; let it pass through the directories above", top.display()),
        // It is made later, or what is wrong with it is said later.
        Err(_) => return Ok(()),
    };
    for name in names {
        // Relative to the directory, so that those above it do not matter.
        let path = if name.is_empty() { "." } else { name };
        if accessat(&handle, path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()) == Err(rustix::io::Errno::ACCESS)
        {
            let denied = if name.is_empty() { top.to_owned() } else { top.join(name) };
            let of = fs::metadata(&denied).map_or_else(|_| String::new(), |of| format!(", which belongs to {}", owner_of(&of)));
            bail!("{me} cannot write to {}{of}; give all of it away: chown -R {me} {}", denied.display(), top.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Owner = Owner { user: 1000, group: 100 };

    #[test]
    fn what_is_nobodys_yet_gets_an_owner_and_what_root_has_filled_keeps_root() {
        let filled = |directory, content| Found::Filled { directory, content };
        let table = [
            (Found::Nothing, Ok(HEIR)),
            (Found::Empty(ROOT), Ok(HEIR)),
            (Found::Empty(OTHER), Ok(OTHER)),
            (filled(OTHER, OTHER), Ok(OTHER)),
            (filled(ROOT, ROOT), Err(HEIR)),
            (filled(OTHER, ROOT), Err(OTHER)),
        ];
        for (found, owner) in table {
            assert_eq!(found.owner(), owner, "{found:?}");
        }
    }

    #[test]
    fn a_new_file_system_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        assert_eq!(Found::at(&root.join("absent")).unwrap(), Found::Nothing);
        fs::create_dir(root.join("lost+found")).unwrap();
        assert!(matches!(Found::at(root).unwrap(), Found::Empty(_)));
        fs::create_dir(root.join("docker")).unwrap();
        assert!(matches!(Found::at(root).unwrap(), Found::Filled { .. }));
    }
}
