//! One control connection.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::{
    Connection, ConnectionEvent, ConnectionHandle, Dir, Endpoint, Event, StreamEvent, StreamId, Transmit, VarInt,
    WriteError,
};
use wire::{
    codec::{self, Message as _},
    control::{FromRelay, ToRelay},
    text::Label,
};

use super::super::{
    frames::{Frames, Heard},
    peer::{Farewell, PeerEnd, PeerEvent, PeerId},
};
use crate::{
    address::{PipeKey, canonical},
    tls,
};

/// A client that does not take a few bytes for so long is of no use.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// What may wait to be taken by a client: a technician for each of the tries that a locator has, all with the largest first flight, and as much
/// again. An honest one is sent a handful of small messages.
const UNSENT_BYTES: usize = 8 * FromRelay::MAX_BYTES;

/// Messages read from one client before others have their turn.
const MESSAGES_AT_ONCE: usize = 16;

/// What may go to addresses that are not proved, beyond three times what was heard: four honest moves that begin with a tiny packet.
const UNPROVED_BYTES: usize = 4 * 1200;

/// For how long that has to do.
const UNPROVED_PERIOD: Duration = Duration::from_secs(60);

/// What the listener has of a client.
pub(super) struct Client {
    pub(super) id: PeerId,
    connection: Connection,
    state: State,
    /// The client opens it with its first message.
    stream: Option<StreamId>,
    frames: Frames,
    /// What the connection has not taken yet.
    unsent: Vec<u8>,
    /// Since when it waits; see [`SEND_WITHIN`].
    slow_at: Option<Instant>,
    /// Where the client has proved to be.
    address: SocketAddr,
    /// Where it really was when it came.
    pub(super) came_from: SocketAddr,
    /// The pipe that it came by.
    pub(super) came_by: Option<PipeKey>,
    moving: Option<Moving>,
    /// Its last move waits to be told. Where it moved to is said when that is done: a client that moves on and on has one event waiting.
    move_waits: bool,
    unproved: Unproved,
    /// When its timer is set for.
    pub(super) wakes_at: Option<Instant>,
    /// It is on the list of those that something happened to.
    pub(super) stirred: bool,
    /// Reading stopped before the client had nothing more to say.
    pub(super) may_have_unread: bool,
    /// It is on the list of those.
    pub(super) listed_unread: bool,
}

enum State {
    /// Until then.
    Handshaking(Instant),
    Open,
    /// Will be closed then, if the client does not do it before.
    Leaving(Instant, Farewell),
    /// Is over; quinn answers what still comes for a while. `true`: it was open before.
    Over(bool),
}

/// An address that packets of the client came from and that it has not proved to be its own.
///
/// RFC 9000 section 9.3: packets from a new address may have been sent by anybody who has seen them, and a client may write
/// whatever it likes as their sender. quinn speaks with the new address at once, at most three times what came from there, and does
/// not say when the address is validated. It does say how many challenges and responses there were: every packet to an address
/// that is not validated carries a PATH_CHALLENGE, so one without tells that the address is.
struct Moving {
    to: SocketAddr,
    /// PATH_RESPONSE frames that were received and looked at.
    responses: u64,
    /// One of them came after the address did.
    answered: bool,
    proved: bool,
}

/// What was heard from and sent to addresses that the client had not proved, during some time.
///
/// RFC 9000 section 8.1 allows three times what was heard. quinn ends the packet that it has begun, and begins anew with each change of
/// address: a client that changes all the time could have 1200 bytes sent to somebody else for 40 of its own.
struct Unproved {
    until: Instant,
    heard: usize,
    sent: usize,
}

impl Unproved {
    fn new(until: Instant) -> Self {
        Self { until, heard: 0, sent: 0 }
    }
}

/// What came of passing a connection's wishes on to the endpoint.
pub(super) enum PassedOn {
    Nothing,
    /// The connection may have more to do.
    Answered,
    /// The connection is to be forgotten.
    Drained,
}

/// Takes events.
type Tell<'a> = &'a mut dyn FnMut(PeerEvent);

impl Client {
    pub(super) fn new(id: PeerId, connection: Connection, came_from: SocketAddr, handshake_until: Instant) -> Self {
        let address = canonical(connection.remote_address());
        Self {
            id,
            address,
            came_from,
            came_by: PipeKey::of(address),
            connection,
            state: State::Handshaking(handshake_until),
            stream: None,
            frames: Frames::default(),
            unsent: Vec::new(),
            slow_at: None,
            moving: None,
            move_waits: false,
            unproved: Unproved::new(handshake_until),
            wakes_at: None,
            stirred: false,
            may_have_unread: false,
            listed_unread: false,
        }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking(_))
    }

    /// Whether its end was told, or never will be.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Whether its handshake was done, once it is over.
    pub(super) fn was_welcomed(&self) -> bool {
        match self.state {
            State::Handshaking(_) => false,
            State::Open | State::Leaving(..) => true,
            State::Over(was_open) => was_open,
        }
    }

    /// Takes a datagram of so many bytes.
    pub(super) fn handle_event(&mut self, event: ConnectionEvent, bytes: usize, now: Instant) {
        self.connection.handle_event(event);
        let at = canonical(self.connection.remote_address());
        // quinn takes nothing from elsewhere before the handshake is done, and anything from the next packet on. By its own word, not by
        // ours: what follows in the same batch comes before we have heard of it.
        if at == self.address || self.connection.is_handshaking() {
            self.moving = None;
        } else if self.moving.as_ref().is_none_or(|moving| moving.to != at) {
            let responses = self.connection.stats().frame_rx.path_response;
            self.moving = Some(Moving { to: at, responses, answered: false, proved: false });
        }
        if self.moving.is_some() {
            if now >= self.unproved.until {
                self.unproved = Unproved::new(now + UNPROVED_PERIOD);
            }
            self.unproved.heard += bytes;
        }
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let own = match &self.state {
            State::Handshaking(until) | State::Leaving(until, _) => Some(*until),
            State::Open => self.slow_at,
            State::Over(_) => None,
        };
        own.into_iter().chain(self.connection.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
    }

    pub(super) fn tell(&mut self, message: &FromRelay, now: Instant) {
        // Our own messages fit their limit.
        let Ok(frame) = codec::frame(message) else { return };
        if self.stream.is_some() && matches!(self.state, State::Open) {
            self.unsent.extend_from_slice(&frame);
            self.slow_at.get_or_insert(now + SEND_WITHIN);
        }
    }

    pub(super) fn leave(&mut self, farewell: Farewell, now: Instant) {
        match self.state {
            State::Open => self.state = State::Leaving(now + farewell.linger, farewell),
            // A shorter farewell comes before a longer one.
            State::Leaving(until, _) if now + farewell.linger < until => {
                self.state = State::Leaving(now + farewell.linger, farewell);
            }
            State::Handshaking(_) => self.close(farewell.code, &farewell.reason, now),
            State::Leaving(..) | State::Over(_) => {}
        }
    }

    /// The pipe at `address` is gone. Unless the client has moved since, it is gone with it.
    pub(super) fn lose(&mut self, address: SocketAddr, now: Instant, tell: Tell<'_>) {
        if self.address != address {
            return;
        }
        match self.state {
            // It is over at the next look, and counted then.
            State::Handshaking(_) => self.state = State::Handshaking(now),
            State::Open | State::Leaving(..) => {
                self.close(0, &Label::cut(""), now);
                tell(PeerEvent::Ended { peer: self.id, why: PeerEnd::Gone });
            }
            State::Over(_) => {}
        }
    }

    /// Does what follows from packets, orders and time.
    pub(super) fn go_on(&mut self, may_read: bool, now: Instant, tell: Tell<'_>) {
        while let Some(event) = self.connection.poll() {
            self.hear(event, tell);
        }
        if let Err(why) = self.read(may_read, tell).and_then(|()| self.write(now)) {
            let reason = if why == PeerEnd::ByPeer { Label::cut("") } else { Label::cut(&why.to_string()) };
            self.close(0, &reason, now);
            tell(PeerEvent::Ended { peer: self.id, why });
        }
    }

    fn hear(&mut self, event: Event, tell: Tell<'_>) {
        match event {
            Event::Connected => {
                self.state = State::Open;
                // A finished handshake proves the address that it began at (RFC 9000 section 8.1), which need not be the last one heard from.
                let identity = self.connection.crypto_session().peer_identity().and_then(tls::read_identity);
                let agent = identity.map(|key| key.agent_id());
                tell(PeerEvent::Connected { peer: self.id, address: self.address, client: self.came_from, agent });
            }
            Event::ConnectionLost { reason } => {
                let was_over = matches!(self.state, State::Over(_));
                self.state = State::Over(self.was_welcomed());
                if !was_over && self.was_welcomed() {
                    tell(PeerEvent::Ended { peer: self.id, why: reason.into() });
                }
            }
            Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                if self.stream.is_none() {
                    self.stream = self.connection.streams().accept(Dir::Bi);
                }
                self.may_have_unread = true;
            }
            Event::Stream(StreamEvent::Readable { .. }) => self.may_have_unread = true,
            Event::Stream(
                StreamEvent::Opened { dir: Dir::Uni }
                | StreamEvent::Writable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Stopped { .. }
                | StreamEvent::Available { .. },
            )
            | Event::HandshakeDataReady
            | Event::DatagramReceived
            | Event::DatagramsUnblocked => {}
        }
    }

    fn read(&mut self, may_read: bool, tell: Tell<'_>) -> Result<(), PeerEnd> {
        let Some(stream) = self.stream.filter(|_| matches!(self.state, State::Open)) else {
            self.may_have_unread = false;
            return Ok(());
        };
        if !may_read || !self.may_have_unread {
            return Ok(());
        }
        let mut received = self.connection.recv_stream(stream);
        // The stream is read to its end once.
        let mut chunks = received.read(true).map_err(|_| PeerEnd::ByPeer)?;
        let mut heard = Ok(Heard::Silence);
        for _ in 0..MESSAGES_AT_ONCE {
            heard = self.frames.read::<ToRelay>(&mut chunks);
            match heard {
                Ok(Heard::Message(ref message)) => {
                    tell(PeerEvent::Message { peer: self.id, message: message.clone() });
                }
                Ok(Heard::Silence | Heard::End) | Err(_) => break,
            }
        }
        // Whatever it says is sent with what comes next.
        let _ = chunks.finalize();
        match heard? {
            Heard::Message(_) => Ok(()),
            Heard::Silence => {
                self.may_have_unread = false;
                Ok(())
            }
            Heard::End => Err(PeerEnd::ByPeer),
        }
    }

    fn write(&mut self, now: Instant) -> Result<(), PeerEnd> {
        let Some(stream) = self.stream.filter(|_| matches!(self.state, State::Open | State::Leaving(..))) else {
            return Ok(());
        };
        while !self.unsent.is_empty() {
            match self.connection.send_stream(stream).write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(WriteError::Blocked) => break,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return Err(PeerEnd::ByPeer),
            }
        }
        if self.unsent.is_empty() {
            // An idle connection keeps no buffer.
            self.unsent = Vec::new();
            self.slow_at = None;
        } else if self.unsent.len() > UNSENT_BYTES || self.slow_at.is_some_and(|at| at <= now) {
            return Err(PeerEnd::TooSlow);
        }
        Ok(())
    }

    /// Closes the connection if it is time for that, and says whether it did. What was told before has been sent once.
    pub(super) fn part(&mut self, now: Instant, tell: Tell<'_>) -> bool {
        match &self.state {
            State::Handshaking(until) if *until <= now => {
                self.close(0, &Label::cut("the handshake took too long"), now);
                true
            }
            State::Leaving(until, farewell) if *until <= now => {
                let farewell = farewell.clone();
                self.close(farewell.code, &farewell.reason, now);
                tell(PeerEvent::Ended { peer: self.id, why: PeerEnd::Here });
                true
            }
            State::Handshaking(_) | State::Open | State::Leaving(..) | State::Over(_) => false,
        }
    }

    fn close(&mut self, code: u32, reason: &Label, now: Instant) {
        self.connection.close(now, VarInt::from_u32(code), Bytes::copy_from_slice(reason.raw().as_bytes()));
        self.state = State::Over(self.was_welcomed());
        (self.unsent, self.slow_at) = (Vec::new(), None);
    }

    /// The next packet to send, written to the end of an empty `buffer`.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let Some(moving) = &mut self.moving else { return self.connection.poll_transmit(now, max_segments, buffer) };
        let before = self.connection.stats();
        if before.frame_rx.path_response > moving.responses {
            // One packet for one response shows whether that was the right one.
            moving.responses = before.frame_rx.path_response;
            moving.answered = true;
            self.connection.ping();
        }
        let transmit = self.connection.poll_transmit(now, 1, buffer)?;
        if canonical(transmit.destination) == moving.to {
            self.unproved.sent += transmit.size;
            if self.unproved.sent > 3 * self.unproved.heard + UNPROVED_BYTES {
                // As if it were lost on the way.
                self.unproved.sent -= transmit.size;
                return None;
            }
        }
        let challenges = self.connection.stats().frame_tx.path_challenge;
        moving.proved |= moving.answered
            && challenges == before.frame_tx.path_challenge
            && canonical(transmit.destination) == moving.to
            && !self.connection.is_closed();
        Some(transmit)
    }

    /// Tells where the client is once it has proved that.
    pub(super) fn look_at_path(&mut self, tell: Tell<'_>) {
        if let Some(moving) = self.moving.take_if(|moving| moving.proved) {
            self.address = moving.to;
            if matches!(self.state, State::Open) && !self.move_waits {
                self.move_waits = true;
                tell(PeerEvent::Moved { peer: self.id, address: self.address });
            }
        }
    }

    /// Its move is told now. Returns where it is.
    pub(super) fn tell_move(&mut self) -> SocketAddr {
        self.move_waits = false;
        self.address
    }

    /// Its move could not be told after all and waits again.
    pub(super) fn keep_move(&mut self) {
        self.move_waits = true;
    }

    /// Lets the endpoint know what the connection wants of it.
    pub(super) fn pass_on(&mut self, handle: ConnectionHandle, endpoint: &mut Endpoint) -> PassedOn {
        let mut passed_on = PassedOn::Nothing;
        while let Some(event) = self.connection.poll_endpoint_events() {
            let is_drained = event.is_drained();
            if let Some(answer) = endpoint.handle_event(handle, event) {
                self.connection.handle_event(answer);
                passed_on = PassedOn::Answered;
            }
            if is_drained {
                return PassedOn::Drained;
            }
        }
        passed_on
    }
}
