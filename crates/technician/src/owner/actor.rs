//! Drives one paired session until either side ends it.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};
use transport::{
    clock,
    node::{ConnectError, Control, ControlEvent, Loss, NetworkChanges, Node},
    sealed::{Carrier, CloseCode, Sealed, SealedEnd},
    silence::Silence,
    streams::{ByteReceiver, FrameReceiver, FrameSender, StreamError},
};
use trust::pairing::Paired;
use wire::{
    channel::ChannelId,
    control::{ChannelOrigin, FromRelay, Refusal, Side, ToRelay},
    diagnostics::inspect::Inspected,
    ids::{InspectionId, RunId},
    session::{EndReason, ToAgent, ToTechnician},
};

use self::{desk::Desk, direct::Direct, looks::Looks};
use super::{
    AttachError, Outcome, Ports, Readings, Setup,
    board::{Board, end_words},
    connect::Attached,
    courier::TooMuchOutput,
    incoming::{self, DiagnosticsError, Opened},
};
use crate::{
    local::{server, socket::SessionSocket},
    units,
};

mod desk;
mod direct;
mod looks;

/// Time between two readings.
const PERIOD: Duration = Duration::from_secs(1);

/// How often the status is made anew while nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Messages that may wait for the agent to read them: more than the core lets be asked at once.
const OUTBOX: usize = 64;

/// How long the agent may take to say that the session is over after it was told so.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long local commands may take to read the last of what they were told.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One paired session.
pub(super) struct SessionActor {
    desk: Desk,
    ports: Ports,
    setup: Setup,
    node: Node,
    control: Control,
    channel: Option<ChannelId>,
    sealed: Arc<Sealed>,
    receiver: FrameReceiver,
    outbox: Option<mpsc::Sender<ToAgent>>,
    writer: Option<FrameSender>,
    paired: Paired,
    socket: Option<SessionSocket>,
    tasks: JoinSet<TaskEnd>,
    diagnostics: Option<AbortHandle>,
    /// Diagnostics that came before the message that allows them: streams are not ordered with messages.
    early: Option<ByteReceiver>,
    /// Says when the machine's name is known.
    card: watch::Receiver<Readings>,
    direct: Direct,
    looks: Looks,
    network: NetworkChanges,
    /// When the agent is no longer waited for after this side ended the session.
    goodbye: Option<tokio::time::Instant>,
}

/// What a task of the session came to.
#[derive(Debug)]
enum TaskEnd {
    /// Everything was sent, or the stream is over.
    Writer(Result<(), StreamError>),
    Accepting,
    Courier(RunId, Result<(), TooMuchOutput>),
    Diagnostics(Result<(), DiagnosticsError>),
    Inspection(InspectionId, Result<Option<Inspected>, StreamError>),
    Server,
}

impl SessionActor {
    pub(super) fn new(setup: Setup, board: Board, ports: Ports, attached: Attached) -> Result<Self, AttachError> {
        let Attached { node, control, channel, sealed, sender, receiver, paired, request, agent_key } = attached;
        let socket = SessionSocket::bind(&setup.places.runtime, paired.session).map_err(AttachError::Socket)?;
        let expected = audit::Expected {
            session: paired.session,
            agent_key,
            technician_key: setup.identity.key.public().digest(),
        };
        let desk = Desk::new(board, &request, &paired, setup.places.receipts(), expected, clock::now());
        let card = ports.readings.subscribe();
        let direct = Direct::new(setup.direct);
        let looks = Looks::new(ports.handle.viewers.clone());
        let network = node.network_changes();
        Ok(Self {
            desk,
            ports,
            setup,
            node,
            control,
            channel: Some(channel),
            sealed: Arc::new(sealed),
            receiver,
            outbox: None,
            writer: Some(sender),
            paired,
            socket: Some(socket),
            tasks: JoinSet::new(),
            diagnostics: None,
            early: None,
            card,
            direct,
            looks,
            network,
            goodbye: None,
        })
    }

    /// Goes on until the session is over, and then until everybody has been told.
    pub(super) async fn run(mut self) -> Outcome {
        let mut opened = self.start_tasks();
        self.looks.tell(&mut self.desk);
        // Right behind the proof: the agent remembers it and starts with the grant.
        if let Err(error) = self.desk.core.subscribe(PERIOD) {
            tracing::warn!(%error, "diagnostics were not asked for");
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.transmit();
        self.publish();
        while self.desk.core.end_reason().is_none() {
            tokio::select! {
                biased;
                command = self.ports.inbox.recv() => {
                    // What is asked for right after a sleep is refused, not sent after whatever still waits.
                    self.look_at_path();
                    let courier = self.desk.take_command(command, clock::now());
                    if let Some(courier) = courier {
                        let run = courier.run;
                        self.tasks.spawn(async move { TaskEnd::Courier(run, courier.carry().await) });
                    }
                }
                message = self.receiver.recv::<ToTechnician>() => self.take_message(message),
                event = self.control.recv() => self.take_relay_event(event).await,
                Some(opened) = opened.recv() => self.take_stream(opened),
                Some(ended) = self.tasks.join_next() => self.take_task_end(ended),
                end = self.sealed.closed() => self.take_connection_end(&end),
                () = until(self.goodbye) => self.desk.core.close(EndReason::ByTechnician),
                Ok(()) = self.card.changed(), if self.desk.board.host.is_none() => {}
                gathered = self.direct.gathered() => {
                    if let Some(Ok(addresses)) = gathered {
                        self.direct.tell(addresses, &mut self.desk.core);
                    }
                }
                () = self.looks.due() => self.looks.tell(&mut self.desk),
                () = self.sealed.path_changed() => self.look_at_path(),
                () = self.network.next() => {
                    self.direct.network_changed();
                    self.desk.board.note("this machine's network has changed".to_owned(), clock::now());
                }
                _ = tick.tick() => self.look_at_path(),
            }
            self.desk.take_events(clock::now());
            if self.desk.core.end_reason().is_none() {
                self.tend_direct();
            }
            self.follow_early();
            self.transmit();
            self.publish();
        }
        self.finish().await
    }

    fn start_tasks(&mut self) -> mpsc::Receiver<Opened> {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        self.outbox = Some(outbox);
        if let Some(sender) = self.writer.take() {
            self.tasks.spawn(async move { TaskEnd::Writer(write(sender, messages).await) });
        }
        let (opened, accepting) = incoming::accept(Arc::clone(&self.sealed));
        self.tasks.spawn(async move {
            accepting.await;
            TaskEnd::Accepting
        });
        if let Some(socket) = self.socket.take() {
            let handle = self.ports.handle.clone();
            self.tasks.spawn(async move {
                server::serve(socket, handle, server::Patience::USUAL).await;
                TaskEnd::Server
            });
        }
        opened
    }

    fn transmit(&mut self) {
        while let Some(message) = self.desk.core.poll_transmit() {
            if message == ToAgent::End {
                self.goodbye = Some(tokio::time::Instant::now() + GOODBYE);
            }
            let sent = self.outbox.as_ref().is_some_and(|outbox| outbox.try_send(message).is_ok());
            if !sent && self.desk.core.end_reason().is_none() {
                // The agent has not read for a whole queue of questions.
                self.desk.board.end_detail = Some("the end user's machine takes no more messages".to_owned());
                self.desk.core.close(EndReason::ConnectionLost);
            }
        }
    }

    fn publish(&mut self) {
        let host = self.ports.readings.borrow().card.as_ref().map(|card| card.host.shown());
        self.desk.board.host = host.or(self.desk.board.host.take());
        self.ports.status.send_replace(self.desk.status(clock::now()).into());
    }

    fn take_message(&mut self, message: Result<Option<ToTechnician>, StreamError>) {
        let problem = match message {
            Ok(Some(message)) => match self.desk.core.handle_message(message, clock::now()) {
                Ok(()) => return,
                Err(error) => error.to_string(),
            },
            Ok(None) => "the end user's machine stopped without saying why".to_owned(),
            Err(StreamError::Closed(end)) => return self.take_connection_end(&end),
            Err(error) if error.peer_broke_the_rules() => {
                self.desk.core.close(EndReason::Protocol);
                error.to_string()
            }
            Err(error) => error.to_string(),
        };
        self.desk.board.end_detail.get_or_insert(problem);
        self.desk.core.close(EndReason::ConnectionLost);
    }

    fn take_connection_end(&mut self, end: &SealedEnd) {
        let reason = match end {
            SealedEnd::Broken { .. } => EndReason::Protocol,
            SealedEnd::Here if self.goodbye.is_some() => EndReason::ByTechnician,
            SealedEnd::ByPeer { .. } if self.goodbye.is_some() => EndReason::ByTechnician,
            SealedEnd::ByPeer { .. } | SealedEnd::Here | SealedEnd::TimedOut | SealedEnd::Forgotten | _ => {
                EndReason::ConnectionLost
            }
        };
        if reason != EndReason::ByTechnician {
            self.desk.board.end_detail.get_or_insert(end.to_string());
        }
        self.desk.core.close(reason);
    }

    async fn take_relay_event(&mut self, event: Option<ControlEvent>) {
        match event {
            Some(ControlEvent::Up) => self.rejoin().await,
            Some(ControlEvent::Message(FromRelay::ChannelOpen { channel, origin: ChannelOrigin::Rejoin, .. })) => {
                match self.node.move_session(self.sealed.session_ref(), channel) {
                    Ok(()) => {
                        self.channel = Some(channel);
                        self.look_at_path();
                    }
                    Err(error) => tracing::warn!(%error, "the session was not moved"),
                }
            }
            Some(ControlEvent::Message(FromRelay::ChannelClosed { channel, .. })) if self.channel == Some(channel) => {
                self.path_lost("the end user's machine has lost the relay");
                self.rejoin().await;
            }
            Some(ControlEvent::Message(FromRelay::Refused { reason })) if self.channel.is_none() => {
                self.rejoin_refused(reason).await;
            }
            Some(ControlEvent::Down { why, .. }) => self.path_lost(&loss_words(&why)),
            Some(_) => {}
            None => {
                self.desk.board.end_detail.get_or_insert("the network part of this program stopped".to_owned());
                self.desk.core.close(EndReason::ConnectionLost);
            }
        }
    }

    fn path_lost(&mut self, why: &str) {
        if let Some(channel) = self.channel.take() {
            self.node.forget(channel);
        }
        // A session that goes directly does not need the relay.
        if self.sealed.stats().carrier != Carrier::Direct {
            self.desk.path_lost(why, clock::now());
        }
    }

    /// Looks how the path is doing.
    fn look_at_path(&mut self) {
        let (now, stats) = (clock::now(), self.sealed.stats());
        let there_is_a_way = self.channel.is_some() || stats.carrier == Carrier::Direct;
        let is_odd = stats.silence.is_odd();
        if is_odd && (there_is_a_way || stats.silence.slept_here) {
            self.desk.path_lost(silence_words(stats.silence), now);
        } else if there_is_a_way {
            self.desk.path_found(now);
        } else {
            // Unless a better reason is known: the relay was lost before the direct path was.
            self.desk.path_still_lost("the direct connection was lost, and the relay before it", now);
        }
        self.desk.measured((there_is_a_way && !is_odd).then_some(stats), now);
        if stats.silence.lasts >= self.setup.patience && self.desk.core.end_reason().is_none() {
            let words = given_up_words(stats.silence, self.setup.patience);
            self.desk.board.end_detail.get_or_insert(words);
            self.desk.core.close(EndReason::ConnectionLost);
        }
        if let Some(news) = self.direct.news(&stats) {
            self.desk.board.note(news, now);
        }
        self.desk.board.path_why = Some(self.direct.why(&stats));
    }

    /// Looks for a direct path, or stops looking, as the grants are now.
    fn tend_direct(&mut self) {
        let covered = self.desk.core.grants(clock::now()).next().is_some();
        let offer = self.desk.direct_offer.take();
        if self.direct.tend(covered, offer, &self.node, &self.sealed, &mut self.desk.core) {
            self.look_at_path();
        }
    }

    /// Asks the relay to find the agent again. How long that may take, the silence of the session decides.
    async fn rejoin(&mut self) {
        if self.channel.is_some() {
            // The relay has forgotten the channel along with the connection.
            self.path_lost("the relay was lost");
        }
        let rendezvous = self.paired.rendezvous;
        let asked = self.control.send(ToRelay::Rejoin { rendezvous, side: Side::Technician });
        // Bounded, so that a full queue to the relay holds nothing up. If it is not sent, the next `Up` asks again.
        if !matches!(timeout(TICK, asked).await, Ok(Ok(()))) {
            tracing::debug!("the rejoin was not asked for");
        }
    }

    async fn rejoin_refused(&mut self, reason: Refusal) {
        if self.sealed.stats().carrier != Carrier::Direct {
            self.desk.path_lost(&format!("the relay refused: {reason}"), clock::now());
        }
        if matches!(reason, Refusal::NobodyWaiting) {
            self.rejoin().await;
        }
    }

    fn take_stream(&mut self, opened: Opened) {
        match opened {
            // Nothing of the machine is shown before the answer that allows it is here, whichever of them a bad network lets through first.
            Opened::Diagnostics(stream) => self.early = Some(stream),
            Opened::Output { run, output, receiver } => {
                if let Err(error) = self.desk.take_output(run, output, receiver) {
                    self.broke_the_rules(error.to_string());
                }
            }
            Opened::Inspection { inspection, receiver } => match self.desk.core.open_inspection(inspection) {
                Ok(()) => {
                    let reading = incoming::read_inspected(receiver);
                    self.tasks.spawn(async move { TaskEnd::Inspection(inspection, reading.await) });
                }
                Err(error) => self.broke_the_rules(error.to_string()),
            },
            Opened::Nonsense => {
                self.broke_the_rules("the end user's machine opened a stream of no known kind".to_owned())
            }
            Opened::Gone => {}
        }
    }

    /// Follows the newest stream of diagnostics as soon as a grant covers it.
    fn follow_early(&mut self) {
        if !self.desk.shows_diagnostics(clock::now()) {
            return;
        }
        let Some(stream) = self.early.take() else { return };
        let readings = self.ports.readings.clone();
        let task = self.tasks.spawn(async move { TaskEnd::Diagnostics(incoming::follow(stream, readings).await) });
        // There is one subscription: a new stream takes the place of the one before.
        if let Some(before) = self.diagnostics.replace(task) {
            before.abort();
        }
    }

    fn take_task_end(&mut self, ended: Result<TaskEnd, tokio::task::JoinError>) {
        match ended {
            Ok(TaskEnd::Courier(run, outcome)) => {
                self.desk.courier_done(run);
                if let Err(TooMuchOutput) = outcome {
                    self.broke_the_rules(format!("the end user's machine sent more output of {run} than it may"));
                }
            }
            Ok(TaskEnd::Inspection(inspection, Ok(inspected))) => self.desk.inspected(inspection, inspected),
            Ok(TaskEnd::Inspection(_, Err(error))) => self.broke_the_rules(error.to_string()),
            Ok(TaskEnd::Diagnostics(Err(error))) => self.broke_the_rules(error.to_string()),
            Ok(TaskEnd::Writer(Err(error))) => tracing::debug!(%error, "the control stream is over"),
            Ok(TaskEnd::Writer(Ok(())) | TaskEnd::Accepting | TaskEnd::Diagnostics(Ok(())) | TaskEnd::Server) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "a part of the session failed"),
        }
    }

    fn broke_the_rules(&mut self, how: String) {
        self.desk.board.end_detail.get_or_insert(how);
        self.desk.core.close(EndReason::Protocol);
    }

    /// Tells everybody that it is over, and waits a bounded time for them to hear it.
    async fn finish(mut self) -> Outcome {
        let reason = self.desk.core.end_reason().unwrap_or(EndReason::Shutdown);
        self.desk.session_over(reason);
        let outcome = self.desk.outcome(reason);
        self.ports.status.send_replace(self.desk.status(clock::now()).into());
        // Closing the inbox tells the server's connections that no more is taken.
        self.ports.inbox.close();
        self.outbox = None;
        if let Some(diagnostics) = self.diagnostics.take() {
            diagnostics.abort();
        }
        let code = if reason == EndReason::Protocol { CloseCode::Protocol } else { CloseCode::Done };
        let last_words = async {
            while let Some(ended) = self.tasks.join_next().await {
                tracing::debug!(?ended, "a part of the session is done");
                if matches!(ended, Ok(TaskEnd::Writer(_))) {
                    self.sealed.close(code, "");
                }
            }
        };
        if timeout(LAST_WORDS, last_words).await.is_err() {
            tracing::debug!("somebody did not hear the end of the session");
        }
        self.sealed.close(code, "");
        self.tasks.shutdown().await;
        if let Some(channel) = self.channel.take() {
            let told = self.control.send(ToRelay::CloseChannel { channel });
            // The relay finds out by itself as well.
            let _ = timeout(TICK, told).await;
        }
        drop(self.setup);
        self.node.close().await;
        Outcome { detail: outcome.detail.map(|detail| end_words(reason, Some(&detail))), ..outcome }
    }
}

/// Why there seems to be nobody at the other end, in a few words.
fn silence_words(silence: Silence) -> &'static str {
    if silence.slept_here { "this machine slept" } else { "the end user's machine does not answer; it may be asleep" }
}

/// Why the session is not waited for any longer.
fn given_up_words(silence: Silence, patience: Duration) -> String {
    let patience = units::duration(patience);
    if silence.slept_here {
        format!("this machine slept for longer than a session waits, which is {patience}")
    } else {
        format!("the end user's machine has not answered for {patience}")
    }
}

/// Why there is no relay, in a few words: the session goes on looking for it.
fn loss_words(why: &Loss) -> String {
    match why {
        Loss::Attempt(ConnectError::NoAnswer { .. }) => "the relay does not answer".to_owned(),
        Loss::Attempt(ConnectError::NoTcp { .. }) => "the relay is not reached over TCP".to_owned(),
        Loss::Attempt(ConnectError::NoWay { .. }) => "the relay answers neither by UDP nor over TCP".to_owned(),
        Loss::Attempt(ConnectError::NotResolved { .. }) => "the relay's name is not found".to_owned(),
        Loss::Attempt(ConnectError::WrongKey) => "another relay answers in its place".to_owned(),
        Loss::Attempt(ConnectError::Refused) => "the relay takes no connection at the moment".to_owned(),
        Loss::Attempt(ConnectError::Socket { .. } | ConnectError::Version | ConnectError::Broken { .. } | _)
        | Loss::Draining
        | Loss::Closed { .. }
        | Loss::Restarted
        | Loss::Slept
        | Loss::Silent
        | Loss::Protocol { .. }
        | _ => why.to_string(),
    }
}

/// Sends what the core wants sent, and ends the stream when there is no more.
async fn write(mut sender: FrameSender, mut messages: mpsc::Receiver<ToAgent>) -> Result<(), StreamError> {
    while let Some(message) = messages.recv().await {
        sender.send(&message).await?;
    }
    sender.finish().await
}

/// Returns at `deadline`; never without one. Cancel safe.
async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
