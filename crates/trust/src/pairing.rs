//! Pairing: both ends of a sealed channel prove to each other that they know the session code.
//!
//! The messages and their order are in [`wire::pairing`]. The exchange runs inside the inner TLS 1.3 channel and is bound to it: the
//! channel's exporter (RFC 8446 section 7.5) and both raw public keys go into every key and every MAC that follow from the exchange. A
//! relay that ends TLS on both legs has two different exporters, so that no proof of one leg holds on the other even if it copies every message.
//!
//! ```text
//! B   = TLS exporter, label EXPORTER_LABEL, context exporter_context(suite, locator), 32 bytes
//! K   = PAKE(password = six secret digits,
//!            A = "technician" || suite || locator,
//!            B = "agent"      || suite || locator)                                   each part with its length
//! t1  = SHA-256 over label, suite, locator, B, both key digests, Offer.pake, Offer.commitment, Prove.pake
//! PRK = HKDF-Extract(salt = B, K);   key(label) = HKDF-Expand(PRK, label || t1)
//! t2  = SHA-256 over label, t1, Prove.nonce, Prove.introduction           Prove.proof  = HMAC(key("technician confirms"), t2)
//! t3  = SHA-256 over label, t2, Prove.proof, Accept.nonce, Accept.session Accept.proof = HMAC(key("agent confirms"), t3)
//! ```
//!
//! **The agent speaks first**, in the packets that end the server's part of the handshake: its share says nothing about the code, and
//! the technician's proof can then go out with the first packets that the technician may seal. A person is asked after one and a half
//! round trips. The agent does not know yet who it speaks to nor what the exporter will be; therefore both enter the MACs, and not the
//! exchange itself.
//!
//! **The technician confirms first.** Somebody who attaches without the code learns nothing from an agent but that it refuses;
//! somebody in the middle who answers a technician learns whether one guess was right.
//! [`CodeTries`](crate::tries::CodeTries) counts both.
//!
//! **The introduction** travels in `Prove`, before the technician knows that it talks to the right agent, so it is sealed with
//! AES-256-GCM under key("introduction"). The key is used for one message ever, both sides having added fresh randomness to K, so
//! the nonce is constant. GCM does not commit to its key; nothing follows from that because the HMAC, which does, is checked first.
//!
//! **The words** are 22 bits of key("words") over both nonces. The agent commits to its nonce before it sees the technician's, and
//! the technician draws its own before the agent's is revealed, so that somebody in the middle who *guessed the code* can still not
//! search for keys that show both people the same words: one chance in four million.
//!
//! **Rejoining** a session whose connection to the relay was lost needs a meeting point: [`Paired::rendezvous`], derived from the
//! final transcript.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq as _;
use wire::{
    codec::{self, Message as _},
    control::{Rendezvous, Side},
    ids::{Digest, Locator, SessionId},
    pairing::{CERTIFICATE_BYTES, FromUnpairedAgent, FromUnpairedTechnician, Introduction, PairingRefusal, PakeSuite},
};
use zeroize::Zeroizing;

use crate::{
    code::{SECRET_DIGITS, SessionCode},
    digest,
    hash::Hasher,
    kdf::{self, Secret},
    keys::PublicKey,
    pake::{self, Identities, KEY_BYTES, Pake},
    words::Words,
};

/// Label of the TLS exporter that a pairing is bound to.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-assent-pair-v1";

/// The suite that an agent offers.
pub const SUITE: PakeSuite = PakeSuite::Spake2Ed25519;

const SHARED: &[u8] = b"assent-pair-v1 shared";
const PROVED: &[u8] = b"assent-pair-v1 proved";
const ACCEPTED: &[u8] = b"assent-pair-v1 accepted";
const COMMITMENT: &[u8] = b"assent-pair-v1 commitment";

const TECHNICIAN_CONFIRMS: &[u8] = b"assent-pair-v1 technician confirms";
const AGENT_CONFIRMS: &[u8] = b"assent-pair-v1 agent confirms";
const INTRODUCTION: &[u8] = b"assent-pair-v1 introduction";
const WORDS: &[u8] = b"assent-pair-v1 words";
const RENDEZVOUS: &[u8] = b"assent-pair-v1 rendezvous";

const TAG_BYTES: usize = 16;

/// Returns the context for the TLS exporter that [`ChannelBinding::exporter`] holds: the suite's byte, the locator's length and
/// digits, and the roles.
pub fn exporter_context(suite: PakeSuite, locator: Locator) -> Vec<u8> {
    let suite = pake::suite_byte(suite).unwrap_or_default();
    let locator = locator.to_string();
    [&[suite, u8::try_from(locator.len()).unwrap_or(u8::MAX)], locator.as_bytes(), b"client=technician server=agent"]
        .concat()
}

/// What ties a pairing to one sealed channel. Each end takes it from its own TLS connection and never from the peer.
#[derive(Clone)]
pub struct ChannelBinding {
    /// TLS exporter with [`EXPORTER_LABEL`] and [`exporter_context`].
    pub exporter: [u8; 32],
    /// The key that the agent proved in the TLS handshake.
    pub agent_key: PublicKey,
    /// The key that the technician proved in the TLS handshake.
    pub technician_key: PublicKey,
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBinding")
            .field("agent_key", &self.agent_key)
            .field("technician_key", &self.technician_key)
            .finish_non_exhaustive()
    }
}

/// Why two ends did not pair. Nothing was granted, nothing was shown to the peer; the channel is to be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairingError {
    /// Technician: the agent did not go on.
    #[error("the other side refused: {0}")]
    Refused(PairingRefusal),
    /// Agent: the proof does not fit the code.
    #[error("somebody attached with a wrong code, or through a connection that was tampered with; nobody was let in")]
    WrongCode,
    /// Technician: the other side does not know the code.
    #[error("the other side could not prove that it knows the code, so it is not the end user's machine")]
    NotTheAgent,
    /// Technician: the other side knew the code but changed its nonce to choose the words.
    #[error("the other side tried to choose the two words, so it is not the end user's machine")]
    ChangedNonce,
    /// Technician: the suite is not known here.
    #[error("the other side uses a pairing suite that this version does not know; one of the two needs an update")]
    UnknownSuite,
    /// A message came at the wrong time.
    #[error("the other side sent a pairing message out of order")]
    OutOfOrder,
    /// A message that no honest peer sends.
    #[error("the other side sent a malformed pairing message: {what}")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// Technician: name, certificate and request together are too long to be sent.
    #[error("the certificate or the first request is too long to be sent")]
    IntroductionTooLarge,
}

impl PairingError {
    /// What an agent tells the technician before it closes the channel. A technician sends nothing.
    pub fn refusal(&self) -> Option<PairingRefusal> {
        match self {
            Self::WrongCode => Some(PairingRefusal::WrongCode),
            Self::OutOfOrder | Self::Malformed { .. } => Some(PairingRefusal::Malformed),
            Self::Refused(_)
            | Self::NotTheAgent
            | Self::ChangedNonce
            | Self::UnknownSuite
            | Self::IntroductionTooLarge => None,
        }
    }

    /// Whether somebody tried a code that is not the right one: the person at this end is told.
    ///
    /// [`CodeTries::charge`](crate::tries::CodeTries::charge) comes before the proof and does not wait for this.
    pub fn counts_as_try(&self) -> bool {
        match self {
            Self::WrongCode | Self::NotTheAgent | Self::ChangedNonce | Self::Refused(PairingRefusal::WrongCode) => true,
            Self::Refused(_)
            | Self::UnknownSuite
            | Self::OutOfOrder
            | Self::Malformed { .. }
            | Self::IntroductionTooLarge => false,
        }
    }
}

/// What both ends share once they are paired.
pub struct Paired {
    /// Both people see the same two, unless somebody is in the middle.
    pub words: Words,
    /// Where the two ends meet at the relay when they have to rejoin. The same each time, so that they meet whatever one of them
    /// has missed.
    pub rendezvous: Rendezvous,
    /// The session's name.
    pub session: SessionId,
}

impl fmt::Debug for Paired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paired").field("session", &self.session).finish_non_exhaustive()
    }
}

/// The technician's side. [`TechnicianPairing::prove`] begins.
#[derive(Debug)]
pub struct TechnicianPairing;

impl TechnicianPairing {
    /// Takes the agent's `offer` on the channel that `binding` describes, and proves the typed `code`. Charge
    /// [`CodeTries`](crate::tries::CodeTries) before the message is sent: it lets somebody in the middle check one guess even if
    /// nothing ever comes back.
    ///
    /// # Errors
    ///
    /// Nothing that depends on the code has been sent if this fails.
    pub fn prove(
        code: &SessionCode,
        binding: &ChannelBinding,
        offer: FromUnpairedAgent,
        introduction: &Introduction,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(TechnicianProving, FromUnpairedTechnician), PairingError> {
        let (suite, offered, commitment) = match offer {
            FromUnpairedAgent::Offer { suite, pake, commitment } => (suite, pake, commitment),
            FromUnpairedAgent::Refuse { reason } => return Err(PairingError::Refused(reason)),
            FromUnpairedAgent::Accept { .. } | _ => return Err(PairingError::OutOfOrder),
        };
        let terms = Terms::new(suite, code);
        let (exchange, sent) = terms.start(Side::Technician, rng).ok_or(PairingError::UnknownSuite)?;
        let key = finish(exchange, &offered)?;
        let keys = Keys::new(&terms, binding, &key, &Shares { agent: &offered, commitment, technician: &sent })?;
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let sealed = keys.seal(introduction)?;
        let proved = keys.proved(nonce, &sealed);
        let proof = kdf::mac(&keys.technician_confirms, proved);
        let message = FromUnpairedTechnician::Prove { pake: sent, proof, nonce, introduction: sealed };
        Ok((TechnicianProving { keys, commitment, nonce, proof, proved }, message))
    }
}

/// A technician that proved the code and waits for `Accept`.
pub struct TechnicianProving {
    keys: Keys,
    commitment: [u8; 32],
    nonce: [u8; 16],
    proof: [u8; 32],
    proved: Digest,
}

impl TechnicianProving {
    /// Takes the agent's acceptance and checks that it knows the code too.
    ///
    /// # Errors
    ///
    /// The channel must not be used for anything more.
    pub fn finish(self, acceptance: FromUnpairedAgent) -> Result<Paired, PairingError> {
        let (proof, nonce, session) = match acceptance {
            FromUnpairedAgent::Accept { proof, nonce, session } => (proof, nonce, session),
            FromUnpairedAgent::Refuse { reason } => return Err(PairingError::Refused(reason)),
            FromUnpairedAgent::Offer { .. } | _ => return Err(PairingError::OutOfOrder),
        };
        let accepted = accepted(self.proved, &self.proof, nonce, session);
        if !kdf::mac_is(&self.keys.agent_confirms, accepted, &proof) {
            return Err(PairingError::NotTheAgent);
        }
        if !bool::from(commitment_to(nonce).ct_eq(&self.commitment)) {
            return Err(PairingError::ChangedNonce);
        }
        Ok(self.keys.paired(nonce, self.nonce, session, accepted))
    }
}

/// The agent's side. [`AgentPairing::offer`] begins.
#[derive(Debug)]
pub struct AgentPairing;

impl AgentPairing {
    /// Begins with the shown `code`. The message says nothing about it; one is made for each technician that shakes hands.
    pub fn offer(code: &SessionCode, rng: &mut dyn CryptoRngCore) -> (AgentOffered, FromUnpairedAgent) {
        let terms = Terms::new(SUITE, code);
        let (exchange, sent) = terms.start(Side::Agent, rng).expect("the own suite is known");
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let commitment = commitment_to(nonce);
        let message = FromUnpairedAgent::Offer { suite: SUITE, pake: sent.clone(), commitment };
        (AgentOffered { terms, exchange, sent, nonce }, message)
    }
}

/// An agent that offered and waits for `Prove`.
pub struct AgentOffered {
    terms: Terms,
    exchange: Box<dyn Pake>,
    sent: Vec<u8>,
    nonce: [u8; 16],
}

impl AgentOffered {
    /// Takes the technician's proof, on the channel that `binding` describes. Charge [`CodeTries`](crate::tries::CodeTries) before.
    ///
    /// What is in the introduction is the technician's claim: its certificate is still to be verified and its request still to be
    /// checked and asked.
    ///
    /// # Errors
    ///
    /// [`PairingError::refusal`] says what to send. Nothing in the message was read if the code was wrong.
    pub fn accept(
        self,
        binding: &ChannelBinding,
        prove: FromUnpairedTechnician,
        session: SessionId,
    ) -> Result<(Paired, Introduction, FromUnpairedAgent), PairingError> {
        let (pake, proof, nonce, sealed) = match prove {
            FromUnpairedTechnician::Prove { pake, proof, nonce, introduction } => (pake, proof, nonce, introduction),
            _ => return Err(PairingError::OutOfOrder),
        };
        if sealed.len() > Introduction::MAX_BYTES + TAG_BYTES {
            return Err(PairingError::Malformed { what: "introduction" });
        }
        let own_nonce = self.nonce;
        let keys = self.keys(binding, &pake)?;
        let proved = keys.proved(nonce, &sealed);
        if !kdf::mac_is(&keys.technician_confirms, proved, &proof) {
            return Err(PairingError::WrongCode);
        }
        let introduction = keys.unseal(sealed)?;
        let accepted = accepted(proved, &proof, own_nonce, session);
        let proof = kdf::mac(&keys.agent_confirms, accepted);
        let message = FromUnpairedAgent::Accept { proof, nonce: own_nonce, session };
        Ok((keys.paired(own_nonce, nonce, session, accepted), introduction, message))
    }

    fn keys(self, binding: &ChannelBinding, pake: &[u8]) -> Result<Keys, PairingError> {
        let key = finish(self.exchange, pake)?;
        let shares = Shares { agent: &self.sent, commitment: commitment_to(self.nonce), technician: pake };
        Keys::new(&self.terms, binding, &key, &shares)
    }
}

macro_rules! masked {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })*
    };
}

masked!(TechnicianProving, AgentOffered);

/// What both ends know before the first message.
struct Terms {
    suite: PakeSuite,
    locator: String,
    secret: Zeroizing<[u8; SECRET_DIGITS]>,
}

impl Terms {
    fn new(suite: PakeSuite, code: &SessionCode) -> Self {
        Self { suite, locator: code.locator().to_string(), secret: code.secret().clone() }
    }

    /// None if the suite is not known.
    fn start(&self, side: Side, rng: &mut dyn CryptoRngCore) -> Option<(Box<dyn Pake>, Vec<u8>)> {
        let suite = pake::suite_byte(self.suite)?;
        let identity = |role: &[u8]| {
            let parts = [role, &[suite], self.locator.as_bytes()];
            let with_length = |part: &[u8]| [&[u8::try_from(part.len()).unwrap_or(u8::MAX)], part].concat();
            parts.into_iter().flat_map(with_length).collect()
        };
        let identities = Identities { technician: identity(b"technician"), agent: identity(b"agent") };
        pake::start(self.suite, side, self.secret.as_slice(), &identities, rng)
    }
}

/// What both ends put into the exchange.
struct Shares<'a> {
    agent: &'a [u8],
    commitment: [u8; 32],
    technician: &'a [u8],
}

/// Everything derived from the exchange's result, the channel and both shares.
struct Keys {
    shared: Digest,
    technician_confirms: Zeroizing<[u8; 32]>,
    agent_confirms: Zeroizing<[u8; 32]>,
    introduction: Zeroizing<[u8; 32]>,
    secret: Secret,
}

impl Keys {
    fn new(
        terms: &Terms,
        binding: &ChannelBinding,
        key: &Zeroizing<[u8; KEY_BYTES]>,
        shares: &Shares<'_>,
    ) -> Result<Self, PairingError> {
        let (technician, agent) = (binding.technician_key.digest(), binding.agent_key.digest());
        if technician == agent {
            // One key at both ends is an end talking to itself.
            return Err(PairingError::Malformed { what: "the peer has this side's own key" });
        }
        let shared = Hasher::new()
            .field(SHARED)
            .field(&[pake::suite_byte(terms.suite).ok_or(PairingError::UnknownSuite)?])
            .field(terms.locator.as_bytes())
            .field(&binding.exporter)
            .field(&technician.0)
            .field(&agent.0)
            .field(shares.agent)
            .field(&shares.commitment)
            .field(shares.technician)
            .finish();
        let secret = Secret::extract(&binding.exporter, key.as_slice());
        Ok(Self {
            shared,
            technician_confirms: secret.expand(TECHNICIAN_CONFIRMS, &shared.0),
            agent_confirms: secret.expand(AGENT_CONFIRMS, &shared.0),
            introduction: secret.expand(INTRODUCTION, &shared.0),
            secret,
        })
    }

    /// Digest of everything up to the technician's proof.
    fn proved(&self, nonce: [u8; 16], sealed: &[u8]) -> Digest {
        Hasher::new().field(PROVED).field(&self.shared.0).field(&nonce).field(sealed).finish()
    }

    fn sealing_key(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.introduction.as_slice()).expect("32 bytes are its key"))
    }

    /// The one nonce of a key that seals one message.
    fn only_nonce() -> Nonce {
        Nonce::assume_unique_for_key([0; NONCE_LEN])
    }

    fn seal(&self, introduction: &Introduction) -> Result<Vec<u8>, PairingError> {
        let too_large = |_| PairingError::IntroductionTooLarge;
        if introduction.certificate.as_ref().is_some_and(|der| der.len() > CERTIFICATE_BYTES) {
            return Err(PairingError::IntroductionTooLarge);
        }
        let mut bytes = codec::encode(introduction).map_err(too_large)?;
        self.sealing_key()
            .seal_in_place_append_tag(Self::only_nonce(), Aad::from(self.shared.0), &mut bytes)
            .map_err(|_| PairingError::IntroductionTooLarge)?;
        Ok(bytes)
    }

    fn unseal(&self, mut sealed: Vec<u8>) -> Result<Introduction, PairingError> {
        let malformed = PairingError::Malformed { what: "introduction" };
        let opened = self.sealing_key().open_in_place(Self::only_nonce(), Aad::from(self.shared.0), &mut sealed).ok();
        let introduction = opened.and_then(|bytes| codec::decode::<Introduction>(bytes).ok()).ok_or(malformed)?;
        match &introduction.certificate {
            Some(der) if der.len() > CERTIFICATE_BYTES => Err(PairingError::Malformed { what: "certificate" }),
            Some(_) | None => Ok(introduction),
        }
    }

    fn paired(&self, agent: [u8; 16], technician: [u8; 16], session: SessionId, accepted: Digest) -> Paired {
        let context = [self.shared.0.as_slice(), &agent, &technician].concat();
        let words = Words::from_random(*self.secret.expand(WORDS, &context));
        let rendezvous = Rendezvous(*self.secret.expand(RENDEZVOUS, &accepted.0));
        Paired { words, rendezvous, session }
    }
}

fn finish(exchange: Box<dyn Pake>, peer: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, PairingError> {
    exchange.finish(peer).map_err(|pake::BadMessage| PairingError::Malformed { what: "key exchange" })
}

/// The promise that fixes the agent's nonce before it sees the technician's.
fn commitment_to(nonce: [u8; 16]) -> [u8; 32] {
    digest(&[COMMITMENT, &nonce].concat()).0
}

/// Digest of everything up to the agent's proof.
fn accepted(proved: Digest, proof: &[u8; 32], nonce: [u8; 16], session: SessionId) -> Digest {
    Hasher::new().field(ACCEPTED).field(&proved.0).field(proof).field(&nonce).field(&session.0).finish()
}

#[cfg(test)]
mod tests;
