//! Keys, session codes, pairing, short authentication words, certificates, digests.
//!
//! The only crate that touches signatures, password-authenticated key exchange and X.509. It draws no random number and reads no
//! clock by itself: both are arguments. Everything that comes from a peer is refused with a named error or accepted; nothing a
//! peer sends makes this crate panic.
//!
//! | module | what it answers |
//! |---|---|
//! | [`code`] | what the end user reads out, and how a typo in it is caught |
//! | [`tries`] | may this code still be used |
//! | [`pairing`] | do both ends of this channel know the same code |
//! | [`words`] | the two words that both people compare, and the word that a person types |
//! | [`keys`] | who signed this |
//! | [`certificate`] | which organisation vouches for this technician |
//! | [`probe`] | was this probe of a direct path made by the other end of the session |
//! | [`beat`] | was this packet made by the sleeping agent, or by its relay |
//! | [`described`] | what a certificate in a file says of itself, for showing |
//! | [`tls_certificate`] | how a relay's key looks where TLS wants a certificate |
//!
//! Digests of everything that a person approves are SHA-256: [`digest()`], [`run_digest`], [`inspection_digest`].

#![deny(missing_docs)]

pub mod beat;
pub mod certificate;
pub mod code;
pub mod described;
mod hash;
mod kdf;
pub mod keys;
pub mod pairing;
mod pake;
pub mod probe;
#[cfg(test)]
mod testing;
pub mod tls_certificate;
pub mod tries;
pub mod words;

pub use hash::{Hasher, digest, inspection_digest, run_digest};
