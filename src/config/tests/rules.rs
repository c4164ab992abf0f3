//! The rules between keys: what is typed leniently, what is refused, and how that is said.

use std::time::Duration;

use super::*;
use crate::auth;
use crate::config::{default_path, load};
use crate::registry::PurgeEffect;
use crate::tls::{self, MinimumVersion};

#[test]
fn values_are_read_as_yaml_1_1_does() {
    let text = "
version: '0.1'
storage: {filesystem: {rootdirectory: /data}, delete: {enabled: yes}}
http: {addr: ':5000', relativeurls: on, draintimeout: 90000000000, secret: 0755, headers: {X-One: one, X-Two: [a, b]}}
catalog: {maxentries: 1_000}
tags: {maxtags: 0x1F}
";
    let config = config(text);
    assert!(config.http.relative_urls);
    assert_eq!(config.drain_timeout, Duration::from_secs(90));
    assert_eq!(config.http.secret.unwrap().as_slice(), b"0755", "text stays what was written");
    assert_eq!((config.http.catalog_max_entries, config.http.tags_max), (1000, 31));
    assert_eq!(config.http.headers[0].1, ["one"]);
    assert_eq!(config.http.headers[1].1, ["a", "b"]);
}

#[test]
fn every_problem_is_named_with_its_line_its_key_and_what_to_do() {
    let text = "version: 0.2
log: {level: loud, formatter: xml}
storage:
  filesystem: {rootdirectory: [a]}
  delete: {enabled: maybe}
  tag: {concurrencylimit: -1}
  maintenance: {uploadpurging: {age: 1d}}
http:
  addr: 5000
  prefix: registry
  host: registry.example.com
  draintimeout: soon
  headers: {'bad name': [x]}
  trustedproxies: [10.0.0.0/8, lan]
  accelredirect: data/
  tls: {certificate: /c, minimumtls: tls1.1}
auth: {htpasswd: {realm: r}}
tags: {maxtags: -1}
health: {file: {file: x}}
";
    let text = refusal(text, &[]);
    for expected in [
        "config.yml:1:10: version: `0.2` is not a version of this format; write `version: 0.1`",
        "config.yml:2:14: log.level: `loud` is not a level; write error, warn, info or debug",
        "config.yml:2:31: log.formatter: `xml` is not a formatter",
        "config.yml:4:31: storage.filesystem.rootdirectory: a list is not one text",
        "config.yml:5:21: storage.delete.enabled: `maybe` is not a truth value; write true or false",
        "storage.tag.concurrencylimit: must not be below 0",
        "storage.maintenance.uploadpurging.age: `1d` is not a duration; write one such as 90s, 5m or 1h30m",
        "config.yml:9:9: http.addr: `5000` is not host:port or :port; write one such as :5000",
        "http.prefix: `registry` must begin and end with `/`",
        "http.host: `registry.example.com` is not an absolute address",
        "http.draintimeout: `soon` is not a duration",
        "http.headers: `bad name` cannot be the name of a header",
        "http.trustedproxies: `lan` is not a network",
        "http.accelredirect: `data/` must begin and end with `/`",
        "http.tls.key: missing beside http.tls.certificate",
        "http.tls.minimumtls: `tls1.1` is broken and not spoken; write tls1.2 or tls1.3",
        "config.yml:17:8: auth.htpasswd.path: missing; name the password file",
        "tags.maxtags: must not be below 0",
        "health.file: must be a list",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn what_would_open_more_than_asked_stops_the_start() {
    for (section, key) in [
        ("proxy: {remoteurl: 'https://up.example.com'}", "proxy.remoteurl"),
        ("access: {rules: [{who: anonymous, repositories: '**', actions: [pull]}]}", "access"),
        ("access: {file: /rules}", "access"),
        ("auth: silly", "auth.silly"),
        ("auth: {silly: {realm: r}}", "auth.silly"),
        ("auth: {htpaswd: {realm: r, path: /p}}", "auth.htpaswd"),
        ("http: {tls: {clientcas: [/ca]}}", "http.tls.certificate"),
        ("http: {tls: {clientauth: verify-client-cert-if-given}}", "http.tls.clientauth"),
        ("http: {tls: {letsencrypt: {email: a@example.com}}}", "http.tls.letsencrypt.hosts"),
    ] {
        let text = refusal(&format!("version: 0.1\nstorage: {{filesystem: }}\n{section}\n"), &[]);
        assert!(text.contains(&format!(": {key}: ")), "{text}");
    }
}

#[test]
fn validation_that_cannot_be_read_stops_the_start() {
    for (manifests, expected) in [
        ("urls: {deny: [ok, '(']}", "urls.deny: `(` is not a regular expression"),
        ("indexes: {platforms: some}", "indexes.platforms: `some` is not a choice; write all, none or list"),
        ("indexes: {platforms: list, platformlist: [{os: linux}]}", "indexes.platformlist: an item lacks its architecture or os"),
    ] {
        let text = refusal(&format!("{SMALL}validation: {{manifests: {{{manifests}}}}}\n"), &[]);
        assert!(text.contains(&format!(": validation.manifests.{expected}")), "{text}");
    }
}

#[test]
fn steps_of_storage_that_are_none_stop_the_start() {
    for (step, expected) in [
        ("{name: redirect}", "middleware.storage.0.options.baseurl: missing"),
        ("{name: redirect, options: {baseurl: files.example.com}}", "baseurl: `files.example.com` is not an absolute address"),
        ("{name: redirekt}", "middleware.storage.0: `redirekt` is no step of storage"),
        ("{options: {baseurl: 'https://files.example.com'}}", "middleware.storage.0: its name is missing"),
    ] {
        let text = refusal(&format!("{SMALL}middleware: {{storage: [{step}]}}\n"), &[]);
        assert!(text.contains(expected), "{step}: {text}");
    }
}

#[test]
fn steps_of_storage_that_do_nothing_are_said() {
    for (step, expected) in [
        ("{name: rewrite, options: {host: cdn.example.com}}", "middleware.storage.0: `rewrite` has no effect: files have no addresses"),
        ("{name: cloudfront, options: {baseurl: 'https://d.example.com', privatekey: /k, keypairid: k}}", "`cloudfront` is not there yet"),
        ("{name: redirect, disabled: true, options: {baseurl: 'https://d.example.com'}}", "disabled: is switched off here"),
    ] {
        let notices = notices(&format!("{SMALL}middleware: {{storage: [{step}]}}\n"));
        assert!(notices.lines().count() == 1 && notices.contains(expected), "{step}: {notices}");
    }
}

#[test]
fn validation_that_does_nothing_is_said() {
    for (section, expected) in [
        ("validation: {enabled: false}", "validation.enabled: false has no effect"),
        ("validation: {enabled: true, disabled: true}", "validation.disabled: has no effect beside"),
        ("validation: {manifests: {indexes: {platforms: list}}}", "indexes.platforms: no platform is listed"),
        ("validation: {manifests: {indexes: {platformlist: [{os: linux, architecture: arm}]}}}", "platformlist: has no effect without"),
        ("policy: {repository: {classes: [image, chart]}}", "policy.repository.classes: `chart` is no class of manifests"),
    ] {
        let notices = notices(&format!("{SMALL}{section}\n"));
        assert!(notices.lines().count() == 1 && notices.contains(expected), "{section}: {notices}");
    }
    assert_eq!(notices(&format!("{SMALL}validation: {{enabled: false, disabled: true}}\n")), "");
}

#[test]
fn a_password_section_without_content_is_not_an_open_registry() {
    for section in ["auth: htpasswd", "auth: {htpasswd: }", "auth: {token: }"] {
        let text = refusal(&format!("version: 0.1\nstorage: {{filesystem: }}\n{section}\n"), &[]);
        assert!(text.contains(".realm: missing"), "{text}");
    }
    for section in ["auth:", "auth: none", "auth: {none: }", "auth: {}"] {
        let config = config(&format!("version: 0.1\nstorage: {{filesystem: }}\n{section}\n"));
        assert!(matches!(config.auth, auth::Options::Open), "{section}");
    }
}

#[test]
fn drivers_that_are_not_there_are_refused_by_name() {
    for name in ["inmemory", "s3", "s3aws", "azure", "gcs", "oss", "swift"] {
        for section in [format!("storage: {name}"), format!("storage: {{{name}: {{bucket: b, anything: x}}}}")] {
            let text = refusal(&format!("version: 0.1\n{section}\n"), &[]);
            assert!(text.contains(&format!("storage.{name}: this storage driver ")), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
    assert!(refusal("version: 0.1\n", &[]).contains("config.yml: storage: no storage driver"));
    assert!(refusal("version: 0.1\nstorage: {filesytem: }\n", &[]).contains("storage.filesytem: unknown; did you mean `filesystem`?"));
}

#[test]
fn two_drivers_or_two_kinds_of_authentication_are_both_named() {
    let text = refusal("version: 0.1\nstorage:\n  filesystem:\n  s3:\n    bucket: b\n", &[]);
    assert!(text.contains("`filesystem` (config.yml:3:3) and `s3` (config.yml:4:3)"), "{text}");
    let text = refusal("version: 0.1\nstorage: filesystem\nauth:\n  htpasswd: {realm: r, path: /p}\n  token: {}\n", &[]);
    assert!(text.contains("`htpasswd` (config.yml:4:3) and `token` (config.yml:5:3)"), "{text}");
}

#[test]
fn unknown_keys_are_mistakes_with_the_nearest_name() {
    let text = "version: 0.1\nstroage: {}\nstorage:\n  filesystem: {rootdirectry: /x}\nhttp:\n  address: x\n  debug: {prometheus: {enable: true}}\n";
    let text = text.replace("stroage: {}\n", "strage: {}\n");
    assert_eq!(
        notices(&text),
        "Mistake config.yml:2:1: strage: unknown, so ignored; did you mean `storage`?\n\
         Mistake config.yml:4:16: storage.filesystem.rootdirectry: unknown, so ignored; did you mean `rootdirectory`?\n\
         Mistake config.yml:6:3: http.address: unknown, so ignored; did you mean `addr`?\n\
         Mistake config.yml:7:24: http.debug.prometheus.enable: unknown, so ignored; did you mean `enabled`?\n"
    );
}

#[test]
fn what_is_not_there_yet_is_said_once() {
    let text = format!("{SMALL}middleware: {{registry: [{{name: a}}, {{name: b}}]}}\nlog: {{hooks: [{{type: mail}}]}}\n");
    let notices = notices(&text);
    assert!(notices.contains("Warning config.yml:7:14: middleware.registry: middleware of this kind is not there"), "{notices}");
    assert!(notices.contains("Warning config.yml:8:7: log.hooks: "), "{notices}");
    assert_eq!(notices.lines().count(), 2, "{notices}");
}

#[test]
fn a_bare_number_for_a_duration_is_asked_about() {
    let notices = notices("version: 0.1\nstorage: {filesystem: }\nhttp: {draintimeout: 30}\n");
    assert_eq!(notices, "Warning config.yml:3:22: http.draintimeout: 30 means 30 nanoseconds; write `30s` for seconds\n");
}

#[test]
fn upload_purging_is_on_by_itself_and_a_written_block_is_whole() {
    let with = |block: &str| format!("version: 0.1\nstorage:\n  filesystem:\n  maintenance: {{{block}}}\n");
    let purging = config(&with("")).registry.upload_purging.unwrap();
    assert_eq!((purging.age, purging.interval), (Duration::from_secs(168 * 3600), Duration::from_secs(24 * 3600)));
    assert_eq!(purging.effect, PurgeEffect::Remove);
    let written = config(&with("uploadpurging: {enabled: true, age: 1h, interval: 30m, dryrun: true}")).registry.upload_purging.unwrap();
    assert_eq!((written.age.as_secs(), written.interval.as_secs(), written.effect), (3600, 1800, PurgeEffect::DryRun));
    assert!(config(&with("uploadpurging: {enabled: false}")).registry.upload_purging.is_none());
    let text = refusal(&with("uploadpurging: {enabled: true, age: 1h}"), &[]);
    assert!(text.contains("storage.maintenance.uploadpurging: interval, dryrun missing"), "{text}");
}

const TOKENS: &str = "version: 0.1\nstorage: {filesystem: {rootdirectory: /data}}\nauth: {htpasswd: {realm: r, path: /p}}\n";

#[test]
fn the_token_service_has_defaults_and_needs_the_password_file() {
    let service = |text: &str| match config(&format!("{TOKENS}{text}\n")).auth {
        auth::Options::Htpasswd(options) => options.token_service.unwrap(),
        other => panic!("{other:?}"),
    };
    let plain = service("tokenservice:");
    assert_eq!((plain.service.as_str(), plain.issuer.as_str()), ("breakwater", "breakwater"));
    assert_eq!(plain.signing_key.to_str(), Some("/data/breakwater/token.pem"));
    assert_eq!(plain.expiration, Duration::from_secs(300));
    let named = service("http: {host: 'https://r.example.com:5000'}\ntokenservice: {expiration: 10m, issuer: me}");
    assert_eq!((named.service.as_str(), named.issuer.as_str(), named.expiration.as_secs()), ("r.example.com", "me", 600));
    for bad in ["10s", "25h"] {
        assert!(refusal(&format!("{TOKENS}tokenservice: {{expiration: {bad}}}\n"), &[]).contains("must be from 60s to 24h"));
    }
    let off = with_environment(&format!("{TOKENS}tokenservice: {{}}\n"), &[("REGISTRY_TOKENSERVICE", "")]).unwrap();
    assert!(matches!(off.config.auth, auth::Options::Htpasswd(options) if options.token_service.is_none()));
    let text = refusal(&format!("{SMALL}tokenservice: {{issuer: me}}\n"), &[]);
    assert!(text.contains("config.yml:7:1: tokenservice: works beside auth.htpasswd only"), "{text}");
}

#[test]
fn foreign_tokens_need_an_issuer_and_a_key() {
    let text = refusal("version: 0.1\nstorage: filesystem\nauth: {token: {realm: r, signingalgorithms: [ES256, none]}}\n", &[]);
    for key in ["service: missing", "issuer: missing", "rootcertbundle: missing", "signingalgorithms: `none` is not an algorithm"] {
        assert!(text.contains(&format!("auth.token.{key}")), "{key}: {text}");
    }
}

#[test]
fn the_lowest_version_of_tls_can_be_raised() {
    let text = "version: 0.1\nstorage: filesystem\nhttp: {tls: {certificate: /c, key: /k, minimumtls: tls1.3}}\n";
    assert_eq!(config(text).tls.unwrap().minimum, MinimumVersion::Tls13);
}

#[test]
fn the_suites_of_tls_1_2_can_be_chosen() {
    const RSA: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    let with =
        |list: &str| format!("version: 0.1\nstorage: filesystem\nhttp: {{tls: {{certificate: /c, key: /k, ciphersuites: {list}}}}}\n");
    let suites = |list: &str| config(&with(list)).tls.unwrap().suites;
    assert_eq!((suites("[]"), suites(RSA)), (None, Some(tls::Suites::named(&[RSA.to_owned()]))));
    assert_eq!(suites("[TLS_AES_128_GCM_SHA256]"), Some(tls::Suites::default()), "only those of TLS 1.3 are left");
    let weak = notices(&with(&format!("[{RSA}, TLS_RSA_WITH_AES_128_CBC_SHA]")));
    assert!(weak.contains("authenticated encryption: TLS_RSA_WITH_AES_128_CBC_SHA; remove") && weak.lines().count() == 1, "{weak}");
    let none = refusal(&with("[TLS_RSA_WITH_AES_128_CBC_SHA]"), &[]);
    assert!(none.contains("http.tls.ciphersuites: none of these is spoken"), "{none}");
    let unknown = refusal(&with(&format!("[{RSA}, TLS_RSA_WITH_RC4_128_SHA]")), &[]);
    assert!(unknown.contains("http.tls.ciphersuites: unknown: TLS_RSA_WITH_RC4_128_SHA; write"), "{unknown}");
    let moot = notices(&with(RSA).replace("{certificate", "{minimumtls: tls1.3, certificate"));
    assert!(moot.contains("http.tls.ciphersuites: has no effect with `minimumtls: tls1.3`"), "{moot}");
}

#[test]
fn page_sizes_fall_back_to_a_thousand() {
    for value in ["0", "-5"] {
        assert_eq!(config(&format!("{SMALL}catalog: {{maxentries: {value}}}\n")).http.catalog_max_entries, 1000);
    }
    assert_eq!(config(&format!("{SMALL}tags: {{maxtags: 0}}\n")).http.tags_max, 1000);
}

#[test]
fn the_file_is_found_by_argument_then_variable() {
    let environment = || [("REGISTRY_CONFIGURATION_PATH".to_owned(), "/from/variable.yml".to_owned())];
    assert_eq!(default_path(Some("/from/argument.yml".into()), environment()).unwrap().to_str(), Some("/from/argument.yml"));
    assert_eq!(default_path(None, environment()).unwrap().to_str(), Some("/from/variable.yml"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load("/nowhere/at/all.yml".as_ref(), []).unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all.yml"), "{error}");
}
