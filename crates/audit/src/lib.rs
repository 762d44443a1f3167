//! The audit log: who was let in, what was asked, answered and done, written before it is done.
//!
//! The agent writes one log a session ([`AuditLog`]). The technician's client keeps a copy of every entry ([`Receipt`]). Anybody
//! can check either of them offline ([`verify_file`]), compare the two ([`compare`]) and read them ([`render`]).
//!
//! # The file
//!
//! JSON Lines: UTF-8, one entry a line, each ended by a line feed, at most [`AUDIT_LINE_BYTES`](wire::session::AUDIT_LINE_BYTES) bytes
//! without it. There is exactly one way to write each line, without white space between the parts:
//!
//! ```text
//! {"n":1,"at":"2026-11-22T06:35:04Z","ms":1795329304000,"event":{"event":"paired",…},"hash":"64 hex digits"}
//! {"n":2,"at":"2026-11-22T06:35:09Z","ms":1795329309512,"event":{"event":"asked_for_abilities",…},"hash":"…"}
//! …
//! {"n":9,"at":"…","ms":…,"event":{"event":"ended",…},"hash":"…"}
//! {"n":10,"at":"…","ms":…,"closed":{"head":"64 hex digits","key":"88 hex digits"},"signature":"128 hex digits"}
//! ```
//!
//! | field | is |
//! |---|---|
//! | `n` | the entry's number, from 1 without gaps |
//! | `ms` | milliseconds since the Unix epoch by the agent's clock, which its owner can set: it may go back, and [`Summary`] says where |
//! | `at` | `ms` as RFC 3339 in UTC, cut to seconds |
//! | `event` | a [`wire::evidence::Event`]; `paired` is always the first and `ended` always the last. In its texts every character that acts on a screen is a `\uNNNN`, so that `cat` is safe |
//! | `hash` | lower-case hexadecimal of `h(n)` as below |
//! | `closed.head` | `hash` of the entry before |
//! | `closed.key` | the agent's session key, `SubjectPublicKeyInfo` in DER; its SHA-256 is `agent_key` in the first entry |
//! | `signature` | Ed25519 by that key, as `trust` signs in the context [`CLOSING_CONTEXT`] |
//!
//! The body of an entry is its line from the first byte up to, and without, `,"hash":"`. With `||` for joining bytes:
//!
//! ```text
//! h(0) = SHA-256("assent-audit-v1")
//! h(n) = SHA-256(0x01 || h(n-1) || length of the body as a 64-bit big-endian number || body)
//! ```
//!
//! The last line has no hash but a signature over its own bytes up to, and without, `,"signature":"`; with the head in them it covers
//! every entry.
//!
//! # What it proves, and what not
//!
//! Changing, removing, adding, swapping or repeating an entry breaks the chain from there on, and [`Chain`] names the first entry that
//! does not fit. Whoever rewrites *all* entries from one on makes a new, consistent chain; the closing signature gives that away, and
//! before a log is closed the copy at the other end does, up to the last entry that was sent. Whoever controls the agent's machine
//! during the session holds its key and can write what they like about what is still to come; they cannot change what the technician
//! already has. A log without its last line is *not closed*: the session is still going on, or the program or the machine stopped
//! in the middle of it. That is told apart from tampering, because a crash is no crime, but what happened afterwards is unknown.

#![deny(missing_docs)]

mod chain;
pub mod files;
mod line;
mod log;
mod receipt;
pub mod render;
mod summary;
#[cfg(test)]
mod testing;
mod verify;

pub use chain::{BadEntry, Chain, Expected, Fault};
pub use line::{CLOSING_CONTEXT, Content, Entry, Line};
pub use log::{AuditError, AuditLog, Obstacle};
pub use receipt::{Receipt, ReceiptError};
pub use summary::{ClockWentBack, State, Summary};
pub use verify::{Comparison, Copy, VerifyError, compare, read_file, verify_file};
