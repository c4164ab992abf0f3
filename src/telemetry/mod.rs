//! Logging set-up.
//!
//! The application log goes to standard error, the access log to standard output, as registry:2 has it.

mod access_log;

use std::collections::BTreeMap;
use std::io;

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

pub use access_log::AccessLogWriter;

/// `log`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The least severe level that is written.
    pub level: Level,
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

/// Starts the application log. Called once, by the program; a second call changes nothing.
pub fn start(options: &Options) {
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::from_level(options.level)).with_writer(io::stderr);
    let started = match options.formatter {
        Formatter::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            builder.with_target(false).with_ansi(is_terminal).try_init()
        }
        Formatter::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
