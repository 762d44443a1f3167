//! Questions to the kernel over netlink (netlink(7)): sent, answered in a list of messages, and bounded in time and number.
//!
//! What the kernel answers is taken apart here without trusting its lengths; what it means stands where it is asked for.
//! A socket of this module changes nothing: every question is a dump or a lookup.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv,
        send, socket_with, sockopt,
    },
};

use crate::stopwatch::Stopwatch;

/// Largest answer that comes in one piece: the kernel fills at most 32 KiB at a time (`NLMSG_GOODSIZE` and
/// `SKB_WITH_OVERHEAD` in `net/netlink/af_netlink.c`).
const PIECE_BYTES: usize = 64 * 1024;

/// Most messages of one answer. A machine with the whole routing table of the internet has a million; nobody reads them.
const MAX_MESSAGES: usize = 20_000;

/// Length of a message's header (`struct nlmsghdr`).
const HEADER_BYTES: usize = 16;

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;
/// `NLM_F_DUMP_INTR`: something changed while it was listed.
const INTERRUPTED: u16 = 0x10;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// A socket that asks one of the kernel's subsystems.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    deadline: Duration,
}

/// One message of an answer: its type, and what follows its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    pub(crate) body: Vec<u8>,
}

/// What came of a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) messages: Vec<Message>,
    /// There was more than [`MAX_MESSAGES`], or the list changed while it was read.
    pub(crate) incomplete: bool,
}

impl Netlink {
    /// Opens a socket to `protocol`; `None` is rtnetlink. Every question may take `deadline`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the kernel was built without it, or what the kernel says.
    pub(crate) fn open(protocol: Option<Protocol>, deadline: Duration) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0, deadline })
    }

    /// Has a list told: `kind` says of what, `body` is the question's own header with its attributes.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`], [`io::ErrorKind::InvalidData`] for an answer that is no netlink, or what the kernel says.
    pub(crate) fn dump(&mut self, kind: u16, body: &[u8]) -> io::Result<Answer> {
        self.ask(kind, DUMP, body)
    }

    /// As [`Netlink::dump`], for a question with one message as its answer.
    pub(crate) fn look_up(&mut self, kind: u16, body: &[u8]) -> io::Result<Option<Message>> {
        Ok(self.ask(kind, 0, body)?.messages.into_iter().next())
    }

    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Answer> {
        self.sequence += 1;
        let began = Stopwatch::start();
        let request = request(kind, REQUEST | flags, self.sequence, body)?;
        send(&self.socket, &request, SendFlags::empty())?;
        let mut reading = Reading { sequence: self.sequence, single: flags & DUMP == 0, answer: Answer::default() };
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let left = self.deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(left))?;
            match recv(&self.socket, &mut piece[..], RecvFlags::TRUNC) {
                Ok((kept, whole)) if kept == whole => {
                    if reading.piece(piece.get(..kept).unwrap_or_default())? {
                        return Ok(reading.answer);
                    }
                }
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// An answer that comes in pieces.
struct Reading {
    sequence: u32,
    single: bool,
    answer: Answer,
}

impl Reading {
    /// Takes one piece; whether it was the last.
    fn piece(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while bytes.len() >= HEADER_BYTES {
            let header = Bytes(bytes);
            let (Some(length), Some(kind), Some(flags), Some(sequence)) =
                (header.u32(0), header.u16(4), header.u16(6), header.u32(8))
            else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let message = bytes.get(HEADER_BYTES..length).ok_or(io::ErrorKind::InvalidData)?;
            bytes = bytes.get(aligned(length)..).unwrap_or_default();
            // An answer to an earlier question that was given up.
            if sequence != self.sequence {
                continue;
            }
            self.answer.incomplete |= flags & INTERRUPTED != 0;
            match kind {
                DONE => return Ok(true),
                ERROR => {
                    let code = Bytes(message).i32(0).ok_or(io::ErrorKind::InvalidData)?;
                    return match code {
                        0 => Ok(true),
                        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                    };
                }
                _ if self.answer.messages.len() >= MAX_MESSAGES => {
                    self.answer.incomplete = true;
                    return Ok(true);
                }
                kind => self.answer.messages.push(Message { kind, body: message.to_vec() }),
            }
            if self.single {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADER_BYTES + body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&flags.to_ne_bytes());
    request.extend_from_slice(&sequence.to_ne_bytes());
    // The kernel fills in who asks.
    request.extend_from_slice(&[0; 4]);
    request.extend_from_slice(body);
    Ok(request)
}

/// Everything in netlink starts at a multiple of four.
fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// An attribute as it is sent: `struct nlattr` with its value.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut attribute = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend_from_slice(value);
    attribute.resize(aligned(attribute.len()), 0);
    attribute
}

/// The attributes that follow a header of `header` bytes, or stand in another attribute if that is 0. A torn one ends the list.
pub(crate) fn attributes(body: &[u8], header: usize) -> Attributes<'_> {
    Attributes(body.get(aligned(header)..).unwrap_or_default())
}

/// See [`attributes`]: pairs of type and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'b>(&'b [u8]);

impl<'b> Attributes<'b> {
    /// The last attribute of a type; the kernel sends each once.
    pub(crate) fn find(self, kind: u16) -> Option<Bytes<'b>> {
        self.filter(|(found, _)| *found == kind).last().map(|(_, value)| value)
    }
}

impl<'b> Iterator for Attributes<'b> {
    type Item = (u16, Bytes<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let header = Bytes(self.0);
        let length = usize::from(header.u16(0)?);
        // The two highest bits say that it is nested, or in network byte order.
        let kind = header.u16(2)? & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, Bytes(value)))
    }
}

/// Numbers in a message, in the order of bytes of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes<'b>(pub(crate) &'b [u8]);

impl<'b> Bytes<'b> {
    pub(crate) fn u8(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    pub(crate) fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_ne_bytes)
    }

    pub(crate) fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }

    pub(crate) fn i32(self, at: usize) -> Option<i32> {
        self.array(at).map(i32::from_ne_bytes)
    }

    pub(crate) fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_ne_bytes)
    }

    pub(crate) fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    /// An address by its length: four bytes or sixteen.
    pub(crate) fn address(self) -> Option<std::net::IpAddr> {
        match self.0.len() {
            4 => self.array::<4>(0).map(Into::into),
            16 => self.array::<16>(0).map(Into::into),
            _ => None,
        }
    }

    /// Text up to its NUL, if it is UTF-8.
    pub(crate) fn text(self) -> Option<&'b str> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        std::str::from_utf8(self.0.get(..end)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        Reading { sequence: 7, single: false, answer: Answer::default() }
    }

    #[test]
    fn an_answer_in_two_pieces_ends_with_the_message_that_says_so() {
        let mut reading = reading();
        let first = request(16, 2, 7, b"abcde").unwrap();
        let mut piece = first.clone();
        piece.resize(aligned(first.len()), 0);
        piece.extend(request(16, 2, 6, b"of another question").unwrap());
        assert!(!reading.piece(&piece).unwrap());
        assert!(reading.piece(&request(DONE, 2, 7, &[0; 4]).unwrap()).unwrap());
        assert_eq!(reading.answer.messages, [Message { kind: 16, body: b"abcde".to_vec() }]);
        assert!(!reading.answer.incomplete);
    }

    #[test]
    fn what_the_kernel_refuses_is_its_error() {
        let refused = request(ERROR, 0, 7, &(-1_i32).to_ne_bytes()).unwrap();
        assert_eq!(reading().piece(&refused).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let strange = request(ERROR, 0, 7, &i32::MIN.to_ne_bytes()).unwrap();
        assert!(reading().piece(&strange).is_err());
    }

    #[test]
    fn lengths_that_lie_are_errors_and_never_read_past_the_end() {
        for length in [0_u32, 15, 17, 1000, u32::MAX] {
            let mut message = request(16, 0, 7, &[]).unwrap();
            message[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(reading().piece(&message).is_err(), "{length}");
        }
        let torn = [attribute(1, b"whole"), vec![200, 0, 2, 0, 1]].concat();
        assert_eq!(attributes(&torn, 0).collect::<Vec<_>>(), [(1, Bytes(b"whole"))]);
        let empty = [0, 0, 1, 0].repeat(4);
        assert_eq!(attributes(&empty, 0).count(), 0);
    }

    #[test]
    fn a_list_without_end_is_cut_and_said_to_be() {
        let mut reading = reading();
        let piece = request(16, 2, 7, &[]).unwrap().repeat(1000);
        let last = (0..30).find(|_| reading.piece(&piece).unwrap());
        assert_eq!(last, Some(20));
        assert_eq!((reading.answer.messages.len(), reading.answer.incomplete), (MAX_MESSAGES, true));
    }

    #[test]
    fn nested_attributes_are_found_under_their_own_number() {
        let inner = attribute(1, b"veth\0");
        let outer = attribute(18 | 0x8000, &inner);
        let found = attributes(&outer, 0).find(18).and_then(|nested| attributes(nested.0, 0).find(1));
        assert_eq!(found.and_then(Bytes::text), Some("veth"));
    }

    #[test]
    fn the_kernel_lists_the_loopback_of_this_machine() {
        let mut netlink = Netlink::open(None, Duration::from_secs(5)).unwrap();
        let links = netlink.dump(18, &[0; 16]).unwrap();
        let names = links.messages.iter().filter_map(|link| attributes(&link.body, 16).find(3)?.text());
        assert!(names.into_iter().any(|name| name == "lo"));
        assert_eq!(netlink.dump(9999, &[]).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
