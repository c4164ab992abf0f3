//! Why no certificate was issued.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::Problem;

/// Why no certificate was issued, or an issued one is not used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the state directory cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The authority of the ACME server's own TLS cannot be used.
    #[error("{} cannot be used", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server cannot be reached, or answers what is no ACME.
    #[error("the ACME server cannot be spoken to")]
    Server(#[source] instant_acme::Error),
    /// The server refuses something.
    #[error("the ACME server refuses {step}: {}", said(problem))]
    Refused {
        /// What was asked of it.
        step: Step,
        /// What it said.
        problem: Problem,
    },
    /// The server has looked at a host, and has not found what it should.
    #[error("the ACME server could not validate {host} by {method}: {}", said(problem))]
    Challenge {
        /// The host.
        host: String,
        /// The kind of challenge.
        method: &'static str,
        /// What it said.
        problem: Problem,
    },
    /// The server offers no way of validation that can be answered here.
    #[error("the ACME server offers no challenge for {host} that is answered here; it offers {offered}")]
    NoChallenge {
        /// The host.
        host: String,
        /// What it offers.
        offered: String,
    },
    /// The server ended the order without a reason.
    #[error("the ACME server has ended the order without a reason")]
    Ended,
    /// It took too long.
    #[error("the ACME server was not done within {} s", .0.as_secs())]
    Slow(Duration),
    /// The certificate that was issued is not what was ordered.
    #[error("the certificate that was issued {0}")]
    Unfit(&'static str),
    /// A certificate of our own cannot be made.
    #[error("a certificate cannot be made")]
    Made(#[from] rcgen::Error),
    /// A certificate of our own cannot be served.
    #[error("a certificate cannot be served")]
    Unusable(#[source] rustls::Error),
}

/// What is asked of an ACME server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new account.
    Account,
    /// A new order.
    Order,
    /// That it look at a host.
    Validation,
    /// The certificate.
    Issue,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Account => "the account",
            Self::Order => "the order",
            Self::Validation => "the validation",
            Self::Issue => "the certificate",
        })
    }
}

impl Step {
    /// What an error of this step is.
    pub(super) fn failed(self, error: instant_acme::Error) -> Error {
        match error {
            instant_acme::Error::Api(problem) => Error::Refused { step: self, problem },
            instant_acme::Error::Timeout(_) => Error::Slow(super::order::PATIENCE),
            error => Error::Server(error),
        }
    }
}

impl Error {
    /// It and all that is behind it, on one line.
    pub(super) fn chain(&self) -> String {
        let first: &dyn std::error::Error = self;
        std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Whether it is the account that the server does not take: it knows it not, or no longer.
    pub(super) fn is_about_the_account(&self) -> bool {
        let Self::Refused { step: Step::Order, problem } = self else { return false };
        ["accountDoesNotExist", "unauthorized"].iter().any(|kind| is(problem, kind))
    }

    /// Whether the server says that what an order replaces has been replaced already.
    pub(super) fn is_about_what_it_replaces(&self) -> bool {
        matches!(self, Self::Refused { step: Step::Order, problem } if is(problem, "alreadyReplaced"))
    }
}

fn is(problem: &Problem, kind: &str) -> bool {
    problem.r#type.as_deref().and_then(|name| name.strip_prefix("urn:ietf:params:acme:error:")) == Some(kind)
}

/// On one line, whatever a server writes.
fn said(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("no type");
    let mut text = format!("{} ({kind})", problem.detail.as_deref().unwrap_or("no detail"));
    for part in &problem.subproblems {
        text.push_str(&format!("; {part}"));
    }
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(LONGEST).collect()
}

/// As much of what a server says as the log needs.
const LONGEST: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Problem {
        serde_json::from_str(text).unwrap()
    }

    fn refused(step: Step, kind: &str) -> Error {
        Error::Refused { step, problem: problem(&format!(r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "no"}}"#)) }
    }

    #[test]
    fn an_account_gives_way_only_when_an_order_is_refused_for_it() {
        for (error, expected) in [
            (refused(Step::Order, "accountDoesNotExist"), true),
            (refused(Step::Order, "unauthorized"), true),
            (refused(Step::Order, "rateLimited"), false),
            (refused(Step::Order, "rejectedIdentifier"), false),
            (refused(Step::Issue, "unauthorized"), false),
            (refused(Step::Account, "unauthorized"), false),
            (Error::Refused { step: Step::Order, problem: problem("{}") }, false),
            (Error::Ended, false),
        ] {
            assert_eq!(error.is_about_the_account(), expected, "{error}");
            assert!(!error.is_about_what_it_replaces(), "{error}");
        }
        assert!(refused(Step::Order, "alreadyReplaced").is_about_what_it_replaces());
    }

    #[test]
    fn what_a_server_says_stays_on_one_line_and_is_not_endless() {
        let problem = problem(
            r#"{"type": "urn:x", "detail": "one\ntwo\u001b[31m", "subproblems":
                [{"identifier": {"type": "dns", "value": "a.example"}, "type": "urn:y", "detail": "three"}]}"#,
        );
        assert_eq!(said(&problem), "one two [31m (urn:x); for \"a.example\": three (urn:y)");
        let long = Problem { detail: Some("x".repeat(10_000)), ..problem };
        assert_eq!(said(&long).len(), LONGEST);
    }
}
