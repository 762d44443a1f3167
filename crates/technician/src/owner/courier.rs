//! Carries one run's output and news to whoever asked for it.
//!
//! Each run has a courier of its own, so that a command that reads slowly holds up its own run and nothing else.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use transport::streams::{ByteReceiver, StreamError};
use wire::{
    ids::{Digest, RunId},
    run::{OutputCount, RunOutcome},
    session::{DenyReason, EndReason, Output},
};

use crate::{
    escape::Filter,
    local::protocol::{Bytes, OUTPUT_PIECE_BYTES, Reply},
};

/// News of a run, from the actor to its courier. The actor has at most this many for one run: asking, granted, started, two
/// streams, and how it ended.
pub(super) const NEWS: usize = 8;

/// Lines of output that the screen shows of a run.
const TAIL_LINES: usize = 8;

/// Longest line kept of those; terminals are narrower.
const TAIL_LINE_CHARS: usize = 200;

/// How long output may stand still after the run is over before the rest of it counts as lost.
const LATE_OUTPUT: Duration = Duration::from_secs(10);

/// How long a command may take to hear that the agent sent more than it may.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a courier learns.
#[derive(Debug)]
pub(super) enum News {
    /// The person is being asked.
    Asking { answer_within_secs: u32 },
    /// The program was started.
    Started { digest: Digest },
    /// The answer was no.
    Denied { reason: DenyReason },
    /// One of the outputs; `limit` bytes at most may come.
    Stream { output: Output, receiver: ByteReceiver, limit: u64 },
    /// The run is over. Output may still be on its way.
    Finished { outcome: RunOutcome, stdout: OutputCount, stderr: OutputCount },
    /// The session is over.
    SessionOver { reason: EndReason },
}

/// The agent sent more than the run was allowed to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuchOutput;

/// What is shown of a run while it goes on. Shared with the status.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    /// Whether the last line goes on.
    open: bool,
    received_bytes: u64,
}

impl Tail {
    /// Bytes that arrived.
    pub(super) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// The last lines.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    fn take(&mut self, bytes: usize, text: &str) {
        self.received_bytes = self.received_bytes.saturating_add(bytes as u64);
        for piece in text.split_inclusive('\n') {
            if !self.open {
                self.lines.push_back(String::new());
            }
            let (line, ended) = match piece.strip_suffix('\n') {
                Some(line) => (line, true),
                None => (piece, false),
            };
            if let Some(last) = self.lines.back_mut() {
                let room = TAIL_LINE_CHARS.saturating_sub(last.chars().count());
                last.extend(line.replace('\t', "    ").chars().take(room));
            }
            self.open = !ended;
            while self.lines.len() > TAIL_LINES {
                self.lines.pop_front();
            }
        }
    }
}

/// A lock that a panic elsewhere does not make useless.
pub(super) fn locked(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One output as far as it came.
#[derive(Debug, Default)]
struct Lane {
    receiver: Option<ByteReceiver>,
    limit: u64,
    received: u64,
    filter: Filter,
}

/// Carries everything of one run.
#[derive(Debug)]
pub(super) struct Courier {
    pub(super) run: RunId,
    pub(super) news: mpsc::Receiver<News>,
    /// Nobody, if the screen asked.
    pub(super) replies: Option<mpsc::Sender<Reply>>,
    pub(super) tail: Arc<Mutex<Tail>>,
}

#[derive(Debug)]
struct Ending {
    outcome: RunOutcome,
    stdout: OutputCount,
    stderr: OutputCount,
}

impl Courier {
    /// Goes on until the run is over and its output has been handed on.
    ///
    /// # Errors
    ///
    /// [`TooMuchOutput`]: the agent is not to be trusted with the rest of the session.
    pub(super) async fn carry(mut self) -> Result<(), TooMuchOutput> {
        let mut stdout = Lane::default();
        let mut stderr = Lane::default();
        let mut ending: Option<Ending> = None;
        let mut patience = Instant::now() + LATE_OUTPUT;
        loop {
            if let Some(ending) = ending.take_if(|ending| arrived(ending, &stdout, &stderr)) {
                return self.finish(ending, stdout, stderr).await;
            }
            tokio::select! {
                biased;
                news = self.news.recv() => match news {
                    Some(News::Asking { answer_within_secs }) => self.tell(Reply::Asking { answer_within_secs }).await,
                    Some(News::Started { digest }) => self.tell(Reply::Started { digest }).await,
                    Some(News::Stream { output, receiver, limit }) => {
                        let lane = match output { Output::Stdout => &mut stdout, Output::Stderr => &mut stderr };
                        lane.receiver = Some(receiver);
                        lane.limit = limit;
                    }
                    Some(News::Denied { reason }) => {
                        self.tell(Reply::Denied { reason }).await;
                        return Ok(());
                    }
                    Some(News::Finished { outcome, stdout, stderr }) => {
                        ending = Some(Ending { outcome, stdout, stderr });
                        patience = Instant::now() + LATE_OUTPUT;
                    }
                    Some(News::SessionOver { reason }) => {
                        if let Some(ending) = ending.take() {
                            return self.finish(ending, stdout, stderr).await;
                        }
                        self.tell(Reply::Ended { reason }).await;
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                piece = read(&mut stdout) => {
                    patience = Instant::now() + LATE_OUTPUT;
                    self.take(Output::Stdout, &mut stdout, piece).await?;
                }
                piece = read(&mut stderr) => {
                    patience = Instant::now() + LATE_OUTPUT;
                    self.take(Output::Stderr, &mut stderr, piece).await?;
                }
                () = sleep_until(patience), if ending.is_some() => {
                    if let Some(ending) = ending.take() {
                        return self.finish(ending, stdout, stderr).await;
                    }
                }
            }
        }
    }

    async fn take(&mut self, output: Output, lane: &mut Lane, piece: Piece) -> Result<(), TooMuchOutput> {
        let bytes = match piece {
            Ok(Some(bytes)) => bytes,
            // Ended, or given up: what is missing shows in the counts.
            Ok(None) | Err(_) => {
                lane.receiver = None;
                locked(&self.tail).take(0, &lane.filter.finish());
                return Ok(());
            }
        };
        lane.received = lane.received.saturating_add(bytes.len() as u64);
        if lane.received > lane.limit {
            // The session ends over it. A command that reads slowly is not waited for long.
            let _ = timeout(LAST_WORD, self.tell(Reply::Ended { reason: EndReason::Protocol })).await;
            return Err(TooMuchOutput);
        }
        locked(&self.tail).take(bytes.len(), &lane.filter.push(&bytes));
        self.tell(Reply::Output { output, bytes: Bytes(bytes) }).await;
        Ok(())
    }

    /// Says how it ended, and reads what was opened to its end, so that the agent knows that everything arrived.
    async fn finish(mut self, ending: Ending, mut stdout: Lane, mut stderr: Lane) -> Result<(), TooMuchOutput> {
        let lost = |count: OutputCount, lane: &Lane| count.sent_bytes.saturating_sub(lane.received);
        let Ending { outcome, stdout: out, stderr: err } = ending;
        let lost_bytes = lost(out, &stdout).saturating_add(lost(err, &stderr));
        self.tell(Reply::Finished { outcome, stdout: out, stderr: err, lost_bytes }).await;
        self.replies = None;
        let ends = async {
            while stdout.receiver.is_some() || stderr.receiver.is_some() {
                tokio::select! {
                    piece = read(&mut stdout) => self.take(Output::Stdout, &mut stdout, piece).await?,
                    piece = read(&mut stderr) => self.take(Output::Stderr, &mut stderr, piece).await?,
                }
            }
            Ok(())
        };
        timeout(LATE_OUTPUT, ends).await.unwrap_or(Ok(()))
    }

    /// Hands a reply on. Waits while the command reads slowly: that holds the run's output up, as a pipe would.
    async fn tell(&mut self, reply: Reply) {
        if let Some(replies) = &self.replies
            && replies.send(reply).await.is_err()
        {
            self.replies = None;
        }
    }
}

type Piece = Result<Option<Vec<u8>>, StreamError>;

/// The next piece of an output; for ever if there is none to wait for. Cancel safe.
async fn read(lane: &mut Lane) -> Piece {
    match &mut lane.receiver {
        Some(receiver) => Ok(receiver.read(OUTPUT_PIECE_BYTES).await?.map(Into::into)),
        None => std::future::pending().await,
    }
}

/// Whether everything that the agent counted as sent has come.
fn arrived(ending: &Ending, stdout: &Lane, stderr: &Lane) -> bool {
    stdout.received >= ending.stdout.sent_bytes && stderr.received >= ending.stderr.sent_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_last_lines_and_joins_pieces() {
        let mut tail = Tail::default();
        for number in 0..20 {
            tail.take(3, &format!("{number}"));
            tail.take(3, " x\n");
        }
        tail.take(1, "unfinished");
        let lines = tail.lines();
        assert_eq!(lines.len(), TAIL_LINES);
        assert_eq!(lines[TAIL_LINES - 2..], ["19 x", "unfinished"]);
        assert_eq!(tail.received_bytes(), 121);
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.take(1000, &"y".repeat(1000));
        }
        assert_eq!(tail.lines(), ["y".repeat(TAIL_LINE_CHARS)]);
    }

    fn courier(
        replies: mpsc::Sender<Reply>,
    ) -> (mpsc::Sender<News>, tokio::task::JoinHandle<Result<(), TooMuchOutput>>) {
        let (news, inbox) = mpsc::channel(NEWS);
        let courier = Courier { run: RunId(1), news: inbox, replies: Some(replies), tail: Arc::default() };
        #[expect(clippy::disallowed_methods, reason = "the test awaits the handle")]
        let task = tokio::spawn(courier.carry());
        (news, task)
    }

    #[tokio::test]
    async fn a_run_without_output_ends_with_what_became_of_it() {
        let (replies, mut told) = mpsc::channel(4);
        let (news, task) = courier(replies);
        news.send(News::Asking { answer_within_secs: 9 }).await.unwrap();
        let none = OutputCount::default();
        let outcome = RunOutcome::Exited { code: 7 };
        news.send(News::Finished { outcome: outcome.clone(), stdout: none, stderr: none }).await.unwrap();
        assert_eq!(told.recv().await, Some(Reply::Asking { answer_within_secs: 9 }));
        let finished = Reply::Finished { outcome, stdout: none, stderr: none, lost_bytes: 0 };
        assert_eq!(told.recv().await, Some(finished));
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn output_that_was_sent_and_never_came_is_counted_as_lost() {
        tokio::time::pause();
        let (replies, mut told) = mpsc::channel(4);
        let (news, task) = courier(replies);
        let sent = OutputCount { sent_bytes: 5, written_bytes: 9 };
        let none = OutputCount::default();
        news.send(News::Finished { outcome: RunOutcome::Lost, stdout: sent, stderr: none }).await.unwrap();
        let finished = Reply::Finished { outcome: RunOutcome::Lost, stdout: sent, stderr: none, lost_bytes: 5 };
        assert_eq!(told.recv().await, Some(finished));
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_command_that_went_away_stops_nobody() {
        let (replies, told) = mpsc::channel(1);
        drop(told);
        let (news, task) = courier(replies);
        news.send(News::Asking { answer_within_secs: 9 }).await.unwrap();
        news.send(News::SessionOver { reason: EndReason::ByUser }).await.unwrap();
        assert_eq!(task.await.unwrap(), Ok(()));
    }
}
