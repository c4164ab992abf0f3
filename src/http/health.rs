//! What the health checks have found: while one fails, requests are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::telemetry::{HealthKind, Metrics};

/// The check that somebody sets by hand, at the debug listener.
const BY_HAND: &str = "manual_http_status";

/// The checks that fail.
#[derive(Debug)]
pub struct Health {
    failing: ArcSwap<BTreeMap<String, Failure>>,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Debug)]
struct Failure {
    kind: HealthKind,
    text: String,
}

impl Health {
    /// Nothing fails.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { failing: ArcSwap::default(), metrics }
    }

    /// A check has failed, and says why; or no longer does.
    pub fn set(&self, kind: HealthKind, name: &str, failure: Option<String>) {
        let failing = self.failing.rcu(|failing| {
            let mut failing = BTreeMap::clone(failing);
            match &failure {
                Some(text) => failing.insert(name.to_owned(), Failure { kind, text: text.clone() }),
                None => failing.remove(name),
            };
            failing
        });
        drop(failing);
        let count = self.failing.load().values().filter(|failure| failure.kind == kind).count();
        self.metrics.set_failing_checks(kind, count);
    }

    /// Takes the registry out of service by hand, or puts it back.
    pub(super) fn set_by_hand(&self, failure: Option<String>) {
        self.set(HealthKind::Manual, BY_HAND, failure);
    }

    /// Whether nothing fails.
    pub(super) fn is_good(&self) -> bool {
        self.failing.load().is_empty()
    }

    /// Each check that fails, with its text, as registry:2 shows them.
    pub(super) fn report(&self) -> BTreeMap<String, String> {
        self.failing.load().iter().map(|(name, failure)| (name.clone(), failure.text.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failing_check_suffices_and_each_is_named() {
        let metrics = Arc::new(Metrics::new("test"));
        let health = Health::new(Arc::clone(&metrics));
        assert!(health.is_good());
        health.set(HealthKind::File, "/a", Some("file exists".to_owned()));
        health.set(HealthKind::File, "/b", Some("file exists".to_owned()));
        health.set(HealthKind::File, "/a", None);
        assert!(!health.is_good());
        assert_eq!(health.report(), BTreeMap::from([("/b".to_owned(), "file exists".to_owned())]));
        assert!(metrics.render().contains("breakwater_health_checks_failing{kind=\"file\"} 1"));
        health.set(HealthKind::File, "/b", None);
        assert!(health.is_good());
    }
}
