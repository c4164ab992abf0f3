//! Logging set-up.

use std::collections::BTreeMap;

/// `log`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The least severe level that is written.
    pub level: tracing::Level,
    /// How lines of the application log look.
    pub formatter: Formatter,
    /// Fields added to each entry.
    pub fields: BTreeMap<String, String>,
    /// Whether the combined access log is written on standard output.
    pub access_log: AccessLog,
}

/// `log.formatter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatter {
    /// `key=value` lines.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.accesslog.disabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Combined lines on standard output.
    Combined,
    /// None.
    Disabled,
}
