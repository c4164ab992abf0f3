//! Stock registries, started as programs of their own.

#![expect(clippy::print_stderr, reason = "that a registry is missing is said loudly")]

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::eventually;

/// The name of registry 2's program on the path.
pub(crate) const REGISTRY_2: &str = "docker-registry";
/// The name of registry 3's program on the path.
pub(crate) const REGISTRY_3: &str = "registry";

/// A stock registry, ended when it is dropped.
pub(crate) struct Stock {
    pub(crate) address: SocketAddr,
    child: Child,
    _directory: TempDir,
}

impl Drop for Stock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stock {
    /// Starts one with further sections, deleting included. `None`, said loudly: it is not installed, where that may be.
    pub(crate) async fn start(program: &str, sections: &Value) -> Option<Self> {
        if !is_there(program) {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": directory.path().join("data")}, "delete": {"enabled": true}},
            "http": {"addr": address.to_string()},
        });
        for (name, section) in sections.as_object().unwrap() {
            config[name] = section.clone();
        }
        let path = directory.path().join("config.yml");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&path).env("OTEL_TRACES_EXPORTER", "none").stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        eventually(async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        Some(Self { address, child, _directory: directory })
    }

    /// Where requests go to, without a slash at the end.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Whether a stock registry is installed; where it must be, that it is not ends the test.
pub(crate) fn is_there(program: &str) -> bool {
    match Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(_) => true,
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("SKIPPED: nothing is compared with {program}: {error}");
            false
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Starts a registry, stock or ours, with these variables and no others, and ends it: whether it came so far as to listen, and the log
/// until then.
pub(crate) fn attempt(program: &str, config: &Path, variables: &[(String, String)]) -> (bool, String) {
    let mut command = Command::new(program);
    command.arg("serve").arg(config).env_clear().env("OTEL_TRACES_EXPORTER", "none");
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(variables.iter().cloned());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (lines, coming) = mpsc::channel();
    let output = BufReader::new(child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    let (mut is_up, mut text) = (false, String::new());
    // The end of the output is the end of the program.
    while !is_up && let Ok(line) = coming.recv_timeout(Duration::from_secs(30)) {
        is_up = line.contains("listening on ") || line.contains("the registry serves");
        text.push_str(&line);
        text.push('\n');
    }
    let _ = child.kill();
    let _ = child.wait();
    drop(coming);
    let _ = reader.join();
    (is_up, text)
}
