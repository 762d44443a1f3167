//! What keys do to a [`Model`], and what they ask the session for.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use wire::{diagnostics::ProcessOrder, session::Ability};

use super::model::{AbilityChoice, InputLine, Model, OFFERED, Overlay, Panel};
use crate::status::Phase;

/// What the person wants of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyAct {
    /// End the session and leave the screen.
    Leave,
    /// Ask for this command.
    Run(Vec<String>),
    /// Cancel this run.
    CancelRun(u32),
    /// Ask for these.
    Request(Vec<Ability>),
}

/// Lines that PgUp and PgDn move.
const PAGE: usize = 10;

/// Takes one key. Everything that only changes the screen is done here.
pub(crate) fn press(model: &mut Model, key: KeyEvent) -> Option<KeyAct> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    model.notice = None;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c')) {
        return interrupt(model);
    }
    match std::mem::replace(&mut model.overlay, Overlay::None) {
        Overlay::None => press_plain(model, key),
        Overlay::Help => None,
        Overlay::Leave => press_leave(model, key),
        Overlay::Run(line) => press_run(model, key, line),
        Overlay::Request(choice) => press_request(model, key, choice),
    }
}

/// Text that was pasted. It goes into the input line and nowhere else: a pasted `q` is no key.
pub(crate) fn paste(model: &mut Model, text: &str) {
    if let Overlay::Run(line) = &mut model.overlay {
        text.chars().for_each(|character| line.insert(character));
    }
}

/// The first Ctrl-C asks, the second leaves.
fn interrupt(model: &mut Model) -> Option<KeyAct> {
    if model.is_ended() || model.overlay == Overlay::Leave || !is_paired(model) {
        return Some(KeyAct::Leave);
    }
    model.overlay = Overlay::Leave;
    None
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
fn press_plain(model: &mut Model, key: KeyEvent) -> Option<KeyAct> {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter if model.is_ended() => return Some(KeyAct::Leave),
        KeyCode::Char('q') if !is_paired(model) => return Some(KeyAct::Leave),
        KeyCode::Char('q') => model.overlay = Overlay::Leave,
        KeyCode::Char('?') | KeyCode::F(1) => model.overlay = Overlay::Help,
        KeyCode::Char('r') if is_live(model) => model.overlay = Overlay::Run(InputLine::default()),
        KeyCode::Char('a') if is_live(model) => {
            model.overlay = Overlay::Request(AbilityChoice { line: 0, ticked: vec![Ability::DiagBasic] });
        }
        KeyCode::Char('r' | 'a') => model.notice = Some("Nothing can be asked for in this state".to_owned()),
        KeyCode::Char('c') => {
            let open = model.status.runs.iter().rev().find(|run| !run.state.is_over()).map(|run| run.run);
            if open.is_none() {
                model.notice = Some("No run is going on".to_owned());
            }
            return open.map(KeyAct::CancelRun);
        }
        KeyCode::Char('o') if model.panel == Panel::Processes => {
            model.processes_by = match model.processes_by {
                ProcessOrder::Cpu => ProcessOrder::Memory,
                ProcessOrder::Memory => ProcessOrder::Io,
                ProcessOrder::Io => ProcessOrder::Cpu,
            };
        }
        KeyCode::Tab => model.panel = model.panel.after(1),
        KeyCode::BackTab => model.panel = model.panel.after(Panel::ALL.len() - 1),
        KeyCode::Up | KeyCode::Char('k') => scroll(model, Direction::Up, 1),
        KeyCode::Down | KeyCode::Char('j') => scroll(model, Direction::Down, 1),
        KeyCode::PageUp => scroll(model, Direction::Up, PAGE),
        KeyCode::PageDown => scroll(model, Direction::Down, PAGE),
        KeyCode::Home => scroll(model, Direction::Up, usize::MAX),
        KeyCode::End => scroll(model, Direction::Down, usize::MAX),
        _ => {}
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// More lines than any panel has.
const MOST_SCROLL: usize = 10_000;

fn scroll(model: &mut Model, direction: Direction, lines: usize) {
    // The news of runs and activity stands at the end, from which these two are counted.
    let from_end = matches!(model.panel, Panel::Runs | Panel::Activity);
    let back = (direction == Direction::Up) != from_end;
    let position = model.scroll_mut();
    *position = if back { position.saturating_sub(lines) } else { position.saturating_add(lines).min(MOST_SCROLL) };
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
fn press_leave(model: &mut Model, key: KeyEvent) -> Option<KeyAct> {
    match key.code {
        KeyCode::Char('y' | 'Y') => Some(KeyAct::Leave),
        KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc => None,
        // A stray key neither ends a session nor hides the question.
        _ => {
            model.overlay = Overlay::Leave;
            None
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
fn press_run(model: &mut Model, key: KeyEvent, mut line: InputLine) -> Option<KeyAct> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Esc => return None,
        KeyCode::Enter => match line.words() {
            Ok(words) if words.is_empty() => model.notice = Some("Type a program first".to_owned()),
            Ok(words) => {
                model.panel = Panel::Runs;
                return Some(KeyAct::Run(words));
            }
            Err(problem) => model.notice = Some(problem.to_owned()),
        },
        KeyCode::Char('a') if control => line.home(),
        KeyCode::Char('e') if control => line.end(),
        KeyCode::Char('u') if control => line.clear_before(),
        KeyCode::Char(character) if !control => line.insert(character),
        KeyCode::Backspace => line.backspace(),
        KeyCode::Delete => line.delete(),
        KeyCode::Left => line.left(),
        KeyCode::Right => line.right(),
        KeyCode::Home => line.home(),
        KeyCode::End => line.end(),
        _ => {}
    }
    model.overlay = Overlay::Run(line);
    None
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
fn press_request(model: &mut Model, key: KeyEvent, mut choice: AbilityChoice) -> Option<KeyAct> {
    let last = OFFERED.len() - 1;
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => return None,
        KeyCode::Enter if choice.ticked.is_empty() => {
            model.notice = Some("Tick something with the space bar first".to_owned());
        }
        KeyCode::Enter => return Some(KeyAct::Request(choice.ticked)),
        KeyCode::Up | KeyCode::Char('k') => choice.line = choice.line.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => choice.line = (choice.line + 1).min(last),
        KeyCode::Char(' ') => toggle(&mut choice),
        _ => {}
    }
    model.overlay = Overlay::Request(choice);
    None
}

fn toggle(choice: &mut AbilityChoice) {
    let Some(ability) = OFFERED.get(choice.line).copied() else { return };
    match choice.ticked.iter().position(|ticked| *ticked == ability) {
        Some(index) => {
            choice.ticked.remove(index);
        }
        None => choice.ticked.push(ability),
    }
}

fn is_live(model: &Model) -> bool {
    model.status.phase == Phase::Live
}

/// Whether leaving would take something away from somebody, so that it is asked about.
fn is_paired(model: &Model) -> bool {
    model.status.session.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::draw::testing::model;

    fn code(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn typed(model: &mut Model, text: &str) {
        for character in text.chars() {
            assert_eq!(press(model, code(KeyCode::Char(character))), None);
        }
    }

    #[test]
    fn q_asks_before_it_ends_the_session() {
        let mut model = model();
        assert_eq!(press(&mut model, code(KeyCode::Char('q'))), None);
        assert_eq!(model.overlay, Overlay::Leave);
        assert_eq!(press(&mut model, code(KeyCode::Enter)), None, "Enter alone ends nothing");
        assert_eq!(model.overlay, Overlay::Leave);
        assert_eq!(press(&mut model, code(KeyCode::Char('n'))), None);
        assert_eq!(model.overlay, Overlay::None);
        press(&mut model, code(KeyCode::Char('q')));
        assert_eq!(press(&mut model, code(KeyCode::Char('y'))), Some(KeyAct::Leave));
    }

    #[test]
    fn the_second_interrupt_leaves_whatever_is_open() {
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let mut model = model();
        typed(&mut model, "rls");
        assert_eq!(press(&mut model, interrupt), None);
        assert_eq!(press(&mut model, interrupt), Some(KeyAct::Leave));
    }

    #[test]
    fn a_typed_command_is_split_and_asked_for() {
        let mut model = model();
        typed(&mut model, "rdu -x 'two words' q");
        assert_eq!(press(&mut model, code(KeyCode::Backspace)), None);
        let words = ["du", "-x", "two words"].map(str::to_owned).to_vec();
        assert_eq!(press(&mut model, code(KeyCode::Enter)), Some(KeyAct::Run(words)));
        assert_eq!((model.overlay, model.panel), (Overlay::None, Panel::Runs));
    }

    #[test]
    fn an_unfinished_quotation_is_kept_and_named() {
        let mut model = model();
        typed(&mut model, "recho 'x");
        assert_eq!(press(&mut model, code(KeyCode::Enter)), None);
        assert!(model.notice.is_some());
        assert!(matches!(&model.overlay, Overlay::Run(line) if line.text == "echo 'x"));
    }

    #[test]
    fn pasted_text_presses_no_keys() {
        let mut model = model();
        paste(&mut model, "qy");
        assert_eq!(model.overlay, Overlay::None);
        typed(&mut model, "r");
        paste(&mut model, "ls\n-l\u{1b}");
        assert!(matches!(&model.overlay, Overlay::Run(line) if line.text == "ls-l"));
    }

    #[test]
    fn abilities_are_ticked_and_asked_for() {
        let mut model = model();
        typed(&mut model, "a ");
        press(&mut model, code(KeyCode::Enter));
        assert!(model.notice.is_some(), "nothing is ticked any more");
        press(&mut model, code(KeyCode::Down));
        press(&mut model, code(KeyCode::Char(' ')));
        assert_eq!(press(&mut model, code(KeyCode::Enter)), Some(KeyAct::Request(vec![Ability::DiagLogs])));
    }

    #[test]
    fn o_goes_through_the_orders_of_processes_and_nothing_else() {
        let mut model = model();
        typed(&mut model, "o");
        assert_eq!(model.processes_by, ProcessOrder::Cpu, "they are not looked at");
        model.panel = Panel::Processes;
        typed(&mut model, "o");
        assert_eq!(model.processes_by, ProcessOrder::Memory);
        typed(&mut model, "oo");
        assert_eq!(model.processes_by, ProcessOrder::Cpu);
    }

    #[test]
    fn nothing_is_asked_for_while_the_session_is_paused() {
        let mut model = model();
        model.status.phase = Phase::Paused { reason: wire::session::Absence::PageClosed, ends_in_secs: 30 };
        typed(&mut model, "r");
        assert_eq!(model.overlay, Overlay::None);
        assert!(model.notice.is_some());
    }
}
