//! Runs probes: each on a thread of its own, within its time, and no longer than somebody wants it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use wire::{
    diagnostics::sections::{
        network::{Connectivity, Family},
        probes::{Found, HandshakeFound, NameOutcome, PortalFound, ProbeOutcome, ProbeRequest, ProbeResult, Target},
    },
    text::{Label, Sentence},
    time::WallTime,
};

use super::{
    echo,
    limit::Limit,
    mtu, names, portal, route,
    targets::{Permit, Purpose, Refused, Targets},
};
use crate::{
    gaps::why,
    manifest::Manifest,
    network::{links::Tables, manager, resolver},
    sources::{Handshake, Sources},
};

/// Longest that a probe takes.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// Longest that the name of a target is looked for.
const NAME: Duration = Duration::from_secs(4);

/// A probe that runs. Dropping it ends it within a second, and nothing is sent afterwards.
#[derive(Debug)]
pub struct RunningProbe {
    result: mpsc::Receiver<ProbeResult>,
    unwanted: Arc<AtomicBool>,
}

impl RunningProbe {
    /// Begins a probe. `wall` is the time now, against which certificates are held.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(request: ProbeRequest, sources: &Sources, wall: WallTime) -> io::Result<Self> {
        let limit = Limit::new(PROBE_DEADLINE);
        let (unwanted, sources) = (limit.unwanted(), sources.clone());
        let (ready, result) = mpsc::sync_channel(1);
        let run = move || {
            let targets = targets_of(&sources);
            // Nobody may be there any more.
            let _ = ready.send(run(&request, &sources, &targets, wall, &limit));
        };
        thread::Builder::new().name("diagnostics".to_owned()).spawn(run)?;
        Ok(Self { result, unwanted })
    }

    /// Its result, once it is there; `None` if it is not within `patience`. It is there at most a second after [`PROBE_DEADLINE`].
    pub fn wait(&self, patience: Duration) -> Option<ProbeResult> {
        self.result.recv_timeout(patience).ok()
    }
}

impl Drop for RunningProbe {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

/// The list as it stands now: what the owner lets be reached, the gateway, and the name servers.
pub(crate) fn targets_of(sources: &Sources) -> Targets {
    let tables = Tables::read().unwrap_or_default();
    let gateway = tables.default_routes().iter().find_map(|route| route.gateway.raw().parse().ok());
    let resolver = resolver::read(sources, &tables, &mut Manifest::default());
    Targets::new(sources.reach.clone(), gateway, resolver::addresses(&resolver))
}

/// How a probe ended, and what it found.
type End = (ProbeOutcome, String, Option<Found>);

pub(crate) fn run(
    request: &ProbeRequest,
    sources: &Sources,
    targets: &Targets,
    wall: WallTime,
    limit: &Limit,
) -> ProbeResult {
    let permit = |target: &Target, purpose| targets.permit(target, purpose).map_err(Stopped::from);
    let ended = match request {
        ProbeRequest::Names(target) => permit(target, Purpose::Names).map(|it| compare_names(&it, targets, limit)),
        ProbeRequest::Handshake(target) => {
            permit(target, Purpose::Tls).and_then(|it| shake_hands(&it, sources, wall, limit))
        }
        ProbeRequest::Portal => look_for_portal(sources, targets, limit),
        ProbeRequest::PathMtu(target) => permit(target, Purpose::Datagrams).and_then(|it| path_mtu(&it, limit)),
        ProbeRequest::Route(target) => permit(target, Purpose::Datagrams).and_then(|it| trace_route(&it, limit)),
        ProbeRequest::Echo(target) => permit(target, Purpose::Echo).and_then(|it| round_trips(&it, limit)),
        _ => Err(Stopped::Refused(Refused::NotSo)),
    };
    let (outcome, reason, found) = ended.unwrap_or_else(|stopped| match stopped {
        Stopped::Refused(refused) => (ProbeOutcome::Refused, refused.to_string(), None),
        Stopped::Failed(error) => (outcome_of(&error), in_words(&error), None),
    });
    ProbeResult {
        kind: request.kind(),
        target: called(request, targets),
        outcome,
        took_ms: limit.elapsed_ms(),
        reason: Sentence::cut(&reason),
        found,
    }
}

/// Why a probe has nothing to show.
#[derive(Debug)]
enum Stopped {
    Refused(Refused),
    Failed(io::Error),
}

impl From<Refused> for Stopped {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// What this user may not do says nothing about the network.
fn outcome_of(error: &io::Error) -> ProbeOutcome {
    let not_allowed = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported);
    if not_allowed { ProbeOutcome::Unknown } else { ProbeOutcome::Fail }
}

fn in_words(error: &io::Error) -> String {
    let words = [
        (io::ErrorKind::TimedOut, "no answer in time"),
        (io::ErrorKind::WouldBlock, "no answer in time"),
        (io::ErrorKind::ConnectionRefused, "nothing listens there"),
        (io::ErrorKind::NotFound, "its name has no address"),
    ];
    let known = words.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| why(error), |(_, words)| words.to_owned())
}

/// The target by the name that the owner knows it by.
fn called(request: &ProbeRequest, targets: &Targets) -> Label {
    match request {
        ProbeRequest::Names(target)
        | ProbeRequest::Handshake(target)
        | ProbeRequest::PathMtu(target)
        | ProbeRequest::Route(target)
        | ProbeRequest::Echo(target) => match (target, targets.permit(target, Purpose::Echo)) {
            (Target::Host(name), _) => name.clone(),
            (_, Ok(permit)) => Label::cut(permit.host()),
            (_, Err(_)) => Label::default(),
        },
        // A new kind of probe is refused, and says nothing of what it was aimed at.
        ProbeRequest::Portal | _ => Label::default(),
    }
}

/// Where the target is. IPv4 is preferred where there are both: what a probe finds is to be compared with other machines.
pub(crate) fn place(permit: &Permit, limit: &Limit) -> io::Result<SocketAddr> {
    let addresses = match permit.address() {
        Some(address) => vec![address],
        None => limit.addresses(permit.host(), NAME).map_err(|error| {
            if error.kind() == io::ErrorKind::TimedOut { error } else { io::ErrorKind::NotFound.into() }
        })?,
    };
    let address = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    address.map(|address| permit.at(*address)).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn compare_names(permit: &Permit, targets: &Targets, limit: &Limit) -> End {
    let system = |most| limit.addresses(permit.host(), most);
    let found = names::compare(permit.host(), targets.name_servers(), system, limit);
    let works = |family| {
        let answers = found.answers.iter().filter(move |answer| answer.family == family);
        answers.map(|answer| answer.outcome).collect::<Vec<_>>()
    };
    let system = works(None).contains(&NameOutcome::Addresses);
    let silent =
        works(Some(Family::V4)).iter().filter(|it| matches!(it, NameOutcome::TimedOut | NameOutcome::Failed)).count();
    let (outcome, reason) = match (system, silent, found.disagree) {
        (false, ..) => (ProbeOutcome::Fail, "the system finds no address".to_owned()),
        (true, 1.., _) => (ProbeOutcome::Fail, format!("{silent} of the name servers do not answer")),
        (true, 0, true) => (ProbeOutcome::Fail, "name servers answer differently".to_owned()),
        (true, 0, false) => (ProbeOutcome::Pass, String::new()),
    };
    (outcome, reason, Some(Found::Names(found)))
}

fn shake_hands(permit: &Permit, sources: &Sources, wall: WallTime, limit: &Limit) -> Result<End, Stopped> {
    let address = place(permit, limit)?;
    let hands = sources.handshakes.shake_hands(permit.host(), address, limit.at_most(PROBE_DEADLINE)?);
    let reason = hands.reason.clone();
    let outcome = match (&hands.tls, hands.reason == crate::sources::NO_TLS) {
        (_, true) => ProbeOutcome::Unknown,
        (Some(_), _) => ProbeOutcome::Pass,
        (None, _) => ProbeOutcome::Fail,
    };
    Ok((outcome, reason, Some(Found::Handshake(told(hands, sources, wall)))))
}

fn told(hands: Handshake, sources: &Sources, wall: WallTime) -> HandshakeFound {
    let ms = |took: Duration| u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    let facts = hands.chain.iter().filter_map(|der| sources.certificates.describe(der)).collect::<Vec<_>>();
    let now_secs = i64::try_from(wall.0 / 1000).unwrap_or(i64::MAX);
    let days = |until: i64| i32::try_from(until.saturating_sub(now_secs).div_euclid(86_400)).ok();
    HandshakeFound {
        connect_ms: hands.connect.map(ms),
        tls_ms: hands.tls.map(ms),
        version: Label::cut(&hands.version),
        alpn: Label::cut(&hands.alpn),
        alert: Label::cut(&hands.alert),
        chain_length: u16::try_from(hands.chain.len()).unwrap_or(u16::MAX),
        issuer: facts.first().map_or_else(Label::default, |facts| Label::cut(&facts.issuer)),
        days_left: facts.iter().map(|facts| facts.not_after_secs).min().and_then(days),
    }
}

fn look_for_portal(sources: &Sources, targets: &Targets, limit: &Limit) -> Result<End, Stopped> {
    let found = match targets.portal() {
        Some(permit) => portal::probe(permit.host(), place(&permit, limit)?, limit)?,
        None => {
            let manager = manager::read(sources, &mut Manifest::default());
            let state = manager.map_or(Connectivity::Unknown, |manager| manager.connectivity);
            PortalFound { state, status: None, leads_to: Label::default() }
        }
    };
    let (outcome, reason) = match found.state {
        Connectivity::Full => (ProbeOutcome::Pass, ""),
        Connectivity::Unknown => {
            (ProbeOutcome::Unknown, "no host is listed for it, and nothing else on this machine knows")
        }
        Connectivity::Portal => (ProbeOutcome::Fail, "a portal answers instead"),
        Connectivity::None | Connectivity::Limited => (ProbeOutcome::Fail, "there is no way to the internet"),
    };
    Ok((outcome, reason.to_owned(), Some(Found::Portal(found))))
}

fn path_mtu(permit: &Permit, limit: &Limit) -> Result<End, Stopped> {
    let found = mtu::probe(place(permit, limit)?, limit)?;
    let (outcome, reason) = match (found.path_mtu, found.black_hole) {
        (None, _) => (ProbeOutcome::Unknown, "the target answers no packet of any size"),
        (_, true) => (ProbeOutcome::Fail, "large packets vanish without a word"),
        (_, false) => (ProbeOutcome::Pass, ""),
    };
    Ok((outcome, reason.to_owned(), Some(Found::PathMtu(found))))
}

fn trace_route(permit: &Permit, limit: &Limit) -> Result<End, Stopped> {
    let found = route::trace(place(permit, limit)?, limit)?;
    // Many targets answer nothing; that is no fault.
    let (outcome, reason) = match found.reached {
        true => (ProbeOutcome::Pass, ""),
        false => (ProbeOutcome::Unknown, "the target does not answer"),
    };
    Ok((outcome, reason.to_owned(), Some(Found::Route(found))))
}

fn round_trips(permit: &Permit, limit: &Limit) -> Result<End, Stopped> {
    let found = echo::probe(place(permit, limit)?, limit)?;
    let lost = found.sent.saturating_sub(found.received);
    let (outcome, reason) = match (found.received, lost) {
        (0, _) => (ProbeOutcome::Unknown, "it answers no echo, as many do not".to_owned()),
        (_, 0) => (ProbeOutcome::Pass, String::new()),
        (_, lost) => (ProbeOutcome::Fail, format!("{lost} of {} were lost", found.sent)),
    };
    Ok((outcome, reason, Some(Found::Echo(found))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::targets::Reach;

    /// A greeting that always ends in the same way.
    #[derive(Debug)]
    struct Greeting(Handshake);

    impl crate::sources::ShakeHands for Greeting {
        fn shake_hands(&self, host: &str, address: SocketAddr, _: Duration) -> Handshake {
            assert_eq!((host, address), ("127.0.0.1", ([127, 0, 0, 1], 443).into()));
            self.0.clone()
        }
    }

    fn listed() -> Reach {
        Reach { hosts: vec!["127.0.0.1".to_owned()], ..Reach::default() }
    }

    fn result_of(request: &ProbeRequest, sources: &Sources) -> ProbeResult {
        let targets = Targets::new(sources.reach.clone(), None, Vec::new());
        run(request, sources, &targets, WallTime(0), &Limit::new(Duration::from_secs(60)))
    }

    fn host(name: &str) -> Target {
        Target::Host(Label::cut(name))
    }

    #[test]
    fn whatever_is_asked_for_that_is_not_listed_is_refused_and_nothing_is_sent() {
        let sources = Sources { reach: listed(), ..Sources::default() };
        let probes = [
            ProbeRequest::Names,
            ProbeRequest::Handshake,
            ProbeRequest::PathMtu,
            ProbeRequest::Route,
            ProbeRequest::Echo,
        ];
        for probe in probes {
            for target in [host("127.0.0.2"), host("localhost"), Target::Relay, Target::Gateway] {
                let result = result_of(&probe(target), &sources);
                assert_eq!((result.outcome, result.found), (ProbeOutcome::Refused, None));
                assert!(!result.reason.is_blank());
            }
        }
    }

    #[test]
    fn a_handshake_tells_its_phases_and_how_it_was_broken_off() {
        let hands = Handshake {
            connect: Some(Duration::from_millis(12)),
            alert: "handshake_failure".to_owned(),
            reason: "the other end broke it off".to_owned(),
            ..Handshake::default()
        };
        let sources = Sources { reach: listed(), handshakes: Arc::new(Greeting(hands)), ..Sources::default() };
        let result = result_of(&ProbeRequest::Handshake(host("127.0.0.1")), &sources);
        assert_eq!((result.outcome, result.reason.raw()), (ProbeOutcome::Fail, "the other end broke it off"));
        let Some(Found::Handshake(found)) = result.found else { panic!("a handshake was asked for") };
        assert_eq!((found.connect_ms, found.tls_ms, found.alert.raw()), (Some(12), None, "handshake_failure"));
    }

    #[test]
    fn a_probe_that_is_started_comes_to_an_end() {
        let running = RunningProbe::start(ProbeRequest::Route(host("x")), &Sources::default(), WallTime(0)).unwrap();
        assert_eq!(running.wait(Duration::from_secs(60)).unwrap().outcome, ProbeOutcome::Refused);
    }
}
