//! Probes of the network.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::network::{Connectivity, Family};
use crate::{
    closed,
    diagnostics::schema::{Egress, Redact},
    schema,
    session::Ability,
    text::{Label, Sentence},
};

/// What may be probed. The endpoint keeps the list of what each stands for, and refuses what is not in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The relay that the agent uses.
    Relay,
    /// The gateway of the default route.
    Gateway,
    /// A host that the owner of the machine has listed, by its name there: `intranet.example`, or `intranet.example:8443` where the
    /// list has a port.
    Host(Label),
    /// One of the name servers that the machine is set to ask, by its place from 0.
    Resolver(u8),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay => f.write_str("the relay"),
            Self::Gateway => f.write_str("the gateway"),
            Self::Host(name) => name.fmt(f),
            Self::Resolver(place) => write!(f, "name server {}", u16::from(*place) + 1),
        }
    }
}

/// A probe and what it is aimed at. A closed list; new ones are added at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProbeRequest {
    /// Ask the system and each configured name server for a target's addresses, and compare.
    Names(Target),
    /// Connect by TCP to a target and greet it by TLS.
    Handshake(Target),
    /// See whether a portal stands before the internet.
    Portal,
    /// Find the largest packet that reaches a target.
    PathMtu(Target),
    /// List the routers on the way to a target.
    Route(Target),
    /// Measure round trips to a target.
    Echo(Target),
    /// Measure round trips of the session itself, without load and while as much is sent through it as fits.
    Load,
}

impl ProbeRequest {
    /// Which probe it is.
    pub fn kind(&self) -> ProbeKind {
        match self {
            Self::Names(_) => ProbeKind::Names,
            Self::Handshake(_) => ProbeKind::Handshake,
            Self::Portal => ProbeKind::Portal,
            Self::PathMtu(_) => ProbeKind::PathMtu,
            Self::Route(_) => ProbeKind::Route,
            Self::Echo(_) => ProbeKind::Echo,
            Self::Load => ProbeKind::Load,
        }
    }

    /// What it is aimed at; `None` if at nothing of its own.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Names(target)
            | Self::Handshake(target)
            | Self::PathMtu(target)
            | Self::Route(target)
            | Self::Echo(target) => Some(target),
            Self::Portal | Self::Load => None,
        }
    }

    /// What has to be granted for it.
    pub fn ability(&self) -> Ability {
        if *self == Self::Load { Ability::DiagLoad } else { Ability::DiagNetwork }
    }

    /// What it is called in logs and on screens.
    pub fn name(&self) -> String {
        let kind = self.kind();
        self.target().map_or_else(|| format!("probe {kind}"), |target| format!("probe {kind} of {target}"))
    }

    /// Whether it keeps the bounds that its sender has to keep.
    pub fn is_sound(&self) -> bool {
        !matches!(self.target(), Some(Target::Host(name)) if name.is_blank())
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Found {
    /// See [`ProbeKind::Names`].
    Names(NamesFound),
    /// See [`ProbeKind::Handshake`].
    Handshake(HandshakeFound),
    /// See [`ProbeKind::Portal`].
    Portal(PortalFound),
    /// See [`ProbeKind::PathMtu`].
    PathMtu(MtuFound),
    /// See [`ProbeKind::Route`].
    Route(RouteFound),
    /// See [`ProbeKind::Echo`].
    Echo(EchoFound),
    /// See [`ProbeKind::Load`].
    Load(LoadFound),
}

impl Redact for Found {
    fn redact(&mut self, egress: &mut dyn Egress) {
        match self {
            Self::Names(found) => found.redact(egress),
            Self::Handshake(found) => found.redact(egress),
            Self::Portal(found) => found.redact(egress),
            Self::PathMtu(found) => found.redact(egress),
            Self::Route(found) => found.redact(egress),
            Self::Echo(found) => found.redact(egress),
            Self::Load(found) => found.redact(egress),
        }
    }
}

schema! {
    /// Probes of the network.
    #[derive(Default)]
    pub struct Probes {
        /// What came of each; at most [`MAX_PROBES`].
        nested results: Vec<ProbeResult>,
    }

    /// What came of one probe.
    pub struct ProbeResult {
        /// Which probe.
        technical kind: ProbeKind,
        /// What it was aimed at; blank if at nothing of its own.
        network target: Label,
        /// How it ended.
        technical outcome: ProbeOutcome,
        /// How long it took.
        technical took_ms: u32,
        /// Why it ended so; blank if there is nothing to say.
        technical reason: Sentence,
        /// What was found, in full or in part.
        nested found: Option<Found>,
    }

    /// What name servers say of one name.
    #[derive(Default)]
    pub struct NamesFound {
        /// The system's answers, then each server's.
        nested answers: Vec<NameAnswer>,
        /// Whether servers answered so differently that one of them lies or knows another network.
        technical disagree: bool,
    }

    /// One answer about a name.
    pub struct NameAnswer {
        /// The server; blank for the system's own resolver, which asks whom it likes.
        network server: Label,
        /// For addresses of which family; absent for the system's own resolver, which is asked for both.
        technical family: Option<Family>,
        /// What it came to.
        technical outcome: NameOutcome,
        /// The server's code (RFC 6895, 2.3); absent if there is no answer.
        technical rcode: Option<u16>,
        /// How long it took.
        technical took_ms: u32,
        /// Whether it had to be asked again over TCP.
        technical over_tcp: bool,
        /// The addresses; at most [`MAX_ANSWERS`].
        network addresses: Vec<Label>,
    }

    /// What a handshake showed.
    #[derive(Default)]
    pub struct HandshakeFound {
        /// Time to a TCP connection; absent if there is none.
        technical connect_ms: Option<u32>,
        /// Time from there to the end of the TLS handshake; absent if it did not end well.
        technical tls_ms: Option<u32>,
        /// Version of TLS; blank if none was agreed on.
        technical version: Label,
        /// The protocol that was agreed on (RFC 7301); blank if none was.
        technical alpn: Label,
        /// What the other end broke it off with (RFC 8446, 6); blank if it did not.
        technical alert: Label,
        /// Certificates that the other end showed.
        technical chain_length: u16,
        /// Who issued the first of them: somebody unexpected is a sign of interception. Blank if it cannot be told.
        network issuer: Label,
        /// Days until the first of them that ends; negative if one has ended. Absent if it cannot be told.
        technical days_left: Option<i32>,
        /// Whom the first of them is for; blank if it cannot be told.
        network subject: Label,
        /// Whether the machine would trust the chain for that host. Absent if none was shown, or none in full.
        technical trust: Option<ChainTrust>,
    }

    /// What plain HTTP came to.
    pub struct PortalFound {
        /// What that says of the way to the internet.
        technical state: Connectivity,
        /// The status of the answer (RFC 9110, 15); absent if NetworkManager was asked instead, or nothing answered.
        technical status: Option<u16>,
        /// The host that the answer leads to instead; blank if to none.
        network leads_to: Label,
    }

    /// The largest packet that fits through.
    #[derive(Default)]
    pub struct MtuFound {
        /// In bytes, with its IP header; absent if none was answered.
        technical path_mtu: Option<u16>,
        /// Whether larger packets vanish without a word: connections then hang as soon as they carry something.
        technical black_hole: bool,
        /// What was tried, the largest first.
        nested steps: Vec<MtuStep>,
    }

    /// One size of packet.
    #[derive(Copy)]
    pub struct MtuStep {
        /// In bytes, with its IP header.
        technical bytes: u16,
        /// What became of it.
        technical outcome: MtuOutcome,
        /// The size that a router on the way named instead.
        technical told: Option<u16>,
    }

    /// The routers on the way.
    #[derive(Default)]
    pub struct RouteFound {
        /// Each, the nearest first; at most [`MAX_HOPS`].
        nested hops: Vec<Hop>,
        /// Whether the target answered.
        technical reached: bool,
    }

    /// One router, or the target.
    pub struct Hop {
        /// Its place, from 1.
        technical distance: u8,
        /// Its address; blank if it does not answer.
        network address: Label,
        /// Packets sent to that distance.
        technical sent: u8,
        /// Those that were answered.
        technical answered: u8,
        /// The shortest round trip.
        technical best_us: Option<u32>,
    }

    /// Round trips.
    #[derive(Copy, Default)]
    pub struct EchoFound {
        /// Requests sent.
        technical sent: u16,
        /// Requests answered.
        technical received: u16,
        /// Shortest round trip.
        technical min_us: u32,
        /// Middle one.
        technical median_us: u32,
        /// One that a twentieth is longer than.
        technical p95_us: u32,
        /// Mean difference of one round trip to the next.
        technical jitter_us: u32,
    }

    /// Round trips with and without load.
    #[derive(Copy)]
    pub struct LoadFound {
        /// Middle round trip while nothing else is sent.
        technical idle_us: u32,
        /// Middle round trip while as much is sent as fits.
        technical loaded_us: u32,
        /// Round trips in a minute under load.
        technical per_minute: u32,
        /// What that feels like.
        technical grade: Grade,
        /// The way that the session took.
        technical way: LoadWay,
        /// Bytes that were sent for it; at most [`LOAD_BYTES`].
        technical bytes: u64,
        /// How long they were sent.
        technical sent_ms: u32,
    }
}

/// Most bytes that [`ProbeRequest::Load`] sends. The person who allows it is told so.
pub const LOAD_BYTES: u64 = 25_000_000;

/// Most results in a section.
pub const MAX_PROBES: usize = 16;

/// Most addresses in an answer.
pub const MAX_ANSWERS: usize = 16;

/// Most routers on a way.
pub const MAX_HOPS: u8 = 30;

closed! {
    /// A probe.
    pub enum ProbeKind {
        /// Names and their addresses.
        Names = "names",
        /// TCP and TLS.
        Handshake = "handshake",
        /// A portal before the internet.
        Portal = "portal",
        /// The largest packet.
        PathMtu = "path_mtu",
        /// The routers on the way.
        Route = "route",
        /// Round trips.
        Echo = "echo",
        /// Round trips under load.
        Load = "load",
    }

    /// How a probe ended.
    pub enum ProbeOutcome {
        /// As it does on a network that works.
        Pass = "pass",
        /// It showed a fault.
        Fail = "fail",
        /// Nothing can be said.
        Unknown = "unknown",
        /// It was not begun, because its target is not on the list.
        Refused = "refused",
    }

    /// What a question for a name came to.
    pub enum NameOutcome {
        /// Addresses.
        Addresses = "addresses",
        /// The name has none of the kind.
        Empty = "empty",
        /// There is no such name.
        NoSuchName = "no_such_name",
        /// The server refused, or failed itself.
        Refused = "refused",
        /// There was no answer in time.
        TimedOut = "timed_out",
        /// It could not be asked, or did not answer with sense.
        Failed = "failed",
    }

    /// What the machine thinks of a chain of certificates.
    pub enum ChainTrust {
        /// The system trusts it for that name.
        System = "system",
        /// It has the key that the agent expects of its relay.
        Relay = "relay_key",
        /// One of its certificates has ended.
        Expired = "expired",
        /// One of its certificates is not valid yet, or the machine's clock is slow.
        NotYetValid = "not_yet_valid",
        /// It is for another name.
        WrongName = "wrong_name",
        /// The system does not know who issued it: a private authority, an interceptor, or nobody at all.
        UnknownIssuer = "unknown_issuer",
        /// One of its certificates was taken back.
        Revoked = "revoked",
        /// It is broken in another way.
        Invalid = "invalid",
        /// Nothing on this machine is trusted, so nothing can be said.
        Unknown = "unknown",
    }

    /// The way that a session takes.
    pub enum LoadWay {
        /// Through the relay, by UDP.
        Relay = "relay",
        /// Through the relay, and over TCP on at least this side.
        RelayTcp = "relay_tcp",
        /// From one machine to the other.
        Direct = "direct",
    }

    /// What became of a packet.
    pub enum MtuOutcome {
        /// It arrived.
        Passed = "passed",
        /// This machine's own link is too small for it.
        TooLargeHere = "too_large_here",
        /// A router said that it is too large.
        TooLargeThere = "too_large_there",
        /// Nothing was heard.
        Silent = "silent",
    }

    /// How much round trips grow under load, from the best to the worst.
    pub enum Grade {
        /// By less than 30 ms.
        A = "A",
        /// By less than 60 ms.
        B = "B",
        /// By less than 200 ms.
        C = "C",
        /// By less than 400 ms.
        D = "D",
        /// By more.
        F = "F",
    }
}
