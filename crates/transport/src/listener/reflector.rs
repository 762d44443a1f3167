//! The relay's second UDP port: it tells whoever asks from where a packet came, and nothing else.
//!
//! For programs that find out what their network allows ([`crate::node::netcheck`]). It has a socket and a task of its own, so that
//! nothing of it touches what the shards do. Answers are as long as questions ([`wire::reflect`]), and an address gets few: its
//! sender may be forged.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use quinn::udp::Transmit;
use wire::{
    reflect::{REFLECT_MOST, reflect},
    time::Moment,
};

use crate::{
    clock,
    udp::{Inbox, Offloading, UdpIo},
};

/// Answers that one address gets at once: a program that looks for the largest packet that passes sends up to a hundred.
const BURST: u32 = 128;

/// Time until it gets one more.
const EVERY: Duration = Duration::from_millis(100);

/// Addresses that are counted at once. Further ones get no answer until one of these has all its answers back: about 100 KiB.
const ADDRESSES: usize = 2048;

/// Answers to everybody at once, and time until there is one more: 1000 a second, 12 Mbit/s if all of them are long.
const BURST_OF_ALL: u32 = 500;
const EVERY_OF_ALL: Duration = Duration::from_millis(1);

/// Packets taken from the kernel at once.
const TRAINS: usize = 4;

/// A bound reflector. It answers while [`Reflector::run`] is polled.
#[derive(Debug)]
pub struct Reflector {
    io: UdpIo,
    limits: Limits,
}

impl Reflector {
    /// Binds to `address`, any free port if its port is zero. An unspecified IPv6 address takes IPv4 as well. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { io: UdpIo::bind(address, Offloading::WhereAvailable)?, limits: Limits::default() })
    }

    /// The port that it is bound to.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn port(&self) -> io::Result<NonZeroU16> {
        NonZeroU16::new(self.io.local_addr()?.port()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Answers for ever.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends it; nothing is kept.
    pub async fn run(mut self) {
        let mut inbox = self.io.inbox(TRAINS);
        loop {
            poll_fn(|cx| self.io.poll_fill(cx, &mut inbox)).await;
            self.answer_all(&mut inbox);
            // Under a flood the programs that share this thread get their turn as well.
            tokio::task::yield_now().await;
        }
    }

    fn answer_all(&mut self, inbox: &mut Inbox) {
        let now = clock::now();
        let mut answer = [0; REFLECT_MOST];
        while let Some(received) = inbox.next(|_| 1) {
            let (from, bytes) = (received.from, received.run.bytes);
            let Some(answer) = answer.get_mut(..bytes.len()) else { continue };
            answer.copy_from_slice(bytes);
            if !reflect(answer, from) || !self.limits.allow(from.ip(), now) {
                continue;
            }
            // What the kernel does not take is asked for again.
            self.io.try_send(&Transmit {
                destination: from,
                ecn: None,
                contents: answer,
                segment_size: None,
                // From the address that was asked, where this host has several.
                src_ip: received.meta.dst_ip.filter(|own| own.to_canonical().is_ipv4() == from.is_ipv4()),
            });
        }
    }
}

/// An address as far as one subscriber has it: all of IPv4, the /64 of IPv6.
fn subscriber(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

/// Who has had how many answers: for each, the moment at which all are back (generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Default)]
struct Limits {
    addresses: BTreeMap<u128, Moment>,
    all: Moment,
}

impl Limits {
    fn allow(&mut self, from: IpAddr, now: Moment) -> bool {
        let key = subscriber(from);
        if self.addresses.len() >= ADDRESSES && !self.addresses.contains_key(&key) {
            self.addresses.retain(|_, full_at| *full_at > now);
            if self.addresses.len() >= ADDRESSES {
                return false;
            }
        }
        if !allows(self.all, (BURST_OF_ALL, EVERY_OF_ALL), now) {
            return false;
        }
        let own = self.addresses.entry(key).or_default();
        let allowed = allows(*own, (BURST, EVERY), now);
        if allowed {
            *own = (*own).max(now) + EVERY;
            self.all = self.all.max(now) + EVERY_OF_ALL;
        }
        allowed
    }
}

fn allows(full_at: Moment, (burst, every): (u32, Duration), now: Moment) -> bool {
    full_at.saturating_since(now) + every <= every * burst
}

#[cfg(test)]
mod tests {
    use std::{future::Future, net::Ipv4Addr, pin::pin, task::Context};

    use futures_util::task::noop_waker_ref;
    use tokio::net::UdpSocket;
    use wire::reflect::{REFLECT_LEAST, Reflection, reflect_probe};

    use super::*;

    const START: Moment = Moment::from_origin(Duration::from_secs(1000));

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn an_address_gets_its_burst_and_then_its_rate() {
        let mut limits = Limits::default();
        assert_eq!((0..1000).filter(|_| limits.allow(ip(1), START)).count(), 128);
        assert!(limits.allow(ip(2), START), "others are not held up");
        assert!(!limits.allow(ip(1), START + EVERY / 2));
        assert!(limits.allow(ip(1), START + EVERY) && !limits.allow(ip(1), START + EVERY));
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let mut limits = Limits::default();
        let of = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        assert_eq!((0..1000).filter(|host| limits.allow(of(*host), START)).count(), 128);
        assert!(limits.allow("2001:db8:0:2::1".parse().unwrap(), START));
    }

    #[test]
    fn many_addresses_get_no_more_together_and_fill_no_memory() {
        let mut limits = Limits::default();
        assert_eq!((0..10_000).filter(|number| limits.allow(ip(*number), START)).count(), 500);
        let mut now = START;
        for number in 0..100_000 {
            now = now + EVERY_OF_ALL;
            limits.allow(ip(number), now);
            assert!(limits.addresses.len() <= ADDRESSES);
        }
        assert!(limits.allow(ip(7_000_000), now + EVERY), "those who were counted are forgotten");
    }

    #[tokio::test]
    async fn a_probe_comes_back_as_long_as_it_was_and_nothing_else_comes_back() {
        for (bound, client) in [("127.0.0.1:0", "127.0.0.1:0"), ("[::]:0", "127.0.0.1:0"), ("[::]:0", "[::1]:0")] {
            let reflector = Reflector::bind(bound.parse().unwrap()).unwrap();
            let client = UdpSocket::bind(client).await.unwrap();
            let own = client.local_addr().unwrap();
            client.connect((own.ip(), reflector.port().unwrap().get())).await.unwrap();
            let mut running = pin!(reflector.run());

            client.send(&[0x40; 100]).await.unwrap();
            client.send(&reflect_probe([1; 16], 0)[..REFLECT_LEAST - 1]).await.unwrap();
            for length in [REFLECT_LEAST, 1200] {
                client.send(&reflect_probe([7; 16], length)).await.unwrap();
                let mut buffer = [0; 2048];
                let received = tokio::select! {
                    () = &mut running => unreachable!("it runs for ever"),
                    received = client.recv(&mut buffer) => received.unwrap(),
                };
                let reflection = Reflection::parse(&buffer[..received]).unwrap();
                assert_eq!(reflection, Reflection { nonce: [7; 16], seen_as: own, length });
            }
            // It was answered in order, so nothing else is on its way.
            assert!(running.as_mut().poll(&mut Context::from_waker(noop_waker_ref())).is_pending());
            assert!(client.try_recv(&mut [0; 2048]).is_err());
        }
    }
}
