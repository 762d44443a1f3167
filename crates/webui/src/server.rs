//! Sockets, time-outs and the order of the checks.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Request, Response, StatusCode, header},
};
use futures_util::StreamExt as _;
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rand_core::OsRng;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wire::time::Moment;

use crate::{
    access::{Access, OpenUrl},
    guard::{self, BODY_BYTES, Pass, Refusal},
    headers,
};

/// Calls of tabs served at once; a further one waits until one ends. A page needs one for its stream of views and a few for its
/// calls.
pub const CONNECTIONS: usize = 32;

/// Connections that were not let in (yet) at once; a further one ends the oldest. Every program of the machine can connect: one that
/// does so without a word must neither keep the person's Stop waiting nor use up files.
pub const STRANGERS: usize = 256;

/// How long a client may take to send the head of its request, counted from the connection's start.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take to send a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// How long answers that are under way may take after [`Server::shutdown`].
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long to wait before accepting again after the system could not (such as too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One file that is served from memory to anybody who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Absolute path, such as `/page.js`.
    pub path: &'static str,
    /// The whole `Content-Type`.
    pub content_type: &'static str,
    /// The bytes.
    pub body: &'static [u8],
}

/// What a server serves: files for anybody, and calls for the tabs that were let in.
///
/// The router sees only requests that passed every check, with their body already read. It finds the caller's
/// [`crate::Tab`] in the request's extensions.
#[derive(Debug)]
pub struct Site {
    /// The files.
    pub files: &'static [Asset],
    /// The calls. A file of the same path hides one, and so does [`guard::SESSION_PATH`].
    pub api: Router,
}

/// A bound socket on `127.0.0.1` that does not serve yet.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    access: Arc<Mutex<Access>>,
    clock: fn() -> Moment,
}

impl Loopback {
    /// Binds `127.0.0.1` on a free port. `clock` decides when tickets are void.
    ///
    /// # Errors
    ///
    /// The system's own, if it gives no socket.
    pub async fn bind(clock: fn() -> Moment) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let access = Access::new(listener.local_addr()?, &mut OsRng);
        Ok(Self { listener, access: Arc::new(Mutex::new(access)), clock })
    }

    /// An address that opens the page once. See [`Server::open_url`].
    pub fn open_url(&self) -> OpenUrl {
        lock(&self.access).open_url((self.clock)(), &mut OsRng)
    }

    /// Serves `site` until the returned handle is shut down or dropped.
    pub fn serve(self, site: Site) -> Server {
        let Self { listener, access, clock } = self;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            access: Arc::clone(&access),
            clock,
            files: site.files,
            api: site.api,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, shared, stop.clone()));
        Server { access, clock, stop, tasks }
    }
}

/// A running server. Dropping it closes every connection at once.
#[derive(Debug)]
pub struct Server {
    access: Arc<Mutex<Access>>,
    clock: fn() -> Moment,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    /// A fresh address that opens the page once, within [`crate::access::TICKET_LIFETIME`].
    pub fn open_url(&self) -> OpenUrl {
        lock(&self.access).open_url((self.clock)(), &mut OsRng)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        lock(&self.access).address()
    }

    /// Accepts nothing more, gives answers that are under way a second to end, and closes what is left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes every connection at once.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What every connection needs.
#[derive(Debug)]
struct Shared {
    access: Arc<Mutex<Access>>,
    clock: fn() -> Moment,
    files: &'static [Asset],
    api: Router,
    places: Arc<Semaphore>,
}

/// A place among [`CONNECTIONS`], once the connection's call was let in; it is kept until the connection ends.
type Place = Arc<OnceLock<OwnedSemaphorePermit>>;

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    // Weak, because a place has to be free once its connection is over.
    let mut strangers = VecDeque::<(AbortHandle, Weak<OnceLock<OwnedSemaphorePermit>>)>::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && !error.is_cancelled() {
                    tracing::error!(%error, "a connection's task died");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    strangers.retain(|(_, place)| place.upgrade().is_some_and(|place| place.get().is_none()));
                    if strangers.len() >= STRANGERS && let Some((oldest, _)) = strangers.pop_front() {
                        oldest.abort();
                    }
                    let place = Place::default();
                    let known = Arc::downgrade(&place);
                    let serving = serve_connection(stream, Arc::clone(&shared), stop.clone(), place);
                    strangers.push_back((connections.spawn(serving), known));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken, place: Place) {
    let service = hyper::service::service_fn(|request| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move { Ok::<_, Infallible>(shared.answer(request, &place).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        // On loopback a new connection costs nothing, and an idle one would hold a place of `CONNECTIONS`. A place is for one call.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(DRAIN_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>, place: &Place) -> Response<Body> {
        let mut response = match self.admit(request, place).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(?refusal, "refused a request");
                refuse(refusal)
            }
        };
        headers::apply(response.headers_mut());
        response
    }

    async fn admit(&self, request: Request<Incoming>, place: &Place) -> Result<Response<Body>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let is_file = |path: &str| self.files.iter().any(|file| file.path == path);
        let pass = guard::judge(&parts, is_file, &lock(&self.access))?;
        if matches!(pass, Pass::Api(_)) {
            let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Refusal::TooSlow)?;
            let _ = place.set(permit);
        }
        let body = timeout(BODY_TIMEOUT, read_body(body)).await.map_err(|_| Refusal::TooSlow)??;
        match pass {
            Pass::File => Ok(self.file(parts.uri.path())),
            Pass::Session => self.open_session(&body),
            Pass::Api(tab) => {
                parts.extensions.insert(tab);
                let request = Request::from_parts(parts, Body::from(body));
                let Ok(response) = TowerToHyperService::new(self.api.clone()).call(request).await;
                Ok(response)
            }
        }
    }

    fn file(&self, path: &str) -> Response<Body> {
        let found = self.files.iter().find(|file| file.path == path);
        let mut response = Response::new(found.map_or_else(Body::empty, |file| Body::from(file.body)));
        let kind = found.map_or("text/plain", |file| file.content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    fn open_session(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Offer<'a> {
            ticket: &'a str,
        }
        let offer = serde_json::from_slice::<Offer<'_>>(body).map_err(|_| Refusal::Malformed)?;
        let mut access = lock(&self.access);
        let bearer = access.redeem(offer.ticket, (self.clock)(), &mut OsRng).map_err(|_| Refusal::Ticket)?;
        let name = access.cookie_name();
        let cookie = format!("{name}={}; HttpOnly; SameSite=Strict; Path=/", access.cookie().expose());
        let cookie = HeaderValue::from_str(&cookie).map_err(|_| Refusal::Malformed)?;
        let body = serde_json::json!({ "bearer": bearer.expose() }).to_string();
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(response)
    }
}

/// Reads a body of at most [`BODY_BYTES`], whatever its head promised.
async fn read_body(body: Incoming) -> Result<Bytes, Refusal> {
    let mut chunks = Body::new(body).into_data_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::Malformed)?;
        if whole.len() + chunk.len() > BODY_BYTES {
            return Err(Refusal::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.into())
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(refusal.text()));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if refusal.status() == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
    }
    response
}

fn lock(access: &Mutex<Access>) -> MutexGuard<'_, Access> {
    // Every change is a single push or remove: a panic in between leaves nothing half done.
    access.lock().unwrap_or_else(PoisonError::into_inner)
}
