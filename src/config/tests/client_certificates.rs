//! Client certificates: the forms that start, and those that would believe anybody.

use std::path::PathBuf;

use super::*;
use crate::tls::{ClientAuth, ClientOptions, UserField};

fn file(tls: &str, rest: &str) -> String {
    format!("version: 0.1\nstorage: filesystem\nhttp: {{tls: {{certificate: /c, key: /k{tls}}}}}\n{rest}\n")
}

fn client(tls: &str, rest: &str) -> Option<ClientOptions> {
    let loaded = loaded(&file(tls, rest));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    loaded.config.tls.unwrap().client
}

fn is_refused(text: &str, sentences: &[&str]) {
    let refusal = refusal(text, &[]);
    for expected in sentences {
        assert!(refusal.contains(expected), "{expected}\n{refusal}");
    }
    let count = if sentences.len() == 1 { 1 } else { sentences.len() + 1 };
    assert_eq!(refusal.lines().count(), count, "{refusal}");
}

#[test]
fn authorities_alone_have_everybody_show_a_certificate_of_theirs() {
    let client = client(", clientcas: [/a.crt, /b.crt]", "").unwrap();
    assert_eq!(client.authorities, ["/a.crt", "/b.crt"].map(PathBuf::from));
    assert_eq!((client.level, client.user), (ClientAuth::RequireAndVerify, None));
}

#[test]
fn without_authorities_and_a_level_nobody_is_asked() {
    for tls in ["", ", clientcas: []", ", clientcas: [], clientauth: ''"] {
        assert!(client(tls, "certificates: {}").is_none(), "{tls}");
    }
}

#[test]
fn each_level_is_called_as_registry_2_calls_it() {
    for (name, level) in [
        ("request-client-cert", ClientAuth::Request),
        ("require-any-client-cert", ClientAuth::RequireAny),
        ("verify-client-cert-if-given", ClientAuth::VerifyIfGiven),
        ("require-and-verify-client-cert", ClientAuth::RequireAndVerify),
    ] {
        assert_eq!(client(&format!(", clientcas: /ca, clientauth: {name}"), "").unwrap().level, level);
        let without = format!(", clientauth: {name}");
        if level.verifies() {
            is_refused(&file(&without, ""), &["config.yml:3:52: http.tls.clientauth: there is nothing to verify certificates by"]);
        } else {
            assert!(client(&without, "").unwrap().authorities.is_empty());
        }
    }
}

#[test]
fn each_place_of_the_user_has_its_word() {
    for (word, user) in
        [("cn", UserField::CommonName), ("san-dns", UserField::Dns), ("san-email", UserField::Email), ("spiffe", UserField::Spiffe)]
    {
        let section = format!("certificates: {{user: {word}}}");
        assert_eq!(client(", clientcas: /ca", &section).unwrap().user, Some(user));
        assert_eq!(client(", clientcas: /ca, clientauth: verify-client-cert-if-given", &section).unwrap().user, Some(user));
    }
}

#[test]
fn unknown_words_are_answered_with_the_known_ones() {
    is_refused(
        &file(", clientcas: /ca, clientauth: always", "certificates: {user: uid}"),
        &[
            "http.tls.clientauth: `always` is not a level; write request-client-cert, require-any-client-cert, \
             verify-client-cert-if-given or require-and-verify-client-cert",
            "config.yml:4:22: certificates.user: `uid` is not a name in a certificate; write cn, san-dns, san-email or spiffe",
        ],
    );
}

#[test]
fn users_are_not_taken_from_certificates_that_nobody_verified() {
    let section = "certificates: {user: cn}";
    let believed = "config.yml:4:22: certificates.user: nobody checks who issued a certificate";
    is_refused(&file("", section), &[believed]);
    for level in ["request-client-cert", "require-any-client-cert"] {
        is_refused(&file(&format!(", clientcas: /ca, clientauth: {level}"), section), &[believed]);
    }
    is_refused(&file(", clientauth: require-and-verify-client-cert", section), &["there is nothing to verify certificates by"]);
    is_refused(&format!("version: 0.1\nstorage: filesystem\n\n{section}\n"), &[believed]);
}

#[test]
fn a_plain_registry_cannot_ask_for_certificates() {
    for tls in ["clientcas: [/ca]", "clientauth: request-client-cert"] {
        let text = format!("version: 0.1\nstorage: filesystem\nhttp: {{tls: {{{tls}}}}}\n");
        is_refused(&text, &["config.yml:3:8: http.tls.certificate: missing, so connections are plain"]);
    }
}

#[test]
fn variables_say_the_same() {
    let loaded = with_environment(
        SMALL,
        &[
            ("REGISTRY_HTTP_TLS_CERTIFICATE", "/c"),
            ("REGISTRY_HTTP_TLS_KEY", "/k"),
            ("REGISTRY_HTTP_TLS_CLIENTCAS", "['/a.crt', '/b.crt']"),
            ("REGISTRY_HTTP_TLS_CLIENTAUTH", "verify-client-cert-if-given"),
            ("REGISTRY_CERTIFICATES_USER", "spiffe"),
        ],
    );
    let Loaded { config, warnings, .. } = loaded.unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let client = config.tls.unwrap().client.unwrap();
    assert_eq!(client.authorities, ["/a.crt", "/b.crt"].map(PathBuf::from));
    assert_eq!((client.level, client.user), (ClientAuth::VerifyIfGiven, Some(UserField::Spiffe)));
}
