//! The rows: what people set, the quirks of the rule by which variables find their key, and its defects.

use serde_json::json;

use super::Theirs::{Drops, Ignores, Leaves, Panics, Refuses};
use super::{Row, row};

const EARLIER: &str = "a defect of the rule: here it works";
const SAID: &str = "what has no effect here is said";
const LATER: &str = "it is not there yet, and to start without it would be wrong";
const WEAK: &str = "suites without authenticated encryption are not spoken";
const CHECKED: &str = "what cannot be meant is refused at the start, not when it is used";

pub(super) fn rows() -> Vec<Row> {
    [listeners(), suites_and_steps(), logs(), auth(), storage(), buckets(), other_sections(), rule(), defects()]
        .into_iter()
        .flatten()
        .collect()
}

fn listeners() -> Vec<Row> {
    vec![
        row(&[("HTTP_ADDR", "127.0.0.1:0")]).shows("http.addr", "127.0.0.1:0"),
        row(&[("HTTP_ADDR", "localhost")]).theirs(Refuses("missing port")).refuses("http.addr: `localhost` is not host:port"),
        row(&[("HTTP_NET", "unix"), ("HTTP_ADDR", "DIR/r.sock")]).shows("http.net", "unix").shows("http.addr", "DIR/r.sock"),
        row(&[("HTTP_NET", "udp")]).theirs(Refuses("unknown address type udp")).refuses("http.net: `udp` is not a kind of network"),
        row(&[("HTTP_HOST", "https://registry.example.com")]).shows("http.host", "https://registry.example.com"),
        row(&[("HTTP_SECRET", "a-secret")]).shows("http.secret", "********"),
        row(&[("HTTP_PREFIX", "/registry/")]).shows("http.prefix", "/registry/"),
        row(&[("HTTP_RELATIVEURLS", "true")]).shows("http.relativeurls", true),
        row(&[("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key")])
            .shows("http.tls.certificate", "DIR/tls.crt")
            .shows("http.tls.key", "DIR/tls.key")
            .shows("http.tls.minimumtls", "tls1.2"),
        row(&[("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key"), ("HTTP_TLS_CLIENTCAS", "[DIR/ca.crt]")])
            .shows("http.tls.clientcas", json!(["DIR/ca.crt"]))
            .shows("http.tls.clientauth", "require-and-verify-client-cert"),
        row(&[("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key"), ("HTTP_TLS_MINIMUMTLS", "tls1.3")])
            .shows("http.tls.minimumtls", "tls1.3"),
        row(&[("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key"), ("HTTP_TLS_MINIMUMTLS", "tls1.1")])
            .theirs(Refuses("unknown minimum TLS level"))
            .refuses("http.tls.minimumtls: `tls1.1` is broken and not spoken"),
        row(&[
            ("HTTP_TLS_LETSENCRYPT_CACHEFILE", "DIR/acme"),
            ("HTTP_TLS_LETSENCRYPT_EMAIL", "ops@example.com"),
            ("HTTP_TLS_LETSENCRYPT_HOSTS", "[registry.example.com]"),
        ])
        .shows("http.tls.letsencrypt.hosts", json!(["registry.example.com"]))
        .says("the ACME server connects to port 443"),
        row(&[("HTTP_HEADERS_Access-Control-Allow-Origin", "['*']")])
            .shows("http.headers", json!({"X-Content-Type-Options": ["nosniff"], "access-control-allow-origin": ["*"]})),
        row(&[("HTTP_HEADERS", "{Access-Control-Allow-Methods: [HEAD, GET, OPTIONS, DELETE]}")])
            .shows("http.headers", json!({"Access-Control-Allow-Methods": ["HEAD", "GET", "OPTIONS", "DELETE"]})),
        row(&[("HTTP_DEBUG_ADDR", "localhost:0")]).shows("http.debug.addr", "localhost:0"),
        row(&[("HTTP_DEBUG_PROMETHEUS_ENABLED", "true"), ("HTTP_DEBUG_PROMETHEUS_PATH", "/m")])
            .shows("http.debug.prometheus.enabled", true)
            .shows("http.debug.prometheus.path", "/m"),
        row(&[("HTTP_DRAINTIMEOUT", "1m30s")]).shows("http.draintimeout", "1m30s"),
        row(&[("HTTP_H2C_ENABLED", "true")]).says("http.h2c.enabled: only HTTP/1.1 is spoken"),
        row(&[("HTTP_HTTP2_DISABLED", "true")]).shows("http.http2.disabled", true),
    ]
}

/// Suites of TLS 1.2, and steps that blobs are sent away by.
fn suites_and_steps() -> Vec<Row> {
    const LIST: &str = "HTTP_TLS_CIPHERSUITES";
    let files = [("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key")];
    let with = |list: &'static str| row(&[files[0], files[1], (LIST, list)]);
    vec![
        with("[TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]")
            .shows("http.tls.ciphersuites", json!(["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"])),
        with("[TLS_RSA_WITH_RC4_128_SHA]")
            .theirs(Refuses("unknown TLS cipher suite"))
            .refuses("http.tls.ciphersuites: unknown: TLS_RSA_WITH_RC4"),
        with("[TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]").refuses("none of these is spoken").because(WEAK),
        row(&[("MIDDLEWARE_STORAGE", "[{name: redirect, options: {baseurl: 'https://files.example.com'}}]")])
            .shows("middleware.storage.0.options.baseurl", "https://files.example.com"),
        row(&[("MIDDLEWARE_STORAGE", "[{name: none}]")])
            .theirs(Panics("no storage middleware registered with name: none"))
            .refuses("`none` is no step of storage"),
    ]
}

fn logs() -> Vec<Row> {
    vec![
        row(&[("LOG_LEVEL", "info")]).shows("log.level", "info"),
        row(&[("LOG_LEVEL", "loud")]).theirs(Refuses("invalid loglevel loud")).refuses("log.level: `loud` is not a level"),
        row(&[("LOG_FORMATTER", "json")]).shows("log.formatter", "json"),
        row(&[("LOG_FORMATTER", "xml")])
            .theirs(Refuses("unsupported logging formatter"))
            .refuses("log.formatter: `xml` is not a formatter"),
        row(&[("LOG_ACCESSLOG_DISABLED", "true")]).shows("log.accesslog.disabled", true),
        row(&[("LOG_FIELDS_ENVIRONMENT", "production")])
            .shows("log.fields", json!({"service": ["registry"], "environment": ["production"]})),
        row(&[("LOGLEVEL", "error")]).shows("log.level", "debug"),
    ]
}

fn auth() -> Vec<Row> {
    let token = [
        ("AUTH", "token"),
        ("AUTH_TOKEN_REALM", "https://auth.example.com/token"),
        ("AUTH_TOKEN_SERVICE", "registry.example.com"),
        ("AUTH_TOKEN_ISSUER", "auth.example.com"),
        ("AUTH_TOKEN_ROOTCERTBUNDLE", "DIR/tls.crt"),
    ];
    vec![
        row(&[("AUTH", "htpasswd"), ("AUTH_HTPASSWD_REALM", "Registry Realm"), ("AUTH_HTPASSWD_PATH", "DIR/htpasswd")])
            .shows("auth.htpasswd.realm", "Registry Realm")
            .shows("auth.htpasswd.path", "DIR/htpasswd"),
        row(&[("AUTH_HTPASSWD_REALM", "Registry Realm"), ("AUTH_HTPASSWD_PATH", "DIR/htpasswd")])
            .shows("auth.htpasswd.realm", "Registry Realm"),
        row(&[("AUTH", "{htpasswd: {realm: r, path: DIR/htpasswd}}")]).shows("auth.htpasswd.realm", "r"),
        row(&[("AUTH", "htpasswd")]).theirs(Panics("\"realm\" must be set")).refuses("auth.htpasswd.realm: missing"),
        row(&[("AUTH", "htpaswd")])
            .theirs(Panics("no access controller registered"))
            .refuses("auth.htpaswd: unknown; did you mean `htpasswd`?"),
        row(&token).shows("auth.token.realm", "https://auth.example.com/token").shows("auth.token.rootcertbundle", "DIR/tls.crt"),
        row(&[&token[..], &[("AUTH_TOKEN_AUTOREDIRECT", "true"), ("AUTH_TOKEN_AUTOREDIRECTPATH", "/tokens")]].concat())
            .shows("auth.token.autoredirect", true)
            .shows("auth.token.autoredirectpath", "/tokens"),
        row(&token[..4]).theirs(Panics("")).refuses("auth.token.rootcertbundle: missing"),
        row(&[("AUTH", "none")]),
    ]
}

fn storage() -> Vec<Row> {
    vec![
        row(&[("STORAGE_FILESYSTEM_ROOTDIRECTORY", "DIR/other")]).shows("storage.filesystem.rootdirectory", "DIR/other"),
        row(&[("STORAGE_FILESYSTEM_MAXTHREADS", "50")]).shows("storage.filesystem.maxthreads", 50),
        row(&[("STORAGE", "{filesystem: {rootdirectory: DIR/other}}")])
            .shows("storage.filesystem.rootdirectory", "DIR/other")
            .shows("storage.delete.enabled", false),
        row(&[("STORAGE_DELETE_ENABLED", "false")]).shows("storage.delete.enabled", false),
        row(&[("STORAGE_REDIRECT_DISABLE", "true")]).shows("storage.redirect.disable", true),
        row(&[("STORAGE_REDIRECT_DISABLE", "maybe")])
            .theirs(Panics("invalid type for redirect"))
            .refuses("storage.redirect.disable: `maybe` is not"),
        row(&[("STORAGE_CACHE_BLOBDESCRIPTOR", "inmemory")]).shows("storage.cache.blobdescriptor", "inmemory"),
        row(&[("STORAGE_CACHE_BLOBDESCRIPTORSIZE", "500")]).shows("storage.cache.blobdescriptorsize", 500),
        row(&[("STORAGE_CACHE_BLOBDESCRIPTOR", "redis")])
            .theirs(Panics("redis configuration required"))
            .says("redis is not used")
            .because("redis is not used, so it need not be named"),
        row(&[("STORAGE_TAG_CONCURRENCYLIMIT", "8")]).shows("storage.tag.concurrencylimit", 8),
        row(&[("STORAGE_TAG_CONCURRENCYLIMIT", "-1")])
            .theirs(Panics("non-negative"))
            .refuses("storage.tag.concurrencylimit: must not be below 0"),
        row(&[("STORAGE_MAINTENANCE_READONLY", "{\"enabled\":true}")]).shows("storage.maintenance.readonly.enabled", true),
        row(&[("STORAGE_MAINTENANCE", "{readonly: {enabled: true}}")]).shows("storage.maintenance.readonly.enabled", true),
        row(&[("STORAGE_MAINTENANCE", "{uploadpurging: {enabled: false}}")]).shows("storage.maintenance.uploadpurging.enabled", false),
        row(&[("STORAGE_MAINTENANCE", "{uploadpurging: {enabled: true, age: 48h, interval: 12h, dryrun: true}}")])
            .shows("storage.maintenance.uploadpurging.age", "48h")
            .shows("storage.maintenance.uploadpurging.dryrun", true),
    ]
}

/// Drivers that are not there yet; each is switched to as people do it.
fn buckets() -> Vec<Row> {
    const NOT_YET: &str = "this storage driver is not there yet";
    let s3 = [
        ("STORAGE", "s3"),
        ("STORAGE_S3_REGION", "us-east-1"),
        ("STORAGE_S3_BUCKET", "images"),
        ("STORAGE_S3_ACCESSKEY", "key"),
        ("STORAGE_S3_SECRETKEY", "secret"),
        ("STORAGE_S3_REGIONENDPOINT", "http://127.0.0.1:1"),
        ("STORAGE_S3_FORCEPATHSTYLE", "true"),
    ];
    vec![
        row(&s3).refuses(NOT_YET).because(LATER),
        row(&[("STORAGE_S3_REGION", "us-east-1"), ("STORAGE_S3_BUCKET", "images")])
            .theirs(Panics("multiple storage drivers"))
            .refuses("only one driver can be used, and there are `filesystem`"),
        row(&[
            ("STORAGE", "azure"),
            ("STORAGE_AZURE_ACCOUNTNAME", "a"),
            ("STORAGE_AZURE_ACCOUNTKEY", "a2V5"),
            ("STORAGE_AZURE_CONTAINER", "c"),
            ("STORAGE_AZURE_CREDENTIALS", "{type: shared_key}"),
        ])
        .refuses(NOT_YET)
        .because(LATER),
        row(&[("STORAGE", "gcs"), ("STORAGE_GCS_BUCKET", "b"), ("STORAGE_GCS_KEYFILE", "DIR/none.json")])
            .theirs(Panics("none.json"))
            .refuses(NOT_YET),
        row(&[("STORAGE", "inmemory")]).refuses(NOT_YET).because(LATER),
        row(&[("STORAGE", "swift")]).theirs(Panics("StorageDriver not registered: swift")).refuses("was removed from registry 3"),
    ]
}

fn other_sections() -> Vec<Row> {
    vec![
        row(&[("PROXY_REMOTEURL", "http://127.0.0.1:1"), ("PROXY_USERNAME", "u"), ("PROXY_PASSWORD", "p"), ("PROXY_TTL", "24h")])
            .theirs(Panics("connection refused"))
            .refuses("proxy.remoteurl: pull-through is not there yet"),
        row(&[("REDIS_ADDRS", "[127.0.0.1:6379]"), ("REDIS_PASSWORD", "p"), ("REDIS_DB", "1")])
            .shows("redis.addrs", json!(["127.0.0.1:6379"]))
            .shows("redis.password", "********")
            .says("redis: redis is not used"),
        row(&[("REDIS_ADDR", "127.0.0.1:6379")])
            .theirs(Ignores)
            .says("redis: redis is not used")
            .because("the name in registry 2 is known too"),
        row(&[("NOTIFICATIONS_ENDPOINTS", "[{name: one, url: 'http://127.0.0.1:1/events', timeout: 500ms, threshold: 5, backoff: 1s}]")])
            .shows("notifications.endpoints.0.name", "one")
            .shows("notifications.endpoints.0.timeout", "500ms"),
        row(&[("NOTIFICATIONS_EVENTCONFIG_INCLUDEREFERENCES", "true")]),
        row(&[("HEALTH_STORAGEDRIVER_ENABLED", "false")]).shows("health.storagedriver.enabled", false),
        row(&[("HEALTH_STORAGEDRIVER_INTERVAL", "30s")]).shows("health.storagedriver.interval", "30s"),
        row(&[("CATALOG_MAXENTRIES", "5000")]).shows("catalog.maxentries", 5000),
        row(&[("CATALOG_MAXENTRIES", "0")]).shows("catalog.maxentries", 1000),
        row(&[("TAGS_MAXTAGS", "50")]).shows("tags.maxtags", 50),
        row(&[("TAGS_MAXTAGS", "-1")]).theirs(Refuses("must be a non-negative integer")).refuses("tags.maxtags: must not be below 0"),
        row(&[("VALIDATION_DISABLED", "true")]).shows("validation.disabled", true).shows("validation.manifests.indexes.platforms", "none"),
        row(&[("VALIDATION_ENABLED", "false")]).says("validation.enabled: false has no effect").shows("validation.disabled", false),
        row(&[("VALIDATION_MANIFESTS_URLS_ALLOW", "['^https://layers[.]example[.]com/']")])
            .shows("validation.manifests.urls.allow", json!(["^https://layers[.]example[.]com/"])),
        row(&[("VALIDATION_MANIFESTS_URLS_DENY", "['(']")]).theirs(Panics("missing closing )")).refuses("`(` is not a regular expression"),
        row(&[("VALIDATION_MANIFESTS_INDEXES_PLATFORMS", "none")]).shows("validation.manifests.indexes.platforms", "none"),
        row(&[("VALIDATION_MANIFESTS_INDEXES_PLATFORMS", "some")])
            .theirs(Refuses("invalid platforms option"))
            .refuses("`some` is not a choice"),
        row(&[("POLICY_REPOSITORY_CLASSES", "[image]")]).shows("policy.repository.classes", json!(["image"])),
        row(&[("COMPATIBILITY_SCHEMA1_ENABLED", "true")]).theirs(Ignores).says("compatibility: schema 1 is gone").because(SAID),
    ]
}

/// The rule, quirk by quirk.
fn rule() -> Vec<Row> {
    vec![
        // Applied in the order of their names: the section first, then what stands in it.
        row(&[("STORAGE_FILESYSTEM_ROOTDIRECTORY", "DIR/b"), ("STORAGE", "{filesystem: {rootdirectory: DIR/a}}")])
            .shows("storage.filesystem.rootdirectory", "DIR/b"),
        // Cut at each underscore, which cannot be escaped.
        row(&[("STORAGE_FILESYSTEM_MAX_THREADS", "50")]).says("storage.filesystem.max: unknown, so ignored").because(SAID),
        // By the name of the field, not by that in the file.
        row(&[("HEALTH_FILECHECKERS_0_FILE", "DIR/down")]).shows("health.file.0.file", "DIR/down"),
        row(&[("HEALTH_HTTPCHECKERS_0_URI", "http://127.0.0.1:1/")]).shows("health.http.0.uri", "http://127.0.0.1:1/"),
        row(&[("HEALTH_TCPCHECKERS_0_ADDR", "127.0.0.1:1")]).shows("health.tcp.0.addr", "127.0.0.1:1"),
        row(&[("HEALTH_FILE_0_FILE", "DIR/down")]).theirs(Ignores).says("`FILE` is unknown, so the variable is ignored"),
        row(&[("NOTIFICATIONS_EVENTS_INCLUDEREFERENCES", "true")]).theirs(Ignores).says("`EVENTS` is unknown, so the variable is ignored"),
        row(&[("LOG_HOOKS_0_MAILOPTIONS_FROM", "a@example.com")]).says("log.hooks"),
        row(&[("REDIS_OPTIONS_PASSWORD", "p")]).shows("redis.password", "********").says("redis: redis is not used"),
        // In maps by the upper case of what is there; the last one in lower case.
        row(&[("HTTP_HEADERS_X-Content-Type-Options", "[none]")])
            .shows("http.headers", json!({"X-Content-Type-Options": ["nosniff"], "x-content-type-options": ["none"]})),
        // In lists by a number, which may be the next one.
        row(&[("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key"), ("HTTP_TLS_CLIENTCAS_1", "DIR/ca.crt")])
            .theirs(Refuses("undefined index: 1"))
            .refuses("REGISTRY_HTTP_TLS_CLIENTCAS_1: undefined index 1"),
        row(&[("HEALTH_TCPCHECKERS_X_ADDR", "127.0.0.1:1")])
            .theirs(Refuses("non-numeric index: X"))
            .refuses("`X` is not the index of an item"),
        row(&[("HEALTH_TCPCHECKERS_0_ADDR", "127.0.0.1:1"), ("HEALTH_TCPCHECKERS_1_ADDR", "127.0.0.1:2")])
            .shows("health.tcp.1.addr", "127.0.0.1:2"),
        // Values are YAML.
        row(&[("HTTP_SECRET", "a b #c")]).shows("http.secret", "********").says("` #` begins a comment"),
        row(&[("HTTP_SECRET", "'a b #c'")]).shows("http.secret", "********"),
        row(&[("HTTP_SECRET", "*abc")]).theirs(Refuses("unknown anchor")).refuses("REGISTRY_HTTP_SECRET: this is not YAML"),
        row(&[("HTTP_SECRET", "{a: b}")]).theirs(Refuses("cannot unmarshal !!map")).refuses("http.secret: a section is not one text"),
        row(&[("HTTP_RELATIVEURLS", "yes")]).shows("http.relativeurls", true),
        row(&[("HTTP_RELATIVEURLS", "maybe")])
            .theirs(Refuses("cannot unmarshal !!str"))
            .refuses("http.relativeurls: `maybe` is not a truth value"),
        row(&[("HTTP_DRAINTIMEOUT", "30")]).shows("http.draintimeout", "30ns").says("30 means 30 nanoseconds"),
        row(&[("HTTP_DRAINTIMEOUT", "soon")])
            .theirs(Refuses("cannot unmarshal !!str"))
            .refuses("http.draintimeout: `soon` is not a duration"),
        row(&[("LOG_LEVEL", "")]).shows("log.level", "info"),
        row(&[("HTTP_DEBUG", "")]).shows("http.debug.addr", json!(null)),
        // Names that others set, and names that nobody knows.
        row(&[("PORT", "tcp://10.0.0.1:5000"), ("PORT_5000_TCP_ADDR", "10.0.0.1"), ("SERVICE_HOST", "10.0.0.1")])
            .theirs(Ignores)
            .because("Kubernetes sets these for a service of this name: nothing is wrong with them"),
        row(&[("HTPP_ADDR", "127.0.0.1:0")]).theirs(Ignores).says("`HTPP` is unknown, so the variable is ignored; did you mean `HTTP`?"),
        row(&[("HTTP_ADRR", "127.0.0.1:0")]).theirs(Ignores).says("`ADRR` is unknown, so the variable is ignored; did you mean `ADDR`?"),
        row(&[("STORAGE_FILESYSTEM_ROOTDIRECTRY", "DIR/other")])
            .says("storage.filesystem.rootdirectry: unknown, so ignored; did you mean `rootdirectory`?")
            .because(SAID),
        row(&[("HTTP_ADDR_X", "y")]).says("`addr` has nothing below it, so the variable is ignored").because(SAID),
        // Two kinds of authentication: which one counts is left to chance there.
        row(&[("AUTH", "{htpasswd: {realm: r, path: DIR/htpasswd}, silly: {realm: r, service: s}}")])
            .theirs(Refuses("must provide exactly one type"))
            .refuses("auth"),
        row(&[
            ("AUTH_HTPASSWD_REALM", "r"),
            ("AUTH_HTPASSWD_PATH", "DIR/htpasswd"),
            ("AUTH_SILLY_REALM", "r"),
            ("AUTH_SILLY_SERVICE", "s"),
        ])
        .theirs(Leaves)
        .refuses("auth.silly")
        .because(CHECKED),
    ]
}

/// What the rule of registry 3 loses or breaks over, and works here.
fn defects() -> Vec<Row> {
    vec![
        row(&[("STORAGE_MAINTENANCE_READONLY_ENABLED", "true")])
            .theirs(Panics(""))
            .shows("storage.maintenance.readonly.enabled", true)
            .because(EARLIER),
        row(&[("STORAGE_MAINTENANCE_UPLOADPURGING_ENABLED", "false")])
            .theirs(Panics(""))
            .shows("storage.maintenance.uploadpurging.enabled", false)
            .because(EARLIER),
        row(&[("STORAGE_MAINTENANCE_UPLOADPURGING_AGE", "24h"), ("STORAGE_MAINTENANCE_UPLOADPURGING_DRYRUN", "true")])
            .theirs(Panics(""))
            .shows("storage.maintenance.uploadpurging.age", "24h")
            .shows("storage.maintenance.uploadpurging.dryrun", true)
            .shows("storage.maintenance.uploadpurging.interval", "24h")
            .because(EARLIER),
        row(&[("HTTP_TLS_CERTIFICATE", "DIR/tls.crt"), ("HTTP_TLS_KEY", "DIR/tls.key"), ("HTTP_TLS_CLIENTCAS_0", "DIR/ca.crt")])
            .theirs(Refuses("open : no such file"))
            .shows("http.tls.clientcas", json!(["DIR/ca.crt"]))
            .because(EARLIER),
        row(&[
            ("HTTP_TLS_LETSENCRYPT_CACHEFILE", "DIR/acme"),
            ("HTTP_TLS_LETSENCRYPT_EMAIL", "ops@example.com"),
            ("HTTP_TLS_LETSENCRYPT_HOSTS_0", "registry.example.com"),
        ])
        .theirs(Drops)
        .shows("http.tls.letsencrypt.hosts", json!(["registry.example.com"]))
        .says("the ACME server connects to port 443")
        .because(EARLIER),
        row(&[("HTTP_SECRET_FILE", "DIR/secret")]).theirs(Drops).shows("http.secret", "********").because("a secret may lie in a file"),
        row(&[("HTTP_SECRET_FILE", "DIR/none")]).theirs(Drops).refuses("cannot read the file").because("a secret may lie in a file"),
    ]
}
