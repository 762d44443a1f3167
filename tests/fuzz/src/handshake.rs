//! Pairing and identity: whatever a peer sends, only the one who knows the code pairs, and only a real certificate names anybody.

use std::{sync::LazyLock, time::Duration};

use rand_core::{CryptoRng, RngCore};
use trust::{
    certificate::{OrganisationKey, TrustedOrganisation, verify},
    code::SessionCode,
    keys::{PublicKey, SigningKey},
    pairing::{AgentOffered, AgentPairing, ChannelBinding, PairingError, TechnicianPairing, TechnicianProving},
};
use wire::{
    ids::{RequestId, SessionId},
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction},
    session::{Ability, AccessRequest, TechnicianIdentity},
    text::{Label, Sentence},
    time::WallTime,
};

use super::{Verdict, messages::decode, readable::assert_readable};

const NOW: WallTime = WallTime(1_800_000_000_000);
const SESSION: SessionId = SessionId([5; 8]);

/// The same numbers on every machine, so that the corpus stays good.
struct FixedRng(u64);

impl RngCore for FixedRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = trust::digest(&self.0.to_be_bytes());
            chunk.copy_from_slice(&block.0[..chunk.len()]);
            self.0 += 1;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for FixedRng {}

/// An organisation and the one certificate that it issued.
struct Issued {
    root: TrustedOrganisation,
    technician: PublicKey,
    certificate: Vec<u8>,
}

static ISSUED: LazyLock<Issued> = LazyLock::new(|| {
    let mut rng = FixedRng(1 << 32);
    let organisation = OrganisationKey::create("Example Support", &mut rng, NOW).expect("the name is good");
    let technician = *SigningKey::generate(&mut rng).public();
    let year = Duration::from_secs(365 * 86_400);
    let certificate =
        organisation.issue("Ana Ruiz", &technician, year, &mut rng, NOW).expect("the name and the time are good");
    Issued { root: organisation.root().clone(), technician, certificate }
});

/// As the agent reads a technician's certificate, and as an administrator's tool reads a root.
pub(super) fn certificate(der: &[u8]) -> Verdict {
    let issued = &*ISSUED;
    let root = TrustedOrganisation::from_der(der);
    if let Ok(root) = &root {
        check_root(root);
    }
    match verify(der, &issued.technician, std::slice::from_ref(&issued.root), NOW) {
        Ok(TechnicianIdentity::Verified { name, organisation }) => {
            assert_eq!(der, issued.certificate, "a certificate that nobody issued was accepted");
            assert_eq!((name.raw(), organisation.raw()), ("Ana Ruiz", "Example Support"));
            Verdict::Accepted
        }
        Ok(TechnicianIdentity::Unverified { .. }) => panic!("a certificate proves a name or is refused"),
        Err(error) => {
            assert_readable(&error.to_string());
            Verdict::accepted_if(root.is_ok())
        }
    }
}

/// A root in PEM, as it stands in a file that an administrator was sent.
pub(super) fn organisation(bytes: &[u8]) -> Verdict {
    let Ok(text) = str::from_utf8(bytes) else { return Verdict::Refused };
    let root = TrustedOrganisation::from_pem(text);
    if let Ok(root) = &root {
        check_root(root);
    }
    Verdict::accepted_if(root.is_ok())
}

fn check_root(root: &TrustedOrganisation) {
    assert!(!root.name().is_blank());
    assert_readable(root.name().raw());
    assert_eq!(TrustedOrganisation::from_pem(&root.to_pem()).as_ref(), Ok(root));
    assert_eq!(TrustedOrganisation::from_der(root.der()).as_ref(), Ok(root));
}

/// A peer's raw public key, and a private key from a file.
pub(super) fn keys(der: &[u8]) -> Verdict {
    let public = PublicKey::from_spki_der(der);
    if let Ok(public) = &public {
        assert_eq!(public.spki_der(), der);
        assert!(public.verify("fuzz", b"bytes", &[0; 64]).is_err(), "a signature that nobody made was accepted");
    }
    let private = SigningKey::from_pkcs8(der);
    if let Ok(private) = &private {
        let again = SigningKey::from_pkcs8(&private.to_pkcs8()).expect("it was just written");
        assert_eq!(again.public(), private.public());
        let signature = private.sign("fuzz", b"bytes");
        assert_eq!(again.public().verify("fuzz", b"bytes", &signature), Ok(()));
    }
    Verdict::accepted_if(public.is_ok() || private.is_ok())
}

/// What an unpaired technician says, to an agent that made its offer.
pub(super) fn unpaired_technician(bytes: &[u8]) -> Verdict {
    let Some(message) = decode::<FromUnpairedTechnician>(bytes) else { return Verdict::Refused };
    let pairing = Pairing::default();
    let (offered, _, prove) = pairing.proving();
    let genuine = prove == message;
    match offered.accept(&pairing.binding, message, SESSION) {
        Ok((_, introduction, _)) => {
            assert!(genuine, "paired with somebody who does not know the code");
            assert_eq!(introduction, Pairing::introduction());
            Verdict::Accepted
        }
        Err(error) => {
            assert!(!genuine, "the right technician was refused: {error}");
            refused(&error)
        }
    }
}

/// What an unpaired agent says, to a technician that waits for the first and for the second message.
pub(super) fn unpaired_agent(bytes: &[u8]) -> Verdict {
    let Some(message) = decode::<FromUnpairedAgent>(bytes) else { return Verdict::Refused };
    let pairing = Pairing::default();
    if let FromUnpairedAgent::Accept { .. } = &message {
        let (offered, proving, prove) = pairing.proving();
        let (_, _, accept) = offered.accept(&pairing.binding, prove, SESSION).expect("both know the code");
        let genuine = accept == message;
        return match proving.finish(message) {
            Ok(paired) => {
                assert!(genuine, "paired with somebody who does not know the code");
                assert_eq!(paired.session, SESSION);
                Verdict::Accepted
            }
            Err(error) => {
                assert!(!genuine, "the right agent was refused: {error}");
                refused(&error)
            }
        };
    }
    match pairing.prove(message) {
        Ok((_, prove)) => {
            assert!(matches!(prove, FromUnpairedTechnician::Prove { .. }));
            Verdict::Accepted
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &PairingError) -> Verdict {
    assert_readable(&error.to_string());
    Verdict::Refused
}

/// One pairing, the same every time.
struct Pairing {
    code: SessionCode,
    binding: ChannelBinding,
}

impl Default for Pairing {
    fn default() -> Self {
        static KEYS: LazyLock<[PublicKey; 2]> =
            LazyLock::new(|| [6, 7].map(|seed| *SigningKey::generate(&mut FixedRng(seed)).public()));
        let [agent_key, technician_key] = *KEYS;
        Self {
            code: "4821 936 0423".parse().expect("the check digit is right"),
            binding: ChannelBinding { exporter: [8; 32], agent_key, technician_key },
        }
    }
}

impl Pairing {
    fn introduction() -> Introduction {
        let request = AccessRequest {
            request: RequestId(1),
            abilities: vec![Ability::DiagBasic],
            reason: Sentence::cut("The printer is silent."),
            stay_secs: 600,
        };
        Introduction { claimed_name: Label::cut("Ana Ruiz"), certificate: None, request }
    }

    fn prove(&self, offer: FromUnpairedAgent) -> Result<(TechnicianProving, FromUnpairedTechnician), PairingError> {
        TechnicianPairing::prove(&self.code, &self.binding, offer, &Self::introduction(), &mut FixedRng(4))
    }

    /// Both ends as they are once the technician's proof is on its way.
    fn proving(&self) -> (AgentOffered, TechnicianProving, FromUnpairedTechnician) {
        let (offered, offer) = AgentPairing::offer(&self.code, &mut FixedRng(3));
        let (proving, prove) = self.prove(offer).expect("an honest agent offered");
        (offered, proving, prove)
    }
}
