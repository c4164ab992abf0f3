//! What a start would find: directories and the rights on them, files, keys, certificates, ports.
//!
//! Looks as a start would and changes nothing on disk; a port that is free is bound and let go. All of it blocks: it is for the
//! command line.

mod places;
mod ports;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use self::places::{directory, file_to_append_to, file_to_make};
use super::background::chain;
use super::{control, lock};
use crate::auth::{self, ForeignTokenOptions, HtpasswdOptions, MachineTokenFile, Options, PasswordFile, TokenServiceOptions};
use crate::config::{Config, Severity};
use crate::telemetry::AuditOutput;
use crate::tls::Weight;

/// One thing that was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The key that names what was looked at.
    pub key: &'static str,
    /// What was found.
    pub text: String,
}

/// Looks at everything that a configuration names.
pub fn inspect(config: &Config, now: SystemTime) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    let serving = lock::is_held(&config.state, &config.storage.root_directory);
    if serving {
        let text = format!("a breakwater serves this directory now: {} or the data root is locked", config.state.join("lock").display());
        found.add(Severity::Info, "state", text);
    }
    found.directories(config);
    match &config.auth {
        Options::Open => {}
        Options::Htpasswd(options) => found.htpasswd(options),
        Options::Token(options) => found.foreign_token(options),
    }
    if let Some(tls) = &config.tls {
        for finding in tls.inspect(now) {
            found.add(severity(finding.weight), finding.key, finding.text);
        }
        if let Some(parent) = tls.acme.as_ref().and_then(|_| tls.certificate.parent()) {
            found.wrong("http.tls.letsencrypt.cachefile", directory(parent));
        }
    }
    if let AuditOutput::File(path) = &config.telemetry.audit {
        found.wrong("log.audit.output", file_to_append_to(path));
    }
    found.ports(config, serving);
    found.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, key: &'static str, text: String) {
        self.0.push(Finding { severity, key, text });
    }

    fn wrong(&mut self, key: &'static str, looked: Result<(), String>) {
        if let Err(text) = looked {
            self.add(Severity::Mistake, key, text);
        }
    }

    fn unusable(&mut self, key: &'static str, looked: Result<(), auth::Error>) {
        self.wrong(key, looked.map_err(|error| chain(&error)));
    }

    fn directories(&mut self, config: &Config) {
        let root = &config.storage.root_directory;
        let tree = root.join("docker/registry/v2");
        let rooted = directory(root).and_then(|()| directory(&tree));
        let is_told = rooted.is_err() && config.state.starts_with(root);
        self.wrong("storage.filesystem.rootdirectory", rooted);
        if !is_told {
            self.wrong("state", directory(&config.state));
            self.state(config);
        }
        if SocketAddr::from_pathname(control::socket_of(&config.state)).is_err_and(|error| error.kind() == ErrorKind::InvalidInput) {
            let text = format!(
                "the path of {} is too long for a socket, so commands cannot speak to the server and take effect within a second or two; \
                 choose a shorter one",
                control::socket_of(&config.state).display()
            );
            self.add(Severity::Warning, "state", text);
        }
    }

    /// What earlier starts left.
    fn state(&mut self, config: &Config) {
        let state = &config.state;
        if fs::metadata(state).is_ok_and(|metadata| metadata.permissions().mode() & 0o022 != 0) {
            self.add(Severity::Warning, "state", format!("others may write into {}, which holds keys; chmod 700 it", state.display()));
        }
        let secret = state.join("upload.secret");
        if let Some(Err(error)) = config.http.secret.is_none().then(|| fs::File::open(&secret))
            && error.kind() == ErrorKind::PermissionDenied
        {
            self.add(Severity::Mistake, "state", format!("{} cannot be read: {error}", secret.display()));
        }
    }

    fn htpasswd(&mut self, options: &HtpasswdOptions) {
        const KEY: &str = "auth.htpasswd.path";
        let path = options.path.display();
        match PasswordFile::open(&options.path) {
            Ok(file) => {
                for line in file.strays() {
                    self.add(Severity::Mistake, KEY, format!("{path}: line {line} is not user:hash"));
                }
                for user in file.users().filter(|user| !user.bcrypt) {
                    let text = format!("{path}: line {} has a hash that is not bcrypt and matches no password", user.line);
                    self.add(Severity::Warning, KEY, text);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match file_to_make(&options.path) {
                    Err(text) => self.add(Severity::Mistake, KEY, text),
                    Ok(()) => {
                        let text = format!("{path} is not there; the start makes it with a user `docker` and logs the password once");
                        self.add(Severity::Info, KEY, text);
                    }
                };
            }
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                let path = options.path.clone();
                self.unusable(KEY, Err(auth::Error::PasswordDirectory { path }));
            }
            Err(error) => self.add(Severity::Mistake, KEY, format!("{path} cannot be read: {error}")),
        }
        if let Err(error) = MachineTokenFile::read(&options.state) {
            self.unusable("state", Err(error));
        }
        if let Some(service) = &options.token_service {
            self.token_service(service);
        }
    }

    fn token_service(&mut self, options: &TokenServiceOptions) {
        const KEY: &str = "tokenservice.signingkey";
        let path = &options.signing_key;
        match path.try_exists() {
            Ok(false) if options.certificate.is_some() => {
                let text = format!("{} is not there, so no certificate can belong to it; put its key there", path.display());
                self.add(Severity::Mistake, KEY, text);
            }
            Ok(false) => self.wrong(KEY, file_to_make(path)),
            _ => {
                let own = auth::check_signing_keys(path, None);
                if own.is_ok() {
                    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
                    if mode & 0o077 != 0 {
                        self.add(Severity::Warning, KEY, format!("{} can be read by others than its owner; chmod 600 it", path.display()));
                    }
                    if let Some(certificate) = &options.certificate {
                        self.unusable("tokenservice.certificate", auth::check_signing_keys(path, Some(certificate)));
                    }
                }
                self.unusable(KEY, own);
            }
        }
    }

    fn foreign_token(&mut self, options: &ForeignTokenOptions) {
        if let Some(path) = &options.root_cert_bundle {
            self.unusable("auth.token.rootcertbundle", auth::check_trusted_keys(Some(path), None));
        }
        if let Some(path) = &options.jwks {
            self.unusable("auth.token.jwks", auth::check_trusted_keys(None, Some(path)));
        }
        self.unusable("auth.token.signingalgorithms", auth::check_algorithms(&options.signing_algorithms));
    }
}

fn severity(weight: Weight) -> Severity {
    match weight {
        Weight::Error => Severity::Mistake,
        Weight::Warning => Severity::Warning,
        Weight::Info => Severity::Info,
    }
}

/// Looks at a set of keys that verify somebody else's tokens. Blocks.
pub fn inspect_key_set(path: &Path) -> Result<(), String> {
    auth::check_trusted_keys(None, Some(path)).map_err(|error| chain(&error))
}
