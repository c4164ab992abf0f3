//! `health` beside a registry that runs.

#![expect(clippy::unwrap_used, reason = "a test may end in a panic")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{run_with, said};

/// A registry that is ended with the test.
struct Serving(Child);

impl Serving {
    fn start(directory: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
        command.args(["serve", "--as-root", "config.yml"]).current_dir(directory).env_clear();
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes a configuration with that `http` section, serves it, and asks until it is healthy. PORT stands for a free one.
fn asked(directory: &Path, http: &str) {
    // Somebody else may take the port before the registry does, which then ends.
    let served = (0..5).any(|_| is_healthy_in_time(directory, &http.replace("PORT", &free_port().to_string())));
    assert!(served, "the registry does not get healthy: {http}");
}

fn is_healthy_in_time(directory: &Path, http: &str) -> bool {
    let config = format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: data}}}}\nhttp: {http}\n");
    std::fs::write(directory.join("config.yml"), config).unwrap();
    let health = || said(&run_with(directory, &[], &["health", "--config", "config.yml"], "")).0;
    assert_eq!(health(), 1, "nothing runs yet: {http}");
    let mut serving = Serving::start(directory);
    let deadline = Instant::now() + Duration::from_secs(30);
    while health() != 0 {
        assert!(Instant::now() < deadline, "the registry does not get healthy: {http}");
        if serving.0.try_wait().unwrap().is_some() {
            return false;
        }
    }
    true
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_registry_is_asked_where_its_configuration_says_that_it_listens() {
    let directory = tempfile::tempdir().unwrap();
    asked(directory.path(), "{addr: '127.0.0.1:PORT'}");
    asked(directory.path(), "{addr: ':PORT'}");
    asked(directory.path(), "{net: unix, addr: registry.sock}");
}

#[test]
fn a_certificate_for_another_name_does_not_matter_nor_does_one_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["registry.example.org".to_owned()]).unwrap();
    std::fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(directory.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    for clients in ["", ", clientcas: [tls.crt]"] {
        asked(directory.path(), &format!("{{addr: '127.0.0.1:PORT', tls: {{certificate: tls.crt, key: tls.key{clients}}}}}"));
    }
}
