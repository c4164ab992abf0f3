//! The rules of `oidc`.

use super::Rules;
use crate::auth::{ClaimName, Condition, IssuerUrl, OidcKeys, OidcOptions, Pattern, UserTemplate};

impl Rules<'_> {
    /// The entries that can be used; of the others the problems are noted.
    pub(super) fn oidc(&mut self) -> Vec<OidcOptions> {
        let mut entries: Vec<OidcOptions> = Vec::new();
        for index in 0..self.settings.count("oidc") {
            let path = format!("oidc.{index}");
            let Some(entry) = self.oidc_entry(&path) else { continue };
            if entries.iter().any(|other| other.name == entry.name) {
                let text = format!("`{}` is the name of another entry already; rules could not tell them apart", entry.name);
                self.problem(&format!("{path}.name"), text);
            }
            if entries.iter().any(|other| other.issuer == entry.issuer && other.keys != entry.keys) {
                self.problem(
                    &format!("{path}.jwks"),
                    "another entry has the same issuer and other keys; write the same in both, or in none",
                );
            }
            entries.push(entry);
        }
        entries
    }

    fn oidc_entry(&mut self, path: &str) -> Option<OidcOptions> {
        // Each is looked at, so that all problems are said at once.
        let name = self.oidc_name(&format!("{path}.name"));
        let issuer = self.oidc_issuer(&format!("{path}.issuer"));
        let audience = self.required(&format!("{path}.audience"), "write what tokens for this registry carry as `aud`, such as its host");
        let conditions = self.oidc_conditions(&format!("{path}.match"));
        let user = self.oidc_user(&format!("{path}.user"));
        let keys = self.settings.text(&format!("{path}.jwks")).map_or(OidcKeys::Discovered, |file| OidcKeys::File(file.into()));
        Some(OidcOptions { name: name?, issuer: issuer?, keys, audience, conditions, user: user? })
    }

    fn oidc_name(&mut self, key: &str) -> Option<String> {
        let name = self.required(key, "write a name for rules to mean, such as `name: ci`");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if !name.bytes().all(is_plain) {
            self.problem(key, format_args!("`{name}` is not a name; write small letters, digits, `.`, `_` and `-`"));
        }
        (!name.is_empty()).then_some(name)
    }

    fn oidc_issuer(&mut self, key: &str) -> Option<IssuerUrl> {
        let text = self.required(key, "write what its tokens carry as `iss`, such as https://token.actions.githubusercontent.com");
        if text.is_empty() {
            return None;
        }
        let parsed = IssuerUrl::parse(&text);
        parsed.map_err(|fault| self.problem(key, format_args!("`{text}` cannot be an issuer: {fault}"))).ok()
    }

    fn oidc_conditions(&mut self, key: &str) -> Vec<Condition> {
        let rows = self.settings.table(key);
        if rows.is_empty() {
            let advice =
                "without a claim to match, everybody with an account at the issuer could log in; write one such as `repository: acme/*`";
            self.problem(key, format_args!("missing; {advice}"));
        }
        let mut conditions = Vec::new();
        for (name, texts) in rows {
            let Some(claim) = ClaimName::new(name) else {
                self.problem(key, "a claim without a name");
                continue;
            };
            let patterns: Vec<Pattern> = texts.iter().map(|text| Pattern::new(text)).collect();
            if patterns.is_empty() {
                self.problem(key, format_args!("`{name}` has no pattern, so nothing could match; write the text it must have"));
            }
            for pattern in patterns.iter().filter(|pattern| pattern.names_the_user()) {
                self.problem(key, format_args!("`{pattern}` cannot match: before a token is taken there is no user"));
            }
            conditions.push(Condition { claim, patterns });
        }
        conditions
    }

    fn oidc_user(&mut self, key: &str) -> Option<UserTemplate> {
        let text = self.required(key, "write the name of the user that a token stands for, such as ci-{repository_owner}");
        let parsed = UserTemplate::parse(&text);
        parsed.map_err(|fault| self.problem(key, format_args!("`{text}` {fault}"))).ok()
    }
}
