//! What the terminal shows, as pure functions of the view.

use std::fmt::Write as _;

use icu_properties::{CodePointMapData, props::BidiClass};

use super::text::{Line, Look, wrap, wrap_exactly};
use crate::view::{
    AbilityView, GrantView, InspectionPromptView, Phase, PromptKind, PromptView, RunPromptView, TechnicianView, View,
};

/// A row of the list of what is allowed and running, in the order of the numbers that take it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// One ability of a grant.
    Ability { grant: wire::ids::GrantId, ability: String },
    /// One run.
    Run(wire::ids::RunId),
}

/// Rows that have a number: those that one key can name.
pub(super) const NUMBERED_ROWS: usize = 9;

/// What is allowed and running, in order.
pub(super) fn rows(view: &View) -> Vec<Row> {
    let abilities = view.grants.iter().flat_map(|grant| {
        grant.abilities.iter().map(|ability| Row::Ability { grant: grant.grant, ability: ability.ability.clone() })
    });
    abilities.chain(view.runs.iter().map(|run| Row::Run(run.run))).collect()
}

/// The part of the screen that changes, outside of a question. At most `height` lines of at most `width` cells.
pub(super) fn status(view: &View, width: usize, height: usize) -> Vec<Line> {
    let mut lines = vec![rule(width)];
    match &view.phase {
        Phase::Connecting { detail } => {
            lines.push(Line::new(Look::Bold, "Getting ready"));
            lines.extend(wrap(Look::Plain, detail, "", "", width));
            lines.push(keys("s stops."));
        }
        Phase::Waiting { code, expires_in_ms } => lines.extend(waiting(code, *expires_in_ms, width)),
        Phase::CodeVoid { reason } => {
            lines.push(Line::new(Look::Bold, "The code is no longer valid"));
            lines.extend(wrap(Look::Plain, reason, "", "", width));
            lines.push(keys("c gets a new code · s stops."));
        }
        Phase::Asking => {
            lines.push(Line::new(Look::Bold, "Somebody used your code"));
            lines.push(Line::new(Look::Plain, "You will be asked in a moment. Nothing is allowed yet."));
            lines.push(keys("s stops."));
        }
        Phase::Live | Phase::Paused { .. } => lines.extend(session(view, width, height.saturating_sub(4))),
        Phase::Ended { .. } => {}
    }
    if let Some(notice) = &view.notice {
        lines.extend(wrap(Look::Caution, notice, "! ", "  ", width));
    }
    lines.truncate(height);
    lines.into_iter().map(|line| line.fitted(width)).collect()
}

/// What stays on the terminal when the session is over.
pub(super) fn ended(reason: &str, receipt: Option<&str>, width: usize) -> Vec<Line> {
    let mut lines = vec![rule(width), Line::new(Look::Bold, "The session is over")];
    lines.extend(wrap(Look::Plain, reason, "", "", width));
    lines.extend(wrap(Look::Plain, "Nothing can be seen or done on this computer any more.", "", "", width));
    if let Some(receipt) = receipt {
        lines.extend(wrap(Look::Plain, "The record of everything that was done:", "", "", width));
        // In one piece, however long, so that it can be copied. The terminal breaks it where it has to.
        lines.push(Line::new(Look::Plain, format!("  {receipt}")));
        lines.extend(wrap(
            Look::Plain,
            "What was sent is beside it; look at it with: assent-share sent",
            "",
            "",
            width,
        ));
    }
    lines
}

fn waiting(code: &str, expires_in_ms: u64, width: usize) -> Vec<Line> {
    let mut lines = vec![
        Line::new(Look::Plain, "Read this code to the person helping you:"),
        Line::default(),
        Line::new(Look::Bold, format!("    {code}")),
        Line::default(),
    ];
    let text = format!(
        "Valid for {} more. With it they can ask. They can see and do nothing until you say yes here.",
        clock(expires_in_ms)
    );
    lines.extend(wrap(Look::Plain, &text, "", "", width));
    let caution = "Did someone call you unexpectedly? Do not read the code to them.";
    lines.extend(wrap(Look::Caution, caution, "", "", width));
    lines.push(keys("s stops."));
    lines
}

fn session(view: &View, width: usize, height: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let who = name(view.technician.as_ref());
    match &view.phase {
        Phase::Paused { ends_in_ms } => {
            let text = format!("Paused: nothing happens. The session ends in {}.", clock(*ends_in_ms));
            lines.push(Line::new(Look::Caution, text));
        }
        Phase::Connecting { .. }
        | Phase::Waiting { .. }
        | Phase::CodeVoid { .. }
        | Phase::Asking
        | Phase::Live
        | Phase::Ended { .. } => lines.push(Line::new(Look::Bold, format!("{who} is connected"))),
    }
    match &view.technician {
        Some(TechnicianView { verified: false, words_confirmed: true, .. }) => {
            lines.push(Line::new(Look::Caution, "Nobody vouches for their name; you confirmed the two words."));
        }
        Some(TechnicianView { verified: false, .. }) => {
            lines.push(Line::new(Look::Danger, "We could not check who this is."));
        }
        Some(TechnicianView { verified: true, .. }) | None => {}
    }
    let mut numbers = 1..;
    let mut rows = Vec::new();
    for grant in &view.grants {
        for ability in &grant.abilities {
            rows.push(row(numbers.next(), &ability.words, grant.remaining_ms, Look::Plain, width));
        }
    }
    for run in &view.runs {
        rows.push(row(
            numbers.next(),
            &format!("running: {}", left_to_right(&run.command)),
            run.running_ms,
            Look::Bold,
            width,
        ));
    }
    let room = height.saturating_sub(lines.len() + 2).max(1);
    let hidden = rows.len().saturating_sub(room);
    if rows.is_empty() {
        lines.push(Line::new(Look::Plain, "Nothing is allowed. They can only ask."));
    }
    let count = rows.len();
    lines.extend(rows.into_iter().take(room));
    if hidden > 0 {
        lines.push(Line::new(Look::Dim, format!("  and {hidden} more, for which this window is too low")));
    }
    if !view.connection.is_empty() {
        lines.push(Line::new(Look::Dim, view.connection.clone()));
    }
    let numbered = match count.min(NUMBERED_ROWS) {
        0 => String::new(),
        1 => " · 1 takes that one back".to_owned(),
        last => format!(" · 1 to {last} takes that one back"),
    };
    lines.push(keys(&format!("s stops everything at once{numbered}.")));
    lines
}

fn row(number: Option<usize>, words: &str, ms: u64, look: Look, width: usize) -> Line {
    let number = match number {
        Some(number) if number <= NUMBERED_ROWS => format!(" {number}  "),
        Some(_) | None => "    ".to_owned(),
    };
    let time = clock(ms);
    let room = width.saturating_sub(number.len() + time.len() + 2);
    let words = Line::new(look, words).fitted(room);
    let padding = " ".repeat(room.saturating_sub(words.width()) + 2);
    let mut line = Line::new(Look::Bold, number);
    line = line.append(words);
    line.and(Look::Dim, format!("{padding}{time}"))
}

/// A question, whole: written once and never redrawn, so that the person can scroll back to all of it.
pub(super) fn question(prompt: &PromptView, technician: Option<&TechnicianView>, width: usize) -> Vec<Line> {
    let mut lines = vec![rule(width)];
    lines.extend(wrap(Look::Bold, &title(prompt, technician), "", "", width));
    lines.push(Line::default());
    match technician {
        Some(TechnicianView { verified: false, words_confirmed: true, .. }) => {
            let text = "Nobody vouches for their name. You confirmed the two words that they read to you.";
            lines.extend(wrap(Look::Caution, text, "! ", "  ", width));
        }
        None | Some(TechnicianView { verified: false, .. }) => lines.extend(warning(technician, width)),
        Some(TechnicianView { name, organisation: Some(organisation), .. }) => {
            lines.extend(wrap(Look::Good, &format!("{organisation} vouches that this is {name}."), "✓ ", "  ", width));
        }
        Some(TechnicianView { organisation: None, .. }) => {}
    }
    match prompt.reason.as_deref() {
        Some("") => lines.push(Line::new(Look::Plain, "They gave no reason.")),
        Some(reason) => lines.extend(wrap(Look::Plain, reason, "Their reason: ", "  ", width)),
        None => {}
    }
    lines.push(Line::default());
    match (&prompt.run, &prompt.inspection) {
        (Some(run), _) => lines.extend(command(run, width)),
        (None, Some(inspection)) => lines.extend(reading(inspection, width)),
        (None, None) => {
            let ticked = prompt.abilities.iter().map(|ability| ability.ticked).collect::<Vec<_>>();
            lines.extend(abilities(&prompt.abilities, &ticked, width));
        }
    }
    lines.extend(wrap(Look::Plain, &format!("If you allow it, that counts {}.", prompt.lasts), "", "", width));
    if !prompt.addresses.is_empty() {
        lines.extend(wrap(Look::Plain, &prompt.addresses, "", "", width));
    }
    if prompt.kind == PromptKind::Session {
        lines.extend(wrap(Look::Plain, "Nothing is installed.", "", "", width));
    }
    lines
}

fn title(prompt: &PromptView, technician: Option<&TechnicianView>) -> String {
    let who = name(technician);
    match (prompt.kind, technician) {
        (PromptKind::Session, Some(technician)) if technician.verified => {
            format!("May {} connect to this computer?", technician.name)
        }
        (PromptKind::Session, _) => "Somebody wants to connect to this computer".to_owned(),
        (PromptKind::Abilities, _) => format!("{who} asks for more"),
        (PromptKind::Run, _) => format!("{who} asks to run a command"),
        (PromptKind::Inspection, _) => {
            let asks = prompt.inspection.as_ref().map_or("to read something", |inspection| inspection.asks.as_str());
            format!("{who} asks {asks}")
        }
    }
}

fn warning(technician: Option<&TechnicianView>, width: usize) -> Vec<Line> {
    let claim = technician.map_or("", |technician| technician.name.as_str());
    let mut lines = wrap(Look::Danger, "WE COULD NOT CHECK WHO THIS IS.", "!! ", "!! ", width);
    let claim = format!("They call themselves “{claim}”. Anybody can choose that name.");
    lines.extend(wrap(Look::Plain, &claim, "!! ", "!! ", width));
    let scam =
        "Did someone call or write to you unexpectedly? Real companies do not do that. Type n, press Enter, hang up.";
    lines.extend(wrap(Look::Plain, scam, "!! ", "!! ", width));
    lines.push(Line::default());
    lines
}

/// The abilities of a question with their boxes, numbered from 1.
pub(super) fn abilities(abilities: &[AbilityView], ticked: &[bool], width: usize) -> Vec<Line> {
    let mut lines = wrap(Look::Plain, "If you allow it, they may:", "", "", width);
    for (index, ability) in abilities.iter().enumerate() {
        let tick = if ticked.get(index).copied().unwrap_or(false) { 'x' } else { ' ' };
        let first = format!("{:3} [{tick}] ", index + 1);
        lines.extend(wrap(Look::Plain, &ability.words, &first, "        ", width));
    }
    lines
}

/// One part of what is decided on. No text can start at the left edge, so none can look like another line of the list.
fn part(place: &str, text: &str, width: usize) -> Vec<Line> {
    let first = format!("  {place:<13}");
    wrap_exactly(Look::Bold, &quoted(text), &first, "              ⋮ ", width)
}

fn reading(inspection: &InspectionPromptView, width: usize) -> Vec<Line> {
    let mut lines = wrap(Look::Plain, "This is read once, of nothing else:", "", "", width);
    for fact in &inspection.facts {
        lines.extend(part(&fact.name.to_lowercase(), &fact.text, width));
    }
    for note in &inspection.notes {
        lines.extend(wrap(Look::Plain, note, "", "", width));
    }
    lines
}

fn command(run: &RunPromptView, width: usize) -> Vec<Line> {
    let mut lines = wrap(Look::Plain, "This runs exactly as shown, once:", "", "", width);
    let mut part = |place: &str, text: &str| lines.extend(part(place, text, width));
    part("program", &run.program);
    if let Some(target) = &run.target {
        part("leads to", target);
    }
    if let Some(interpreter) = &run.interpreter {
        part("a script for", interpreter);
    }
    for (index, argument) in run.arguments.iter().enumerate() {
        part(&format!("argument {}", index + 1), argument);
    }
    part("in folder", &run.directory);
    part("as user", &run.user);
    for variable in &run.environment {
        part("with setting", variable);
    }
    lines.extend(wrap(Look::Plain, &run.limits, "  limits       ", "               ", width));
    lines
}

/// In quotation marks, so that spaces at either end and an empty text are seen. A quotation mark within gets a backslash;
/// a backslash of the text itself was doubled when it was made safe to show.
fn quoted(text: &str) -> String {
    format!("\"{}\"", left_to_right(text).replace('"', "\\\""))
}

/// The text with letters and digits of scripts that run from right to left as `\u{…}`, and everything else exactly as it is.
///
/// Some terminals reorder a line that has any of them (Unicode Standard Annex 9), digits and punctuation between them too, so that a
/// command would read otherwise than it runs. What acts as a control character was made visible before.
fn left_to_right(text: &str) -> String {
    let classes = CodePointMapData::<BidiClass>::new();
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let class = classes.get(character);
        if [BidiClass::RightToLeft, BidiClass::ArabicLetter, BidiClass::ArabicNumber].contains(&class) {
            write!(out, "\\u{{{:x}}}", u32::from(character)).expect("a String takes everything");
        } else {
            out.push(character);
        }
    }
    out
}

/// A proved name as it is, a claimed one in quotation marks.
fn name(technician: Option<&TechnicianView>) -> String {
    match technician {
        None => "Somebody".to_owned(),
        Some(TechnicianView { name, verified: false, .. }) => format!("“{name}”"),
        Some(TechnicianView { name, organisation: Some(organisation), .. }) => format!("{name} ({organisation})"),
        Some(TechnicianView { name, .. }) => name.clone(),
    }
}

/// One line about a session that goes on behind a question.
pub(super) fn summary(view: &View, width: usize) -> Option<Line> {
    let allowed = view.grants.iter().map(|grant: &GrantView| grant.abilities.len()).sum::<usize>();
    let things = match (allowed, view.runs.len()) {
        (0, 0) => return None,
        (allowed, 0) => format!("Allowed now: {}", counted(allowed, "thing")),
        (allowed, runs) => format!("Allowed now: {}, {} running", counted(allowed, "thing"), counted(runs, "command")),
    };
    Some(Line::new(Look::Dim, things).fitted(width))
}

fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// A length of time, rounded up to the second.
pub(super) fn clock(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn rule(width: usize) -> Line {
    Line::new(Look::Dim, "─".repeat(width.min(72)))
}

fn keys(text: &str) -> Line {
    Line::new(Look::Dim, text)
}

#[cfg(test)]
mod tests {
    use wire::session::Ability;

    use super::*;
    use crate::front::samples;

    fn text(lines: &[Line]) -> String {
        lines.iter().map(|line| line.text().trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_code_stands_alone_to_be_read_out() {
        assert_eq!(
            text(&status(&samples::waiting(), 79, 23)),
            "────────────────────────────────────────────────────────────────────────\n\
             Read this code to the person helping you:\n\
             \n    \
             4821 936 0427\n\
             \n\
             Valid for 9:32 min more. With it they can ask. They can see and do nothing\n\
             until you say yes here.\n\
             Did someone call you unexpectedly? Do not read the code to them.\n\
             s stops."
        );
    }

    #[test]
    fn a_verified_technician_is_asked_about_by_name() {
        let view = samples::asking(samples::ana());
        assert_eq!(
            text(&question(view.prompt.as_ref().unwrap(), view.technician.as_ref(), 79)),
            "────────────────────────────────────────────────────────────────────────\n\
             May Ana Ruiz connect to this computer?\n\
             \n\
             ✓ ACME Support vouches that this is Ana Ruiz.\n\
             Their reason: You said that everything is slow since this morning.\n\
             \n\
             If you allow it, they may:\n  \
             1 [x] See how this computer is doing\n  \
             2 [x] Run checks that only read\n  \
             3 [ ] Read log lines of this computer\n\
             If you allow it, that counts for at most 2 hours, or until you stop.\n\
             Everything goes through the relay.\n\
             Nothing is installed."
        );
    }

    #[test]
    fn a_name_that_nobody_checked_is_a_claim_in_quotation_marks() {
        let view = samples::asking(samples::stranger());
        let text = text(&question(view.prompt.as_ref().unwrap(), view.technician.as_ref(), 79));
        assert!(text.contains("Somebody wants to connect to this computer"), "{text}");
        assert!(text.contains("!! WE COULD NOT CHECK WHO THIS IS."), "{text}");
        assert!(text.contains("!! They call themselves “Windows Security Department”."), "{text}");
        assert!(text.contains("hang up."), "{text}");
        assert!(!text.contains("vouches"), "{text}");
    }

    #[test]
    fn the_warning_gives_way_to_the_two_words_once_they_were_confirmed() {
        let technician = TechnicianView { words_confirmed: true, ..samples::stranger() };
        let text = text(&question(&samples::run_prompt(), Some(&technician), 79));
        assert!(text.contains("“Windows Security Department” asks to run a command"), "{text}");
        assert!(text.contains("! Nobody vouches for their name. You confirmed the two words"), "{text}");
        assert!(!text.contains("COULD NOT CHECK"), "{text}");
    }

    #[test]
    fn a_command_is_shown_part_by_part() {
        let lines = text(&question(&samples::run_prompt(), Some(&samples::ana()), 79));
        let (_, command) = lines.split_once("This runs exactly as shown, once:\n").unwrap();
        assert_eq!(
            command,
            "  program      \"/usr/bin/find\"\n  \
               leads to     \"/opt/tools/find.sh\"\n  \
               a script for \"/bin/sh -e\"\n  \
               argument 1   \"/var/spool/cups\"\n  \
               argument 2   \"-name\"\n  \
               argument 3   \"\"\n  \
               argument 4   \"*.tmp  \"\n  \
               argument 5   \"say \\\"hi\\\"\"\n  \
               argument 6   \"-delete\"\n  \
               in folder    \"/home/mia\"\n  \
               as user      \"mia\"\n  \
               with setting \"LC_ALL=C\"\n  \
               limits       at most 60 seconds, 512 MiB of memory, 1024 KiB of each output\n\
             If you allow it, that counts for this one command, once."
        );
    }

    #[test]
    fn a_reading_is_shown_with_what_the_computer_found_and_no_word_of_the_technician() {
        let lines = text(&question(&samples::reading_prompt(), Some(&samples::ana()), 79));
        assert_eq!(
            lines,
            "────────────────────────────────────────────────────────────────────────\n\
             Ana Ruiz (ACME Support) asks to see what one program was started with\n\
             \n\
             ✓ ACME Support vouches that this is Ana Ruiz.\n\
             \n\
             This is read once, of nothing else:\n  \
               program      \"mysqld\"\n  \
               number       \"4711\"\n\
             It can hold passwords.\n\
             It is shown once.\n\
             If you allow it, that counts for this one program, once."
        );
    }

    #[test]
    fn a_program_cannot_name_itself_into_another_line_of_the_question() {
        let mut prompt = samples::reading_prompt();
        let forged = format!("x{}  number       \"1\"", " ".repeat(60));
        prompt.inspection.as_mut().unwrap().facts[0].text = forged;
        let lines = question(&prompt, Some(&samples::ana()), 79);
        assert_eq!(lines.iter().filter(|line| line.text().starts_with("  number")).count(), 1);
    }

    #[test]
    fn letters_that_run_the_other_way_do_not_reorder_a_command() {
        let there = "a/\u{5d0}\u{627}\u{7c1}\u{663} - 1 \u{10d00}b";
        let shown = "a/\\u{5d0}\\u{627}\\u{7c1}\\u{663} - 1 \\u{10d00}b";
        let run = RunPromptView {
            program: there.into(),
            target: None,
            interpreter: None,
            arguments: vec![there.into()],
            directory: there.into(),
            user: there.into(),
            environment: vec![format!("NAME={there}")],
            limits: "at most 60 seconds".into(),
        };
        let command = text(&command(&run, 79));
        assert!(command.contains(&format!("\"NAME={shown}\"")), "{command}");
        assert_eq!(command.matches(&format!("\"{shown}\"")).count(), 4, "{command}");
        let mut view = samples::live();
        view.runs[0].command = there.into();
        let rows = text(&status(&view, 79, 23));
        assert!(rows.contains(&format!("running: {shown}")), "{rows}");
    }

    #[test]
    fn everything_else_of_a_command_is_shown_as_it_is() {
        for plain in ["--to=1 -x \\\\u{5d0}", "Müller & Söhne", "Ана Руиз", "田中さん", "e\u{301}", "1,2;3", "…€→", ""]
        {
            assert_eq!(left_to_right(plain), plain);
        }
    }

    #[test]
    fn no_argument_can_pose_as_another_line() {
        let mut prompt = samples::run_prompt();
        let forged = format!("x{}  argument 2   \"harmless\"", " ".repeat(60));
        prompt.run.as_mut().unwrap().arguments = vec![forged.clone()];
        let lines = question(&prompt, Some(&samples::ana()), 79);
        assert_eq!(lines.iter().filter(|line| line.text().starts_with("  argument")).count(), 1);
        let parts = lines.iter().map(Line::text).filter_map(|line| {
            line.strip_prefix("  argument 1   ").or_else(|| line.strip_prefix("              ⋮ ")).map(str::to_owned)
        });
        assert_eq!(parts.collect::<String>(), format!("\"{}\"", forged.replace('"', "\\\"")));
    }

    #[test]
    fn a_session_shows_who_can_do_what_for_how_long() {
        assert_eq!(
            text(&status(&samples::live(), 79, 23)),
            "────────────────────────────────────────────────────────────────────────\n\
             Ana Ruiz (ACME Support) is connected\n \
             1  See how this computer is doing                                   1 h 48 min\n \
             2  Run checks that only read                                        1 h 48 min\n \
             3  running: /usr/bin/journalctl -u cups                                    8 s\n\
             Through the relay, end to end encrypted\n\
             s stops everything at once · 1 to 3 takes that one back."
        );
    }

    #[test]
    fn every_state_fits_every_window() {
        let mut many = samples::live();
        let long = "an ability with a long description that no window of eighty columns can show in one of its lines";
        many.grants[0].abilities = (0..18).map(|_| samples::ability(Ability::DiagBasic, long, true)).collect();
        let unchecked = View { technician: Some(samples::stranger()), notice: Some(long.into()), ..many.clone() };
        let paused = View { phase: Phase::Paused { ends_in_ms: 40_000 }, ..many.clone() };
        let connecting = samples::view(Phase::Connecting { detail: long.repeat(3) });
        let void = samples::view(Phase::CodeVoid { reason: long.repeat(3) });
        for view in [connecting, samples::waiting(), void, samples::view(Phase::Asking), many, unchecked, paused] {
            for (width, height) in [(24, 5), (40, 10), (79, 23), (200, 60)] {
                let lines = status(&view, width, height);
                assert!(lines.len() <= height, "{view:?}");
                assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
            }
        }
        for width in [24, 40, 79, 200] {
            for technician in [samples::ana(), samples::stranger()] {
                for prompt in [samples::run_prompt(), samples::reading_prompt()] {
                    let lines = question(&prompt, Some(&technician), width);
                    assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
                }
            }
        }
    }

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(clock(0), "0 s");
        assert_eq!(clock(1), "1 s");
        assert_eq!(clock(59_001), "1:00 min");
        assert_eq!(clock(3_599_001), "1 h 0 min");
    }
}
