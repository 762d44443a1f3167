//! Somebody on the wire who can touch sealed packets: tamperers for a [`DelayLink`](crate::delay_link::DelayLink).
//!
//! They leave packets of control connections alone: those fail as any damaged QUIC packet does. Sealed packets are known by
//! their header, which is all that a relay or a thief on the wire can read of them.

use wire::channel::{ChannelId, DataHeader, HEADER_BYTES};

use crate::delay_link::{Direction, Tamper};

/// Every sealed packet arrives again behind the next one.
pub fn replay() -> Tamper {
    let mut earlier = Vec::<(Direction, Vec<u8>)>::new();
    sealed_only(move |direction, packet| {
        let again = earlier.iter().find(|(way, _)| *way == direction).map(|(_, packet)| packet.clone());
        earlier.retain(|(way, _)| *way != direction);
        earlier.push((direction, packet.clone()));
        std::iter::once(packet).chain(again).collect()
    })
}

/// Every `nth` sealed packet loses its second half.
pub fn truncate(nth: u32) -> Tamper {
    every(nth, |mut packet| {
        packet.truncate(HEADER_BYTES + (packet.len() - HEADER_BYTES) / 2);
        vec![packet]
    })
}

/// Every `nth` sealed packet has one bit of its content turned over.
pub fn corrupt(nth: u32) -> Tamper {
    every(nth, |mut packet| {
        if let Some(last) = packet.last_mut() {
            *last ^= 1;
        }
        vec![packet]
    })
}

/// Every `nth` sealed packet says that it belongs to the next slot, and one with that lie and one without arrive.
pub fn misroute(nth: u32) -> Tamper {
    every(nth, |packet| {
        let lie = DataHeader::parse(&packet).and_then(|header| {
            let channel = header.channel;
            let channel = ChannelId::new((channel.slot() + 1) % 0x00ff_ffff, channel.generation())?;
            Some([&DataHeader { channel }.to_bytes()[..], packet.get(HEADER_BYTES..)?].concat())
        });
        lie.into_iter().chain([packet]).collect()
    })
}

/// Sealed packets arrive in pairs, the later one first.
pub fn reorder() -> Tamper {
    let mut held = Vec::<(Direction, Vec<u8>)>::new();
    sealed_only(move |direction, packet| match held.iter().position(|(way, _)| *way == direction) {
        Some(at) => vec![packet, held.remove(at).1],
        None => {
            held.push((direction, packet));
            Vec::new()
        }
    })
}

fn every(nth: u32, mut act: impl FnMut(Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) -> Tamper {
    let mut count = 0u32;
    sealed_only(move |_, packet| {
        count += 1;
        if count.is_multiple_of(nth.max(1)) { act(packet) } else { vec![packet] }
    })
}

fn sealed_only(mut act: impl FnMut(Direction, Vec<u8>) -> Vec<Vec<u8>> + Send + 'static) -> Tamper {
    Box::new(move |direction, packet| match DataHeader::parse(&packet) {
        Some(_) => act(direction, packet),
        None => vec![packet],
    })
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn packet(slot: u32, content: &[u8]) -> Vec<u8> {
        let channel = ChannelId::new(slot, 7).unwrap();
        [&DataHeader { channel }.to_bytes()[..], content].concat()
    }

    #[test]
    fn tamperers_touch_sealed_packets_alone() {
        let control = vec![0x40, 1, 2, 3];
        for mut tamper in [replay(), truncate(1), corrupt(1), misroute(1), reorder()] {
            assert_eq!(tamper(Direction::ToTarget, control.clone()), slice::from_ref(&control));
        }
    }

    #[test]
    fn each_tamperer_does_what_it_says() {
        let (first, second) = (packet(1, b"first"), packet(1, b"second"));
        let mut replay = replay();
        assert_eq!(replay(Direction::ToTarget, first.clone()), slice::from_ref(&first));
        assert_eq!(replay(Direction::ToTarget, second.clone()), [second.clone(), first.clone()]);
        assert_eq!(truncate(1)(Direction::ToClient, second.clone()), [packet(1, b"sec")]);
        assert_eq!(corrupt(1)(Direction::ToClient, first.clone()), [packet(1, b"firsu")]);
        assert_eq!(misroute(1)(Direction::ToClient, first.clone()), [packet(2, b"first"), first.clone()]);
        let mut reorder = reorder();
        assert!(reorder(Direction::ToTarget, first.clone()).is_empty());
        assert_eq!(reorder(Direction::ToTarget, second.clone()), [second, first]);
    }
}
