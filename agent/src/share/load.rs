//! Round trips of the session itself, first while it is idle and then while as much is sent through it as fits.
//!
//! ```text
//! open a stream ─> a second of next to nothing ─> bytes without a meaning, 25 MB or ten seconds ─> give the stream up
//!                  round trips without load       round trips with load
//! ```
//!
//! The load takes the way of the session. Its stream yields to every other, it is given up as soon as this is dropped, and what was
//! written and not sent then is not sent. How much fits is decided by the congestion control of the session, which keeps its own queue
//! short: a rise of the round trip is therefore somebody's queue for certain, and that there is none says only that the session
//! itself disturbs nobody.

use std::time::Duration;

use diagnostics::{Load, grade};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use transport::sealed::{Carrier, PathStats, Sealed};
use transport::streams::{Priority, StreamError};
use wire::diagnostics::sections::probes::{
    Found, Grade, LOAD_BYTES, LoadFound, LoadWay, ProbeKind, ProbeOutcome, ProbeResult,
};
use wire::ids::InspectionId;
use wire::session::StreamHeader;
use wire::text::{Label, Sentence};

/// How long round trips without load are measured.
const IDLE: Duration = Duration::from_secs(1);

/// How long load is sent at most.
const LOADED: Duration = Duration::from_secs(10);

/// How often the round trip is looked at; without load something small is sent each time, or there would be none.
const IDLE_EVERY: Duration = Duration::from_millis(50);
const LOADED_EVERY: Duration = Duration::from_millis(10);

/// A quarter of the looks under load, and no more than this many, come before the line is full.
const FILLING: usize = 100;

/// Bytes that are handed over at once.
const PIECE: usize = 16 * 1024;

/// Kept below [`LOAD_BYTES`]. What a session holds unsent, 1 MiB, may all go out between one look at what was sent and the next; as much
/// again is for what has to be sent twice meanwhile, for headers, and for what the session says besides.
const SPARE_BYTES: u64 = 2 * 1024 * 1024;

/// Measures. Stops sending when it is dropped.
pub(super) async fn measure(session: &Sealed, inspection: InspectionId) -> ProbeResult {
    let began = Instant::now();
    let measured = send_and_look(session, inspection).await;
    let (outcome, reason, found) = match measured {
        Err(_) => (ProbeOutcome::Unknown, "the technician does not take the load".to_owned(), None),
        Ok(None) => (ProbeOutcome::Unknown, "the session changed its way meanwhile".to_owned(), None),
        Ok(Some(load)) => match grade(&load) {
            None => (ProbeOutcome::Unknown, "it was over before enough round trips were seen".to_owned(), None),
            Some(found) => judged(found),
        },
    };
    let took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    let (kind, target) = (ProbeKind::Load, Label::default());
    ProbeResult { kind, target, outcome, took_ms, reason: Sentence::cut(&reason), found }
}

fn judged(found: LoadFound) -> (ProbeOutcome, String, Option<Found>) {
    let rise_ms = found.loaded_us.saturating_sub(found.idle_us) / 1000;
    let (outcome, reason) = match found.grade {
        Grade::A | Grade::B => (ProbeOutcome::Pass, String::new()),
        Grade::C | Grade::D | Grade::F => {
            (ProbeOutcome::Fail, format!("round trips take {rise_ms} ms longer under load"))
        }
    };
    (outcome, reason, Some(Found::Load(found)))
}

/// `None` if the way was another at the end than at the beginning: what was measured of two ways says nothing of either.
async fn send_and_look(session: &Sealed, inspection: InspectionId) -> Result<Option<Load>, StreamError> {
    let way = way_of(&session.stats());
    let mut stream = session.open_uni(Priority::Bulk).await?;
    stream.send(&StreamHeader::Load { inspection }).await?;

    let mut idle_us = Vec::new();
    let mut look = interval(IDLE_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let idle_until = Instant::now() + IDLE;
    while Instant::now() < idle_until {
        look.tick().await;
        stream.write_all(&[0]).await?;
        idle_us.push(round_trip_us(session));
    }

    let mut loaded_us = Vec::new();
    let mut look = interval(LOADED_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, before) = (Instant::now(), session.stats().sent_bytes);
    let until = began + LOADED;
    let mut written = 0_u64;
    let piece = vec![0; PIECE];
    let sent = || session.stats().sent_bytes.saturating_sub(before);
    // Both count: what goes astray is sent again, and what is written waits to be sent.
    while written.max(sent()) < LOAD_BYTES - SPARE_BYTES {
        // Each branch is cancel safe: a timer, a wait for a moment, and a write that is whole or was not made.
        tokio::select! {
            biased;
            () = sleep_until(until) => break,
            _ = look.tick() => loaded_us.push(round_trip_us(session)),
            more = stream.write(&piece) => written += u64::try_from(more?).unwrap_or(u64::MAX),
        }
    }
    let (bytes, sent) = (sent(), began.elapsed());
    // What was not sent yet is not sent any more.
    stream.reset(0);
    loaded_us.drain(..(loaded_us.len() / 4).min(FILLING));
    Ok((way_of(&session.stats()) == way).then_some(Load { idle_us, loaded_us, way, bytes, sent }))
}

fn round_trip_us(session: &Sealed) -> u32 {
    u32::try_from(session.stats().rtt.as_micros()).unwrap_or(u32::MAX)
}

fn way_of(stats: &PathStats) -> LoadWay {
    match stats.carrier {
        Carrier::Direct => LoadWay::Direct,
        Carrier::Relayed if stats.relay_over_tcp => LoadWay::RelayTcp,
        Carrier::Relayed | _ => LoadWay::Relay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_that_calls_suffer_from_is_a_fault() {
        let load = |loaded: u32| Load {
            idle_us: vec![20_000; 5],
            loaded_us: vec![loaded; 5],
            way: LoadWay::Relay,
            bytes: 1_000_000,
            sent: Duration::from_secs(1),
        };
        let outcome = |loaded| judged(grade(&load(loaded)).unwrap());
        assert_eq!(outcome(40_000).0, ProbeOutcome::Pass);
        let (outcome, reason, found) = outcome(120_000);
        assert_eq!((outcome, reason.as_str()), (ProbeOutcome::Fail, "round trips take 100 ms longer under load"));
        assert!(matches!(found, Some(Found::Load(found)) if found.grade == Grade::C && found.sent_ms == 1000));
    }
}
