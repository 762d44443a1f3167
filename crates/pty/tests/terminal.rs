//! A real program in a pseudo-terminal.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use pty::{Key, Size, Terminal, TerminalError};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, pidfd_open},
};

use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_program_asks_and_the_typed_answer_reaches_it() {
    let mut terminal = start("printf 'name? '; read -r name; echo \"hello $name\"; test -t 0 && echo 'at a terminal'");
    terminal.wait_for("name?", PATIENCE).await.unwrap();
    terminal.type_text("Ana").await.unwrap();
    terminal.press(Key::Enter).await.unwrap();
    assert!(terminal.wait_exit(PATIENCE).await.unwrap().success());
    assert_eq!(terminal.text(), "name? Ana\nhello Ana\nat a terminal");
}

#[tokio::test]
async fn control_c_interrupts_the_program_in_front() {
    let mut terminal = start("echo ready; exec sleep 600");
    terminal.wait_for("ready", PATIENCE).await.unwrap();
    terminal.press(Key::Control('c')).await.unwrap();
    assert_eq!(terminal.wait_exit(PATIENCE).await.unwrap().signal(), Some(2));
}

#[tokio::test]
async fn hanging_up_reaches_the_program_as_sighup() {
    let mut terminal = start("echo ready; exec sleep 600");
    terminal.wait_for("ready", PATIENCE).await.unwrap();
    terminal.hang_up().await;
    assert_eq!(terminal.wait_exit(PATIENCE).await.unwrap().signal(), Some(1));
    assert!(matches!(terminal.type_text("x").await, Err(TerminalError::HungUp)));
}

#[tokio::test]
async fn the_program_is_told_of_a_new_size() {
    let terminal = start("trap 'stty size' WINCH; stty size; while read -r line; do :; done");
    terminal.wait_for("24 80", PATIENCE).await.unwrap();
    terminal.resize(Size { rows: 30, columns: 100 }).unwrap();
    // The shell runs its trap once the read returns.
    terminal.press(Key::Enter).await.unwrap();
    terminal.wait_for("30 100", PATIENCE).await.unwrap();
}

#[tokio::test]
async fn waiting_for_a_program_that_has_ended_fails_at_once_and_shows_the_screen() {
    let terminal = start("echo goodbye");
    let error = terminal.wait_for("never", PATIENCE).await.unwrap_err();
    assert!(matches!(&error, TerminalError::Ended { screen, .. } if screen == "goodbye"), "{error}");
}

#[tokio::test]
async fn dropping_a_terminal_kills_the_whole_group() {
    let terminal = start("sleep 600 & echo \"child=$!.\"; wait");
    let child = terminal
        .wait_until("the child's id", PATIENCE, |text| {
            // The full stop tells that the number is all there: output may come in pieces.
            let (id, _) = text.strip_prefix("child=")?.split_once('.')?;
            id.parse::<i32>().ok()
        })
        .await
        .unwrap();
    let child = Pid::from_raw(child).unwrap();
    let dead = pidfd_open(child, PidfdFlags::empty()).unwrap();
    drop(terminal);
    let patience = Timespec::try_from(PATIENCE).unwrap();
    // The death of the shell itself is a signal to this process and interrupts a call that waits.
    let ready = retry_on_intr(|| poll(&mut [PollFd::new(&dead, PollFlags::IN)], Some(&patience)));
    assert_eq!(ready, Ok(1), "the child lives on");
}

#[expect(clippy::disallowed_methods, reason = "a terminal is nothing without a program in it")]
fn start(script: &str) -> Terminal {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Terminal::start(command, Size::CLASSIC).expect("a shell starts in a terminal")
}
