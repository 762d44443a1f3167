//! The top of the screen: which machine, as whom, how connected, what is allowed.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};
use unicode_width::UnicodeWidthStr as _;
use wire::session::Absence;

use super::{Look, Model, Phase, cut};
use crate::{
    screen::model::STALE_AFTER,
    status::{GrantStatus, PathStatus, Standing},
    units,
};

/// The whole state on one line, for a terminal too small for more.
pub(super) fn one_line(model: &Model) -> String {
    let host = model.status.host.as_deref().unwrap_or("assent");
    format!("{host} {}", phase_words(&model.status.phase))
}

/// The three lines of the top bar.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, look: Look) {
    let [machine, who, allowed] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
    // What the machine is called matters more than what it is made of.
    let room = machine.width.saturating_mul(3) / 5;
    let right = connection(&model.status.path, model.status.age_secs, usize::from(room));
    let right_width = u16::try_from(right.width()).unwrap_or(u16::MAX).min(room);
    let [left, right_area] = Layout::horizontal([Constraint::Min(0), Constraint::Length(right_width)]).areas(machine);
    frame.render_widget(Paragraph::new(machine_line(model, look, usize::from(left.width))), left);
    frame.render_widget(Paragraph::new(Span::styled(right, look.dim())), right_area);
    let who_is = who_line(model, look);
    let why = why_line(&model.status.path);
    // Who somebody is and the words to read out are worth more than the reason.
    if who_is.width() + 2 + why.width() <= usize::from(who.width) {
        frame.render_widget(Paragraph::new(Span::styled(why, look.dim())).right_aligned(), who);
    }
    frame.render_widget(Paragraph::new(who_is), who);
    frame.render_widget(Paragraph::new(allowed_line(model, look, usize::from(allowed.width))), allowed);
}

fn machine_line(model: &Model, look: Look, width: usize) -> Line<'static> {
    let host = model.status.host.clone().unwrap_or_else(|| "no machine yet".to_owned());
    let mut line = Line::from(vec![Span::raw(" "), Span::styled(cut(&host, 40), look.strong())]);
    if let Some(card) = &model.card {
        let memory = units::bytes(card.memory_kib.saturating_mul(1024));
        let parts = [card.system.shown(), card.architecture.shown(), format!("{} cores", card.cores), memory];
        let virtualisation = card.virtualisation.iter().map(wire::text::PeerText::shown);
        let about = parts.into_iter().chain(virtualisation).collect::<Vec<_>>().join(" · ");
        let room = width.saturating_sub(line.width() + 4);
        line.push_span(Span::styled(format!("  {}", cut(&about, room)), look.dim()));
    }
    line
}

/// The path and how it is doing, as much as there is room for: rates go first, then what is lost.
fn connection(path: &PathStatus, age_secs: u64, room: usize) -> String {
    let kind = path.kind.as_deref().unwrap_or("not connected");
    let rtt = path.rtt_us.map(|rtt| format!(" {}", units::milliseconds(rtt))).unwrap_or_default();
    let lost = path.lost_permille.filter(|lost| *lost > 0).map(|lost| format!(" {}% lost", units::tenths(lost.into())));
    let rates = path
        .received_bits_per_sec
        .zip(path.sent_bits_per_sec)
        .map(|(received, sent)| format!(" ↓{} ↑{}", units::short_bit_rate(received), units::short_bit_rate(sent)));
    let clock = units::clock(Duration::from_secs(age_secs));
    let (lost, rates) = (lost.unwrap_or_default(), rates.unwrap_or_default());
    let whole = [format!("{lost}{rates}"), lost, String::new()];
    let mut lines = whole.iter().map(|more| format!("{kind}{rtt}{more}  {clock} "));
    lines.find(|line| line.width() <= room).unwrap_or_else(|| format!("{kind}  {clock} "))
}

/// Why the session goes by this path.
fn why_line(path: &PathStatus) -> String {
    match (&path.kind, &path.why) {
        (Some(kind), Some(why)) => format!("{kind}: {why} "),
        (Some(_), None) | (None, _) => String::new(),
    }
}

fn who_line(model: &Model, look: Look) -> Line<'static> {
    let technician = &model.status.technician;
    let mut line = Line::from(vec![Span::styled(" You are ", look.dim()), Span::raw(cut(&technician.name, 40))]);
    match &technician.standing {
        Standing::Unknown => {}
        Standing::Verified { organisation } => {
            line.push_span(Span::styled(format!(" of {organisation}: verified"), look.good()));
        }
        Standing::WordsConfirmed => {
            line.push_span(Span::styled(": not verified, words confirmed", look.dim()));
        }
        Standing::Unverified => {
            line.push_span(Span::styled(": not verified", look.warn()));
        }
    }
    let read_out = match technician.standing {
        Standing::Unknown | Standing::Unverified => technician.words.as_ref(),
        Standing::Verified { .. } | Standing::WordsConfirmed => None,
    };
    if let Some(words) = read_out {
        line.push_span(Span::styled("  Read these two words out: ", look.dim()));
        line.push_span(Span::styled(words.clone(), look.strong()));
    }
    line
}

fn allowed_line(model: &Model, look: Look, width: usize) -> Line<'static> {
    let status = &model.status;
    let mut spans = Vec::new();
    for question in &status.asking {
        let within = match question.answer_within_secs {
            Some(seconds) => format!(" {seconds} s"),
            None => String::new(),
        };
        spans.push(Span::styled(" Asking ", look.warn()));
        spans.push(Span::raw(format!("{}{within} ", cut(&question.what, 30))));
    }
    spans.push(Span::styled(" Allowed ", look.dim()));
    if status.grants.is_empty() {
        spans.push(Span::styled("nothing", look.dim()));
    }
    for grant in &status.grants {
        spans.push(Span::styled(grant_words(grant), remaining_style(grant, look)));
    }
    if spans.iter().map(|span| span.content.width()).sum::<usize>() > width {
        let text = spans.iter().map(|span| span.content.as_ref()).collect::<String>();
        return Line::from(cut(&text, width));
    }
    Line::from(spans)
}

fn grant_words(grant: &GrantStatus) -> String {
    let abilities = grant.abilities.iter().map(|ability| ability.name()).collect::<Vec<_>>().join(" ");
    format!("{abilities} {}  ", units::short_duration(Duration::from_secs(grant.remaining_secs)))
}

fn remaining_style(grant: &GrantStatus, look: Look) -> Style {
    if grant.remaining_secs < 60 { look.warn() } else { look.good() }
}

/// The line under the top bar, when something is the matter.
pub(super) fn banner(model: &Model, look: Look) -> Option<Paragraph<'static>> {
    let (text, style) = match &model.status.phase {
        Phase::Connecting { .. } | Phase::WaitingForAnswer { .. } => return None,
        Phase::Live if model.sample.is_some() && model.sample_age >= STALE_AFTER => {
            (format!("No reading for {}: the figures below are old", units::duration(model.sample_age)), look.warn())
        }
        Phase::Live => return None,
        phase @ (Phase::Paused { .. } | Phase::Reconnecting { .. }) => (phase_words(phase), look.warn()),
        phase @ Phase::Ended { .. } => (phase_words(phase), look.bad()),
    };
    Some(Paragraph::new(format!(" {text}")).style(look.banner(style)))
}

/// A phase in words.
pub(crate) fn phase_words(phase: &Phase) -> String {
    match phase {
        Phase::Connecting { detail } => format!("Connecting: {detail}"),
        Phase::WaitingForAnswer { answer_within_secs: None } => "Waiting for the end user's answer".to_owned(),
        Phase::WaitingForAnswer { answer_within_secs: Some(seconds) } => {
            format!("Waiting for the end user's answer, {seconds} s left")
        }
        Phase::Live => "Live".to_owned(),
        Phase::Paused { reason, ends_in_secs } => {
            let why = match reason {
                Absence::PageClosed => "the end user's page was closed",
                Absence::ScreenLocked => "the end user's screen is locked",
                _ => "the end user is away",
            };
            format!("Paused: {why}. The session ends in {ends_in_secs} s unless they come back")
        }
        Phase::Reconnecting { gives_up_in_secs, detail, .. } => {
            let left = units::duration(Duration::from_secs(*gives_up_in_secs));
            format!("Reconnecting: {detail}. Giving up within {left}")
        }
        Phase::Ended { text, .. } => format!("Ended: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::draw::testing;

    #[test]
    fn what_does_not_fit_beside_the_path_is_left_out_and_never_the_clock() {
        let path = testing::status().path;
        let told = [80, 43, 42, 24, 10].map(|room| connection(&path, 201, room));
        let words = [
            "relayed 12 ms 0.4% lost ↓1.2M ↑30k  03:21 ",
            "relayed 12 ms 0.4% lost ↓1.2M ↑30k  03:21 ",
            "relayed 12 ms 0.4% lost ↓1.2M ↑30k  03:21 ",
            "relayed 12 ms  03:21 ",
            "relayed  03:21 ",
        ];
        assert_eq!(told, words);
        assert_eq!(connection(&path, 201, 41), "relayed 12 ms 0.4% lost  03:21 ");
    }
}
