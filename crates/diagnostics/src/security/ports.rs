//! Ports that are listened on, by sock_diag(7), and the programs that do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
    path::Path,
    time::Duration,
};

use rustix::net::netlink;
use wire::{
    diagnostics::sections::security::{Port, Protocol},
    text::Label,
};

use crate::{
    netlink::{Bytes, Netlink},
    text::first_line,
};

/// Longest that one list is waited for.
const LIST_DEADLINE: Duration = Duration::from_secs(2);

/// Most processes, and most descriptors of each, that are looked through for the owner of a socket.
const MAX_PROCESSES: usize = 8192;
const MAX_DESCRIPTORS: usize = 4096;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `sizeof(struct inet_diag_req_v2)` of `linux/inet_diag.h`.
const QUESTION_BYTES: usize = 56;
/// `TCP_LISTEN`; UDP sockets that are connected to nobody are in `TCP_CLOSE`. Each a bit of a mask.
const LISTENING: u32 = 1 << 10;
const UNCONNECTED: u32 = 1 << 7;

/// A port, and the socket that has it.
#[derive(Debug, PartialEq, Eq)]
struct Listening {
    inode: u32,
    port: Port,
}

/// Every port that is listened on, those that others may reach first; and whether the kernel listed all of them.
pub(super) fn read(proc: &Path) -> io::Result<(Vec<Port>, bool)> {
    let mut netlink = Netlink::open(Some(netlink::SOCK_DIAG), LIST_DEADLINE)?;
    let mut found = Vec::new();
    let mut complete = true;
    for (protocol, number, states) in [(Protocol::Tcp, 6, LISTENING), (Protocol::Udp, 17, UNCONNECTED)] {
        for family in [2_u8, 10] {
            let mut question = vec![family, number, 0, 0];
            question.extend(states.to_ne_bytes());
            question.resize(QUESTION_BYTES, 0);
            let answer = match netlink.dump(BY_FAMILY, &question) {
                Ok(answer) => answer,
                // A kernel without IPv6 has none of its sockets.
                Err(error) if family == 10 && error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            complete &= !answer.incomplete;
            found.extend(answer.messages.iter().filter_map(|message| listening(protocol, &message.body)));
        }
    }
    let owners = owners(proc, &found);
    let mut ports = found.into_iter().map(|socket| with_program(socket, &owners)).collect::<Vec<_>>();
    ports.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
    // A server with a socket for each processor listens once.
    ports.dedup_by(|a, b| sort_key(a) == sort_key(b) && a.program == b.program);
    Ok((ports, complete))
}

fn sort_key(port: &Port) -> (bool, Protocol, u16, &str) {
    (port.local, port.protocol, port.port, port.address.raw())
}

/// `struct inet_diag_msg` of `linux/inet_diag.h`. Ports and addresses are in the order of the network.
fn listening(protocol: Protocol, message: &[u8]) -> Option<Listening> {
    let told = Bytes(message);
    let address: IpAddr = match told.u8(0)? {
        2 => told.array::<4>(8)?.into(),
        10 => told.array::<16>(8)?.into(),
        _ => return None,
    };
    let port = told.array::<2>(4).map(u16::from_be_bytes)?;
    let port = Port {
        protocol,
        port,
        local: address.to_canonical().is_loopback(),
        address: Label::cut(&address.to_string()),
        program: Label::default(),
        user_id: told.u32(64)?,
    };
    // A socket without a number is being opened or closed.
    (port.port != 0).then_some(Listening { inode: told.u32(68)?, port })
}

fn with_program(socket: Listening, owners: &BTreeMap<u32, Label>) -> Port {
    let program = owners.get(&socket.inode).cloned().unwrap_or_default();
    Port { program, ..socket.port }
}

/// The names of the programs that have the sockets, as far as their descriptors can be read.
fn owners(proc: &Path, sockets: &[Listening]) -> BTreeMap<u32, Label> {
    let mut owners = BTreeMap::new();
    // Anybody may listen on thousands of ports, with as many descriptors.
    let mut wanted = sockets.iter().map(|socket| socket.inode).collect::<BTreeSet<_>>();
    let processes = fs::read_dir(proc).into_iter().flatten().filter_map(Result::ok);
    let is_process = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    for process in processes.filter(|process| is_process(&process.file_name())).take(MAX_PROCESSES) {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().filter_map(Result::ok);
        for descriptor in descriptors.take(MAX_DESCRIPTORS) {
            let Some(inode) = fs::read_link(descriptor.path()).ok().and_then(|link| socket_inode(link.to_str()?))
            else {
                continue;
            };
            if wanted.contains(&inode)
                && let Some(name) = first_line(&process.path().join("comm"))
            {
                wanted.remove(&inode);
                owners.insert(inode, Label::cut(&name));
            }
        }
    }
    owners
}

/// `socket:[12345]` (proc_pid_fd(5)).
fn socket_inode(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn a_port_that_this_program_opens_is_listed_with_its_program() {
        let (tcp, udp) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), UdpSocket::bind("0.0.0.0:0").unwrap());
        let (ports, complete) = read(Path::new("/proc")).unwrap();
        assert!(complete);
        let find = |protocol, number| ports.iter().find(|port| port.protocol == protocol && port.port == number);
        let port = find(Protocol::Tcp, tcp.local_addr().unwrap().port()).unwrap();
        let own = first_line(Path::new("/proc/self/comm")).unwrap();
        assert_eq!((port.local, port.address.raw(), port.program.raw()), (true, "127.0.0.1", own.as_str()));
        assert!(!find(Protocol::Udp, udp.local_addr().unwrap().port()).unwrap().local);
    }

    #[test]
    fn ipv4_addresses_in_ipv6_sockets_are_known_as_this_machines_own() {
        let mut message = vec![10, 10, 0, 0, 0x01, 0xbb, 0, 0];
        message.extend("::ffff:127.0.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        message.resize(72, 0);
        let socket = listening(Protocol::Tcp, &message).unwrap();
        assert_eq!((socket.port.port, socket.port.local), (443, true));
        message.truncate(71);
        assert_eq!(listening(Protocol::Tcp, &message), None);
        assert_eq!(socket_inode("socket:[12]x"), None);
        assert_eq!(socket_inode("pipe:[12]"), None);
    }
}
