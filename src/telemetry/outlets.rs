//! Where a server leaves what it has to tell: access log, audit log, metrics.

use std::io;
use std::sync::Arc;

use super::labels::Log;
use super::{AccessLogForm, AuditLog, LineWriter, Metrics, Options, Traces};

/// All outlets of one server.
#[derive(Clone, Debug)]
pub struct Outlets {
    /// One line a request, if it is wanted.
    pub access: Option<AccessLog>,
    /// One line a decision.
    pub audit: AuditLog,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether requests are traced.
    pub traces: Traces,
}

/// The access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// How its lines look.
    pub form: AccessLogForm,
    /// Where they are left.
    pub lines: LineWriter,
}

impl Outlets {
    /// Opens what the options name.
    pub fn open(options: &Options, version: &str) -> io::Result<Self> {
        let metrics = Arc::new(Metrics::new(version));
        let access = match options.access_log {
            Some(form) => {
                let lines = LineWriter::start("access-log", io::stdout(), metrics.lost_lines(Log::Access))?;
                Some(AccessLog { form, lines })
            }
            None => None,
        };
        let audit = AuditLog::start(&options.audit, &metrics)?;
        Ok(Self { access, audit, metrics, traces: options.traces })
    }

    /// Waits until what was left so far is written, but not for long. Blocks.
    pub fn flush(&self) {
        self.audit.flush();
        self.access.iter().for_each(|log| log.lines.flush());
    }
}
