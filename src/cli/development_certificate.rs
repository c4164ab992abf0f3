//! A certificate authority of one's own and the certificate it issues, for development.

use std::net::{Ipv4Addr, Ipv6Addr};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use time::{Duration, OffsetDateTime};

const AUTHORITY_DAYS: i64 = 3650;
/// Apple's limit for certificates of a private authority is 825 days.
const LEAF_DAYS: i64 = 820;

/// PEM texts that belong together.
pub(super) struct DevelopmentCertificate {
    /// The authority, which clients trust.
    pub(super) authority: String,
    /// The certificate of the server.
    pub(super) certificate: String,
    /// Its private key.
    pub(super) key: String,
}

impl DevelopmentCertificate {
    /// Makes an authority, lets it issue one certificate for this machine, and forgets the authority's key: what is not kept can
    /// sign nothing else, so that trusting the authority trusts this one certificate.
    pub(super) fn issue(host: Option<&str>, now: OffsetDateTime) -> Result<Self, rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "Breakwater development CA");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut authority, now, AUTHORITY_DAYS);
        let authority_certificate = authority.self_signed(&authority_key)?;

        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(Vec::new())?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ];
        leaf.subject_alt_names.extend(host.filter(|host| *host != "localhost").and_then(|host| host.try_into().ok()).map(SanType::DnsName));
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        valid_for(&mut leaf, now, LEAF_DAYS);
        let certificate = leaf.signed_by(&key, &Issuer::new(authority, authority_key))?;
        Ok(Self { authority: authority_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn valid_for(certificate: &mut CertificateParams, now: OffsetDateTime, days: i64) {
    // A client whose clock is a little behind must not find the certificate in the future.
    certificate.not_before = now - Duration::days(1);
    certificate.not_after = now + Duration::days(days);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pemfile::certs;
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

    #[test]
    fn the_certificate_is_good_for_this_machine_under_its_authority() {
        let now = OffsetDateTime::now_utc();
        let made = DevelopmentCertificate::issue(Some("build-7.example.com"), now).unwrap();
        let authority = certs(&mut made.authority.as_bytes()).next().unwrap().unwrap();
        let leaf = certs(&mut made.certificate.as_bytes()).next().unwrap().unwrap();
        let anchors = [anchor_from_trusted_cert(&authority).unwrap()];
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let moment = rustls::pki_types::UnixTime::now();
        leaf.verify_for_usage(algorithms, &anchors, &[], moment, KeyUsage::server_auth(), None, None).unwrap();
        for name in ["localhost", "127.0.0.1", "::1", "build-7.example.com"] {
            leaf.verify_is_valid_for_subject_name(&name.try_into().unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(made.key.contains("BEGIN PRIVATE KEY"));
    }

    #[test]
    fn a_host_name_that_no_certificate_can_hold_is_left_out() {
        assert!(DevelopmentCertificate::issue(Some("bürö 7"), OffsetDateTime::now_utc()).is_ok());
        assert!(DevelopmentCertificate::issue(None, OffsetDateTime::now_utc()).is_ok());
    }
}
