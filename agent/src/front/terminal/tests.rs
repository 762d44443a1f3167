//! The front end at a pseudo-terminal, with the test at the other end of it.

use std::os::fd::OwnedFd;

use consent::{Answer, Proof, Verdict};
use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use tokio::io::unix::AsyncFd;

use super::*;
use crate::{front::samples, view::Phase};

/// Reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    view: watch::Sender<View>,
    acts: mpsc::Receiver<UserAct>,
    front: TerminalFrontEnd,
    /// Where the person sits.
    desk: Desk,
}

struct Desk {
    master: Option<AsyncFd<OwnedFd>>,
    /// Keeps the terminal's settings alive and readable.
    terminal: OwnedFd,
    seen: Vec<u8>,
}

impl Desk {
    fn new() -> (Self, OwnedFd) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let (terminal, front) =
            (ioctl_tiocgptpeer(&master, flags).unwrap(), ioctl_tiocgptpeer(&master, flags).unwrap());
        rustix::fs::fcntl_setfl(&front, OFlags::NONBLOCK | OFlags::RDWR).unwrap();
        rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK | OFlags::RDWR).unwrap();
        #[expect(unsafe_code, reason = "tokio leaves it to the caller that a descriptor stays what it is")]
        // SAFETY: an `OwnedFd` keeps its descriptor open, under the same number, until it is dropped.
        let master = unsafe { AsyncFd::register(master) }.unwrap();
        (Self { master: Some(master), terminal, seen: Vec::new() }, front)
    }

    fn master(&self) -> &AsyncFd<OwnedFd> {
        self.master.as_ref().unwrap()
    }

    /// Waits until `text` was written since the last call.
    async fn sees(&mut self, text: &str) {
        let wait = async {
            loop {
                let seen = String::from_utf8_lossy(&self.seen).into_owned();
                if let Some((_, after)) = seen.split_once(text) {
                    self.seen = after.as_bytes().to_vec();
                    return;
                }
                let mut buffer = [0; 4096];
                let mut ready = self.master().readable().await.unwrap();
                if let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?)) {
                    let count = read.unwrap();
                    drop(ready);
                    self.seen.extend_from_slice(&buffer[..count]);
                }
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{text:?} is not in {:?}", String::from_utf8_lossy(&self.seen));
    }

    fn types(&self, keys: &str) {
        rustix::io::write(self.master().get_ref(), keys.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }
}

impl Stage {
    fn start(view: View) -> Self {
        let (desk, terminal) = Desk::new();
        let (view, shown) = watch::channel(view);
        let (sender, acts) = mpsc::channel(16);
        let hangup = signal(SignalKind::hangup()).unwrap();
        let front = TerminalFrontEnd::on(Tty::on(terminal).unwrap(), hangup, shown, sender);
        Self { view, acts, front, desk }
    }

    async fn act(&mut self) -> UserAct {
        timeout(PATIENCE, self.acts.recv()).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_session_from_code_to_end() {
    let mut stage = Stage::start(samples::waiting());
    stage.desk.sees("4821 936 0427").await;
    stage.view.send_replace(samples::asking(samples::ana()));
    stage.desk.sees("May Ana Ruiz connect to this computer?").await;
    stage.desk.sees("type the word «river»").await;
    stage.desk.types("river\r");
    let act = stage.act().await;
    let UserAct::Answer(Answer { verdict: Verdict::Allow { proof, .. }, .. }) = act else { panic!("{act:?}") };
    assert_eq!(proof, Proof::TypedWord("river".into()));
    stage.view.send_replace(samples::live());
    stage.desk.sees("You allowed: diag.basic, run.r0").await;
    stage.desk.sees("Ana Ruiz (ACME Support) is connected").await;
    stage.desk.types("\x03");
    assert_eq!(stage.act().await, UserAct::Stop);
    // The last view is written even if it comes together with the end.
    stage.view.send_replace(samples::ended());
    stage.front.shutdown().await;
    stage.desk.sees("The session is over").await;
    stage.desk.sees("5be10c77.jsonl").await;
}

#[tokio::test]
async fn the_terminal_is_given_back_at_the_end() {
    let stage = Stage::start(samples::waiting());
    assert!(stage.desk.is_raw());
    stage.front.shutdown().await;
    assert!(!stage.desk.is_raw());
}

#[tokio::test]
async fn the_terminal_is_given_back_after_a_panic() {
    let (mut desk, terminal) = Desk::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _tty = Tty::on(terminal).unwrap();
        panic!("this test's own");
    });
    assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());
    assert!(!desk.is_raw());
    desk.sees("\x1b[?2004l").await;
}

#[tokio::test]
async fn dropping_the_front_end_gives_the_terminal_back() {
    let Stage { view, acts: _acts, front, mut desk } = Stage::start(samples::waiting());
    desk.sees("4821").await;
    drop(front);
    timeout(PATIENCE, view.closed()).await.unwrap();
    assert!(!desk.is_raw());
}

#[tokio::test]
async fn a_closed_terminal_is_no_terminal_any_more() {
    let mut stage = Stage::start(samples::live());
    stage.desk.sees("is connected").await;
    stage.desk.master = None;
    assert_eq!(stage.act().await, UserAct::FrontEndGone);
    stage.front.shutdown().await;
}

#[tokio::test]
async fn what_was_typed_before_a_question_does_not_answer_it() {
    let mut stage = Stage::start(samples::waiting());
    stage.desk.sees("4821 936 0427").await;
    // The keys and the question are there before the front end looks again.
    stage.desk.types("river\rriver\r");
    stage.view.send_replace(samples::asking(samples::ana()));
    stage.desk.sees("type the word «river»").await;
    stage.desk.types("n\r");
    let act = stage.act().await;
    assert!(matches!(&act, UserAct::Answer(Answer { verdict: Verdict::Deny, .. })), "{act:?}");
}

#[tokio::test]
async fn the_changing_lines_take_no_more_room_as_time_passes() {
    let mut stage = Stage::start(samples::view(Phase::Connecting { detail: "first".into() }));
    stage.desk.sees("first").await;
    for round in 0..100 {
        stage.view.send_replace(samples::view(Phase::Connecting { detail: format!("round {round}") }));
        // Up to the first of four lines and down again.
        stage.desk.sees("\x1b[3A\r\x1b[J").await;
        stage.desk.sees(&format!("round {round}")).await;
    }
    stage.front.shutdown().await;
}

#[tokio::test]
async fn a_terminal_that_takes_nothing_does_not_hold_up_the_end() {
    let stage = Stage::start(samples::waiting());
    // Nobody reads the other end: the terminal's buffer fills up.
    for round in 0..200 {
        let lines = (0..50)
            .map(|line| crate::view::ActivityLine { time: format!("{round:02}:00:{line:02}"), text: "x".repeat(200) });
        stage.view.send_replace(View { activity: lines.collect(), ..samples::live() });
        tokio::task::yield_now().await;
    }
    timeout(PATIENCE, stage.front.shutdown()).await.unwrap();
}
