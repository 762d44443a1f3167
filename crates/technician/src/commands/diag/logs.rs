//! `assent diag logs`: what stands in the log, and what comes.

use transport::clock;
use wire::{
    diagnostics::{
        inspect::{Inspect, Inspected},
        report::{Content, Coverage, Outcome, SectionReport},
        sections::logs::{LogLine, LogQuery, MessageForm, Priority},
    },
    session::Ability,
    text::Label,
};

use crate::{
    cli::DiagLogsArgs,
    commands::{client_problem, inspect, output_problem, wanted},
    exit::Exit,
    local::{
        client::Conversation,
        protocol::{Ask, Reply},
    },
    output,
    place::Places,
    problem::Problem,
    signals::Signals,
};

/// Prints lines, once or for as long as they come.
pub(super) async fn logs(args: &DiagLogsArgs, places: &Places) -> Result<Exit, Problem> {
    if args.follow {
        return follow(args, places).await;
    }
    let section = inspect::section(wanted(&args.session), Inspect::Logs(query(args)), places).await?;
    if args.json {
        return super::once::print(&output::json_line(&section));
    }
    let lines = lines_of(&section);
    let exit = super::once::print(&lines.iter().map(written).collect::<String>());
    let notes = notes(&section);
    if lines.is_empty() && notes.is_empty() {
        output::to_stderr("assent: the log has no such line\n");
    }
    notes.iter().for_each(|note| output::to_stderr(note));
    exit
}

async fn follow(args: &DiagLogsArgs, places: &Places) -> Result<Exit, Problem> {
    let mut signals = Signals::new().map_err(|error| output_problem(&error))?;
    let (mut not_done, mut begun, mut noted) = ("no line was shown", false, Vec::new());
    let asked = Conversation::begin(&places.runtime, wanted(&args.session), Ask::Follow(query(args))).await;
    let mut conversation = asked.map_err(|error| client_problem(&error, not_done))?;
    loop {
        let reply = tokio::select! {
            reply = conversation.next() => reply.map_err(|error| client_problem(&error, not_done))?,
            // Following goes on until Ctrl-C, so that is no failure.
            stop = signals.next() => return Ok(if begun { Exit::Ok } else { Exit::Signal(stop.number()) }),
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
        let section = match reply {
            Reply::Inspected(inspected) => match *inspected {
                Inspected::Section(section) => section,
                Inspected::Report(_) | Inspected::History(_) | Inspected::Arguments(_) | _ => {
                    return Err(inspect::unexpected());
                }
            },
            Reply::Flow(flow) => {
                super::flow(flow, not_done)?;
                continue;
            }
            Reply::Denied { reason } => return Err(inspect::denied(reason, Ability::DiagLogs, not_done)),
            Reply::Ended { reason } => {
                let next = "Ask the end user for a new code and attach again.";
                return Err(Problem::new(Exit::of_end(reason), reason.to_string(), not_done, next));
            }
            _ => return Err(inspect::unexpected()),
        };
        (not_done, begun) = ("no further line was shown", true);
        let form = |line: &LogLine| if args.json { output::json_line(line) } else { written(line) };
        output::to_stdout(&lines_of(&section).iter().map(form).collect::<String>())
            .map_err(|error| output_problem(&error))?;
        let notes = notes(&section);
        if notes != noted {
            notes.iter().for_each(|note| output::to_stderr(note));
            noted = notes;
        }
        if section.outcome == Outcome::Unavailable {
            return Ok(Exit::Ok);
        }
    }
}

fn query(args: &DiagLogsArgs) -> LogQuery {
    LogQuery {
        units: args.unit.iter().map(|unit| Label::cut(unit)).collect(),
        least: args.priority,
        since: args.since.map(|since| since.seen_from(clock::wall_time())),
        limit: args.lines,
        ..LogQuery::default()
    }
}

fn lines_of(section: &SectionReport) -> &[LogLine] {
    match &section.content {
        Some(Content::Logs(logs)) => &logs.lines,
        Some(_) | None => &[],
    }
}

/// What of the log was not read, and why.
fn notes(section: &SectionReport) -> Vec<String> {
    let unread = section.sources.iter().filter(|source| source.coverage != Coverage::Read);
    let mut notes = unread.map(|source| format!("assent: {}: {}\n", source.name, source.reason)).collect::<Vec<_>>();
    if section.outcome == Outcome::TimedOut {
        notes.push("assent: the log did not come in time\n".to_owned());
    }
    notes
}

/// A line as it is printed: when, how grave, of which service, who says it, and what.
fn written(line: &LogLine) -> String {
    let grave = line.priority.map_or("-", Priority::name);
    let unit = line.unit.iter().map(|unit| format!(" {unit}")).collect::<String>();
    let writer = if line.identifier.is_blank() { String::new() } else { format!(" {}", line.identifier) };
    let message = match line.form {
        MessageForm::Whole => line.message.shown(),
        MessageForm::Cut => format!("{}… (longer)", line.message),
        MessageForm::Binary => "(not text)".to_owned(),
        MessageForm::Absent => "(nothing)".to_owned(),
    };
    format!("{} {grave:<9}{unit}{writer}: {message}\n", line.time)
}

#[cfg(test)]
mod tests {
    use wire::{diagnostics::sections::logs::LogText, time::WallTime};

    use super::*;

    fn line(message: &str, form: MessageForm) -> LogLine {
        LogLine {
            time: WallTime(1_795_329_304_000),
            unit: Some(Label::cut("cups.service")),
            priority: Some(Priority::Warning),
            identifier: Label::cut("cupsd"),
            message: LogText::cut(message),
            form,
        }
    }

    #[test]
    fn a_line_says_when_how_grave_who_and_what() {
        let whole = line("out of paper", MessageForm::Whole);
        assert_eq!(written(&whole), "2026-11-22T06:35:04Z warning   cups.service cupsd: out of paper\n");
        let bare = LogLine { unit: None, priority: None, identifier: Label::default(), ..whole };
        assert_eq!(written(&bare), "2026-11-22T06:35:04Z -        : out of paper\n");
        for (form, ends) in [
            (MessageForm::Cut, "a… (longer)\n"),
            (MessageForm::Binary, ": (not text)\n"),
            (MessageForm::Absent, ": (nothing)\n"),
        ] {
            assert!(written(&line("a", form)).ends_with(ends), "{form:?}");
        }
    }

    #[test]
    fn a_hostile_line_stays_one_line_and_acts_on_no_screen() {
        let hostile =
            LogLine { identifier: Label::cut("\u{1b}[2J\n"), ..line("a\nb\u{202e}\u{9b}31m", MessageForm::Whole) };
        let text = written(&hostile);
        assert!(text.ends_with('\n') && !text.trim_end().chars().any(crate::escape::acts_on_screen), "{text:?}");
    }
}
