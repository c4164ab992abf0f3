//! What a refusal looks like on the wire; which one it is, `error.rs` says.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderName};
use serde::Serialize;
use serde_json::Value;

use crate::oci::ErrorCode;

/// What a client gets.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) code: ErrorCode,
    details: Vec<Option<Value>>,
    header: Option<(HeaderName, String)>,
    /// Instead of the message of the code, which some clients do not show.
    message: Option<&'static str>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, code: ErrorCode) -> Self {
        Self { status, code, details: vec![None], header: None, message: None }
    }

    pub(super) fn saying(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    pub(super) fn with(mut self, detail: Value) -> Self {
        self.details = vec![Some(detail)];
        self
    }

    /// An error for each of some details.
    pub(super) fn with_each(mut self, details: impl Iterator<Item = Value>) -> Self {
        self.details = details.map(Some).collect();
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// The answer on the wire.
    pub(super) fn response(self) -> HttpResponse {
        let message = self.message.unwrap_or_else(|| self.code.message());
        let errors = self.details.into_iter().map(|detail| Entry { code: self.code.as_str(), message, detail }).collect();
        let mut response = HttpResponse::build(self.status);
        if let Some((name, value)) = self.header {
            response.insert_header((name, value));
        }
        response.content_type(ContentType::json()).body(json_line(&Refusals { errors }))
    }
}

/// The body of a refusal (distribution specification, "Error Codes").
#[derive(Serialize)]
struct Refusals<'a> {
    errors: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Value>,
}

/// A value in JSON and the end of a line, as registry:2 writes its bodies.
pub(super) fn json_line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("what answers are made of is plain text and numbers");
    text + "\n"
}
