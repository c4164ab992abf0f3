//! The rules of `http.tls.ciphersuites`.

use super::Rules;
use crate::config::problem::Severity;
use crate::tls::{MinimumVersion, SuiteName, Suites};

const KEY: &str = "http.tls.ciphersuites";

impl Rules<'_> {
    /// The suites of TLS 1.2 that are chosen; `None`: all that are there.
    pub(super) fn cipher_suites(&mut self, minimum: MinimumVersion) -> Option<Suites> {
        let names = self.settings.texts(KEY).filter(|names| !names.is_empty())?;
        let are = |kind: SuiteName| names.iter().filter(move |name| SuiteName::of(name) == kind).map(String::as_str).collect::<Vec<_>>();
        let (weak, unknown) = (are(SuiteName::Weak), are(SuiteName::Unknown));
        if minimum == MinimumVersion::Tls13 {
            self.notice(Severity::Warning, KEY, "has no effect with `minimumtls: tls1.3`, whose suites are not chosen; remove the list");
            return None;
        }
        if !unknown.is_empty() {
            self.problem(KEY, format_args!("unknown: {}; write names such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", unknown.join(", ")));
        }
        if weak.len() + unknown.len() == names.len() {
            let text = "none of these is spoken; name one with ECDHE and GCM or CHACHA20, or remove the list";
            self.problem(KEY, text);
        } else if !weak.is_empty() {
            let text = format!("not spoken, as they lack forward secrecy or authenticated encryption: {}; remove them", weak.join(", "));
            self.notice(Severity::Warning, KEY, text);
        }
        Some(Suites::named(names))
    }
}
