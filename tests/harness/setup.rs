//! How a registry for a test is configured.

use serde_json::{Value, json};

use super::Running;

/// A user and the password.
pub(crate) const ALICE: (&str, &str) = ("alice", "wonder:land");
/// Another one.
pub(crate) const BOB: (&str, &str) = ("bob", "builder");

/// A configuration in the making. `DIR` in its texts stands for the directory of the test.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) config: Value,
    pub(crate) is_tls: bool,
}

impl Setup {
    /// Everybody may do everything, over TLS, deleting included.
    pub(crate) fn open() -> Self {
        let config = json!({
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": true}, "audit": {"output": "DIR/audit.log"}},
            "storage": {"filesystem": {"rootdirectory": "DIR/data"}, "delete": {"enabled": true}},
            "http": {"addr": "127.0.0.1:0", "secret": "sesame", "tls": {"certificate": "DIR/tls.crt", "key": "DIR/tls.key"}},
        });
        Self { config, is_tls: true }
    }

    /// Users of a password file.
    pub(crate) fn basic() -> Self {
        Self::open().set("auth", json!({"htpasswd": {"realm": "Registry", "path": "DIR/htpasswd"}}))
    }

    /// Users of a password file, who get tokens from the registry itself.
    pub(crate) fn tokens() -> Self {
        Self::basic().set("tokenservice", json!({"service": "the-service", "issuer": "the-issuer"}))
    }

    /// Clients show certificates of the authority that issued the server's, as far as the level wants.
    pub(crate) fn client_auth(self, level: &str) -> Self {
        self.set("http.tls.clientcas", json!(["DIR/authority.crt"])).set("http.tls.clientauth", level)
    }

    pub(crate) fn plain(mut self) -> Self {
        self.is_tls = false;
        self.config["http"].as_object_mut().unwrap().remove("tls");
        self
    }

    /// Sets a key, written with dots.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.config;
        for part in key.split('.') {
            place = &mut place[part];
        }
        *place = value.into();
        self
    }

    pub(crate) async fn start(self) -> Running {
        Running::start(self).await
    }
}
