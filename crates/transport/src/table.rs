//! Which session a channel belongs to, and by which path its packets go.
//!
//! Plain data under one lock, taken once for each batch of packets. A process has one session, rarely a few, so searching is
//! faster than hashing.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use quinn::udp::EcnCodepoint;
use rand_core::{OsRng, RngCore};
use wire::{channel::ChannelId, control::FirstFlight};

use crate::{
    address::{Label, PipeKey, Place, SessionKey},
    paths::{Outward, PathId, Paths},
    sealed::Carrier,
};

/// Sessions of one process at a time. A fuller table means that something keeps opening them.
const SESSIONS: usize = 64;

/// Real addresses of the relay that are remembered. Names rarely have more than a handful; the oldest gives way.
const RELAY_ADDRESSES: usize = 16;

/// Stands in place of an address of the relay that is no more. Nothing comes from it.
const VACANT: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Packets that are kept although their channel is not known yet.
///
/// The relay tells both sides of a channel at the same time, so the technician's first packets (a `ClientHello` is two) may
/// arrive before the agent has read that the channel stands. Without this they would be lost and sent again 300 ms later.
const PARKED: usize = 8;

/// How long such packets are worth delivering.
const PARKED_FOR: Duration = Duration::from_secs(1);

/// A packet was sent so long ago, and nothing was heard since: the path is worth a question. More than the longest delay of
/// an acknowledgement and a slow path's round trip.
const SILENCE: Duration = Duration::from_secs(2);

/// Time since the socket was made.
pub(crate) type Uptime = Duration;

/// Which end of a session this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// QUIC server.
    Agent,
    /// QUIC client.
    Technician,
}

#[derive(Debug)]
struct Session {
    key: SessionKey,
    paths: Paths,
    /// Both ends know who the other is: the session can find together again on another channel.
    paired: bool,
    /// The connection was dropped here; its last packets still go out and its peer's are still answered.
    over: bool,
    /// When the first packet was sent after the last that was heard.
    unanswered_since: Option<Uptime>,
    /// What was sent before there was a channel.
    held: Vec<Vec<u8>>,
}

/// A packet whose channel was not known when it came.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) channel: ChannelId,
    at: Uptime,
    pub(crate) ecn: Option<EcnCodepoint>,
    /// The packet with its header.
    pub(crate) packet: Vec<u8>,
}

/// A session's path, as a packet names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) key: SessionKey,
    pub(crate) path: PathId,
}

/// Why a session could not be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EnterError {
    Full,
    ChannelInUse,
    UnknownSession,
}

/// Everything that the socket must know of relay and sessions.
#[derive(Debug, Default)]
pub(crate) struct Table {
    relay: Vec<SocketAddr>,
    /// The address that the control connection stands on; data is taken from and sent to this one alone.
    live: Option<u16>,
    /// Round trip to it when the connection came to stand.
    relay_rtt: Duration,
    sessions: Vec<Session>,
    next_key: u32,
    parked: VecDeque<Parked>,
    /// Parked packets whose channel has become known.
    deliverable: VecDeque<Parked>,
    control_heard: u64,
}

impl Table {
    /// Remembers a real address of the relay (canonical) and returns what quinn shall call it.
    pub(crate) fn relay_place(&mut self, address: SocketAddr) -> Place {
        let known = self.relay.iter().position(|known| *known == address);
        let known = known.or_else(|| {
            let vacant = self.relay.iter().position(|known| *known == VACANT)?;
            self.relay[vacant] = address;
            Some(vacant)
        });
        let index = known.unwrap_or_else(|| {
            if self.relay.len() < RELAY_ADDRESSES {
                self.relay.push(address);
                return self.relay.len() - 1;
            }
            let oldest = (0..RELAY_ADDRESSES).find(|index| self.live != u16::try_from(*index).ok()).unwrap_or(0);
            self.relay[oldest] = address;
            oldest
        });
        Place::Relay(u16::try_from(index).expect("fewer than RELAY_ADDRESSES"))
    }

    /// Forgets an address of the relay that stood for a pipe and will never come again.
    pub(crate) fn forget_relay(&mut self, address: SocketAddr) {
        for known in self.relay.iter_mut().filter(|known| **known == address) {
            *known = VACANT;
        }
    }

    /// From here on data goes by the relay at `place`.
    pub(crate) fn set_live(&mut self, place: Option<Place>) {
        self.live = match place {
            Some(Place::Relay(index)) => Some(index),
            Some(Place::Session(..)) | None => None,
        };
    }

    /// The round trip to the relay, as measured when its connection came to stand. Zero if there was none yet.
    pub(crate) fn relay_rtt(&self) -> Duration {
        self.relay_rtt
    }

    pub(crate) fn set_relay_rtt(&mut self, rtt: Duration) {
        self.relay_rtt = rtt;
    }

    /// What quinn calls a real address, if it is one of the relay's.
    pub(crate) fn relay_label(&mut self, from: SocketAddr) -> Option<SocketAddr> {
        let index = self.relay.iter().position(|known| *known == from)?;
        self.control_heard += 1;
        Some(Place::Relay(u16::try_from(index).ok()?).address())
    }

    /// The real address of the relay that quinn means.
    pub(crate) fn relay_address(&self, index: u16) -> Option<SocketAddr> {
        self.relay.get(usize::from(index)).copied().filter(|address| *address != VACANT)
    }

    /// Whether data may come from this address.
    pub(crate) fn is_live_relay(&self, from: SocketAddr) -> bool {
        self.live_relay() == Some(from)
    }

    /// Whether the relay is reached by a pipe at present.
    pub(crate) fn is_live_by_pipe(&self) -> bool {
        self.live_relay().and_then(PipeKey::of).is_some()
    }

    /// Counts control packets; a change means that the relay answers.
    pub(crate) fn control_heard(&self) -> u64 {
        self.control_heard
    }

    /// Enters a session that starts on `channel`.
    pub(crate) fn open(&mut self, end: End, channel: ChannelId, now: Uptime) -> Result<SessionKey, EnterError> {
        let key = self.enter(end)?;
        self.start_on(key, channel, now).inspect_err(|_| self.remove(key))?;
        Ok(key)
    }

    /// Enters a session whose channel is not known yet. What it sends is held until it is, as far as it is a first flight.
    pub(crate) fn enter(&mut self, end: End) -> Result<SessionKey, EnterError> {
        if self.sessions.len() >= SESSIONS {
            let over = self.sessions.iter().position(|session| session.over).ok_or(EnterError::Full)?;
            self.sessions.remove(over);
        }
        let key = SessionKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        let paths = Paths::new(end);
        let held = Vec::new();
        self.sessions.push(Session { key, paths, paired: false, over: false, unanswered_since: None, held });
        Ok(key)
    }

    /// Gives a session its first channel.
    pub(crate) fn start_on(&mut self, key: SessionKey, channel: ChannelId, now: Uptime) -> Result<(), EnterError> {
        let taken = self.sessions.iter().any(|session| session.paths.uses(channel) && !session.over);
        if channel.pair().is_some() || taken {
            return Err(EnterError::ChannelInUse);
        }
        self.sessions.retain(|session| !session.paths.uses(channel));
        self.add(key, channel, now)
    }

    /// Holds packets of a session that has no channel yet. False if it has had one, or holds a first flight already.
    pub(crate) fn hold<'a>(&mut self, key: SessionKey, packets: impl Iterator<Item = &'a [u8]>) -> bool {
        let Some(session) = self.session_mut(key).filter(|session| session.paths.is_new()) else { return false };
        let room = FirstFlight::PACKETS.saturating_sub(session.held.len());
        let before = session.held.len();
        session.held.extend(packets.take(room).map(<[u8]>::to_vec));
        session.held.len() > before
    }

    /// Takes what is held.
    pub(crate) fn take_held(&mut self, key: SessionKey) -> Vec<Vec<u8>> {
        self.session_mut(key).map(|session| std::mem::take(&mut session.held)).unwrap_or_default()
    }

    /// The paths of a session.
    pub(crate) fn paths(&mut self, key: SessionKey) -> Option<&mut Paths> {
        self.session_mut(key).map(|session| &mut session.paths)
    }

    /// Moves a session to another channel: there once both ends have found that it works.
    pub(crate) fn move_to(&mut self, key: SessionKey, channel: ChannelId, now: Uptime) -> Result<(), EnterError> {
        self.may_have(key, channel)?.paths.move_to(Carrier::Relayed, channel, now, OsRng.next_u64());
        self.deliver(channel, now);
        Ok(())
    }

    /// Gives a session another channel beside those that it has.
    pub(crate) fn add(&mut self, key: SessionKey, channel: ChannelId, now: Uptime) -> Result<(), EnterError> {
        self.may_have(key, channel)?.paths.add(Carrier::Relayed, channel, now, OsRng.next_u64());
        self.deliver(channel, now);
        Ok(())
    }

    fn may_have(&mut self, key: SessionKey, channel: ChannelId) -> Result<&mut Session, EnterError> {
        // No honest relay names a direct path.
        let others = self.sessions.iter().any(|session| session.paths.uses(channel) && session.key != key);
        if channel.pair().is_some() || others {
            return Err(EnterError::ChannelInUse);
        }
        self.session_mut(key).filter(|session| !session.over).ok_or(EnterError::UnknownSession)
    }

    /// The session's connection was dropped on this side.
    pub(crate) fn over(&mut self, key: SessionKey) {
        if let Some(session) = self.session_mut(key) {
            session.over = true;
        }
    }

    /// The session's packets are for nobody from here on.
    pub(crate) fn remove(&mut self, key: SessionKey) {
        self.sessions.retain(|session| session.key != key);
    }

    /// The channel is gone. A session that has no other is cut off until it is moved.
    pub(crate) fn forget(&mut self, channel: ChannelId) {
        for session in &mut self.sessions {
            session.paths.forget(channel);
        }
        self.sessions.retain(|session| !session.over || !session.paths.is_cut_off());
        self.parked.retain(|parked| parked.channel != channel);
    }

    /// The session that a direct path's channel belongs to, whichever path it is.
    pub(crate) fn direct_paths(&mut self, channel: ChannelId) -> Option<&mut Paths> {
        let generation = channel.generation();
        let session = self.sessions.iter_mut().find(|session| session.paths.direct_generation() == Some(generation));
        session.map(|session| &mut session.paths)
    }

    /// Whether packets of a channel may come from an address: the relay's from the relay, a direct path's from the one address that was
    /// shown to be the other end's.
    pub(crate) fn may_send(&self, from: SocketAddr, channel: ChannelId) -> bool {
        match channel.pair() {
            None => self.is_live_relay(from),
            Some(_) => self.sessions.iter().any(|session| session.paths.find_direct(channel, from).is_some()),
        }
    }

    /// Whose packet one of this channel is. `None`: nobody here has to do with it.
    pub(crate) fn arrival(&mut self, channel: ChannelId) -> Option<Arrival> {
        self.sessions.iter_mut().find_map(|session| {
            let path = session.paths.find(channel)?;
            session.unanswered_since = None;
            Some(Arrival { key: session.key, path })
        })
    }

    /// What quinn calls the other end of a session.
    pub(crate) fn session_address(&mut self, key: SessionKey) -> Option<SocketAddr> {
        Some(Place::Session(key, self.paths(key)?.label()).address())
    }

    /// Where a packet to the other end of a session goes.
    pub(crate) fn session_route(&mut self, key: SessionKey, label: Label, now: Uptime) -> Option<Outward> {
        let session = self.session_mut(key)?;
        let route = session.paths.route(label, now)?;
        session.unanswered_since.get_or_insert(now);
        Some(route)
    }

    /// The real address that relayed packets go to.
    pub(crate) fn live_relay(&self) -> Option<SocketAddr> {
        self.live.and_then(|index| self.relay_address(index))
    }

    /// Keeps a packet whose channel is not known, for a moment.
    pub(crate) fn park(&mut self, channel: ChannelId, ecn: Option<EcnCodepoint>, packet: Vec<u8>, now: Uptime) {
        if self.parked.len() >= PARKED {
            self.parked.pop_front();
        }
        self.parked.push_back(Parked { channel, at: now, ecn, packet });
    }

    /// Takes a packet that came before its channel was known.
    pub(crate) fn next_parked(&mut self) -> Option<Parked> {
        self.deliverable.pop_front()
    }

    /// Whether a session under way is on this channel.
    pub(crate) fn has_session_on(&self, channel: ChannelId) -> bool {
        self.sessions.iter().any(|session| session.paths.uses(channel) && !session.over)
    }

    /// Whether any session is under way.
    pub(crate) fn any_session(&self) -> bool {
        self.sessions.iter().any(|session| !session.over)
    }

    /// Both ends of a session know who the other is.
    pub(crate) fn paired(&mut self, key: SessionKey) {
        if let Some(session) = self.session_mut(key) {
            session.paired = true;
        }
    }

    /// Whether there are sessions, and all of them survive a new control connection.
    pub(crate) fn all_paired(&self) -> bool {
        self.any_session() && self.sessions.iter().all(|session| session.over || session.paired)
    }

    /// This machine stood still for a while.
    pub(crate) fn woke(&mut self, now: Uptime) {
        for session in self.sessions.iter_mut().filter(|session| !session.over) {
            session.paths.woke(now);
        }
    }

    /// From when on some session that sends has heard nothing for too long, if it goes on like that: the relay may be gone without a word.
    pub(crate) fn silent_at(&self) -> Option<Uptime> {
        let waiting =
            self.sessions.iter().filter(|session| !session.over).filter_map(|session| session.unanswered_since);
        waiting.min().map(|since| since + SILENCE)
    }

    fn deliver(&mut self, channel: ChannelId, now: Uptime) {
        let (known, unknown) = self.parked.drain(..).partition(|parked| parked.channel == channel);
        self.parked = unknown;
        let known: VecDeque<Parked> = known;
        let fresh = known.into_iter().filter(|parked| now.saturating_sub(parked.at) < PARKED_FOR);
        self.deliverable.extend(fresh);
    }

    fn session_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Uptime = Uptime::from_secs(100);

    fn channel(slot: u32) -> ChannelId {
        ChannelId::new(slot, 7).unwrap()
    }

    fn connected() -> Table {
        let mut table = Table::default();
        let place = table.relay_place("192.0.2.1:4433".parse().unwrap());
        table.set_live(Some(place));
        table
    }

    #[test]
    fn a_session_whose_channel_is_gone_can_be_moved() {
        let mut table = connected();
        let key = table.open(End::Agent, channel(1), NOW).unwrap();
        table.forget(channel(1));
        assert_eq!(table.arrival(channel(1)), None);
        assert_eq!(table.session_route(key, Label::FIRST, NOW), None);
        table.move_to(key, channel(2), NOW).unwrap();
        assert_eq!(table.arrival(channel(2)).map(|arrival| arrival.key), Some(key));
    }

    #[test]
    fn an_early_packet_waits_a_moment_for_its_channel() {
        let mut table = connected();
        table.park(channel(1), None, vec![1], NOW);
        table.park(channel(2), None, vec![2], NOW);
        table.open(End::Agent, channel(1), NOW + PARKED_FOR / 2).unwrap();
        assert_eq!(table.next_parked().unwrap().packet, [1]);
        assert!(table.next_parked().is_none());

        table.open(End::Agent, channel(2), NOW + PARKED_FOR).unwrap();
        assert!(table.next_parked().is_none(), "too late to be worth anything");
    }

    #[test]
    fn only_so_many_early_packets_are_kept() {
        let mut table = connected();
        for index in 0..=u8::try_from(PARKED).unwrap() {
            table.park(channel(1), None, vec![index], NOW);
        }
        table.open(End::Agent, channel(1), NOW).unwrap();
        let kept = std::iter::from_fn(|| table.next_parked()).map(|parked| parked.packet[0]).collect::<Vec<_>>();
        assert_eq!(kept, (1..=u8::try_from(PARKED).unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn a_channel_carries_one_session() {
        let mut table = connected();
        let key = table.open(End::Agent, channel(1), NOW).unwrap();
        assert_eq!(table.open(End::Agent, channel(1), NOW), Err(EnterError::ChannelInUse));
        let other = table.open(End::Agent, channel(2), NOW).unwrap();
        assert_eq!(table.move_to(other, channel(1), NOW), Err(EnterError::ChannelInUse));
        table.over(key);
        assert!(table.open(End::Agent, channel(1), NOW).is_ok(), "the earlier one is over");
    }

    #[test]
    fn a_relay_cannot_pass_a_channel_off_as_a_direct_path() {
        let mut table = connected();
        let direct = ChannelId::direct(0, 7);
        assert_eq!(table.open(End::Agent, direct, NOW), Err(EnterError::ChannelInUse));
        let key = table.open(End::Agent, channel(1), NOW).unwrap();
        assert_eq!(table.move_to(key, direct, NOW), Err(EnterError::ChannelInUse));
        assert_eq!(table.add(key, direct, NOW), Err(EnterError::ChannelInUse));
        let relay = "192.0.2.1:4433".parse().unwrap();
        assert!(table.may_send(relay, channel(1)) && !table.may_send(relay, direct));
        assert!(!table.may_send("192.0.2.9:1".parse().unwrap(), channel(1)));
    }

    #[test]
    fn a_full_table_gives_way_to_nothing_but_what_is_over() {
        let mut table = connected();
        let slots = u32::try_from(SESSIONS).unwrap();
        let keys = (0..slots).map(|slot| table.open(End::Agent, channel(slot), NOW).unwrap()).collect::<Vec<_>>();
        assert_eq!(table.open(End::Agent, channel(slots), NOW), Err(EnterError::Full));
        table.over(keys[3]);
        assert!(table.open(End::Agent, channel(slots), NOW).is_ok());
        assert_eq!(table.arrival(channel(3)), None);
    }

    #[test]
    fn silence_is_what_follows_a_packet_that_nobody_answers() {
        let mut table = connected();
        let key = table.open(End::Technician, channel(1), NOW).unwrap();
        assert_eq!(table.silent_at(), None, "nothing was sent, so nothing is due");
        table.session_route(key, Label::FIRST, NOW);
        table.session_route(key, Label::FIRST, NOW + SILENCE / 2);
        assert_eq!(table.silent_at(), Some(NOW + SILENCE));
        table.arrival(channel(1));
        assert_eq!(table.silent_at(), None);
    }

    #[test]
    fn data_is_taken_from_the_live_address_of_the_relay_alone() {
        let mut table = connected();
        let other = "192.0.2.2:4433".parse().unwrap();
        table.relay_place(other);
        assert!(table.is_live_relay("192.0.2.1:4433".parse().unwrap()));
        assert!(!table.is_live_relay(other));
        table.set_live(None);
        assert!(!table.is_live_relay("192.0.2.1:4433".parse().unwrap()));
    }

    #[test]
    fn a_pipe_that_is_gone_leaves_its_place_to_the_next() {
        let mut table = connected();
        let keys = crate::address::PipeKeys::default();
        for _ in 0..3 * RELAY_ADDRESSES {
            let pipe = keys.next().address();
            let place = table.relay_place(pipe);
            table.set_live(Some(place));
            assert!(table.is_live_by_pipe() && table.is_live_relay(pipe));
            table.forget_relay(pipe);
            assert!(!table.is_live_by_pipe() && table.relay_label(pipe).is_none());
        }
        assert_eq!(table.relay.len(), 2);
    }

    #[test]
    fn the_live_address_is_never_given_up_for_a_new_one() {
        let mut table = connected();
        for last in 2..100u8 {
            table.relay_place(SocketAddr::from(([192, 0, 2, last], 4433)));
        }
        assert!(table.is_live_relay("192.0.2.1:4433".parse().unwrap()));
        assert_eq!(table.relay.len(), RELAY_ADDRESSES);
    }
}
