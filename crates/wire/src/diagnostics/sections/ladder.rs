//! The way to the internet, rung by rung.

use super::probes::HandshakeFound;
use crate::{closed, schema, text::Sentence};

schema! {
    /// The way to the internet, rung by rung.
    #[derive(Default)]
    pub struct Ladder {
        /// Each rung, from the machine outwards.
        nested rungs: Vec<RungResult>,
        /// The first that fails; absent if none does.
        technical first_failing: Option<Rung>,
        /// What whoever answered in the relay's name showed by TLS; absent if nobody was greeted.
        nested handshake: Option<HandshakeFound>,
    }

    /// One rung.
    pub struct RungResult {
        /// Which.
        technical rung: Rung,
        /// Whether it holds.
        technical outcome: RungOutcome,
        /// How long that took to find out.
        technical took_ms: u32,
        /// Why; blank if there is nothing to say.
        technical why: Sentence,
    }
}

closed! {
    /// A rung, in the order in which they rest on each other.
    pub enum Rung {
        /// Some link is up.
        Link = "link",
        /// It has an address that reaches further than the link.
        Address = "address",
        /// There is a gateway, and it answers.
        Gateway = "gateway",
        /// Names are translated.
        Names = "names",
        /// The relay takes connections.
        Tcp = "tcp",
        /// It greets by TLS.
        Tls = "tls",
        /// No portal stands in between.
        Portal = "portal",
        /// The relay answers on the port that sessions use.
        Relay = "relay",
    }

    /// Whether a rung holds.
    pub enum RungOutcome {
        /// It does.
        Pass = "pass",
        /// It does not.
        Fail = "fail",
        /// It could not be found out.
        Unknown = "unknown",
        /// It was not tried.
        Skipped = "skipped",
    }
}
