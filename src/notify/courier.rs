//! Delivery: the events of one endpoint, one after the other, each until it has arrived.
//!
//! An answer of 2xx or 3xx says that it has; no redirect is followed. Anything else is tried again for ever, first at once and after
//! some failures in a row with a pause before each attempt. A slow endpoint holds nobody up but itself.

use std::sync::Arc;
use std::time::Instant;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use reqwest::{Client, redirect};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::breaker::Breaker;
use super::endpoint::{Fill, Scribe};
use super::error::Error;
use super::event::MEDIA_TYPE;
use super::queue::{Entry, Position, Reader};
use super::{EndpointOptions, Event};
use crate::blocking;
use crate::telemetry::{Attempt, Lost};

const AGENT: &str = concat!("breakwater/", env!("CARGO_PKG_VERSION"));

/// Carries the events of one endpoint: into its queue, and out of it.
#[derive(Debug)]
pub struct Courier {
    scribe: Scribe,
    carrier: Carrier,
}

/// What carries them out.
#[derive(Debug)]
struct Carrier {
    options: EndpointOptions,
    client: Client,
    headers: HeaderMap,
    reader: Reader,
    written: watch::Receiver<Position>,
    fill: Arc<Fill>,
    breaker: Breaker,
    is_failing: bool,
}

/// Why an event has not arrived.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Transport(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
}

impl Courier {
    pub(super) async fn new(
        options: EndpointOptions,
        scribe: Scribe,
        reader: Reader,
        written: watch::Receiver<Position>,
        fill: Arc<Fill>,
    ) -> Result<Self, Error> {
        let headers = headers(&options)?;
        let timeout = options.timeout;
        // To make one reads the certificates of the system.
        let made = blocking::run(move || Client::builder().redirect(redirect::Policy::none()).timeout(timeout).user_agent(AGENT).build());
        let client = made.await.map_err(|source| Error::Client { name: options.name.clone(), source })?;
        let breaker = Breaker::new(options.threshold, options.backoff);
        let carrier = Carrier { options, client, headers, reader, written, fill, breaker, is_failing: false };
        Ok(Self { scribe, carrier })
    }

    /// Works until everything stops. What has been told by then is on disk at the end; what is not delivered is so after a start.
    pub async fn run(self, stop: CancellationToken) {
        let delivery = stop.clone().run_until_cancelled_owned(self.carrier.deliver());
        tokio::join!(self.scribe.write(stop), delivery);
    }
}

impl Carrier {
    async fn deliver(mut self) {
        loop {
            let end = *self.written.borrow_and_update();
            loop {
                let (this, entries) = self.read(end).await;
                self = this;
                let Some(entries) = entries else { break };
                for entry in entries {
                    self = self.carry(entry).await;
                }
            }
            // When another one has come meanwhile, this returns at once.
            if self.written.changed().await.is_err() {
                return;
            }
        }
    }

    /// What waits before a place in the queue, a part at a time; `None`: nothing does.
    async fn read(mut self, end: Position) -> (Self, Option<Vec<Entry>>) {
        let (this, entries) = blocking::run(move || {
            let entries = self.reader.next(end);
            (self, entries)
        })
        .await;
        match entries {
            Ok(entries) => (this, (!entries.is_empty()).then_some(entries)),
            Err(error) => {
                warn!(endpoint.name = %this.options.name, %error, "a part of the queue cannot be read, and is stepped over");
                (this, Some(Vec::new()))
            }
        }
    }

    async fn carry(mut self, entry: Entry) -> Self {
        match &entry.event {
            Some(event) => self.send_until_it_arrives(event).await,
            None => {
                warn!(endpoint.name = %self.options.name, "an event in the queue is broken, and is stepped over");
                self.fill.series.lost(Lost::Broken, 1);
            }
        }
        self.fill.leave(entry.bytes);
        let (this, noted) = blocking::run(move || {
            let noted = self.reader.delivered(&entry);
            (self, noted)
        })
        .await;
        if let Err(error) = noted {
            warn!(endpoint.name = %this.options.name, %error, "it cannot be written down how far events are delivered");
        }
        this
    }

    async fn send_until_it_arrives(&mut self, event: &Event) {
        let body = bytes::Bytes::from(event.envelope());
        loop {
            tokio::time::sleep(self.breaker.pause(Instant::now())).await;
            match self.send(event, body.clone()).await {
                Ok(()) => {
                    self.breaker.success();
                    if std::mem::take(&mut self.is_failing) {
                        info!(endpoint.name = %self.options.name, "events are delivered again");
                    }
                    return;
                }
                Err(fault) => {
                    self.breaker.failure(Instant::now());
                    if !std::mem::replace(&mut self.is_failing, true) {
                        let error = chain(&fault);
                        warn!(endpoint.name = %self.options.name, %error, "an event cannot be delivered; it is tried until it can");
                    }
                }
            }
        }
    }

    async fn send(&self, event: &Event, body: bytes::Bytes) -> Result<(), Fault> {
        let mut headers = self.headers.clone();
        if let Some(secret) = &self.options.secret {
            let timestamp = OffsetDateTime::now_utc().unix_timestamp();
            let signature = secret.sign(&event.id, timestamp, &body);
            for (name, value) in
                [("webhook-id", event.id.clone()), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)]
            {
                headers.insert(name, HeaderValue::try_from(value).expect("ids, numbers and base64 are plain text"));
            }
        }
        let series = &self.fill.series;
        let sent = self.client.post(self.options.url.clone()).headers(headers).body(body).send().await;
        let status = sent.map_err(|error| error.without_url()).inspect_err(|_| series.attempt(Attempt::Error))?.status();
        series.status(&format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default()));
        if status.is_success() || status.is_redirection() {
            series.attempt(Attempt::Success);
            return Ok(());
        }
        series.attempt(Attempt::Failure);
        Err(Fault::Status(status))
    }
}

/// What goes with each request: the configured headers stand beside ours.
fn headers(options: &EndpointOptions) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))]);
    for (name, values) in &options.headers {
        let invalid = || Error::Header { name: options.name.clone(), header: name.clone() };
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
        for value in values {
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.append(parsed.clone(), value);
        }
    }
    Ok(headers)
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
