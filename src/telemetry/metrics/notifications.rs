//! The series of `notifications`: those of registry:2, and how many events are lost.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::Maker;
use crate::telemetry::labels::{Attempt, Label as _, Lost};

/// Those of all endpoints.
#[derive(Debug)]
pub(super) struct Notifications {
    events: IntCounterVec,
    pending: IntGaugeVec,
    status: IntCounterVec,
    lost: IntCounterVec,
}

/// Those of one endpoint, whose name the configuration gives.
#[derive(Clone, Debug)]
pub struct NotificationSeries {
    name: String,
    events: IntCounter,
    attempts: Vec<IntCounter>,
    pending: IntGauge,
    status: IntCounterVec,
    lost: Vec<IntCounter>,
}

impl Notifications {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            events: make.counters("registry_notifications_events_total", "The number of total events", &["endpoint", "type"]),
            pending: make.int_gauges("registry_notifications_pending_total", "The gauge of pending events in queue", &["endpoint"]),
            status: make.counters("registry_notifications_status_total", "The number of status code", &["code", "endpoint"]),
            lost: make.counters(
                "breakwater_notifications_lost_total",
                "Events that an endpoint will never get, by why.",
                &["endpoint", "reason"],
            ),
        }
    }

    pub(super) fn of(&self, endpoint: &str) -> NotificationSeries {
        let events = |kind: &str| self.events.with_label_values(&[endpoint, kind]);
        NotificationSeries {
            name: endpoint.to_owned(),
            events: events("Events"),
            attempts: Attempt::ALL.iter().map(|attempt| events(attempt.text())).collect(),
            pending: self.pending.with_label_values(&[endpoint]),
            status: self.status.clone(),
            lost: Lost::ALL.iter().map(|reason| self.lost.with_label_values(&[endpoint, reason.text()])).collect(),
        }
    }
}

impl NotificationSeries {
    /// Events have come into the queue.
    pub fn queued(&self, count: u64) {
        self.events.inc_by(count);
        self.pending(count.cast_signed());
    }

    /// So many more events are in the queue.
    pub fn pending(&self, count: i64) {
        self.pending.add(count);
    }

    /// An attempt to deliver one is over.
    pub fn attempt(&self, attempt: Attempt) {
        self.attempts[attempt as usize].inc();
    }

    /// An answer has come; `status` is its code with the phrase of the standard.
    pub fn status(&self, status: &str) {
        self.status.with_label_values(&[status, &self.name]).inc();
    }

    /// Events are lost.
    pub fn lost(&self, reason: Lost, count: u64) {
        self.lost[reason as usize].inc_by(count);
    }
}
