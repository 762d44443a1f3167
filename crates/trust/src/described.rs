//! What an X.509 certificate says of itself, for showing.
//!
//! Nothing is verified here, and nothing that comes out of here decides anything: it is read from files of a machine so that a
//! person sees which of its services are about to lose their certificate.

use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, x509::X509Name};

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// First common name of whom it is for; empty if it has none.
    pub subject: String,
    /// First organisation of its issuer, or the issuer's first common name; empty if it has neither.
    pub issuer: String,
    /// From when on it is valid, in seconds since the Unix epoch.
    pub not_before_secs: i64,
    /// Until when it is valid, in seconds since the Unix epoch.
    pub not_after_secs: i64,
    /// Whether it names its subject as its issuer. Its signature is not looked at.
    pub self_signed: bool,
    /// Whether it is an authority's (RFC 5280 section 4.2.1.9).
    pub authority: bool,
}

/// Reads a certificate in DER; `None` if `der` is none, or has something behind it.
pub fn describe(der: &[u8]) -> Option<Described> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let issuer = certificate.issuer();
    Some(Described {
        subject: common_name(certificate.subject()),
        issuer: first(issuer.iter_organization()).unwrap_or_else(|| common_name(issuer)),
        not_before_secs: certificate.validity().not_before.timestamp(),
        not_after_secs: certificate.validity().not_after.timestamp(),
        self_signed: certificate.subject().as_raw() == issuer.as_raw(),
        authority: certificate.is_ca(),
    })
    .filter(|_| rest.is_empty())
}

fn common_name(name: &X509Name<'_>) -> String {
    first(name.iter_common_name()).unwrap_or_default()
}

fn first<'a>(mut attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>) -> Option<String> {
    attributes.find_map(|attribute| attribute.as_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, date_time_ymd};

    use super::*;
    use crate::{certificate::Signer, keys::SigningKey, tls_certificate};

    #[test]
    fn a_certificate_says_for_whom_by_whom_and_until_when() {
        let key = SigningKey::generate(&mut OsRng);
        let mut params = CertificateParams::new(["www.example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "www.example.org");
        params.distinguished_name.push(DnType::OrganizationName, "Example Co");
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2024, 4, 1);
        let der = params.self_signed(&Signer(&key)).unwrap();
        let expected = Described {
            subject: "www.example.org".to_owned(),
            issuer: "Example Co".to_owned(),
            not_before_secs: 1_704_067_200,
            not_after_secs: 1_711_929_600,
            self_signed: true,
            authority: false,
        };
        assert_eq!(describe(der.der()), Some(expected));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert!(describe(params.self_signed(&Signer(&key)).unwrap().der()).unwrap().authority);
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let der = tls_certificate::self_signed(&SigningKey::generate(&mut OsRng)).unwrap();
        assert!(describe(&der).is_some());
        for length in 0..der.len() {
            assert_eq!(describe(&der[..length]), None, "{length}");
        }
        assert_eq!(describe(&[&der[..], b"\0"].concat()), None);
        for position in 0..der.len() {
            let mut broken = der.clone();
            broken[position] ^= 0x55;
            let _whatever = describe(&broken);
        }
    }
}
