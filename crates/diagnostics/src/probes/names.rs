//! What the system and each configured name server say of one name (RFC 1035), side by side.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, Query, ResponseCode},
    rr::{Name, RecordType},
};
use wire::{
    diagnostics::sections::{
        network::Family,
        probes::{MAX_ANSWERS, NameAnswer, NameOutcome, NamesFound},
    },
    text::Label,
};

use super::{
    limit::{LOOK, Limit},
    targets::Permit,
};
use crate::stopwatch::Stopwatch;

/// Longest that the system is waited for: as long as the C library waits for a server, and a little.
const SYSTEM: Duration = Duration::from_secs(6);

/// Longest that one question to a server is waited for, and how often it is asked over UDP.
const TRY: Duration = Duration::from_millis(700);
const TRIES: u32 = 2;

/// Most servers that are asked.
const MAX_SERVERS: usize = 4;

/// Largest answer over UDP that is taken; no more than 512 bytes are asked for.
const DATAGRAM_BYTES: usize = 4096;

/// Asks for the addresses of `name`. `system` is the system's own resolver.
pub(super) fn compare(
    name: &str,
    servers: impl Iterator<Item = Permit>,
    system: impl FnOnce(Duration) -> io::Result<Vec<IpAddr>>,
    limit: &Limit,
) -> NamesFound {
    let began = Stopwatch::start();
    let mut answers = vec![system_answer(system(SYSTEM), began.elapsed_ms())];
    for server in servers.take(MAX_SERVERS) {
        let Some(address) = server.address() else { continue };
        for family in [Family::V4, Family::V6] {
            answers.push(ask(server.at(address), name, family, limit));
        }
    }
    let disagree = disagree(&answers);
    NamesFound { answers, disagree }
}

fn system_answer(found: io::Result<Vec<IpAddr>>, took_ms: u32) -> NameAnswer {
    let (outcome, addresses) = match found {
        Ok(addresses) if addresses.is_empty() => (NameOutcome::Empty, Vec::new()),
        Ok(addresses) => (NameOutcome::Addresses, addresses),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => (NameOutcome::TimedOut, Vec::new()),
        // The C library tells a name that is not there from a server that fails only in words.
        Err(_) => (NameOutcome::Failed, Vec::new()),
    };
    let addresses = labels(&addresses);
    NameAnswer { server: Label::default(), family: None, outcome, rcode: None, took_ms, over_tcp: false, addresses }
}

fn labels(addresses: &[IpAddr]) -> Vec<Label> {
    addresses.iter().take(MAX_ANSWERS).map(|address| Label::cut(&address.to_string())).collect()
}

/// One answer of a server.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    rcode: ResponseCode,
    addresses: Vec<IpAddr>,
    truncated: bool,
}

fn ask(server: SocketAddr, name: &str, family: Family, limit: &Limit) -> NameAnswer {
    let began = Stopwatch::start();
    let mut over_tcp = false;
    let said = Question::new(name, family).and_then(|question| {
        let said = question.over_udp(server, limit)?;
        if said.truncated {
            over_tcp = true;
            return question.over_tcp(server, limit);
        }
        Ok(said)
    });
    let outcome = match &said {
        Ok(Said { rcode: ResponseCode::NoError, addresses, .. }) if addresses.is_empty() => NameOutcome::Empty,
        Ok(Said { rcode: ResponseCode::NoError, .. }) => NameOutcome::Addresses,
        Ok(Said { rcode: ResponseCode::NXDomain, .. }) => NameOutcome::NoSuchName,
        Ok(_) => NameOutcome::Refused,
        Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            NameOutcome::TimedOut
        }
        Err(_) => NameOutcome::Failed,
    };
    NameAnswer {
        server: Label::cut(&server.ip().to_string()),
        family: Some(family),
        outcome,
        rcode: said.as_ref().ok().map(|said| said.rcode.into()),
        took_ms: began.elapsed_ms(),
        over_tcp,
        addresses: said.map(|said| labels(&said.addresses)).unwrap_or_default(),
    }
}

/// A question, ready to be sent.
struct Question {
    message: Message,
    bytes: Vec<u8>,
}

impl Question {
    fn new(name: &str, family: Family) -> io::Result<Self> {
        let mut name = Name::from_utf8(name).map_err(|_| io::ErrorKind::InvalidInput)?;
        name.set_fqdn(true);
        let kind = if family == Family::V4 { RecordType::A } else { RecordType::AAAA };
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name, kind));
        let bytes = message.to_vec().map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self { message, bytes })
    }

    fn over_udp(&self, server: SocketAddr, limit: &Limit) -> io::Result<Said> {
        let socket = UdpSocket::bind(any(server))?;
        // What others than the server send is not heard then, and that nobody listens there is.
        socket.connect(server)?;
        for _ in 0..TRIES {
            let began = Stopwatch::start();
            limit.check()?;
            socket.send(&self.bytes)?;
            while let Some(left) = began.left_of(TRY) {
                socket.set_read_timeout(Some(limit.at_most(left.min(LOOK))?))?;
                let mut answer = [0; DATAGRAM_BYTES];
                match socket.recv(&mut answer) {
                    Ok(length) => {
                        if let Some(said) = self.read(answer.get(..length).unwrap_or_default()) {
                            return Ok(said);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// RFC 7766: the same with its length in front.
    fn over_tcp(&self, server: SocketAddr, limit: &Limit) -> io::Result<Said> {
        let mut stream = limit.connect(server, TRY)?;
        stream.set_write_timeout(Some(limit.at_most(TRY)?))?;
        let length = u16::try_from(self.bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        stream.write_all(&[&length.to_be_bytes()[..], &self.bytes].concat())?;
        let began = Stopwatch::start();
        let mut fill = |buffer: &mut [u8]| {
            let mut filled = 0;
            while filled < buffer.len() {
                let left = began.left_of(2 * TRY).ok_or(io::ErrorKind::TimedOut)?;
                match limit.read(&mut stream, buffer.get_mut(filled..).unwrap_or_default(), left)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    more => filled += more,
                }
            }
            io::Result::Ok(())
        };
        let mut length = [0; 2];
        fill(&mut length)?;
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        fill(&mut answer)?;
        self.read(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// What an answer says; `None` if it is none to this question.
    fn read(&self, bytes: &[u8]) -> Option<Said> {
        let answer = Message::from_vec(bytes).ok()?;
        let told = &answer.metadata;
        let is_answer = told.message_type == MessageType::Response && told.id == self.message.metadata.id;
        // A server that understood nothing may leave out the question.
        let repeats = answer.queries == self.message.queries
            || (answer.queries.is_empty() && told.response_code != ResponseCode::NoError);
        if !is_answer || !repeats {
            return None;
        }
        let addresses = answer.answers.iter().filter_map(|record| record.data.ip_addr());
        Some(Said { rcode: told.response_code, addresses: addresses.collect(), truncated: told.truncation })
    }
}

pub(super) fn any(peer: SocketAddr) -> SocketAddr {
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(any, 0)
}

/// Whether one says that there is no such name and another knows addresses, or two know no address in common. Services that
/// answer with the nearest of many addresses look like the second, so it is a hint and no proof.
fn disagree(answers: &[NameAnswer]) -> bool {
    [Family::V4, Family::V6].into_iter().any(|family| {
        let is_of = |address: &&Label| address.raw().contains(':') == (family == Family::V6);
        let asked = answers.iter().filter(|answer| answer.family.is_none_or(|asked| asked == family));
        let known = asked.clone().map(|answer| answer.addresses.iter().filter(is_of).collect::<BTreeSet<_>>());
        let known = known.filter(|addresses| !addresses.is_empty()).collect::<Vec<_>>();
        let denied = asked.clone().any(|answer| answer.outcome == NameOutcome::NoSuchName);
        let apart = known.iter().any(|one| known.iter().any(|other| one.is_disjoint(other)));
        (denied && !known.is_empty()) || apart
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener, thread};

    use hickory_proto::rr::{RData, Record, rdata::A};

    use super::*;

    /// A name server that knows one address for every name, or none, and answers one question.
    fn answering(address: Option<[u8; 4]>, truncated: bool) -> (SocketAddr, thread::JoinHandle<()>) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let place = socket.local_addr().unwrap();
        let listener = truncated.then(|| TcpListener::bind(place).unwrap());
        let serve = move || {
            for _ in 0..2 {
                let mut question = [0; 512];
                let (length, from) = socket.recv_from(&mut question).unwrap();
                // A stranger's answer with another number comes first and must not count.
                let mut answer = respond(&question[..length], Some([6, 6, 6, 6]), false);
                answer[0] ^= 0xff;
                socket.send_to(&answer, from).unwrap();
                socket.send_to(&respond(&question[..length], address, truncated), from).unwrap();
                if let Some(listener) = &listener {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).unwrap();
                    let mut question = vec![0; u16::from_be_bytes(length).into()];
                    stream.read_exact(&mut question).unwrap();
                    let answer = respond(&question, address, false);
                    let length = u16::try_from(answer.len()).unwrap();
                    stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).unwrap();
                }
            }
        };
        (place, thread::spawn(serve))
    }

    fn respond(question: &[u8], address: Option<[u8; 4]>, truncated: bool) -> Vec<u8> {
        let mut answer = Message::from_vec(question).unwrap();
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.truncation = truncated;
        let query = answer.queries[0].clone();
        match address {
            Some([a, b, c, d]) if query.query_type() == RecordType::A && !truncated => {
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, RData::A(A::new(a, b, c, d))));
            }
            Some(_) => {}
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer.to_vec().unwrap()
    }

    fn limit() -> Limit {
        Limit::new(Duration::from_secs(60))
    }

    #[test]
    fn a_server_that_lies_disagrees_with_the_others() {
        let ((honest, one), (liar, two)) = (answering(Some([192, 0, 2, 7]), false), answering(None, false));
        let servers = [honest, liar].map(Permit::of_a_test).into_iter();
        let found = compare("relay.example", servers, |_| Ok(vec![[192, 0, 2, 7].into()]), &limit());
        let told = found.answers.iter().map(|answer| (answer.outcome, answer.rcode)).collect::<Vec<_>>();
        let no_such = (NameOutcome::NoSuchName, Some(3));
        let told_honestly =
            [(NameOutcome::Addresses, None), (NameOutcome::Addresses, Some(0)), (NameOutcome::Empty, Some(0))];
        assert_eq!(told, [&told_honestly[..], &[no_such, no_such]].concat());
        assert_eq!(found.answers[1].addresses, [Label::cut("192.0.2.7")]);
        assert!(found.disagree);
        one.join().unwrap();
        two.join().unwrap();
    }

    #[test]
    fn an_answer_that_was_cut_is_asked_for_again_over_tcp() {
        let (server, thread) = answering(Some([192, 0, 2, 7]), true);
        let found = compare("relay.example", [Permit::of_a_test(server)].into_iter(), |_| Ok(Vec::new()), &limit());
        assert_eq!((found.answers[1].over_tcp, found.answers[1].outcome), (true, NameOutcome::Addresses));
        assert!(!found.disagree);
        thread.join().unwrap();
    }

    #[test]
    fn a_server_that_is_silent_or_not_there_is_told_apart() {
        let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let servers = [silent.local_addr().unwrap(), gone].map(Permit::of_a_test).into_iter();
        let found = compare("relay.example", servers, |_| Err(io::ErrorKind::TimedOut.into()), &limit());
        let outcomes = found.answers.iter().map(|answer| answer.outcome).collect::<Vec<_>>();
        let (timed_out, failed) = (NameOutcome::TimedOut, NameOutcome::Failed);
        assert_eq!(outcomes, [timed_out, timed_out, timed_out, failed, failed]);
        assert!(!found.disagree);
    }

    #[test]
    fn what_is_no_name_is_not_asked_for_and_what_is_no_answer_not_taken() {
        let question = Question::new("relay.example", Family::V4).unwrap();
        assert_eq!(question.read(b""), None);
        assert_eq!(question.read(&question.bytes), None);
        let other = Question::new("other.example", Family::V4).unwrap();
        let mut answer = respond(&other.bytes, Some([6, 6, 6, 6]), false);
        answer[..2].copy_from_slice(&question.bytes[..2]);
        assert_eq!(question.read(&answer), None);
        assert!(Question::new(&"a".repeat(300), Family::V4).is_err());
    }
}
