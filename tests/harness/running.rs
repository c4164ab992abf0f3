//! A server in a thread of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use breakwater::auth::{MachineTokenFile, TokenPurpose};
use breakwater::server::Server;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use super::{ALICE, BOB, Certificate, Client, Identity, Setup};

/// A registry that serves, and the directory it serves from.
pub(crate) struct Running {
    pub(crate) setup: Setup,
    pub(crate) certificate: Certificate,
    pub(crate) address: SocketAddr,
    /// Of the debug listener, where there is one.
    pub(crate) debug_address: Option<SocketAddr>,
    directory: TempDir,
    thread: Option<Thread>,
}

struct Thread {
    orders: mpsc::UnboundedSender<Order>,
    handle: JoinHandle<()>,
}

#[derive(Debug)]
struct Addresses {
    api: SocketAddr,
    debug: Option<SocketAddr>,
}

enum Order {
    Reload(oneshot::Sender<Result<(), String>>),
    Stop,
}

impl Running {
    pub(super) async fn start(setup: Setup) -> Self {
        Self::start_in(setup, tempfile::tempdir().unwrap()).await
    }

    /// Starts on a directory that holds something already.
    pub(crate) async fn start_in(setup: Setup, directory: TempDir) -> Self {
        let certificate = Certificate::authority();
        certificate.issue(directory.path());
        std::fs::write(directory.path().join("authority.crt"), &certificate.authority).unwrap();
        let (Addresses { api, debug }, thread) = serve(&setup, directory.path()).await.unwrap();
        let running = Self { setup, certificate, address: api, debug_address: debug, directory, thread: Some(thread) };
        running.write_users(&[ALICE, BOB]);
        running.reload().await;
        running
    }

    /// Stops the server and starts another one on the same directory, on another port.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    pub(crate) async fn start_again(&mut self) {
        let (Addresses { api, debug }, thread) = serve(&self.setup, self.path()).await.unwrap();
        (self.address, self.debug_address, self.thread) = (api, debug, Some(thread));
    }

    pub(crate) async fn stop(&mut self) {
        let Thread { orders, handle } = self.thread.take().unwrap();
        orders.send(Order::Stop).unwrap();
        breakwater::blocking::run(move || handle.join()).await.unwrap();
    }

    /// What a second server on the same directory says.
    pub(crate) async fn refusal_of_a_second(&self) -> String {
        serve(&self.setup, self.path()).await.err().unwrap()
    }

    /// As a SIGHUP does; what cannot be used is left at that.
    pub(crate) async fn reload(&self) {
        let _ = self.try_reload().await;
    }

    /// The same, and what cannot be used.
    pub(crate) async fn try_reload(&self) -> Result<(), String> {
        let (done, waiting) = oneshot::channel();
        self.thread.as_ref().unwrap().orders.send(Order::Reload(done)).unwrap_or_else(|_| panic!("the server is gone"));
        waiting.await.unwrap()
    }

    /// The password file with these users, hashed at the lowest cost. Replaced whole, as the registry must never see half of it.
    pub(crate) fn write_users(&self, users: &[(&str, &str)]) {
        let line = |(user, password): &(&str, &str)| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
        self.replace("htpasswd", &users.iter().map(line).collect::<String>());
    }

    /// Changes a key of the configuration file, written with dots. Nobody is told.
    pub(crate) fn configure(&mut self, key: &str, value: impl Into<Value>) {
        self.setup = self.setup.clone().set(key, value);
        write_config(&self.setup, self.path());
    }

    /// Puts a file in the place of an old one, whole.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        replace(&self.path().join(name), text);
    }

    /// Makes a machine token; what it logs in with.
    pub(crate) async fn robot(&self, name: &str, repositories: &[&str], actions: &[&str]) -> (String, String) {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let purpose = TokenPurpose::new(name, owned(repositories), &owned(actions), None).unwrap();
        let state = self.path().join("data/breakwater");
        let secret = MachineTokenFile::open(&state).unwrap().create(purpose, 1).unwrap().unwrap();
        self.reload().await;
        (format!("robot${name}"), secret.to_string())
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where `repositories` and `blobs` lie.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("data/docker/registry/v2")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address, self.setup.is_tls.then_some(self.certificate.authority.as_str()), None)
    }

    /// A client of the debug listener.
    pub(crate) fn debug_client(&self) -> Client {
        Client::of_debug(self.debug_address.unwrap())
    }

    /// A client that shows a certificate.
    pub(crate) fn client_showing(&self, identity: &Identity) -> Client {
        Client::new(self.address, Some(&self.certificate.authority), Some(identity))
    }

    /// A client that sends a password with each request.
    pub(crate) fn alice(&self) -> Client {
        self.client().basic(ALICE)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(Thread { orders, handle }) = self.thread.take() {
            // A server that is gone already has said why.
            let _ = orders.send(Order::Stop);
            let _ = handle.join();
        }
    }
}

/// Starts a server as the program does, from a file; its addresses, or why it does not start.
async fn serve(setup: &Setup, directory: &Path) -> Result<(Addresses, Thread), String> {
    let path = write_config(setup, directory);
    let loaded = breakwater::config::load(&path, []).unwrap_or_else(|error| panic!("{error}"));
    let (orders, mut coming) = mpsc::unbounded_channel();
    let (started, starting) = oneshot::channel();
    let serve = async move {
        let server = match Server::start(loaded).await {
            Ok(server) => server,
            Err(error) => return started.send(Err(format!("{error:#}"))).unwrap(),
        };
        let addresses = Addresses { api: server.addresses()[0], debug: server.debug_addresses().first().copied() };
        started.send(Ok(addresses)).unwrap();
        while let Some(Order::Reload(done)) = coming.recv().await {
            done.send(server.reload().await).unwrap();
        }
        server.stop().await.unwrap();
    };
    let handle = std::thread::spawn(move || actix_web::rt::System::new().block_on(serve));
    starting.await.unwrap().map(|addresses| (addresses, Thread { orders, handle }))
}

fn write_config(setup: &Setup, directory: &Path) -> PathBuf {
    let path = directory.join("config.yml");
    replace(&path, &setup.config.to_string().replace("DIR", directory.to_str().unwrap()));
    path
}

fn replace(path: &Path, text: &str) {
    let staged = path.with_extension("new");
    std::fs::write(&staged, text).unwrap();
    std::fs::rename(staged, path).unwrap();
}
