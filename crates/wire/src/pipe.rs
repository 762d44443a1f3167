//! How packets travel over TCP: many of them in one message of a WebSocket (RFC 6455).
//!
//! A pipe carries what would have been UDP packets between a program and its relay, unread and in no other order than they are given.
//! The text of each binary message is one or more packets:
//!
//! ```text
//! 0..2: bytes of the packet, little endian     2: ECN bits of its IP header (RFC 3168), 0..=3     3..: the packet
//! ```
//!
//! A message that is not made like this to its last byte ends the pipe: no packet of it is used.

/// Path of the HTTP request that asks for a pipe.
pub const PIPE_PATH: &str = "/pipe";

/// WebSocket subprotocol. The number is the version of what this module describes.
pub const PIPE_PROTOCOL: &str = "assent-pipe-1";

/// Largest message. One takes 3 s at 44 kbit/s.
pub const PIPE_MESSAGE_BYTES: usize = 16 * 1024;

/// Largest packet: what fits an Ethernet frame.
pub const PIPE_PACKET_BYTES: usize = 1500;

/// What stands before each packet.
pub const PIPE_PACKET_HEADER_BYTES: usize = 3;

/// ECN has two bits.
const MOST_ECN: u8 = 3;

/// A packet in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipePacket<'a> {
    /// ECN bits of its IP header, 0..=3.
    pub ecn: u8,
    /// The packet, never empty.
    pub bytes: &'a [u8],
}

impl PipePacket<'_> {
    /// Bytes that it takes in a message.
    pub fn encoded_bytes(&self) -> usize {
        PIPE_PACKET_HEADER_BYTES + self.bytes.len()
    }

    /// Whether it can be carried: neither empty nor larger than [`PIPE_PACKET_BYTES`], and with ECN bits that exist.
    pub fn is_valid(&self) -> bool {
        (1..=PIPE_PACKET_BYTES).contains(&self.bytes.len()) && self.ecn <= MOST_ECN
    }

    /// Adds the packet to a message. `false`: it cannot be carried, or the message has no room for it; nothing was added.
    pub fn put(&self, message: &mut Vec<u8>) -> bool {
        if !self.is_valid() || message.len() + self.encoded_bytes() > PIPE_MESSAGE_BYTES {
            return false;
        }
        let Ok(length) = u16::try_from(self.bytes.len()) else { return false };
        message.extend_from_slice(&length.to_le_bytes());
        message.push(self.ecn);
        message.extend_from_slice(self.bytes);
        true
    }
}

/// Why bytes are no message of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipeMessageError {
    /// There is no packet in it.
    #[error("a message without a packet")]
    Empty,
    /// It is larger than [`PIPE_MESSAGE_BYTES`].
    #[error("a message of {0} bytes")]
    TooLarge(usize),
    /// It ends within a packet or what stands before one.
    #[error("a message that ends within a packet")]
    Cut,
    /// A packet is empty or larger than [`PIPE_PACKET_BYTES`].
    #[error("a packet of {0} bytes")]
    PacketSize(usize),
    /// The ECN bits are more than two.
    #[error("a packet with ECN bits {0:#x}")]
    Ecn(u8),
}

/// Reads a whole message and gives its packets in order.
///
/// # Errors
///
/// The first thing that is wrong with it; then there are no packets.
pub fn packets(message: &[u8]) -> Result<impl Iterator<Item = PipePacket<'_>>, PipeMessageError> {
    match message.len() {
        0 => return Err(PipeMessageError::Empty),
        bytes if bytes > PIPE_MESSAGE_BYTES => return Err(PipeMessageError::TooLarge(bytes)),
        _ => {}
    }
    let mut unchecked = message;
    while !unchecked.is_empty() {
        (_, unchecked) = first(unchecked)?;
    }
    let mut rest = message;
    Ok(std::iter::from_fn(move || {
        let (packet, behind) = first(rest).ok()?;
        rest = behind;
        Some(packet)
    }))
}

/// Splits the first packet off.
fn first(message: &[u8]) -> Result<(PipePacket<'_>, &[u8]), PipeMessageError> {
    let (&[low, high, ecn], rest) =
        message.split_first_chunk::<PIPE_PACKET_HEADER_BYTES>().ok_or(PipeMessageError::Cut)?;
    let length = usize::from(u16::from_le_bytes([low, high]));
    if !(1..=PIPE_PACKET_BYTES).contains(&length) {
        return Err(PipeMessageError::PacketSize(length));
    }
    if ecn > MOST_ECN {
        return Err(PipeMessageError::Ecn(ecn));
    }
    let (bytes, rest) = rest.split_at_checked(length).ok_or(PipeMessageError::Cut)?;
    Ok((PipePacket { ecn, bytes }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<PipePacket<'_>>, PipeMessageError> {
        packets(message).map(Iterator::collect)
    }

    #[test]
    fn a_message_keeps_its_bytes() {
        let mut message = Vec::new();
        assert!(PipePacket { ecn: 0, bytes: &[0x40, 1, 2] }.put(&mut message));
        assert!(PipePacket { ecn: 3, bytes: &[0x08; 258] }.put(&mut message));
        let golden = [&[3, 0, 0, 0x40, 1, 2, 2, 1, 3][..], &[0x08; 258]].concat();
        assert_eq!(message, golden);
        assert_eq!(
            read(&golden),
            Ok(vec![PipePacket { ecn: 0, bytes: &[0x40, 1, 2] }, PipePacket { ecn: 3, bytes: &[0x08; 258] }])
        );
    }

    #[test]
    fn what_is_not_made_like_this_is_refused_whole() {
        let good = [1, 0, 0, 0x40];
        assert_eq!(read(&[]), Err(PipeMessageError::Empty));
        assert_eq!(read(&[good.as_slice(), &[1]].concat()), Err(PipeMessageError::Cut));
        assert_eq!(read(&[good.as_slice(), &[2, 0, 0, 0x40]].concat()), Err(PipeMessageError::Cut));
        assert_eq!(read(&[good.as_slice(), &[0, 0, 0]].concat()), Err(PipeMessageError::PacketSize(0)));
        assert_eq!(read(&[0xdd, 5, 0]), Err(PipeMessageError::PacketSize(1501)));
        assert_eq!(read(&[1, 0, 4, 0x40]), Err(PipeMessageError::Ecn(4)));
        let large = vec![0; PIPE_MESSAGE_BYTES + 1];
        assert_eq!(read(&large), Err(PipeMessageError::TooLarge(large.len())));
    }

    #[test]
    fn nothing_is_put_that_would_be_refused() {
        let mut message = Vec::new();
        for (ecn, bytes) in [(0, 0), (0, PIPE_PACKET_BYTES + 1), (4, 1)] {
            assert!(!PipePacket { ecn, bytes: &vec![0; bytes] }.put(&mut message) && message.is_empty());
        }
        let largest = vec![7; PIPE_PACKET_BYTES];
        let mut count = 0;
        while (PipePacket { ecn: 1, bytes: &largest }).put(&mut message) {
            count += 1;
        }
        assert!(message.len() <= PIPE_MESSAGE_BYTES && count == PIPE_MESSAGE_BYTES / 1503);
        assert_eq!(read(&message).unwrap().len(), count);
    }
}
