//! The technician's own key and certificate, kept in the state directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use audit::files::{self, FileError};
use rand_core::OsRng;
use rustix::fs::{FlockOperation, flock};
use trust::{
    certificate::{self, CertificateError, TrustedOrganisation},
    keys::{KeyError, PublicKey, SigningKey},
};
use wire::{pairing::CERTIFICATE_BYTES, time::WallTime};
use zeroize::Zeroizing;

/// Who this technician is to others.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Proved in every session.
    pub(crate) key: SigningKey,
    /// What an organisation says about the key, DER.
    pub(crate) certificate: Option<Vec<u8>>,
}

/// Why key or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IdentityError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("the technician's key or certificate cannot be written")]
    Write(#[source] FileError),
    /// The key file holds something else, or others can read it.
    #[error("{} is no key of this program", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: KeyError,
    },
    /// Others could have copied the key.
    #[error("{} is open to other users, so its key may be known to others", path.display())]
    Exposed { path: PathBuf },
    /// The file does not hold exactly one certificate.
    #[error("{} does not hold exactly one PEM certificate of at most {CERTIFICATE_BYTES} bytes", path.display())]
    NoCertificate { path: PathBuf },
    /// The certificate does not vouch for this key now.
    #[error("the certificate cannot be used")]
    Certificate(#[source] CertificateError),
}

/// Largest key or certificate file that is read.
const FILE_BYTES: u64 = 16 * 1024;

impl Identity {
    /// Reads key and certificate; makes a key the first time.
    ///
    /// # Errors
    ///
    /// An existing key is never replaced: whatever is wrong with it is an error.
    pub(crate) fn load(directory: &Path) -> Result<Self, IdentityError> {
        let key = load_or_create_key(directory)?;
        let path = certificate_file(directory);
        let certificate = match read(&path) {
            Ok(bytes) => Some(one_certificate(&bytes).ok_or(IdentityError::NoCertificate { path })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(IdentityError::Read { path, source }),
        };
        Ok(Self { key, certificate })
    }

    /// Takes a certificate in, if it is for this key. With the issuer's root it must also be good at `wall`; without, that is left
    /// to the agents, who decide about it in any case.
    ///
    /// # Errors
    ///
    /// The certificate before it, if any, stays.
    pub(crate) fn import(
        &mut self,
        directory: &Path,
        from: &Path,
        issuer: Option<&Path>,
        wall: WallTime,
    ) -> Result<(), IdentityError> {
        let bytes = read(from).map_err(|source| IdentityError::Read { path: from.to_owned(), source })?;
        let der = one_certificate(&bytes).ok_or_else(|| IdentityError::NoCertificate { path: from.to_owned() })?;
        let issuer = issuer.map(read_root).transpose()?;
        match (certificate::verify(&der, self.key.public(), issuer.as_slice(), wall), &issuer) {
            (Ok(_), _) => {}
            // With nobody trusted, every certificate for this key ends here.
            (Err(CertificateError::Untrusted), None) => {}
            (Err(error), _) => return Err(IdentityError::Certificate(error)),
        }
        let pem = certificate_pem(&der);
        files::write_atomic(&certificate_file(directory), pem.as_bytes(), 0o600).map_err(IdentityError::Write)?;
        self.certificate = Some(der);
        Ok(())
    }
}

fn read_root(path: &Path) -> Result<TrustedOrganisation, IdentityError> {
    let bytes = read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    TrustedOrganisation::from_pem(&String::from_utf8_lossy(&bytes)).map_err(IdentityError::Certificate)
}

/// A certificate as PEM text.
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new("CERTIFICATE", der.to_vec()),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

/// The key as people pass it on: base64 of its SubjectPublicKeyInfo.
pub(crate) fn key_text(key: &PublicKey) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(key.spki_der())
}

/// Reads what [`key_text`] writes.
///
/// # Errors
///
/// For everything else.
pub(crate) fn parse_key(text: &str) -> Result<PublicKey, KeyError> {
    use base64::Engine as _;
    let der = base64::engine::general_purpose::STANDARD.decode(text.trim()).map_err(|_| KeyError::NotEd25519)?;
    PublicKey::from_spki_der(&der)
}

fn certificate_file(directory: &Path) -> PathBuf {
    directory.join("certificate.pem")
}

fn one_certificate(bytes: &[u8]) -> Option<Vec<u8>> {
    let sections = pem::parse_many(bytes).ok()?;
    match sections.as_slice() {
        [only] if only.tag() == "CERTIFICATE" && only.contents().len() <= CERTIFICATE_BYTES => {
            Some(only.contents().to_vec())
        }
        _ => None,
    }
}

fn load_or_create_key(directory: &Path) -> Result<SigningKey, IdentityError> {
    files::private_dir(directory).map_err(IdentityError::Write)?;
    let path = directory.join("technician.key");
    // Two processes that start for the first time at once must end up with one key.
    let lock = directory.join("technician.lock");
    let opened = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
    let _locked = opened
        .and_then(|file| Ok(flock(&file, FlockOperation::LockExclusive).map(|()| file)?))
        .map_err(|source| IdentityError::Read { path: lock, source })?;
    match read(&path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            check_private(&path)?;
            SigningKey::from_pkcs8(&bytes).map_err(|source| IdentityError::Key { path, source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = SigningKey::generate(&mut OsRng);
            files::write_atomic(&path, &key.to_pkcs8(), 0o600).map_err(IdentityError::Write)?;
            Ok(key)
        }
        Err(source) => Err(IdentityError::Read { path, source }),
    }
}

fn check_private(path: &Path) -> Result<(), IdentityError> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })?;
    if metadata.mode() & 0o077 == 0 { Ok(()) } else { Err(IdentityError::Exposed { path: path.to_owned() }) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::Duration};

    use trust::certificate::OrganisationKey;

    use super::*;

    const NOW: WallTime = WallTime(1_795_329_304_000);

    #[test]
    fn the_key_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("assent");
        let first = Identity::load(&state).unwrap();
        let second = Identity::load(&state).unwrap();
        assert_eq!(first.key.public(), second.key.public());
        let file = state.join("technician.key");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Identity::load(&state), Err(IdentityError::Exposed { .. })));
    }

    #[test]
    fn a_damaged_key_is_an_error_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        files::write_atomic(&dir.path().join("technician.key"), b"garbage", 0o600).unwrap();
        assert!(matches!(Identity::load(dir.path()), Err(IdentityError::Key { .. })));
        assert_eq!(fs::read(dir.path().join("technician.key")).unwrap(), b"garbage");
    }

    #[test]
    fn a_certificate_for_this_key_is_taken_in_and_others_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut identity = Identity::load(dir.path()).unwrap();
        let organisation = OrganisationKey::create("Example Ltd", &mut OsRng, NOW).unwrap();
        let issue = |key: &PublicKey| organisation.issue("Ana Ruiz", key, Duration::from_secs(3600), &mut OsRng, NOW);
        let file = dir.path().join("ana.pem");

        let other = SigningKey::generate(&mut OsRng);
        files::write_atomic(&file, certificate_pem(&issue(other.public()).unwrap()).as_bytes(), 0o600).unwrap();
        let error = identity.import(dir.path(), &file, None, NOW).unwrap_err();
        assert!(matches!(error, IdentityError::Certificate(CertificateError::OtherKey)), "{error}");
        assert!(identity.certificate.is_none());

        let der = issue(identity.key.public()).unwrap();
        files::write_atomic(&file, certificate_pem(&der).as_bytes(), 0o600).unwrap();
        let root = dir.path().join("root.pem");
        files::write_atomic(&root, organisation.root().to_pem().as_bytes(), 0o600).unwrap();
        identity.import(dir.path(), &file, Some(&root), NOW).unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap().certificate, Some(der));

        let late = WallTime(NOW.0 + 7_200_000);
        let error = identity.import(dir.path(), &file, Some(&root), late).unwrap_err();
        assert!(matches!(error, IdentityError::Certificate(CertificateError::Expired)), "{error}");
        identity.import(dir.path(), &file, None, NOW).expect("agents decide whether they trust the issuer");
    }

    #[test]
    fn a_key_is_passed_on_as_text() {
        let key = SigningKey::generate(&mut OsRng);
        assert_eq!(parse_key(&format!(" {}\n", key_text(key.public()))).unwrap(), *key.public());
        assert!(parse_key("not a key").is_err());
    }
}
