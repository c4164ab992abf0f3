//! Which tokens are good, and whom they vouch for.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::issuers::Vouched;
use super::super::{Refusal, looks_like_token};
use super::*;
use crate::auth::error::TokenFault;

const ISSUER: &str = "https://ci.example/";

/// Issuers with a key set in a file, and that file.
async fn issuers(signers: &[&Signer], entries: &[(&str, &[(&str, &str)])]) -> (tempfile::TempDir, Issuers) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    fs::write(&path, set_of(signers).to_string()).unwrap();
    let entries = entries.iter().map(|(name, conditions)| entry(name, ISSUER, OidcKeys::File(path.clone()), conditions));
    let issuers = Issuers::open(entries.collect()).await.unwrap();
    (dir, issuers)
}

async fn of_acme(signers: &[&Signer]) -> (tempfile::TempDir, Issuers) {
    issuers(signers, &[("ci", &[("repository", "acme/*")])]).await
}

async fn fault(issuers: &Issuers, token: &str) -> TokenFault {
    match issuers.verify(token, at(0)).await {
        Err(Refusal::Token(fault)) => fault,
        other => panic!("{other:?}: {token}"),
    }
}

#[tokio::test]
async fn a_good_token_vouches_for_the_user_that_its_claims_make() {
    for signer in [Signer::new("k"), Signer::rsa("k")] {
        let (_dir, issuers) = of_acme(&[&signer, &Signer::new("other")]).await;
        for changes in
            [json!({}), json!({"aud": ["x", "registry.example.com"]}), json!({"nbf": null, "iat": null}), json!({"exp": NOW - 60})]
        {
            let token = signer.sign(&claims(ISSUER, changes.clone()));
            assert!(looks_like_token(&token));
            let vouched = issuers.verify(&token, at(0)).await.unwrap();
            assert_eq!((&*vouched.issuer, vouched.user.as_str()), ("ci", "ci-acme"), "{changes}");
        }
        let vouched = issuers.verify(&signer.sign(&claims(ISSUER, json!({}))), at(0)).await.unwrap();
        assert_eq!(vouched.expires, at(300));
        assert!(issuers.verify(&signer.sign(&claims(ISSUER, json!({"exp": u64::MAX}))), at(0)).await.is_ok());
    }
}

#[tokio::test]
async fn claims_that_are_wrong_missing_or_of_another_type_are_refused() {
    let signer = Signer::new("k");
    let (_dir, issuers) = of_acme(&[&signer]).await;
    for (changes, expected) in [
        (json!({"aud": "registry.example.com/"}), TokenFault::Audience),
        (json!({"aud": []}), TokenFault::Audience),
        (json!({"aud": null}), TokenFault::Claims),
        (json!({"aud": {"a": 1}}), TokenFault::Claims),
        (json!({"exp": NOW - 61}), TokenFault::Expired),
        (json!({"exp": null}), TokenFault::Claims),
        (json!({"exp": "soon"}), TokenFault::Claims),
        (json!({"exp": -1}), TokenFault::Claims),
        (json!({"nbf": NOW + 61}), TokenFault::NotYetValid),
        (json!({"nbf": "now"}), TokenFault::Claims),
        (json!({"iat": NOW + 61}), TokenFault::NotYetValid),
        (json!({"iat": []}), TokenFault::Claims),
        (json!({"iss": null}), TokenFault::Claims),
        (json!({"iss": ["https://ci.example/"]}), TokenFault::Claims),
        (json!({"iss": "https://ci.example"}), TokenFault::Issuer),
        (json!({"iss": "https://CI.example/"}), TokenFault::Issuer),
        (json!({"repository": null}), TokenFault::Unmatched),
        (json!({"repository": "evil/app"}), TokenFault::Unmatched),
        (json!({"repository": "acme/app/more"}), TokenFault::Unmatched),
        (json!({"repository": {"a": "acme/app"}}), TokenFault::Unmatched),
        (json!({"repository_owner": null}), TokenFault::User),
        (json!({"repository_owner": 7}), TokenFault::User),
        (json!({"repository_owner": "a\nb"}), TokenFault::User),
    ] {
        assert_eq!(fault(&issuers, &signer.sign(&claims(ISSUER, changes.clone()))).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn signatures_by_others_and_other_algorithms_are_refused() {
    let (rsa, ec, thief) = (Signer::rsa("r"), Signer::new("e"), Signer::new("e"));
    let (_dir, issuers) = of_acme(&[&rsa, &ec]).await;
    let good = claims(ISSUER, json!({}));
    assert_eq!(fault(&issuers, &thief.sign(&good)).await, TokenFault::Signature);
    let under = |alg, kid: &str| Header { kid: Some(kid.into()), ..Header::new(alg) };
    assert_eq!(fault(&issuers, &rsa.sign_under(&under(Algorithm::RS256, "e"), &good)).await, TokenFault::Algorithm);
    assert_eq!(fault(&issuers, &rsa.sign_under(&under(Algorithm::RS256, "unknown"), &good)).await, TokenFault::UnknownKey);
    assert_eq!(fault(&issuers, &rsa.sign_under(&under(Algorithm::RS256, "../../e"), &good)).await, TokenFault::UnknownKey);
    assert_eq!(
        fault(&issuers, &rsa.sign_under(&Header::new(Algorithm::RS256), &good)).await,
        TokenFault::UnknownKey,
        "two keys and no kid"
    );
    for secret in [rsa.pair.public_key_pem().into_bytes(), rsa.pair.subject_public_key_info(), b"secret".to_vec()] {
        let token = jsonwebtoken::encode(&under(Algorithm::HS256, "r"), &good, &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(fault(&issuers, &token).await, TokenFault::Algorithm);
    }
}

#[tokio::test]
async fn nothing_in_a_header_is_trusted() {
    let (signer, thief) = (Signer::new("k"), Signer::new("t"));
    let (_dir, issuers) = of_acme(&[&signer]).await;
    let good = claims(ISSUER, json!({}));
    let shown = Header { jwk: serde_json::from_value(thief.jwk()).unwrap(), ..Header::new(Algorithm::ES256) };
    let linked = Header { jku: Some("https://thief.example/".into()), x5u: Some("https://thief.example/".into()), ..shown.clone() };
    for header in [shown, linked.clone(), Header { x5c: Some(vec!["AAAA".into()]), ..linked }] {
        assert_eq!(fault(&issuers, &thief.sign_under(&header, &good)).await, TokenFault::Signature);
        assert!(issuers.verify(&signer.sign_under(&header, &good), at(0)).await.is_ok(), "ignored");
    }
    let critical = Header { crit: Some(vec!["exp".into()]), ..signer.header() };
    assert_eq!(fault(&issuers, &signer.sign_under(&critical, &good)).await, TokenFault::Malformed);
}

#[tokio::test]
async fn tokens_without_a_signature_or_cut_short_or_changed_are_refused() {
    let signer = Signer::new("k");
    let (_dir, issuers) = of_acme(&[&signer]).await;
    let good = signer.sign(&claims(ISSUER, json!({})));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for alg in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "k"}).to_string());
        for signature in ["", signature] {
            assert_eq!(fault(&issuers, &format!("{header}.{payload}.{signature}")).await, TokenFault::Malformed);
        }
    }
    let other = URL_SAFE_NO_PAD.encode(claims(ISSUER, json!({"repository_owner": "root"})).to_string());
    assert_eq!(fault(&issuers, &format!("{header}.{other}.{signature}")).await, TokenFault::Signature);
    assert_eq!(fault(&issuers, &format!("{header}.{payload}.")).await, TokenFault::Signature);
    for token in [String::new(), "..".into(), header.into(), format!("{header}.{payload}"), format!("{good}.x"), good.repeat(100)] {
        assert!(matches!(fault(&issuers, &token).await, TokenFault::Malformed | TokenFault::Claims), "{token}");
    }
    for end in 0..good.len() {
        assert!(issuers.verify(&good[..end], at(0)).await.is_err(), "{end}");
    }
}

#[tokio::test]
async fn of_the_entries_of_an_issuer_the_first_that_fits_wins() {
    let signer = Signer::new("k");
    let entries: [(&str, &[(&str, &str)]); 4] = [
        ("main", &[("repository", "acme/*"), ("sub", "repo:acme/*:ref:refs/heads/main")]),
        ("nobody", &[]),
        ("any", &[("repository", "acme/**")]),
        ("late", &[("repository", "**")]),
    ];
    let (_dir, issuers) = issuers(&[&signer], &entries).await;
    for (changes, expected) in
        [(json!({}), "main"), (json!({"sub": "repo:acme/app:ref:refs/heads/topic"}), "any"), (json!({"repository": "other/app"}), "late")]
    {
        let Vouched { issuer, .. } = issuers.verify(&signer.sign(&claims(ISSUER, changes)), at(0)).await.unwrap();
        assert_eq!(&*issuer, expected);
    }
}

#[tokio::test]
async fn a_reload_takes_new_keys_from_the_file_and_keeps_the_old_when_it_is_bad() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let (dir, issuers) = of_acme(&[&old]).await;
    let path = dir.path().join("jwks.json");
    fs::write(&path, "{").unwrap();
    assert!(issuers.reload().await.is_err());
    assert!(issuers.verify(&old.sign(&claims(ISSUER, json!({}))), at(0)).await.is_ok());
    fs::write(&path, set_of(&[&new]).to_string()).unwrap();
    issuers.reload().await.unwrap();
    assert!(issuers.verify(&new.sign(&claims(ISSUER, json!({}))), at(0)).await.is_ok());
    assert_eq!(fault(&issuers, &old.sign(&claims(ISSUER, json!({})))).await, TokenFault::UnknownKey);
}

#[tokio::test]
async fn a_key_set_that_is_not_there_fails_the_start() {
    let options = entry("ci", ISSUER, OidcKeys::File("/nowhere/jwks.json".into()), &[("repository", "**")]);
    assert!(Issuers::open(vec![options]).await.is_err());
}
