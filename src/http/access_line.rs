//! The lines of the access log, in either form.
//!
//! What comes from outside can neither end its field nor its line.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue, REFERER, USER_AGENT};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::telemetry::AccessLogForm;

/// A line that lacks what is known at the end of the answer only.
pub(super) enum Line {
    /// What stands before the length of the answer's body, and what behind it.
    Combined {
        head: String,
        tail: String,
    },
    Json(Box<Fields>),
}

/// The fields of a JSON line, in the order in which they are written.
#[derive(Serialize)]
pub(super) struct Fields {
    time: String,
    client: IpAddr,
    user: Option<String>,
    method: String,
    uri: String,
    protocol: String,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    referer: Option<String>,
    user_agent: Option<String>,
    request_id: String,
}

/// What a request alone does not say.
pub(super) struct Facts<'a> {
    pub(super) client: IpAddr,
    /// As logs name it; `None`: nobody.
    pub(super) user: Option<String>,
    pub(super) status: u16,
    pub(super) request_id: &'a str,
    pub(super) now: OffsetDateTime,
}

impl Line {
    pub(super) fn new(form: AccessLogForm, request: &HttpRequest, facts: Facts<'_>) -> Self {
        match form {
            AccessLogForm::Combined => combined(request, &facts),
            AccessLogForm::Json => Self::Json(Box::new(fields(request, facts))),
        }
    }

    /// The whole line, once it is known how many bytes were sent and how long it took.
    pub(super) fn finish(self, sent: u64, duration: Duration) -> String {
        match self {
            Self::Combined { mut head, tail } => {
                // Writing to a text cannot fail.
                write!(head, "{sent}{tail}").ok();
                head
            }
            Self::Json(mut fields) => {
                (fields.bytes, fields.duration_ms) = (sent, (duration.as_secs_f64() * 1e6).round() / 1e3);
                serde_json::to_string(&fields).unwrap_or_default() + "\n"
            }
        }
    }
}

/// In the combined format, as registry:2 writes it.
fn combined(request: &HttpRequest, facts: &Facts<'_>) -> Line {
    let format = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
    let time = facts.now.format(format).unwrap_or_default();
    let mut head = format!("{} - ", facts.client);
    push_escaped(&mut head, facts.user.as_deref().unwrap_or("-").as_bytes());
    write!(head, " [{time}] \"{} ", request.method()).ok();
    push_escaped(&mut head, request.uri().to_string().as_bytes());
    write!(head, " {:?}\" {} ", request.version(), facts.status).ok();
    let mut tail = " \"".to_owned();
    push_escaped(&mut tail, request.headers().get(REFERER).map_or(b"", HeaderValue::as_bytes));
    tail.push_str("\" \"");
    push_escaped(&mut tail, request.headers().get(USER_AGENT).map_or(b"", HeaderValue::as_bytes));
    tail.push_str("\"\n");
    Line::Combined { head, tail }
}

fn fields(request: &HttpRequest, facts: Facts<'_>) -> Fields {
    let header = |name: HeaderName| request.headers().get(name).map(|value| cut(value.as_bytes()));
    Fields {
        time: facts.now.format(&Rfc3339).unwrap_or_default(),
        client: facts.client,
        user: facts.user,
        method: request.method().to_string(),
        uri: cut(request.uri().to_string().as_bytes()),
        protocol: format!("{:?}", request.version()),
        status: facts.status,
        bytes: 0,
        duration_ms: 0.0,
        referer: header(REFERER),
        user_agent: header(USER_AGENT),
        request_id: facts.request_id.to_owned(),
    }
}

fn cut(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]).into_owned()
}

/// The most bytes of one field: lines wait in memory.
const LONGEST: usize = 2048;

fn push_escaped(line: &mut String, bytes: &[u8]) {
    for byte in &bytes[..bytes.len().min(LONGEST)] {
        match byte {
            b'"' | b'\\' => line.extend(['\\', char::from(*byte)]),
            0x20..=0x7e => line.push(char::from(*byte)),
            other => {
                write!(line, "\\x{other:02x}").ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn line(form: AccessLogForm) -> String {
        let request = TestRequest::with_uri("/v2/a/manifests/1?x='").insert_header((USER_AGENT, "a\" b")).to_http_request();
        let facts = Facts {
            client: "2001:db8::1".parse().unwrap(),
            user: Some("alice".to_owned()),
            status: 404,
            request_id: "17",
            now: OffsetDateTime::UNIX_EPOCH,
        };
        Line::new(form, &request, facts).finish(99, Duration::from_micros(1500))
    }

    #[test]
    fn text_from_outside_stays_in_its_field() {
        let mut line = String::new();
        push_escaped(&mut line, "a\" 200\n\u{7f}é".as_bytes());
        assert_eq!(line, "a\\\" 200\\x0a\\x7f\\xc3\\xa9");
    }

    #[test]
    fn a_field_is_cut_to_a_bearable_length() {
        let request = TestRequest::default().insert_header((USER_AGENT, "x".repeat(100_000))).to_http_request();
        for form in [AccessLogForm::Combined, AccessLogForm::Json] {
            let client = "2001:db8::1".parse().unwrap();
            let facts = Facts { client, user: None, status: 200, request_id: "1", now: OffsetDateTime::UNIX_EPOCH };
            let line = Line::new(form, &request, facts).finish(0, Duration::ZERO);
            assert!(line.len() < 3000, "{}", line.len());
        }
    }

    #[test]
    fn a_combined_line_is_as_registry_2_writes_it() {
        let expected = "2001:db8::1 - alice [01/Jan/1970:00:00:00 +0000] \"GET /v2/a/manifests/1?x=' HTTP/1.1\" 404 99 \"\" \"a\\\" b\"\n";
        assert_eq!(line(AccessLogForm::Combined), expected);
    }

    #[test]
    fn a_json_line_is_one_object() {
        let text = line(AccessLogForm::Json);
        assert_eq!(text.matches('\n').count(), 1);
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z", "client": "2001:db8::1", "user": "alice", "method": "GET", "uri": "/v2/a/manifests/1?x='",
            "protocol": "HTTP/1.1", "status": 404, "bytes": 99, "duration_ms": 1.5, "referer": null, "user_agent": "a\" b", "request_id": "17",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
    }
}
