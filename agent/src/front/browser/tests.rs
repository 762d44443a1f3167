//! The page's calls over real sockets.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use wire::{ids::GrantId, session::Ability};

use super::*;
use crate::front::samples;

/// Reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    view: watch::Sender<View>,
    acts: mpsc::Receiver<UserAct>,
    front: BrowserFrontEnd,
}

impl Stage {
    async fn start(view: View) -> Self {
        let (view, shown) = watch::channel(view);
        let (sender, acts) = mpsc::channel(16);
        let front = BrowserFrontEnd::start(shown, sender).await.unwrap();
        Self { view, acts, front }
    }

    async fn act(&mut self) -> UserAct {
        timeout(PATIENCE, self.acts.recv()).await.unwrap().unwrap()
    }

    async fn page(&self) -> Page {
        Page::open(&self.front.url()).await
    }
}

#[derive(Clone)]
struct Page {
    address: String,
    cookie: String,
    bearer: String,
}

impl Page {
    async fn open(url: &OpenUrl) -> Self {
        let text = url.expose();
        let (address, ticket) = text.strip_prefix("http://").unwrap().split_once("/#t=").unwrap();
        let mut page = Self { address: address.to_owned(), cookie: String::new(), bearer: String::new() };
        let (head, body) = page.call("/session", &json!({ "ticket": ticket })).await;
        page.cookie = head.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        let body = serde_json::from_str::<Value>(&body).unwrap();
        page.bearer = body["bearer"].as_str().unwrap().to_owned();
        page
    }

    async fn send(&self, path: &str, body: &Value) -> TcpStream {
        let Self { address, cookie, bearer } = self;
        let body = body.to_string();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nCookie: {cookie}\r\nAuthorization: Bearer {bearer}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn call(&self, path: &str, body: &Value) -> (String, String) {
        let mut text = String::new();
        timeout(PATIENCE, self.send(path, body).await.read_to_string(&mut text)).await.unwrap().unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    async fn status(&self, path: &str, body: &Value) -> u16 {
        self.call(path, body).await.0.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn act(&self, act: &Value) -> u16 {
        self.status("/act", act).await
    }

    async fn events(&self) -> Events {
        let mut events = Events(BufReader::new(self.send("/events", &json!({})).await));
        assert!(events.line().await.unwrap().starts_with("HTTP/1.1 200"));
        events
    }
}

struct Events(BufReader<TcpStream>);

impl Events {
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.0.read_line(&mut line)).await.unwrap().unwrap_or(0);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Name and data of the next event, or `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let line = self.line().await?;
            let Some(name) = line.strip_prefix("event: ") else { continue };
            let data = self.line().await?;
            return Some((name.to_owned(), serde_json::from_str(data.strip_prefix("data: ")?).unwrap()));
        }
    }
}

fn allow() -> Value {
    json!({ "act": "allow", "prompt": 3, "digest": samples::DIGEST, "abilities": ["diag.basic"], "spoken_words": null })
}

fn deny() -> Value {
    json!({ "act": "deny", "prompt": 3, "digest": samples::DIGEST })
}

#[tokio::test]
async fn the_newest_view_comes_at_once_and_every_new_one_after_it() {
    let stage = Stage::start(samples::waiting()).await;
    let mut events = stage.page().await.events().await;
    let (name, view) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &view["phase"]["code"]), ("view", &json!("4821 936 0427")));
    assert!(view["phase"]["expires_in_ms"].as_u64().unwrap() <= samples::CODE_MS);
    stage.view.send_replace(samples::asking(samples::ana()));
    let (_, view) = events.next().await.unwrap();
    assert_eq!(view["phase"], json!({ "name": "asking" }));
    assert_eq!(view["prompt"]["digest"], json!(samples::DIGEST.to_string()));
    stage.front.shutdown().await;
    assert_eq!(events.next().await.unwrap().0, "over");
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_stream_ends_when_there_will_be_no_more_views() {
    let stage = Stage::start(samples::live()).await;
    let mut events = stage.page().await.events().await;
    events.next().await.unwrap();
    let Stage { view, front: _front, acts: _acts } = stage;
    drop(view);
    assert_eq!(events.next().await.unwrap().0, "over");
}

#[tokio::test]
async fn an_answer_counts_only_from_the_page_that_shows_the_question() {
    let mut stage = Stage::start(samples::asking(samples::ana())).await;
    let (first, second) = (stage.page().await, stage.page().await);
    assert_eq!(first.act(&allow()).await, 409, "a page without the stream of views shows nothing");
    let _events = first.events().await;
    assert_eq!(stage.act().await, UserAct::Present);
    assert_eq!(second.status("/events", &json!({})).await, 409);
    assert_eq!(second.act(&allow()).await, 409);
    assert_eq!(second.act(&json!({ "act": "new_code" })).await, 409);
    // What only takes away is taken from either.
    assert_eq!(second.act(&deny()).await, 202);
    assert!(matches!(stage.act().await, UserAct::Answer(answer) if answer.verdict == consent::Verdict::Deny));
    assert_eq!(second.act(&json!({ "act": "stop" })).await, 202);
    assert_eq!(stage.act().await, UserAct::Stop);
    assert_eq!(first.act(&json!({ "act": "narrow", "grant": 1, "abilities": ["run.r0"] })).await, 202);
    assert_eq!(stage.act().await, UserAct::Narrow(GrantId(1), vec![Ability::RunR0]));
    assert_eq!(first.act(&allow()).await, 202);
    assert!(matches!(stage.act().await, UserAct::Answer(_)));
}

#[tokio::test]
async fn what_is_no_act_is_refused() {
    let mut stage = Stage::start(samples::live()).await;
    let page = stage.page().await;
    let _events = page.events().await;
    stage.act().await;
    for bad in [json!(null), json!({ "act": "present" }), json!({ "act": "narrow", "grant": 1, "abilities": ["all"] })]
    {
        assert_eq!(page.act(&bad).await, 422, "{bad}");
    }
    assert!(stage.acts.try_recv().is_err());
}

#[tokio::test]
async fn a_newer_stream_of_the_same_tab_takes_the_place_of_the_older() {
    let mut stage = Stage::start(samples::live()).await;
    let page = stage.page().await;
    let mut older = page.events().await;
    older.next().await.unwrap();
    let mut newer = page.events().await;
    newer.next().await.unwrap();
    assert_eq!(older.next().await.unwrap().0, "moved");
    assert_eq!(older.next().await, None);
    assert_eq!(stage.act().await, UserAct::Present);
    stage.view.send_replace(samples::ended());
    assert_eq!(newer.next().await.unwrap().0, "view");
    assert!(stage.acts.try_recv().is_err(), "the person was there all the time");
}

#[tokio::test]
async fn a_page_that_is_lost_means_away_and_one_that_returns_means_present() {
    let mut stage = Stage::start(samples::live()).await;
    let page = stage.page().await;
    let events = page.events().await;
    timeout(PATIENCE, stage.front.first_page()).await.unwrap();
    assert_eq!(stage.act().await, UserAct::Present);
    let before = clock::now();
    drop(events);
    assert_eq!(stage.act().await, UserAct::Away(Absence::PageClosed));
    assert!(clock::now() - before >= seat::EMPTY_SEAT);

    let before = clock::now();
    let events = page.events().await;
    assert_eq!(stage.act().await, UserAct::Present);
    assert_eq!(page.status("/leaving", &json!({})).await, 204);
    drop(events);
    assert_eq!(stage.act().await, UserAct::Away(Absence::PageClosed));
    assert!(clock::now() - before >= seat::LEFT_SEAT);
}

#[tokio::test]
async fn a_page_that_is_lost_can_be_opened_by_a_new_address() {
    let mut stage = Stage::start(samples::live()).await;
    let first = stage.page().await;
    let events = first.events().await;
    assert_eq!(stage.act().await, UserAct::Present);
    let url = {
        let next = stage.front.next_url();
        tokio::pin!(next);
        let early = tokio::select! { biased; _ = &mut next => true, () = tokio::task::yield_now() => false };
        assert!(!early, "whoever has the page open needs no address");
        drop(events);
        timeout(PATIENCE, next).await.unwrap()
    };
    assert_eq!(stage.act().await, UserAct::Away(Absence::PageClosed));
    let _events = Page::open(&url).await.events().await;
    assert_eq!(stage.act().await, UserAct::Present);
}

#[tokio::test]
async fn nobody_is_there_until_a_page_is_opened() {
    let mut stage = Stage::start(samples::waiting()).await;
    let first_page = stage.front.first_page();
    tokio::pin!(first_page);
    let early = tokio::select! { biased; () = &mut first_page => true, () = tokio::task::yield_now() => false };
    assert!(!early);
    assert!(stage.acts.try_recv().is_err());
    let _events = stage.page().await.events().await;
    timeout(PATIENCE, first_page).await.unwrap();
}

#[tokio::test]
async fn a_page_is_told_when_nobody_takes_its_acts() {
    let mut stage = Stage::start(samples::live()).await;
    let page = stage.page().await;
    let _events = page.events().await;
    stage.act().await;
    drop(stage.acts);
    assert_eq!(page.act(&json!({ "act": "stop" })).await, 410);
}
