//! What hostile bytes are thrown at, and what has to hold for all of them.
//!
//! Each target is an ordinary function: it reads its bytes as a program would and panics if a rule is broken. Two callers use
//! the same functions: `fuzz_targets/` hands them to libFuzzer, and the package `e2e` replays `corpus/` on every test run.
//!
//! A target says whether it accepted anything. A corpus that is refused throughout would still pass, and check nothing.

mod handshake;
mod logs;
mod messages;
mod readable;
mod stored;
mod stream;
mod texts;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At least a part of it was what the reader expects.
    Accepted,
    /// None of it was.
    Refused,
}

impl Verdict {
    fn accepted_if(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// One reader of untrusted bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of its binary and of its folder in `corpus/`.
    pub name: &'static str,
    /// Reads the bytes.
    ///
    /// # Panics
    ///
    /// If a rule is broken.
    pub read: fn(&[u8]) -> Verdict,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "audit_events", read: logs::audit_events },
    Target { name: "audit_lines", read: logs::audit_lines },
    Target { name: "beat", read: messages::beat },
    Target { name: "certificate", read: handshake::certificate },
    Target { name: "channel", read: messages::channel },
    Target { name: "dconf", read: stored::dconf },
    Target { name: "diagnostics", read: stream::diagnostics },
    Target { name: "exact_run", read: messages::exact_run },
    Target { name: "from_relay", read: messages::from_relay },
    Target { name: "history", read: stored::history },
    Target { name: "inspected", read: messages::inspected },
    Target { name: "introduction", read: messages::introduction },
    Target { name: "keys", read: handshake::keys },
    Target { name: "names", read: texts::names },
    Target { name: "organisation", read: handshake::organisation },
    Target { name: "peer_text", read: texts::peer_text },
    Target { name: "pipe", read: messages::pipe },
    Target { name: "reflect", read: messages::reflect },
    Target { name: "relay_config", read: texts::relay_config },
    Target { name: "relay_link", read: texts::relay_link },
    Target { name: "session_code", read: texts::session_code },
    Target { name: "stream_header", read: messages::stream_header },
    Target { name: "to_agent", read: messages::to_agent },
    Target { name: "to_relay", read: messages::to_relay },
    Target { name: "to_technician", read: messages::to_technician },
    Target { name: "unpaired_agent", read: handshake::unpaired_agent },
    Target { name: "unpaired_technician", read: handshake::unpaired_technician },
];

/// Reads `bytes` with the target of that name.
///
/// # Panics
///
/// If a rule is broken, or there is no such target.
pub fn read(name: &str, bytes: &[u8]) -> Verdict {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a binary is named like its target");
    (target.read)(bytes)
}
