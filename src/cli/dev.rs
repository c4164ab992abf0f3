//! `serve --dev`: makes what a registry needs under `./var/`, once.
//!
//! Each file is made when it is missing and never touched again, so a start that was cut short is completed by the next one.
//! The three files of the certificate belong together: the authority's key is not kept, so when one is missing all are made
//! anew, with `ca.crt` removed first and written last, as the sign that the others are whole.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use time::OffsetDateTime;

use super::development_certificate::DevelopmentCertificate;
use crate::auth::{PasswordFile, PasswordHash, UserName};
use crate::config::{self, Config, Listen, Loaded};
use crate::whole_file::{self, PRIVATE, PUBLIC};

const DIRECTORY: &str = "var";
const USER: &str = "admin";
const PASSWORD_BYTES: usize = 15;

const CONFIG: &str = "\
# Made by `breakwater serve --dev`, once. Edit it: it is read at each start and never written again.
# The keys are those of registry:2, and `tokenservice` and `metrics` are Breakwater's own; each has its REGISTRY_... variable.
# Paths are relative to the directory that breakwater is started in.
version: 0.1

log:
  level: info             # error, warn, info, debug
  accesslog:
    disabled: false       # one line for each request, on standard output

storage:
  filesystem:
    rootdirectory: var/registry
  delete:
    enabled: true

http:
  addr: localhost:5000    # both loopback addresses; `:5000` opens it to the network
  tls:
    certificate: var/certs/localhost.crt
    key: var/certs/localhost.key

auth:
  htpasswd:
    realm: Registry
    path: var/htpasswd    # breakwater user add var/htpasswd NAME

# The registry issues the tokens that docker and podman log in with. Without this section passwords are sent with each request.
tokenservice:
  signingkey: var/token.pem

# Who may read /metrics without a password.
metrics:
  from: [127.0.0.0/8, \"::1/128\"]
";

/// Makes what is missing, says how to use it, and loads the configuration; `address` replaces the one in the file.
pub(super) fn prepare(address: Option<String>) -> anyhow::Result<Loaded> {
    let password = Workshop::new(DIRECTORY.into()).make().context("cannot make what --dev needs")?;
    // Said before anything else can fail: it is not said again.
    let password = match password {
        Some(password) => format!("password: {password}"),
        None => format!("password: as printed at the first start; to set another: breakwater user add {DIRECTORY}/htpasswd {USER}"),
    };
    super::print(format!("user:     {USER}\n{password}\n").as_bytes())?;
    let mut loaded = config::load(&Path::new(DIRECTORY).join("config.yml"), super::environment())?;
    if let Some(address) = address {
        loaded.config.listen = Listen::Tcp(address);
    }
    super::print(instructions(&loaded.config).as_bytes())?;
    Ok(loaded)
}

struct Workshop {
    directory: PathBuf,
}

impl Workshop {
    fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes each file that is missing; the password, when it was made now.
    fn make(&self) -> anyhow::Result<Option<String>> {
        for directory in ["", "certs", "registry"] {
            let path = self.path(directory);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&path);
            made.with_context(|| format!("cannot make the directory {}", path.display()))?;
        }
        self.certificate()?;
        if self.is_missing("token.pem")? {
            let key = rcgen::KeyPair::generate()?;
            self.write("token.pem", &key.serialize_pem(), PRIVATE)?;
        }
        if self.is_missing("config.yml")? {
            self.write("config.yml", CONFIG, PUBLIC)?;
        }
        self.password()
    }

    fn certificate(&self) -> anyhow::Result<()> {
        let (authority, certificate, key) = ("certs/ca.crt", "certs/localhost.crt", "certs/localhost.key");
        if !self.is_missing(authority)? && !self.is_missing(certificate)? && !self.is_missing(key)? {
            return Ok(());
        }
        match std::fs::remove_file(self.path(authority)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("cannot replace certs/ca.crt"),
            _ => {}
        }
        let host = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let made = DevelopmentCertificate::issue(Some(&host), OffsetDateTime::now_utc()).context("cannot make a certificate")?;
        self.write(key, &made.key, PRIVATE)?;
        self.write(certificate, &made.certificate, PUBLIC)?;
        self.write(authority, &made.authority, PUBLIC)
    }

    fn password(&self) -> anyhow::Result<Option<String>> {
        if !self.is_missing("htpasswd")? {
            return Ok(None);
        }
        let password = random_password()?;
        let path = self.path("htpasswd");
        let mut file = PasswordFile::open_or_new(&path)?;
        file.set(&USER.parse::<UserName>()?, &PasswordHash::of(&password)?);
        file.save().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(password))
    }

    fn is_missing(&self, name: &str) -> anyhow::Result<bool> {
        let path = self.path(name);
        match path.metadata() {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
        let path = self.path(name);
        whole_file::replace(&path, text.as_bytes(), mode).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A password of 120 random bits in letters and digits that one can type.
fn random_password() -> anyhow::Result<String> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0_u8; PASSWORD_BYTES * 8 / 5];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system gives no random bytes")?;
    Ok(bytes.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

fn instructions(config: &Config) -> String {
    let name = registry_name(&config.listen);
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    format!(
        "address:  {scheme}://{name}\n\
         CA:       {DIRECTORY}/certs/ca.crt\n\
         config:   {DIRECTORY}/config.yml\n\
         \n\
         docker:   sudo install -D -m 644 {DIRECTORY}/certs/ca.crt /etc/docker/certs.d/{name}/ca.crt\n\
         \x20         docker login -u {USER} {name}\n\
         podman:   install -D -m 644 {DIRECTORY}/certs/ca.crt ~/.config/containers/certs.d/{name}/ca.crt\n\
         \x20         podman login -u {USER} {name}\n\
         \n"
    )
}

/// How clients on this machine call the registry.
fn registry_name(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => match address.rsplit_once(':') {
            Some(("" | "0.0.0.0" | "[::]", port)) => format!("localhost:{port}"),
            _ => address.clone(),
        },
        Listen::Unix(path) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FILES: [&str; 6] = ["config.yml", "htpasswd", "token.pem", "certs/ca.crt", "certs/localhost.crt", "certs/localhost.key"];

    fn contents(workshop: &Workshop) -> BTreeMap<&'static str, Vec<u8>> {
        FILES.into_iter().map(|name| (name, std::fs::read(workshop.path(name)).unwrap())).collect()
    }

    #[test]
    fn a_second_start_reuses_everything() {
        let directory = tempfile::tempdir().unwrap();
        let workshop = Workshop::new(directory.path().join("var"));
        let password = workshop.make().unwrap().unwrap();
        let first = contents(&workshop);
        assert!(workshop.make().unwrap().is_none());
        assert_eq!(contents(&workshop), first);
        let file = PasswordFile::open(&workshop.path("htpasswd")).unwrap();
        assert_eq!(file.verify(&USER.parse().unwrap(), &password), Some(true));
    }

    #[test]
    fn a_start_that_was_cut_short_is_completed() {
        let directory = tempfile::tempdir().unwrap();
        let workshop = Workshop::new(directory.path().join("var"));
        workshop.make().unwrap();
        let first = contents(&workshop);
        std::fs::remove_file(workshop.path("token.pem")).unwrap();
        std::fs::remove_file(workshop.path("certs/localhost.key")).unwrap();
        workshop.make().unwrap();
        let second = contents(&workshop);
        let kept: Vec<_> = FILES.into_iter().filter(|name| first[name] == second[name]).collect();
        assert_eq!(kept, ["config.yml", "htpasswd"], "a certificate is made with its authority, or not at all");
    }

    #[test]
    fn private_files_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let workshop = Workshop::new(directory.path().join("var"));
        workshop.make().unwrap();
        for name in ["htpasswd", "token.pem", "certs/localhost.key"] {
            assert_eq!(workshop.path(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn the_configuration_that_is_made_loads_without_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let workshop = Workshop::new(directory.path().join("var"));
        workshop.make().unwrap();
        let loaded = config::load(&workshop.path("config.yml"), []).unwrap();
        assert!(loaded.warnings.iter().all(|notice| notice.severity == config::Severity::Info), "{:?}", loaded.warnings);
        assert_eq!(loaded.config.listen, Listen::Tcp("localhost:5000".to_owned()));
        assert!(loaded.config.tls.is_some());
    }
}
