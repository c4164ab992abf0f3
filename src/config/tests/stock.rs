//! The files that come with other packages start as they are, without a false alarm.

use super::*;
use crate::auth;
use crate::config::{DebugListener, HealthSubject, Listen, Severity};
use crate::registry::Deletion;

/// What the image of the 2.x line brings.
pub(super) const IMAGE_2: &str = "
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

/// What the image of the 3.x line brings.
pub(super) const IMAGE_3: &str = "
version: 0.1
log:
  level: debug
  fields:
    service: registry
    environment: development
storage:
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
  tag:
    concurrencylimit: 5
http:
  addr: :5000
  debug:
    addr: :5001
    prometheus:
      enabled: true
      path: /metrics
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

/// What Debian's package brings.
pub(super) const DEBIAN: &str = "
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/docker-registry
  delete:
    enabled: true
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
auth:
  htpasswd:
    realm: basic-realm
    path: /etc/docker/registry
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
";

/// Nothing is asked for, in many words: as charts write it.
pub(super) const CHART: &str = "
version: 0.1
storage: {filesystem: {rootdirectory: /data, maxthreads: 100}, redirect: {disable: true}, maintenance: {readonly: {enabled: off}}}
http:
  addr: ':5000'
  net: tcp
  host: ''
  prefix:
  secret: haSharedSecret
  http2: {disabled: false}
  h2c: {enabled: false}
  tls: {certificate: '', key: '', clientcas: [], letsencrypt: {cachefile: '', email: '', hosts: []}}
  debug: {addr: '', prometheus: {enabled: false}}
auth:
notifications: {events: {includereferences: true}, endpoints: []}
health: {file: [], http: [], tcp: []}
proxy: {remoteurl: '', username: '', password: ''}
validation: {disabled: false, manifests: {urls: {allow: [], deny: []}, indexes: {platforms: all}}}
middleware: {storage: []}
redis: {}
policy: {repository: {classes: []}}
";

#[test]
fn no_stock_file_raises_an_alarm() {
    for (name, text) in [("image 2.x", IMAGE_2), ("image 3.x", IMAGE_3), ("debian", DEBIAN), ("chart", CHART)] {
        let warnings: Vec<_> = loaded(text).warnings.into_iter().filter(|notice| notice.severity != Severity::Info).collect();
        assert!(warnings.is_empty(), "{name}: {warnings:?}");
    }
    assert_eq!(notices(CHART), "");
}

#[test]
fn the_file_of_the_2_x_image_means_what_it_meant() {
    let config = config(IMAGE_2);
    assert_eq!(config.listen, Listen::Tcp(":5000".to_owned()));
    assert_eq!(config.storage.root_directory.to_str(), Some("/var/lib/registry"));
    assert_eq!(config.state.to_str(), Some("/var/lib/registry/breakwater"));
    assert_eq!(config.registry.delete, Deletion::Disabled);
    assert_eq!(config.http.headers, [("X-Content-Type-Options".to_owned(), vec!["nosniff".to_owned()])]);
    assert_eq!(config.telemetry.fields.get("service").map(String::as_str), Some("registry"));
    assert!(matches!(config.auth, auth::Options::Open));
    assert!(config.tls.is_none());
}

#[test]
fn the_file_of_the_3_x_image_means_what_it_meant() {
    let config = config(IMAGE_3);
    assert_eq!(config.registry.delete, Deletion::Enabled);
    assert_eq!(config.telemetry.level, tracing::Level::DEBUG);
    let notices = notices(IMAGE_3);
    assert_eq!(notices.lines().count(), 0, "{notices}");
    assert_eq!(config.debug, Some(DebugListener { address: ":5001".to_owned(), metrics_path: Some("/metrics".to_owned()) }));
    let [check] = &config.health[..] else { panic!("{:?}", config.health) };
    assert_eq!((&check.subject, check.interval.as_secs(), check.threshold), (&HealthSubject::Storage, 10, 3));
}

#[test]
fn the_file_of_debian_asks_for_passwords() {
    let auth::Options::Htpasswd(options) = config(DEBIAN).auth else { panic!("open") };
    assert_eq!(options.realm, "basic-realm");
    assert!(options.token_service.is_none());
}

#[test]
fn a_file_of_the_2_x_line_starts_with_its_old_names() {
    let text = "
version: 0.1
loglevel: warn
storage: {filesystem: {rootdirectory: /storage}, cache: {layerinfo: redis}}
redis: {addr: 'redis:6379', db: 1, sentinelMasterSet: m, enableTLS: false, pool: {maxidle: 16, idletimeout: 300s}}
compatibility: {schema1: {enabled: true, signingkeyfile: /k}}
reporting: {bugsnag: {apikey: k}}
http: {addr: ':5000', secret: s}
";
    assert_eq!(config(text).telemetry.level, tracing::Level::WARN);
    let notices = notices(text);
    for expected in ["redis: redis is not used", "storage.cache.layerinfo: redis is not used", "compatibility: ", "reporting: "] {
        assert_eq!(notices.matches(expected).count(), 1, "{expected}: {notices}");
    }
    assert_eq!(notices.lines().count(), 4, "{notices}");
}

#[test]
fn the_example_in_deploy_is_honoured_to_the_last_key() {
    let example = include_str!("../../../deploy/config.example.yml");
    assert_eq!(notices(example), "");
    assert!(matches!(config(example).auth, auth::Options::Htpasswd(_)));
}
