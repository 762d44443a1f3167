//! The consent page: a page on the loopback address that shows the view and sends back what the person does.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `POST /session` | the ticket of the address | see [`webui`] |
//! | `POST /events` | `{}` | a stream of views (Server-Sent Events), for the one tab that has the seat; 409 for another one |
//! | `POST /act` | one act | 202; 409 if it gives something and comes from a tab without the seat |
//! | `POST /leaving` | `{}` | 204; the page is being closed |
//!
//! The stream is the presence of the person: while it is open they can see what happens and stop it. When it is lost for
//! three seconds they count as away.

mod messages;
mod seat;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing,
};
use futures_util::{Stream, stream};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use transport::clock;
use webui::{Loopback, OpenUrl, Server, Site, Tab, access::TICKET_LIFETIME};
use wire::session::Absence;

use self::{
    messages::ActMessage,
    seat::{Presence, Seat, StreamId},
};
use super::{FrontError, aged::Aged};
use crate::view::{UserAct, View};

/// How often something is sent when nothing changes, so that a dead stream is noticed by either side.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How long an act may wait for the program to take it. It takes one at a time and at once, so this is never reached
/// unless the program hangs; then the page says so.
const ACT_TIMEOUT: Duration = Duration::from_secs(2);

/// The consent page being served. Dropping it stops serving at once.
#[derive(Debug)]
pub struct BrowserFrontEnd {
    server: Server,
    presence: watch::Receiver<Option<Presence>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl BrowserFrontEnd {
    /// Serves the page on a free port of `127.0.0.1`. Nothing is opened: the caller hands [`BrowserFrontEnd::url`] to a
    /// browser or to the person.
    ///
    /// Sends [`UserAct::Present`] when a page opens and when one comes back, [`UserAct::Away`] when it is lost.
    ///
    /// # Errors
    ///
    /// [`FrontError::Loopback`].
    pub async fn start(view: watch::Receiver<View>, acts: mpsc::Sender<UserAct>) -> Result<Self, FrontError> {
        let loopback = Loopback::bind(clock::now).await.map_err(FrontError::Loopback)?;
        let stop = CancellationToken::new();
        let first = Aged::new(view.borrow().clone(), clock::now());
        let (aged, views) = watch::channel(first);
        let (tell, presence) = watch::channel(None);
        let shared = Arc::new(Shared {
            views,
            acts,
            seat: Mutex::new(Seat::new()),
            seat_changed: Notify::new(),
            current: watch::Sender::new(0),
            stop: stop.clone(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_age(view, aged, stop.clone()));
        tasks.spawn(watch_presence(Arc::clone(&shared), tell));
        let server = loopback.serve(Site { files: webui::consent::PAGE, api: router(shared) });
        Ok(Self { server, presence, stop, tasks })
    }

    /// A fresh address that opens the page once, within a minute. Ask for a new one each time that one is shown or opened.
    pub fn url(&self) -> OpenUrl {
        self.server.open_url()
    }

    /// Returns once a page has been opened; at once if one ever was. The caller limits how long it waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn first_page(&self) {
        self.told(|presence| presence.is_some()).await;
    }

    /// A fresh address once the last one is of no more use: the page that it opened was lost, or it has opened none in its minute.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn next_url(&self) -> OpenUrl {
        let void_at = clock::now() + TICKET_LIFETIME;
        tokio::select! {
            biased;
            () = async {
                self.told(|presence| presence == Some(Presence::Here)).await;
                self.told(|presence| presence == Some(Presence::Away)).await;
            } => {}
            () = async {
                clock::sleep_until(void_at).await;
                self.told(|presence| presence != Some(Presence::Here)).await;
            } => {}
        }
        self.url()
    }

    async fn told(&self, wanted: impl Fn(Option<Presence>) -> bool) {
        if self.presence.clone().wait_for(|presence| wanted(*presence)).await.is_err() {
            // Nobody looks any more, because this is about to end.
            std::future::pending::<()>().await;
        }
    }

    /// Ends the streams, then the server. The page keeps showing what it showed last, or says that the program is gone.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.server.shutdown().await;
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What every request needs.
struct Shared {
    views: watch::Receiver<Aged>,
    acts: mpsc::Sender<UserAct>,
    seat: Mutex<Seat>,
    seat_changed: Notify,
    /// Counts up whenever a stream takes the seat, so that the one before it ends.
    current: watch::Sender<u64>,
    stop: CancellationToken,
}

impl Shared {
    fn seat(&self) -> MutexGuard<'_, Seat> {
        // Every change of the seat is a single assignment: a panic leaves nothing half done.
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the times of the views run on, because a page may ask for one much later.
async fn keep_age(mut view: watch::Receiver<View>, aged: watch::Sender<Aged>, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = view.changed() => {
                if changed.is_err() {
                    // Nobody will make a view any more; dropping `aged` ends the streams.
                    return;
                }
                let next = view.borrow_and_update().clone();
                aged.send_modify(|aged| aged.update(next, clock::now()));
            }
        }
    }
}

/// Tells the session whether the person is there.
async fn watch_presence(shared: Arc<Shared>, tell: watch::Sender<Option<Presence>>) {
    loop {
        let (presence, wake) = {
            let mut seat = shared.seat();
            (seat.presence(clock::now()), seat.poll_timeout())
        };
        if let Some(presence) = presence {
            tell.send_replace(Some(presence));
            let act = match presence {
                Presence::Here => UserAct::Present,
                Presence::Away => UserAct::Away(Absence::PageClosed),
            };
            tokio::select! {
                biased;
                // Whoever shuts this down no longer takes acts.
                () = shared.stop.cancelled() => return,
                sent = shared.acts.send(act) => if sent.is_err() { return },
            }
        }
        let sleep = async {
            match wake {
                Some(wake) => clock::sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = shared.seat_changed.notified() => {}
            () = sleep => {}
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/events", routing::post(events))
        .route("/act", routing::post(act))
        .route("/leaving", routing::post(leaving))
        .with_state(shared)
}

async fn events(State(shared): State<Arc<Shared>>, Extension(tab): Extension<Tab>) -> Response {
    let Ok(stream) = shared.seat().sit(tab) else {
        return (StatusCode::CONFLICT, "another page is open\n").into_response();
    };
    shared.seat_changed.notify_one();
    shared.current.send_modify(|streams| *streams += 1);
    let place = Place { views: shared.views.clone(), current: shared.current.subscribe(), stream, shared };
    Sse::new(views(place)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

/// A stream's place on the seat, given up when the stream ends for whatever reason.
struct Place {
    shared: Arc<Shared>,
    stream: StreamId,
    views: watch::Receiver<Aged>,
    current: watch::Receiver<u64>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.seat().rise(self.stream, clock::now());
        self.shared.seat_changed.notify_one();
    }
}

enum Next {
    First(Place),
    Later(Place),
    Over,
}

/// The newest view at once, then each new one. Views that come faster than the page takes them are skipped: only the newest counts.
fn views(place: Place) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Next::First(place), |next| async {
        let mut place = match next {
            Next::First(mut place) => {
                let event = view_event(&mut place);
                return Some((Ok(event), Next::Later(place)));
            }
            Next::Later(place) => place,
            Next::Over => return None,
        };
        let stop = place.shared.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Some((Ok(Event::default().event("over").data("{}")), Next::Over)),
                _ = place.current.changed() => {
                    if !place.shared.seat().is_current(place.stream) {
                        return Some((Ok(Event::default().event("moved").data("{}")), Next::Over));
                    }
                }
                changed = place.views.changed() => {
                    if changed.is_err() {
                        return Some((Ok(Event::default().event("over").data("{}")), Next::Over));
                    }
                    let event = view_event(&mut place);
                    return Some((Ok(event), Next::Later(place)));
                }
            }
        }
    })
}

fn view_event(place: &mut Place) -> Event {
    let view = place.views.borrow_and_update().at(clock::now());
    let text = serde_json::to_string(&view).expect("a view has only string keys");
    Event::default().event("view").data(text)
}

async fn act(State(shared): State<Arc<Shared>>, Extension(tab): Extension<Tab>, body: Bytes) -> Response {
    let Ok(message) = serde_json::from_slice::<ActMessage>(&body) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "not an act\n").into_response();
    };
    if message.gives() && !shared.seat().is_seated(tab) {
        return (StatusCode::CONFLICT, "another page is open\n").into_response();
    }
    let Ok(act) = message.into_act() else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "no such ability\n").into_response();
    };
    match shared.acts.send_timeout(act, ACT_TIMEOUT).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(mpsc::error::SendTimeoutError::Closed(_)) => (StatusCode::GONE, "the session is over\n").into_response(),
        Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
            tracing::error!("an act of the person was not taken in time");
            (StatusCode::SERVICE_UNAVAILABLE, "the program does not respond\n").into_response()
        }
    }
}

async fn leaving(State(shared): State<Arc<Shared>>, Extension(tab): Extension<Tab>) -> StatusCode {
    shared.seat().leave(tab, clock::now());
    shared.seat_changed.notify_one();
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests;
