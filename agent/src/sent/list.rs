//! What was sent, as a list that a person reads.

use std::path::Path;

use serde::Serialize;
use wire::{
    diagnostics::{
        DeltaDecoder, Snapshot, Update,
        findings::{Amount, Finding, Unit, Verdict},
        inspect::Inspected,
        report::{Report, SectionReport, Series},
        sections::process::Arguments,
    },
    ids::InspectionId,
    time::WallTime,
};

use super::copy::Sent;

/// Columns of what is shown in full.
const WIDTH: usize = 80;

/// Puts what was sent together again: a reading is sent as what changed since the one before.
#[derive(Debug, Default)]
pub(super) struct Reader(DeltaDecoder);

/// What was sent, as it can be read.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Opening(Box<Report>),
    Findings(Vec<Finding>),
    Reading(Box<Snapshot>),
    Report(InspectionId, Box<Report>),
    Section(InspectionId, Box<SectionReport>),
    History(InspectionId, Vec<Series>),
    /// What a program was started with, of which nothing is kept but that it was sent.
    Arguments(InspectionId, Box<Arguments>),
    /// Nothing that this version can read, and why.
    Unreadable(&'static str),
}

impl Reader {
    /// Takes the next thing. `None` for what has no contents.
    pub(super) fn read(&mut self, sent: Sent) -> Option<What> {
        let what = match sent {
            Sent::StreamBegan => {
                self.0 = DeltaDecoder::new();
                return None;
            }
            Sent::Frame(frame) => match self.0.apply(frame) {
                Ok(Update::Opening(report)) => What::Opening(Box::new(report.clone())),
                Ok(Update::Findings(findings)) => What::Findings(findings.to_vec()),
                Ok(Update::Sample(sample)) => What::Reading(Box::new(sample.clone())),
                Err(_) => What::Unreadable("a reading that builds on one that is not here"),
            },
            Sent::Inspected(inspection, Inspected::Report(report)) => What::Report(inspection, report),
            Sent::Inspected(inspection, Inspected::Section(section)) => What::Section(inspection, section),
            Sent::Inspected(inspection, Inspected::History(series)) => What::History(inspection, series),
            Sent::Inspected(inspection, Inspected::Arguments(arguments)) => What::Arguments(inspection, arguments),
            Sent::Inspected(..) => What::Unreadable("an answer that this version does not know"),
        };
        Some(what)
    }
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub(super) struct List {
    items: Vec<Item>,
    bytes: usize,
}

/// One line of the list. Readings that follow each other are one.
#[derive(Debug)]
pub(super) struct Item {
    first: WallTime,
    last: WallTime,
    count: u64,
    bytes: usize,
    /// The newest of them.
    what: What,
}

impl List {
    /// Takes the next thing, which had `bytes` on the wire.
    pub(super) fn take(&mut self, at: WallTime, what: What, bytes: usize) {
        self.bytes += bytes;
        if let (Some(item), What::Reading(_)) = (self.items.last_mut(), &what)
            && let What::Reading(_) = item.what
        {
            *item = Item { first: item.first, last: at, count: item.count + 1, bytes: item.bytes + bytes, what };
            return;
        }
        self.items.push(Item { first: at, last: at, count: 1, bytes, what });
    }

    /// The lines.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The list.
    pub(super) fn text(&self, path: &Path) -> String {
        let mut text = wire::text::shown(&path.display().to_string()) + "\n";
        if self.items.is_empty() {
            return text + "Nothing was sent.\n";
        }
        for (index, item) in self.items.iter().enumerate() {
            text.push_str(&format!("{:>4}  {}  {}\n", index + 1, item.first, item.line()));
        }
        text + &format!("In all {}. One of them in full: assent-share sent --show NUMBER\n", bytes(self.bytes))
    }
}

impl Item {
    fn line(&self) -> String {
        let what = match &self.what {
            What::Opening(_) => "what was known when it began: findings, figures, the last minutes".to_owned(),
            What::Findings(findings) => {
                let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
                format!("findings: {failed} of {} checks found something", findings.len())
            }
            What::Reading(_) if self.count == 1 => "1 reading".to_owned(),
            What::Reading(_) => format!("{} readings up to {}", self.count, self.last),
            What::Report(inspection, report) => format!("{inspection}: report, {} sections", report.sections.len()),
            What::Section(inspection, section) => format!("{inspection}: {}", section.section.name()),
            What::History(inspection, series) => format!("{inspection}: history, {} series", series.len()),
            What::Arguments(inspection, arguments) => {
                let Arguments { name, pid, arguments, .. } = &**arguments;
                format!("{inspection}: what {name} ({pid}) was started with, {} arguments", arguments.0.len())
            }
            What::Unreadable(why) => (*why).to_owned(),
        };
        format!("{what}, {}", bytes(self.bytes))
    }

    /// Everything in it that a person can read; the newest of several readings.
    pub(super) fn in_full(&self) -> String {
        let lines = |lines: Vec<report::text::Line>| lines.into_iter().map(|line| line.text + "\n").collect();
        match &self.what {
            What::Opening(report) | What::Report(_, report) => report::markdown::markdown(report),
            What::Findings(findings) => lines(report::text::findings(findings, WIDTH)),
            What::Reading(newest) => lines(report::text::figures(newest, WIDTH)),
            What::Section(_, section) => report::markdown::section(section),
            What::History(_, series) => report::export::csv(series),
            What::Arguments(..) => {
                "You allowed it to be shown to the technician once. It is not kept, so it is not shown here.\n"
                    .to_owned()
            }
            What::Unreadable(why) => format!("{why}\n"),
        }
    }
}

fn bytes(bytes: usize) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    report::units::amount(Amount { value: i64::try_from(bytes / 1024).unwrap_or(i64::MAX), unit: Unit::Kib })
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::sections::process::CommandLine;
    use wire::diagnostics::{
        DeltaEncoder, IdentityCard, StreamFrame,
        report::{Outcome, SectionId},
    };
    use wire::text::{Label, Sentence};

    use super::*;

    fn encoded(encoder: &mut DeltaEncoder, tick: u64) -> Sent {
        let load = u32::try_from(tick).unwrap() * 100;
        Sent::Frame(encoder.encode(&Snapshot { tick, load_centi: [load, 0, 0], ..Snapshot::default() }))
    }

    #[test]
    fn readings_that_follow_each_other_are_one_line_and_the_newest_is_shown() {
        let (mut list, mut reader) = (List::default(), Reader::default());
        let mut encoder = DeltaEncoder::new();
        assert!(reader.read(Sent::StreamBegan).is_none());
        let card = IdentityCard {
            host: Label::cut("host-1"),
            system: Label::cut("Debian"),
            kernel: Label::cut("6.1"),
            architecture: Label::cut("x86_64"),
            processor: Label::cut("any"),
            cores: 4,
            memory_kib: 1,
            virtualisation: None,
            model: Label::default(),
            agent_version: Label::cut("0"),
            user: Label::cut("user-1"),
            administrator: false,
        };
        let report = Report::new(card, WallTime(0));
        let opening = Sent::Frame(StreamFrame::Opening(Box::new(report)));
        list.take(WallTime(0), reader.read(opening).unwrap(), 900);
        for tick in 1..=3 {
            list.take(WallTime(tick * 1000), reader.read(encoded(&mut encoder, tick)).unwrap(), 40);
        }
        let section = SectionReport {
            section: SectionId::Storage,
            taken_at: WallTime(0),
            took_ms: 0,
            outcome: Outcome::NotAllowed,
            sources: Vec::new(),
            content: None,
        };
        let answer = Sent::Inspected(InspectionId(4), Inspected::Section(Box::new(section)));
        list.take(WallTime(9000), reader.read(answer).unwrap(), 2048);
        let text = list.text(Path::new("/home/\u{1b}x.sent"));
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(list.items().len(), 3, "{text}");
        assert!(text.contains("1970-01-01T00:00:01Z  3 readings up to 1970-01-01T00:00:03Z, 120 B"), "{text}");
        assert!(text.contains(": storage, 2 KiB"), "{text}");
        assert!(list.items()[1].in_full().contains("3.00"), "{}", list.items()[1].in_full());
    }

    #[test]
    fn of_arguments_nothing_is_kept_but_that_they_were_sent() {
        let arguments = CommandLine(["mysqld", "--secret"].map(Sentence::cut).to_vec());
        let sent = Arguments { pid: 7, name: Label::cut("mysqld"), arguments, ..Arguments::default() };
        let kept = sent.without_text();
        assert!(!serde_json::to_string(&kept).unwrap().contains("--secret"));
        let answer = Sent::Inspected(InspectionId(4), Inspected::Arguments(Box::new(kept)));
        let mut list = List::default();
        list.take(WallTime(0), Reader::default().read(answer).unwrap(), 40);
        let text = list.text(Path::new("x"));
        assert!(text.contains("inspection-4: what mysqld (7) was started with, 2 arguments"), "{text}");
        assert!(list.items()[0].in_full().contains("It is not kept"));
    }

    #[test]
    fn a_stream_whose_beginning_is_missing_is_said_to_be_so() {
        let mut encoder = DeltaEncoder::new();
        let _key = encoded(&mut encoder, 1);
        let (mut list, mut reader) = (List::default(), Reader::default());
        list.take(WallTime(0), reader.read(encoded(&mut encoder, 2)).unwrap(), 5);
        assert!(list.text(Path::new("x")).contains("builds on one that is not here"));
    }
}
