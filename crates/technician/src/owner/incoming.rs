//! Streams that the agent opens: one of diagnostics, two for each run.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use transport::{
    clock,
    sealed::Sealed,
    streams::{ByteReceiver, StreamError},
};
use wire::{
    diagnostics::{DeltaDecoder, StreamFrame, Update, inspect::Inspected, sections::probes::LOAD_BYTES},
    ids::{InspectionId, RunId},
    session::{Output, StreamHeader},
};

use super::Readings;

/// How long a new stream may take to say what it is; its first bytes opened it.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Shortest time between two frames of diagnostics that are taken. Agents send one in 250 ms at most; one that sends more is held up by
/// the stream's flow control instead of keeping this side busy.
const PACE: Duration = Duration::from_millis(50);

/// Frames that a stream begins with at once: the identity card and the first sample.
const FIRST_FRAMES: u64 = 2;

/// Bytes of load that are taken at once.
const LOAD_PIECE_BYTES: usize = 64 * 1024;

/// Streams that were opened and not taken by the actor yet.
const OPENED: usize = 8;

/// A stream that said what it is.
#[derive(Debug)]
pub(super) enum Opened {
    /// Live diagnostics.
    Diagnostics(ByteReceiver),
    /// An output of a run.
    Output { run: RunId, output: Output, receiver: ByteReceiver },
    /// The answer of an inspection.
    Inspection { inspection: InspectionId, receiver: ByteReceiver },
    /// The load of an inspection that measures the session.
    Load { inspection: InspectionId, receiver: ByteReceiver },
    /// The stream said nothing that an honest agent says.
    Nonsense,
    /// It was given up before it said anything.
    Gone,
}

/// Accepts streams until the connection is over.
pub(super) fn accept(sealed: Arc<Sealed>) -> (mpsc::Receiver<Opened>, impl Future<Output = ()>) {
    let (opened, inbox) = mpsc::channel(OPENED);
    let accepting = async move {
        // The connection bounds how many streams there are at once.
        let mut reading = JoinSet::new();
        loop {
            tokio::select! {
                stream = sealed.accept_uni() => match stream {
                    Ok(stream) => {
                        let opened = opened.clone();
                        reading.spawn(async move {
                            let stream = timeout(HEADER_DEADLINE, identify(stream)).await.unwrap_or(Opened::Gone);
                            // The actor is gone: the session is over.
                            let _ = opened.send(stream).await;
                        });
                    }
                    Err(_) => break,
                },
                Some(_) = reading.join_next() => {}
            }
        }
        // What was sent before the connection ended is still read.
        while reading.join_next().await.is_some() {}
    };
    (inbox, accepting)
}

async fn identify(mut stream: ByteReceiver) -> Opened {
    match stream.recv::<StreamHeader>().await {
        Ok(Some(StreamHeader::Diagnostics)) => Opened::Diagnostics(stream),
        Ok(Some(StreamHeader::Output { run, output })) => Opened::Output { run, output, receiver: stream },
        Ok(Some(StreamHeader::Inspection { inspection })) => Opened::Inspection { inspection, receiver: stream },
        Ok(Some(StreamHeader::Load { inspection })) => Opened::Load { inspection, receiver: stream },
        Ok(Some(_) | None) => Opened::Nonsense,
        Err(error) if error.peer_broke_the_rules() => Opened::Nonsense,
        Err(_) => Opened::Gone,
    }
}

/// Reads the answer of an inspection; `None` if the agent broke it off.
///
/// # Errors
///
/// Only what no honest agent sends.
pub(super) async fn read_inspected(mut stream: ByteReceiver) -> Result<Option<Inspected>, StreamError> {
    match stream.recv::<Inspected>().await {
        Ok(Some(inspected)) => {
            inspected.check()?;
            Ok(Some(inspected))
        }
        Ok(None) => Ok(None),
        Err(error) if error.peer_broke_the_rules() => Err(error),
        Err(_) => Ok(None),
    }
}

/// More came as load than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuchLoad;

/// Takes load off the connection and throws it away.
///
/// # Errors
///
/// [`TooMuchLoad`]: no honest agent sends so much.
pub(super) async fn take_load(mut stream: ByteReceiver) -> Result<(), TooMuchLoad> {
    let mut taken = 0_u64;
    // The agent gives the stream up when it has measured enough.
    while let Ok(Some(bytes)) = stream.read(LOAD_PIECE_BYTES).await {
        taken = taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if taken > LOAD_BYTES {
            return Err(TooMuchLoad);
        }
    }
    Ok(())
}

/// Why live diagnostics stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiagnosticsError {
    /// The stream carried no diagnostics.
    #[error("the diagnostics stream is malformed: {0}")]
    Stream(#[from] StreamError),
    /// A frame does not fit.
    #[error("the diagnostics stream is malformed: {0}")]
    Frame(#[from] wire::diagnostics::StreamError),
}

/// Turns a stream of diagnostics into readings until it ends.
///
/// # Errors
///
/// Only what no honest agent sends.
pub(super) async fn follow(
    mut stream: ByteReceiver,
    readings: watch::Sender<Readings>,
) -> Result<(), DiagnosticsError> {
    let mut decoder = DeltaDecoder::new();
    for frames in 0u64.. {
        if frames >= FIRST_FRAMES {
            tokio::time::sleep(PACE).await;
        }
        let frame = match stream.recv::<StreamFrame>().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) if error.peer_broke_the_rules() => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        match decoder.apply(frame)? {
            Update::Opening(report) => {
                let card = Arc::new(report.card.clone());
                let findings = Arc::new(report.findings.clone());
                let opening = Arc::new(report.clone());
                readings.send_modify(|readings| {
                    readings.card = Some(card);
                    readings.findings = findings;
                    readings.opening = Some(opening);
                });
            }
            Update::Findings(findings) => {
                let findings = Arc::new(findings.to_vec());
                readings.send_modify(|readings| readings.findings = findings);
            }
            Update::Sample(sample) => {
                let sample = Arc::new(sample.clone());
                readings.send_modify(|readings| {
                    readings.sample = Some(sample);
                    readings.at = clock::now();
                });
            }
        }
    }
    Ok(())
}
