//! Records what checks see of this machine, as a story for `tests/fixtures/findings`.
//!
//! `record_facts [SAMPLES]` takes a sample every five seconds, twelve if not told, and prints the story. Names of people, networks, units
//! and folders are replaced before anything is printed; mounts that are a part of every system stay.

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    recorder::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod recorder {
    use std::{collections::BTreeMap, env, io, io::Write as _, thread, time::Duration};

    use diagnostics::{Collector, Roots, SECTION_DEADLINE, Sources, Survey};
    use serde_json::{Map, Value, json};
    use wire::{
        diagnostics::{
            Panels,
            report::{SectionId, SectionReport},
            schema::{Class, Egress, Redact as _},
        },
        time::{Moment, WallTime},
    };

    const EVERY: Duration = Duration::from_secs(5);
    const KEPT: [&str; 4] = ["/", "/boot", "/home", "/var"];

    pub(super) fn main() -> io::Result<()> {
        let samples = env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(12);
        let mut collector = Collector::new(Roots::default(), now());
        let survey = Survey::new(Sources::default());
        let mut names = Names::default();
        let mut card = collector.identity();
        card.redact(&mut names);
        // No check looks at every process.
        let asked = SectionId::ALL.iter().copied().filter(|section| *section != SectionId::Processes);
        let mut sections = survey.read(&asked.collect::<Vec<_>>(), SECTION_DEADLINE, wall());
        sections.redact(&mut names);
        let mut stretches = Vec::new();
        for number in 0..samples {
            thread::sleep(EVERY);
            let mut sample = collector.sample(now(), Panels::ALL);
            sample.redact(&mut names);
            let mut changes = json!({ "sample": sample });
            if number == 0 {
                changes["card"] = serde_json::to_value(&card)?;
                changes["sections"] = by_name(&sections)?;
            }
            stretches.push(json!({ "lasts_secs": EVERY.as_secs(), "every_secs": EVERY.as_secs(), "changes": changes }));
        }
        let story = json!({ "story": "recorded", "stretches": stretches });
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &story)?;
        writeln!(out)
    }

    fn by_name(sections: &[SectionReport]) -> serde_json::Result<Value> {
        let rows = sections.iter().map(|section| {
            let mut row = serde_json::to_value(section)?;
            // As if it were read with every sample.
            row["taken_at"] = json!(0);
            Ok((section.section.name().to_owned(), row))
        });
        rows.collect::<serde_json::Result<Map<_, _>>>().map(Value::Object)
    }

    /// Puts a number in place of each name.
    #[derive(Default)]
    struct Names(BTreeMap<(Class, String), usize>);

    impl Egress for Names {
        fn replacement(&mut self, class: Class, text: &str) -> Option<String> {
            if class == Class::Path && KEPT.contains(&text) {
                return None;
            }
            let next = self.0.len() + 1;
            let number = *self.0.entry((class, text.to_owned())).or_insert(next);
            Some(format!("{}-{number}", class.name()))
        }

        /// No section has any.
        fn arguments(&mut self, arguments: &[&str]) -> Vec<String> {
            arguments.iter().map(|_| String::new()).collect()
        }
    }

    fn now() -> Moment {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Moment::from_origin(Duration::from_secs(time.tv_sec.unsigned_abs()))
    }

    fn wall() -> WallTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        WallTime(time.tv_sec.unsigned_abs() * 1000)
    }
}
