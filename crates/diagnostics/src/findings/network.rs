//! The network: interfaces, connections, the way to the internet.

use std::time::Duration;

use wire::diagnostics::{
    Panel,
    findings::{Confidence, Severity, Unit, What},
    report::SectionId,
    schema::Named,
    sections::{
        ladder::{Ladder, Rung as LadderRung, RungOutcome, RungResult},
        network::{Connectivity, GatewayState, Link, LinkKind, LinkState, Network, Scope, Wireless},
        probes::ChainTrust,
    },
};

use super::{
    answer::{Answer, Answers, Missing, Reading, amount, machine, permille},
    disks::word,
    facts::View,
    level::{Band, Level, critical, warning},
    processor::table,
};
use crate::history::{Figure, SeriesKey, Subject};

/// What the ladder says of its rung [`LadderRung::Portal`] where one stands before the internet.
pub(crate) const PORTAL_ANSWERS: &str = "a portal answers instead";

/// Netdata `inbound_packets_dropped_ratio`.
const WINDOW: Duration = Duration::from_mins(10);
/// Thousandths: the same, 2 % and for wireless links 10 %. Critical is ours.
const DROPS: [Band; 2] = [warning(19, 10), critical(100, 50)];
const WIRELESS_DROPS: [Band; 2] = [warning(99, 50), critical(300, 150)];
/// A share of fewer packets says nothing: ours.
const ENOUGH_PACKETS: i64 = 1000;
/// Counters that were watched for a shorter time say little: ours.
const LONG_ENOUGH: Duration = Duration::from_mins(5);

/// Netdata `interface_inbound_errors`: five in ten minutes.
const ERRORS: [Band; 1] = [warning(4, 0)];

/// Ours, with node-exporter's usual 2 % in mind.
const RETRANSMIT_WINDOW: Duration = Duration::from_mins(1);
const RETRANSMITS: [Band; 2] = [warning(20, 10), critical(100, 50)];

/// Thousandths: node-mixin `NodeHighNumberConntrackEntriesUsed`, 75 %; critical is netdata's 95 (90) %.
const CONNTRACK: [Band; 2] = [warning(750, 700), critical(950, 900)];

/// Three looks without a break, at one a minute: a machine that wakes up or moves to another network needs a moment, and one packet that
/// is lost is no broken way. Ours.
pub(super) const LADDER_HOLD: Duration = Duration::from_secs(130);
/// What the ladder asked longer ago says nothing about now. It asks each minute while somebody is there to help; else it asked once, when
/// the program started and there may not have been a network yet. Shorter than the hold, so that one answer alone never fails.
const LADDER_STALE: Duration = Duration::from_mins(2);

/// Microseconds: see [`latency`].
const RISE_US: [Band; 2] = [warning(59_999, 50_000), critical(399_999, 300_000)];

/// Decibels to a milliwatt, ours: below -70 rates fall, below -80 the link breaks off.
const SIGNAL: [Band; 2] = [warning(-70, -67), critical(-80, -77)];
/// A person who walks past is no finding.
pub(super) const SIGNAL_HOLD: Duration = Duration::from_mins(1);
/// Changes of access point in ten minutes, ours.
const ROAMS: [Band; 1] = [critical(3, 1)];

pub(super) fn drops(facts: &View<'_>) -> Answers {
    let network = facts.network()?;
    if !facts.is_recent(SectionId::Network) {
        return Err(Missing::unknown("the counters are old"));
    }
    let answer = |link: &Link| {
        let subject = Named::Network(link.name.clone());
        let packets = amount(link.rx_packets.saturating_add(link.tx_packets));
        let dropped = amount(link.rx_drops.saturating_add(link.tx_drops));
        let grown = |what, value| facts.growth(Some(&subject), what, value, WINDOW);
        let seen = match (grown(What::Packets, packets), grown(What::Drops, dropped)) {
            (Some(all), Some(lost)) if all.over >= LONG_ENOUGH => {
                let share =
                    permille(lost.by.unsigned_abs(), all.by.saturating_add(lost.by).unsigned_abs()).unwrap_or(0);
                let bands = if link.kind == LinkKind::Wireless { &WIRELESS_DROPS } else { &DROPS };
                let level = if all.by < ENOUGH_PACKETS { Level::FINE } else { Level::above(share, bands) };
                let reading = Reading::new(level).figure(What::DropShare, share, Unit::Permille);
                let reading =
                    reading.figure(What::Drops, lost.by, Unit::Count).figure(What::Packets, all.by, Unit::Count);
                Ok(reading.figure(What::Window, all.over.as_secs(), Unit::Seconds))
            }
            _ => Err(Missing::unknown("its counters were not watched for long enough")),
        };
        Answer::about(subject.clone(), seen).counting(What::Packets, packets).counting(What::Drops, dropped)
    };
    // What has no hardware drops on purpose.
    let real = |link: &&Link| matches!(link.kind, LinkKind::Ethernet | LinkKind::Wireless | LinkKind::Mobile);
    Ok(network.links.iter().filter(|link| link.enabled).filter(real).map(answer).collect())
}

pub(super) fn errors(facts: &View<'_>) -> Answers {
    let sample = facts.table(Panel::Networks)?;
    if let (true, Some(missing)) = (sample.networks.is_empty(), facts.unreadable("networks")) {
        return Err(missing);
    }
    let answers = sample.networks.iter().map(|network| {
        let key = SeriesKey::of(Figure::NetworkErrors, Subject::Network(network.name.clone()));
        // Without any error since it came up there was none lately.
        let grown = if network.errors == 0 { Ok(0) } else { facts.increase(&key, WINDOW) };
        let seen = grown.map(|errors| {
            let reading = Reading::new(Level::above(amount(errors), &ERRORS)).figure(What::Errors, errors, Unit::Count);
            reading.figure(What::Window, WINDOW.as_secs(), Unit::Seconds)
        });
        Answer::about(Named::Network(network.name.clone()), seen)
    });
    Ok(answers.collect())
}

pub(super) fn retransmits(facts: &View<'_>) -> Answers {
    let sample = facts.rates()?;
    if let Some(missing) = facts.unreadable("connections") {
        return Err(missing);
    }
    let share = facts.mean(&SeriesKey::machine(Figure::TcpRetransmits), RETRANSMIT_WINDOW)?;
    let reading = Reading::new(Level::above(share, &RETRANSMITS)).figure(What::RetransmitShare, share, Unit::Permille);
    let segments = sample.traffic.tcp_sent_s.saturating_add(sample.traffic.tcp_resent_s);
    let reading = reading.figure(What::Segments, segments, Unit::PerSecond);
    machine(reading.figure(What::Window, RETRANSMIT_WINDOW.as_secs(), Unit::Seconds))
}

pub(super) fn conntrack(facts: &View<'_>) -> Answers {
    let limits = &facts.sample()?.limits;
    table(facts, "tracked connections", (limits.tracked.into(), limits.tracked_most.into()), &CONNTRACK)
}

/// What holds up the way to the internet, from below. A rung cannot hold without those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Link,
    Address,
    Gateway,
    Names,
    Internet,
}

impl Rung {
    fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Address => "address",
            Self::Gateway => "gateway",
            Self::Names => "name servers",
            Self::Internet => "internet",
        }
    }

    /// Whether it holds; none if that is not to be seen without asking the network.
    fn holds(self, network: &Network) -> Option<bool> {
        let real = |link: &&Link| matches!(link.kind, LinkKind::Ethernet | LinkKind::Wireless | LinkKind::Mobile);
        match self {
            Self::Link => {
                let mut states = network.links.iter().filter(real).map(|link| link.state).peekable();
                // A container has no hardware, and a way out all the same.
                states.peek()?;
                Some(states.any(|state| state == LinkState::Up))
            }
            Self::Address => Some(network.addresses.iter().any(|address| address.scope == Scope::Global)),
            Self::Gateway => {
                let failed = |state| state == GatewayState::Failed;
                Some(network.default_routes.iter().any(|route| !failed(route.gateway_state)))
            }
            Self::Names => Some(!network.resolver.servers.is_empty()),
            // Where NetworkManager does not look, it takes a default route for the internet.
            Self::Internet => {
                match network.manager.as_ref().filter(|manager| manager.checks_connectivity)?.connectivity {
                    Connectivity::Full | Connectivity::Portal => Some(true),
                    Connectivity::None | Connectivity::Limited => Some(false),
                    Connectivity::Unknown => None,
                }
            }
        }
    }
}

/// What can be told without asking the network, and whether the relay answers, which the ladder has asked. A broken rung is a warning. It
/// is critical where nothing gets through over a link that is up: ours.
pub(super) fn ladder(facts: &View<'_>) -> Answers {
    let network = facts.network()?;
    let rungs = [Rung::Link, Rung::Address, Rung::Gateway, Rung::Names, Rung::Internet];
    let broken = rungs.into_iter().filter(|rung| rung.holds(network) == Some(false)).collect::<Vec<_>>();
    let ladder = asked_lately(facts);
    let asked = asked(ladder);
    let failed = asked.and_then(Result::err);
    let internet = Rung::Internet.holds(network);
    let Some(first) = first_broken(&broken, failed) else {
        return match (internet, asked) {
            (None, None) => Err(Missing::unknown("nothing on this machine asks whether the internet answers")),
            _ => machine(Reading::new(Level::FINE)),
        };
    };
    let passes = ladder.is_some_and(|ladder| has(ladder, LadderRung::Portal, RungOutcome::Pass));
    let reached = asked == Some(Ok(())) || passes || internet == Some(true);
    let named = ladder.is_some_and(|ladder| has(ladder, LadderRung::Names, RungOutcome::Pass));
    let nameless = !named && (failed == Some(LadderRung::Names) || broken.contains(&Rung::Names));
    let cut_off = broken.first() != Some(&Rung::Link) && !reached && (nameless || internet == Some(false));
    let severity = if cut_off { Severity::Critical } else { Severity::Warning };
    let more = match failed {
        Some(LadderRung::Names) => !broken.contains(&Rung::Names),
        Some(_) => !broken.contains(&Rung::Internet),
        None => false,
    };
    let count = amount(u64::try_from(broken.len()).unwrap_or(u64::MAX)).saturating_add(i64::from(more));
    let reading = Reading::new(Level::is(severity))
        // It may be the relay that is down, or its name that has no address any more.
        .sure(if broken.is_empty() { Confidence::Medium } else { Confidence::High })
        .blame([word(What::Rung, first)]);
    machine(reading.figure(What::BrokenRungs, count, Unit::Count))
}

/// The name of the lowest rung that does not hold, of those that were told of and the one that failed when the relay was asked.
fn first_broken(broken: &[Rung], failed: Option<LadderRung>) -> Option<&'static str> {
    match (broken.first(), failed) {
        (None | Some(Rung::Internet), Some(failed)) => Some(failed.name()),
        (Some(first), _) => Some(first.name()),
        (None, None) => None,
    }
}

/// The ladder, if it was asked a moment ago.
fn asked_lately<'a>(facts: &View<'a>) -> Option<&'a Ladder> {
    if facts.is_within(SectionId::Ladder, LADDER_STALE) { facts.ladder().ok() } else { None }
}

/// Whether the relay answers, by which way ever; if not, which rung fails first. `None` if that was not found out.
fn asked(ladder: Option<&Ladder>) -> Option<Result<(), LadderRung>> {
    let ladder = ladder?;
    if [LadderRung::Tcp, LadderRung::Relay].into_iter().any(|way| has(ladder, way, RungOutcome::Pass)) {
        return Some(Ok(()));
    }
    let outward = [LadderRung::Names, LadderRung::Tcp, LadderRung::Relay];
    outward.into_iter().find(|rung| has(ladder, *rung, RungOutcome::Fail)).map(Err)
}

fn has(ladder: &Ladder, rung: LadderRung, outcome: RungOutcome) -> bool {
    ladder.rungs.iter().any(|result| result.rung == rung && result.outcome == outcome)
}

/// Milliseconds more under load than without: DSLReports' grades of bufferbloat, C from 60 ms and F from 400 ms on.
pub(super) fn latency(facts: &View<'_>) -> Answers {
    let trip = facts.round_trip()?;
    let rise = amount(trip.loaded_us.saturating_sub(trip.idle_us));
    // A rise is somebody's queue for certain. Without one the line may still have a queue that nothing has filled.
    let sure = if rise < RISE_US[0].raise { Confidence::Medium } else { Confidence::High };
    let reading = Reading::new(Level::above(rise, &RISE_US))
        .sure(sure)
        .figure(What::IdleRoundTrip, trip.idle_us, Unit::Micros)
        .figure(What::LoadedRoundTrip, trip.loaded_us, Unit::Micros)
        .figure(What::RoundTripRise, rise, Unit::Micros);
    machine(reading)
}

/// A portal, by what NetworkManager and the ladder say; an interceptor, by what somebody shows in the relay's name. An authority that this
/// machine trusts may be an operator's or an interceptor's, so it is no proof.
pub(super) fn interception(facts: &View<'_>) -> Answers {
    let network = facts.network()?;
    let ladder = asked_lately(facts);
    if let Some(shown) = ladder.and_then(|ladder| ladder.handshake.as_ref()) {
        match shown.trust {
            Some(trust @ (ChainTrust::UnknownIssuer | ChainTrust::WrongName | ChainTrust::Invalid)) => {
                let reading = Reading::new(Level::is(Severity::Warning)).blame([word(What::State, trust.name())]);
                let issuer = Some(&shown.issuer).filter(|issuer| !issuer.is_blank());
                return machine(match issuer {
                    Some(issuer) => reading.name(What::Issuer, Named::Network(issuer.clone())),
                    None => reading,
                });
            }
            // Whoever has the relay's key is the relay: nobody is in between, as far as it.
            Some(ChainTrust::Relay) if !has_portal(network, ladder) => return machine(Reading::new(Level::FINE)),
            Some(_) | None => {}
        }
    }
    if has_portal(network, ladder) {
        let portal = word(What::State, Connectivity::Portal.name());
        return machine(Reading::new(Level::is(Severity::Warning)).blame([portal]));
    }
    let looks = network.manager.as_ref().filter(|manager| manager.checks_connectivity);
    let found = looks.map_or(Connectivity::Unknown, |manager| manager.connectivity);
    let level = match found {
        Connectivity::Full => Level::FINE,
        Connectivity::Portal | Connectivity::Unknown => {
            return Err(Missing::unknown("nothing on this machine looks for a portal"));
        }
        Connectivity::None | Connectivity::Limited => {
            return Err(Missing::unknown("the internet was not reached"));
        }
    };
    machine(Reading::new(level).blame([word(What::State, found.name())]))
}

fn has_portal(network: &Network, ladder: Option<&Ladder>) -> bool {
    let told = network.manager.as_ref().is_some_and(|manager| manager.connectivity == Connectivity::Portal);
    let met = |result: &RungResult| result.rung == LadderRung::Portal && result.why.raw() == PORTAL_ANSWERS;
    told || ladder.is_some_and(|ladder| ladder.rungs.iter().any(met))
}

pub(super) fn wifi(facts: &View<'_>) -> Answers {
    let network = facts.network()?;
    if network.wireless.is_empty() {
        return Err(Missing::not_applicable("this machine has no wireless link"));
    }
    let recent = facts.is_recent(SectionId::Network);
    let answer = |link: &Wireless| {
        let subject = Named::Network(link.link.clone());
        let Some(signal) = link.signal_dbm.filter(|_| recent) else {
            let reason =
                if recent { "it is not connected, or does not tell its signal" } else { "the figures are old" };
            return Answer::about(subject, Err(Missing::unknown(reason)));
        };
        // A link that is younger than when it was last seen went to another access point.
        let age = link.connected_secs.map(i64::from);
        let younger = age.zip(facts.last(Some(&subject), What::Age)).is_some_and(|(age, before)| age < before);
        let roams = facts.last(Some(&subject), What::Roams).unwrap_or(0) + i64::from(younger);
        let lately = facts.growth(Some(&subject), What::Roams, roams, WINDOW).map_or(0, |growth| growth.by);
        let level = Level::below(i64::from(signal), &SIGNAL).or(Level::above(lately, &ROAMS));
        let reading = Reading::new(level)
            .figure(What::Signal, i64::from(signal), Unit::Dbm)
            .figure(What::Roams, lately, Unit::Count)
            .figure(What::Window, WINDOW.as_secs(), Unit::Seconds);
        let answer = Answer::about(subject, Ok(reading)).counting(What::Roams, roams);
        age.into_iter().fold(answer, |answer, age| answer.counting(What::Age, age))
    };
    Ok(network.wireless.iter().map(answer).collect())
}
