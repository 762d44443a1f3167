//! The first messages inside a sealed session: both sides prove that they know the code.
//!
//! ```text
//! technician                                            agent
//!                                             <-  Offer { suite, pake, commitment }
//!   Prove { pake, proof, nonce, introduction } ->         technician confirms first
//!                                             <-  Accept { proof, nonce }   or Refuse
//! ```
//!
//! The agent opens the session's first bidirectional stream for these, along with its part of the handshake. Until `Accept` it reads
//! nothing else.
//! The cryptography is in `trust::pairing`.

use serde::{Deserialize, Serialize};

use crate::{codec::Message, ids::SessionId, session::AccessRequest, text::Label};

/// Which password-authenticated key exchange both sides run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PakeSuite {
    /// SPAKE2 over Ed25519 with SHA-256, as the `spake2` crate 0.4 has it (not RFC 9382).
    Spake2Ed25519,
}

/// What a technician may send before it is paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FromUnpairedTechnician {
    /// Answer to `Offer`: proof of the code.
    Prove {
        /// The exchange's second message, 33 bytes.
        pake: Vec<u8>,
        /// MAC over the transcript under the technician's confirmation key.
        proof: [u8; 32],
        /// The technician's share of the short authentication words.
        nonce: [u8; 16],
        /// An [`Introduction`], sealed under a key that only somebody who knows the code can derive.
        introduction: Vec<u8>,
    },
}

/// What an agent says before it is paired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FromUnpairedAgent {
    /// First message.
    Offer {
        /// How the rest goes. A technician that does not know it leaves.
        suite: PakeSuite,
        /// The exchange's first message, 33 bytes.
        pake: Vec<u8>,
        /// SHA-256 commitment to the agent's share of the short authentication words.
        commitment: [u8; 32],
    },
    /// Answer to a right `Prove`. The technician checks `proof`, and `nonce` against the commitment.
    Accept {
        /// MAC over the transcript under the agent's confirmation key.
        proof: [u8; 32],
        /// The agent's share of the short authentication words.
        nonce: [u8; 16],
        /// The session's name from here on.
        session: SessionId,
    },
    /// The agent does not go on.
    Refuse {
        /// Why.
        reason: PairingRefusal,
    },
}

/// Why an agent does not go on with pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum PairingRefusal {
    /// The proof does not match this code.
    #[error("the code is wrong")]
    WrongCode,
    /// The code has lapsed, was used, or failed too often.
    #[error("the code is no longer valid")]
    CodeVoid,
    /// The message is malformed or out of order.
    #[error("the agent did not understand the pairing message")]
    Malformed,
}

/// Who the technician says it is and what it asks for first. Readable only to somebody who knows the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// A claim; shown in quotation marks unless `certificate` proves a name.
    pub claimed_name: Label,
    /// Organisation certificate for the technician's key, X.509 DER, at most [`CERTIFICATE_BYTES`].
    pub certificate: Option<Vec<u8>>,
    /// The request that the session screen shows.
    pub request: AccessRequest,
}

/// Largest technician certificate in bytes.
pub const CERTIFICATE_BYTES: usize = 2048;

impl Message for FromUnpairedTechnician {
    const MAX_BYTES: usize = 6144;
}

impl Message for FromUnpairedAgent {
    const MAX_BYTES: usize = 256;
}

impl Message for Introduction {
    const MAX_BYTES: usize = 4096;
}
