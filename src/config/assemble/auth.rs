//! The rules of `auth` and `tokenservice`.

use std::path::Path;
use std::time::Duration;

use super::Rules;
use super::http::parsed_host;
use crate::auth::{ForeignTokenOptions, HtpasswdOptions, OidcOptions, Options, Rules as AccessRules, TokenRealm, TokenServiceOptions};
use crate::config::problem::Severity;

const KINDS: [&str; 4] = ["none", "silly", "htpasswd", "token"];
const NAME: &str = "breakwater";
const EXPIRATION: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const ALGORITHMS: [&str; 13] =
    ["EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

impl Rules<'_> {
    pub(super) fn auth(&mut self, state: &Path) -> Options {
        let chosen: Vec<&str> = KINDS.into_iter().filter(|name| self.settings.origin(&format!("auth.{name}")).is_some()).collect();
        if chosen.len() > 1 {
            let place = |name: &&str| self.settings.origin(&format!("auth.{name}")).map(|origin| format!("`{name}` ({origin})"));
            let names = chosen.iter().filter_map(place).collect::<Vec<_>>().join(" and ");
            let advice = "keep one (REGISTRY_AUTH=NAME replaces the whole section of the file)";
            self.report.problem(None, "auth", format_args!("only one kind can be used, and there are {names}; {advice}"));
        }
        let service = self.settings.origin("tokenservice").is_some();
        if service && !chosen.contains(&"htpasswd") {
            self.problem("tokenservice", "works beside auth.htpasswd only, whose users it issues tokens to; add that or remove this");
        }
        let rules = self.access();
        if rules.is_some() && !chosen.contains(&"htpasswd") {
            self.problem("access", "rules speak of users, who come from auth.htpasswd; add that (the password file may be empty)");
        }
        let oidc = self.oidc();
        if !oidc.is_empty() && !chosen.contains(&"htpasswd") {
            self.problem("oidc", "works beside auth.htpasswd only, whose passwords its tokens stand for; add that or remove this");
        }
        if chosen.contains(&"htpasswd") {
            Options::Htpasswd(self.htpasswd(state, rules, oidc))
        } else if chosen.contains(&"token") {
            Options::Token(self.foreign_token())
        } else {
            Options::Open
        }
    }

    fn htpasswd(&mut self, state: &Path, rules: Option<AccessRules>, oidc: Vec<OidcOptions>) -> HtpasswdOptions {
        let mut asked_for = self.settings.origin("tokenservice").is_some();
        if !asked_for && !oidc.is_empty() {
            self.notice(Severity::Info, "oidc", "switches the token service on, where its tokens are taken");
            asked_for = true;
        }
        if !asked_for && rules.as_ref().is_some_and(AccessRules::speak_of_anonymous) {
            let text = "speaks of anonymous callers, so the token service is on: docker pulls without a password through it only";
            self.notice(Severity::Info, "access", text);
        }
        HtpasswdOptions {
            realm: self.required("auth.htpasswd.realm", "write the text that clients show, such as `realm: Registry`"),
            path: self.required("auth.htpasswd.path", "name the password file").into(),
            // Beside rules it is kept ready: one that speaks of anonymous callers may come while the registry runs.
            token_service: (asked_for || rules.is_some()).then(|| self.token_service(state)),
            token_realm: if asked_for { TokenRealm::Open } else { TokenRealm::ForAnonymous },
            rules: rules.unwrap_or_else(AccessRules::unwritten),
            state: state.to_owned(),
            logins: self.logins(),
            oidc,
        }
    }

    pub(super) fn required(&mut self, key: &str, advice: &str) -> String {
        match self.settings.text(key) {
            Some(text) => text.to_owned(),
            None => {
                self.problem(key, format_args!("missing; {advice}"));
                String::new()
            }
        }
    }

    fn token_service(&mut self, state: &Path) -> TokenServiceOptions {
        let host = self.settings.text("http.host").and_then(parsed_host);
        let own_name = host.as_ref().and_then(|url| url.host_str()).unwrap_or(NAME);
        let text = |key: &str| self.settings.text(&format!("tokenservice.{key}"));
        let options = TokenServiceOptions {
            signing_key: text("signingkey").map_or_else(|| state.join("token.pem"), Into::into),
            certificate: text("certificate").map(Into::into),
            realm: text("realm").map(str::to_owned),
            service: text("service").unwrap_or(own_name).to_owned(),
            issuer: text("issuer").unwrap_or(own_name).to_owned(),
            expiration: self.settings.duration("tokenservice.expiration").unwrap_or(EXPIRATION),
        };
        if !(SHORTEST..=LONGEST).contains(&options.expiration) {
            self.problem(
                "tokenservice.expiration",
                "must be from 60s to 24h; clients fetch a new token by themselves, so 5m is long enough",
            );
        }
        if options.realm.as_deref().is_some_and(|realm| parsed_host(realm).is_none()) {
            self.problem("tokenservice.realm", "is not an absolute address; write one such as https://registry.example.com/auth/token");
        }
        options
    }

    fn foreign_token(&mut self) -> ForeignTokenOptions {
        let text = |key: &str| self.settings.text(&format!("auth.token.{key}"));
        let root_cert_bundle = text("rootcertbundle").map(Into::into);
        let jwks = text("jwks").map(Into::into);
        let redirects = self.settings.truth("auth.token.autoredirect") == Some(true);
        let auto_redirect = redirects.then(|| text("autoredirectpath").unwrap_or("/auth/token").to_owned());
        let signing_algorithms = self.settings.texts("auth.token.signingalgorithms").unwrap_or_default().to_vec();
        if root_cert_bundle.is_none() && jwks.is_none() {
            self.problem("auth.token.rootcertbundle", "missing; name the PEM file of the issuer's certificate here, or its keys in `jwks`");
        }
        for name in signing_algorithms.iter().filter(|name| !ALGORITHMS.contains(&name.as_str())) {
            let text = format!("`{name}` is not an algorithm; {} are", ALGORITHMS.join(", "));
            self.problem("auth.token.signingalgorithms", text);
        }
        ForeignTokenOptions {
            realm: self.required("auth.token.realm", "write the address of the token server"),
            service: self.required("auth.token.service", "write the name that tokens for this registry carry as `aud`"),
            issuer: self.required("auth.token.issuer", "write the name that tokens carry as `iss`"),
            root_cert_bundle,
            jwks,
            signing_algorithms,
            auto_redirect,
        }
    }
}
