//! Who a client certificate is.
//!
//! Reads one name out of a certificate and judges nothing else: whoever asks has had the certificate verified. A certificate that
//! is malformed, or whose name is absent or unfit, is nobody's.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_cert::certificate::{Certificate, TbsCertificate};
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

/// `certificates.user`: which of a certificate's names is the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserField {
    /// The last common name of the subject.
    CommonName,
    /// The first DNS name among the alternative names.
    Dns,
    /// The first e-mail address among the alternative names.
    Email,
    /// The one SPIFFE ID among the alternative names, as a whole URI.
    Spiffe,
}

/// What is longer is no name.
const MAX_LENGTH: usize = 255;

const SPIFFE: &str = "spiffe://";

impl UserField {
    /// The user of a certificate, if it names one.
    pub(super) fn of(self, certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let certificate = certificate.tbs_certificate();
        let name = match self {
            Self::CommonName => last_common_name(certificate)?,
            Self::Dns => alternative_names(certificate)?.iter().find_map(dns)?.to_owned(),
            Self::Email => alternative_names(certificate)?.iter().find_map(email)?.to_owned(),
            Self::Spiffe => only_spiffe_id(&alternative_names(certificate)?)?.to_owned(),
        };
        is_fit(&name).then(|| name.into())
    }
}

/// The last, as Go takes it. One in an encoding that is not read does not give way to an earlier one.
fn last_common_name(certificate: &TbsCertificate) -> Option<String> {
    let last = certificate.subject().iter().filter(|attribute| attribute.oid == COMMON_NAME).last()?;
    DirectoryString::try_from(&last.value).ok().map(String::from)
}

fn alternative_names(certificate: &TbsCertificate) -> Option<Vec<GeneralName>> {
    let (_, SubjectAltName(names)) = certificate.get_extension().ok()??;
    Some(names)
}

fn dns(name: &GeneralName) -> Option<&str> {
    if let GeneralName::DnsName(name) = name { Some(name.as_str()) } else { None }
}

fn email(name: &GeneralName) -> Option<&str> {
    if let GeneralName::Rfc822Name(name) = name { Some(name.as_str()) } else { None }
}

fn spiffe_id(name: &GeneralName) -> Option<&str> {
    let GeneralName::UniformResourceIdentifier(uri) = name else { return None };
    let scheme = uri.as_str().get(..SPIFFE.len())?;
    scheme.eq_ignore_ascii_case(SPIFFE).then_some(uri.as_str())
}

/// Of two IDs neither is chosen: X.509-SVID, section 2, has the certificate rejected.
fn only_spiffe_id(names: &[GeneralName]) -> Option<&str> {
    let mut ids = names.iter().filter_map(spiffe_id);
    let only = ids.next()?;
    ids.next().is_none().then_some(only)
}

/// Whether a name can stand in a log line and in a rule.
fn is_fit(name: &str) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType};

    use super::*;

    const FIELDS: [UserField; 4] = [UserField::CommonName, UserField::Dns, UserField::Email, UserField::Spiffe];

    fn certificate(params: &CertificateParams) -> CertificateDer<'static> {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn named(common_name: impl Into<DnValue>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        certificate(&params)
    }

    fn with_alternatives(names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        certificate(&params)
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn mixed() -> CertificateDer<'static> {
        with_alternatives(vec![
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            uri("https://build.example.com/"),
            SanType::Rfc822Name("build@example.com".try_into().unwrap()),
            SanType::DnsName("build.example.com".try_into().unwrap()),
            SanType::DnsName("second.example.com".try_into().unwrap()),
            uri("spiffe://example.com/ci/build"),
        ])
    }

    fn is(field: UserField, certificate: &CertificateDer<'_>, expected: Option<&str>) {
        assert_eq!(field.of(certificate).as_deref(), expected, "{field:?}");
    }

    #[test]
    fn each_field_is_read_from_its_own_place() {
        is(UserField::CommonName, &named("Build Server"), Some("Build Server"));
        is(UserField::CommonName, &named(DnValue::PrintableString("build".try_into().unwrap())), Some("build"));
        is(UserField::CommonName, &named(DnValue::BmpString("bürö".try_into().unwrap())), Some("bürö"));
        is(UserField::Dns, &mixed(), Some("build.example.com"));
        is(UserField::Email, &mixed(), Some("build@example.com"));
        is(UserField::Spiffe, &mixed(), Some("spiffe://example.com/ci/build"));
    }

    #[test]
    fn a_certificate_without_the_field_is_nobodys() {
        let mut nameless = CertificateParams::new(Vec::new()).unwrap();
        nameless.distinguished_name = rcgen::DistinguishedName::new();
        for field in FIELDS {
            is(field, &certificate(&nameless), None);
        }
        for field in [UserField::Dns, UserField::Email, UserField::Spiffe] {
            is(field, &named("build"), None);
        }
        is(UserField::Spiffe, &with_alternatives(vec![uri("https://example.com/spiffe://a")]), None);
    }

    #[test]
    fn of_two_spiffe_ids_neither_is_chosen() {
        for other in ["spiffe://example.com/b", "SPIFFE://example.com/b"] {
            is(UserField::Spiffe, &with_alternatives(vec![uri("spiffe://example.com/a"), uri(other)]), None);
        }
    }

    #[test]
    fn the_last_common_name_counts() {
        // rcgen keeps one attribute of a kind: the second is made of one of the same length.
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "first");
        params.distinguished_name.push(DnType::OrganizationName, "last");
        let mut der = certificate(&params).to_vec();
        let (organization, common_name) = ([6, 3, 0x55, 4, 10], [6, 3, 0x55, 4, 3]);
        while let Some(at) = der.windows(5).position(|window| window == organization) {
            der[at..at + 5].copy_from_slice(&common_name);
        }
        is(UserField::CommonName, &der.into(), Some("last"));
    }

    #[test]
    fn an_unfit_name_is_nobodys() {
        for unfit in ["", "a\nb", "a\u{0}", "a\u{85}b", &"a".repeat(256)] {
            is(UserField::CommonName, &named(unfit), None);
        }
        let longest = "a".repeat(255);
        is(UserField::CommonName, &named(longest.as_str()), Some(&longest));
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for field in FIELDS {
                prop_assert!(field.of(&bytes.as_slice().into()).is_none());
            }
        }

        #[test]
        fn no_change_to_a_certificate_does_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut der = mixed().to_vec();
            for (at, byte) in changes {
                let at = at.index(der.len());
                der[at] = byte;
            }
            for field in FIELDS {
                let name = field.of(&der.as_slice().into());
                prop_assert!(name.is_none_or(|name| is_fit(&name)));
            }
        }

        #[test]
        fn no_part_of_a_certificate_is_a_certificate(end in any::<prop::sample::Index>()) {
            let der = mixed();
            let part = &der[..end.index(der.len())];
            prop_assert!(FIELDS.iter().all(|field| field.of(&part.into()).is_none()));
        }
    }
}
