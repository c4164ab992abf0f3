//! `notifications`: registry:2's defaults, the forms in variables, and what cannot be meant.

use std::time::Duration;

use super::{SMALL, config, loaded, notices, refusal, with_environment};
use crate::notify::{Delivery, References};

const FULL: &str = "notifications:
  events: {includereferences: true}
  endpoints:
    - name: one
      url: https://user:pass@ci.example/events?x=1
      headers: {Authorization: [Bearer hidden], X-Key: [b, c]}
      secret: hidden
      timeout: 5s
      threshold: 3
      backoff: 10s
      ignoredmediatypes: [application/octet-stream]
      ignore: {mediatypes: [text/plain], actions: [pull]}
    - {name: two, disabled: true, timeout: 0s, threshold: -1, backoff: 0}
";

#[test]
fn an_endpoint_has_registry_2s_defaults() {
    let config = config(&format!("{SMALL}{FULL}"));
    let options = config.notifications;
    assert_eq!((options.port, options.references), (Some(5000), References::Included));
    assert_eq!(options.directory.to_str(), Some("/data/breakwater/events"));
    let [one, two] = &options.endpoints[..] else { panic!("{:?}", options.endpoints) };
    assert_eq!((one.name.as_str(), one.url.as_str()), ("one", "https://user:pass@ci.example/events?x=1"));
    assert_eq!((one.timeout, one.threshold, one.backoff), (Duration::from_secs(5), 3, Duration::from_secs(10)));
    assert_eq!(one.headers.len(), 2);
    assert_eq!(one.ignored_media_types, ["text/plain", "application/octet-stream"]);
    assert_eq!(one.ignored_actions, ["pull"]);
    assert!(one.secret.is_some() && two.secret.is_none());
    assert_eq!(two.delivery, Delivery::Off, "one without a url, which stays unused");
    assert_eq!((two.timeout, two.threshold, two.backoff), (Duration::from_secs(1), 10, Duration::from_secs(1)));
    assert_eq!(notices(&format!("{SMALL}{FULL}")), "");
}

#[test]
fn endpoints_come_from_variables_in_each_form() {
    let list = "[{name: one, url: 'http://a/', headers: {X: [y]}}, {name: two, url: 'http://b/'}]";
    let variables = [
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS", list),
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS_1_URL", "http://c/"),
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS_1_IGNORE_ACTIONS", "[pull]"),
        ("REGISTRY_NOTIFICATIONS_ENDPOINTS_1_THRESHOLD", "7"),
        ("REGISTRY_NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "true"),
    ];
    let loaded = with_environment(SMALL, &variables).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let options = loaded.config.notifications;
    assert_eq!(options.references, References::Included);
    let [one, two] = &options.endpoints[..] else { panic!("{:?}", options.endpoints) };
    assert_eq!((one.url.as_str(), one.headers.len()), ("http://a/", 1));
    assert_eq!((two.url.as_str(), two.threshold, &two.ignored_actions[..]), ("http://c/", 7, &["pull".to_owned()][..]));
}

#[test]
fn what_cannot_be_meant_of_an_endpoint_stops_the_start_and_names_the_key() {
    for (endpoint, expected) in [
        ("{name: a}", "7:29: notifications.endpoints.0.url: missing, so events could be sent nowhere"),
        ("{name: a, url: 'ftp://user:pass@b'}", "7:44: notifications.endpoints.0.url: not an http or https address"),
        ("{name: a, url: nowhere}", "notifications.endpoints.0.url: not an http or https address"),
        ("{name: a, url: 'http://b', backoff: soon}", "notifications.endpoints.0.backoff: `soon` is not a duration"),
        ("{name: a, url: 'http://b', threshold: ten}", "notifications.endpoints.0.threshold: `ten` is not a whole number"),
        ("{name: a, url: 'http://b', headers: {'a b': [c]}}", "`a b` cannot be the name of a header"),
        ("{name: a, url: 'http://b', secret: 'whsec_?'}", "notifications.endpoints.0.secret: what follows `whsec_` is not base64"),
        ("{name: a, url: 'http://b'}, {name: a, url: 'http://c'}", "notifications.endpoints.1.name: `a` is the name of another"),
        ("{url: 'http://b'}, {url: 'http://c'}", "notifications.endpoints.1.name: `` is the name of another"),
    ] {
        let said = refusal(&format!("{SMALL}notifications: {{endpoints: [{endpoint}]}}\n"), &[]);
        assert!(said.contains(expected), "{endpoint}: {said}");
        assert!(!said.contains("pass"), "{said}");
    }
}

#[test]
fn what_a_stock_registry_would_pass_over_is_a_mistake_and_starts() {
    let text = format!("{SMALL}notifications: {{endpoints: [{{url: 'http://b', treshold: 3, ignore: {{actions: [pulls]}}}}]}}\n");
    let notices = notices(&text);
    assert!(
        notices.contains("Mistake config.yml:7:47: notifications.endpoints.0.treshold: unknown, so ignored; did you mean"),
        "{notices}"
    );
    assert!(notices.contains("notifications.endpoints.0.ignore.actions: `pulls` is no action"), "{notices}");
    assert_eq!(notices.lines().count(), 2, "{notices}");
}

#[test]
fn no_secret_of_an_endpoint_is_shown() {
    let loaded = loaded(&format!("{SMALL}{FULL}"));
    let shown = loaded.shown_as_yaml();
    assert!(!shown.contains("hidden") && !shown.contains("pass"), "{shown}");
    assert!(!format!("{:?}", loaded.config.notifications.endpoints[0].secret).contains("hidden"));
    for expected in ["secret: \"********\"", "threshold: 10  # config.yml:", "backoff: 10s  # config.yml:", "includereferences: true"] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
}
