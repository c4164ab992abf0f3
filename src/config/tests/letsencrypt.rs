//! `http.tls.letsencrypt`: the keys of registry:2 and ours, what they switch on, and what cannot be meant.

use std::path::{Path, PathBuf};

use super::*;
use crate::tls::acme::{LETS_ENCRYPT, Options};
use crate::tls::{self, MinimumVersion};

fn file(addr: &str, tls: &str) -> String {
    format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: /data}}}}\nhttp:\n  addr: {addr}\n  tls: {{{tls}}}\n")
}

fn tls(tls: &str) -> tls::Options {
    config(&file(":443", tls)).tls.unwrap()
}

fn acme(keys: &str) -> Options {
    tls(&format!("letsencrypt: {{{keys}}}")).acme.unwrap()
}

fn is_refused(tls: &str, expected: &str) {
    let refusal = refusal(&file(":443", tls), &[]);
    assert!(refusal.contains(expected), "{expected}\n{refusal}");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
}

#[test]
fn hosts_alone_are_enough() {
    let options = tls("letsencrypt: {hosts: [Registry.Example.com, bücher.example, registry.example.com.]}");
    let acme = options.acme.unwrap();
    assert_eq!(Vec::from_iter(&acme.hosts), ["registry.example.com", "xn--bcher-kva.example"]);
    assert_eq!((acme.state.as_path(), acme.directory.as_str()), (Path::new("/data/breakwater/acme"), LETS_ENCRYPT));
    assert!(acme.email.is_none() && acme.eab.is_none() && acme.http.is_none() && acme.authority.is_none());
    let kept = Path::new("/data/breakwater/acme/acme-v02.api.letsencrypt.org-directory/certificate.pem");
    assert_eq!((options.certificate.as_path(), options.key.as_path()), (kept, kept));
}

#[test]
fn the_keys_of_registry_2_mean_what_they_meant() {
    let acme = acme("cachefile: /cache, email: ops@example.com, hosts: [a.example], directoryurl: 'https://ca.example/dir'");
    assert_eq!(acme.state, PathBuf::from("/cache"));
    assert_eq!(acme.certificate(), PathBuf::from("/cache/ca.example-dir/certificate.pem"));
    assert_eq!((acme.email.as_deref(), acme.directory.as_str()), (Some("ops@example.com"), "https://ca.example/dir"));
}

#[test]
fn our_keys_stand_beside_them_and_the_secret_is_not_shown() {
    for key in ["zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIg==", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIg"] {
        let acme = acme(&format!("hosts: a.example, http: ':80', cacert: /ca.pem, eab: {{kid: kid-1, hmackey: '{key}'}}"));
        assert_eq!((acme.http.as_deref(), acme.authority.as_deref()), (Some(":80"), Some(Path::new("/ca.pem"))));
        let eab = acme.eab.as_ref().unwrap();
        assert_eq!((eab.id.as_str(), &eab.key[..3]), ("kid-1", [0xcd, 0x63, 0x43].as_slice()));
        assert!(!format!("{acme:?}").contains("205, 99"), "{acme:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, "zWND\n").unwrap();
    let text = file(":443", "letsencrypt: {hosts: a.example, eab: {kid: k}}");
    let loaded = with_environment(&text, &[("REGISTRY_HTTP_TLS_LETSENCRYPT_EAB_HMACKEY_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(loaded.config.tls.unwrap().acme.unwrap().eab.unwrap().key.as_slice(), [0xcd, 0x63, 0x43]);
}

#[test]
fn nothing_written_asks_for_nothing() {
    for keys in ["", "cachefile: '', email: '', hosts: []", "eab: {}, http: ''", "eab: {kid: ''}"] {
        assert!(config(&file(":5000", &format!("letsencrypt: {{{keys}}}"))).tls.is_none(), "{keys}");
    }
}

#[test]
fn any_key_asks_for_certificates_and_those_need_hosts() {
    for keys in ["cachefile: /cache", "email: ops@example.com", "http: ':80'", "cacert: /ca", "directoryurl: 'https://ca.example'"] {
        is_refused(&format!("letsencrypt: {{{keys}, hosts: []}}"), "http.tls.letsencrypt.hosts: missing; list the names that clients use");
    }
}

#[test]
fn what_is_no_host_is_named() {
    for host in ["'*.example.com'", "192.0.2.1", "'::1'", "'[::1]'", "'a b'", "'https://a.example'", "''", "'a.example:443'"] {
        is_refused(&format!("letsencrypt: {{hosts: [{host}]}}"), "is not the name of a host, such as registry.example.com");
    }
}

#[test]
fn what_cannot_be_meant_says_what_to_do() {
    let with = |keys: &str| format!("letsencrypt: {{hosts: [a.example], {keys}}}");
    for (keys, expected) in [
        ("directoryurl: 'http://ca.example/dir'", "http.tls.letsencrypt.directoryurl: `http://ca.example/dir` is not an https address"),
        ("directoryurl: ca.example", "is not an https address"),
        ("http: 80", "http.tls.letsencrypt.http: is not host:port or :port; write one such as :80"),
        ("eab: {kid: k}", "http.tls.letsencrypt.eab.hmackey: missing beside eab.kid"),
        ("eab: {hmackey: c2VjcmV0}", "http.tls.letsencrypt.eab.kid: missing beside eab.hmackey"),
        ("eab: {kid: k, hmackey: 'no/base64url'}", "http.tls.letsencrypt.eab.hmackey: is not base64url"),
    ] {
        is_refused(&with(keys), expected);
    }
    for pair in ["certificate: /c", "key: /k", "certificate: /c, key: /k"] {
        let beside = format!("{pair}, letsencrypt: {{hosts: [a.example]}}");
        is_refused(&beside, "http.tls.letsencrypt: cannot stand beside http.tls.certificate and http.tls.key");
    }
}

#[test]
fn where_every_client_must_show_a_certificate_hosts_are_looked_at_over_http() {
    let with = |level: &str, keys: &str| format!("clientcas: [/ca], clientauth: {level}, letsencrypt: {{hosts: [a.example]{keys}}}");
    for level in ["require-and-verify-client-cert", "require-any-client-cert"] {
        is_refused(&with(level, ""), "no exception is made for it where every client must show a certificate; add `http: \":80\"`");
        assert!(tls(&with(level, ", http: ':80'")).client.is_some());
    }
    for level in ["request-client-cert", "verify-client-cert-if-given"] {
        assert!(tls(&with(level, "")).client.is_some());
    }
    assert_eq!(tls("minimumtls: tls1.3, letsencrypt: {hosts: [a.example]}").minimum, MinimumVersion::Tls13);
}

#[test]
fn a_port_that_no_acme_server_looks_at_is_said() {
    for (addr, keys, expected) in [
        (
            ":5000",
            "",
            Some(
                "config.yml:4:9: http.addr: the ACME server connects to port 443 of each host in http.tls.letsencrypt.hosts, and not to `:5000`",
            ),
        ),
        (":443", "", None),
        (":5000", ", http: ':80'", None),
        (
            ":443",
            ", http: ':8080'",
            Some(
                "http.tls.letsencrypt.http: the ACME server connects to port 80 of each host in http.tls.letsencrypt.hosts, and not to `:8080`",
            ),
        ),
    ] {
        let notices = notices(&file(addr, &format!("letsencrypt: {{hosts: [a.example]{keys}}}")));
        match expected {
            Some(expected) => {
                assert!(notices.starts_with("Info ") && notices.contains(expected) && notices.lines().count() == 1, "{notices}")
            }
            None => assert_eq!(notices, ""),
        }
    }
}
