//! Sessions over a real relay, real sockets and real pairing, with an agent that says what a test wants.

use tokio::sync::{mpsc, oneshot};
use transport::{
    clock,
    sealed::CloseCode,
    streams::{ByteSender, StreamError},
};
use wire::{
    diagnostics::{DeltaEncoder, Panel, Panels, StreamFrame, View, report::Report},
    evidence::Event,
    ids::{GrantId, RequestId, RunId},
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, PairingRefusal},
    run::{OutputCount, RunOutcome},
    session::{
        Ability, Absence, DenyReason, EndReason, GrantEnd, GrantNotice, Output, StreamHeader, Subject, ToAgent,
        ToTechnician,
    },
    text::Sentence,
    time::WallTime,
};

use super::{
    AttachError, Command, Handle, prepare,
    testing::{World, both, patiently, until},
};
use crate::{
    local::{
        client::Conversation,
        protocol::{Ask, Bytes, NotReady, RefusedReason, Reply, RunAsk},
    },
    screen::draw::testing as shown,
    status::{Phase, ReceiptStatus, RunState, Standing},
};

fn ask(command: &[&str]) -> RunAsk {
    RunAsk {
        reason: Sentence::cut("why"),
        command: command.iter().map(|part| Bytes(part.as_bytes().to_vec())).collect(),
        directory: None,
        environment: Vec::new(),
        time_secs: 60,
        output_bytes: 1 << 20,
        memory_mib: 512,
    }
}

async fn propose(handle: &Handle, ask: RunAsk) -> (Result<RunId, RefusedReason>, mpsc::Receiver<Reply>) {
    let (replies, told) = mpsc::channel(16);
    let (accepted, answer) = oneshot::channel();
    handle.commands.send(Command::Run { ask, replies, accepted }).await.unwrap();
    (answer.await.unwrap(), told)
}

async fn leave(handle: &Handle) {
    handle.commands.send(Command::End).await.unwrap();
}

/// Takes the technician's leave as an honest agent does.
async fn say_goodbye(end: &mut super::testing::AgentEnd) {
    assert_eq!(end.next().await, ToAgent::End);
    end.send(ToTechnician::Ended { reason: EndReason::ByTechnician }).await;
}

/// Allows the session and waits until the technician knows.
async fn go_live(handle: &Handle, end: &mut super::testing::AgentEnd) {
    end.grant().await;
    until(handle, |status| status.phase == Phase::Live).await;
}

/// The technician leaves and the agent lets them.
async fn part(handle: &Handle, mut end: super::testing::AgentEnd) {
    leave(handle).await;
    say_goodbye(&mut end).await;
    end.closed().await;
}

async fn told(replies: &mut mpsc::Receiver<Reply>) -> Reply {
    patiently(replies.recv()).await.expect("the run goes on")
}

#[tokio::test]
async fn a_session_is_allowed_shows_the_machine_and_ends() {
    let world = World::start().await;
    let receipts = world.places().receipts();
    let logs = world.directory.path().join("logs");
    let outcome = world
        .play(async |handle, mut end| {
            assert_eq!(end.introduction.claimed_name.raw(), "Ana Ruiz");
            assert_eq!(end.introduction.request.reason.raw(), "the printer");
            let waiting = until(&handle, |status| status.session.is_some()).await;
            assert_eq!(waiting.session, Some(end.paired.session));
            assert_eq!(waiting.technician.words, Some(end.paired.words.to_string()), "both people see the same words");
            assert!(matches!(waiting.phase, Phase::WaitingForAnswer { .. }));
            let (refused, _) = propose(&handle, ask(&["ls"])).await;
            assert_eq!(refused, Err(RefusedReason::NotReady(NotReady::NotAnswered)));

            let mut log = end.begin_log(logs, None).await;
            end.grant().await;
            let live = until(&handle, |status| status.phase == Phase::Live && !status.grants.is_empty()).await;
            assert_eq!(live.technician.standing, Standing::Unverified);
            let mut encoder = DeltaEncoder::new();
            let frames = [
                StreamFrame::Opening(Box::new(Report::new(shown::card(), WallTime(0)))),
                encoder.encode(&shown::sample()),
            ];
            let _stream = end.stream(StreamHeader::Diagnostics, &frames).await;
            let machine = until(&handle, |status| status.host.is_some()).await;
            assert_eq!(machine.host.as_deref(), Some("desk-4"));
            assert_eq!(machine.path.kind.as_deref(), Some("relayed"));
            let mut readings = handle.readings.clone();
            patiently(readings.wait_for(|readings| readings.sample.is_some())).await.unwrap();

            leave(&handle).await;
            assert_eq!(end.next().await, ToAgent::End);
            let closing = Event::Ended { reason: EndReason::ByTechnician };
            let line = log.append(&Event::WordsConfirmed, clock::wall_time()).unwrap();
            end.send(ToTechnician::Audit { line: line.into_bytes() }).await;
            for line in log.close(&closing, &end.key, clock::wall_time()).unwrap() {
                end.send(ToTechnician::Audit { line: line.into_bytes() }).await;
            }
            end.send(ToTechnician::Ended { reason: EndReason::ByTechnician }).await;
            end.closed().await;
            let over = until(&handle, |status| matches!(status.phase, Phase::Ended { .. })).await;
            assert_eq!(over.technician.standing, Standing::WordsConfirmed);
            assert!(over.grants.is_empty());
        })
        .await
        .unwrap();
    assert_eq!(outcome.reason, EndReason::ByTechnician);
    assert_eq!(outcome.receipt_problem, None);
    let receipt = outcome.receipt.unwrap();
    assert!(receipt.starts_with(&receipts));
    let summary = audit::verify_file(&receipt).unwrap();
    assert_eq!((summary.entries, summary.end), (3, Some(EndReason::ByTechnician)));
    assert_eq!(summary.state, audit::State::Closed);
}

#[tokio::test]
async fn diagnostics_that_overtake_the_answer_wait_for_it() {
    let world = World::start().await;
    let played = world.play(async |handle, mut end| {
        let mut encoder = DeltaEncoder::new();
        let frames =
            [StreamFrame::Opening(Box::new(Report::new(shown::card(), WallTime(0)))), encoder.encode(&shown::sample())];
        let _stream = end.stream(StreamHeader::Diagnostics, &frames).await;
        // The question comes after the stream was opened, so whatever the stream were to show would be there by the time of the status below.
        end.subscribed().await;
        let subject = Subject::Request(RequestId(1));
        end.send(ToTechnician::Asking { subject, answer_within_secs: 60 }).await;
        let asked =
            until(&handle, |status| matches!(status.phase, Phase::WaitingForAnswer { answer_within_secs: Some(_) }));
        assert_eq!(asked.await.host, None, "nothing of a machine is shown before its user said yes");
        assert!(handle.readings.borrow().card.is_none());

        let abilities = vec![Ability::DiagBasic];
        end.send(ToTechnician::Granted(GrantNotice { grant: GrantId(1), subject, abilities, stay_secs: 600 })).await;
        let shown = until(&handle, |status| status.host.is_some()).await;
        assert_eq!(shown.phase, Phase::Live, "who sees the machine may ask for a run at once");
        part(&handle, end).await;
    });
    played.await.unwrap();
}

#[tokio::test]
async fn the_machine_is_told_what_is_looked_at_and_when_nobody_does_any_more() {
    let world = World::start().await;
    let played = world.play(async |handle, mut end| {
        end.grant().await;
        let disks = View::from(Panels::OVERVIEW.with(Panel::Disks));
        let viewer = handle.viewers.open(disks);
        assert_eq!(end.next().await, ToAgent::Look { view: disks });
        viewer.look(Panels::ALL.into());
        drop(viewer);
        assert_eq!(
            end.next().await,
            ToAgent::Look { view: Panels::OVERVIEW.into() },
            "what came between is not worth a word"
        );
        part(&handle, end).await;
    });
    played.await.unwrap();
}

#[tokio::test]
async fn a_verified_technician_is_told_so() {
    let world = World::start().await;
    let logs = world.directory.path().join("logs");
    let outcome = world
        .play(async |handle, mut end| {
            let _log = end.begin_log(logs, Some("Example\u{202e} Ltd")).await;
            end.grant().await;
            let status = until(&handle, |status| status.technician.standing != Standing::Unknown).await;
            let organisation = "Example\\u{202e} Ltd".to_owned();
            assert_eq!(status.technician.standing, Standing::Verified { organisation });
            part(&handle, end).await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByTechnician);
}

#[tokio::test]
async fn a_run_brings_both_outputs_and_how_it_ended() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            go_live(&handle, &mut end).await;
            let (run, mut replies) = propose(&handle, ask(&["printf", "two words"])).await;
            let run = run.unwrap();
            let proposal = end.approve_run(2).await;
            assert_eq!((proposal.run, proposal.program), (run, b"printf".to_vec()));
            assert_eq!(proposal.arguments, [b"two words".to_vec()]);
            // The end of the run may overtake its output.
            end.finish_run(run, RunOutcome::Exited { code: 7 }, 4, 3).await;
            let mut stdout = end.output(run, Output::Stdout).await;
            stdout.write_all(b"out\n").await.unwrap();
            let mut stderr = end.output(run, Output::Stderr).await;
            stderr.write_all(b"\xff\0\n").await.unwrap();
            for stream in [stdout, stderr] {
                stream.finish().await.unwrap();
            }
            let (mut seen, mut out, mut err) = (Vec::new(), Vec::new(), Vec::new());
            let finished = loop {
                #[expect(clippy::wildcard_enum_match_arm, reason = "looked at below")]
                match told(&mut replies).await {
                    Reply::Output { output: Output::Stdout, bytes } => out.extend(bytes.0),
                    Reply::Output { output: Output::Stderr, bytes } => err.extend(bytes.0),
                    finished @ Reply::Finished { .. } => break finished,
                    other => seen.push(other),
                }
            };
            assert!(matches!(seen[..], [Reply::Asking { .. }, Reply::Started { .. }]), "{seen:?}");
            assert_eq!((out.as_slice(), err.as_slice()), (&b"out\n"[..], &b"\xff\0\n"[..]));
            let count = |bytes| OutputCount { sent_bytes: bytes, written_bytes: bytes };
            let outcome = RunOutcome::Exited { code: 7 };
            assert_eq!(finished, Reply::Finished { outcome, stdout: count(4), stderr: count(3), lost_bytes: 0 });
            let status = until(&handle, |status| status.runs.iter().any(|run| run.state.is_over())).await;
            assert_eq!(status.runs[0].command, "printf 'two words'");
            assert_eq!(status.runs[0].received_bytes, 7);
            part(&handle, end).await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByTechnician);
}

#[tokio::test]
async fn a_command_that_reads_slowly_holds_up_its_own_run_and_nothing_else() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            go_live(&handle, &mut end).await;
            let (replies, unread) = mpsc::channel(1);
            let (accepted, answer) = oneshot::channel();
            handle.commands.send(Command::Run { ask: ask(&["yes"]), replies, accepted }).await.unwrap();
            let slow = answer.await.unwrap().unwrap();
            end.approve_run(2).await;
            // The queue takes one reply, and that is the question: all of this waits on the way.
            let sent = 256 * 1024;
            let mut bulk = end.output(slow, Output::Stdout).await;
            bulk.write_all(&vec![b'y'; 256 * 1024]).await.unwrap();

            let (quick, mut replies) = propose(&handle, ask(&["true"])).await;
            let quick = quick.unwrap();
            end.approve_run(3).await;
            let mut stdout = end.output(quick, Output::Stdout).await;
            stdout.write_all(b"done\n").await.unwrap();
            end.finish_run(quick, RunOutcome::Exited { code: 0 }, 5, 0).await;
            loop {
                if let Reply::Finished { lost_bytes, .. } = told(&mut replies).await {
                    assert_eq!(lost_bytes, 0);
                    break;
                }
            }
            handle.commands.send(Command::CancelRun { run: slow }).await.unwrap();
            handle.commands.send(Command::CancelRun { run: slow }).await.unwrap();
            assert_eq!(end.next().await, ToAgent::CancelRun { run: slow }, "and not a second time");
            end.finish_run(slow, RunOutcome::Cancelled, sent, 0).await;
            drop(unread);
            until(&handle, |status| status.runs.iter().all(|run| run.state.is_over())).await;
            leave(&handle).await;
            say_goodbye(&mut end).await;
            drop(bulk);
            end.closed().await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByTechnician);
}

#[tokio::test]
async fn a_denied_session_is_over_and_says_so() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            let subject = Subject::Request(RequestId(1));
            end.send(ToTechnician::Asking { subject, answer_within_secs: 60 }).await;
            until(&handle, |status| matches!(status.phase, Phase::WaitingForAnswer { answer_within_secs: Some(_) }))
                .await;
            end.send(ToTechnician::Denied { subject, reason: DenyReason::ByUser }).await;
            end.send(ToTechnician::Ended { reason: EndReason::DeniedByUser }).await;
            end.closed().await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::DeniedByUser);
}

#[tokio::test]
async fn revoking_narrowing_and_pausing_show_at_once() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            end.grant().await;
            until(&handle, |status| !status.grants.is_empty()).await;
            end.send(ToTechnician::Paused { reason: Absence::PageClosed, ends_in_secs: 60 }).await;
            let paused = until(&handle, |status| matches!(status.phase, Phase::Paused { .. })).await;
            assert!(paused.grants.is_empty(), "nothing is allowed while the person is away");
            let (refused, _) = propose(&handle, ask(&["ls"])).await;
            assert_eq!(refused, Err(RefusedReason::NotReady(NotReady::Paused)));
            end.send(ToTechnician::Resumed).await;
            until(&handle, |status| status.phase == Phase::Live).await;
            end.send(ToTechnician::GrantEnded { grant: GrantId(1), reason: GrantEnd::Revoked }).await;
            let revoked = until(&handle, |status| status.grants.is_empty()).await;
            assert!(revoked.activity.last().unwrap().text.contains("the end user withdrew it"));
            end.send(ToTechnician::Ended { reason: EndReason::ByUser }).await;
            end.closed().await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByUser);
}

#[tokio::test]
async fn whoever_waits_for_a_run_hears_that_the_session_is_over() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            go_live(&handle, &mut end).await;
            let (run, mut replies) = propose(&handle, ask(&["sleep", "60"])).await;
            run.unwrap();
            end.approve_run(2).await;
            end.send(ToTechnician::Ended { reason: EndReason::ByUser }).await;
            loop {
                if let Reply::Ended { reason } = told(&mut replies).await {
                    assert_eq!(reason, EndReason::ByUser);
                    break;
                }
            }
            let over = until(&handle, |status| matches!(status.phase, Phase::Ended { .. })).await;
            assert!(
                matches!(&over.runs[0].state, RunState::Finished { outcome, .. } if outcome.contains("session ended"))
            );
            end.closed().await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByUser);
}

#[tokio::test]
async fn commands_in_other_terminals_reach_the_session_through_its_socket() {
    let world = World::start().await;
    let runtime = world.places().runtime;
    let outcome = world
        .play(async |handle, mut end| {
            go_live(&handle, &mut end).await;
            let mut run = Conversation::begin(&runtime, None, Ask::Run(ask(&["ls"]))).await.unwrap();
            let proposal = end.approve_run(2).await;
            end.finish_run(proposal.run, RunOutcome::Exited { code: 0 }, 0, 0).await;
            loop {
                if let Reply::Finished { outcome, .. } = patiently(run.next()).await.unwrap() {
                    assert_eq!(outcome, RunOutcome::Exited { code: 0 });
                    break;
                }
            }
            let mut ending = Conversation::begin(&runtime, None, Ask::End).await.unwrap();
            say_goodbye(&mut end).await;
            assert_eq!(patiently(ending.next()).await.unwrap(), Reply::Ended { reason: EndReason::ByTechnician });
            end.closed().await;
        })
        .await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByTechnician);
}

#[tokio::test]
async fn the_session_goes_on_after_the_relay_was_restarted() {
    let mut world = World::start().await;
    let mut agent = world.agent().await;
    let (handle, session) = prepare(world.setup(&agent.code.to_string()));
    let story = async {
        let mut end = agent.pair().await;
        go_live(&handle, &mut end).await;
        world.restart_relay().await;
        patiently(agent.rejoin(&end)).await;
        let back = until(&handle, |status| status.path.reconnects == 1 && status.phase == Phase::Live).await;
        assert_eq!(back.session, Some(end.paired.session));
        let (run, mut replies) = propose(&handle, ask(&["ls"])).await;
        let run = run.unwrap();
        end.approve_run(2).await;
        end.finish_run(run, RunOutcome::Exited { code: 0 }, 0, 0).await;
        while !matches!(told(&mut replies).await, Reply::Finished { .. }) {}
        part(&handle, end).await;
    };
    let outcome = both(session, story).await;
    assert_eq!(outcome.unwrap().reason, EndReason::ByTechnician);
}

#[tokio::test]
async fn an_agent_that_breaks_the_protocol_ends_the_session_with_a_reason() {
    let world = World::start().await;
    let unasked = async |_handle: Handle, mut end: super::testing::AgentEnd| {
        end.send(ToTechnician::Denied { subject: Subject::Run(RunId(9)), reason: DenyReason::ByUser }).await;
        end.closed().await;
    };
    let outcome = world.play(unasked).await.unwrap();
    assert_eq!(outcome.reason, EndReason::Protocol);
    assert!(outcome.detail.unwrap().contains("answered a question that is not open"));

    let garbage = async |_handle: Handle, mut end: super::testing::AgentEnd| {
        end.grant().await;
        let delta_first = {
            let mut encoder = DeltaEncoder::new();
            encoder.encode(&shown::sample());
            let mut next = shown::sample();
            next.tick += 1;
            encoder.encode(&next)
        };
        let _stream = end.stream(StreamHeader::Diagnostics, &[delta_first]).await;
        end.closed().await;
    };
    let outcome = world.play(garbage).await.unwrap();
    assert_eq!(outcome.reason, EndReason::Protocol);
    assert!(outcome.detail.unwrap().contains("diagnostics"));
}

#[tokio::test]
async fn an_agent_that_sends_more_output_than_allowed_ends_the_session() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            go_live(&handle, &mut end).await;
            let small = RunAsk { output_bytes: 10, ..ask(&["yes"]) };
            let (run, mut replies) = propose(&handle, small).await;
            let run = run.unwrap();
            end.approve_run(2).await;
            let mut stdout: ByteSender = end.output(run, Output::Stdout).await;
            // The technician may stop reading in the middle.
            let written: Result<(), StreamError> = stdout.write_all(&[b'y'; 11]).await;
            drop(written);
            let mut last = None;
            while let Some(reply) = patiently(replies.recv()).await {
                assert!(!matches!(reply, Reply::Finished { .. }), "{reply:?}");
                last = Some(reply);
            }
            assert_eq!(last, Some(Reply::Ended { reason: EndReason::Protocol }), "whoever waits is told why");
            end.closed().await;
        })
        .await
        .unwrap();
    assert_eq!(outcome.reason, EndReason::Protocol);
    assert!(outcome.detail.unwrap().contains("more output of run-1"));
}

#[tokio::test]
async fn a_bad_audit_line_is_shown_and_kept_out_of_the_receipt() {
    let world = World::start().await;
    let logs = world.directory.path().join("logs");
    let outcome = world
        .play(async |handle, mut end| {
            let mut log = end.begin_log(logs, None).await;
            end.grant().await;
            let mut line = log.append(&Event::WordsConfirmed, clock::wall_time()).unwrap().into_bytes();
            line[10] ^= 1;
            end.send(ToTechnician::Audit { line }).await;
            let status = until(&handle, |status| matches!(status.receipt, ReceiptStatus::Broken { .. })).await;
            assert_eq!(status.phase, Phase::Live, "the end user does not lose their help over it");
            end.send(ToTechnician::Ended { reason: EndReason::ByUser }).await;
            end.closed().await;
        })
        .await
        .unwrap();
    assert!(outcome.receipt_problem.unwrap().contains("entry 2 is bad"));
    let summary = audit::verify_file(&outcome.receipt.unwrap()).unwrap();
    assert_eq!(summary.entries, 1, "what was sound before stays");
}

#[tokio::test]
async fn an_agent_that_goes_away_ends_the_session_with_a_reason() {
    let world = World::start().await;
    let outcome = world
        .play(async |handle, mut end| {
            go_live(&handle, &mut end).await;
            end.sealed.close(CloseCode::Shutdown, "");
        })
        .await
        .unwrap();
    assert_eq!(outcome.reason, EndReason::ConnectionLost);
    assert!(outcome.detail.is_some());
}

#[tokio::test]
async fn two_wrong_codes_and_the_third_is_not_even_tried() {
    let world = World::start().await;
    let mut agent = world.agent().await;
    let wrong = loop {
        let other = trust::code::SessionCode::draw(agent.locator(), &mut rand_core::OsRng).to_string();
        if other != agent.code.to_string() {
            break other;
        }
    };
    for _ in 0..2 {
        let (_handle, session) = prepare(world.setup(&wrong));
        let answering = async {
            let (mut unpaired, offered) = agent.sealed().await;
            assert!(agent.answer(&mut unpaired, offered).await.is_none());
            patiently(unpaired.closed()).await;
        };
        let outcome = both(session, answering).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, AttachError::Pairing(_)), "{error}");
        assert_eq!(error.problem().exit(), 3);
    }
    let (_handle, session) = prepare(world.setup(&agent.code.to_string()));
    let error = patiently(Box::pin(session)).await.unwrap_err();
    assert!(matches!(error, AttachError::Attempts(_)), "even the right one: {error}");
}

#[tokio::test]
async fn a_proof_that_got_no_answer_counts_as_a_failure_and_a_refusal_before_it_does_not() {
    let world = World::start().await;
    let tries = |world: &World| {
        let text = std::fs::read_to_string(world.places().state.join("attempts.json")).unwrap();
        text.matches("\"at\"").count()
    };
    // Somebody who answers in place of the agent and goes away with the proof.
    let mut agent = world.agent().await;
    let (_handle, session) = prepare(world.setup(&agent.code.to_string()));
    let stealing = async {
        let guess = trust::code::SessionCode::draw(agent.locator(), &mut rand_core::OsRng);
        let (_, offer) = trust::pairing::AgentPairing::offer(&guess, &mut rand_core::OsRng);
        let mut unpaired = agent.greeted(&offer).await.unwrap();
        unpaired.recv::<FromUnpairedTechnician>().await.unwrap().unwrap();
        unpaired.close(CloseCode::NotPaired, "");
    };
    let outcome = both(session, stealing).await;
    assert!(matches!(outcome.unwrap_err(), AttachError::Lost(_)));
    assert_eq!(tries(&world), 1);

    let mut agent = world.agent().await;
    let (_handle, session) = prepare(world.setup(&agent.code.to_string()));
    let refusing = async {
        // The technician may leave before the agent knows that the handshake is done.
        if let Ok(unpaired) = agent.greeted(&FromUnpairedAgent::Refuse { reason: PairingRefusal::CodeVoid }).await {
            patiently(unpaired.closed()).await;
        }
    };
    let outcome = both(session, refusing).await;
    assert!(matches!(outcome.unwrap_err(), AttachError::Pairing(_)));
    assert_eq!(tries(&world), 1, "nothing that depends on the code was sent");
}

#[tokio::test]
async fn a_code_that_nobody_waits_under_is_refused_by_the_relay() {
    let world = World::start().await;
    let agent = world.agent().await;
    let other = wire::ids::Locator::new(if agent.locator().to_string() == "0000" { 1 } else { 0 }, 4).unwrap();
    let code = trust::code::SessionCode::draw(other, &mut rand_core::OsRng);
    let (_handle, session) = prepare(world.setup(&code.to_string()));
    let error = patiently(Box::pin(session)).await.unwrap_err();
    assert!(matches!(error, AttachError::Refused(wire::control::Refusal::NobodyWaiting)), "{error}");
    assert_eq!(error.problem().exit(), 3);
}

#[tokio::test]
async fn the_person_can_leave_while_attaching() {
    let world = World::start().await;
    let mut agent = world.agent().await;
    let (handle, session) = prepare(world.setup(&agent.code.to_string()));
    let story = async {
        // The agent never answers: pairing would take its whole deadline.
        let _sealed = agent.sealed().await;
        leave(&handle).await;
        std::future::pending::<()>().await;
    };
    let attaching = async {
        tokio::select! {
            outcome = session => outcome.unwrap_err(),
            () = story => unreachable!("the agent waits for ever"),
        }
    };
    let error = patiently(Box::pin(attaching)).await;
    assert!(matches!(error, AttachError::Left), "{error}");
}

#[tokio::test]
async fn a_relay_that_is_not_there_is_named() {
    let mut world = World::start().await;
    let code = world.agent().await.code.to_string();
    world.link = wire::link::RelayLink::new("127.0.0.1", world.link.port(), [9; 32]).unwrap();
    let (_handle, session) = prepare(world.setup(&code));
    let error = patiently(Box::pin(session)).await.unwrap_err();
    assert!(matches!(error, AttachError::Relay(transport::node::ConnectError::WrongKey)), "{error}");
    assert_eq!(error.problem().exit(), 5);
}

#[tokio::test]
async fn a_code_is_not_used_up_when_the_session_could_not_be_reached_anyway() {
    let world = World::start().await;
    let agent = world.agent().await;
    let mut setup = world.setup(&agent.code.to_string());
    setup.places.runtime = world.directory.path().join("x".repeat(100));
    let (_handle, session) = prepare(setup);
    let error = patiently(Box::pin(session)).await.unwrap_err();
    assert!(matches!(error, AttachError::Socket(_)), "{error}");
    assert!(!world.places().state.join("attempts.json").exists());
}
