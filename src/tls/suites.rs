//! Cipher suites of TLS 1.2 by the names that Go has for them.

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

/// Suites of TLS 1.2 that connections may use. Those of TLS 1.3 are not chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suites(Vec<CipherSuite>);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuiteName {
    /// A suite that can be chosen.
    Known,
    /// One of TLS 1.3, which are always offered.
    OfTls13,
    /// One without forward secrecy or authenticated encryption, which is not spoken.
    Weak,
    /// None that stock registries know.
    Unknown,
}

impl SuiteName {
    /// Looks a name up.
    pub fn of(name: &str) -> Self {
        if KNOWN.iter().any(|(known, _)| *known == name) {
            Self::Known
        } else if TLS13.contains(&name) {
            Self::OfTls13
        } else if WEAK.contains(&name) {
            Self::Weak
        } else {
            Self::Unknown
        }
    }
}

impl Suites {
    /// The suites of a list of names; what is none that can be chosen is left out.
    pub fn named(names: &[String]) -> Self {
        Self(KNOWN.iter().filter(|(known, _)| names.iter().any(|name| name == known)).map(|(_, suite)| *suite).collect())
    }

    /// Leaves the provider only these suites, and those of TLS 1.3.
    pub(super) fn restrict(&self, provider: &mut CryptoProvider) {
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || self.0.contains(&suite.suite()));
    }
}

const KNOWN: [(&str, CipherSuite); 6] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
];

const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

const WEAK: [&str; 10] = [
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::default_provider;

    use super::*;

    #[test]
    fn each_name_that_can_be_chosen_is_offered_by_the_provider() {
        for (name, suite) in KNOWN {
            assert_eq!(SuiteName::of(name), SuiteName::Known);
            let mut provider = default_provider();
            Suites::named(&[name.to_owned()]).restrict(&mut provider);
            let chosen: Vec<_> = provider.cipher_suites.iter().filter(|one| one.tls13().is_none()).map(|one| one.suite()).collect();
            assert_eq!(chosen, [suite], "{name}");
            assert_eq!(provider.cipher_suites.len(), 4, "{name}");
        }
        for (name, expected) in
            [(TLS13[0], SuiteName::OfTls13), (WEAK[0], SuiteName::Weak), ("TLS_RSA_WITH_RC4_128_SHA", SuiteName::Unknown)]
        {
            assert_eq!(SuiteName::of(name), expected);
        }
    }
}
