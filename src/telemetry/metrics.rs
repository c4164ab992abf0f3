//! The metrics: every series is named here or in `notifications`, once.
//!
//! The names of registry:2 (`registry_…`) keep their types and labels, so that its dashboards go on working; ours (`breakwater_…`) stand
//! beside them. Invariant: the values of labels come from closed sets or the configuration; none holds a repository, a user or a path.

mod notifications;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use self::notifications::NotificationSeries;
use super::labels::{Direction, Endpoint, Grant, HealthKind, Label, Limit, Log, LoginOutcome, Method, Outcome, StorageAction};

/// Bounds of request durations, in seconds, as registry:2 has them.
const DURATIONS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0];

/// Bounds of the time of a storage action, in seconds, as registry:2 has them.
const ACTION_DURATIONS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Powers of two from 1 KiB to 2 GiB, as registry:2 has them.
fn sizes() -> Vec<f64> {
    (10..32).map(|power| f64::from(1u32 << power)).collect()
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    by_endpoint: Vec<EndpointSeries>,
    storage: Vec<Histogram>,
    cache: Cache,
    logins: IntCounterVec,
    tokens: IntCounterVec,
    limited: IntCounterVec,
    bytes: IntCounterVec,
    connections: IntGauge,
    certificate_expiry: Gauge,
    certificate_renewals: IntCounterVec,
    certificate_renewal_success: IntGauge,
    reloads: IntCounterVec,
    reload_success: IntGauge,
    reload_time: Gauge,
    storage_free: IntGauge,
    storage_size: IntGauge,
    uploads_open: IntGauge,
    uploads_purged: IntCounter,
    lost_lines: IntCounterVec,
    failing_checks: IntGaugeVec,
    notifications: notifications::Notifications,
}

/// The series of one endpoint that every request touches.
#[derive(Debug)]
struct EndpointSeries {
    in_flight: IntGauge,
    request_size: Histogram,
    response_size: Histogram,
}

/// The cache of manifests, under the names of both lines of registry:2's versions.
#[derive(Debug)]
struct Cache {
    by_type: IntCounterVec,
    requests: IntCounter,
    hits: IntCounter,
}

/// A request that has been answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// What was asked for.
    pub endpoint: Endpoint,
    /// How.
    pub method: Method,
    /// The status of the answer.
    pub status: u16,
    /// From the head of the request to the end of the answer.
    pub duration: Duration,
    /// The bytes of the request's body.
    pub received: u64,
    /// The bytes of the answer's body.
    pub sent: u64,
}

impl Metrics {
    /// All series, at zero.
    pub fn new(version: &str) -> Self {
        let make = Maker(Registry::new());
        make.0.register(Box::new(ProcessCollector::for_self())).expect("the names of process series are no others'");
        make.int_gauges("breakwater_build_info", "Which build this is; always 1.", &["version"]).with_label_values(&[version]).set(1);
        let requests = "registry_http_requests_total";
        let metrics = Self {
            requests: make.counters(requests, "Total number of HTTP requests made.", &["code", "handler", "method"]),
            request_duration: make.histograms(
                "registry_http_request_duration_seconds",
                "The HTTP request latencies in seconds.",
                &["handler", "method"],
                DURATIONS.to_vec(),
            ),
            by_endpoint: make.endpoints(),
            storage: make.storage(),
            cache: make.cache(),
            logins: make.counters("breakwater_logins_total", "Logins, by how they went.", &["outcome"]),
            tokens: make.counters("breakwater_tokens_issued_total", "Tokens issued, by the grant they were asked for with.", &["grant"]),
            limited: make.counters("breakwater_limited_total", "Requests and connections refused by a limit.", &["limit"]),
            bytes: make.counters("breakwater_network_bytes_total", "Bytes on the wire, TLS included.", &["direction"]),
            connections: make.gauge("breakwater_connections_open", "Connections that are open."),
            certificate_expiry: make
                .float("breakwater_certificate_expiry_timestamp_seconds", "When the certificate that is served now ends; 0 without one."),
            certificate_renewals: make.counters(
                "breakwater_certificate_renewals_total",
                "Attempts to get or renew a certificate by ACME, by how they went.",
                &["outcome"],
            ),
            certificate_renewal_success: make.gauge(
                "breakwater_certificate_last_renewal_successful",
                "Whether the last attempt at a certificate by ACME succeeded; 1 before the first.",
            ),
            reloads: make.counters("breakwater_config_reloads_total", "Reloads that were asked for, by how they went.", &["outcome"]),
            reload_success: make.gauge("breakwater_config_last_reload_successful", "Whether the last reload succeeded."),
            reload_time: make.float("breakwater_config_last_reload_success_timestamp_seconds", "When the configuration in force was read."),
            storage_free: make.gauge("breakwater_storage_free_bytes", "Free space of the store; 0 where it has no end."),
            storage_size: make.gauge("breakwater_storage_size_bytes", "Size of the store; 0 where it has no end."),
            uploads_open: make.gauge("breakwater_uploads_open", "Uploads that a request is writing to."),
            uploads_purged: make.counter("breakwater_garbage_uploads_removed_total", "Abandoned uploads that were removed."),
            lost_lines: make.counters("breakwater_log_lines_lost_total", "Log lines that could not be written in time.", &["log"]),
            failing_checks: make.int_gauges("breakwater_health_checks_failing", "Health checks that fail, by kind.", &["kind"]),
            notifications: notifications::Notifications::new(&make),
            registry: make.0,
        };
        metrics.at_zero();
        metrics
    }

    /// Series whose labels are known are there before anything happens, so that a rate is one from the first event on.
    fn at_zero(&self) {
        fn all<T: Label>(counters: &IntCounterVec) {
            T::ALL.iter().for_each(|label| drop(counters.with_label_values(&[label.text()])));
        }
        all::<LoginOutcome>(&self.logins);
        all::<Grant>(&self.tokens);
        all::<Limit>(&self.limited);
        all::<Direction>(&self.bytes);
        all::<Outcome>(&self.certificate_renewals);
        all::<Outcome>(&self.reloads);
        all::<Log>(&self.lost_lines);
        HealthKind::ALL.iter().for_each(|kind| self.failing_checks.with_label_values(&[kind.text()]).set(0));
        self.certificate_renewal_success.set(1);
        self.reload_success.set(1);
    }

    /// All series in the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail, and names are checked when series are made.
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text).ok();
        text
    }

    /// A request has come; each is followed by one [`ended`](Self::ended).
    pub fn began(&self, endpoint: Endpoint) {
        self.series(endpoint).in_flight.inc();
    }

    /// A request is no more. It was answered, or its client went away before.
    pub fn ended(&self, request: &Answered) {
        let mut digits = [0; 3];
        let code = status_text(request.status, &mut digits);
        let (handler, method) = (request.endpoint.text(), request.method.text());
        self.requests.with_label_values(&[code, handler, method]).inc();
        self.request_duration.with_label_values(&[handler, method]).observe(request.duration.as_secs_f64());
        let series = self.series(request.endpoint);
        series.in_flight.dec();
        series.request_size.observe(request.received as f64);
        series.response_size.observe(request.sent as f64);
    }

    fn series(&self, endpoint: Endpoint) -> &EndpointSeries {
        &self.by_endpoint[endpoint as usize]
    }

    /// The store has done something.
    pub fn storage_action(&self, action: StorageAction, duration: Duration) {
        self.storage[action as usize].observe(duration.as_secs_f64());
    }

    /// How often the cache of manifests was asked, and knew, since the start.
    pub fn set_cache_use(&self, requests: u64, hits: u64) {
        for (kind, value) in [("Request", requests), ("Hit", hits), ("Miss", requests.saturating_sub(hits))] {
            raise(&self.cache.by_type.with_label_values(&[kind]), value);
        }
        raise(&self.cache.requests, requests);
        raise(&self.cache.hits, hits);
    }

    /// Somebody has logged in, or has tried to.
    pub fn login(&self, outcome: LoginOutcome) {
        self.logins.with_label_values(&[outcome.text()]).inc();
    }

    /// A token has been issued.
    pub fn token(&self, grant: Grant) {
        self.tokens.with_label_values(&[grant.text()]).inc();
    }

    /// A limit has refused something.
    pub fn limited(&self, limit: Limit) {
        self.limited.with_label_values(&[limit.text()]).inc();
    }

    /// The counter of the bytes in one direction, for who counts often.
    pub fn bytes(&self, direction: Direction) -> IntCounter {
        self.bytes.with_label_values(&[direction.text()])
    }

    /// How many connections are open.
    pub fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// Which certificate is served; `None`: none, or it cannot be read.
    pub fn set_certificate_expiry(&self, expires: Option<SystemTime>) {
        self.certificate_expiry.set(expires.map_or(0.0, seconds));
    }

    /// How attempts at a certificate by ACME went since the start, and whether the last one is a failure.
    pub fn set_renewals(&self, succeeded: u64, failed: u64, last: Outcome) {
        for (outcome, count) in [(Outcome::Succeeded, succeeded), (Outcome::Failed, failed)] {
            raise(&self.certificate_renewals.with_label_values(&[outcome.text()]), count);
        }
        self.certificate_renewal_success.set(i64::from(last == Outcome::Succeeded));
    }

    /// A reload is over.
    pub fn reload(&self, outcome: Outcome, now: SystemTime) {
        self.reloads.with_label_values(&[outcome.text()]).inc();
        self.reload_success.set(i64::from(outcome == Outcome::Succeeded));
        if outcome == Outcome::Succeeded {
            self.started(now);
        }
    }

    /// The configuration in force was read then.
    pub fn started(&self, now: SystemTime) {
        self.reload_time.set(seconds(now));
    }

    /// How large the store is, and how much of it is free, in bytes.
    pub fn set_space(&self, size: u64, free: u64) {
        self.storage_size.set(size.try_into().unwrap_or(i64::MAX));
        self.storage_free.set(free.try_into().unwrap_or(i64::MAX));
    }

    /// How many uploads a request is writing to.
    pub fn set_uploads_open(&self, count: usize) {
        self.uploads_open.set(count.try_into().unwrap_or(i64::MAX));
    }

    /// Abandoned uploads have been removed.
    pub fn uploads_purged(&self, count: usize) {
        self.uploads_purged.inc_by(count as u64);
    }

    /// The counter of a log's lost lines.
    pub fn lost_lines(&self, log: Log) -> IntCounter {
        self.lost_lines.with_label_values(&[log.text()])
    }

    /// The series of one endpoint of `notifications`.
    pub fn notifications(&self, endpoint: &str) -> NotificationSeries {
        self.notifications.of(endpoint)
    }

    /// How many checks of a kind fail.
    pub fn set_failing_checks(&self, kind: HealthKind, count: usize) {
        self.failing_checks.with_label_values(&[kind.text()]).set(count.try_into().unwrap_or(i64::MAX));
    }
}

/// Brings a counter to what somebody else has counted.
fn raise(counter: &IntCounter, value: u64) {
    counter.inc_by(value.saturating_sub(counter.get()));
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn status_text(status: u16, digits: &mut [u8; 3]) -> &str {
    let status = status.min(999);
    for (place, digit) in digits.iter_mut().zip([status / 100, status / 10 % 10, status % 10]) {
        *place = b'0' + digit as u8;
    }
    std::str::from_utf8(digits).unwrap_or("000")
}

/// Makes series. Each name stands once in this file, and is a good one, which every test that makes [`Metrics`] proves.
struct Maker(Registry);

impl Maker {
    fn add<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let series = made.expect("the names of series are good");
        self.0.register(Box::new(series.clone())).expect("the names of series differ");
        series
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    fn float(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }

    fn int_gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: Vec<f64>) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels))
    }

    fn endpoints(&self) -> Vec<EndpointSeries> {
        let in_flight = self.int_gauges("registry_http_in_flight_requests", "The in-flight HTTP requests", &["handler"]);
        let request = self.histograms("registry_http_request_size_bytes", "The HTTP request sizes in bytes.", &["handler"], sizes());
        let response = self.histograms("registry_http_response_size_bytes", "The HTTP response sizes in bytes.", &["handler"], sizes());
        let series = |endpoint: &Endpoint| EndpointSeries {
            in_flight: in_flight.with_label_values(&[endpoint.text()]),
            request_size: request.with_label_values(&[endpoint.text()]),
            response_size: response.with_label_values(&[endpoint.text()]),
        };
        Endpoint::ALL.iter().map(series).collect()
    }

    fn cache(&self) -> Cache {
        let help = "The number of cache request received";
        // The cache is in memory and never fails.
        self.counter("registry_storage_cache_errors_total", "The number of cache request errors");
        Cache {
            by_type: self.counters("registry_storage_cache_total", help, &["type"]),
            requests: self.counter("registry_storage_cache_requests_total", help),
            hits: self.counter("registry_storage_cache_hits_total", help),
        }
    }

    fn storage(&self) -> Vec<Histogram> {
        let help = "The number of seconds that the storage action takes";
        let actions = self.histograms("registry_storage_action_seconds", help, &["driver", "action"], ACTION_DURATIONS.to_vec());
        StorageAction::ALL.iter().map(|action| actions.with_label_values(&["filesystem", action.text()])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_the_names_of_registry_2() {
        let metrics = Metrics::new("1.2.3");
        metrics.began(Endpoint::Manifest);
        let text = metrics.render();
        assert!(text.contains("registry_http_in_flight_requests{handler=\"manifest\"} 1"), "{text}");
        let (duration, received, sent) = (Duration::from_millis(7), 0, 1500);
        metrics.ended(&Answered { endpoint: Endpoint::Manifest, method: Method::Get, status: 404, duration, received, sent });
        let text = metrics.render();
        for line in [
            "registry_http_in_flight_requests{handler=\"manifest\"} 0",
            "registry_http_requests_total{code=\"404\",handler=\"manifest\",method=\"get\"} 1",
            "registry_http_request_duration_seconds_bucket{handler=\"manifest\",method=\"get\",le=\"0.005\"} 0",
            "registry_http_request_duration_seconds_bucket{handler=\"manifest\",method=\"get\",le=\"0.01\"} 1",
            "registry_http_response_size_bytes_bucket{handler=\"manifest\",le=\"1024\"} 0",
            "registry_http_response_size_bytes_bucket{handler=\"manifest\",le=\"2048\"} 1",
            "breakwater_build_info{version=\"1.2.3\"} 1",
            "breakwater_logins_total{outcome=\"refused\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_status_is_three_digits() {
        let mut digits = [0; 3];
        assert_eq!(status_text(200, &mut digits), "200");
        assert_eq!(status_text(99, &mut digits), "099");
        assert_eq!(status_text(5000, &mut digits), "999");
    }
}
