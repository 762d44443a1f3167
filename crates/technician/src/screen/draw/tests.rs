use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend, layout::Size};
use wire::diagnostics::{Pace, PaceReason, Panel as Sampled, Panels};
use wire::session::{Absence, EndReason};

use super::{bar, cut, draw, eighth, fit, testing, view};
use crate::{
    screen::model::{AbilityChoice, InputLine, Model, Overlay, Panel},
    status::Phase,
};

fn picture(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

/// A model before any reading, in `phase`.
fn before(phase: Phase) -> Model {
    let mut model = Model::new(testing::status(), false);
    model.status.phase = phase;
    model.status.grants.clear();
    model.status.asking.clear();
    model.status.runs.clear();
    model
}

#[test]
fn a_live_session_on_a_small_terminal() {
    insta::assert_snapshot!(picture(&testing::model(), 80, 24));
}

#[test]
fn a_live_session_on_a_large_terminal() {
    insta::assert_snapshot!(picture(&testing::model(), 120, 40));
}

#[test]
fn every_panel_has_its_list() {
    let mut model = testing::model();
    for panel in [Panel::Processes, Panel::Runs, Panel::Devices, Panel::Activity] {
        model.panel = panel;
        insta::assert_snapshot!(format!("panel_{}", panel.title()), picture(&model, 80, 24));
    }
}

#[test]
fn a_hostile_peer_draws_nothing_but_text() {
    for (width, height) in [(80, 24), (120, 40)] {
        let mut model = testing::hostile();
        for _ in Panel::ALL {
            let picture = picture(&model, width, height);
            let acting =
                picture.chars().filter(|c| *c != '\n' && crate::escape::acts_on_screen(*c)).collect::<String>();
            assert_eq!(acting, "");
            model.panel = model.panel.after(1);
        }
    }
    insta::assert_snapshot!(picture(&testing::hostile(), 80, 24));
}

#[test]
fn the_states_without_readings() {
    let connecting = before(Phase::Connecting { detail: "reaching the relay".to_owned() });
    insta::assert_snapshot!("connecting", picture(&connecting, 80, 24));
    let waiting = before(Phase::WaitingForAnswer { answer_within_secs: Some(97) });
    insta::assert_snapshot!("waiting", picture(&waiting, 80, 24));
    let denied = before(Phase::Ended {
        reason: EndReason::DeniedByUser,
        text: "the end user did not allow the session".to_owned(),
    });
    insta::assert_snapshot!("denied", picture(&denied, 80, 24));
}

#[test]
fn the_states_in_which_readings_are_old() {
    let mut model = testing::model();
    model.sample_age = Duration::from_secs(9);
    insta::assert_snapshot!("stale", picture(&model, 80, 24));
    model.status.phase = Phase::Paused { reason: Absence::PageClosed, ends_in_secs: 42 };
    insta::assert_snapshot!("paused", picture(&model, 80, 24));
    model.status.phase =
        Phase::Reconnecting { for_secs: 3, gives_up_in_secs: 57, detail: "the relay does not answer".to_owned() };
    insta::assert_snapshot!("reconnecting", picture(&model, 80, 24));
    model.status.phase = Phase::Ended { reason: EndReason::ByUser, text: "the end user ended the session".to_owned() };
    insta::assert_snapshot!("ended", picture(&model, 80, 24));
}

#[test]
fn what_lies_over_the_panels() {
    let mut model = testing::model();
    let text = "du -x -d 2 '/var/log files'".to_owned();
    let overlays = [
        ("help", Overlay::Help),
        ("leave", Overlay::Leave),
        ("run_empty", Overlay::Run(InputLine::default())),
        ("run", Overlay::Run(InputLine { cursor: text.len(), text })),
        ("request", Overlay::Request(AbilityChoice { line: 0, ticked: vec![wire::session::Ability::DiagBasic] })),
    ];
    for (name, overlay) in overlays {
        model.overlay = overlay;
        insta::assert_snapshot!(name, picture(&model, 80, 24));
    }
}

#[test]
fn no_size_and_no_state_makes_drawing_panic() {
    let long = "日本 ".repeat(300);
    let overlays = [
        Overlay::None,
        Overlay::Help,
        Overlay::Leave,
        Overlay::Run(InputLine { cursor: long.len(), text: long }),
        Overlay::Request(AbilityChoice { line: 0, ticked: Vec::new() }),
    ];
    let phases = [
        Phase::Connecting { detail: "x".to_owned() },
        Phase::Live,
        Phase::Ended { reason: EndReason::ByUser, text: "x".repeat(500) },
    ];
    let sizes = [
        (1, 1),
        (2, 1),
        (1, 40),
        (19, 6),
        (20, 5),
        (20, 6),
        (21, 7),
        (40, 10),
        (110, 12),
        (111, 9),
        (300, 3),
        (500, 100),
    ];
    for mut model in [testing::hostile(), before(Phase::Live)] {
        model.scroll = [usize::MAX / 2; Panel::ALL.len()];
        for overlay in &overlays {
            for phase in &phases {
                model.overlay = overlay.clone();
                model.status.phase = phase.clone();
                for (width, height) in sizes {
                    picture(&model, width, height);
                }
            }
        }
    }
}

#[test]
fn processes_are_collected_only_while_they_are_on_the_screen() {
    let mut model = testing::model();
    let shows = |model: &Model, width, height| {
        let (view, picture) = (view(model, Size::new(width, height)), picture(model, width, height));
        assert_eq!(view.panels.contains(Sampled::Processes), picture.contains("PID"), "{width} {height}\n{picture}");
        view.panels
    };
    for panel in Panel::ALL {
        model.panel = panel;
        for (width, height) in [(80, 40), (120, 40)] {
            shows(&model, width, height);
        }
    }
    assert_eq!(view(&model, Size::new(19, 40)).panels, Panels::OVERVIEW);
    model.panel = Panel::Runs;
    assert_eq!(shows(&model, 80, 40), Panels::ALL.without(Sampled::Processes));
    assert_eq!(shows(&model, 120, 40), Panels::ALL, "beside the runs");
}

#[test]
fn a_machine_that_measures_less_often_says_why() {
    let mut model = testing::model();
    let mut sample = testing::sample();
    sample.pace = Pace { sample_ms: 2500, processes_ms: 5000, reason: PaceReason::CpuPressure };
    sample.withheld = 12;
    model.take_sample(std::sync::Arc::new(sample));
    let picture = picture(&model, 200, 50);
    assert!(picture.contains("every 2.5 s: programs wait for processors"), "{picture}");
    assert!(picture.contains("12 changes left out"), "{picture}");
}

#[test]
fn very_many_processors_still_fit() {
    let mut model = testing::model();
    for cores in [1, 2, 7, 16, 64, 256, 4096] {
        let mut sample = testing::sample();
        sample.cores = (0..cores)
            .map(|index| wire::diagnostics::Core {
                busy_permille: u16::try_from(index % 1000).unwrap(),
                ..Default::default()
            })
            .collect();
        model.take_sample(std::sync::Arc::new(sample));
        picture(&model, 80, 24);
        picture(&model, 120, 40);
        if cores == 64 {
            insta::assert_snapshot!("sixty_four_processors", picture(&model, 120, 40));
        }
    }
}

#[test]
fn colour_changes_no_character() {
    let mut model = testing::model();
    let plain = picture(&model, 120, 40);
    model.colour = true;
    assert_eq!(picture(&model, 120, 40), plain);
}

#[test]
fn text_is_cut_by_columns_and_not_by_bytes() {
    assert_eq!(cut("日本語", 6), "日本語");
    assert_eq!(cut("日本語", 5), "日本…");
    assert_eq!(fit("日本語", 4), "日… ");
    assert_eq!((cut("abc", 0), cut("abc", 1)), (String::new(), "…".to_owned()));
}

#[test]
fn a_bar_shows_everything_that_is_there() {
    assert_eq!(bar(&[(500, '█')], 10), "█████     ");
    assert_eq!(bar(&[(10, '█')], 10), "█         ", "a little is more than nothing");
    assert_eq!(bar(&[(0, '█')], 10), "          ");
    assert_eq!(bar(&[(990, '█'), (100, '░')], 10), "██████████");
    assert_eq!(bar(&[(u16::MAX, '█'), (u16::MAX, '░')], 4), "████");
    assert_eq!(bar(&[(500, '█')], 0), "");
    assert_eq!((eighth(0), eighth(1), eighth(1000), eighth(u16::MAX)), ('▁', '▁', '█', '█'));
}
