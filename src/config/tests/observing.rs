//! `metrics`, `health`, `http.debug` and the form of the access log.

use std::time::Duration;

use super::{SMALL, config, notices, refusal, with_environment};
use crate::config::HealthSubject;
use crate::telemetry::{AccessLogForm, Traces};

#[test]
fn metrics_are_served_beside_the_api_for_whom_is_named_only() {
    assert!(config(SMALL).http.metrics.is_none());
    assert!(config(&format!("{SMALL}metrics: {{enabled: true, path: /m}}\n")).http.metrics.is_none());
    assert!(config(&format!("{SMALL}metrics: {{enabled: false, from: [10.0.0.0/8]}}\n")).http.metrics.is_none());
    let metrics = config(&format!("{SMALL}metrics: {{path: /m, from: [10.0.0.0/8, '::1']}}\n")).http.metrics.unwrap();
    assert_eq!((metrics.path.as_str(), metrics.from.len(), metrics.users.len()), ("/m", 2, 0));
    assert_eq!(notices(&format!("{SMALL}metrics: {{from: [127.0.0.1]}}\n")), "");
}

#[test]
fn what_cannot_be_meant_of_metrics_stops_the_start() {
    for (section, expected) in [
        ("{users: [alice]}", "nobody can log in without `auth`"),
        ("{from: [x]}", "`x` is not a network"),
        ("{from: ['::1'], path: metrics}", "`metrics` is no free path"),
        ("{from: ['::1'], path: /v2/x}", "is no free path"),
        ("{from: ['::1'], path: /readyz}", "is no free path"),
    ] {
        let said = refusal(&format!("{SMALL}metrics: {section}\n"), &[]);
        assert!(said.contains(expected), "{section}: {said}");
    }
}

#[test]
fn each_health_check_has_registry_2s_defaults() {
    let text = "health:
  file: [{file: /down, interval: 3s}]
  http: [{uri: 'https://a/b', headers: {X-A: [b]}, statuscode: 204, timeout: 1s, interval: 2s, threshold: 4}]
  tcp: [{addr: 'redis:6379'}]
";
    let checks = config(&format!("{SMALL}{text}")).health;
    let found: Vec<_> = checks.iter().map(|check| (check.name.as_str(), check.interval, check.timeout, check.threshold)).collect();
    let seconds = Duration::from_secs;
    assert_eq!(
        found,
        [("/down", seconds(3), seconds(5), 1), ("https://a/b", seconds(2), seconds(1), 4), ("redis:6379", seconds(10), seconds(5), 1)]
    );
    let headers = vec![("X-A".to_owned(), vec!["b".to_owned()])];
    assert_eq!(checks[1].subject, HealthSubject::Http { uri: "https://a/b".to_owned(), headers, status: 204 });
    let said = refusal(&format!("{SMALL}health: {{tcp: [{{interval: 1s}}], http: [{{uri: 'ftp://x'}}]}}\n"), &[]);
    assert!(said.contains("health.tcp.0.addr: missing") && said.contains("`ftp://x` is no http or https address"), "{said}");
}

#[test]
fn the_debug_listener_has_an_address_and_metrics_where_they_are_wanted() {
    assert!(config(SMALL).debug.is_none());
    let debug = |text: &str| config(&format!("{SMALL}  debug: {text}\n")).debug.unwrap();
    assert_eq!(debug("{addr: 'localhost:5001'}").metrics_path, None);
    assert_eq!(debug("{addr: ':1', prometheus: {enabled: true, path: /m}}").metrics_path.as_deref(), Some("/m"));
    let said = refusal(&format!("{SMALL}  debug: {{prometheus: {{enabled: true}}}}\n"), &[]);
    assert!(said.contains("http.debug.addr: missing"), "{said}");
}

#[test]
fn the_access_log_is_combined_or_json_or_not_there() {
    let form = |text: &str| config(&format!("{SMALL}log: {{accesslog: {text}}}\n")).telemetry.access_log;
    assert_eq!(config(SMALL).telemetry.access_log, Some(AccessLogForm::Combined));
    assert_eq!((form("{formatter: json}"), form("{formatter: json, disabled: true}")), (Some(AccessLogForm::Json), None));
    assert!(refusal(&format!("{SMALL}log: {{accesslog: {{formatter: xml}}}}\n"), &[]).contains("write combined or json"));
}

#[test]
fn requests_are_traced_only_when_the_environment_names_a_collector() {
    let (endpoint, off) = (("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), Traces::Off);
    for (variables, expected) in [
        (&[][..], off),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], off),
        (&[endpoint], Traces::Otlp),
        (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/v1/traces")], Traces::Otlp),
        (&[endpoint, ("OTEL_TRACES_EXPORTER", "none")], off),
        (&[endpoint, ("OTEL_TRACES_EXPORTER", "otlp")], Traces::Otlp),
        (&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")], off),
        (&[("OTEL_TRACES_EXPORTER", "otlp")], off),
    ] {
        assert_eq!(with_environment(SMALL, variables).unwrap().config.telemetry.traces, expected, "{variables:?}");
    }
}
