//! The rules of `http.tls.clientcas`, `http.tls.clientauth` and `certificates`.

use std::path::PathBuf;

use super::Rules;
use crate::tls::{ClientAuth, ClientOptions, UserField};

impl Rules<'_> {
    /// `None`: clients are not asked for a certificate.
    pub(super) fn client_certificates(&mut self) -> Option<ClientOptions> {
        let authorities: Vec<_> = self.settings.texts("http.tls.clientcas").unwrap_or_default().iter().map(PathBuf::from).collect();
        let level = self.client_auth().or_else(|| (!authorities.is_empty()).then_some(ClientAuth::RequireAndVerify));
        let verifies = level.is_some_and(ClientAuth::verifies);
        if verifies && authorities.is_empty() {
            let text = "there is nothing to verify certificates by; list the PEM files of the authorities in http.tls.clientcas";
            self.problem("http.tls.clientauth", text);
        }
        let user = self.certificate_user();
        if user.is_some() && !verifies {
            let text = "nobody checks who issued a certificate, so anybody could be anybody; list the authorities in http.tls.clientcas, and \
                 set http.tls.clientauth to verify-client-cert-if-given or require-and-verify-client-cert";
            self.problem("certificates.user", text);
        }
        Some(ClientOptions { authorities, level: level?, user })
    }

    fn client_auth(&mut self) -> Option<ClientAuth> {
        match self.settings.text("http.tls.clientauth")? {
            "request-client-cert" => Some(ClientAuth::Request),
            "require-any-client-cert" => Some(ClientAuth::RequireAny),
            "verify-client-cert-if-given" => Some(ClientAuth::VerifyIfGiven),
            "require-and-verify-client-cert" => Some(ClientAuth::RequireAndVerify),
            other => {
                let text = format!(
                    "`{other}` is not a level; write request-client-cert, require-any-client-cert, verify-client-cert-if-given or \
                     require-and-verify-client-cert"
                );
                self.problem("http.tls.clientauth", text);
                None
            }
        }
    }

    fn certificate_user(&mut self) -> Option<UserField> {
        match self.settings.text("certificates.user")? {
            "cn" => Some(UserField::CommonName),
            "san-dns" => Some(UserField::Dns),
            "san-email" => Some(UserField::Email),
            "spiffe" => Some(UserField::Spiffe),
            other => {
                let text = format!("`{other}` is not a name in a certificate; write cn, san-dns, san-email or spiffe");
                self.problem("certificates.user", text);
                None
            }
        }
    }
}
