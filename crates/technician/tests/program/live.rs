//! A live session in a real terminal and in other terminals beside it.

use std::time::Duration;

use pty::{Key, Terminal};
use rustix::process::Signal;
use wire::{
    diagnostics::{DeltaEncoder, IdentityCard, Processor, Snapshot, StreamFrame, report::Report},
    ids::RequestId,
    run::{OutputCount, RunOutcome},
    session::{DenyReason, EndReason, Output, StreamHeader, Subject, ToAgent, ToTechnician},
    text::Label,
    time::WallTime,
};

use crate::{
    agent::{AgentEnd, patiently},
    world::{Ran, World},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn frames() -> [StreamFrame; 2] {
    let label = Label::cut;
    let card = IdentityCard {
        host: label("desk-4\u{1b}[2J"),
        system: label("Debian"),
        kernel: label("6.1"),
        architecture: label("x86_64"),
        model: label(""),
        virtualisation: None,
        processor: label("ACME"),
        cores: 1,
        memory_kib: 1 << 20,
        agent_version: label("test"),
        user: label("ana"),
        administrator: false,
    };
    let processor = Processor { busy_permille: 420, ..Processor::default() };
    let sample = Snapshot { tick: 1, interval_ms: 1000, processor, ..Snapshot::default() };
    [StreamFrame::Opening(Box::new(Report::new(card, WallTime(0)))), DeltaEncoder::new().encode(&sample)]
}

async fn shows(screen: &Terminal, text: &str) {
    screen.wait_for(text, PATIENCE).await.unwrap();
}

fn strings(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

async fn end_of(end: &mut AgentEnd) {
    while end.next().await != ToAgent::End {}
    end.send(ToTechnician::Ended { reason: EndReason::ByTechnician }).await;
}

#[tokio::test]
async fn a_session_on_the_screen_from_the_code_to_the_end() {
    let mut world = World::start().await;
    let attach = world.attach(&["--name", "Ana Ruiz"]);
    let mut screen = world.home.terminal(&strings(&attach));
    let mut end = patiently(world.agent.pair()).await;
    shows(&screen, "Asking the end user").await;
    shows(&screen, &end.paired.words.to_string()).await;

    end.grant().await;
    let _stream = end.stream(StreamHeader::Diagnostics, &frames()).await;
    shows(&screen, "desk-4\\u{1b}[2J").await;
    shows(&screen, "Processor 42%").await;
    shows(&screen, "Allowed diag.basic").await;

    screen.type_text("recho 'two words'").await.unwrap();
    shows(&screen, "[two words]").await;
    screen.press(Key::Enter).await.unwrap();
    let proposal = end.approve_run(2).await;
    assert_eq!((proposal.program.as_slice(), proposal.arguments), (&b"echo"[..], vec![b"two words".to_vec()]));
    let mut output = end.output(proposal.run, Output::Stdout).await;
    output.write_all(b"\x1b[31mtwo words\n").await.unwrap();
    end.finish_run(proposal.run, RunOutcome::Exited { code: 0 }, 15, 0).await;
    shows(&screen, "\\u{1b}[31mtwo words").await;
    shows(&screen, "exit 0").await;

    screen.type_text("q").await.unwrap();
    shows(&screen, "This ends the session.").await;
    screen.type_text("y").await.unwrap();
    end_of(&mut end).await;
    end.closed().await;
    let status = screen.wait_exit(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let text = screen.text();
    assert!(text.contains("the technician ended the session"), "below the shell's prompt: {text}");
    let raw = String::from_utf8_lossy(screen.screen().raw()).into_owned();
    assert!(raw.rfind("\u{1b}[?1049l") > raw.rfind("\u{1b}[?1049h"), "the other screen was left");
    assert!(raw.contains("\u{1b}[?2004l"), "pasting is as before");
}

#[tokio::test]
async fn a_code_that_is_asked_for_or_read_from_standard_input_attaches() {
    let mut world = World::start().await;
    let mut screen = world.home.terminal(&["attach", "--relay", &world.link]);
    shows(&screen, "Session code, as the end user reads it out:").await;
    screen.type_text(&world.agent.code.to_string()).await.unwrap();
    screen.press(Key::Enter).await.unwrap();
    let mut end = patiently(world.agent.pair()).await;
    end.grant().await;
    shows(&screen, "Allowed diag.basic").await;
    screen.type_text("q").await.unwrap();
    shows(&screen, "This ends the session.").await;
    screen.type_text("y").await.unwrap();
    end_of(&mut end).await;
    end.closed().await;
    assert_eq!(screen.wait_exit(PATIENCE).await.unwrap().code(), Some(0));

    let mut world = World::start().await;
    let code = format!("{}\n", world.agent.code);
    let attach = ["attach", "-", "--relay", &world.link, "--detach"];
    let pairing = async {
        let mut end = patiently(world.agent.pair()).await;
        end.grant().await;
        end
    };
    let (attached, mut end) = tokio::join!(world.home.run_with(&attach, &code), pairing);
    assert_eq!(attached.code, Some(0), "{attached:?}");
    let ending = world.home.assent(&["end"]).spawn().unwrap();
    end_of(&mut end).await;
    end.closed().await;
    assert_eq!(patiently(ending.wait_with_output()).await.unwrap().status.code(), Some(0));
}

#[tokio::test]
async fn a_denied_session_is_shown_until_it_was_seen() {
    let mut world = World::start().await;
    let attach = world.attach(&[]);
    let mut screen = world.home.terminal(&strings(&attach));
    let mut end = patiently(world.agent.pair()).await;
    let subject = Subject::Request(RequestId(1));
    end.send(ToTechnician::Denied { subject, reason: DenyReason::ByUser }).await;
    end.send(ToTechnician::Ended { reason: EndReason::DeniedByUser }).await;
    end.closed().await;
    shows(&screen, "the end user did not allow the session").await;
    shows(&screen, "Press q to leave").await;
    screen.type_text("q").await.unwrap();
    assert_eq!(screen.wait_exit(PATIENCE).await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn closing_the_terminal_or_ending_the_process_ends_the_session() {
    for hang_up in [true, false] {
        let mut world = World::start().await;
        let attach = world.attach(&[]);
        let mut screen = world.home.terminal(&strings(&attach));
        let mut end = patiently(world.agent.pair()).await;
        end.grant().await;
        shows(&screen, "Allowed diag.basic").await;
        if hang_up {
            screen.hang_up().await;
        } else {
            screen.signal(Signal::TERM).unwrap();
        }
        end_of(&mut end).await;
        end.closed().await;
        screen.wait_exit(PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn an_attach_that_fails_is_told_where_it_stays() {
    let world = World::start().await;
    let other = if world.agent.locator().to_string() == "0000" { 1 } else { 0 };
    let other = wire::ids::Locator::new(other, 4).unwrap();
    let code = trust::code::SessionCode::draw(other, &mut rand_core::OsRng).to_string();
    let mut screen = world.home.terminal(&["attach", &code, "--relay", &world.link]);
    assert_eq!(screen.wait_exit(PATIENCE).await.unwrap().code(), Some(3));
    let text = screen.text();
    assert!(text.contains("nobody is waiting under this code"), "{text}");
    assert!(text.contains("Ask the end user for the code"), "{text}");
}

#[tokio::test]
async fn a_session_in_the_background_serves_other_commands() {
    let mut world = World::start().await;
    let attach = world.attach(&["--detach"]);
    let attaching = world.home.assent(&strings(&attach)).spawn().unwrap();
    let mut end = patiently(world.agent.pair()).await;
    end.grant().await;
    let attached = Ran::new(patiently(attaching.wait_with_output()).await.unwrap());
    assert_eq!(attached.code, Some(0), "{attached:?}");
    assert_eq!(attached.stdout, format!("{}\n", end.paired.session));
    assert!(attached.stderr.contains(&format!("read out: {}", end.paired.words)), "{attached:?}");

    let _stream = end.stream(StreamHeader::Diagnostics, &frames()).await;
    let reading = world.home.run(&["diag", "--json"]).await;
    assert_eq!((reading.code, &reading.json()["sample"]["tick"]), (Some(0), &1.into()), "{reading:?}");
    let people = world.home.run(&["diag"]).await;
    assert!(people.stdout.starts_with("desk-4\\u{1b}[2J: Debian"), "{people:?}");
    let status = world.home.run(&["status", "--json"]).await.json();
    assert_eq!(status["session"], end.paired.session.to_string().as_str());
    assert_eq!(status["host"], "desk-4\\u{1b}[2J");

    let run = world.home.assent(&["run", "--output-limit", "4", "--", "sh", "-c", "exit 7"]).spawn().unwrap();
    let proposal = end.approve_run(2).await;
    assert_eq!(proposal.limits.output_bytes, 4);
    let mut stdout = end.output(proposal.run, Output::Stdout).await;
    stdout.write_all(b"\x1b[2J").await.unwrap();
    let mut stderr = end.output(proposal.run, Output::Stderr).await;
    stderr.write_all(b"err\n").await.unwrap();
    let count = |sent_bytes, written_bytes| OutputCount { sent_bytes, written_bytes };
    let outcome = RunOutcome::Exited { code: 7 };
    let run_id = proposal.run;
    end.send(ToTechnician::RunFinished { run: run_id, outcome, stdout: count(4, 100), stderr: count(4, 4) }).await;
    let ran = Ran::new(patiently(run.wait_with_output()).await.unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(7), "\u{1b}[2J"), "a pipe gets the bytes as they are");
    assert!(ran.stderr.contains("assent: asking the end user…"), "{ran:?}");
    assert!(ran.stderr.contains("err\n"), "{ran:?}");
    assert!(ran.stderr.contains("[cut: standard output has 4 of 100 bytes written; 96 bytes"), "{ran:?}");

    let asked = world.home.assent(&["request", "diag.process", "--json"]).spawn().unwrap();
    let ToAgent::Request(request) = end.next().await else { panic!() };
    let subject = Subject::Request(request.request);
    end.send(ToTechnician::Denied { subject, reason: DenyReason::Ceiling }).await;
    let answer = Ran::new(patiently(asked.wait_with_output()).await.unwrap());
    assert_eq!((answer.code, &answer.json()["reason"]), (Some(3), &"ceiling".into()), "{answer:?}");

    #[cfg(feature = "otlp")]
    {
        let exported = world.home.run(&["diag", "export", "otlp"]).await;
        assert_eq!((exported.code, exported.stdout.lines().count()), (Some(0), 1), "{exported:?}");
        assert!(exported.json()["resourceMetrics"].is_array(), "{exported:?}");
    }
    let ending = world.home.assent(&["end"]).spawn().unwrap();
    end_of(&mut end).await;
    end.closed().await;
    assert_eq!(patiently(ending.wait_with_output()).await.unwrap().status.code(), Some(0));
    assert_eq!(world.home.run(&["status"]).await.code, Some(1));
}

#[tokio::test]
async fn a_denied_attach_in_the_background_leaves_no_process() {
    let mut world = World::start().await;
    let attach = world.attach(&["--detach", "--json"]);
    let attaching = world.home.assent(&strings(&attach)).spawn().unwrap();
    let mut end = patiently(world.agent.pair()).await;
    let subject = Subject::Request(RequestId(1));
    end.send(ToTechnician::Denied { subject, reason: DenyReason::NoAnswer }).await;
    end.send(ToTechnician::Ended { reason: EndReason::NoAnswer }).await;
    end.closed().await;
    let attached = Ran::new(patiently(attaching.wait_with_output()).await.unwrap());
    assert_eq!(attached.code, Some(4), "{attached:?}");
    assert_eq!(attached.stdout, "");
    let problem = serde_json::from_str::<serde_json::Value>(&attached.stderr).unwrap();
    assert_eq!(problem["exit"], 4);
}

#[tokio::test]
async fn interrupting_a_run_cancels_it_and_a_second_time_leaves() {
    let mut world = World::start().await;
    let attach = world.attach(&["--no-screen"]);
    let mut attached = world.home.assent(&strings(&attach)).spawn().unwrap();
    let mut end = patiently(world.agent.pair()).await;
    end.grant().await;
    while world.home.run(&["status", "--json"]).await.stdout.contains("waiting_for_answer") {}

    let mut run = world.home.terminal(&["run", "--", "sleep", "60"]);
    let proposal = end.approve_run(2).await;
    shows(&run, "allowed it; running").await;
    run.press(Key::Control('c')).await.unwrap();
    assert_eq!(end.next().await, ToAgent::CancelRun { run: proposal.run });
    shows(&run, "Ctrl-C again leaves").await;
    end.finish_run(proposal.run, RunOutcome::Cancelled, 0, 0).await;
    assert_eq!(run.wait_exit(PATIENCE).await.unwrap().code(), Some(130));

    let mut run = world.home.terminal(&["run", "--", "sleep", "60"]);
    let proposal = end.approve_run(3).await;
    shows(&run, "allowed it; running").await;
    run.press(Key::Control('c')).await.unwrap();
    assert_eq!(end.next().await, ToAgent::CancelRun { run: proposal.run });
    run.press(Key::Control('c')).await.unwrap();
    assert_eq!(run.wait_exit(PATIENCE).await.unwrap().code(), Some(130), "without waiting for its end");

    end.send(ToTechnician::Ended { reason: EndReason::ByUser }).await;
    end.closed().await;
    assert_eq!(patiently(attached.wait()).await.unwrap().code(), Some(0));
}
