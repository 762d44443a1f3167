//! A relay's key as an X.509 certificate, for where TLS knows no raw keys.
//!
//! Browsers' TLS, and what inspects it on its way, wants a certificate. This one says nothing but the key: whoever connects compares
//! the key with the relay link and looks at nothing else in it.

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, SerialNumber};

use crate::{certificate::Signer, digest, keys::SigningKey};

/// The name in the certificate. Nobody compares it.
const NAME: &str = "assent-relay";

/// The key could not be written as a certificate.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the key cannot be written as a certificate: {0}")]
pub struct CertificateError(String);

/// A self-signed certificate for `key`, in DER. Valid from 1975 to 4096; the same key always gives the same one.
///
/// # Errors
///
/// See [`CertificateError`]; no usable key leads there.
pub fn self_signed(key: &SigningKey) -> Result<Vec<u8>, CertificateError> {
    let failed = |error: rcgen::Error| CertificateError(error.to_string());
    let mut params = CertificateParams::new([NAME.to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::NoCa;
    let [first, rest @ ..] = digest(key.public().spki_der()).0;
    // Positive and without leading zeros (RFC 5280 section 4.1.2.2).
    let serial = [&[first & 0x7f | 0x40], rest.split_at(15).0].concat();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params.self_signed(&Signer(key)).map_err(failed)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

    use super::*;

    #[test]
    fn the_certificate_has_the_key_and_is_signed_by_it() {
        let key = SigningKey::generate(&mut OsRng);
        let der = self_signed(&key).unwrap();
        let (rest, certificate) = X509Certificate::from_der(&der).unwrap();
        assert!(rest.is_empty());
        assert_eq!(certificate.public_key().raw, key.public().spki_der());
        let signed = certificate.tbs_certificate.as_ref();
        let signature = certificate.signature_value.data.as_ref();
        assert!(key.public().verify_raw(signed, signature).is_ok());
        assert_eq!(self_signed(&key).unwrap(), der, "Ed25519 is deterministic, and so is the rest");
    }
}
