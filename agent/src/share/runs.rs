//! Runs under way: their outputs on the way to the technician, and what stops them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use transport::sealed::Sealed;
use transport::streams::{ByteSender, Priority};
use wire::ids::RunId;
use wire::run::{ApprovedRun, OutputCount, RunOutcome};
use wire::session::{Output, StreamHeader};

use crate::executor::{Executor, RunStopper, Running, Stop};

/// What became of a run.
#[derive(Debug)]
pub(super) enum RunEvent {
    /// Its program was started.
    Started(RunId),
    /// It is over, and nothing of it is left.
    Finished { run: RunId, outcome: RunOutcome, stdout: OutputCount, stderr: OutputCount },
}

/// Every run of a session that is under way. Dropping it kills them all.
#[derive(Debug)]
pub(super) struct Runs {
    executor: Executor,
    session: Arc<Sealed>,
    events: mpsc::Sender<RunEvent>,
    stoppers: BTreeMap<RunId, Stoppers>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Clone)]
struct Stoppers {
    /// Set once the runner is there.
    process: Arc<std::sync::OnceLock<RunStopper>>,
    /// Ends the outputs without waiting for what is still in them, and a start that has not happened yet.
    outputs: CancellationToken,
}

/// Two events a run and at most `RUNS_AT_ONCE` runs; the actor reads them ahead of bulk data.
pub(super) const RUN_EVENTS: usize = 2 * wire::limits::RUNS_AT_ONCE;

impl Runs {
    pub(super) fn new(executor: Executor, session: Arc<Sealed>, events: mpsc::Sender<RunEvent>) -> Self {
        Self { executor, session, events, stoppers: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Starts an approved run.
    pub(super) fn start(&mut self, approved: ApprovedRun) {
        // Tasks that are over are forgotten here, so that the set does not grow.
        while self.tasks.try_join_next().is_some() {}
        let run = approved.exact.run;
        let stoppers = Stoppers { process: Arc::default(), outputs: CancellationToken::new() };
        self.stoppers.insert(run, stoppers.clone());
        self.tasks.spawn(drive(self.executor.clone(), self.session.clone(), self.events.clone(), approved, stoppers));
    }

    /// Stops a run. Never waits.
    pub(super) fn stop(&mut self, run: RunId, stop: Stop) {
        let Some(stoppers) = self.stoppers.get(&run) else { return };
        let process = stoppers.process.get();
        if let Some(process) = process {
            process.stop(stop);
        }
        // One that is not started yet will not be.
        if stop == Stop::Now || process.is_none() {
            stoppers.outputs.cancel();
        }
    }

    /// Forgets a run that is over.
    pub(super) fn finished(&mut self, run: RunId) {
        self.stoppers.remove(&run);
    }

    /// Waits until every run is gone.
    pub(super) async fn all_gone(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn drive(
    executor: Executor,
    session: Arc<Sealed>,
    events: mpsc::Sender<RunEvent>,
    approved: ApprovedRun,
    stoppers: Stoppers,
) {
    let run = approved.exact.run;
    let finished = |outcome, stdout, stderr| RunEvent::Finished { run, outcome, stdout, stderr };
    if stoppers.outputs.is_cancelled() {
        let _ = events.send(finished(RunOutcome::Revoked, OutputCount::default(), OutputCount::default())).await;
        return;
    }
    let event = match executor.start(&approved) {
        // The pipes stay open until the run is over: a program that is stopped is killed, and never told by a closed pipe first.
        Ok(Running { stdout: mut stdout_pipe, stderr: mut stderr_pipe, mut handle }) => {
            let stopper = handle.stopper();
            let _ = stoppers.process.set(stopper.clone());
            if stoppers.outputs.is_cancelled() {
                stopper.stop(Stop::Now); // stopped while it was being started
            }
            let _ = events.send(RunEvent::Started(run)).await;
            let limit = approved.exact.limits.output_bytes;
            let outputs = async {
                tokio::join!(
                    forward(&session, run, Output::Stdout, &mut stdout_pipe, limit, &stoppers.outputs),
                    forward(&session, run, Output::Stderr, &mut stderr_pipe, limit, &stoppers.outputs),
                )
            };
            let ((stdout, stderr), outcome) = to_the_end(outputs, handle.finished(), &stoppers.outputs).await;
            finished(outcome, stdout, stderr)
        }
        Err(outcome) => finished(outcome, OutputCount::default(), OutputCount::default()),
    };
    let _ = events.send(event).await;
}

/// How long the last output may take to reach the technician once nothing of the run is left.
const LATE_OUTPUT: Duration = Duration::from_secs(60);

/// Waits for a run and its outputs. A technician that does not read, or somebody who holds the program's output open, cannot make
/// a run that is over look as if it went on.
async fn to_the_end<T>(
    outputs: impl Future<Output = T>,
    over: impl Future<Output = RunOutcome>,
    stop: &CancellationToken,
) -> (T, RunOutcome) {
    tokio::pin!(outputs, over);
    let outcome = tokio::select! {
        outcome = &mut over => outcome,
        outputs = &mut outputs => return (outputs, over.await),
    };
    if let Ok(outputs) = tokio::time::timeout(LATE_OUTPUT, &mut outputs).await {
        return (outputs, outcome);
    }
    stop.cancel();
    (outputs.await, outcome)
}

/// Bytes read from a program at a time.
const CHUNK_BYTES: usize = 16 * 1024;

/// Sends what the program writes, up to `limit` bytes; what is beyond is read, counted and thrown away, so that the program goes on.
///
/// A technician that reads slowly slows the program down, as a terminal would.
async fn forward(
    session: &Sealed,
    run: RunId,
    output: Output,
    from: &mut (impl AsyncRead + Unpin),
    limit: u64,
    stop: &CancellationToken,
) -> OutputCount {
    let mut count = OutputCount::default();
    let mut to = tokio::select! {
        () = stop.cancelled() => None,
        opened = open(session, run, output) => opened,
    };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            read = from.read(&mut chunk) => read.unwrap_or(0),
        };
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        count.written_bytes += bytes.len() as u64;
        let room = usize::try_from(limit - count.sent_bytes).unwrap_or(usize::MAX);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let Some(stream) = to.as_mut().filter(|_| !bytes.is_empty()) else { continue };
        let sent = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            sent = send(stream, bytes, &mut count.sent_bytes) => sent,
        };
        if !sent {
            to = None; // the technician does not want it or is gone; the run goes on until the session says otherwise
        }
    }
    if let Some(stream) = to {
        tokio::select! {
            biased;
            () = stop.cancelled() => {} // dropped: nothing that is still queued is sent
            _ = stream.finish() => {}
        }
    }
    count
}

/// Sends all of `bytes`, adding to `sent_bytes` what has gone out, also if it is not all. Returns whether more can be sent.
async fn send(stream: &mut ByteSender, mut bytes: &[u8], sent_bytes: &mut u64) -> bool {
    while !bytes.is_empty() {
        let Ok(written) = stream.write(bytes).await else { return false };
        *sent_bytes += written as u64;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    true
}

async fn open(session: &Sealed, run: RunId, output: Output) -> Option<ByteSender> {
    let mut stream = session.open_uni(Priority::Bulk).await.ok()?;
    stream.send(&StreamHeader::Output { run, output }).await.ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_is_over_even_if_nobody_takes_its_output() {
        let stop = CancellationToken::new();
        let stuck = async {
            stop.cancelled().await;
            7
        };
        assert_eq!(to_the_end(stuck, ready(RunOutcome::TimedOut), &stop).await, (7, RunOutcome::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn output_that_takes_its_time_is_waited_for() {
        let stop = CancellationToken::new();
        let slow = tokio::time::sleep(LATE_OUTPUT / 2);
        to_the_end(slow, ready(RunOutcome::Exited { code: 0 }), &stop).await;
        assert!(!stop.is_cancelled());
    }
}
