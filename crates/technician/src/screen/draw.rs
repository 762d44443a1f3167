//! Draws a [`Model`]. Pure: the same model gives the same picture, at any size.
//!
//! Every text of a peer is drawn through [`wire::text`]; here it is only cut to its place.

mod machine;
mod overlay;
mod panels;
mod style;
mod top;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect, Size},
    text::{Line, Span},
    widgets::{Block, Paragraph},
};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use wire::diagnostics::{Panel as Sampled, Panels, View};

use self::style::Look;
pub(crate) use self::top::phase_words;
use super::model::{Model, Overlay, Panel};
use crate::status::Phase;

/// Columns from which the runs have a place of their own beside the other panels.
const WIDE: u16 = 110;

/// What of the machine a screen of that size shows of `model`.
pub(crate) fn view(model: &Model, area: Size) -> View {
    let panels = if is_small(area) {
        Panels::OVERVIEW
    } else if beside(model, area.width) == Panel::Processes {
        Panels::ALL
    } else {
        // The upper part shows all devices, the fullest and busiest first.
        Panels::ALL.without(Sampled::Processes)
    };
    View { panels, processes_by: model.processes_by }
}

fn is_small(area: Size) -> bool {
    area.width < 20 || area.height < 6
}

/// The panel beside the runs, or the only one.
fn beside(model: &Model, width: u16) -> Panel {
    if model.panel == Panel::Runs && width >= WIDE { Panel::Processes } else { model.panel }
}

/// Draws the whole screen.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let look = Look::new(model.colour);
    let area = frame.area();
    if is_small(area.as_size()) {
        frame.render_widget(Paragraph::new(top::one_line(model)), area);
        return;
    }
    let banner = top::banner(model, look);
    let [bar, banner_area, body, help] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(u16::from(banner.is_some())),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    top::draw(frame, bar, model, look);
    if let Some(banner) = banner {
        frame.render_widget(banner, banner_area);
    }
    draw_body(frame, body, model, look);
    frame.render_widget(Paragraph::new(help_line(model, look)), help);
    overlay::draw(frame, body, model, look);
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let Some(sample) = model.sample.as_deref() else {
        overlay::draw_waiting(frame, area, model, look);
        return;
    };
    let wanted = machine::wanted_height(area, sample);
    let [upper, lower] = Layout::vertical([Constraint::Length(wanted), Constraint::Min(0)]).areas(area);
    machine::draw(frame, upper, model, sample, look);
    if area.width < WIDE {
        panels::draw(frame, lower, model, model.panel, look);
        return;
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(lower);
    panels::draw(frame, left, model, beside(model, area.width), look);
    panels::draw(frame, right, model, Panel::Runs, look);
}

fn help_line(model: &Model, look: Look) -> Line<'static> {
    if let Some(notice) = &model.notice {
        return Line::from(Span::styled(format!(" {notice}"), look.warn()));
    }
    let keys: &[(&str, &str)] = match (&model.overlay, &model.status.phase) {
        (Overlay::Help, _) => &[("any key", "close")],
        (Overlay::Leave, _) => &[("y", "end the session"), ("n", "stay")],
        (Overlay::Run(_), _) => &[("Enter", "ask the end user"), ("Esc", "back")],
        (Overlay::Request(_), _) => &[("Space", "tick"), ("Enter", "ask the end user"), ("Esc", "back")],
        (Overlay::None, Phase::Ended { .. }) => &[("q", "leave"), ("Tab", "panels"), ("↑↓", "scroll")],
        (Overlay::None, Phase::Connecting { .. } | Phase::WaitingForAnswer { .. }) => &[("q", "leave"), ("?", "help")],
        (Overlay::None, Phase::Live | Phase::Paused { .. } | Phase::Reconnecting { .. }) => &[
            ("q", "leave"),
            ("r", "run"),
            ("c", "cancel run"),
            ("a", "ask for more"),
            ("Tab", "panels"),
            ("↑↓", "scroll"),
            ("?", "help"),
        ],
    };
    let spans = keys.iter().flat_map(|(key, meaning)| {
        [Span::styled(format!(" {key}"), look.key()), Span::styled(format!(" {meaning} "), look.dim())]
    });
    Line::from_iter(spans)
}

/// A box with a title, in the look of every panel.
fn frame_of<'a>(title: Line<'a>, focused: bool, look: Look) -> Block<'a> {
    Block::bordered().title(title).border_style(if focused { look.accent() } else { look.dim() })
}

/// `text` in exactly `width` columns: padded, or cut with an ellipsis.
fn fit(text: &str, width: usize) -> String {
    let mut out = cut(text, width);
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(out.width())));
    out
}

/// `text` in at most `width` columns, cut with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let columns = character.width().unwrap_or(0);
        if used + columns + 1 > width {
            break;
        }
        used += columns;
        out.push(character);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// A bar of `width` columns whose parts, in thousandths, follow each other; what is left is blank.
fn bar(parts: &[(u16, char)], width: usize) -> String {
    let mut out = String::new();
    let mut sum = 0usize;
    let mut filled = 0usize;
    for (permille, symbol) in parts {
        sum = (sum + usize::from(*permille)).min(1000);
        // Rounded half up, but anything that is there is seen.
        let end = (sum * width + 500) / 1000;
        let end = if *permille > 5 { end.max(filled + 1) } else { end }.clamp(filled, width);
        out.extend(std::iter::repeat_n(*symbol, end - filled));
        filled = end;
    }
    out.extend(std::iter::repeat_n(' ', width - filled));
    out
}

/// One column of a history: thousandths as an eighth block; what is there and zero is still seen.
fn eighth(permille: u16) -> char {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let step = usize::from(permille.min(999)) / 125;
    BLOCKS.get(step).copied().unwrap_or('█')
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
