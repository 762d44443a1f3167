//! Organisation certificates: who vouches for a technician's name.
//!
//! X.509 (RFC 5280) with Ed25519 (RFC 8410), one level deep: an organisation's self-signed root and a technician's certificate for
//! the very key with which the technician proves the sealed channel. The end user's side trusts the roots that it was given and
//! nothing else; the relay sees none of this.
//!
//! Verification is done here over the parsed fields, because the question is narrower than a TLS library's: one key, one level, one
//! purpose, and a name that a person will read.

use std::{fmt, time::Duration};

use rand_core::CryptoRngCore;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SerialNumber, date_time_ymd,
};
use wire::{pairing::CERTIFICATE_BYTES, session::TechnicianIdentity, text::Label, time::WallTime};
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    oid_registry::{OID_SIG_ED25519, Oid},
    prelude::FromDer as _,
    x509::X509Version,
};
use zeroize::Zeroizing;

use crate::keys::{KeyError, PublicKey, SigningKey};

/// How long a new organisation root is valid.
pub const ROOT_VALIDITY: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Longest validity of a technician's certificate: there is no revocation yet, so time has to do it.
pub const LONGEST_VALIDITY: Duration = Duration::from_secs(366 * 86_400);

/// A certificate is valid from this long before it was issued, for clocks that are slow.
const SLOW_CLOCKS: Duration = Duration::from_secs(300);

/// Longest name in bytes: what fits a [`Label`] without being cut.
const NAME_BYTES: usize = 128;

/// Largest PEM file that is looked at.
const PEM_BYTES: usize = 64 * 1024;

/// No certificate is issued for a time after this: 9999-01-01, the last year that X.509 can write being 9999.
const LAST_WALL_TIME: WallTime = WallTime(253_370_764_800_000);

/// Why a certificate was not issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Blank, longer than 128 bytes, or with characters that act on a screen.
    #[error("a name needs 1 to 128 bytes of readable characters")]
    Name,
    /// Not within 1 minute and [`LONGEST_VALIDITY`], or beyond the year 9998.
    #[error("a certificate is valid for at least a minute and at most 366 days")]
    Validity,
    /// The private key does not belong to the root.
    #[error("the private key does not belong to this organisation's certificate")]
    KeyMismatch,
    /// The private key cannot be read.
    #[error("the organisation's private key cannot be read")]
    Key(#[source] KeyError),
    /// The root is none.
    #[error("the organisation's certificate cannot be used")]
    Root(#[source] CertificateError),
    /// X.509 cannot express it.
    #[error("the certificate cannot be written: {0}")]
    Encoding(String),
}

/// Why a certificate does not vouch for anybody. The technician counts as unverified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Larger than [`CERTIFICATE_BYTES`].
    #[error("the certificate is too large")]
    TooLarge,
    /// Not a complete X.509 v3 certificate, or with an extension that contradicts itself.
    #[error("the certificate is malformed")]
    Malformed,
    /// No PEM text with exactly one certificate.
    #[error("the text does not hold exactly one certificate")]
    Pem,
    /// Signed with something else than Ed25519.
    #[error("the certificate is not signed with Ed25519")]
    Algorithm,
    /// For another key than the one that the technician proved.
    #[error("the certificate belongs to another key")]
    OtherKey,
    /// No trusted organisation issued it.
    #[error("no trusted organisation issued the certificate")]
    Untrusted,
    /// It says that a trusted organisation issued it, and the signature is wrong.
    #[error("the signature of the certificate is wrong")]
    Signature,
    /// Its time is to come.
    #[error("the certificate is not valid yet; check this machine's clock")]
    NotYetValid,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
    /// The organisation's own certificate has expired or is not valid yet.
    #[error("the organisation's own certificate is not valid now")]
    RootNotValid,
    /// It may issue certificates, or is not for proving who a client is, or has a critical extension that is not known here.
    #[error("the certificate is for another purpose")]
    Purpose,
    /// No name, several, or one that no person could read.
    #[error("the certificate has no usable name")]
    Name,
}

/// An organisation whose word this machine takes.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedOrganisation {
    name: Label,
    key: PublicKey,
    subject: Vec<u8>,
    not_before: i64,
    not_after: i64,
    der: Vec<u8>,
}

impl TrustedOrganisation {
    /// Reads a self-signed root certificate.
    ///
    /// # Errors
    ///
    /// If it is malformed, not signed by its own key, no certificate authority, or without exactly one organisation name. Validity is
    /// checked when it is used.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let key = key_of(&certificate)?;
        if certificate.subject().as_raw() != certificate.issuer().as_raw() {
            return Err(CertificateError::Untrusted);
        }
        check_signature(&certificate, &key)?;
        let purpose = Purpose::of(&certificate)?;
        if !purpose.is_authority || !purpose.may_sign_certificates {
            return Err(CertificateError::Purpose);
        }
        let name = only_name(certificate.subject().iter_organization())?;
        Ok(Self {
            name,
            key,
            subject: certificate.subject().as_raw().to_vec(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            der: der.to_vec(),
        })
    }

    /// Reads a root certificate from PEM text: exactly one, whatever text stands around it.
    ///
    /// # Errors
    ///
    /// As [`TrustedOrganisation::from_der`], and [`CertificateError::Pem`].
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        if text.len() > PEM_BYTES {
            return Err(CertificateError::TooLarge);
        }
        let sections = pem::parse_many(text).map_err(|_| CertificateError::Pem)?;
        match sections.as_slice() {
            [only] if only.tag() == "CERTIFICATE" => Self::from_der(only.contents()),
            _ => Err(CertificateError::Pem),
        }
    }

    /// The certificate as PEM text.
    pub fn to_pem(&self) -> String {
        to_pem(&self.der)
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The organisation's name.
    pub fn name(&self) -> &Label {
        &self.name
    }

    /// The organisation's key: two organisations with one name differ in it.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl fmt::Debug for TrustedOrganisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedOrganisation").field("name", &self.name).field("key", &self.key).finish_non_exhaustive()
    }
}

/// Decides who a technician is.
///
/// The organisation's name is the root's, never what the certificate says about its issuer.
///
/// # Errors
///
/// The first thing that is wrong; the technician then counts as unverified.
pub fn verify(
    certificate_der: &[u8],
    technician_key: &PublicKey,
    trusted: &[TrustedOrganisation],
    wall: WallTime,
) -> Result<TechnicianIdentity, CertificateError> {
    let certificate = parse(certificate_der)?;
    if key_of(&certificate)? != *technician_key {
        return Err(CertificateError::OtherKey);
    }
    let organisation = issuer_of(&certificate, trusted)?;
    let now = i64::try_from(wall.0 / 1000).unwrap_or(i64::MAX);
    if now < organisation.not_before || now > organisation.not_after {
        return Err(CertificateError::RootNotValid);
    }
    if now < certificate.validity().not_before.timestamp() {
        return Err(CertificateError::NotYetValid);
    }
    if now > certificate.validity().not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    let purpose = Purpose::of(&certificate)?;
    if purpose.is_authority || purpose.may_sign_certificates || !purpose.proves_a_client {
        return Err(CertificateError::Purpose);
    }
    let name = only_name(certificate.subject().iter_common_name())?;
    Ok(TechnicianIdentity::Verified { name, organisation: organisation.name.clone() })
}

/// The trusted organisation that signed `certificate`. Several may have the same name.
fn issuer_of<'a>(
    certificate: &X509Certificate<'_>,
    trusted: &'a [TrustedOrganisation],
) -> Result<&'a TrustedOrganisation, CertificateError> {
    let mut named = trusted.iter().filter(|root| root.subject == certificate.issuer().as_raw()).peekable();
    if named.peek().is_none() {
        return Err(CertificateError::Untrusted);
    }
    named.find(|root| check_signature(certificate, &root.key).is_ok()).ok_or(CertificateError::Signature)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > CERTIFICATE_BYTES {
        return Err(CertificateError::TooLarge);
    }
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
    if !rest.is_empty() || certificate.version() != X509Version::V3 {
        return Err(CertificateError::Malformed);
    }
    Ok(certificate)
}

fn key_of(certificate: &X509Certificate<'_>) -> Result<PublicKey, CertificateError> {
    PublicKey::from_spki_der(certificate.public_key().raw).map_err(|_| CertificateError::Algorithm)
}

fn check_signature(certificate: &X509Certificate<'_>, key: &PublicKey) -> Result<(), CertificateError> {
    // RFC 5280 section 4.1.1.2: the algorithm stands inside and outside the signed part and must be the same.
    let algorithms = [&certificate.signature_algorithm, &certificate.tbs_certificate.signature];
    if algorithms.iter().any(|given| given.algorithm != OID_SIG_ED25519 || given.parameters.is_some()) {
        return Err(CertificateError::Algorithm);
    }
    let (signed, signature) = (certificate.tbs_certificate.as_ref(), &certificate.signature_value.data);
    if certificate.as_raw() != envelope(signed, signature) {
        return Err(CertificateError::Malformed);
    }
    key.verify_raw(signed, signature).map_err(|_| CertificateError::Signature)
}

/// The one way to write a certificate around what was signed. The parser is more lenient about these bytes, which no signature
/// covers; one certificate would then have many spellings.
fn envelope(signed: &[u8], signature: &[u8]) -> Vec<u8> {
    const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    const BIT_STRING_OF_64_BYTES: [u8; 3] = [0x03, 0x41, 0x00];
    let content = [signed, &ED25519, &BIT_STRING_OF_64_BYTES, signature].concat();
    let length = content.len().to_be_bytes();
    let length = length.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
    let header = match (length.as_slice(), u8::try_from(length.len())) {
        ([short @ 0..=0x7f], _) => vec![0x30, *short],
        (_, Ok(count)) => [&[0x30, 0x80 | count], length.as_slice()].concat(),
        (_, Err(_)) => vec![],
    };
    [header, content].concat()
}

/// What a certificate's extensions allow.
#[derive(Default)]
struct Purpose {
    is_authority: bool,
    may_sign_certificates: bool,
    proves_a_client: bool,
}

impl Purpose {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        let mut purpose = Self::default();
        let mut seen = Vec::<&Oid<'_>>::new();
        for extension in certificate.extensions() {
            if seen.contains(&&extension.oid) {
                return Err(CertificateError::Malformed);
            }
            seen.push(&extension.oid);
            #[expect(clippy::wildcard_enum_match_arm, reason = "an extension not named here is unknown, now and later")]
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => purpose.is_authority = constraints.ca,
                ParsedExtension::KeyUsage(usage) => purpose.may_sign_certificates = usage.key_cert_sign(),
                ParsedExtension::ExtendedKeyUsage(usage) => purpose.proves_a_client = usage.client_auth,
                ParsedExtension::SubjectKeyIdentifier(_) | ParsedExtension::AuthorityKeyIdentifier(_) => {}
                ParsedExtension::ParseError { .. } => return Err(CertificateError::Malformed),
                _ if extension.critical => return Err(CertificateError::Purpose),
                _ => {}
            }
        }
        Ok(purpose)
    }
}

/// The one attribute there is, as a name that a person can read.
fn only_name<'a>(
    mut attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Result<Label, CertificateError> {
    let (Some(only), None) = (attributes.next(), attributes.next()) else { return Err(CertificateError::Name) };
    let name = only.as_str().map_err(|_| CertificateError::Name)?;
    if is_readable(name) { Ok(Label::cut(name)) } else { Err(CertificateError::Name) }
}

/// Whether a person who reads this reads all of it. An organisation has no reason to put control characters into a name.
fn is_readable(name: &str) -> bool {
    let label = Label::cut(name);
    name.len() <= NAME_BYTES && !label.is_blank() && wire::text::shown(name) == name
}

fn to_pem(der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der), config)
}

/// An organisation's private key and root: issues technicians' certificates.
pub struct OrganisationKey {
    key: SigningKey,
    root: TrustedOrganisation,
}

impl OrganisationKey {
    /// Founds an organisation of that name: draws its key and signs its root, valid for [`ROOT_VALIDITY`].
    ///
    /// # Errors
    ///
    /// If the name is unreadable or `wall` is absurd.
    pub fn create(name: &str, rng: &mut dyn CryptoRngCore, wall: WallTime) -> Result<Self, IssueError> {
        let key = SigningKey::generate(rng);
        let mut params = root_params(name)?;
        set_validity(&mut params, wall, ROOT_VALIDITY)?;
        params.serial_number = Some(serial(rng));
        let certificate = params.self_signed(&Signer(&key)).map_err(encoding)?;
        let root = TrustedOrganisation::from_der(certificate.der()).map_err(IssueError::Root)?;
        Ok(Self { key, root })
    }

    /// Takes up an organisation again from what [`OrganisationKey::to_pkcs8`] and [`TrustedOrganisation::der`] gave.
    ///
    /// # Errors
    ///
    /// If one of the two cannot be read or they do not belong together.
    pub fn from_parts(pkcs8: &[u8], root: TrustedOrganisation) -> Result<Self, IssueError> {
        let key = SigningKey::from_pkcs8(pkcs8).map_err(IssueError::Key)?;
        if key.public() != root.key() {
            return Err(IssueError::KeyMismatch);
        }
        Ok(Self { key, root })
    }

    /// The private key in PKCS #8, DER. Whoever has it can name technicians.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.key.to_pkcs8()
    }

    /// The root, to be given to the end users' machines.
    pub fn root(&self) -> &TrustedOrganisation {
        &self.root
    }

    /// Vouches for the person `name` with the key `technician`, from five minutes before `wall` until `valid_for` after it.
    ///
    /// Returns the certificate in DER, at most [`CERTIFICATE_BYTES`].
    ///
    /// # Errors
    ///
    /// If the name is unreadable, `valid_for` is out of range, or the result would not be accepted by [`verify`].
    pub fn issue(
        &self,
        name: &str,
        technician: &PublicKey,
        valid_for: Duration,
        rng: &mut dyn CryptoRngCore,
        wall: WallTime,
    ) -> Result<Vec<u8>, IssueError> {
        if !is_readable(name) {
            return Err(IssueError::Name);
        }
        if valid_for < Duration::from_secs(60) || valid_for > LONGEST_VALIDITY {
            return Err(IssueError::Validity);
        }
        let organisation = self.root.name.raw();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        set_validity(&mut params, wall, valid_for)?;
        params.serial_number = Some(serial(rng));
        let issuer = Issuer::new(root_params(organisation)?, Signer(&self.key));
        let der = params.signed_by(&Subject(technician), &issuer).map_err(encoding)?.der().to_vec();
        // A root that was made elsewhere may spell its name in another string type, which this certificate then does not match.
        verify(&der, technician, std::slice::from_ref(&self.root), wall).map_err(IssueError::Root)?;
        Ok(der)
    }
}

impl fmt::Debug for OrganisationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrganisationKey").field("root", &self.root).finish_non_exhaustive()
    }
}

fn root_params(name: &str) -> Result<CertificateParams, IssueError> {
    if !is_readable(name) {
        return Err(IssueError::Name);
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

/// Makes the certificate valid from a little before `wall` until `valid_for` after it.
fn set_validity(params: &mut CertificateParams, wall: WallTime, valid_for: Duration) -> Result<(), IssueError> {
    let now = Duration::from_millis(wall.0);
    let until = now.saturating_add(valid_for);
    if until > Duration::from_millis(LAST_WALL_TIME.0) {
        return Err(IssueError::Validity);
    }
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(SLOW_CLOCKS).as_secs());
    params.not_after = epoch + Duration::from_secs(until.as_secs());
    Ok(())
}

/// A random positive number of 16 bytes (RFC 5280 section 4.1.2.2).
fn serial(rng: &mut dyn CryptoRngCore) -> SerialNumber {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn encoding(error: rcgen::Error) -> IssueError {
    IssueError::Encoding(error.to_string())
}

/// A technician's key as rcgen wants to see it.
struct Subject<'a>(&'a PublicKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.raw()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// A private key as rcgen wants to use it.
pub(crate) struct Signer<'a>(pub(crate) &'a SigningKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public().raw()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Signer<'_> {
    fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign_raw(bytes).to_vec())
    }
}

#[cfg(test)]
mod tests;
