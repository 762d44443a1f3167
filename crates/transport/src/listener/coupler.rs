//! Couples packets that go to the same address to trains: many packets, one call to the kernel.
//!
//! A kernel joins what it receives only where the sender or the network card made a train of it. What is sent one by one comes one by one;
//! but a busy shard takes many such packets at once, most of them of few senders. Those of equal size that go to one address leave as a
//! train, cut again by the kernel or the network card. Packets for one address never overtake each other.

use std::net::SocketAddr;

use quinn::udp::Transmit;

use super::socket::{packets_of, size_of};

/// Addresses for which packets wait at once. If there are more, one is served early.
const TRACKS: usize = 8;

/// Longest train that is made here. A batch of single packets is not much longer.
const TRAIN_BYTES: usize = 48 * 1024;

/// From here on a train is long enough, and copying it would cost more than a call that is saved.
const LONG_BYTES: usize = 8 * 1024;

/// Trains that are being made. Empty between two batches: nothing waits for packets that may not come.
#[derive(Debug)]
pub(super) struct Coupler {
    tracks: [Track; TRACKS],
    /// The track that is cleared next if all are taken.
    next: usize,
}

/// A train that may still grow.
#[derive(Debug)]
struct Track {
    /// What all its packets have in common: no contents, and the size of each but perhaps the last.
    head: Transmit<'static>,
    size: usize,
    packets: usize,
    /// Empty: the track is free.
    bytes: Vec<u8>,
}

impl Coupler {
    pub(super) fn new() -> Self {
        Self { tracks: std::array::from_fn(|_| Track::free()), next: 0 }
    }

    /// Takes a packet or train, which leaves by `send` at once or with others, at the latest when [`Coupler::clear`] is called. `most`: packets
    /// that a train may have.
    pub(super) fn take(&mut self, transmit: &Transmit<'_>, most: usize, send: &mut impl FnMut(&Transmit<'_>)) {
        let track = self.tracks.iter().position(|track| track.leads_to(transmit.destination));
        let alone = transmit.contents.len() >= LONG_BYTES || most < 2;
        match track {
            Some(track) if alone || !self.tracks[track].has_room(transmit, most) => self.tracks[track].clear(send),
            Some(track) => return self.tracks[track].couple(transmit),
            None => {}
        }
        if alone {
            return send(transmit);
        }
        let free = track.or_else(|| self.tracks.iter().position(|track| track.bytes.is_empty()));
        let track = free.unwrap_or_else(|| {
            self.next = (self.next + 1) % TRACKS;
            self.tracks[self.next].clear(send);
            self.next
        });
        self.tracks[track].start(transmit);
    }

    /// Sends all that waits.
    pub(super) fn clear(&mut self, send: &mut impl FnMut(&Transmit<'_>)) {
        for track in self.tracks.iter_mut().filter(|track| !track.bytes.is_empty()) {
            track.clear(send);
        }
    }
}

impl Track {
    fn free() -> Self {
        let nowhere = SocketAddr::from(([0; 4], 0));
        let head = Transmit { destination: nowhere, ecn: None, contents: &[], segment_size: None, src_ip: None };
        Self { head, size: 0, packets: 0, bytes: Vec::with_capacity(TRAIN_BYTES) }
    }

    fn leads_to(&self, destination: SocketAddr) -> bool {
        !self.bytes.is_empty() && self.head.destination == destination
    }

    /// Whether these packets may follow: of the size of those before, which none of them may exceed, and nothing follows a shorter one.
    fn has_room(&self, next: &Transmit<'_>, most: usize) -> bool {
        let length = self.bytes.len() + next.contents.len();
        next.ecn == self.head.ecn
            && next.src_ip == self.head.src_ip
            && self.bytes.len() == self.packets * self.size
            && (size_of(next) == self.size || (packets_of(next) == 1 && size_of(next) < self.size))
            && length <= TRAIN_BYTES
            && length.div_ceil(self.size) <= most
    }

    fn start(&mut self, first: &Transmit<'_>) {
        self.head = Transmit { contents: &[], ..first.clone() };
        (self.size, self.packets) = (size_of(first), 0);
        self.couple(first);
    }

    fn couple(&mut self, next: &Transmit<'_>) {
        self.bytes.extend_from_slice(next.contents);
        self.packets += packets_of(next);
    }

    fn clear(&mut self, send: &mut impl FnMut(&Transmit<'_>)) {
        let segment_size = (self.packets > 1).then_some(self.size);
        send(&Transmit { contents: &self.bytes, segment_size, ..self.head.clone() });
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, net::IpAddr};

    use proptest::prelude::*;
    use quinn::udp::EcnCodepoint;

    use super::*;

    const MOST: usize = 64;

    /// What left: destination, marks, and packets, in the order of the calls.
    type Left = Vec<(SocketAddr, Option<EcnCodepoint>, Option<IpAddr>, Vec<Vec<u8>>)>;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn packet(port: u16, contents: &[u8]) -> Transmit<'_> {
        Transmit { destination: to(port), ecn: None, contents, segment_size: None, src_ip: None }
    }

    fn left_of<'a>(packets: impl IntoIterator<Item = Transmit<'a>>, most: usize) -> Left {
        let mut left = Left::new();
        let mut send = |transmit: &Transmit<'_>| {
            assert!(!transmit.contents.is_empty());
            assert!(packets_of(transmit) <= most.max(1) || transmit.contents.len() >= LONG_BYTES);
            let packets = transmit.contents.chunks(size_of(transmit)).map(<[u8]>::to_vec).collect();
            left.push((transmit.destination, transmit.ecn, transmit.src_ip, packets));
        };
        let mut coupler = Coupler::new();
        for packet in packets {
            coupler.take(&packet, most, &mut send);
        }
        coupler.clear(&mut send);
        coupler.clear(&mut |_| panic!("nothing is left"));
        left
    }

    #[test]
    fn packets_of_two_flows_in_turn_leave_by_two_calls() {
        let bytes = [7; 1200];
        let left = left_of((0..20).map(|number| packet(number % 2, &bytes)), MOST);
        assert_eq!(
            left.iter().map(|(to, .., packets)| (to.port(), packets.len())).collect::<Vec<_>>(),
            [(0, 10), (1, 10)]
        );
    }

    #[test]
    fn a_shorter_packet_ends_a_train_and_a_longer_one_begins_another() {
        let bytes = [7; 100];
        let lengths = [50, 50, 20, 50, 60, 60];
        let left = left_of(lengths.map(|length| packet(1, &bytes[..length])), MOST);
        let trains = left.iter().map(|(.., packets)| packets.iter().map(Vec::len).collect()).collect::<Vec<Vec<_>>>();
        assert_eq!(trains, [vec![50, 50, 20], vec![50], vec![60, 60]]);
    }

    #[test]
    fn where_the_kernel_cuts_no_trains_every_packet_leaves_at_once() {
        let bytes = [7; 100];
        let left = left_of((0..5).map(|_| packet(1, &bytes)), 1);
        assert_eq!(left.len(), 5);
    }

    #[test]
    fn a_long_train_leaves_as_it_came_and_behind_what_came_before_it() {
        let (short, long) = ([1; 1000], [2; 30_000]);
        let train = Transmit { segment_size: Some(1000), ..packet(1, &long) };
        let left = left_of([packet(1, &short), train, packet(1, &short)], MOST);
        assert_eq!(left.iter().map(|(.., packets)| packets.len()).collect::<Vec<_>>(), [1, 30, 1]);
    }

    fn transmits() -> impl Strategy<Value = Vec<(u16, bool, bool, usize, usize)>> {
        let one = (0u16..12, any::<bool>(), any::<bool>(), prop_oneof![Just(100usize), 1usize..300], 1usize..40);
        proptest::collection::vec(one, 0..120)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_changed_or_overtaken_on_its_way_to_an_address(
            sent in transmits(), last in 1usize..100, most in prop_oneof![Just(1usize), 2usize..64],
        ) {
            let sent = sent.into_iter().enumerate().map(|(number, (port, marked, from, size, packets))| {
                let packets = packets.min(most);
                let bytes = vec![u8::try_from(number).unwrap(); size * (packets - 1) + last.min(size)];
                (port, marked.then_some(EcnCodepoint::Ce), from.then_some(IpAddr::from([192, 0, 2, 9])), size, bytes)
            }).collect::<Vec<_>>();
            let mut expected = HashMap::<_, Vec<_>>::new();
            for (port, ecn, from, size, bytes) in &sent {
                let packets = bytes.chunks(*size).map(|packet| (*ecn, *from, packet.to_vec()));
                expected.entry(to(*port)).or_default().extend(packets);
            }
            let transmits = sent.iter().map(|(port, ecn, src_ip, size, bytes)| Transmit {
                ecn: *ecn, src_ip: *src_ip, segment_size: (bytes.len() > *size).then_some(*size), ..packet(*port, bytes)
            });
            let mut arrived = HashMap::<_, Vec<_>>::new();
            for (to, ecn, src_ip, packets) in left_of(transmits, most) {
                arrived.entry(to).or_default().extend(packets.into_iter().map(|packet| (ecn, src_ip, packet)));
            }
            prop_assert_eq!(arrived, expected);
        }
    }
}
