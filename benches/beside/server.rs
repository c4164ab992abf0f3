//! Starting a registry, and reading off what it costs.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::CertificateDer;

use super::client::Target;

/// The one user of servers that ask for a password.
pub(crate) const USER: (&str, &str) = ("bench", "correct horse battery staple");

/// Which registry runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// This one.
    Ours,
    /// The stock one.
    Stock,
}

/// Whether a server asks for a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// It does not.
    Open,
    /// By Basic, with a bcrypt hash of cost 10.
    Basic,
}

/// What the servers of a run share.
pub(crate) struct Bench {
    stock: String,
    root: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it answers.
    pub(crate) target: Target,
}

impl Bench {
    /// Makes a certificate.
    pub(crate) fn new(stock: &str) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(root.path().join("tls.crt"), pair.cert.pem())?;
        fs::write(root.path().join("tls.key"), pair.signing_key.serialize_pem())?;
        Ok(Self { stock: stock.to_owned(), root, certificate: pair.cert.der().clone() })
    }

    /// Where something of this run lies.
    pub(crate) fn place(&self, name: &str) -> String {
        self.root.path().join(name).display().to_string()
    }

    /// Writes a password file with hashes of a cost, and says where it is in `auth`.
    pub(crate) fn auth(&self, users: &[(&str, &str)], cost: u32) -> Result<String> {
        let path = self.place("htpasswd");
        let lines: Result<String, _> =
            users.iter().map(|(user, password)| bcrypt::hash(password, cost).map(|hash| format!("{user}:{hash}\n"))).collect();
        fs::write(&path, lines?)?;
        Ok(format!("auth: {{htpasswd: {{realm: bench, path: {path}}}}}\n"))
    }

    /// Starts a server on a store of its own, which is kept when the label was used before.
    pub(crate) fn start(&self, which: Which, login: Login, label: &str) -> Result<Server> {
        match login {
            Login::Open => self.start_with(which, "", label),
            Login::Basic => {
                let mut server = self.start_with(which, &self.auth(&[USER], 10)?, label)?;
                server.target = server.target.basic(USER);
                Ok(server)
            }
        }
    }

    /// The same, with more sections in its configuration.
    pub(crate) fn start_with(&self, which: Which, sections: &str, label: &str) -> Result<Server> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = self.write_config(which, sections, label, port)?;
        let program = self.program(which);
        let process = Command::new(program).arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.with_context(|| format!("{program} cannot be started"))?;
        let server = Server { process, target: Target::new(port, self.certificate.clone())? };
        server.wait()?;
        Ok(server)
    }

    fn program(&self, which: Which) -> &str {
        match which {
            Which::Ours => env!("CARGO_BIN_EXE_breakwater"),
            Which::Stock => &self.stock,
        }
    }

    /// Where the store of a label lies.
    pub(crate) fn store(&self, which: Which, label: &str) -> PathBuf {
        self.place(&format!("{which:?}-{label}")).into()
    }

    /// Collects the garbage of a label's store, on which no server is; what was said of it.
    pub(crate) fn collect(&self, which: Which, label: &str) -> Result<String> {
        let config = self.write_config(which, "", label, 0)?;
        let output = Command::new(self.program(which)).arg("garbage-collect").arg(&config).stderr(Stdio::null()).output()?;
        anyhow::ensure!(output.status.success(), "garbage-collect fails");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn write_config(&self, which: Which, sections: &str, label: &str, port: u16) -> Result<PathBuf> {
        let store = self.store(which, label);
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n{sections}\
             http: {{addr: 127.0.0.1:{port}, tls: {{certificate: {}, key: {}}}}}\n",
            store.display(),
            self.place("tls.crt"),
            self.place("tls.key"),
        );
        let path = store.with_extension("yml");
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Server {
    /// User and system time so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = text.rsplit_once(')').context("no stat line")?.1.split_whitespace().collect();
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }

    /// A figure of `/proc/PID/status` that is given in kB, in MiB.
    pub(crate) fn memory_mib(&self, field: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = text.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse::<f64>()? / 1024.0)
    }

    fn wait(&self) -> Result<()> {
        let started = Instant::now();
        while std::net::TcpStream::connect(self.target.address()).is_err() {
            if started.elapsed() > Duration::from_secs(20) {
                bail!("a server does not answer");
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
