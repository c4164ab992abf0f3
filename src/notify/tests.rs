//! Envelopes as registry 3 writes them, and queues that outlive what may happen to them.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use time::macros::datetime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::event::Actor;
use super::queue::{self, Found, Position, Reader, Writer};
use super::*;

/// Sent by registry 3.1.2 for a push by tag.
const GOLDEN: &str = include_str!("tests/envelope.json");

fn event(tag: &str) -> Event {
    let target = Target::removed_tag("a/b", tag);
    // Of one time, since a line is shorter when that ends in a zero.
    let timestamp = datetime!(2026-11-21 22:33:09.695147569 UTC);
    Event { timestamp, ..Event::new(Action::Delete, target, Asker::default(), String::new(), Source::default()) }
}

fn line(tag: &str) -> Vec<u8> {
    record::line(&event(tag)).unwrap()
}

fn append(writer: &mut Writer, tags: &[&str]) {
    for tag in tags {
        writer.append(&line(tag)).unwrap();
    }
    writer.sync().unwrap();
}

/// The tags that wait, `-` for a line that is broken, and all of them delivered.
fn drain(reader: &mut Reader, end: Position) -> Vec<String> {
    let mut tags = Vec::new();
    loop {
        let entries = reader.next(end).unwrap();
        if entries.is_empty() {
            return tags;
        }
        for entry in entries {
            reader.delivered(&entry).unwrap();
            tags.push(entry.event.map_or_else(|| "-".to_owned(), |event| event.target.tag));
        }
    }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    paths
}

#[test]
fn an_envelope_is_registry_3s_byte_for_byte() {
    let manifest = br#"{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"size": 420, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest":
         "sha256:8cf26b7ffc0f798adbe0d7e28bbe010cb576dfc6bc29500935b423749d301313",
         "platform": {"os": "linux", "architecture": "amd64"}}]}"#;
    let digest = "sha256:694c976afcc015d480eb0aba7045723a194bbf0f9208e6070a1fb9165143659a";
    let url = format!("http://127.0.0.1:7103/v2/a/b/manifests/{digest}");
    let target = Target::of("a/b", "application/vnd.oci.image.index.v1+json", digest, 299, url);
    let event = Event {
        id: "01a2003d-f33f-723d-bafc-2d9643793660".into(),
        timestamp: datetime!(2026-11-21 22:33:09.695147569 UTC),
        action: Action::Push,
        target: Target { tag: "idx".into(), references: references(manifest), ..target },
        request: Asker {
            id: "01a2003d-f335-75c8-b748-c8c3e8da9bbe".into(),
            address: "127.0.0.1:38448".into(),
            host: "127.0.0.1:7103".into(),
            method: "PUT".into(),
            user_agent: "probe/1".into(),
        },
        actor: Actor::default(),
        source: Source { address: "vm:7103".into(), instance: "01a2003d-e966-79a3-bbdb-48ce1501bdad".into() },
    };
    assert_eq!(String::from_utf8(event.envelope()).unwrap(), GOLDEN.trim_end());
    assert_eq!(record::event(record::line(&event).unwrap().strip_suffix(b"\n").unwrap()), Some(event));
}

#[test]
fn an_event_of_what_was_removed_has_an_empty_descriptor() {
    let text = String::from_utf8(event("v1").envelope()).unwrap();
    let target = "\"target\": {\n            \"mediaType\": \"\",\n            \"digest\": \"\",\n            \"size\": 0,\n            \
                  \"repository\": \"a/b\",\n            \"tag\": \"v1\"\n         }";
    assert!(text.contains(target), "{text}");
    assert!(text.contains("\"actor\": {},"), "{text}");
}

#[test]
fn what_is_no_manifest_has_no_references() {
    for manifest in ["", "[]", "{\"layers\": 7}", "{\"schemaVersion\": 1}"] {
        assert_eq!(references(manifest.as_bytes()), [], "{manifest}");
    }
}

#[test]
fn a_queue_goes_on_where_it_was_left() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, mut reader, found) = queue::open(directory.path()).unwrap();
    assert_eq!(found, Found::default());
    append(&mut writer, &["1", "2", "3"]);
    let entries = reader.next(writer.end()).unwrap();
    reader.delivered(&entries[0]).unwrap();
    drop((writer, reader));
    let (mut writer, mut reader, found) = queue::open(directory.path()).unwrap();
    assert_eq!((found.events, found.broken), (2, 0));
    assert_eq!(found.bytes, (line("2").len() + line("3").len()) as u64);
    append(&mut writer, &["4"]);
    assert_eq!(drain(&mut reader, writer.end()), ["2", "3", "4"]);
    drop((writer, reader));
    let (_, _, found) = queue::open(directory.path()).unwrap();
    assert_eq!(found, Found::default());
}

#[test]
fn what_is_half_written_or_broken_is_stepped_over() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, _, _) = queue::open(directory.path()).unwrap();
    append(&mut writer, &["1", "2", "3"]);
    let path = segments(directory.path()).remove(0);
    let text = fs::read_to_string(&path).unwrap().replace("\"tag\":\"2\"", "\"tag\":\"9\"");
    fs::write(&path, text).unwrap();
    let half = line("4");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&half[..half.len() / 2]).unwrap();
    let (mut writer, mut reader, found) = queue::open(directory.path()).unwrap();
    assert_eq!((found.events, found.broken), (4, 2));
    append(&mut writer, &["5"]);
    assert_eq!(drain(&mut reader, writer.end()), ["1", "-", "3", "-", "5"]);
}

#[test]
fn a_cursor_that_cannot_be_read_has_all_delivered_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, mut reader, _) = queue::open(directory.path()).unwrap();
    append(&mut writer, &["1", "2"]);
    assert_eq!(drain(&mut reader, writer.end()).len(), 2);
    for text in ["", "0000 x\n", "\0\0\0\0", "00000000000000000001 0000"] {
        fs::write(directory.path().join("delivered"), text).unwrap();
        let (writer, mut reader, found) = queue::open(directory.path()).unwrap();
        assert_eq!(found.events, 2, "{text:?}");
        let entries = reader.next(writer.end()).unwrap();
        assert_eq!(entries.iter().filter(|entry| entry.event.is_some()).count(), 2, "{text:?}");
    }
}

#[test]
fn segments_that_are_done_with_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut writer, mut reader, _) = queue::open(directory.path()).unwrap();
    let tags: Vec<_> = (0..6000).map(|number| number.to_string()).collect();
    append(&mut writer, &tags.iter().map(String::as_str).collect::<Vec<_>>());
    let count = segments(directory.path()).len();
    assert!(count > 1, "{count}");
    assert_eq!(drain(&mut reader, writer.end()), tags);
    assert_eq!(segments(directory.path()).len(), 1);
    // One that somebody has taken away is not waited for.
    append(&mut writer, &tags.iter().map(String::as_str).collect::<Vec<_>>());
    fs::remove_file(&segments(directory.path())[1]).unwrap();
    let left = drain(&mut reader, writer.end());
    assert!(left.len() < tags.len() && left.last() == tags.last(), "{}", left.len());
}

#[test]
fn the_queues_of_endpoints_that_are_gone_go_and_the_others_stay() {
    let directory = tempfile::tempdir().unwrap();
    let names = ["one", "../two", "", ".three"].map(str::to_owned);
    for name in &names {
        let (mut writer, _, _) = queue::open(&directory.path().join(queue::directory_name(name))).unwrap();
        append(&mut writer, &["1"]);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4, "each lies in this directory");
    assert_eq!(queue::remove_others(directory.path(), &names).unwrap(), []);
    assert_eq!(queue::remove_others(directory.path(), &names[1..]).unwrap(), [("one".to_owned(), 1)]);
    assert_eq!(queue::remove_others(&directory.path().join("none"), &names).unwrap(), []);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

fn options(directory: &TempDir, ignored: (&[&str], &[&str])) -> Options {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let endpoint = EndpointOptions {
        name: "one".into(),
        delivery: Delivery::On,
        // Nobody is there.
        url: Url::parse("http://127.0.0.1:1/").unwrap(),
        headers: Vec::new(),
        timeout: Duration::from_secs(1),
        threshold: 1,
        backoff: Duration::from_secs(3600),
        ignored_media_types: owned(ignored.0),
        ignored_actions: owned(ignored.1),
        secret: None,
    };
    Options { directory: directory.path().join("events"), port: Some(5000), references: References::Omitted, endpoints: vec![endpoint] }
}

async fn opened(directory: &TempDir) -> (Notifier, Courier, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new("test"));
    let (notifier, mut couriers) = Notifier::open(&options(directory, (&[], &[])), &metrics).await.unwrap().unwrap();
    (notifier, couriers.remove(0), metrics)
}

fn shows(metrics: &Metrics, line: &str) -> bool {
    metrics.render().lines().any(|found| found == line)
}

#[tokio::test]
async fn an_endpoint_is_not_told_of_what_it_ignores() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(&directory, (&["application/octet-stream"], &["pull"]));
    let (notifier, _couriers) = Notifier::open(&options, &Arc::new(Metrics::new("test"))).await.unwrap().unwrap();
    assert!(notifier.wants(Action::Push, "application/json"));
    assert!(notifier.wants(Action::Delete, ""));
    assert!(!notifier.wants(Action::Push, "application/octet-stream"));
    assert!(!notifier.wants(Action::Pull, "application/json"));
    let nobody = Options { endpoints: Vec::new(), ..options };
    assert!(Notifier::open(&nobody, &Arc::new(Metrics::new("test"))).await.unwrap().is_none());
}

#[tokio::test]
async fn what_has_been_told_is_on_disk_at_once_and_a_pull_when_the_server_stops() {
    let directory = tempfile::tempdir().unwrap();
    let (notifier, courier, _) = opened(&directory).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(courier.run(stop.clone()));
    notifier.tell(&[event("1"), event("2")]).await;
    let queue = directory.path().join("events/one");
    assert_eq!(fs::read_to_string(&segments(&queue)[0]).unwrap().lines().count(), 2);
    notifier.mention(&event("3"));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(fs::read_to_string(&segments(&queue)[0]).unwrap().lines().count(), 3);
    let (_, _, metrics) = opened(&directory).await;
    assert!(shows(&metrics, "registry_notifications_pending_total{endpoint=\"one\"} 3"), "{}", metrics.render());
}

#[tokio::test]
async fn a_full_queue_refuses_pulls_before_pushes_and_fails_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (notifier, courier, metrics) = opened(&directory).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(courier.run(stop.clone()));
    let big = event(&"x".repeat(1 << 20));
    let lost = |count| format!("breakwater_notifications_lost_total{{endpoint=\"one\",reason=\"full\"}} {count}");
    for _ in 0..32 {
        notifier.tell(std::slice::from_ref(&big)).await;
    }
    notifier.mention(&big);
    assert!(shows(&metrics, &lost(1)), "{}", metrics.render());
    for _ in 32..64 {
        notifier.tell(std::slice::from_ref(&big)).await;
    }
    assert!(shows(&metrics, &lost(2)), "the last one finds no place: {}", metrics.render());
    assert!(shows(&metrics, "registry_notifications_events_total{endpoint=\"one\",type=\"Events\"} 63"), "{}", metrics.render());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_counted_and_fails_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (notifier, courier, metrics) = opened(&directory).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(courier.run(stop.clone()));
    let queue = directory.path().join("events/one");
    fs::remove_dir_all(&queue).unwrap();
    notifier.tell(&[event("1")]).await;
    assert!(shows(&metrics, "breakwater_notifications_lost_total{endpoint=\"one\",reason=\"unwritable\"} 1"), "{}", metrics.render());
    fs::create_dir(&queue).unwrap();
    notifier.tell(&[event("2")]).await;
    assert_eq!(fs::read_to_string(&segments(&queue)[0]).unwrap().lines().count(), 1);
    stop.cancel();
    running.await.unwrap();
}
