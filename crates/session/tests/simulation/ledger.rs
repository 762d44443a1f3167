//! Replays a log by itself: what it says must be allowed by what it said before.

use std::collections::{BTreeMap, BTreeSet};

use wire::{
    evidence::Event,
    ids::{Digest, GrantId, InspectionId, RunId},
    session::{Ability, DenyReason, GrantEnd, Subject},
};

/// What a log said so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: usize,
    ended: bool,
    asked: BTreeMap<Digest, (Subject, BTreeSet<Ability>)>,
    exact: BTreeMap<RunId, Digest>,
    /// Inspections that the person was asked about, and whether they were read.
    asked_inspections: BTreeMap<InspectionId, bool>,
    open: BTreeSet<Subject>,
    live: BTreeMap<GrantId, (Subject, BTreeSet<Ability>)>,
    last_grant: Option<GrantId>,
    started: BTreeSet<RunId>,
    finished: BTreeSet<RunId>,
    streaming: Option<GrantId>,
    paused: bool,
}

impl Ledger {
    /// Takes the entries that are new in `log`.
    pub(crate) fn read(&mut self, log: &[Event]) {
        for event in &log[self.entries..] {
            assert_eq!(self.entries == 0, matches!(event, Event::Paired { .. }), "{event:?} at {}", self.entries);
            assert!(!self.ended, "{event:?} follows the end");
            self.enter(event);
            self.entries += 1;
        }
    }

    /// Checks that nothing was left open.
    pub(crate) fn assert_complete(&self) {
        assert!(self.ended, "the end is missing");
        assert!(self.live.is_empty(), "grants outlive the session: {:?}", self.live);
        assert_eq!(self.started, self.finished, "what became of a run is missing");
        assert_eq!(self.streaming, None, "the stream was never stopped");
    }

    fn enter(&mut self, event: &Event) {
        match event {
            Event::AskedForAbilities { subject, abilities, prompt, .. } => {
                self.ask(*subject, abilities.iter().copied().collect(), *prompt);
            }
            Event::AskedForRun { run, digest, prompt, .. } => {
                assert_eq!(self.exact.insert(*run, *digest), None, "{run} is asked for twice");
                self.ask(Subject::Run(*run), [Ability::AdhocArgv].into(), *prompt);
            }
            Event::AskedForInspection { inspection, prompt, .. } => {
                let before = self.asked_inspections.insert(*inspection, false);
                assert_eq!(before, None, "{inspection} is asked for twice");
                self.ask(Subject::Inspection(*inspection), [Ability::DiagArguments].into(), *prompt);
            }
            Event::Granted { grant, subject, abilities, prompt, .. } => {
                assert!(!self.paused, "granted while away");
                let (asked, most) = self.asked.get(prompt).expect("granted without a question");
                assert_eq!(asked, subject);
                assert!(self.open.remove(subject), "a question was answered twice");
                assert!(!abilities.is_empty() && abilities.iter().all(|ability| most.contains(ability)));
                assert!(self.last_grant < Some(*grant), "{grant} is used twice");
                self.last_grant = Some(*grant);
                self.live.insert(*grant, (*subject, abilities.iter().copied().collect()));
            }
            Event::Denied { subject, reason } => {
                let was_open = self.open.remove(subject);
                let by_person = matches!(reason, DenyReason::ByUser | DenyReason::NoAnswer);
                assert!(was_open || !by_person || matches!(reason, DenyReason::ByUser), "{subject:?} {reason:?}");
            }
            Event::Narrowed { grant, abilities } => {
                let (_, held) = self.live.get_mut(grant).expect("narrowed a grant that is not live");
                let left = abilities.iter().copied().collect::<BTreeSet<_>>();
                assert!(left.is_subset(held) && left.len() < held.len() && !left.is_empty());
                *held = left;
            }
            Event::GrantEnded { grant, reason } => {
                let (subject, _) = self.live.remove(grant).expect("a grant ended that is not live");
                let once = matches!(subject, Subject::Run(_) | Subject::Inspection(_));
                assert!(*reason != GrantEnd::Used || once);
            }
            Event::DiagnosticsStarted { grant, .. } => {
                assert!(!self.paused, "streaming while away");
                let (_, held) = self.live.get(grant).expect("streaming under a grant that is not live");
                assert!(held.contains(&Ability::DiagBasic));
                assert_eq!(self.streaming.replace(*grant), None, "two streams");
            }
            Event::Inspecting { inspection, grant, what } => {
                assert!(!self.paused, "reading while away");
                let (subject, _) = self.live.get(grant).expect("reading under a grant that is not live");
                let once = Subject::Inspection(*inspection);
                assert_eq!(*subject == once, what.contains("arguments"), "reading under another one's yes");
                if *subject == once {
                    assert_eq!(
                        self.asked_inspections.insert(*inspection, true),
                        Some(false),
                        "{inspection} is read twice"
                    );
                }
            }
            Event::InspectionStopped { .. } => {}
            Event::DiagnosticsStopped => assert!(self.streaming.take().is_some(), "no stream to stop"),
            Event::RunStarting { run, grant, digest } => {
                assert!(!self.paused, "a run starts while away");
                let (subject, _) = self.live.get(grant).expect("a run starts under a grant that is not live");
                assert_eq!(*subject, Subject::Run(*run));
                assert_eq!(self.exact.get(run), Some(digest), "what starts is not what was asked");
                assert!(self.started.insert(*run), "{run} starts twice");
            }
            Event::RunStopping { run } => {
                assert!(self.started.contains(run) && !self.finished.contains(run));
            }
            Event::RunFinished { run, .. } => {
                assert!(self.started.contains(run), "{run} finished without a start");
                assert!(self.finished.insert(*run), "{run} finished twice");
            }
            Event::Paused { .. } => assert!(!std::mem::replace(&mut self.paused, true), "paused twice"),
            Event::Resumed => assert!(std::mem::replace(&mut self.paused, false), "resumed without a pause"),
            Event::Ended { .. } => self.ended = true,
            Event::DirectAllowed => {
                assert!(!self.paused && !self.live.is_empty(), "addresses are told while nothing is allowed");
            }
            Event::Paired { .. } | Event::WordsConfirmed | Event::DirectUsed | Event::Violation { .. } => {}
            _ => panic!("an event that the ledger does not know"),
        }
    }

    fn ask(&mut self, subject: Subject, abilities: BTreeSet<Ability>, prompt: Digest) {
        assert!(!self.paused, "asked while away");
        assert!(self.open.is_empty(), "two questions at once");
        assert!(self.open.insert(subject));
        assert_eq!(self.asked.insert(prompt, (subject, abilities)), None, "two questions with one digest");
    }
}
