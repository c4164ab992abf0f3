//! The health checks of `health`: each in a round of its own, as often as it is configured.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tracing::{info, warn};

use super::background::chain;
use crate::blocking;
use crate::config::{HealthCheck, HealthSubject};
use crate::http::Health;
use crate::registry::Registry;
use crate::telemetry::HealthKind;

/// Looks again and again. As many failures in a row as the threshold says make the check fail, and one success makes it good.
pub(super) async fn watch(check: HealthCheck, registry: Arc<Registry>, health: Arc<Health>) {
    let mut rounds = interval(check.interval);
    let (mut in_a_row, mut is_failing) = (0, false);
    loop {
        rounds.tick().await;
        match look(&check, &registry).await {
            Ok(()) => {
                in_a_row = 0;
                if std::mem::take(&mut is_failing) {
                    info!(health.check = %check.name, "a health check is good again");
                    health.set(kind(&check.subject), &check.name, None);
                }
            }
            Err(text) => {
                in_a_row += 1;
                if in_a_row < check.threshold {
                    continue;
                }
                if !std::mem::replace(&mut is_failing, true) {
                    warn!(health.check = %check.name, error = %text, "a health check fails, and requests are refused");
                }
                health.set(kind(&check.subject), &check.name, Some(text));
            }
        }
    }
}

fn kind(subject: &HealthSubject) -> HealthKind {
    match subject {
        HealthSubject::Storage => HealthKind::StorageDriver,
        HealthSubject::File(_) => HealthKind::File,
        HealthSubject::Http { .. } => HealthKind::Http,
        HealthSubject::Tcp(_) => HealthKind::Tcp,
    }
}

async fn look(check: &HealthCheck, registry: &Registry) -> Result<(), String> {
    match &check.subject {
        HealthSubject::Storage => registry.check_store().await.map_err(|error| chain(&error)),
        HealthSubject::File(path) => file(path).await,
        HealthSubject::Http { uri, headers, status } => {
            http(uri, headers, *status, check.timeout).await.map_err(|error| format!("{}: {error}", check.name))
        }
        HealthSubject::Tcp(address) => match timeout(check.timeout, TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("{address}: connection failed: {error}")),
            Err(_) => Err(format!("{address}: connection failed: it took too long")),
        },
    }
}

/// A file takes the registry out of service while it is there.
async fn file(path: &Path) -> Result<(), String> {
    let path = path.to_owned();
    match blocking::run(move || path.try_exists()).await {
        Ok(false) => Ok(()),
        Ok(true) => Err("file exists".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Redirects are followed on the host that was named: others are not to see the headers.
fn within_host() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let is_same = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
        if is_same && attempt.previous().len() < 10 { attempt.follow() } else { attempt.stop() }
    })
}

async fn http(uri: &str, headers: &[(String, Vec<String>)], expected: u16, limit: Duration) -> Result<(), String> {
    let while_checking = |error: reqwest::Error| format!("error while checking: {}", chain(&error.without_url()));
    let client = reqwest::Client::builder().timeout(limit).no_proxy().redirect(within_host());
    let client = client.build().map_err(while_checking)?;
    let mut request = client.head(uri);
    for (name, value) in headers.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value))) {
        request = request.header(name, value);
    }
    let status = request.send().await.map_err(while_checking)?.status().as_u16();
    if status == expected { Ok(()) } else { Err(format!("downstream service returned unexpected status: {status}")) }
}
