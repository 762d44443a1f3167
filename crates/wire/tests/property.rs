//! What holds for every message, whatever is in it and whoever sent the bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fmt::Debug,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
};

use proptest::{option, prelude::*, sample::select};
use wire::{
    beat::SlotKey,
    channel::ChannelId,
    codec::{self, CodecError, Message},
    control::{Bed, ChannelEnd, ChannelOrigin, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    diagnostics::{
        StreamFrame,
        inspect::{About, ExactInspection, Inspect},
        sections::probes::{ProbeRequest, Target},
    },
    ids::{Digest, GrantId, InspectionId, Locator, RequestId, RunId, SessionId},
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction, PairingRefusal, PakeSuite},
    path::{CANDIDATES, DirectOffer},
    pipe::{self, PIPE_PACKET_BYTES, PipePacket},
    run::{ExactRun, FileIdentity, OutputCount, RunLimits, RunOutcome, RunProposal, StartFailure, Variable},
    session::{
        Ability, Absence, AccessRequest, DenyReason, EndReason, GrantEnd, GrantNotice, Output, StreamHeader, Subject,
        ToAgent, ToTechnician,
    },
    text::{Label, Sentence},
};

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

fn sentence() -> impl Strategy<Value = Sentence> {
    any::<String>().prop_map(|text| Sentence::cut(&text))
}

fn locator() -> impl Strategy<Value = Locator> {
    (4u8..=6, any::<u32>()).prop_map(|(digits, value)| Locator::new(value % 10u32.pow(digits.into()), digits).unwrap())
}

fn channel() -> impl Strategy<Value = ChannelId> {
    (0..ChannelId::LIMIT, 0..ChannelId::LIMIT).prop_map(|(slot, generation)| ChannelId::new(slot, generation).unwrap())
}

fn abilities() -> impl Strategy<Value = Vec<Ability>> {
    prop::collection::vec(select(Ability::ALL), 0..6)
}

fn subject() -> impl Strategy<Value = Subject> {
    (0..3, any::<u32>()).prop_map(|(kind, n)| match kind {
        0 => Subject::Request(RequestId(n)),
        1 => Subject::Run(RunId(n)),
        _ => Subject::Inspection(InspectionId(n)),
    })
}

fn inspect() -> impl Strategy<Value = Inspect> {
    prop_oneof![
        Just(Inspect::Report),
        any::<(u32, Option<u64>)>().prop_map(|(pid, start_ticks)| Inspect::Process { pid, start_ticks }),
        any::<(u32, u64)>().prop_map(|(pid, start_ticks)| Inspect::Arguments { pid, start_ticks }),
        probe().prop_map(Inspect::Probe),
    ]
}

fn exact_inspection() -> impl Strategy<Value = ExactInspection> {
    (any::<u32>(), inspect(), any::<String>()).prop_map(|(inspection, what, name)| ExactInspection {
        inspection: InspectionId(inspection),
        what,
        about: About::Process { name: Label::cut(&name) },
    })
}

fn limits() -> impl Strategy<Value = RunLimits> {
    any::<(u32, u64, u32)>().prop_map(|(time_secs, output_bytes, memory_mib)| RunLimits {
        time_secs,
        output_bytes,
        memory_mib,
    })
}

fn environment() -> impl Strategy<Value = Vec<Variable>> {
    let variable = (bytes(), bytes()).prop_map(|(name, value)| Variable { name, value });
    prop::collection::vec(variable, 0..4)
}

fn access_request() -> impl Strategy<Value = AccessRequest> {
    (any::<u32>(), abilities(), sentence(), any::<u32>()).prop_map(|(request, abilities, reason, stay_secs)| {
        AccessRequest { request: RequestId(request), abilities, reason, stay_secs }
    })
}

fn proposal() -> impl Strategy<Value = RunProposal> {
    let arguments = prop::collection::vec(bytes(), 0..6);
    (any::<u32>(), sentence(), bytes(), arguments, option::of(bytes()), environment(), limits()).prop_map(
        |(run, reason, program, arguments, directory, environment, limits)| RunProposal {
            run: RunId(run),
            reason,
            program,
            arguments,
            directory,
            environment,
            limits,
        },
    )
}

fn exact_run() -> impl Strategy<Value = ExactRun> {
    let file = any::<(u64, u64, u64, i128, i128)>().prop_map(|(device, inode, size_bytes, modified_ns, changed_ns)| {
        FileIdentity { device, inode, size_bytes, modified_ns, changed_ns }
    });
    let leads = (option::of(bytes()), option::of(bytes()));
    let account = (any::<u32>(), bytes());
    (proposal(), leads, file, bytes(), account).prop_map(|(proposal, leads, file, directory, (user_id, user_name))| {
        let (target, interpreter) = leads;
        ExactRun {
            run: proposal.run,
            program: proposal.program,
            target,
            interpreter,
            file,
            arguments: proposal.arguments,
            directory,
            user_id,
            user_name,
            environment: proposal.environment,
            limits: proposal.limits,
        }
    })
}

fn outcome() -> impl Strategy<Value = RunOutcome> {
    prop_oneof![
        any::<u8>().prop_map(|code| RunOutcome::Exited { code }),
        any::<u8>().prop_map(|signal| RunOutcome::Signalled { signal }),
        Just(RunOutcome::TimedOut),
        Just(RunOutcome::Lost),
        sentence().prop_map(|detail| RunOutcome::NotStarted { reason: StartFailure::System { detail } }),
    ]
}

fn count() -> impl Strategy<Value = OutputCount> {
    any::<(u64, u64)>().prop_map(|(sent_bytes, written_bytes)| OutputCount { sent_bytes, written_bytes })
}

fn flight() -> impl Strategy<Value = FirstFlight> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..5).prop_map(FirstFlight::of)
}

fn to_relay() -> impl Strategy<Value = ToRelay> {
    prop_oneof![
        Just(ToRelay::AllocateLocator),
        locator().prop_map(|locator| ToRelay::ReleaseLocator { locator }),
        (locator(), flight()).prop_map(|(locator, first)| ToRelay::Attach { locator, first }),
        (any::<[u8; 16]>(), select(&[Side::Agent, Side::Technician][..]))
            .prop_map(|(rendezvous, side)| ToRelay::Rejoin { rendezvous: Rendezvous(rendezvous), side }),
        channel().prop_map(|channel| ToRelay::CloseChannel { channel }),
        select(&[ToRelay::Observe, ToRelay::FindReflector, ToRelay::Sleep, ToRelay::Awake][..]),
    ]
}

fn from_relay() -> impl Strategy<Value = FromRelay> {
    prop_oneof![
        (locator(), any::<u32>())
            .prop_map(|(locator, lifetime_secs)| FromRelay::LocatorAllocated { locator, lifetime_secs }),
        select(&[Refusal::NobodyWaiting, Refusal::Unexpected][..]).prop_map(|reason| FromRelay::Refused { reason }),
        (channel(), select(&[ChannelOrigin::Attach, ChannelOrigin::Rejoin][..]), flight())
            .prop_map(|(channel, origin, first)| FromRelay::ChannelOpen { channel, origin, first }),
        (channel(), select(&[ChannelEnd::Closed, ChannelEnd::Draining][..]))
            .prop_map(|(channel, reason)| FromRelay::ChannelClosed { channel, reason }),
        locator().prop_map(|locator| FromRelay::LocatorLapsed { locator }),
        any::<u32>().prop_map(|reconnect_in_ms| FromRelay::Draining { reconnect_in_ms }),
        any::<(IpAddr, u16)>().prop_map(|address| FromRelay::Observed { address: address.into() }),
        any::<u16>().prop_map(|port| FromRelay::Reflector { port: NonZeroU16::new(port) }),
        any::<(u32, u16, u32, [u8; 32], u64)>().prop_map(|(slot, generation, epoch, key, counter)| {
            FromRelay::Asleep(Bed { slot, generation, epoch, key: SlotKey(key), counter })
        }),
        option::of(locator()).prop_map(|locator| FromRelay::Resumed { locator }),
    ]
}

fn from_unpaired_technician() -> impl Strategy<Value = FromUnpairedTechnician> {
    (bytes(), any::<[u8; 32]>(), any::<[u8; 16]>(), bytes()).prop_map(|(pake, proof, nonce, introduction)| {
        FromUnpairedTechnician::Prove { pake, proof, nonce, introduction }
    })
}

fn from_unpaired_agent() -> impl Strategy<Value = FromUnpairedAgent> {
    prop_oneof![
        (bytes(), any::<[u8; 32]>()).prop_map(|(pake, commitment)| FromUnpairedAgent::Offer {
            suite: PakeSuite::Spake2Ed25519,
            pake,
            commitment
        }),
        (any::<[u8; 32]>(), any::<[u8; 16]>(), any::<[u8; 8]>()).prop_map(|(proof, nonce, session)| {
            FromUnpairedAgent::Accept { proof, nonce, session: SessionId(session) }
        }),
        select(&[PairingRefusal::WrongCode, PairingRefusal::Malformed][..])
            .prop_map(|reason| FromUnpairedAgent::Refuse { reason }),
    ]
}

fn introduction() -> impl Strategy<Value = Introduction> {
    (any::<String>(), option::of(bytes()), access_request()).prop_map(|(name, certificate, request)| Introduction {
        claimed_name: Label::cut(&name),
        certificate,
        request,
    })
}

fn direct_offer() -> impl Strategy<Value = DirectOffer> {
    let candidates = prop::collection::vec(any::<(IpAddr, u16)>().prop_map(SocketAddr::from), 0..=CANDIDATES);
    prop_oneof![Just(DirectOffer::NotWanted), candidates.prop_map(DirectOffer::Candidates)]
}

fn probe() -> impl Strategy<Value = ProbeRequest> {
    let target = prop_oneof![
        Just(Target::Relay),
        Just(Target::Gateway),
        any::<String>().prop_map(|host| Target::Host(Label::cut(&host))),
        any::<u8>().prop_map(Target::Resolver),
    ];
    let kinds = [ProbeRequest::Names, ProbeRequest::Handshake, ProbeRequest::PathMtu, ProbeRequest::Route];
    prop_oneof![
        (select(kinds.to_vec()), target.clone()).prop_map(|(kind, target)| kind(target)),
        target.prop_map(ProbeRequest::Echo),
        Just(ProbeRequest::Portal),
        Just(ProbeRequest::Load),
    ]
}

fn to_agent() -> impl Strategy<Value = ToAgent> {
    prop_oneof![
        access_request().prop_map(ToAgent::Request),
        proposal().prop_map(ToAgent::ProposeRun),
        any::<u32>().prop_map(|run| ToAgent::CancelRun { run: RunId(run) }),
        any::<u32>().prop_map(|period_ms| ToAgent::Subscribe { period_ms }),
        Just(ToAgent::Unsubscribe),
        Just(ToAgent::End),
        direct_offer().prop_map(ToAgent::Direct),
        (any::<u32>(), inspect())
            .prop_map(|(inspection, what)| ToAgent::Inspect { inspection: InspectionId(inspection), what }),
        any::<u32>().prop_map(|inspection| ToAgent::CancelInspection { inspection: InspectionId(inspection) }),
    ]
}

fn to_technician() -> impl Strategy<Value = ToTechnician> {
    prop_oneof![
        (subject(), any::<u32>())
            .prop_map(|(subject, answer_within_secs)| ToTechnician::Asking { subject, answer_within_secs }),
        (any::<u32>(), subject(), abilities(), any::<u32>()).prop_map(|(grant, subject, abilities, stay_secs)| {
            ToTechnician::Granted(GrantNotice { grant: GrantId(grant), subject, abilities, stay_secs })
        }),
        (subject(), select(&[DenyReason::ByUser, DenyReason::NotYet][..]))
            .prop_map(|(subject, reason)| ToTechnician::Denied { subject, reason }),
        (any::<u32>(), abilities())
            .prop_map(|(grant, abilities)| ToTechnician::Narrowed { grant: GrantId(grant), abilities }),
        any::<u32>().prop_map(|grant| ToTechnician::GrantEnded { grant: GrantId(grant), reason: GrantEnd::Lapsed }),
        any::<u32>().prop_map(|ends_in_secs| ToTechnician::Paused { reason: Absence::ScreenLocked, ends_in_secs }),
        Just(ToTechnician::Resumed),
        (any::<u32>(), any::<[u8; 32]>())
            .prop_map(|(run, digest)| ToTechnician::RunStarted { run: RunId(run), digest: Digest(digest) }),
        (any::<u32>(), outcome(), count(), count()).prop_map(|(run, outcome, stdout, stderr)| {
            ToTechnician::RunFinished { run: RunId(run), outcome, stdout, stderr }
        }),
        bytes().prop_map(|line| ToTechnician::Audit { line }),
        Just(ToTechnician::Ended { reason: EndReason::TimeOver }),
        direct_offer().prop_map(ToTechnician::Direct),
        (any::<u32>(), select(&[DenyReason::ByUser, DenyReason::ProcessEnded][..])).prop_map(|(inspection, reason)| {
            ToTechnician::NotInspected { inspection: InspectionId(inspection), reason }
        }),
    ]
}

fn stream_header() -> impl Strategy<Value = StreamHeader> {
    prop_oneof![
        Just(StreamHeader::Diagnostics),
        any::<u32>().prop_map(|run| StreamHeader::Output { run: RunId(run), output: Output::Stdout }),
        any::<u32>().prop_map(|inspection| StreamHeader::Load { inspection: InspectionId(inspection) }),
    ]
}

/// A message is read back as it was written; less or more than its bytes is no message.
fn check<M: Message + Debug + PartialEq>(message: &M, extra: &[u8]) -> Result<(), TestCaseError> {
    let Ok(bytes) = codec::encode(message) else {
        return Err(TestCaseError::fail(format!("{message:?} is over its limit")));
    };
    let read = codec::decode::<M>(&bytes);
    prop_assert_eq!(read.as_ref(), Ok(message));
    for length in 0..bytes.len() {
        prop_assert!(codec::decode::<M>(&bytes[..length]).is_err(), "{} bytes of {:?}", length, message);
    }
    let longer = codec::decode::<M>(&[bytes.as_slice(), extra].concat());
    let refused = matches!(longer, Err(CodecError::TrailingBytes { .. } | CodecError::TooLarge { .. }));
    prop_assert!(refused, "{:?} and {:?}", message, extra);
    let frame = codec::frame(message).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(frame.split_at(codec::FRAME_PREFIX_BYTES).1, bytes.as_slice());
    Ok(())
}

/// Whatever the bytes: an error, or a message that stays the same from then on.
fn survive<M: Message + Debug + PartialEq>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(message) = codec::decode::<M>(bytes) {
        let again = codec::encode(&message).and_then(|bytes| codec::decode::<M>(&bytes));
        prop_assert_eq!(again, Ok(message));
    }
    Ok(())
}

fn survive_all(bytes: &[u8]) -> Result<(), TestCaseError> {
    survive::<ToRelay>(bytes)?;
    survive::<FromRelay>(bytes)?;
    survive::<FromUnpairedTechnician>(bytes)?;
    survive::<FromUnpairedAgent>(bytes)?;
    survive::<Introduction>(bytes)?;
    survive::<ToAgent>(bytes)?;
    survive::<ToTechnician>(bytes)?;
    survive::<StreamHeader>(bytes)?;
    survive::<StreamFrame>(bytes)?;
    survive::<ExactInspection>(bytes)?;
    survive::<ExactRun>(bytes)
}

macro_rules! read_back {
    ($($name:ident: $strategy:expr,)*) => {
        proptest! {
            $(
                #[test]
                fn $name(message in $strategy, extra in prop::collection::vec(any::<u8>(), 1..9)) {
                    check(&message, &extra)?;
                }
            )*
        }
    };
}

read_back! {
    what_is_said_to_a_relay_is_read_back: to_relay(),
    what_a_relay_says_is_read_back: from_relay(),
    what_an_unpaired_technician_says_is_read_back: from_unpaired_technician(),
    what_an_unpaired_agent_says_is_read_back: from_unpaired_agent(),
    an_introduction_is_read_back: introduction(),
    what_a_technician_says_is_read_back: to_agent(),
    what_an_agent_says_is_read_back: to_technician(),
    what_stands_before_a_stream_is_read_back: stream_header(),
    an_exact_run_is_read_back: exact_run(),
    an_exact_inspection_is_read_back: exact_inspection(),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survive_all(&bytes)?;
    }

    #[test]
    fn no_small_numbers_make_a_decoder_panic(bytes in prop::collection::vec(0u8..12, 0..60)) {
        survive_all(&bytes)?;
    }

    #[test]
    fn no_changed_message_makes_a_decoder_panic(
        message in to_technician(),
        proposal in to_agent(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for mut bytes in [codec::encode(&message), codec::encode(&proposal)].into_iter().flatten() {
            let position = position.index(bytes.len());
            bytes[position] = byte;
            survive_all(&bytes)?;
        }
    }

    #[test]
    fn what_is_put_into_a_pipe_comes_out_of_it(
        sizes in prop::collection::vec((1..=PIPE_PACKET_BYTES, 0u8..=3), 1..16),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let filled = sizes.iter().map(|(size, ecn)| (vec![*ecn ^ 0x40; *size], *ecn)).collect::<Vec<_>>();
        let mut message = Vec::new();
        let put = filled
            .iter()
            .map(|(bytes, ecn)| PipePacket { ecn: *ecn, bytes })
            .take_while(|packet| packet.put(&mut message))
            .collect::<Vec<_>>();
        prop_assert_eq!(pipe::packets(&message).unwrap().collect::<Vec<_>>(), put);
        // Whatever is changed on the way is refused, or other packets of the same rules.
        let position = position.index(message.len());
        message[position] = byte;
        if let Ok(mut packets) = pipe::packets(&message) {
            prop_assert!(packets.all(|packet| packet.is_valid()));
        }
        prop_assert!(pipe::packets(&message[..message.len() - 1]).is_err());
    }

    #[test]
    fn no_bytes_make_a_pipe_panic(message in prop::collection::vec(0u8..6, 0..60)) {
        let _ = pipe::packets(&message).map(Iterator::count);
    }

    #[test]
    fn a_locator_out_of_range_is_refused(value in any::<u32>(), digits in any::<u8>()) {
        // The bytes of `Attach` with these two numbers, whether or not they make a locator.
        let bytes = [&[2][..], &number(value), &[digits, 0]].concat();
        let made = Locator::new(value, digits);
        match codec::decode::<ToRelay>(&bytes) {
            Ok(message) => prop_assert_eq!(Some(message), made.map(|locator| ToRelay::Attach { locator, first: FirstFlight::default() })),
            Err(_) => prop_assert_eq!(made, None),
        }
    }
}

/// bincode's variable-length form of a number.
fn number(value: u32) -> Vec<u8> {
    match (u8::try_from(value), u16::try_from(value)) {
        (Ok(byte @ ..251), _) => vec![byte],
        (_, Ok(short)) => [&[251][..], &short.to_le_bytes()].concat(),
        (_, Err(_)) => [&[252][..], &value.to_le_bytes()].concat(),
    }
}

#[test]
fn a_flight_over_its_bounds_is_refused_and_never_made() {
    let decode = |packets: &[&[u8]]| {
        let length = |packet: &[u8]| number(u32::try_from(packet.len()).unwrap());
        let packets_bytes = packets.iter().flat_map(|packet| [&length(packet)[..], packet].concat());
        let attach = [2, 1, 4, u8::try_from(packets.len()).unwrap()].into_iter().chain(packets_bytes);
        codec::decode::<ToRelay>(&attach.collect::<Vec<_>>())
    };
    let large = vec![0xc0; FirstFlight::BYTES];
    assert!(decode(&[&large]).is_ok());
    assert!(decode(&[&large, &[1]]).is_err());
    assert!(decode(&[&[1], &[2], &[3]]).is_ok());
    assert!(decode(&[&[1], &[2], &[3], &[4]]).is_err());
    assert!(decode(&[&[1], &[]]).is_err());
    let cut = FirstFlight::of([vec![1; 2000], vec![2; 2000], vec![3; 10]]);
    assert_eq!(
        cut.packets().map(<[u8]>::len).collect::<Vec<_>>(),
        [2000],
        "in order, so nothing after what did not fit"
    );
}

#[test]
fn an_announced_length_allocates_nothing() {
    // A vector of 2^60 bytes, announced in a message of ten.
    let announced = [&[0, 253][..], &(1u64 << 60).to_le_bytes()].concat();
    assert!(codec::decode::<FromUnpairedTechnician>(&announced).is_err());
    assert!(codec::decode::<FromUnpairedTechnician>(&vec![0; 1 << 20]).is_err());
}

#[test]
fn a_peers_text_over_its_limit_is_refused() {
    let long = "x".repeat(129);
    // Introduction begins with the claimed name.
    let bytes = [&[129][..], long.as_bytes(), &[0, 1, 0, 0, 0]].concat();
    let error = codec::decode::<Introduction>(&bytes).unwrap_err();
    assert!(error.to_string().contains("over its limit of 128"), "{error}");
}
