//! Bounds that both sides of a message must agree on. Each says what it protects.

use std::time::Duration;

/// ALPN of the control connection to a relay. The number is the protocol version.
pub const CONTROL_ALPN: &[u8] = b"assent-control/1";

/// ALPN of the sealed session. The number is the protocol version.
pub const SESSION_ALPN: &[u8] = b"assent-session/2";

/// How long a session code waits for a technician.
pub const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// Failed proofs of the code after which it is void, counted by each side for itself.
pub const CODE_TRIES: u32 = 2;

/// How long both sides may take from the first sealed packet to the end of pairing.
pub const PAIRING_DEADLINE: Duration = Duration::from_secs(15);

/// Longest reason that a technician gives.
pub const REASON_BYTES: usize = 512;

/// Most arguments of one run: beyond that nobody reads them, so nobody can approve them.
pub const RUN_ARGUMENTS: usize = 256;

/// Most bytes of a run's program, arguments, directory and environment together.
pub const RUN_SPEC_BYTES: usize = 32 * 1024;

/// Most environment additions of one run.
pub const RUN_ENVIRONMENT: usize = 32;

/// Runs of one session that may wait for an answer or be running.
pub const RUNS_AT_ONCE: usize = 16;

/// Inspections of one session that may be under way.
pub const INSPECTIONS_AT_ONCE: usize = 4;

/// Consent requests of one session that may wait for an answer; more would only tire the person.
pub const REQUESTS_AT_ONCE: usize = 4;

/// Processes that one run may have at a time. More than any tool needs; a program that only multiplies is stopped here.
pub const RUN_PROCESSES: usize = 256;
