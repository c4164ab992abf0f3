//! The stock registry itself: finding it, starting it on a directory, ending it, and having it collect garbage.
//!
//! Two programs count as stock: `docker-registry`, which Debian makes of 2.8.2, and `registry`, which is 3.x. They are looked for on
//! the path. Where one is missing, what needs it is skipped loudly; with `CI=true` that is a failure.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A registry that has not said where it listens by then does not start.
const LONGEST_START: Duration = Duration::from_secs(30);

/// Which stock registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 2.8.2.
    Two,
    /// 3.x.
    Three,
    /// Not stock at all: the binary of this tree, which is run in the same way.
    Ours,
}

impl Version {
    /// What it is called in Debian's package, or by `go install`.
    fn program(self) -> &'static str {
        match self {
            Self::Two => "docker-registry",
            Self::Three => "registry",
            Self::Ours => env!("CARGO_BIN_EXE_breakwater"),
        }
    }

    fn begins(self) -> &'static str {
        match self {
            Self::Two => "2.",
            Self::Three => "v3.",
            Self::Ours => env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A stock registry that is installed.
#[derive(Clone, Debug)]
pub(crate) struct Stock {
    pub(crate) version: Version,
    program: PathBuf,
}

/// A stock registry that serves, until it is stopped, killed or dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Stock {
    /// Our own binary.
    pub(crate) fn ours() -> Self {
        Self { version: Version::Ours, program: Version::Ours.program().into() }
    }

    /// Looks for it on the path; `None`, said loudly, where it is not installed.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub(crate) fn find(version: Version) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).map(|directory| directory.join(version.program()));
        let found = places.into_iter().find(|place| is_version(place, version)).map(|program| Self { version, program });
        if found.is_none() {
            assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "{version:?}: {} is missing", version.program());
            eprintln!("SKIPPED: {} ({version:?}) is not on the path, so nothing was compared with it", version.program());
        }
        found
    }

    /// Starts it in a directory with a configuration, in whose texts `DIR` stands for that directory, and with variables beside it.
    ///
    /// `http.addr` should name port 0: where it listens is read from its log, which goes on into `stock.log`.
    pub(crate) fn start(&self, config: &Value, variables: &[(&str, &str)], directory: &Path) -> Serving {
        let mut command = Command::new(&self.program);
        command.arg("serve").arg(write_config(config, directory)).env("OTEL_TRACES_EXPORTER", "none").envs(variables.iter().copied());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = File::create(directory.join("stock.log")).unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap());
        let (found, finding) = mpsc::channel();
        // It ends with the process, whose log it drains.
        std::thread::spawn(move || follow(lines, log, &found));
        match finding.recv_timeout(LONGEST_START) {
            Ok(address) => Serving { address, process },
            Err(_) => {
                let _ = process.kill();
                let _ = process.wait();
                panic!("{self:?} does not start: {}", std::fs::read_to_string(directory.join("stock.log")).unwrap());
            }
        }
    }

    /// Has it collect garbage, with such flags as `-m`; whether it succeeded, and what it printed on both streams.
    pub(crate) fn collect_garbage(&self, config: &Value, flags: &[&str], directory: &Path) -> (bool, String) {
        let mut command = Command::new(&self.program);
        command.arg("garbage-collect").args(flags).arg(write_config(config, directory)).env("OTEL_TRACES_EXPORTER", "none");
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat();
        (output.status.success(), text)
    }
}

impl Serving {
    /// Ends it as an operator does; waits until it is gone.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as a crash does; waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // It may have gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_version(program: &Path, version: Version) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2).is_some_and(|word| word.starts_with(version.begins()))
}

fn write_config(config: &Value, directory: &Path) -> PathBuf {
    let mut config = config.clone();
    // The line that tells the address is of this level.
    config["log"]["level"] = "info".into();
    let path = directory.join("stock.yml");
    // JSON is YAML.
    std::fs::write(&path, config.to_string().replace("DIR", directory.to_str().unwrap())).unwrap();
    path
}

/// Copies a log to its file, and tells the address that it names.
fn follow(mut lines: BufReader<impl std::io::Read>, mut log: File, found: &mpsc::Sender<SocketAddr>) {
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
        let _ = std::io::Write::write_all(&mut log, line.as_bytes());
        let said = line.split("listening on ").nth(1).or_else(|| line.split("addresses=[").nth(1));
        let address = said.and_then(|rest| rest.split(['"', ',', ' ', ']']).next());
        if let Some(address) = address.and_then(|text| text.trim().parse().ok()) {
            let _ = found.send(address);
            break;
        }
        line.clear();
    }
    let _ = std::io::copy(&mut lines, &mut log);
}
