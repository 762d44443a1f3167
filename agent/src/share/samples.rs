//! The live diagnostics of one session: what is known already, then samples at [`Sampler`]'s pace.
//!
//! The share actor owns [`Samples`] and asks the session core before a sample is taken and again before it is sent. What cannot be
//! sent in time is not queued: it is skipped and counted in the next sample.

use std::{sync::Arc, time::Duration};

use diagnostics::{Cleared, Due, Sampler, Scopes};
use tokio::{sync::mpsc, task::JoinSet};
use transport::clock;
use transport::sealed::Sealed;
use transport::streams::Priority;
use wire::diagnostics::report::Report;
use wire::diagnostics::{StreamFrame, View};
use wire::session::StreamHeader;
use wire::time::Moment;

use crate::sent::{NotKept, Sent, SentCopy};
use crate::watch::{Gate, Order, Taken, Watch};

/// Frames on their way: the report that opens the stream, the findings, and one sample, because [`Sampler`] has one under way at
/// a time.
const FRAMES: usize = 3;

/// What happened to the stream.
#[derive(Debug)]
pub(super) enum Progress {
    /// What is known already was put together, under that consent.
    Opened(u64, Box<Cleared<Report>>, Scopes),
    /// A sample was taken.
    Taken(Box<Taken>),
    /// The connection took the sample that was sent last.
    Sent,
    /// A frame could not be kept and was not sent.
    NotKept(NotKept),
}

/// The live diagnostics of one session.
#[derive(Debug)]
pub(super) struct Samples {
    session: Arc<Sealed>,
    watch: Watch,
    gate: Gate,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    sampler: Sampler,
    /// Version of the findings that were sent last.
    seen: u64,
    /// Puts the opening together; ends at once if nobody measures any more.
    opening: JoinSet<Option<(u64, Cleared<Report>, Scopes)>>,
    /// Nothing is sampled before what opens the stream was sent.
    opened: bool,
    orders: mpsc::Sender<Taken>,
    taken: mpsc::Receiver<Taken>,
    frames: mpsc::Sender<StreamFrame>,
    sent: mpsc::Receiver<Result<(), NotKept>>,
    /// Dropping it aborts the sender, which resets the stream: nothing queued is sent after a stop.
    _sender: JoinSet<()>,
}

impl Samples {
    /// Nothing is streamed yet.
    pub(super) fn new(session: Arc<Sealed>, watch: Watch, gate: Gate) -> Self {
        Self { session, watch, gate, stream: None }
    }

    /// Starts the stream, or changes the pace of the one that runs. `scopes` is what is consented to now. Every frame
    /// is kept in `copy` before it is sent.
    pub(super) fn start(&mut self, period: Duration, view: View, scopes: Scopes, copy: SentCopy, now: Moment) {
        if let Some(stream) = &mut self.stream {
            stream.sampler.change_period(period, now);
            stream.sampler.change_view(view);
            return;
        }
        let (frames, outbox) = mpsc::channel(FRAMES);
        let (sent, receipts) = mpsc::channel(FRAMES);
        let (orders, taken) = mpsc::channel(1);
        let mut sender = JoinSet::new();
        sender.spawn(send(Arc::clone(&self.session), copy, outbox, sent));
        let mut opening = JoinSet::new();
        let (watch, gate) = (self.watch.clone(), Arc::clone(&self.gate));
        opening.spawn(async move {
            let (version, report) = watch.opening(gate, scopes).await?;
            Some((version, report, scopes))
        });
        let mut sampler = Sampler::new(period, now);
        sampler.change_view(view);
        self.stream = Some(Stream {
            sampler,
            seen: 0,
            opening,
            opened: false,
            orders,
            taken,
            frames,
            sent: receipts,
            _sender: sender,
        });
    }

    /// Changes what is looked at.
    pub(super) fn look(&mut self, view: View) {
        if let Some(stream) = &mut self.stream {
            stream.sampler.change_view(view);
        }
    }

    /// Stops the stream at once.
    pub(super) fn stop(&mut self) {
        self.stream = None;
    }

    /// When the next sample is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.stream.as_ref().filter(|stream| stream.opened).map(|stream| stream.sampler.due_at())
    }

    /// Has the sample taken that is due at `now`, if one is. Call only while it is allowed; `scopes` is what is consented to now.
    pub(super) fn take(&mut self, scopes: Scopes, now: Moment) {
        let Some(stream) = &mut self.stream else { return };
        match stream.sampler.start(now) {
            Due::Collect => {
                let order =
                    Order { wanted: stream.sampler.wanted(), seen: stream.seen, gate: Arc::clone(&self.gate), scopes };
                if !self.watch.sample(order, stream.orders.clone()) {
                    stream.sampler.lost();
                }
            }
            Due::NotYet | Due::Skip => {}
        }
    }

    /// Waits for what happens next to the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: receives of channels, and a wait for a task.
    pub(super) async fn progress(&mut self) -> Option<Progress> {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        tokio::select! {
            Some(opened) = stream.opening.join_next() => match opened {
                Ok(Some((version, report, scopes))) => Some(Progress::Opened(version, Box::new(report), scopes)),
                // Nobody measures any more: the stream stays empty.
                Ok(None) | Err(_) => None,
            },
            Some(taken) = stream.taken.recv() => Some(Progress::Taken(Box::new(taken))),
            Some(sent) = stream.sent.recv() => Some(sent.map_or_else(Progress::NotKept, |()| Progress::Sent)),
            // The technician does not want it.
            else => std::future::pending().await,
        }
    }

    /// Goes on with what happened at `now`. `may_send`: under which consent it is still allowed, if it is.
    pub(super) fn handle(&mut self, progress: Progress, may_send: Option<Scopes>, now: Moment) {
        let Some(stream) = &mut self.stream else { return };
        match progress {
            Progress::Sent => stream.sampler.sent(),
            Progress::NotKept(_) => self.stop(),
            Progress::Opened(version, report, scopes) => {
                stream.opened = true;
                // What was taken back meanwhile may not leave. Samples follow all the same.
                if may_send == Some(scopes) {
                    stream.seen = version;
                    let report = Box::new(report.into_inner());
                    let _ = stream.frames.try_send(StreamFrame::Opening(report));
                }
            }
            Progress::Taken(taken) if may_send == Some(taken.scopes) => {
                if let Some((version, findings)) = taken.findings {
                    let findings = StreamFrame::Findings(findings.into_inner());
                    if stream.frames.try_send(findings).is_ok() {
                        stream.seen = version;
                    }
                }
                let frame = stream.sampler.collected(taken.sample, now);
                if stream.frames.try_send(frame).is_err() {
                    stream.sampler.lost();
                }
            }
            Progress::Taken(_) => stream.sampler.lost(),
        }
    }
}

/// Sends frames, each after it is kept in `copy`. Ends with the session, when the technician does not want the stream, or when a frame is
/// not kept.
async fn send(
    session: Arc<Sealed>,
    copy: SentCopy,
    mut frames: mpsc::Receiver<StreamFrame>,
    sent: mpsc::Sender<Result<(), NotKept>>,
) {
    let Ok(mut stream) = session.open_uni(Priority::Live).await else { return };
    if stream.send(&StreamHeader::Diagnostics).await.is_err() {
        return;
    }
    let mut next = Some(Sent::StreamBegan);
    while let Some(thing) = next {
        let kept = match copy.keep(thing, clock::wall_time()).await {
            Ok(kept) => kept,
            Err(error) => return drop(sent.send(Err(error)).await),
        };
        if let Sent::Frame(frame) = kept {
            let is_sample = matches!(frame, StreamFrame::Key(_) | StreamFrame::Delta(_));
            if stream.send(&frame).await.is_err() || (is_sample && sent.send(Ok(())).await.is_err()) {
                return;
            }
        }
        next = frames.recv().await.map(Sent::Frame);
    }
}
