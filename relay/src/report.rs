//! What happens, as JSON for programs: one object a line.
//!
//! No line carries a locator, a key, an address of a peer or anything of a session but its channel and sizes.

use std::num::NonZeroU16;

use serde::Serialize;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use transport::clock;

/// Lines that may wait for a slow reader; what comes then is left out and counted. A few seconds of a busy relay.
const QUEUE_LINES: usize = 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Line {
    Listening {
        link: String,
        udp: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        tcp: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reflector_port: Option<NonZeroU16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        http: Option<String>,
        version: &'static str,
    },
    Connected {
        connection: u64,
        connections: usize,
    },
    TurnedAway {
        reason: &'static str,
    },
    Disconnected {
        connection: u64,
        connections: usize,
    },
    LocatorAllocated {
        connection: u64,
        digits: u8,
    },
    LocatorEnded {
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<u64>,
        why: &'static str,
    },
    ChannelOpened {
        channel: String,
        origin: &'static str,
        agent: u64,
        technician: u64,
    },
    ChannelClosed {
        channel: String,
        reason: &'static str,
        agent_bytes: u64,
        agent_packets: u64,
        technician_bytes: u64,
        technician_packets: u64,
        rate_limited_packets: u64,
    },
    Refused {
        connection: u64,
        request: &'static str,
        reason: &'static str,
    },
    RejoinWaiting {
        connection: u64,
    },
    FellAsleep {
        connection: u64,
    },
    Awake {
        connection: u64,
        wanted: bool,
    },
    Waking {
        connection: u64,
    },
    CutOff {
        connection: u64,
        why: &'static str,
    },
    Draining {
        channels: usize,
    },
    Stopped {
        channels_cut: usize,
    },
    /// The reader was too slow for so many lines.
    Skipped {
        lines: u64,
    },
}

#[derive(Serialize)]
struct Timed<'a> {
    time: String,
    #[serde(flatten)]
    line: &'a Line,
}

/// Where lines go. Never waits.
#[derive(Debug)]
pub(crate) struct Report {
    queue: Option<mpsc::Sender<String>>,
    skipped: u64,
}

impl Report {
    /// Throws everything away.
    pub(crate) fn off() -> Self {
        Self { queue: None, skipped: 0 }
    }

    /// Writes to `output` from a task of its own, the returned future, which ends when the report is dropped and everything is written,
    /// or when nobody reads any more.
    pub(crate) fn to<W: AsyncWrite + Unpin>(mut output: W) -> (Self, impl Future<Output = ()>) {
        let (queue, mut lines) = mpsc::channel::<String>(QUEUE_LINES);
        let writer = async move {
            while let Some(line) = lines.recv().await {
                let written = async {
                    output.write_all(line.as_bytes()).await?;
                    output.flush().await
                };
                if written.await.is_err() {
                    // Nobody reads; the relay has better things to do than to end for that.
                    return;
                }
            }
        };
        (Self { queue: Some(queue), skipped: 0 }, writer)
    }

    /// Reports one event.
    pub(crate) fn line(&mut self, line: &Line) {
        let Some(queue) = &self.queue else { return };
        if self.skipped > 0 {
            match queue.try_send(text(&Line::Skipped { lines: self.skipped })) {
                Ok(()) => self.skipped = 0,
                Err(_) => {
                    self.skipped += 1;
                    return;
                }
            }
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(text(line)) {
            self.skipped += 1;
        }
    }
}

fn text(line: &Line) -> String {
    let timed = Timed { time: clock::wall_time().to_string(), line };
    let mut text = serde_json::to_string(&timed).expect("strings and numbers are JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn each_event_is_one_json_object_on_a_line() {
        let mut output = Vec::new();
        let (mut report, writer) = Report::to(&mut output);
        report.line(&Line::Draining { channels: 3 });
        report.line(&Line::Refused { connection: 7, request: "attach", reason: "a\n\"b\"" });
        drop(report);
        writer.await;

        let text = String::from_utf8(output).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["event"], &lines[0]["channels"]), (&"draining".into(), &3.into()));
        assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!(lines[1]["reason"], "a\n\"b\"");
    }

    #[tokio::test]
    async fn a_reader_that_is_too_slow_is_told_what_it_missed() {
        let mut output = Vec::new();
        let (mut report, writer) = Report::to(&mut output);
        for channels in 0..QUEUE_LINES + 5 {
            report.line(&Line::Draining { channels });
        }
        {
            let mut writer = std::pin::pin!(writer);
            // Takes what is queued and then waits for more.
            assert!(tokio::time::timeout(std::time::Duration::ZERO, writer.as_mut()).await.is_err());
            report.line(&Line::Stopped { channels_cut: 0 });
            drop(report);
            writer.await;
        }

        let text = String::from_utf8(output).unwrap();
        let mut last = text.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(last.next().unwrap()["event"], "stopped");
        assert_eq!(last.next().unwrap()["lines"], 5);
        assert_eq!(last.count(), QUEUE_LINES);
    }

    #[tokio::test]
    async fn a_reader_that_went_away_stops_nothing() {
        struct Closed;
        impl AsyncWrite for Closed {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }
        }
        let (mut report, writer) = Report::to(Closed);
        report.line(&Line::Draining { channels: 1 });
        writer.await;
        report.line(&Line::Draining { channels: 2 });
    }
}
