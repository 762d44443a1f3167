//! The live diagnostics: a thread that measures, a task that sends, and [`Sampler`]'s pace between them.
//!
//! The share actor owns [`Samples`] and asks the session core before a sample is taken and again before it is sent. What cannot be
//! sent in time is not queued: it is skipped and counted in the next sample.

use std::{sync::Arc, thread, time::Duration};

use diagnostics::{Collector, Due, Roots, Sampler, Wanted};
use tokio::{sync::mpsc, task::JoinSet};
use transport::clock;
use transport::sealed::Sealed;
use transport::streams::Priority;
use wire::diagnostics::{IdentityCard, Snapshot, StreamFrame};
use wire::session::StreamHeader;
use wire::time::Moment;

/// Requests to the measuring thread: the identity card and the first sample.
const REQUESTS: usize = 2;

/// Frames on their way: the identity card and one sample, because [`Sampler`] has one under way at a time.
const FRAMES: usize = 2;

enum Request {
    Identity,
    Sample(Moment, Wanted),
}

/// What happened to the stream.
#[derive(Debug)]
pub(super) enum Progress {
    /// The identity card was read.
    Identity(Box<IdentityCard>),
    /// A sample was taken.
    Sample(Box<Snapshot>),
    /// The connection took the sample that was sent last.
    Sent,
}

/// The live diagnostics of one session.
#[derive(Debug)]
pub(super) struct Samples {
    session: Arc<Sealed>,
    requests: mpsc::Sender<Request>,
    measured: mpsc::Receiver<Progress>,
    stream: Option<Stream>,
}

#[derive(Debug)]
struct Stream {
    sampler: Sampler,
    frames: mpsc::Sender<StreamFrame>,
    sent: mpsc::Receiver<()>,
    /// Dropping it aborts the sender, which resets the stream: nothing queued is sent after a stop.
    _sender: JoinSet<()>,
}

impl Samples {
    /// Starts the measuring thread. It ends when this is dropped.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub(super) fn new(session: Arc<Sealed>) -> std::io::Result<Self> {
        let (requests, mut inbox) = mpsc::channel(REQUESTS);
        let (outbox, measured) = mpsc::channel(REQUESTS);
        let measure = move || {
            // Made at once, so that the first sample has rates to show.
            let mut collector = Collector::new(Roots::default(), clock::now());
            while let Some(request) = inbox.blocking_recv() {
                let result = match request {
                    Request::Identity => Progress::Identity(Box::new(collector.identity())),
                    Request::Sample(now, wanted) => Progress::Sample(Box::new(collector.sample(now, wanted))),
                };
                if outbox.blocking_send(result).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("diagnostics".to_owned()).spawn(measure)?;
        Ok(Self { session, requests, measured, stream: None })
    }

    /// Starts the stream, or changes the pace of the one that runs.
    pub(super) fn start(&mut self, period: Duration, now: Moment) {
        if let Some(stream) = &mut self.stream {
            stream.sampler.change_period(period, now);
            return;
        }
        let (frames, outbox) = mpsc::channel(FRAMES);
        let (sent, receipts) = mpsc::channel(FRAMES);
        let mut sender = JoinSet::new();
        sender.spawn(send(Arc::clone(&self.session), outbox, sent));
        // The thread is idle or one request behind; a card that is not sent only leaves the machine's name out.
        let _ = self.requests.try_send(Request::Identity);
        self.stream = Some(Stream { sampler: Sampler::new(period, now), frames, sent: receipts, _sender: sender });
    }

    /// Stops the stream at once.
    pub(super) fn stop(&mut self) {
        self.stream = None;
    }

    /// When the next sample is due.
    pub(super) fn due(&self) -> Option<Moment> {
        self.stream.as_ref().map(|stream| stream.sampler.due_at())
    }

    /// Has the sample taken that is due at `now`, if one is. Call only while it is allowed.
    pub(super) fn take(&mut self, now: Moment) {
        let Some(stream) = &mut self.stream else { return };
        match stream.sampler.start(now) {
            Due::Collect => {
                if self.requests.try_send(Request::Sample(now, stream.sampler.wanted())).is_err() {
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
    /// Cancel safe: receives of channels.
    pub(super) async fn progress(&mut self) -> Option<Progress> {
        let sent = async {
            let sent = match &mut self.stream {
                Some(stream) => stream.sent.recv().await,
                None => None,
            };
            if sent.is_none() {
                std::future::pending::<()>().await; // no stream, or one that the technician does not want
            }
        };
        tokio::select! {
            measured = self.measured.recv() => measured,
            () = sent => Some(Progress::Sent),
        }
    }

    /// Goes on with what happened. `may_send`: whether it is still allowed.
    pub(super) fn handle(&mut self, progress: Progress, may_send: bool) {
        let Some(stream) = &mut self.stream else { return };
        match progress {
            Progress::Sent => stream.sampler.sent(),
            Progress::Identity(card) if may_send => {
                let _ = stream.frames.try_send(StreamFrame::Identity(card));
            }
            Progress::Sample(snapshot) if may_send => {
                let frame = stream.sampler.collected(*snapshot, clock::now());
                if stream.frames.try_send(frame).is_err() {
                    stream.sampler.lost();
                }
            }
            Progress::Identity(_) => {}
            Progress::Sample(_) => stream.sampler.lost(),
        }
    }
}

async fn send(session: Arc<Sealed>, mut frames: mpsc::Receiver<StreamFrame>, sent: mpsc::Sender<()>) {
    let Ok(mut stream) = session.open_uni(Priority::Live).await else { return };
    if stream.send(&StreamHeader::Diagnostics).await.is_err() {
        return;
    }
    while let Some(frame) = frames.recv().await {
        if stream.send(&frame).await.is_err() {
            return; // the session is over, or the technician does not want it
        }
        let is_sample = !matches!(frame, StreamFrame::Identity(_));
        if is_sample && sent.send(()).await.is_err() {
            return;
        }
    }
}
