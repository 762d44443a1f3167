//! How each kind of connection is tuned, and why.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use quinn::{MtuDiscoveryConfig, TransportConfig, VarInt};
use rand_core::{OsRng, RngCore};
use wire::path::FLIP_BYTES;

use crate::{
    congestion::{AfreshOnChange, ShortQueue},
    silence::PATIENCE_MOST,
};

/// First guess of the round-trip time (quinn's own is 333 ms). It sets how soon a lost first packet is sent again: 300 ms.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// The longest first guess. A relay that took longer to answer may have been busy.
const INITIAL_RTT_MOST: Duration = Duration::from_secs(1);

/// The relay gives up a control connection after this much silence; three keep-alives fit.
const CONTROL_IDLE: Duration = Duration::from_secs(75);

/// RFC 9000 section 10.1.2: most middleboxes forget a UDP flow after 30 s.
const CONTROL_KEEP_ALIVE: Duration = Duration::from_millis(22_000);

/// Added at random, for each connection, so that a thousand agents do not wake up together: 25 s +- 3 s.
const CONTROL_KEEP_ALIVE_JITTER_MS: u32 = 6_000;

/// A control message has at most 3 KiB and few have more than 64 bytes, so a window of this many is never full between honest peers.
const CONTROL_STREAM_BYTES: u32 = 8 * 1024;

/// A session's connection survives this much silence. More than what any program waits, each by a clock that counts suspended time.
const SESSION_IDLE: Duration = Duration::from_secs(PATIENCE_MOST.as_secs() + 60);

/// How often an idle session shows that it is alive.
const SESSION_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One-way streams that an agent may have open towards a technician: two for each of [`wire::limits::RUNS_AT_ONCE`] runs,
/// one for diagnostics, and room for as many that are ending.
pub(crate) const AGENT_STREAMS: u32 = 64;

/// Two-way streams that an agent may have open towards a technician: the one on which everything is asked and said.
pub(crate) const CONTROL_STREAMS: u32 = 1;

/// What a technician buffers of one stream that nobody reads: 100 Mbit/s at 80 ms.
const TECHNICIAN_STREAM_BYTES: u32 = 1024 * 1024;

/// What an agent buffers of the technician's one stream: several of the largest messages.
const AGENT_STREAM_BYTES: u32 = 256 * 1024;

/// Bytes of output and diagnostics that a side keeps until the other side has confirmed them: 100 Mbit/s at 80 ms.
pub(crate) const BULK_WINDOW: u64 = 1024 * 1024;

/// Added while a message of the control stream is being sent, so that it never waits for a full [`BULK_WINDOW`].
pub(crate) const URGENT_WINDOW: u64 = 512 * 1024;

/// Largest packet that is tried: with the channel header and UDP over IPv6 it fits an Ethernet frame. All carriers agree on it.
const LARGEST_PACKET: u16 = 1444;

/// Announcements of a path that wait to be sent or read: two with what quinn adds. A new one says more than an old one.
const DATAGRAM_BYTES: usize = 2 * FLIP_BYTES + 256;

fn base() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .allow_spin(false)
        .mtu_discovery_config(None);
    config
}

fn control() -> TransportConfig {
    let mut config = base();
    config
        .stream_receive_window(VarInt::from_u32(CONTROL_STREAM_BYTES))
        .receive_window(VarInt::from_u32(CONTROL_STREAM_BYTES))
        .send_window(u64::from(CONTROL_STREAM_BYTES))
        .max_idle_timeout(quinn::IdleTimeout::try_from(CONTROL_IDLE).ok());
    config
}

/// The relay's end of a control connection: the client's one stream, and as little memory as possible.
pub(crate) fn control_server() -> Arc<TransportConfig> {
    let mut config = control();
    config.max_concurrent_bidi_streams(VarInt::from_u32(1));
    Arc::new(config)
}

/// An agent's or technician's end of one control connection.
pub(crate) fn control_client() -> Arc<TransportConfig> {
    let jitter = Duration::from_millis(u64::from(OsRng.next_u32() % CONTROL_KEEP_ALIVE_JITTER_MS));
    let mut config = control();
    config.keep_alive_interval(Some(CONTROL_KEEP_ALIVE + jitter));
    Arc::new(config)
}

fn session() -> TransportConfig {
    let mut config = base();
    config
        .send_window(BULK_WINDOW)
        .max_idle_timeout(quinn::IdleTimeout::try_from(SESSION_IDLE).ok())
        .keep_alive_interval(Some(SESSION_KEEP_ALIVE));
    config
}

/// First guess of the round trip to the other end by a relay that is `relay_rtt` away: the other end is taken to be as far from it.
/// Too short a guess costs packets that are sent twice, too long a one a wait after the first loss.
fn guess(relay_rtt: Duration) -> Duration {
    relay_rtt.saturating_mul(2).clamp(INITIAL_RTT, INITIAL_RTT_MOST)
}

/// The agent's end of a session. Bulk flows from here, so the packet size is worth finding out.
pub(crate) fn session_agent(relay_rtt: Duration) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LARGEST_PACKET);
    let mut config = session();
    config
        .initial_rtt(guess(relay_rtt))
        .stream_receive_window(VarInt::from_u32(AGENT_STREAM_BYTES))
        .receive_window(VarInt::from_u32(AGENT_STREAM_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES))
        .congestion_controller_factory(Arc::new(ShortQueue))
        .mtu_discovery_config(Some(discovery));
    Arc::new(config)
}

/// The technician's end of a session. Its packets are few; quinn would not notice a change of path on this side, so their size
/// stays at what every path takes. Its congestion control learns of one by `changes`, which counts them for this session alone.
pub(crate) fn session_technician(relay_rtt: Duration, changes: Arc<AtomicU64>) -> Arc<TransportConfig> {
    let mut config = session();
    config
        .initial_rtt(guess(relay_rtt))
        .max_concurrent_bidi_streams(VarInt::from_u32(CONTROL_STREAMS))
        .datagram_send_buffer_size(DATAGRAM_BYTES)
        // quinn sends no datagrams from an end that takes none. What an agent sends is read and is nothing.
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES))
        .congestion_controller_factory(Arc::new(AfreshOnChange { changes, each: Arc::new(ShortQueue) }))
        .max_concurrent_uni_streams(VarInt::from_u32(AGENT_STREAMS))
        .stream_receive_window(VarInt::from_u32(TECHNICIAN_STREAM_BYTES))
        // The sum of all streams' windows: an unread stream never stops another, above all not the control stream.
        .receive_window(VarInt::from_u32(TECHNICIAN_STREAM_BYTES * (AGENT_STREAMS + CONTROL_STREAMS)));
    Arc::new(config)
}
