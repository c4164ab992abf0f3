//! The second, plain listener: it answers HTTP-01, and sends everybody else to the registry by HTTPS.
//!
//! It reads no request but its head, and sends nobody to a host that is not in the certificate.

use std::sync::Arc;

use actix_http::body::BoxBody;
use actix_http::header::{CONTENT_TYPE, HOST, LOCATION};
use actix_http::{HttpMessage as _, Method, Request, Response, StatusCode};
use tracing::debug;
use url::Url;

use crate::tls::Certificate;
use crate::tls::acme::Acme;

/// RFC 8555, section 8.3.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// What the listener knows.
#[derive(Clone)]
pub(super) struct Challenges {
    certificate: Arc<Certificate>,
    /// Where the registry is to be found, if it says so itself; else the port it listens on.
    public: Option<Url>,
    port: u16,
}

impl Challenges {
    pub(super) fn new(certificate: Arc<Certificate>, host: Option<&str>, port: u16) -> Self {
        let public = host.and_then(|host| Url::parse(host).ok()).filter(|url| url.scheme() == "https");
        Self { certificate, public, port }
    }

    pub(super) fn answer(&self, request: &Request) -> Response<BoxBody> {
        let Some(acme) = self.certificate.acme() else { return Response::not_found().map_into_boxed_body() };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.path().strip_prefix(CHALLENGES) {
            Some(token) if is_read => text(acme, token),
            _ => self.redirect(acme, request),
        }
    }

    fn redirect(&self, acme: &Acme, request: &Request) -> Response<BoxBody> {
        let Some(host) = self.host(acme, request) else { return Response::new(StatusCode::MISDIRECTED_REQUEST).map_into_boxed_body() };
        let rest = request.uri().path_and_query().map_or("/", |rest| rest.as_str());
        // The method stays: a push that goes astray must not become a pull.
        Response::build(StatusCode::PERMANENT_REDIRECT)
            .insert_header((LOCATION, format!("https://{host}{rest}")))
            .finish()
            .map_into_boxed_body()
    }

    /// Host and port for those who asked for a host of ours.
    fn host(&self, acme: &Acme, request: &Request) -> Option<String> {
        let asked = request.headers().get(HOST)?.to_str().ok()?;
        let name = asked.rsplit_once(':').map_or(asked, |(name, _)| name).to_ascii_lowercase();
        let name = acme.hosts().get(&name)?;
        let public = self.public.as_ref().filter(|url| url.host_str() == Some(name));
        let port = public.map_or(self.port, |url| url.port().unwrap_or(HTTPS));
        Some(if port == HTTPS { name.clone() } else { format!("{name}:{port}") })
    }
}

fn text(acme: &Acme, token: &str) -> Response<BoxBody> {
    match acme.text(token) {
        Some(text) => {
            debug!("a challenge of ACME was looked at");
            Response::build(StatusCode::OK).insert_header((CONTENT_TYPE, "application/octet-stream")).body(text).map_into_boxed_body()
        }
        None => Response::not_found().map_into_boxed_body(),
    }
}

const HTTPS: u16 = 443;
