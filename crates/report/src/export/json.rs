//! JSON Lines: one object for each sample.

use std::fmt::Write as _;

use serde::Serialize;
use wire::{diagnostics::Snapshot, text::shown};

use super::{Measured, metrics::host};

/// One line.
#[derive(Serialize)]
struct Line<'m> {
    /// When the sample was taken: RFC 3339, UTC.
    time: String,
    /// The machine's name; blank if it is not known.
    host: String,
    /// Checks that fail.
    failing: usize,
    /// The sample as the protocol has it. The names of its figures end in their units.
    sample: &'m Snapshot,
}

/// `measured` as one line of JSON Lines, without its end: `time` (RFC 3339), `host`, `failing` (checks that fail), and `sample`, whose
/// fields are those of [`Snapshot`], with the unit at the end of each figure's name.
pub fn json_line(measured: &Measured<'_>) -> String {
    let failing = measured.findings.iter().filter(|finding| finding.severity.is_some()).count();
    let line = Line { time: measured.at.to_string(), host: host(measured), failing, sample: measured.sample };
    harmless(&serde_json::to_string(&line).expect("the schema has no maps and no floats"))
}

/// The same JSON with every character escaped that would act on a screen: JSON itself lets C1 and bidirectional controls through.
/// Such characters stand only within strings. For whoever prints JSON of a machine, which anybody may have named something on.
///
/// ```
/// assert_eq!(report::export::harmless("\"\u{9b}31m\""), "\"\\u009b31m\"");
/// ```
pub fn harmless(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\\'
            || character.is_ascii_graphic()
            || shown(character.encode_utf8(&mut [0; 4])).chars().eq([character])
        {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("a String takes everything");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, HOSTILE, filler::Filler};

    #[test]
    fn a_line_has_the_sample_under_names_with_units() {
        let report = testing::report();
        let line = json_line(&Measured::from(&report));
        let value = serde_json::from_str::<serde_json::Value>(&line).unwrap();
        assert_eq!(value["time"], "2026-11-22T06:35:00Z");
        assert_eq!((&value["host"], &value["failing"]), (&"host-1".into(), &3.into()));
        assert_eq!(value["sample"]["processor"]["busy_permille"], 912);
        assert_eq!(value["sample"]["disks"][0]["read_kib_s"], 1200);
        assert_eq!(serde_json::from_value::<Snapshot>(value["sample"].clone()).unwrap(), report.sample);
    }

    #[test]
    fn a_line_is_one_line_acts_on_no_screen_and_loses_nothing() {
        let report = Filler::full(HOSTILE, 1).report();
        let line = json_line(&Measured::from(&report));
        assert_eq!(shown(&line).replace("\\\\", "\\"), line);
        let value = serde_json::from_str::<serde_json::Value>(&line).unwrap();
        assert_eq!(serde_json::from_value::<Snapshot>(value["sample"].clone()).unwrap(), report.sample);
        assert_eq!(harmless("\"\u{e0041}\""), "\"\\udb40\\udc41\"");
    }
}
