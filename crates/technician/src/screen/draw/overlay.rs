//! What lies over the panels: questions, input, help, and the states in which there is nothing else to show.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    text::{Line, Span},
    widgets::{Block, Clear, Padding, Paragraph, Wrap},
};
use unicode_width::UnicodeWidthStr as _;

use super::{Look, Model, Overlay, Phase, cut, top};
use crate::{
    screen::model::{AbilityChoice, InputLine, OFFERED},
    words,
};

/// Draws what lies over the panels, if anything does.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    match &model.overlay {
        Overlay::None => {}
        Overlay::Help => boxed(frame, area, " Keys ", help(look), look),
        Overlay::Leave => boxed(frame, area, " Leave? ", leave(model, look), look),
        Overlay::Run(line) => run(frame, area, line, look),
        Overlay::Request(choice) => boxed(frame, area, " Ask for more ", request(choice, look), look),
    }
}

/// The body before the first reading.
pub(super) fn draw_waiting(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    if model.overlay != Overlay::None {
        return;
    }
    let text = top::phase_words(&model.status.phase);
    let (title, hint) = match &model.status.phase {
        Phase::Connecting { .. } => (" Connecting ", "Nobody has been asked yet."),
        Phase::WaitingForAnswer { .. } => (
            " Asking the end user ",
            "They see who you are, why you ask and what you ask for. Nothing is shown before they agree.",
        ),
        Phase::Live => (" Live ", "Waiting for the first reading."),
        Phase::Paused { .. } => (" Paused ", "Nothing happens until the end user is back."),
        Phase::Reconnecting { .. } => (" Reconnecting ", "Grants keep lapsing meanwhile; runs go on."),
        Phase::Ended { .. } => (" Ended ", "Nothing more happens on the machine. Press q to leave."),
    };
    let mut lines = vec![Line::from(Span::styled(text, look.strong())), Line::default(), Line::from(hint)];
    if let (Phase::WaitingForAnswer { .. }, Some(words)) = (&model.status.phase, &model.status.technician.words) {
        lines.push(Line::default());
        lines.push(Line::from(vec![
            Span::raw("If they ask for two words, read out: "),
            Span::styled(words.clone(), look.strong()),
        ]));
    }
    boxed(frame, area, title, lines, look);
}

fn boxed(frame: &mut Frame<'_>, area: Rect, title: &'static str, lines: Vec<Line<'static>>, look: Look) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.width());
    let width = u16::try_from(widest + 6).unwrap_or(u16::MAX).min(area.width).min(76);
    let block = Block::bordered()
        .title(Span::styled(title, look.strong()))
        .border_style(look.accent())
        .padding(Padding::horizontal(2));
    let inner = usize::from(width.saturating_sub(6)).max(1);
    let rows = lines.iter().map(|line| wrapped_rows(&line.to_string(), inner)).sum::<usize>();
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let place = centred(area, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), place);
}

/// Rows that `text` takes when it is wrapped between words.
fn wrapped_rows(text: &str, width: usize) -> usize {
    let mut rows = 1;
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let columns = word.trim_end().width();
        if used > 0 && used + columns > width {
            rows += 1;
            used = 0;
        }
        rows += columns.saturating_sub(1) / width;
        used = (used + word.width()).min(width);
    }
    rows
}

fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let width = width.min(area.width);
    let height = height.min(area.height);
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

fn help(look: Look) -> Vec<Line<'static>> {
    let keys = [
        ("q", "leave: ends the session, after a question"),
        ("r", "ask the end user for one command"),
        ("c", "cancel the newest run that is not over"),
        ("a", "ask the end user for more abilities"),
        ("Tab", "next panel; Shift-Tab the one before"),
        ("o", "order processes by processor, memory, or reads and writes"),
        ("↑ ↓", "scroll the panel; PgUp, PgDn, Home, End"),
        ("?", "this page"),
    ];
    let mut lines = keys
        .iter()
        .map(|(key, meaning)| Line::from(vec![Span::styled(format!("{key:<5}"), look.key()), Span::raw(*meaning)]))
        .collect::<Vec<_>>();
    lines.push(Line::default());
    lines.push(Line::from("Processors: █ working  ▓ taken by the hypervisor  ░ waiting for a disk"));
    lines.push(Line::from("wait%: time in which some/all tasks waited   i: inodes in use   ro: read-only"));
    lines.push(Line::from("e d: errors and drops since start   Rates are in a second"));
    lines.push(Line::from("In other terminals: assent status, diag, run, request, end"));
    lines
}

fn leave(model: &Model, look: Look) -> Vec<Line<'static>> {
    let running = model.status.runs.iter().filter(|run| !run.state.is_over()).count();
    let mut lines =
        vec![Line::from("This ends the session. The end user has to read out a new code for the next one.")];
    if running > 0 {
        let text = format!("{running} run(s) are not over; they are killed.");
        lines.push(Line::from(Span::styled(text, look.warn())));
    }
    lines.push(Line::default());
    lines.push(Line::from(vec![
        Span::styled("y", look.key()),
        Span::raw(" end the session   "),
        Span::styled("n", look.key()),
        Span::raw(" stay"),
    ]));
    lines
}

fn run(frame: &mut Frame<'_>, area: Rect, line: &InputLine, look: Look) {
    let width = area.width.clamp(1, 100);
    let place = centred(area, width, 8);
    let block = Block::bordered()
        .title(Span::styled(" Ask for one command ", look.strong()))
        .border_style(look.accent())
        .padding(Padding::horizontal(1));
    let inner = block.inner(place);
    frame.render_widget(Clear, place);
    frame.render_widget(block, place);

    // The text scrolls sideways so that the cursor is always seen.
    let room = usize::from(inner.width).saturating_sub(3);
    let mut first = 0;
    while line.before().get(first..).unwrap_or_default().width() > room {
        first += line.before().get(first..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
    }
    let visible = line.text.get(first..).unwrap_or_default();
    let mut lines =
        vec![Line::from(vec![Span::styled("> ", look.accent()), Span::raw(visible.to_owned())]), Line::default()];
    lines.extend(preview(line, usize::from(inner.width), look));
    frame.render_widget(Paragraph::new(lines), inner);
    let column = line.before().get(first..).unwrap_or_default().width();
    if inner.width > 2 && inner.height > 0 {
        let column = u16::try_from(column).unwrap_or(u16::MAX);
        let x = inner.x.saturating_add(2).saturating_add(column).min(inner.right().saturating_sub(1));
        frame.set_cursor_position(Position::new(x, inner.y));
    }
}

/// What the end user will be asked for, word by word.
fn preview(line: &InputLine, width: usize, look: Look) -> Vec<Line<'static>> {
    let words = match line.words() {
        Err(problem) => return vec![Line::from(Span::styled(problem, look.warn()))],
        Ok(words) => words,
    };
    let Some((program, arguments)) = words.split_first() else {
        let hint = "Program and arguments. There is no shell: * | > $ are passed on as they are.";
        return vec![Line::from(Span::styled(hint, look.dim()))];
    };
    let arguments =
        arguments.iter().map(|argument| format!("[{}]", wire::text::shown(argument))).collect::<Vec<_>>().join(" ");
    vec![
        Line::from(vec![Span::styled("program    ", look.dim()), Span::raw(cut(&wire::text::shown(program), width))]),
        Line::from(vec![Span::styled("arguments  ", look.dim()), Span::raw(cut(&arguments, width.saturating_sub(11)))]),
        Line::from(Span::styled("The end user sees exactly this and decides.", look.dim())),
    ]
}

fn request(choice: &AbilityChoice, look: Look) -> Vec<Line<'static>> {
    let lines = OFFERED.into_iter().enumerate().map(|(index, ability)| {
        let mark = if choice.ticked.contains(&ability) { "[x]" } else { "[ ]" };
        let text = format!("{mark} {:<17} {}", ability.name(), words::ability(ability));
        Line::from(Span::styled(text, if index == choice.line { look.selected() } else { look.plain() }))
    });
    let hint = "Commands need no ability: each is asked for by itself with r.";
    lines.chain([Line::default(), Line::from(Span::styled(hint, look.dim()))]).collect()
}
