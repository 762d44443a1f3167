//! The program itself: what it prints, how it ends, what it leaves on the disk.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{ExitStatus, Output, Stdio},
};

use pem::Pem;
use rand_core::OsRng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    net::UdpSocket,
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use trust::{keys::SigningKey, tls_certificate::self_signed};
use wire::{
    control::{FromRelay, ToRelay},
    link::RelayLink,
};

use crate::world::{PATIENCE, connect, get};

/// `assent-relay` with a home of its own and nothing of the environment.
#[expect(clippy::disallowed_methods, reason = "this test is about the program")]
fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assent-relay"));
    command
        .env_clear()
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("NO_COLOR", "1")
        .kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(home: &Path, arguments: &[&str]) -> Output {
    timeout(PATIENCE, program(home).args(arguments).output()).await.expect("it ends by itself").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A running `assent-relay serve`.
struct Serving {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Serving {
    fn start(home: &Path, arguments: &[&str]) -> Self {
        let state = home.join("relay");
        let mut command = program(home);
        command.args(["serve", "--http", "127.0.0.1:0", "--state-dir"]).arg(state).args(arguments);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line").unwrap();
        match line {
            Some(line) => line,
            None => panic!("{}", self.errors().await),
        }
    }

    async fn event(&mut self, name: &str) -> Value {
        loop {
            let event = serde_json::from_str::<Value>(&self.line().await).unwrap();
            assert!(event["time"].as_str().unwrap().ends_with('Z'));
            if event["event"] == name {
                return event;
            }
        }
    }

    async fn errors(&mut self) -> String {
        let mut errors = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut errors).await.unwrap();
        errors
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    async fn end(&mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }
}

#[tokio::test]
async fn a_relay_prints_its_link_serves_metrics_and_stops_when_told_to() {
    let home = tempfile::tempdir().unwrap();
    let mut relay = Serving::start(home.path(), &["--json", "--listen", "127.0.0.1:0"]);
    let listening = relay.event("listening").await;
    let link = listening["link"].as_str().unwrap().parse::<RelayLink>().unwrap();
    let udp = listening["udp"].as_str().unwrap().parse::<SocketAddr>().unwrap();
    let http = listening["http"].as_str().unwrap().parse::<SocketAddr>().unwrap();
    assert_eq!((link.host(), link.port()), ("127.0.0.1", udp.port()));

    let key = home.path().join("relay/relay.key");
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
    let (status, metrics) = get(http, "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("\nassent_relay_connections 0\n"), "{metrics}");
    assert_eq!(get(http, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(http, "/").await.0, 404);

    let mut agent = connect(link.clone()).await;
    let connected = relay.event("connected").await;
    assert_eq!(connected["connections"], 1);
    let FromRelay::LocatorAllocated { locator, .. } = agent.ask(ToRelay::AllocateLocator).await else { panic!() };
    let allocated = relay.event("locator_allocated").await;
    assert_eq!((&allocated["digits"], &allocated["connection"]), (&4.into(), &connected["connection"]));
    assert!(!allocated.to_string().contains(&format!("\"{locator}\"")), "the locator is nobody's business");

    relay.signal(Signal::TERM);
    assert!(matches!(agent.message().await, FromRelay::Draining { .. }));
    assert_eq!(relay.event("draining").await["channels"], 0);
    assert_eq!(relay.event("stopped").await["channels_cut"], 0);
    assert_eq!(relay.end().await.code(), Some(0));
    assert!(!relay.errors().await.contains(&locator.to_string()), "not in the log either");

    let mut again = Serving::start(home.path(), &["--listen", &udp.to_string()]);
    assert_eq!(again.line().await, link.to_string(), "the same key, so the same link");
    again.signal(Signal::INT);
    assert_eq!(again.end().await.code(), Some(0));
}

#[tokio::test]
async fn channels_are_reported_with_what_passed() {
    let home = tempfile::tempdir().unwrap();
    let mut relay = Serving::start(home.path(), &["--json", "--listen", "127.0.0.1:0"]);
    let link = relay.event("listening").await["link"].as_str().unwrap().parse::<RelayLink>().unwrap();
    let (mut agent, mut technician) = (connect(link.clone()).await, connect(link).await);
    let locator = agent.allocate().await;
    let channel = technician.attach(locator).await;
    agent.opened().await;
    let sealed = crate::world::seal(&agent, &technician, channel).await;
    let opened = relay.event("channel_opened").await;
    assert_eq!((&opened["origin"], &opened["channel"]), (&"attach".into(), &channel.to_string().into()));

    agent.control.send(ToRelay::CloseChannel { channel }).await.unwrap();

    let closed = relay.event("channel_closed").await;
    assert_eq!((&closed["reason"], &closed["channel"]), (&"closed".into(), &channel.to_string().into()));
    for side in ["agent", "technician"] {
        assert!(closed[format!("{side}_bytes")].as_u64().unwrap() > 1_200, "{closed}");
        assert!(closed[format!("{side}_packets")].as_u64().unwrap() > 1, "{closed}");
    }
    drop(sealed);
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    let home = tempfile::tempdir().unwrap();
    let config = write(&home, "relay.toml", "drain_secs = 600");
    let mut relay = Serving::start(home.path(), &["--json", "--listen", "127.0.0.1:0", "--config", &config]);
    let link = relay.event("listening").await["link"].as_str().unwrap().parse::<RelayLink>().unwrap();
    let (mut agent, mut technician) = (connect(link.clone()).await, connect(link).await);
    let locator = agent.allocate().await;
    technician.attach(locator).await;

    relay.signal(Signal::TERM);
    assert_eq!(relay.event("draining").await["channels"], 1);
    relay.signal(Signal::TERM);
    assert_eq!(relay.event("stopped").await["channels_cut"], 1);
    assert_eq!(relay.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_renewed_certificate_is_read_at_sighup_and_a_damaged_one_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let put = |text: &str, key: &str| (write(&home, "chain.pem", text), write(&home, "key.pem", key));
    let made = || {
        let key = SigningKey::generate(&mut OsRng);
        let pem = |what: &str, der: &[u8]| pem::encode(&Pem::new(what, der));
        put(&pem("CERTIFICATE", &self_signed(&key).unwrap()), &pem("PRIVATE KEY", &key.to_pkcs8()))
    };
    let (chain, key) = made();
    let config = format!("tls_certificate = {chain:?}\ntls_key = {key:?}");
    let config = write(&home, "relay.toml", &config);
    let mut relay = Serving::start(home.path(), &["--json", "--listen", "127.0.0.1:0", "--config", &config]);
    relay.event("listening").await;
    let mut errors = BufReader::new(relay.child.stderr.take().unwrap()).lines();
    let mut said = async |part: &str| {
        while !timeout(PATIENCE, errors.next_line()).await.expect("it says so").unwrap().unwrap().contains(part) {}
    };

    put("damaged", "damaged");
    relay.signal(Signal::HUP);
    said("stays as it was").await;
    made();
    relay.signal(Signal::HUP);
    said("read the certificate for TCP again").await;
    relay.signal(Signal::TERM);
    assert_eq!(relay.end().await.code(), Some(0));
}

#[tokio::test]
async fn the_link_can_be_printed_again_and_names_the_public_host() {
    let home = tempfile::tempdir().unwrap();
    let config =
        write(&home, "relay.toml", "listen = \"127.0.0.1:0\"\npublic_port = 7000\npublic_host = \"relay.example.org\"");
    let before =
        run(home.path(), &["link", "--config", &config, "--state-dir", home.path().join("none").to_str().unwrap()])
            .await;
    assert_eq!(before.status.code(), Some(1));
    assert!(text(&before.stderr).contains("assent-relay serve"), "{}", text(&before.stderr));

    let mut relay = Serving::start(home.path(), &["--config", &config]);
    let link = relay.line().await;
    assert!(link.starts_with("assent://relay.example.org:7000#"), "{link}");
    let state = home.path().join("relay");
    let printed = run(home.path(), &["link", "--config", &config, "--state-dir", state.to_str().unwrap()]).await;
    assert_eq!(text(&printed.stdout), format!("{link}\n"));
    let unknown = run(home.path(), &["link", "--listen", "127.0.0.1:0", "--state-dir", state.to_str().unwrap()]).await;
    assert_eq!(unknown.status.code(), Some(2), "nobody knows the port");
}

#[tokio::test]
async fn a_relay_that_listens_everywhere_says_how_to_make_a_link_for_others() {
    let home = tempfile::tempdir().unwrap();
    let mut relay = Serving::start(home.path(), &["--listen", "0.0.0.0:0"]);
    assert!(relay.line().await.starts_with("assent://127.0.0.1:"));
    relay.signal(Signal::TERM);
    relay.end().await;
    let errors = relay.errors().await;
    assert!(errors.contains("--public-host"), "{errors}");
}

#[tokio::test]
async fn what_keeps_a_relay_from_starting_is_said_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let taken_tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (udp, tcp) = (taken.local_addr().unwrap().to_string(), taken_tcp.local_addr().unwrap().to_string());
    let (good_http, state) = ("127.0.0.1:0", home.path().join("relay").to_str().unwrap().to_owned());
    let open_key = home.path().join("open");
    fs::create_dir(&open_key).unwrap();
    write(&home, "open/relay.key", "x");
    fs::set_permissions(open_key.join("relay.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let damaged_key = home.path().join("damaged");
    fs::create_dir(&damaged_key).unwrap();
    write(&home, "damaged/relay.key", "x");
    fs::set_permissions(damaged_key.join("relay.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let (open_key, damaged_key) = (open_key.to_str().unwrap(), damaged_key.to_str().unwrap());
    let config = write(&home, "relay.toml", "drain_secs = 5000");
    let file_in_the_way = format!("{config}/relay");

    // Arguments, exit code, parts of what is said.
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (
            &["--listen", &udp, "--state-dir", &state, "--http", good_http],
            1,
            &["another relay", "--listen", "not started"],
        ),
        (&["--listen", "127.0.0.1:0", "--state-dir", &state, "--http", &tcp], 1, &["metrics", "--http", "not started"]),
        (
            &["--listen", "192.0.2.1:4433", "--state-dir", &state, "--http", good_http],
            1,
            &["does not have the address"],
        ),
        (&["--listen", "127.0.0.1:0", "--state-dir", open_key, "--http", good_http], 1, &["by others", "chmod 600"]),
        (&["--listen", "127.0.0.1:0", "--state-dir", damaged_key, "--http", good_http], 1, &["damaged", "backup"]),
        (
            &["--listen", "127.0.0.1:0", "--state-dir", &file_in_the_way, "--http", good_http],
            1,
            &["cannot be kept", "--state-dir"],
        ),
        (&["--config", &config], 2, &["drain_secs = 5000", "0 to 600"]),
        (&["--no-such-option"], 2, &["--no-such-option"]),
    ];
    for (arguments, code, parts) in cases {
        let output = run(home.path(), &[&["serve"], arguments].concat()).await;
        let errors = text(&output.stderr).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        for part in parts {
            assert!(errors.contains(part), "{arguments:?}: {part:?} is not in: {errors}");
        }
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn the_default_metrics_port_may_be_taken_but_no_other() {
    let home = tempfile::tempdir().unwrap();
    // Taken here or by whatever else runs on this machine: all the same.
    let _taken = tokio::net::TcpListener::bind("127.0.0.1:9464").await;
    let mut command = program(home.path());
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--state-dir"]).arg(home.path().join("relay"));
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut relay = Serving { child, lines };
    assert_eq!(relay.event("listening").await["http"], Value::Null);
    relay.signal(Signal::TERM);
    assert_eq!(relay.end().await.code(), Some(0));
    assert!(relay.errors().await.contains("without /metrics"));
}

#[tokio::test]
async fn the_sample_completions_and_manual_are_printed() {
    let home = tempfile::tempdir().unwrap();
    let sample = run(home.path(), &["config"]).await;
    let config = write(&home, "relay.toml", &text(&sample.stdout));
    let mut relay = Serving::start(home.path(), &["--config", &config, "--listen", "127.0.0.1:0"]);
    assert!(relay.line().await.starts_with("assent://"));

    let script = text(&run(home.path(), &["completions", "bash"]).await.stdout);
    assert!(script.contains("assent-relay") && script.contains("--state-dir"), "{script}");
    let page = text(&run(home.path(), &["man"]).await.stdout);
    assert!(page.contains("assent\\-relay") && page.contains(".SH"), "{page}");
    let pages = home.path().join("pages");
    fs::create_dir(&pages).unwrap();
    assert!(run(home.path(), &["man", pages.to_str().unwrap()]).await.status.success());
    assert!(pages.join("assent-relay-serve.1").exists());
}

/// Writes a file below the home and returns its path.
fn write(home: &TempDir, name: &str, contents: &str) -> String {
    let path = home.path().join(name);
    let mut file = fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut file, contents.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}
