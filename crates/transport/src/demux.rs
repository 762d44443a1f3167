//! Whose packets are in what the kernel handed over. Pure functions over bytes.
//!
//! With receive offload the kernel joins packets of one sender and one size to a *train*: equal segments, the last perhaps
//! shorter. A train from the relay may mix control QUIC with packets of several sessions, so it is cut into *runs* of segments
//! that belong to the same receiver.

use wire::{
    beat::BEAT_BYTES,
    channel::{ChannelId, DataHeader, Family, HEADER_BYTES, Unbound, family},
    path::DirectProbe,
};

/// Whom a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The control connection.
    Quic,
    /// A session, by its channel.
    Data(ChannelId),
    /// A session, by its channel: a probe of a direct path.
    Probe(ChannelId),
    /// A session, by its channel: the relay knows its control connection by another address.
    Unbound(ChannelId),
    /// A sleeping agent, or the relay about one.
    Beat,
    /// Nobody here.
    Foreign,
}

/// Tells whom a segment is for. A header without a packet behind it is [`Class::Foreign`].
pub(crate) fn class(segment: &[u8]) -> Class {
    match family(segment) {
        Family::Quic => Class::Quic,
        Family::Channel if segment.len() > HEADER_BYTES => {
            let probe = || DirectProbe::parse(segment).map(|(probe, _, _)| Class::Probe(probe.channel));
            DataHeader::parse(segment)
                .map(|header| Class::Data(header.channel))
                .or_else(probe)
                .unwrap_or(Class::Foreign)
        }
        Family::Channel => Unbound::parse(segment).map_or(Class::Foreign, |unbound| Class::Unbound(unbound.channel)),
        Family::Beat if segment.len() == BEAT_BYTES => Class::Beat,
        Family::Beat | Family::Unknown => Class::Foreign,
    }
}

/// Neighbouring segments for the same receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub(crate) class: Class,
    pub(crate) bytes: &'a [u8],
    /// Size of every segment but perhaps the last, never zero.
    pub(crate) stride: usize,
}

impl Run<'_> {
    /// How many packets.
    pub(crate) fn segments(&self) -> usize {
        self.bytes.len().div_ceil(self.stride)
    }

    /// The size to tell a kernel that should cut the run again; `None` for a single packet.
    pub(crate) fn segment_size(&self) -> Option<usize> {
        (self.bytes.len() > self.stride).then_some(self.stride)
    }

    /// Copies the segments that `wanted` is true for to the start of `out`, without the first `skip` bytes of each, and returns the
    /// bytes written. They keep their size, so it is a run still; the new stride is the old one less `skip`.
    ///
    /// `None` if it does not fit or a segment has no byte left.
    pub(crate) fn copy_to(&self, skip: usize, out: &mut [u8], wanted: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut written = 0;
        for segment in self.bytes.chunks(self.stride).filter(|segment| wanted(segment)) {
            let rest = segment.get(skip..).filter(|rest| !rest.is_empty())?;
            out.get_mut(written..written + rest.len())?.copy_from_slice(rest);
            written += rest.len();
        }
        Some(written)
    }
}

/// Cuts the first run off a train; the rest of the train starts behind its bytes. `None` if the train is empty.
///
/// `limit` says how many segments of a class may go together, at least one is taken. A `stride` of zero, which no kernel
/// reports, stands for a single packet.
pub(crate) fn first_run(train: &[u8], stride: usize, limit: impl FnOnce(Class) -> usize) -> Option<Run<'_>> {
    let stride = if stride == 0 { train.len() } else { stride };
    if train.is_empty() {
        return None;
    }
    let mut segments = train.chunks(stride);
    let first = segments.next()?;
    let class_of_first = class(first);
    let more = segments
        .take(limit(class_of_first).saturating_sub(1))
        .take_while(|segment| class(segment) == class_of_first)
        .map(<[u8]>::len)
        .sum::<usize>();
    let bytes = train.get(..first.len() + more)?;
    Some(Run { class: class_of_first, bytes, stride: stride.min(first.len()) })
}

/// Puts `header` before every segment of `contents` into `out`, replacing what was there, and returns the new segment size.
///
/// `segment_size` of `None` stands for a single packet.
pub(crate) fn prefix(
    contents: &[u8],
    segment_size: Option<usize>,
    header: [u8; HEADER_BYTES],
    out: &mut Vec<u8>,
) -> Option<usize> {
    out.clear();
    for segment in contents.chunks(segment_size.unwrap_or(contents.len()).max(1)) {
        out.extend_from_slice(&header);
        out.extend_from_slice(segment);
    }
    segment_size.map(|size| size + HEADER_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel(slot: u32) -> ChannelId {
        ChannelId::new(slot, slot + 1).unwrap()
    }

    /// A segment of `size` bytes for the given receiver; the filler tells segments apart.
    fn segment(class: Class, size: usize, filler: u8) -> Vec<u8> {
        let mut bytes = vec![filler; size];
        match class {
            Class::Quic => bytes[0] = 0x40 | filler,
            Class::Data(channel) => bytes[..HEADER_BYTES].copy_from_slice(&DataHeader { channel }.to_bytes()),
            Class::Unbound(_) | Class::Probe(_) | Class::Beat => unreachable!("none is made: its size is its own"),
            Class::Foreign => bytes[0] = filler % 8,
        }
        bytes
    }

    fn classes() -> impl Strategy<Value = Class> {
        prop_oneof![
            3 => Just(Class::Quic),
            3 => Just(Class::Data(channel(1))),
            2 => Just(Class::Data(channel(2))),
            1 => Just(Class::Foreign),
        ]
    }

    proptest! {
        #[test]
        fn a_mixed_train_comes_apart_into_whole_packets_in_order(
            kinds in prop::collection::vec(classes(), 1..64),
            stride in 10usize..60,
            last in 9usize..60,
            limit in 1usize..70,
        ) {
            let last = last.min(stride);
            let mut packets = Vec::new();
            for (index, kind) in kinds.iter().enumerate() {
                let size = if index + 1 == kinds.len() { last } else { stride };
                packets.push((*kind, segment(*kind, size, u8::try_from(index).unwrap())));
            }
            let train = packets.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();

            let mut rest = train.as_slice();
            let mut found = Vec::new();
            while let Some(run) = first_run(rest, stride, |_| limit) {
                prop_assert!(run.segments() <= limit);
                prop_assert_eq!(run.segment_size().is_some(), run.segments() > 1);
                for bytes in run.bytes.chunks(run.stride) {
                    found.push((run.class, bytes.to_vec()));
                }
                rest = &rest[run.bytes.len()..];
            }
            prop_assert_eq!(found, packets);
        }

        #[test]
        fn what_is_prefixed_for_sending_is_what_the_other_side_strips(
            sizes in (1usize..40, 1usize..40, 1usize..9),
            room in 0usize..400,
        ) {
            let (stride, last, count) = sizes;
            let contents = (0..stride * (count - 1) + last.min(stride)).map(|at| at.to_le_bytes()[0]).collect::<Vec<_>>();
            let segment_size = (count > 1).then_some(stride);
            let mut sent = Vec::new();
            let sent_size = prefix(&contents, segment_size, DataHeader { channel: channel(3) }.to_bytes(), &mut sent);

            let run = first_run(&sent, sent_size.unwrap_or(sent.len()), |_| 64).unwrap();
            prop_assert_eq!(run.class, Class::Data(channel(3)));
            prop_assert_eq!(run.bytes, sent.as_slice());
            let mut out = vec![0; room];
            let copied = run.copy_to(HEADER_BYTES, &mut out, |_| true);
            prop_assert_eq!(copied, (room >= contents.len()).then_some(contents.len()));
            if copied.is_some() {
                prop_assert_eq!(&out[..contents.len()], contents.as_slice());
            }
        }

        #[test]
        fn no_bytes_make_the_cutting_fail_or_stall(train in prop::collection::vec(any::<u8>(), 0..300), stride in 0usize..50) {
            let mut rest = train.as_slice();
            while let Some(run) = first_run(rest, stride, |_| 4) {
                prop_assert!(!run.bytes.is_empty());
                let mut out = [0; 300];
                let _ = run.copy_to(HEADER_BYTES, &mut out, |_| true);
                rest = &rest[run.bytes.len()..];
            }
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_header_with_nothing_behind_it_is_for_nobody() {
        let header = DataHeader { channel: channel(1) }.to_bytes();
        assert_eq!(class(&header), Class::Foreign);
        let mut packet = header.to_vec();
        packet.push(0x40);
        assert_eq!(class(&packet), Class::Data(channel(1)));
    }

    #[test]
    fn an_unbound_is_for_its_session() {
        assert_eq!(class(&Unbound { channel: channel(1) }.to_bytes()), Class::Unbound(channel(1)));
    }

    #[test]
    fn a_beat_has_its_own_length_and_no_other() {
        let mut packet = vec![0; BEAT_BYTES];
        for first in 0x20..=0x25 {
            packet[0] = first;
            assert_eq!(class(&packet), Class::Beat);
            assert_eq!(class(&packet[1..]), Class::Foreign);
            assert_eq!(class(&packet[..BEAT_BYTES - 1]), Class::Foreign);
        }
        packet[0] = 0x26;
        assert_eq!(class(&packet), Class::Foreign);
    }

    #[test]
    fn other_types_of_channel_packet_are_for_nobody() {
        let mut packet = segment(Class::Data(channel(1)), 20, 0);
        packet[0] = 0x0a;
        assert_eq!(class(&packet), Class::Foreign);
    }
}
