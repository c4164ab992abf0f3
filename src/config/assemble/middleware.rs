//! The rules of `middleware`.

use url::Url;

use super::Rules;
use crate::config::problem::Severity;
use crate::http::BlobRedirect;

const LIST: &str = "middleware.storage";

impl Rules<'_> {
    /// Where blobs are fetched from instead of here, by the steps one after the other.
    pub(super) fn blob_redirect(&mut self) -> Option<BlobRedirect> {
        let mut redirect = None;
        for index in 0..self.settings.count(LIST) {
            let step = format!("{LIST}.{index}");
            if self.settings.truth(&format!("{step}.disabled")) == Some(true) {
                let text = "is switched off here; a stock registry applies it all the same, so remove it";
                self.notice(Severity::Warning, &format!("{step}.disabled"), text);
                continue;
            }
            match self.settings.text(&format!("{step}.name")) {
                Some("redirect") => redirect = self.redirected(&step),
                Some("rewrite") => self.rewrite(&step, redirect.as_mut()),
                Some(name @ ("cloudfront" | "alicdn")) => {
                    let text =
                        format!("`{name}` is not there yet: addresses are not signed, and blobs are served from here; remove the step");
                    self.notice(Severity::Warning, &step, text);
                }
                Some(other) => self.problem(&step, format_args!("`{other}` is no step of storage; redirect and rewrite are")),
                None => self.problem(&step, "its name is missing; write redirect or rewrite"),
            }
        }
        redirect.filter(|_| self.settings.truth("storage.redirect.disable") != Some(true))
    }

    fn redirected(&mut self, step: &str) -> Option<BlobRedirect> {
        let key = format!("{step}.options.baseurl");
        let Some(text) = self.settings.text(&key) else {
            self.problem(&key, "missing; write one such as https://files.example.com/registry");
            return None;
        };
        // By stock registries only scheme, host and path are taken over.
        let Some(url) = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) else {
            self.problem(&key, format_args!("`{text}` is not an absolute address; write one such as https://files.example.com/registry"));
            return None;
        };
        let path = url.path().trim_end_matches('/').to_owned();
        Some(BlobRedirect { origin: origin(&url), path, trimmed: String::new() })
    }

    fn rewrite(&mut self, step: &str, redirect: Option<&mut BlobRedirect>) {
        let Some(redirect) = redirect else {
            let text = "`rewrite` has no effect: files have no addresses that could be another; remove the step";
            return self.notice(Severity::Warning, step, text);
        };
        let option = |name: &str| self.settings.text(&format!("{step}.options.{name}"));
        let (scheme, host) = redirect.origin.split_once("://").unwrap_or_default();
        redirect.origin = format!("{}://{}", option("scheme").unwrap_or(scheme), option("host").unwrap_or(host));
        redirect.trimmed = option("trimpathprefix").unwrap_or_default().to_owned();
        if actix_web::http::Uri::try_from(&redirect.origin).is_err() {
            let text = format!("`{}` is not the beginning of an address", redirect.origin);
            self.problem(step, text);
        }
    }
}

/// Scheme, host and port.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
