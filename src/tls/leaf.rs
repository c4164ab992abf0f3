//! What a certificate says of itself: when it is valid, whom it is for, and what its authority calls it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use x509_cert::certificate::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectAltName};
use x509_cert::time::Time;

/// The first certificate of a chain, as far as it is of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// From when it is valid.
    pub(super) not_before: SystemTime,
    /// Until when it is valid.
    pub(super) not_after: SystemTime,
    /// The DNS names it is for, in lower case.
    pub(super) names: BTreeSet<String>,
    /// By what an authority that advises on renewal is asked (RFC 9773, section 4.1): its own key and the serial number, both in
    /// base64url.
    pub(super) identifier: Option<(String, String)>,
}

impl Leaf {
    /// Reads a certificate; `None`: it is none.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let certificate = certificate.tbs_certificate();
        let validity = certificate.validity();
        let names = match certificate.get_extension::<SubjectAltName>().ok()? {
            Some((_, SubjectAltName(names))) => names.iter().filter_map(dns_name).collect(),
            None => BTreeSet::new(),
        };
        let authority = certificate.get_extension::<AuthorityKeyIdentifier>().ok().flatten();
        let identifier = authority.and_then(|(_, key)| key.key_identifier).map(|key| {
            let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
            (text(key.as_bytes()), text(certificate.serial_number().as_bytes()))
        });
        let moment = |time: Time| SystemTime::UNIX_EPOCH + time.to_unix_duration();
        let (not_before, not_after) = (moment(validity.not_before), moment(validity.not_after));
        Some(Self { not_before, not_after, names, identifier })
    }

    /// How long it is valid, from its first moment to its last.
    pub(super) fn life(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }
}

fn dns_name(name: &GeneralName) -> Option<String> {
    if let GeneralName::DnsName(name) = name { Some(name.as_str().to_ascii_lowercase()) } else { None }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    #[test]
    fn dates_names_and_the_identifier_are_read() {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // The example of RFC 9773, section 4.1.
        authority.key_identifier_method = KeyIdMethod::PreSpecified(
            [0x69, 0x88, 0x5B, 0x6B, 0x87, 0x46, 0x40, 0x41, 0xE1, 0xB3, 0x7B, 0x84, 0x7B, 0xA0, 0xAE, 0x2C, 0xDE, 0x01, 0xC8, 0xD4]
                .to_vec(),
        );
        let mut params = CertificateParams::new(vec!["One.example".to_owned(), "two.example".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 1, 7));
        params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&KeyPair::generate().unwrap(), &Issuer::new(authority, KeyPair::generate().unwrap())).unwrap();
        let leaf = Leaf::read(made.der()).unwrap();
        assert_eq!(leaf.not_before, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        assert_eq!(leaf.life(), Duration::from_secs(6 * 86_400));
        assert_eq!(leaf.names, BTreeSet::from(["one.example".to_owned(), "two.example".to_owned()]));
        assert_eq!(leaf.identifier, Some(("aYhba4dGQEHhs3uEe6CuLN4ByNQ".to_owned(), "AIdlQyE".to_owned())));
    }

    #[test]
    fn what_is_no_certificate_has_nothing_to_say() {
        assert_eq!(Leaf::read(&CertificateDer::from(b"no certificate".to_vec())), None);
    }
}
