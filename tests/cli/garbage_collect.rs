//! `garbage-collect`: its lines, its forms, and what it does beside a registry that serves.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{run_with, said};

const CONFIG: &str = "\
version: 0.1
storage:
  filesystem:
    rootdirectory: data
  delete:
    enabled: true
http:
  addr: 127.0.0.1:0
";

/// A directory with a registry's data: one image, and a blob that nothing names.
struct Data {
    directory: TempDir,
    orphan: String,
}

impl Data {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = Self { directory, orphan: sha256("orphan") };
        fs::write(data.path("config.yml"), CONFIG).unwrap();
        for text in ["config", "layer", "orphan"] {
            data.blob(text);
            data.link(&format!("_layers/sha256/{}", sha256(text)), &sha256(text));
        }
        let part = |text| format!(r#"{{"mediaType":"a/b","size":1,"digest":"sha256:{}"}}"#, sha256(text));
        let manifest = format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, part("config"), part("layer"));
        data.blob(&manifest);
        data.link(&format!("_manifests/revisions/sha256/{}", sha256(&manifest)), &sha256(&manifest));
        data.link("_manifests/tags/v1/current", &sha256(&manifest));
        data
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn blob_path(&self, hex: &str) -> PathBuf {
        self.path(&format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    fn blob(&self, text: &str) {
        write(&self.blob_path(&sha256(text)), text);
    }

    fn link(&self, directory: &str, hex: &str) {
        write(&self.path(&format!("data/docker/registry/v2/repositories/team/app/{directory}/link")), &format!("sha256:{hex}"));
    }

    fn collect(&self, flags: &[&str]) -> (i32, String, String) {
        let arguments = [&["garbage-collect"], flags, &["config.yml"]].concat();
        let output = run_with(self.directory.path(), &[], &arguments, "");
        let (code, out, err) = said(&output);
        (code, out.to_owned(), err.to_owned())
    }

    fn has_orphan(&self) -> bool {
        self.blob_path(&self.orphan).try_exists().unwrap()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A registry that serves, until it is dropped.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn on(data: &Data) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
        command.args(["serve", "config.yml"]).current_dir(data.directory.path()).env_clear();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("the registry serves")).unwrap();
        let from = line.find("127.0.0.1:").unwrap();
        let address = line[from..].chars().take_while(|letter| !"], ".contains(*letter)).collect();
        // Whoever writes to a closed pipe is told so; read on.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// The head of the answer to a request without a body.
    fn request(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_dry_run_says_what_the_run_then_does_in_the_lines_of_registry_2() {
    let data = Data::new();
    let (code, dry, _) = data.collect(&["--dry-run"]);
    assert_eq!(code, 0);
    assert!(data.has_orphan());
    let orphan = &data.orphan;
    for line in [
        "team/app".to_owned(),
        format!("team/app: marking blob sha256:{}", sha256("layer")),
        "3 blobs marked, 1 blobs and 0 manifests eligible for deletion".to_owned(),
        format!("blob eligible for deletion: sha256:{orphan}"),
        format!("team/app: layer link eligible for deletion: sha256:{orphan}"),
        "team/app: 0 manifests and 1 layer links would be removed, 6 B referred to".to_owned(),
        "1 blobs, 6 bytes (6 B) would be freed".to_owned(),
    ] {
        assert!(dry.lines().any(|said| said == line), "{line}:\n{dry}");
    }
    assert!(dry.contains("team/app: marking manifest sha256:"), "{dry}");
    let (code, real, _) = data.collect(&[]);
    assert_eq!((code, real), (0, dry.replace("would be ", "")));
    assert!(!data.has_orphan() && data.blob_path(&sha256("layer")).try_exists().unwrap());
}

#[test]
fn the_forms_that_scripts_for_registry_2_use_are_understood() {
    for flags in [&["-dm"][..], &["-d", "-m", "-q"], &["--dry-run=true", "--delete-untagged=true"], &["-d=1", "-m=f"]] {
        let data = Data::new();
        let (code, out, err) = data.collect(flags);
        assert_eq!(code, 0, "{flags:?}: {err}");
        assert_eq!(out.is_empty(), flags.contains(&"-q"), "{flags:?}: {out}");
        assert!(data.has_orphan());
    }
    assert_eq!(Data::new().collect(&["--dry-run=perhaps"]).0, 2);
}

#[test]
fn findings_are_to_be_had_as_json() {
    let data = Data::new();
    let (code, out, _) = data.collect(&["--json", "-d"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!((&found["dry_run"], &found["server"], &found["bytes"]), (&true.into(), &"nobody".into(), &6.into()));
    assert_eq!(found["blobs"][0]["digest"], format!("sha256:{}", data.orphan));
    assert_eq!(found["repositories"][0]["layer_links"].as_array().unwrap().len(), 1);
}

#[test]
fn a_broken_link_is_named_and_the_collection_goes_on() {
    let data = Data::new();
    data.link(&format!("_layers/sha256/{}", sha256("x")), "");
    let (code, _, err) = data.collect(&["-q"]);
    assert_eq!(code, 0);
    assert!(err.contains("team/app: repositories/team/app/_layers/sha256/") && err.contains("holds no digest"), "{err}");
    assert!(!data.has_orphan());
}

#[test]
fn a_directory_without_a_registry_is_a_failure() {
    let data = Data::new();
    fs::remove_dir_all(data.path("data")).unwrap();
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("rootdirectory"), "{err}");
    assert!(!data.path("data").try_exists().unwrap());
}

#[test]
fn beside_a_registry_that_serves_it_has_changes_held_back_and_says_so() {
    let data = Data::new();
    let serving = Serving::on(&data);
    let blob = format!("HEAD /v2/team/app/blobs/sha256:{}", data.orphan);
    assert!(serving.request(&blob).starts_with("HTTP/1.1 200"));
    let (code, out, err) = data.collect(&[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("1 blobs, 6 bytes (6 B) freed"), "{out}");
    assert!(err.contains("takes no pushes and deletes until") && err.contains("takes pushes and deletes again"), "{err}");
    assert!(serving.request(&blob).starts_with("HTTP/1.1 404"));
    assert!(serving.request("POST /v2/team/app/blobs/uploads/").starts_with("HTTP/1.1 202"), "pushes are taken again");
}

#[test]
fn while_changes_are_held_back_they_are_answered_503_and_pulls_go_on() {
    let data = Data::new();
    let serving = Serving::on(&data);
    // As the command does.
    let mut socket = UnixStream::connect(data.path("data/breakwater/control.sock")).unwrap();
    let metadata = fs::metadata(data.path("data")).unwrap();
    socket.write_all(format!("hold {}:{}\n", metadata.dev(), metadata.ino()).as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(&socket).read_line(&mut answer).unwrap();
    assert_eq!(answer, "ok\n");
    let refused = serving.request("POST /v2/team/app/blobs/uploads/");
    assert!(refused.starts_with("HTTP/1.1 503") && refused.to_lowercase().contains("\r\nretry-after: "), "{refused}");
    assert!(refused.contains(r#""code":"UNAVAILABLE""#), "{refused}");
    assert!(serving.request("GET /v2/team/app/tags/list").starts_with("HTTP/1.1 200"));
    drop(socket);
    // The server sees that the command is gone when it sees it.
    while !serving.request("POST /v2/team/app/blobs/uploads/").starts_with("HTTP/1.1 202") {
        std::thread::yield_now();
    }
}

#[test]
fn where_changes_cannot_be_held_back_nothing_is_removed() {
    let data = Data::new();
    let serving = Serving::on(&data);
    let socket = data.path("data/breakwater/control.sock");
    fs::remove_file(&socket).unwrap();
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("nothing was removed"), "{err}");
    // One that answers something else.
    let listener = UnixListener::bind(&socket).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
        stream.write_all(b"error: unknown request\n").unwrap();
    });
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("unknown request"), "{err}");
    answering.join().unwrap();
    assert!(data.has_orphan());
    drop(serving);
}

#[test]
fn a_registry_with_other_data_is_not_asked_to_hold_changes_back() {
    let (data, other) = (Data::new(), Data::new());
    let serving = Serving::on(&other);
    // The state of the one, the data of the other.
    let state = other.path("data/breakwater");
    fs::write(data.path("config.yml"), format!("{CONFIG}state: {}\n", state.display())).unwrap();
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("but with other data than"), "{err}");
    let root = fs::File::open(data.path("data")).unwrap();
    root.try_lock().unwrap();
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("it serves other data"), "{err}");
    drop(serving);
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("but its state is not in"), "{err}");
    assert!(data.has_orphan() && other.has_orphan());
}

#[test]
fn what_lies_beyond_a_symbolic_link_keeps_everything() {
    let data = Data::new();
    let repositories = data.path("data/docker/registry/v2/repositories");
    fs::rename(repositories.join("team/app"), data.path("elsewhere")).unwrap();
    symlink(data.path("elsewhere"), repositories.join("team/app")).unwrap();
    let (code, _, err) = data.collect(&[]);
    assert_eq!(code, 1);
    assert!(err.contains("there is a symbolic link in repositories/team,"), "{err}");
    assert!(data.has_orphan());
}

#[test]
fn a_reader_that_does_not_read_keeps_nobody_from_pushing() {
    let data = Data::new();
    for number in 0..3000 {
        data.blob(&format!("dead {number}"));
    }
    let serving = Serving::on(&data);
    let mut command = Command::new(env!("CARGO_BIN_EXE_breakwater"));
    command.args(["garbage-collect", "config.yml"]).current_dir(data.directory.path()).env_clear();
    let mut collecting = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // More is said than the pipe holds, and nobody has read it when this is over.
    while data.has_orphan() || !serving.request("POST /v2/team/app/blobs/uploads/").starts_with("HTTP/1.1 202") {
        std::thread::yield_now();
    }
    assert_eq!(collecting.try_wait().unwrap(), None, "it still waits to be read");
    collecting.kill().unwrap();
    collecting.wait().unwrap();
}

#[test]
fn a_registry_that_goes_away_meanwhile_ends_the_collection() {
    let data = Data::new();
    let serving = Serving::on(&data);
    let socket = data.path("data/breakwater/control.sock");
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    // Says that it holds, and is gone before anything can have been removed: what it has pushed takes long to read.
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
        stream.write_all(b"ok\nerror: gone\n").unwrap();
    });
    let (code, _, err) = data.collect(&[]);
    answering.join().unwrap();
    assert_eq!(code, 1);
    assert!(err.contains("nothing more is removed") || err.contains("does not say that it takes"), "{err}");
    drop(serving);
}

#[test]
fn no_registry_starts_while_garbage_is_collected_and_no_second_collection() {
    let data = Data::new();
    let lock = fs::File::open(data.path("data/docker")).unwrap();
    lock.try_lock().unwrap();
    for arguments in [&["serve", "config.yml"][..], &["garbage-collect", "config.yml"]] {
        let output = run_with(data.directory.path(), &[], arguments, "");
        let (code, _, err) = said(&output);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(err.contains("garbage is being collected in this directory"), "{arguments:?}: {err}");
    }
    assert!(data.has_orphan());
}
