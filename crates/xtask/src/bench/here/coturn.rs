//! What a shard of the relay costs beside coturn, where that is installed: the same sender, receiver and loads, by turns.
//!
//! coturn carries packets in the cheapest way that TURN has, as ChannelData (RFC 8656 section 12.4), from a client to a peer that knows nothing
//! of TURN. It asks nobody for a password and does nothing else.

use std::{
    net::{SocketAddr, SocketAddrV4, UdpSocket},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::time::Instant;
use transport::bench::TrainSocket;

use super::{
    figures::Figure,
    relay::{LOADS, LOOPBACK, Load, Passed, ROUNDS, Runs, pass, processor_time, through_relay},
};
use crate::process::command;

const START: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(2);

/// RFC 8489 section 5.
const MAGIC_COOKIE: u32 = 0x2112_a442;

/// The first of the numbers that channels may have (RFC 8656 section 12).
const CHANNEL: u16 = 0x4000;

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let coturn = Coturn::start().context("coturn (turnserver) does not run here, and nothing was measured")?;
    let mut figures = Vec::new();
    for (load, bar) in LOADS.iter().zip(["≤ 0.2", "≤ 0.7", "≤ 0.7"]) {
        let (mut ours, mut theirs) = (Runs::default(), Runs::default());
        for round in 0..ROUNDS {
            let (by_relay, by_coturn) = (through_relay(load)?, coturn.pass(load)?);
            if round > 0 {
                ours.note(&by_relay);
                theirs.note(&by_coturn);
            }
        }
        figures.extend(ours.figures(&format!("relay, {}", load.name))?);
        figures.extend(theirs.figures(&format!("coturn, {}", load.name))?);
        let both = ours.seconds_per_gigabyte.iter().zip(&theirs.seconds_per_gigabyte);
        let ratios = both.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>();
        let name = format!("relay to coturn, {}: processor", load.name);
        figures.push(Figure::median(name, "x", &ratios)?.with_bar(bar));
    }
    Ok(figures)
}

/// A TURN server with one thread for packets.
struct Coturn {
    process: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Coturn {
    fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        // It takes no port 0.
        let address = UdpSocket::bind(LOOPBACK)?.local_addr()?;
        let mut turnserver = command("turnserver");
        turnserver
            .args(["-n", "--no-auth", "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers", "--no-stdout-log"])
            .args(["-L", "127.0.0.1", "-E", "127.0.0.1", "--relay-threads=1", "--log-file=/dev/null"])
            .arg(format!("--listening-port={}", address.port()))
            .arg(format!("--pidfile={}", dir.path().join("pid").display()));
        let process = turnserver.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let coturn = Self { process, address, _dir: dir };
        let start = Instant::now();
        while coturn.allocate().is_err() {
            ensure!(start.elapsed() < START, "it does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(coturn)
    }

    /// Asks for an allocation with a socket that is gone afterwards.
    fn allocate(&self) -> anyhow::Result<()> {
        self.ask(&UdpSocket::bind(LOOPBACK)?, &allocate())
    }

    /// The load from a client of coturn to somebody else.
    fn pass(&self, load: &Load) -> anyhow::Result<Passed> {
        let client = UdpSocket::bind(LOOPBACK)?;
        let (receiver, from) = (TrainSocket::bind(LOOPBACK)?, client.local_addr()?);
        let SocketAddr::V4(peer) = receiver.local_addr()? else { bail!("loopback is IPv4 here") };
        self.ask(&client, &allocate())?;
        self.ask(&client, &bind_channel(peer))?;
        drop(client);
        let sender = TrainSocket::bind(from)?;
        // Their headers are shorter than ours: packets are of the same size.
        let bytes = u16::try_from(load.packet_bytes - 4)?;
        let header = [CHANNEL.to_be_bytes(), bytes.to_be_bytes()].concat();
        let offer = load.behind(&sender, &[header], None);
        let id = self.process.id().to_string();
        pass(&offer, sender, receiver, self.address, &|| processor_time(&id, |_| true))
    }

    fn ask(&self, client: &UdpSocket, request: &[u8]) -> anyhow::Result<()> {
        client.set_read_timeout(Some(ANSWER))?;
        client.send_to(request, self.address)?;
        let mut answer = [0; 2048];
        let (length, _) = client.recv_from(&mut answer)?;
        // RFC 8489 section 5: the class is in two bits of the type.
        let succeeded = length >= 20 && u16::from_be_bytes([answer[0], answer[1]]) & 0x0110 == 0x0100;
        ensure!(succeeded, "coturn refuses: {:02x?}", &answer[..length]);
        Ok(())
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // It has ended already, then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks for a relayed UDP address (RFC 8656 section 7).
fn allocate() -> Vec<u8> {
    const REQUESTED_TRANSPORT: u16 = 0x0019;
    request(0x0003, &[(REQUESTED_TRANSPORT, [17, 0, 0, 0].to_vec())])
}

/// Asks for a channel to a peer (RFC 8656 section 12).
fn bind_channel(peer: SocketAddrV4) -> Vec<u8> {
    const CHANNEL_NUMBER: u16 = 0x000c;
    const XOR_PEER_ADDRESS: u16 = 0x0012;
    let number = [CHANNEL.to_be_bytes(), [0; 2]].concat();
    let port = peer.port() ^ u16::from_be_bytes([0x21, 0x12]);
    let ip = u32::from(*peer.ip()) ^ MAGIC_COOKIE;
    let address = [&[0, 1][..], &port.to_be_bytes(), &ip.to_be_bytes()].concat();
    request(0x0009, &[(CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, address)])
}

/// A STUN request (RFC 8489 sections 5 and 14). Values are multiples of four bytes here.
fn request(method: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        let length = u8::try_from(value.len()).unwrap_or(u8::MAX);
        body.extend(kind.to_be_bytes());
        body.extend([0, length]);
        body.extend(value);
    }
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    let head = [&method.to_be_bytes()[..], &[0, length], &MAGIC_COOKIE.to_be_bytes(), b"twelve bytes"].concat();
    [head, body].concat()
}
