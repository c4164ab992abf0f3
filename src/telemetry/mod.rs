//! Logging set-up, and the metrics.
//!
//! The application log goes to standard error, the access log to standard output, as registry:2 has it; the audit log where the
//! configuration says.

mod audit;
mod fields;
mod labels;
mod line_writer;
mod metrics;
mod outlets;
#[cfg(feature = "otlp")]
mod traces;
#[cfg(not(feature = "otlp"))]
#[path = "traces_absent.rs"]
mod traces;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use prometheus::IntCounter;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

pub use audit::{AuditLog, Entry, Event, Verdict};
pub use labels::{Attempt, Direction, Endpoint, Grant, HealthKind, Label, Limit, Log, LoginOutcome, Lost, Method, Outcome, StorageAction};
pub use line_writer::LineWriter;
pub use metrics::{Answered, Metrics, NotificationSeries};
pub use outlets::{AccessLog, Outlets};
pub use traces::adopt;

use fields::WithFields;

/// `log`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The least severe level that is written.
    pub level: Level,
    /// How lines of the application log look.
    pub formatter: Formatter,
    /// Fields added to each entry.
    pub fields: BTreeMap<String, String>,
    /// How lines of the access log on standard output look; `None`: there is none.
    pub access_log: Option<AccessLogForm>,
    /// Where the audit log is written.
    pub audit: AuditOutput,
    /// Whether requests are traced.
    pub traces: Traces,
}

/// Whether spans are sent to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// By OTLP, to where the environment says.
    Otlp,
    /// Nowhere.
    Off,
}

/// `log.audit.output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// Beside the application log.
    Stderr,
    /// Beside the access log.
    Stdout,
    /// At the end of a file.
    File(PathBuf),
}

/// `log.formatter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatter {
    /// `key=value` lines.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.accesslog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogForm {
    /// Combined lines, as registry:2 writes them.
    Combined,
    /// One JSON object a line.
    Json,
}

/// What runs as long as the application log does. Dropping it sends the spans that wait.
#[derive(Debug)]
pub struct Started {
    log: LineWriter,
    _traces: Option<traces::Sender>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.log.flush();
    }
}

/// Runs something that logs before anything else may start: traces bring threads, and the process may be about to become somebody else.
pub fn with_log<T>(options: &Options, work: impl FnOnce() -> T) -> T {
    tracing::subscriber::with_default(subscriber(options, io::stderr, None), work)
}

/// Starts the application log, and traces. Called once, by the program and before any runtime; a second call changes nothing.
pub fn start(options: &Options, version: &'static str) -> io::Result<Started> {
    let lost = IntCounter::new("lost", "Lines of the application log that were lost.").map_err(io::Error::other)?;
    // By a thread of its own: whoever logs must not wait for a terminal or a pipe that nobody reads.
    let log = LineWriter::start("application-log", io::stderr(), lost)?;
    let sender = (options.traces == Traces::Otlp).then(|| traces::Sender::start(version));
    let (traces, trouble) = match sender {
        Some(Ok(sender)) => (Some(sender), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    if tracing::subscriber::set_global_default(subscriber(options, log.clone(), traces.as_ref())).is_err() {
        tracing::debug!("the log was started before");
    }
    if let Some(error) = trouble {
        tracing::error!(%error, "requests are not traced");
    }
    Ok(Started { log, _traces: traces })
}

/// The library that accepts connections: what it tells at a start and a stop, the server says better.
const LISTENER: &str = "actix_server";

/// The library that reads requests.
const PARSER: &str = "actix_http";

fn subscriber<M>(options: &Options, writer: M, traces: Option<&traces::Sender>) -> Box<dyn Subscriber + Send + Sync>
where
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let writer = WithFields::new(writer, options.formatter, &options.fields);
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::from_level(options.level)).with_writer(writer);
    let filter = Targets::new().with_default(options.level).with_target(LISTENER, options.level.min(Level::WARN));
    // It complains of each request that is none, as often as anybody cares to send one.
    let complaints = if options.level == Level::DEBUG { LevelFilter::DEBUG } else { LevelFilter::OFF };
    let filter = filter.with_target(PARSER, complaints);
    match options.formatter {
        Formatter::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            Box::new(builder.with_target(false).with_ansi(is_terminal).finish().with(filter).with(traces.map(traces::Sender::layer)))
        }
        Formatter::Json => Box::new(builder.json().flatten_event(true).finish().with(filter).with(traces.map(traces::Sender::layer))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(formatter: Formatter, fields: &[(&str, &str)]) -> String {
        logged_at(Level::INFO, formatter, fields)
    }

    fn logged_at(level: Level, formatter: Formatter, fields: &[(&str, &str)]) -> String {
        let output = Output::default();
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = Options { level, formatter, fields, access_log: None, audit: AuditOutput::Stderr, traces: Traces::Off };
        let writer = output.clone();
        tracing::subscriber::with_default(subscriber(&options, move || writer.clone(), None), || {
            tracing::info!(repo.name = "a", "one");
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error: request parse error");
            tracing::warn!("two");
        });
        let bytes = output.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_that_is_none_is_worth_no_line() {
        let lines = |level| logged_at(level, Formatter::Text, &[]).lines().filter(|line| line.contains("parse error")).count();
        assert_eq!((lines(Level::INFO), lines(Level::DEBUG)), (0, 1));
    }

    #[test]
    fn configured_fields_stand_in_every_line_of_text() {
        let text = logged(Formatter::Text, &[("service", "registry"), ("zone", "a \"b\"")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.ends_with(r#" service="registry" zone="a \"b\"""#)), "{text}");
        assert!(logged(Formatter::Text, &[]).ends_with("two\n"));
    }

    #[test]
    fn configured_fields_stand_in_every_object_of_json() {
        for line in logged(Formatter::Json, &[("service", "registry"), ("a\"b", "c")]).lines() {
            let entry: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&entry["service"], &entry["a\"b"]), (&"registry".into(), &"c".into()), "{line}");
        }
        assert!(logged(Formatter::Json, &[]).lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
