//! The top-level names that registry:2 does not know; those of ours inside its sections stand beside its own.

use super::Key;
use super::Kind::{Bool, Duration, Integer, Items, Section, Switch, Table, Text, Texts};

/// The sections.
pub(super) const TOP: &[Key] = &[
    Key::honoured("state", Text),
    Key::honoured("tokenservice", Switch(TOKENSERVICE)),
    Key::honoured("access", Switch(ACCESS)),
    Key::honoured("oidc", Items(OIDC)),
    Key::honoured("certificates", Section(&[Key::honoured("user", Text)])),
    Key::honoured("limits", Section(LIMITS)),
    Key::honoured("metrics", Section(METRICS)),
];

const TOKENSERVICE: &[Key] = &[
    Key::honoured("signingkey", Text),
    Key::honoured("certificate", Text),
    Key::honoured("realm", Text),
    Key::honoured("service", Text),
    Key::honoured("issuer", Text),
    Key::honoured("expiration", Duration),
];

/// The section of the rules, which may stand in a file of its own.
pub(crate) const ACCESS: &[Key] = &[Key::honoured("file", Text), Key::honoured("groups", Table), Key::honoured("rules", Items(RULE))];

const RULE: &[Key] = &[
    Key::honoured("who", Text),
    Key::honoured("repositories", Texts),
    Key::honoured("actions", Texts),
    Key::honoured("from", Texts),
    Key::honoured("catalog", Bool),
];

const OIDC: &[Key] = &[
    Key::honoured("name", Text),
    Key::honoured("issuer", Text),
    Key::honoured("jwks", Text),
    Key::honoured("audience", Text),
    Key::honoured("match", Table),
    Key::honoured("user", Text),
];

const RATE: &[Key] = &[Key::honoured("rate", Text), Key::honoured("burst", Integer)];

const LIMITS: &[Key] = &[
    Key::honoured("reads", Section(RATE)),
    Key::honoured("writes", Section(RATE)),
    Key::honoured("logins", Section(RATE)),
    Key::honoured("exempt", Texts),
    Key::honoured("connections", Section(&[Key::honoured("total", Integer), Key::honoured("peraddress", Integer)])),
    Key::honoured(
        "timeouts",
        Section(&[
            Key::honoured("handshake", Duration),
            Key::honoured("header", Duration),
            Key::honoured("idle", Duration),
            Key::honoured("stall", Duration),
        ]),
    ),
    Key::honoured("minrate", Text),
    Key::honoured("manifestsize", Text),
    Key::honoured("blobsize", Text),
    Key::honoured("reserve", Text),
];

const METRICS: &[Key] =
    &[Key::honoured("enabled", Bool), Key::honoured("path", Text), Key::honoured("from", Texts), Key::honoured("users", Texts)];
