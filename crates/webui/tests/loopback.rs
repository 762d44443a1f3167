//! The guard over real sockets, spoken to byte by byte.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, body::Body, routing};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};
use webui::{Asset, Loopback, OpenUrl, Server, Site, Tab, guard, server};
use wire::time::Moment;

const FILES: &[Asset] = &[Asset { path: "/", content_type: "text/html; charset=utf-8", body: b"<!doctype html>" }];

fn epoch() -> Moment {
    Moment::default()
}

fn site() -> Site {
    let api = Router::new()
        .route("/act", routing::post(|Extension(Tab(tab)), body: String| async move { format!("tab {tab}: {body}") }))
        .route("/state", routing::get(|| async { "fine" }))
        .route("/endless", routing::post(|| async { Body::from_stream(futures_util::stream::pending::<Item>()) }));
    Site { files: FILES, api }
}

type Item = Result<&'static str, std::io::Error>;

async fn start() -> Server {
    Loopback::bind(epoch).await.unwrap().serve(site())
}

fn ticket(url: &OpenUrl) -> String {
    url.expose().split_once("#t=").unwrap().1.to_owned()
}

/// One request, header by header, so that each can be left out or forged.
#[derive(Clone)]
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Request {
    fn get(server: &Server, target: &str) -> Self {
        let host = ("Host", server.address().to_string());
        Self { method: "GET", target: target.to_owned(), headers: vec![host], body: String::new() }
    }

    /// What the page itself sends.
    fn post(server: &Server, target: &str, body: &str) -> Self {
        let mut request = Self { method: "POST", body: body.to_owned(), ..Self::get(server, target) };
        request.headers.push(("Origin", format!("http://{}", server.address())));
        request.headers.push(("Sec-Fetch-Site", "same-origin".to_owned()));
        request.headers.push(("Content-Type", "application/json".to_owned()));
        request.headers.push(("Content-Length", body.len().to_string()));
        request
    }

    fn signed(mut self, login: &Login) -> Self {
        self.headers.push(("Cookie", login.cookie.clone()));
        self.headers.push(("Authorization", format!("Bearer {}", login.bearer)));
        self
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn without(mut self, name: &str) -> Self {
        let before = self.headers.len();
        self.headers.retain(|(found, _)| *found != name);
        assert_ne!(self.headers.len(), before, "{name} was not there");
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self.also(name, value)
    }

    fn also(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        format!("{text}\r\n{}", self.body).into_bytes()
    }

    async fn send(&self, server: &Server) -> Reply {
        exchange(server.address(), &self.bytes()).await
    }
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

async fn exchange(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_reply(&mut stream).await
}

async fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

#[derive(Debug, Clone)]
struct Login {
    cookie: String,
    bearer: String,
}

async fn log_in(server: &Server) -> Login {
    let body = format!("{{\"ticket\":\"{}\"}}", ticket(&server.open_url()));
    let reply = Request::post(server, "/session", &body).send(server).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let bearer = reply.body.strip_prefix("{\"bearer\":\"").unwrap().strip_suffix("\"}").unwrap().to_owned();
    Login { cookie, bearer }
}

#[tokio::test]
async fn the_page_itself_is_let_through() {
    let server = start().await;
    let page = Request::get(&server, "/").send(&server).await;
    assert_eq!((page.status, page.body.as_str()), (200, "<!doctype html>"));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));

    let first = log_in(&server).await;
    let second = log_in(&server).await;
    let reply = Request::post(&server, "/act", "{}").signed(&first).send(&server).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "tab 1: {}"));
    let reply = Request::post(&server, "/act", "{}").signed(&second).send(&server).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "tab 2: {}"));
    let reply = Request::get(&server, "/state").signed(&second).send(&server).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "fine"));
    assert_eq!(Request::get(&server, "/nothing").signed(&second).send(&server).await.status, 404);
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_request_lacks_names_its_status() {
    let server = start().await;
    let login = log_in(&server).await;
    let own = server.address().to_string();
    let port = server.address().port();
    let act = || Request::post(&server, "/act", "{}").signed(&login);
    let state = || Request::get(&server, "/state").signed(&login);
    let session = || Request::post(&server, "/session", "{\"ticket\":\"0\"}");
    let page = || Request::get(&server, "/");

    let table = [
        // Host: an exact match, once, whatever else is right.
        ("no host", 421, page().without("Host")),
        ("a name that was rebound to this machine", 421, page().with("Host", &format!("evil.example:{port}"))),
        ("localhost", 421, page().with("Host", &format!("localhost:{port}"))),
        ("the host without its port", 421, page().with("Host", "127.0.0.1")),
        ("another port", 421, page().with("Host", "127.0.0.1:1")),
        ("a host that starts with ours", 421, page().with("Host", &format!("{own}0"))),
        ("a host that ends with ours", 421, page().with("Host", &format!("x@{own}"))),
        ("two hosts", 421, page().also("Host", "evil.example")),
        ("ours twice", 421, page().also("Host", &own)),
        ("another authority in the request line", 421, Request { target: "http://evil.example/".into(), ..page() }),
        ("a wrong host before a wrong method", 421, page().method("DELETE").with("Host", "evil.example")),
        ("a wrong host on a signed call", 421, act().with("Host", "evil.example")),
        ("our own authority in the request line", 200, Request { target: format!("http://{own}/"), ..page() }),
        // Methods.
        ("writing to a file", 405, Request::post(&server, "/", "{}")),
        ("a preflight for a file", 405, page().method("OPTIONS")),
        ("a preflight for a call", 405, act().method("OPTIONS")),
        ("PUT", 405, act().method("PUT")),
        ("DELETE", 405, act().method("DELETE")),
        ("TRACE", 405, state().method("TRACE")),
        ("opening a session by reading", 405, Request::get(&server, "/session")),
        ("the router's own answer to a read of an act", 405, Request::get(&server, "/act").signed(&login)),
        // Who asks. Files are open to all: a link from elsewhere may open the page, which then knows nothing.
        ("a link from another site to the page", 200, page().with("Sec-Fetch-Site", "cross-site")),
        ("a typed address", 200, page().with("Sec-Fetch-Site", "none")),
        ("a forged call from another site", 403, act().with("Sec-Fetch-Site", "cross-site")),
        ("a forged call from another port", 403, act().with("Sec-Fetch-Site", "same-site")),
        ("a call that no page made", 403, act().with("Sec-Fetch-Site", "none")),
        ("two sites", 403, act().also("Sec-Fetch-Site", "same-origin")),
        ("another origin", 403, act().with("Origin", "http://evil.example")),
        ("another origin, old browser", 403, act().without("Sec-Fetch-Site").with("Origin", "http://evil.example")),
        ("another port's origin", 403, act().without("Sec-Fetch-Site").with("Origin", "http://127.0.0.1:1")),
        ("our address under another scheme", 403, act().with("Origin", &format!("https://{own}"))),
        ("the origin of a sandbox", 403, act().without("Sec-Fetch-Site").with("Origin", "null")),
        ("two origins", 403, act().also("Origin", &format!("http://{own}"))),
        ("neither header", 403, act().without("Sec-Fetch-Site").without("Origin")),
        ("only the site header", 200, act().without("Origin")),
        ("only our origin, old browser", 200, act().without("Sec-Fetch-Site")),
        ("a forged read", 403, state().with("Sec-Fetch-Site", "cross-site")),
        ("a read with another origin", 403, state().with("Origin", "http://evil.example")),
        ("a read without either header", 200, state()),
        ("a forged session", 403, session().with("Sec-Fetch-Site", "cross-site")),
        // What it carries.
        ("a form", 415, act().with("Content-Type", "application/x-www-form-urlencoded")),
        ("text, which needs no preflight", 415, act().with("Content-Type", "text/plain")),
        ("no type", 415, act().without("Content-Type")),
        ("two types", 415, act().also("Content-Type", "application/json")),
        ("JSON in another character set", 415, act().with("Content-Type", "application/json; charset=utf-16")),
        ("JSON with its character set", 200, act().with("Content-Type", "application/json; charset=utf-8")),
        ("a session as a form", 415, session().with("Content-Type", "text/plain")),
        ("too long by its own account", 413, act().with("Content-Length", &(guard::BODY_BYTES + 1).to_string())),
        // Who was let in.
        ("no cookie", 401, act().without("Cookie")),
        ("no bearer", 401, act().without("Authorization")),
        ("neither", 401, act().without("Cookie").without("Authorization")),
        ("a wrong cookie", 401, act().with("Cookie", &format!("assent-{port}={}", "0".repeat(64)))),
        (
            "the cookie under another port's name",
            401,
            act().with("Cookie", &login.cookie.replace("assent-", "assent-1")),
        ),
        ("a wrong bearer", 401, act().with("Authorization", &format!("Bearer {}", "0".repeat(64)))),
        ("the bearer under another scheme", 401, act().with("Authorization", &format!("Basic {}", login.bearer))),
        ("two bearers", 401, act().also("Authorization", "Bearer 0")),
        ("a read without cookie and bearer", 401, Request::get(&server, "/state")),
        ("an unknown path for a stranger", 401, Request::get(&server, "/nothing")),
        ("a planted cookie beside the right one", 200, act().also("Cookie", &format!("assent-{port}=planted"))),
        ("cookies of other programs", 200, act().with("Cookie", &format!("a=b; {}; c=d", login.cookie))),
        ("a wrong ticket", 401, session()),
        ("an offer that is no offer", 400, Request::post(&server, "/session", "{\"ticket\":7}")),
        ("an offer with more in it", 400, Request::post(&server, "/session", "{\"ticket\":\"0\",\"tab\":1}")),
    ];
    for (what, status, request) in table {
        let reply = request.send(&server).await;
        assert_eq!(reply.status, status, "{what}: {reply:?}");
        for (name, _) in reply.head.lines().filter_map(|line| line.split_once(':')) {
            assert!(!name.to_ascii_lowercase().starts_with("access-control-"), "{what}: {name}");
        }
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; "), "{what}: {policy:?}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{what}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{what}");
        assert_eq!(reply.header("cross-origin-opener-policy"), Some("same-origin"), "{what}");
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("same-origin"), "{what}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{what}");
        assert!(reply.header("permissions-policy").is_some(), "{what}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_for_scripts_and_other_sites() {
    let server = start().await;
    let body = format!("{{\"ticket\":\"{}\"}}", ticket(&server.open_url()));
    let reply = Request::post(&server, "/session", &body).send(&server).await;
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.starts_with(&format!("assent-{}=", server.address().port())), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{cookie}");
}

#[tokio::test]
async fn a_ticket_cannot_be_replayed() {
    let server = start().await;
    let body = format!("{{\"ticket\":\"{}\"}}", ticket(&server.open_url()));
    let offer = Request::post(&server, "/session", &body);
    assert_eq!(offer.send(&server).await.status, 200);
    let again = offer.send(&server).await;
    assert_eq!(again.status, 401);
    assert_eq!(again.header("set-cookie"), None);
    log_in(&server).await;
}

#[tokio::test]
async fn a_ticket_that_waited_too_long_opens_nothing() {
    static SECONDS: AtomicU64 = AtomicU64::new(1_000);
    fn clock() -> Moment {
        Moment::from_origin(Duration::from_secs(SECONDS.load(Ordering::SeqCst)))
    }
    let server = Loopback::bind(clock).await.unwrap().serve(site());
    let body = format!("{{\"ticket\":\"{}\"}}", ticket(&server.open_url()));
    SECONDS.fetch_add(60, Ordering::SeqCst);
    assert_eq!(Request::post(&server, "/session", &body).send(&server).await.status, 401);
    log_in(&server).await;
}

#[tokio::test]
async fn two_servers_share_nothing() {
    let (one, two) = (start().await, start().await);
    let login = log_in(&one).await;
    // A browser sends cookies to every port of a host, so the second server does see the first one's.
    let reply = Request::post(&two, "/act", "{}").signed(&login).send(&two).await;
    assert_eq!(reply.status, 401);
    let renamed = login.cookie.replace(&one.address().port().to_string(), &two.address().port().to_string());
    let reply = Request::post(&two, "/act", "{}").signed(&login).with("Cookie", &renamed).send(&two).await;
    assert_eq!(reply.status, 401);
    let body = format!("{{\"ticket\":\"{}\"}}", ticket(&one.open_url()));
    assert_eq!(Request::post(&two, "/session", &body).send(&two).await.status, 401);
    assert_eq!(Request::post(&one, "/act", "{}").signed(&login).send(&one).await.status, 200);
}

#[tokio::test]
async fn a_body_is_cut_off_at_its_bound_however_it_is_sent() {
    let server = start().await;
    let login = log_in(&server).await;
    let fits = "x".repeat(guard::BODY_BYTES);
    let reply = Request::post(&server, "/act", &fits).signed(&login).send(&server).await;
    assert_eq!((reply.status, reply.body.len()), (200, guard::BODY_BYTES + "tab 1: ".len()));

    let chunked = format!("{:x}\r\n{fits}x\r\n0\r\n\r\n", fits.len() + 1);
    let request = Request { body: chunked, ..Request::post(&server, "/act", "") };
    let request = request.signed(&login).without("Content-Length").with("Transfer-Encoding", "chunked");
    assert_eq!(request.send(&server).await.status, 413);

    let request = Request::post(&server, "/act", "{}").signed(&login).with("X-Long", &"x".repeat(64 * 1024));
    assert_eq!(request.send(&server).await.status, 431);
}

#[tokio::test]
async fn garbage_is_answered_or_dropped_and_the_server_goes_on() {
    let server = start().await;
    let garbage: [&[u8]; 5] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ];
    for bytes in garbage {
        let reply = exchange(server.address(), bytes).await;
        assert!(reply.status == 0 || (400..=505).contains(&reply.status), "{reply:?}");
    }
    log_in(&server).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_its_head_is_dropped() {
    let server = start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
    assert_ne!(read_reply(&mut stream).await.status, 200);

    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    assert_eq!(read_reply(&mut silent).await.status, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_its_body_is_told_and_dropped() {
    let server = start().await;
    let login = log_in(&server).await;
    let request = Request::post(&server, "/act", "{").signed(&login).with("Content-Length", "2");
    assert_eq!(request.send(&server).await.status, 408);
}

#[tokio::test]
async fn no_more_connections_are_served_at_once_than_the_cap_allows() {
    let release = Arc::new(Semaphore::new(0));
    let active = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let full = Arc::new(Semaphore::new(0));
    let hold = {
        let (release, active, most, full) = (release.clone(), active.clone(), most.clone(), full.clone());
        move || async move {
            let now = active.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            full.add_permits(1);
            release.acquire().await.unwrap().forget();
            active.fetch_sub(1, Ordering::SeqCst);
        }
    };
    let api = Router::new().route("/hold", routing::post(hold));
    let server = Loopback::bind(epoch).await.unwrap().serve(Site { files: FILES, api });
    let login = log_in(&server).await;

    let request = Request::post(&server, "/hold", "{}").signed(&login).bytes();
    let address = server.address();
    let mut calls = JoinSet::new();
    for _ in 0..server::CONNECTIONS + 16 {
        let request = request.clone();
        calls.spawn(async move { exchange(address, &request).await.status });
    }
    full.acquire_many(server::CONNECTIONS.try_into().unwrap()).await.unwrap().forget();
    for _ in 0..server::CONNECTIONS + 16 {
        release.add_permits(1);
        assert_eq!(calls.join_next().await.unwrap().unwrap(), 200);
    }
    assert_eq!(most.load(Ordering::SeqCst), server::CONNECTIONS);
}

#[tokio::test]
async fn a_crowd_that_says_nothing_does_not_keep_the_person_waiting() {
    let server = start().await;
    let login = log_in(&server).await;
    let mut crowd = Vec::new();
    for _ in 0..server::STRANGERS + server::CONNECTIONS {
        crowd.push(TcpStream::connect(server.address()).await.unwrap());
    }
    let request = Request::post(&server, "/act", "{}").signed(&login);
    let reply =
        tokio::time::timeout(server::HEAD_TIMEOUT / 2, request.send(&server)).await.expect("the crowd is in the way");
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn shutting_down_ends_answers_that_would_never_end() {
    let server = start().await;
    let login = log_in(&server).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(&Request::post(&server, "/endless", "{}").signed(&login).bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let address = server.address();
    server.shutdown().await;
    // The end comes as a reset or as the end of the stream; that it comes is the point.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn dropping_the_handle_leaves_nothing_behind() {
    let server = start().await;
    let address = server.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    drop(server);
    let _ = stream.read_to_end(&mut Vec::new()).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn only_loopback_is_bound() {
    let server = start().await;
    assert!(server.address().ip().is_loopback());
    assert!(server.address().is_ipv4());
    assert_ne!(server.address().port(), 0);
}
