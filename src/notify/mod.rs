//! Telling others what happened: events of pushes, pulls, mounts and deletes, sent to the endpoints of `notifications`.
//!
//! Owns the form of an event ([`Event`]), the queue on disk that each endpoint has ([`queue`]), and its delivery ([`courier`]).
//! Knows no request and no repository: who calls says what happened. Invariants: the event of a push, a mount or a delete is on
//! disk when [`Notifier::tell`] returns, so that it outlives a crash right after the answer; each endpoint gets its events in the order
//! in which they were told, at least once; what is queued is bounded, and what finds no place is counted. A pull waits for nothing.

mod breaker;
mod courier;
mod endpoint;
mod error;
mod event;
mod queue;
mod record;
mod references;
mod signature;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::system::uname;
use tracing::{info, warn};
use url::Url;

pub use self::courier::Courier;
pub use self::error::Error;
pub use self::event::{Action, Asker, Event, Source, Target};
pub use self::references::{Reference, references};
pub use self::signature::{InvalidSecret, Secret};

use self::endpoint::Endpoint;
use crate::blocking;
use crate::telemetry::Metrics;

/// `notifications`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the queues lie; made at need.
    pub directory: PathBuf,
    /// The port that the registry listens on, by which events name it.
    pub port: Option<u16>,
    /// Whether the event of a manifest lists what it points to.
    pub references: References,
    /// Who is told.
    pub endpoints: Vec<EndpointOptions>,
}

/// `notifications.events.includereferences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// Events say nothing of them.
    Omitted,
    /// Events list them.
    Included,
}

/// One of `notifications.endpoints`.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// What tells it from the others.
    pub name: String,
    /// Whether it is told anything.
    pub delivery: Delivery,
    /// Where events are posted to.
    pub url: Url,
    /// Headers that go with each, each name with its values.
    pub headers: Vec<(String, Vec<String>)>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many failures in a row bring about the pause.
    pub threshold: u32,
    /// The pause before each attempt from then on.
    pub backoff: Duration,
    /// The media types that are not told of.
    pub ignored_media_types: Vec<String>,
    /// The actions that are not told of.
    pub ignored_actions: Vec<String>,
    /// The key that events are signed with; `None`: they are not.
    pub secret: Option<Secret>,
}

/// `disabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Events are queued and sent.
    On,
    /// No event is queued; what was is kept for another start.
    Off,
}

/// Takes events in.
#[derive(Debug)]
pub struct Notifier {
    source: Source,
    references: References,
    endpoints: Vec<Endpoint>,
}

impl Notifier {
    /// Opens the queue of every endpoint, and removes those that nobody is behind any more. `None`: there is nobody to tell.
    ///
    /// # Errors
    /// A queue cannot be kept where it should lie. One that is broken is no such error: what can be read of it is kept.
    pub async fn open(options: &Options, metrics: &Arc<Metrics>) -> Result<Option<(Self, Vec<Courier>)>, Error> {
        let names: Vec<_> = options.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        let directory = options.directory.clone();
        let left = blocking::run(move || queue::remove_others(&directory, &names)).await?;
        for (name, events) in left {
            warn!(endpoint.name = %name, events.lost = events, "an endpoint is gone from the configuration, and its queue with it");
        }
        let (mut endpoints, mut couriers) = (Vec::new(), Vec::new());
        for endpoint in &options.endpoints {
            if endpoint.delivery == Delivery::Off {
                info!(endpoint.name = %endpoint.name, "an endpoint is disabled and gets no events");
                continue;
            }
            let (endpoint, courier) = endpoint::open(endpoint.clone(), &options.directory, metrics).await?;
            endpoints.push(endpoint);
            couriers.push(courier);
        }
        let host = uname().nodename().to_string_lossy().into_owned();
        let address = options.port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let source = Source { address, instance: uuid::Uuid::now_v7().to_string() };
        let notifier = Self { source, references: options.references, endpoints };
        Ok((!couriers.is_empty()).then_some((notifier, couriers)))
    }

    /// Whether anybody wants to know of such a thing, so that the event is made at all.
    pub fn wants(&self, action: Action, media_type: &str) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.wants(action, media_type))
    }

    /// Who tells, as events name it.
    pub fn source(&self) -> Source {
        self.source.clone()
    }

    /// What the event of a manifest lists of it.
    pub fn references_of(&self, manifest: &[u8]) -> Vec<Reference> {
        match self.references {
            References::Omitted => Vec::new(),
            References::Included => references(manifest),
        }
    }

    /// Queues events that nobody waits for: they may be lost in a crash, and where too much is queued already.
    pub fn mention(&self, event: &Event) {
        let Some(line) = record::line(event) else { return };
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.wants(event.action, &event.target.media_type)) {
            endpoint.offer(&line);
        }
    }

    /// Queues events and waits until they are on disk, all of them in this order. What cannot be written is counted and said, and
    /// is no failure of what it tells of.
    pub async fn tell(&self, events: &[Event]) {
        let mut written = Vec::new();
        for event in events {
            let Some(line) = record::line(event) else { continue };
            for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.wants(event.action, &event.target.media_type)) {
                written.extend(endpoint.put(line.clone()).await);
            }
        }
        for done in written {
            // A queue that is closed has been: the server stops.
            let _ = done.await;
        }
    }
}
