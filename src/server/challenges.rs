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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use actix_http::test::TestRequest;

    use super::*;
    use crate::tls::{MinimumVersion, Options, acme};

    async fn challenges(state: &Path, host: Option<&str>, port: u16) -> Challenges {
        let acme = acme::Options {
            state: state.to_owned(),
            directory: acme::LETS_ENCRYPT.to_owned(),
            hosts: ["one.example", "two.example"].map(str::to_owned).into(),
            email: None,
            eab: None,
            http: Some(":80".to_owned()),
            authority: None,
        };
        let file = acme.certificate();
        let options =
            Options { certificate: file.clone(), key: file, minimum: MinimumVersion::Tls12, suites: None, client: None, acme: Some(acme) };
        Challenges::new(Arc::new(Certificate::open(options).await.unwrap()), host, port)
    }

    fn ask(challenges: &Challenges, method: Method, host: Option<&str>, uri: &str) -> (u16, Option<String>) {
        let mut request = TestRequest::default();
        request.method(method).uri(uri);
        if let Some(host) = host {
            request.insert_header((HOST, host));
        }
        let answer = challenges.answer(&request.finish());
        let place = answer.headers().get(LOCATION).map(|place| place.to_str().unwrap().to_owned());
        (answer.status().as_u16(), place)
    }

    #[actix_web::test]
    async fn what_is_no_challenge_is_sent_to_https_on_a_host_of_ours() {
        let directory = tempfile::tempdir().unwrap();
        let table = [(None, 443, "https://one.example"), (None, 5000, "https://one.example:5000")];
        let public = [("https://one.example", "https://one.example"), ("https://one.example:8443/x", "https://one.example:8443")];
        let public = public.map(|(public, place)| (Some(public), 5000, place));
        let others = [("https://two.example", "https://one.example:5000"), ("http://one.example", "https://one.example:5000")];
        let others = others.map(|(public, place)| (Some(public), 5000, place));
        for (public, port, place) in table.into_iter().chain(public).chain(others) {
            let challenges = challenges(directory.path(), public, port).await;
            for host in ["one.example", "One.Example:80"] {
                let found = ask(&challenges, Method::GET, Some(host), "/v2/a/b?c=d");
                assert_eq!(found, (308, Some(format!("{place}/v2/a/b?c=d"))), "{public:?} {port} {host}");
            }
        }
    }

    #[actix_web::test]
    async fn nobody_is_sent_to_a_host_of_somebody_else() {
        let directory = tempfile::tempdir().unwrap();
        let challenges = challenges(directory.path(), None, 443).await;
        for host in
            [None, Some("evil.example"), Some(""), Some("192.0.2.1"), Some("one.example.evil.example"), Some("one.example@evil.example")]
        {
            assert_eq!(ask(&challenges, Method::GET, host, "/"), (421, None), "{host:?}");
        }
    }

    #[actix_web::test]
    async fn a_token_that_nobody_waits_for_is_not_found_and_nothing_else_is_done_with_one() {
        let directory = tempfile::tempdir().unwrap();
        let challenges = challenges(directory.path(), None, 443).await;
        let uri = "/.well-known/acme-challenge/token";
        assert_eq!(ask(&challenges, Method::GET, Some("one.example"), uri), (404, None));
        assert_eq!(ask(&challenges, Method::GET, None, uri), (404, None));
        assert_eq!(ask(&challenges, Method::PUT, Some("one.example"), uri).0, 308);
    }
}
