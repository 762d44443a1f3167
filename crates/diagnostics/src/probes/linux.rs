//! Runs probes: each on a thread of its own, within its time, and no longer than somebody wants it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use wire::{
    diagnostics::{
        report::{Content, Outcome, SectionId, SectionReport},
        sections::{
            network::{Connectivity, Family},
            probes::{
                ChainTrust, Found, HandshakeFound, NameOutcome, PortalFound, ProbeOutcome, ProbeRequest, ProbeResult,
                Probes, Target,
            },
        },
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
    stopwatch::Stopwatch,
};

/// Longest that a probe takes.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// Longest that a connection is waited for.
const CONNECT: Duration = Duration::from_secs(5);

/// Longest that the name of a target is looked for.
const NAME: Duration = Duration::from_secs(4);

/// A probe that runs. Dropping it ends it: from [`LOOK`](super::limit::LOOK) later at the latest it sends nothing more. What cannot be
/// taken back is a question for a name that the system's own resolver has begun to ask.
#[derive(Debug)]
pub struct RunningProbe {
    unwanted: Arc<AtomicBool>,
}

impl RunningProbe {
    /// Begins a probe. `wall` is the time now, against which certificates are held. `done` gets its result, at most a second after
    /// [`PROBE_DEADLINE`], on the probe's own thread; nobody gets that of one that was dropped.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        request: ProbeRequest,
        sources: &Sources,
        wall: WallTime,
        done: impl FnOnce(ProbeResult) + Send + 'static,
    ) -> io::Result<Self> {
        let limit = Limit::new(PROBE_DEADLINE);
        let (unwanted, sources) = (limit.unwanted(), sources.clone());
        let run = move || {
            let result = run(&request, &sources, &targets_of(&sources), wall, &limit);
            if !limit.unwanted().load(Ordering::Relaxed) {
                done(result);
            }
        };
        thread::Builder::new().name("diagnostics".to_owned()).spawn(run)?;
        Ok(Self { unwanted })
    }
}

impl Drop for RunningProbe {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

/// A section with one result.
pub fn section_of(result: ProbeResult, taken_at: WallTime) -> SectionReport {
    SectionReport {
        section: SectionId::Probes,
        taken_at,
        took_ms: result.took_ms,
        outcome: Outcome::Complete,
        sources: Vec::new(),
        content: Some(Content::Probes(Box::new(Probes { results: vec![result] }))),
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
        // Measured where the session is.
        ProbeRequest::Load | _ => Err(Stopped::Refused(Refused::NotSo)),
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
    match request.target() {
        Some(Target::Host(name)) => name.clone(),
        Some(target) => targets
            .permit(target, Purpose::Echo)
            .map_or_else(|_| Label::cut(&target.to_string()), |permit| Label::cut(permit.host())),
        None => Label::default(),
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
    let began = Stopwatch::start();
    let stream = limit.connect(address, CONNECT)?;
    let connect_ms = began.elapsed_ms();
    let most = limit.at_most(PROBE_DEADLINE)?;
    let hands = sources.handshakes.shake_hands(permit.host(), stream, most, &|| limit.is_wanted());
    let (outcome, reason) = match (&hands.tls, hands.trust) {
        _ if hands.reason == crate::sources::NO_TLS => (ProbeOutcome::Unknown, hands.reason.clone()),
        (None, _) => (ProbeOutcome::Fail, hands.reason.clone()),
        (Some(_), Some(ChainTrust::System | ChainTrust::Relay)) => (ProbeOutcome::Pass, String::new()),
        (Some(_), None | Some(ChainTrust::Unknown)) => {
            (ProbeOutcome::Unknown, "whether its certificate is to be trusted cannot be told here".to_owned())
        }
        (Some(_), Some(trust)) => (ProbeOutcome::Fail, distrust(trust).to_owned()),
    };
    Ok((outcome, reason, Some(Found::Handshake(told(hands, connect_ms, sources, wall)))))
}

fn distrust(trust: ChainTrust) -> &'static str {
    match trust {
        ChainTrust::Expired => "its certificate has ended",
        ChainTrust::NotYetValid => "its certificate is not valid yet, or the clock of this machine is slow",
        ChainTrust::WrongName => "its certificate is for another name",
        ChainTrust::UnknownIssuer => "this machine does not trust who issued its certificate",
        ChainTrust::Revoked => "its certificate was taken back",
        ChainTrust::Invalid => "its certificate is broken",
        ChainTrust::System | ChainTrust::Relay | ChainTrust::Unknown => "",
    }
}

fn told(hands: Handshake, connect_ms: u32, sources: &Sources, wall: WallTime) -> HandshakeFound {
    let ms = |took: Duration| u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
    let facts = hands.chain.iter().filter_map(|der| sources.certificates.describe(der)).collect::<Vec<_>>();
    let now_secs = i64::try_from(wall.0 / 1000).unwrap_or(i64::MAX);
    let days = |until: i64| i32::try_from(until.saturating_sub(now_secs).div_euclid(86_400)).ok();
    HandshakeFound {
        connect_ms: Some(connect_ms),
        tls_ms: hands.tls.map(ms),
        version: Label::cut(&hands.version),
        alpn: Label::cut(&hands.alpn),
        alert: Label::cut(&hands.alert),
        chain_length: u16::try_from(hands.chain.len()).unwrap_or(u16::MAX),
        issuer: facts.first().map_or_else(Label::default, |facts| Label::cut(&facts.issuer)),
        subject: facts.first().map_or_else(Label::default, |facts| Label::cut(&facts.subject)),
        trust: hands.trust,
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
    use std::{
        net::{TcpListener, TcpStream},
        sync::mpsc,
    };

    use super::*;
    use crate::probes::targets::Reach;

    /// A greeting that always ends in the same way.
    #[derive(Debug)]
    struct Greeting(Handshake);

    impl crate::sources::ShakeHands for Greeting {
        fn shake_hands(&self, host: &str, _: TcpStream, _: Duration, wanted: &dyn Fn() -> bool) -> Handshake {
            assert!(host == "127.0.0.1" && wanted());
            self.0.clone()
        }
    }

    fn listed() -> Reach {
        Reach { hosts: vec!["127.0.0.1".parse().unwrap()], ..Reach::default() }
    }

    /// A port of this machine that takes connections, and the list with it.
    fn open() -> (TcpListener, Reach) {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("127.0.0.1:{}", open.local_addr().unwrap().port());
        (open, Reach { hosts: vec![host.parse().unwrap()], ..Reach::default() })
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
            alert: "handshake_failure".to_owned(),
            reason: "the other end broke it off".to_owned(),
            ..Handshake::default()
        };
        let (_open, reach) = open();
        let sources = Sources { reach, handshakes: Arc::new(Greeting(hands)), ..Sources::default() };
        let result = result_of(&ProbeRequest::Handshake(host("127.0.0.1")), &sources);
        assert_eq!((result.outcome, result.reason.raw()), (ProbeOutcome::Fail, "the other end broke it off"));
        let Some(Found::Handshake(found)) = result.found else { panic!("a handshake was asked for") };
        assert!(found.connect_ms.is_some());
        assert_eq!((found.tls_ms, found.alert.raw()), (None, "handshake_failure"));
    }

    #[test]
    fn a_handshake_fails_by_what_the_machine_thinks_of_the_chain() {
        let ended = |trust| {
            let hands = Handshake { tls: Some(Duration::from_millis(5)), trust, ..Handshake::default() };
            let (_open, reach) = open();
            let sources = Sources { reach, handshakes: Arc::new(Greeting(hands)), ..Sources::default() };
            result_of(&ProbeRequest::Handshake(host("127.0.0.1")), &sources)
        };
        for trust in ChainTrust::ALL.iter().copied() {
            let result = ended(Some(trust));
            let expected = match trust {
                ChainTrust::System | ChainTrust::Relay => ProbeOutcome::Pass,
                ChainTrust::Unknown => ProbeOutcome::Unknown,
                ChainTrust::Expired
                | ChainTrust::NotYetValid
                | ChainTrust::WrongName
                | ChainTrust::UnknownIssuer
                | ChainTrust::Revoked
                | ChainTrust::Invalid => ProbeOutcome::Fail,
            };
            assert_eq!(
                (result.outcome, result.reason.is_blank()),
                (expected, expected == ProbeOutcome::Pass),
                "{trust}"
            );
        }
        assert_eq!(ended(None).outcome, ProbeOutcome::Unknown);
    }

    fn begin(request: ProbeRequest, sources: &Sources) -> (RunningProbe, mpsc::Receiver<ProbeResult>) {
        let (done, result) = mpsc::sync_channel(1);
        let running = RunningProbe::start(request, sources, WallTime(0), move |result| drop(done.send(result)));
        (running.unwrap(), result)
    }

    #[test]
    fn a_probe_that_is_started_comes_to_an_end() {
        let (_running, result) = begin(ProbeRequest::Route(host("x")), &Sources::default());
        assert_eq!(result.recv_timeout(Duration::from_secs(60)).unwrap().outcome, ProbeOutcome::Refused);
    }

    #[test]
    fn a_probe_that_is_dropped_sends_nothing_more() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let relay = Some(("127.0.0.1".to_owned(), silent.local_addr().unwrap().port()));
        let sources = Sources { reach: Reach { relay, ..Reach::default() }, ..Sources::default() };
        let (running, result) = begin(ProbeRequest::PathMtu(Target::Relay), &sources);
        silent.recv_from(&mut [0; 1]).unwrap();
        drop(running);
        // The thread lets go of its end when it is over.
        assert!(matches!(result.recv_timeout(Duration::from_secs(60)), Err(mpsc::RecvTimeoutError::Disconnected)));
        silent.set_nonblocking(true).unwrap();
        let mut late = 0;
        while silent.recv_from(&mut [0; 1]).is_ok() {
            late += 1;
        }
        assert!(late <= 1, "{late} packets more");
    }
}
