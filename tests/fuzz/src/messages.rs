//! Messages in the encoding of `wire::codec`, and the header of sealed packets.

use std::{fmt::Debug, net::SocketAddr};

use trust::beat::{is_genuine, seal};
use wire::{
    beat::{BEAT_BYTES, Beat, SlotKey},
    channel::{ChannelId, DataHeader, Family, HEADER_BYTES, PathFlags, Unbound, family},
    codec::{self, Message},
    control::{FromRelay, ToRelay},
    diagnostics::inspect::Inspected,
    limits,
    pairing::Introduction,
    path::{DirectProbe, Flip, Probe, is_quic},
    pipe::{self, PipePacket},
    reflect::{Reflection, parse_probe, reflect as reflect_in_place},
    run::{ExactRun, RunLimits, RunProposal},
    session::{StreamHeader, ToAgent, ToTechnician},
    text::shown_bytes,
};

use super::{Verdict, readable::assert_readable};

/// Decodes as every program does, and checks what holds for every message that is accepted and for every refusal.
pub(super) fn decode<M: Message + Debug + PartialEq>(bytes: &[u8]) -> Option<M> {
    match codec::decode::<M>(bytes) {
        Ok(message) => {
            check(&message, bytes);
            Some(message)
        }
        Err(error) => {
            assert_readable(&error.to_string());
            None
        }
    }
}

fn check<M: Message + Debug + PartialEq>(message: &M, bytes: &[u8]) {
    assert!(bytes.len() <= M::MAX_BYTES, "a message of {} bytes was accepted", bytes.len());
    let again = codec::encode(message).expect("what was accepted fits into its own limit");
    assert!(again.len() <= bytes.len(), "written out it is longer than it was");
    assert_eq!(codec::decode::<M>(&again).as_ref(), Ok(message));
    let framed = codec::frame(message).expect("what was accepted fits into its own limit");
    let (prefix, body) = framed.split_first_chunk().expect("a frame has a prefix");
    assert_eq!((codec::frame_length::<M>(*prefix), body), (Ok(again.len()), again.as_slice()));
    assert_readable(&format!("{message:?}"));
}

fn verdict<M: Message + Debug + PartialEq>(bytes: &[u8]) -> Verdict {
    Verdict::accepted_if(decode::<M>(bytes).is_some())
}

/// What an inspection found, as the technician's program takes it.
pub(super) fn inspected(bytes: &[u8]) -> Verdict {
    let Some(found) = decode::<Inspected>(bytes) else { return Verdict::Refused };
    if let Err(error) = found.check() {
        assert_readable(&error.to_string());
        return Verdict::Refused;
    }
    Verdict::Accepted
}

pub(super) fn to_relay(bytes: &[u8]) -> Verdict {
    match decode::<ToRelay>(bytes) {
        Some(ToRelay::ReleaseLocator { locator } | ToRelay::Attach { locator, .. }) => {
            assert!(locator.is_valid(), "{locator} was accepted");
            Verdict::Accepted
        }
        Some(_) => Verdict::Accepted,
        None => Verdict::Refused,
    }
}

pub(super) fn from_relay(bytes: &[u8]) -> Verdict {
    verdict::<FromRelay>(bytes)
}

pub(super) fn introduction(bytes: &[u8]) -> Verdict {
    verdict::<Introduction>(bytes)
}

pub(super) fn to_technician(bytes: &[u8]) -> Verdict {
    verdict::<ToTechnician>(bytes)
}

pub(super) fn stream_header(bytes: &[u8]) -> Verdict {
    verdict::<StreamHeader>(bytes)
}

pub(super) fn to_agent(bytes: &[u8]) -> Verdict {
    let message = decode::<ToAgent>(bytes);
    if let Some(ToAgent::ProposeRun(proposal)) = &message
        && proposal.check().is_ok()
    {
        check_proposal(proposal);
    }
    Verdict::accepted_if(message.is_some())
}

/// What a person is asked about can be read in full and be handed to an operating system.
fn check_proposal(proposal: &RunProposal) {
    let variables = proposal.environment.iter().flat_map(|variable| [&variable.name, &variable.value]);
    let parts = std::iter::once(&proposal.program)
        .chain(&proposal.arguments)
        .chain(&proposal.directory)
        .chain(variables)
        .collect::<Vec<_>>();
    assert!(parts.iter().all(|part| !part.contains(&0)), "a NUL byte passed");
    assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= limits::RUN_SPEC_BYTES, "it is too long");
    parts.iter().for_each(|part| assert_readable(&shown_bytes(part)));
    assert!(!proposal.program.is_empty() && proposal.arguments.len() <= limits::RUN_ARGUMENTS);
    assert!(proposal.environment.iter().all(|variable| !variable.name.contains(&b'=')));
    let clamped = proposal.limits.clamped();
    assert!((RunLimits::MIN.time_secs..=RunLimits::MAX.time_secs).contains(&clamped.time_secs));
    assert!(clamped.output_bytes <= RunLimits::MAX.output_bytes);
    assert!((RunLimits::MIN.memory_mib..=RunLimits::MAX.memory_mib).contains(&clamped.memory_mib));
}

/// The digest that a person approves does not depend on how the run was spelt on its way.
pub(super) fn exact_run(bytes: &[u8]) -> Verdict {
    let Some(run) = decode::<ExactRun>(bytes) else { return Verdict::Refused };
    let digest = trust::run_digest(&run).expect("what was accepted can be written out");
    let again = codec::encode(&run).and_then(|bytes| codec::decode::<ExactRun>(&bytes)).expect("it was checked above");
    assert_eq!(trust::run_digest(&again), Ok(digest));
    let other = ExactRun { user_id: run.user_id ^ 1, ..run };
    assert_ne!(trust::run_digest(&other).ok(), Some(digest));
    Verdict::Accepted
}

/// A packet of a sleeping agent, at both ends.
pub(super) fn beat(packet: &[u8]) -> Verdict {
    let Some((beat, tag)) = Beat::parse(packet) else {
        assert!(packet.len() != BEAT_BYTES || packet[0] != 0x20 || packet[1] & 0xf2 != 0, "a beat was refused");
        return Verdict::Refused;
    };
    assert_eq!(family(packet), Family::Beat);
    // There is only one way to write it.
    assert_eq!(beat.to_bytes(tag), packet);
    let key = SlotKey([7; 32]);
    assert!(!is_genuine(&key, &beat, &tag, None) || seal(&key, &beat, None) == packet);
    Verdict::Accepted
}

pub(super) fn channel(packet: &[u8]) -> Verdict {
    if let Some(unbound) = Unbound::parse(packet) {
        assert_eq!(
            unbound.to_bytes(),
            [packet[0], 0, packet[2], packet[3], packet[4], packet[5], packet[6], packet[7]]
        );
        assert!(unbound.channel.is_valid() && DataHeader::parse(packet).is_none());
    }
    if let Some((probe, tagged, _)) = DirectProbe::parse(packet) {
        // What the tag covers is all that there is to read.
        assert_eq!(&probe.to_bytes(), tagged);
        assert!(probe.channel.pair().is_some() && usize::from(probe.bytes) == packet.len());
        assert!(DataHeader::parse(packet).is_none() && Unbound::parse(packet).is_none());
        return Verdict::Accepted;
    }
    let Some(header) = DataHeader::parse(packet) else { return Verdict::Refused };
    assert_eq!(family(packet), Family::Channel);
    assert!(header.channel.is_valid());
    assert_eq!(ChannelId::new(header.channel.slot(), header.channel.generation()), Some(header.channel));
    assert_eq!(DataHeader::parse(&header.to_bytes()), Some(header));
    // The relay forwards the bytes as they came: there is only one way to write a header.
    let written = header.with_flags(PathFlags::of(packet));
    assert_eq!(Some(&written[..]), packet.get(..HEADER_BYTES));
    let payload = packet.get(HEADER_BYTES..).unwrap_or_default();
    if let Some(probe) = Probe::parse(payload) {
        assert!(!is_quic(payload));
        assert!(payload.starts_with(&probe.to_bytes()));
    }
    if let Some(flip) = Flip::parse(payload) {
        assert!(flip.channel.is_valid());
        assert_eq!(Flip::parse(&flip.to_bytes()), Some(flip));
    }
    Verdict::Accepted
}

pub(super) fn pipe(message: &[u8]) -> Verdict {
    let packets = match pipe::packets(message) {
        Ok(packets) => packets.collect::<Vec<_>>(),
        Err(error) => {
            assert_readable(&error.to_string());
            return Verdict::Refused;
        }
    };
    assert!(!packets.is_empty() && packets.iter().all(PipePacket::is_valid));
    let mut again = Vec::new();
    assert!(packets.iter().all(|packet| packet.put(&mut again)));
    // There is only one way to write a message.
    assert_eq!(again, message);
    Verdict::Accepted
}

/// A reflector answers probes alone, with as many bytes as it got, and what it answers is no probe.
pub(super) fn reflect(datagram: &[u8]) -> Verdict {
    if let Some(reflection) = Reflection::parse(datagram) {
        assert_eq!(reflection.length, datagram.len());
        assert!(parse_probe(datagram).is_none());
        return Verdict::Accepted;
    }
    let seen_as = SocketAddr::from(([192, 0, 2, 7], 4433));
    let mut answer = datagram.to_vec();
    let Some(nonce) = parse_probe(datagram) else {
        assert!(!reflect_in_place(&mut answer, seen_as) && answer == datagram);
        return Verdict::Refused;
    };
    assert!(reflect_in_place(&mut answer, seen_as));
    assert_eq!(Reflection::parse(&answer), Some(Reflection { nonce, seen_as, length: datagram.len() }));
    Verdict::Accepted
}
