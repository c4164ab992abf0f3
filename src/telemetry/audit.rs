//! The audit log: who was let in or refused, from where, to do what, and why. One JSON object a line.
//!
//! Invariant: what it is given holds no secret; names that a stranger chose are cut to a bearable length.

use std::fs::OpenOptions;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::labels::Log;
use super::{AuditOutput, LineWriter, Metrics};

/// Where decisions are written down.
#[derive(Clone, Debug)]
pub struct AuditLog(LineWriter);

/// What was decided about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Who somebody is.
    Login,
    /// What a token is good for.
    Token,
    /// Whether somebody may do something.
    Access,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Refused,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What it was about.
    pub event: Event,
    /// The caller as logs name it, or, where that was not proven, as it named itself.
    pub user: &'a str,
    /// Where it came from.
    pub address: IpAddr,
    /// The repository, or what stands for several.
    pub repository: Option<&'a str>,
    /// What was decided.
    pub verdict: Verdict,
    /// Why.
    pub reason: &'a str,
    /// The request, as other logs name it.
    pub request_id: &'a str,
}

impl AuditLog {
    /// Opens the output. A file is made for the owner alone, and only ever added to.
    pub fn start(output: &AuditOutput, metrics: &Metrics) -> io::Result<Self> {
        const NAME: &str = "audit-log";
        let lost = metrics.lost_lines(Log::Audit);
        Ok(Self(match output {
            AuditOutput::Stderr => LineWriter::start(NAME, io::stderr(), lost)?,
            AuditOutput::Stdout => LineWriter::start(NAME, io::stdout(), lost)?,
            AuditOutput::File(path) => LineWriter::start(NAME, OpenOptions::new().create(true).append(true).mode(0o600).open(path)?, lost)?,
        }))
    }

    /// Waits until what was decided so far is written. Blocks.
    pub fn flush(&self) {
        self.0.flush();
    }

    /// Writes one decision down.
    pub fn record(&self, entry: &Entry<'_>) {
        self.0.write(line(entry, OffsetDateTime::now_utc()));
    }
}

/// The fields, in the order in which they are written.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    event: Event,
    user: &'a str,
    address: IpAddr,
    repository: Option<&'a str>,
    decision: Verdict,
    reason: &'a str,
    request_id: &'a str,
}

fn line(entry: &Entry<'_>, now: OffsetDateTime) -> String {
    let line = Line {
        time: now.format(&Rfc3339).unwrap_or_default(),
        event: entry.event,
        user: cut(entry.user),
        address: entry.address,
        repository: entry.repository.map(cut),
        decision: entry.verdict,
        reason: cut(entry.reason),
        request_id: entry.request_id,
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

fn cut(text: &str) -> &str {
    let end = text.char_indices().map(|(at, _)| at).nth(LONGEST);
    end.map_or(text, |end| &text[..end])
}

/// The most characters of one field.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_line_whatever_a_stranger_calls_himself() {
        let user = format!("a\n{{\"event\":\"x\"}}{}", "ü".repeat(5000));
        let entry = Entry {
            event: Event::Login,
            user: &user,
            address: "2001:db8::1".parse().unwrap(),
            repository: None,
            verdict: Verdict::Refused,
            reason: "wrong credentials",
            request_id: "1",
        };
        let line = line(&entry, OffsetDateTime::UNIX_EPOCH);
        assert_eq!((line.matches('\n').count(), line.ends_with('\n')), (1, true));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fields = ["time", "event", "address", "decision", "reason", "request_id"].map(|name| value[name].as_str().unwrap());
        assert_eq!(fields, ["1970-01-01T00:00:00Z", "login", "2001:db8::1", "refused", "wrong credentials", "1"]);
        assert!(value["repository"].is_null() && value["user"].as_str().unwrap().chars().count() == LONGEST);
    }
}
