//! The names of registry:2 that do not stand under `storage`.

use super::Key;
use super::Kind::{Any, Bool, Choice, Duration, Inline, Integer, Items, Parameters, Secret, Section, Table, Text, Texts};

const ONE_PROTOCOL: &str = "only HTTP/1.1 is spoken, which every registry client does";
const NO_PROXY: &str = "pull-through is not there yet, and without it this would be an ordinary registry that takes pushes; remove the \
     section, or keep registry:2 for this cache";
const NO_MIDDLEWARE: &str = "middleware of this kind is not there; nothing of the registry goes through it, so remove the list";

/// The sections that come first in most files.
pub(super) const FIRST: &[Key] = &[
    Key::honoured("version", Text),
    Key::honoured("loglevel", Text),
    Key::honoured("log", Section(LOG)),
    Key::honoured("http", Section(HTTP)),
    Key::honoured("auth", Choice(AUTH)),
];

/// The others.
pub(super) const LAST: &[Key] = &[
    Key::honoured("catalog", Section(&[Key::honoured("maxentries", Integer)])),
    Key::honoured("tags", Section(&[Key::honoured("maxtags", Integer)])),
    Key::honoured("health", Section(HEALTH)),
    Key::honoured("notifications", Section(NOTIFICATIONS)),
    Key::later("redis", Section(REDIS), "redis is not used: descriptors are read from the storage, which is fast enough without it"),
    Key::honoured("proxy", Section(PROXY)),
    Key::honoured("validation", Section(VALIDATION)),
    Key::honoured("policy", Section(&[Key::honoured("repository", Section(&[CLASSES]))])),
    Key::honoured("middleware", Parameters(MIDDLEWARE)),
    Key::legacy("compatibility", Section(&[SCHEMA1]), "schema 1 is gone, as from registry 3; the section has no effect"),
    Key::legacy("reporting", Section(REPORTING), "reports to bugsnag and newrelic are gone, as from registry 3; the section has no effect"),
];

const LOG: &[Key] = &[
    Key::honoured("accesslog", Section(&[Key::honoured("disabled", Bool), Key::honoured("formatter", Text)])),
    Key::honoured("level", Text),
    Key::honoured("formatter", Text),
    Key::honoured("fields", Table),
    Key::missing(
        "hooks",
        Items(HOOK),
        "hooks are not there, so no mail will be sent; have what collects the log send it, and remove the list",
    ),
    Key::later("reportcaller", Bool, "entries do not name functions and files; they name their module"),
    Key::honoured("audit", Section(&[Key::honoured("output", Text)])),
];

const HOOK: &[Key] = &[
    Key::moot("disabled", Bool),
    Key::moot("type", Text),
    Key::moot("levels", Texts),
    Key::moot("options", Section(MAIL)).variable("MAILOPTIONS"),
];

const MAIL: &[Key] = &[
    Key::moot(
        "smtp",
        Section(&[Key::moot("addr", Text), Key::moot("username", Text), Key::moot("password", Secret), Key::moot("insecure", Bool)]),
    ),
    Key::moot("from", Text),
    Key::moot("to", Texts),
];

const HTTP: &[Key] = &[
    Key::honoured("addr", Text),
    Key::honoured("net", Text),
    Key::honoured("host", Text),
    Key::honoured("prefix", Text),
    Key::honoured("secret", Secret),
    Key::honoured("relativeurls", Bool),
    Key::honoured("draintimeout", Duration),
    Key::honoured("tls", Section(TLS)),
    Key::honoured("headers", Table),
    Key::honoured("debug", Section(DEBUG)),
    Key::honoured("http2", Section(&[Key::moot("disabled", Bool)])),
    Key::honoured("h2c", Section(&[Key::later("enabled", Bool, ONE_PROTOCOL)])),
    Key::honoured("trustedproxies", Texts),
    Key::honoured("accelredirect", Text),
];

const TLS: &[Key] = &[
    Key::honoured("certificate", Text),
    Key::honoured("key", Text),
    Key::honoured("clientcas", Texts),
    Key::honoured("clientauth", Text),
    Key::honoured("minimumtls", Text),
    Key::honoured("ciphersuites", Texts),
    Key::honoured("letsencrypt", Section(LETSENCRYPT)),
];

const LETSENCRYPT: &[Key] = &[
    Key::honoured("cachefile", Text),
    Key::honoured("email", Text),
    Key::honoured("hosts", Texts),
    Key::honoured("directoryurl", Text),
    Key::honoured("eab", Section(&[Key::honoured("kid", Text), Key::honoured("hmackey", Secret)])),
    Key::honoured("http", Text),
    Key::honoured("cacert", Text),
];

const DEBUG: &[Key] =
    &[Key::honoured("addr", Text), Key::honoured("prometheus", Section(&[Key::honoured("enabled", Bool), Key::honoured("path", Text)]))];

const AUTH: &[Key] = &[
    Key::honoured("none", Any),
    Key::refused("silly", Any, "this lets in whoever sends any password, and exists for tests only; use `htpasswd` or `token`"),
    Key::honoured("htpasswd", Parameters(&[Key::honoured("realm", Text), Key::honoured("path", Text)])),
    Key::honoured("token", Parameters(TOKEN)),
];

const TOKEN: &[Key] = &[
    Key::honoured("realm", Text),
    Key::honoured("service", Text),
    Key::honoured("issuer", Text),
    Key::honoured("rootcertbundle", Text),
    Key::honoured("jwks", Text),
    Key::honoured("autoredirect", Bool),
    Key::honoured("autoredirectpath", Text),
    Key::honoured("signingalgorithms", Texts),
];

const HEALTH: &[Key] = &[
    Key::honoured("file", Items(&[Key::honoured("file", Text), Key::honoured("interval", Duration), Key::honoured("threshold", Integer)]))
        .variable("FILECHECKERS"),
    Key::honoured(
        "http",
        Items(&[
            Key::honoured("uri", Text),
            Key::honoured("headers", Table),
            Key::honoured("statuscode", Integer),
            Key::honoured("timeout", Duration),
            Key::honoured("interval", Duration),
            Key::honoured("threshold", Integer),
        ]),
    )
    .variable("HTTPCHECKERS"),
    Key::honoured(
        "tcp",
        Items(&[
            Key::honoured("addr", Text),
            Key::honoured("timeout", Duration),
            Key::honoured("interval", Duration),
            Key::honoured("threshold", Integer),
        ]),
    )
    .variable("TCPCHECKERS"),
    Key::honoured(
        "storagedriver",
        Section(&[Key::honoured("enabled", Bool), Key::honoured("interval", Duration), Key::honoured("threshold", Integer)]),
    ),
];

const NOTIFICATIONS: &[Key] = &[
    Key::honoured("events", Section(&[Key::honoured("includereferences", Bool)])).variable("EVENTCONFIG"),
    Key::honoured("endpoints", Items(ENDPOINT)),
];

const ENDPOINT: &[Key] = &[
    Key::honoured("name", Text),
    Key::honoured("disabled", Bool),
    Key::honoured("url", Text),
    Key::honoured("secret", Secret),
    Key::honoured("headers", Table),
    Key::honoured("timeout", Duration),
    Key::honoured("threshold", Integer),
    Key::honoured("backoff", Duration),
    Key::honoured("ignoredmediatypes", Texts),
    Key::honoured("ignore", Section(&[Key::honoured("mediatypes", Texts), Key::honoured("actions", Texts)])),
];

const REDIS: &[Key] = &[
    Key::moot("options", Inline),
    Key::moot("addr", Text),
    Key::moot("addrs", Texts),
    Key::moot("clientname", Text),
    Key::moot("db", Integer),
    Key::moot("protocol", Integer),
    Key::moot("username", Text),
    Key::moot("password", Secret),
    Key::moot("sentinelusername", Text),
    Key::moot("sentinelpassword", Secret),
    Key::moot("maxretries", Integer),
    Key::moot("minretrybackoff", Duration),
    Key::moot("maxretrybackoff", Duration),
    Key::moot("dialtimeout", Duration),
    Key::moot("readtimeout", Duration),
    Key::moot("writetimeout", Duration),
    Key::moot("contexttimeoutenabled", Bool),
    Key::moot("poolfifo", Bool),
    Key::moot("poolsize", Integer),
    Key::moot("pooltimeout", Duration),
    Key::moot("minidleconns", Integer),
    Key::moot("maxidleconns", Integer),
    Key::moot("maxactiveconns", Integer),
    Key::moot("connmaxidletime", Duration),
    Key::moot("connmaxlifetime", Duration),
    Key::moot("maxredirects", Integer),
    Key::moot("readonly", Bool),
    Key::moot("routebylatency", Bool),
    Key::moot("routerandomly", Bool),
    Key::moot("mastername", Text),
    Key::moot("disableidentity", Bool),
    Key::moot("identitysuffix", Text),
    Key::moot("unstableresp3", Bool),
    Key::moot("tls", Section(&[Key::moot("certificate", Text), Key::moot("key", Text), Key::moot("rootcas", Texts)])),
    Key::moot("pool", Section(&[Key::moot("maxidle", Integer), Key::moot("maxactive", Integer), Key::moot("idletimeout", Duration)])),
    Key::moot("sentinelMasterSet", Text),
    Key::moot("enableTLS", Bool),
];

const PROXY: &[Key] = &[
    Key::refused("remoteurl", Text, NO_PROXY),
    Key::moot("username", Text),
    Key::moot("password", Secret),
    Key::moot("exec", Section(&[Key::moot("command", Text), Key::moot("lifetime", Duration)])),
    Key::moot("ttl", Duration),
    Key::moot("cachewritetimeout", Duration),
];

const VALIDATION: &[Key] =
    &[Key::honoured("enabled", Bool), Key::honoured("disabled", Bool), Key::honoured("manifests", Section(&[URLS, INDEXES]))];

const URLS: Key = Key::honoured("urls", Section(&[Key::honoured("allow", Texts), Key::honoured("deny", Texts)]));

const INDEXES: Key = Key::honoured(
    "indexes",
    Section(&[
        Key::honoured("platforms", Text),
        Key::honoured("platformlist", Items(&[Key::honoured("architecture", Text), Key::honoured("os", Text)])),
    ]),
);

const CLASSES: Key = Key::honoured("classes", Texts);

const MIDDLEWARE: &[Key] = &[
    Key::missing("registry", Items(STEP), NO_MIDDLEWARE),
    Key::missing("repository", Items(STEP), NO_MIDDLEWARE),
    Key::honoured("storage", Items(STEP)),
];

const STEP: &[Key] = &[Key::honoured("name", Text), Key::honoured("disabled", Bool), Key::honoured("options", Parameters(STEP_OPTIONS))];

const STEP_OPTIONS: &[Key] = &[
    Key::honoured("baseurl", Text),
    Key::moot("privatekey", Text),
    Key::moot("keypairid", Text),
    Key::moot("duration", Duration),
    Key::moot("ipfilteredby", Text),
    Key::moot("awsregion", Any),
    Key::moot("updatefrequency", Duration),
    Key::moot("iprangesurl", Text),
    Key::honoured("scheme", Text),
    Key::honoured("host", Text),
    Key::honoured("trimpathprefix", Text),
];

const SCHEMA1: Key = Key::moot("schema1", Section(&[Key::moot("signingkeyfile", Text).variable("TRUSTKEY"), Key::moot("enabled", Bool)]));

const REPORTING: &[Key] = &[
    Key::moot("bugsnag", Section(&[Key::moot("apikey", Secret), Key::moot("releasestage", Text), Key::moot("endpoint", Text)])),
    Key::moot("newrelic", Section(&[Key::moot("licensekey", Secret), Key::moot("name", Text), Key::moot("verbose", Bool)])),
];
