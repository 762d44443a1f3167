//! Series as CSV (RFC 4180), one value a line.

use std::fmt::Write as _;

use wire::{diagnostics::report::Series, text::shown, time::WallTime};

/// The series as CSV with a header: `time` (RFC 3339, UTC), `figure`, `subject` (blank of the whole machine), `unit`, `value` (blank
/// where nothing was measured).
pub fn csv(series: &[Series]) -> String {
    let mut out = String::from("time,figure,subject,unit,value\r\n");
    for one in series {
        let subject = one.subject.as_ref().map(|subject| field(subject.label().raw())).unwrap_or_default();
        let about = format!("{},{subject},{}", field(one.figure.raw()), one.unit);
        for (place, value) in one.values.iter().enumerate() {
            let after = u64::try_from(place).unwrap_or(u64::MAX).saturating_mul(u64::from(one.step_secs) * 1000);
            let time = WallTime(one.start.0.saturating_add(after));
            let value = value.map(|value| value.to_string()).unwrap_or_default();
            write!(out, "{time},{about},{value}\r\n").expect("a String takes everything");
        }
    }
    out
}

/// A name as a field. What a spreadsheet would take for a formula gets an apostrophe in front, which makes it text there.
///
/// A cell need not begin where the field does: where commas are in numbers, spreadsheets part cells at semicolons and heed no quotes
/// within them. Some read the wide forms of East Asian keyboards as well.
fn field(name: &str) -> String {
    let mut text = String::new();
    let mut begins = true;
    for character in shown(name).chars() {
        if begins && matches!(character, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') {
            text.push('\'');
        }
        begins = matches!(character, ';' | ',' | '"') || begins && character.is_whitespace();
        text.push(character);
    }
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::findings::Unit;

    use super::*;
    use crate::testing::series;

    #[test]
    fn each_value_has_its_time_and_its_unit() {
        let mut one = series("disk.busy", Some("sda"), Unit::Permille, |at| (at != 1).then_some(at - 5));
        one.values.truncate(3);
        assert_eq!(
            csv(&[one]),
            "time,figure,subject,unit,value\r\n\
             2026-11-22T06:20:00Z,disk.busy,sda,permille,-5\r\n\
             2026-11-22T06:20:15Z,disk.busy,sda,permille,\r\n\
             2026-11-22T06:20:30Z,disk.busy,sda,permille,-3\r\n"
        );
    }

    #[test]
    fn a_name_is_one_field_and_no_formula() {
        assert_eq!(field("a,\"b\"\n"), "\"a,\"\"b\"\"\\u{a}\"");
        assert_eq!(field("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(field("  @SUM(1)"), "  '@SUM(1)");
        assert_eq!(field("＝HYPERLINK(1)"), "'＝HYPERLINK(1)");
        assert_eq!(field("a;=HYPERLINK(1)"), "a;'=HYPERLINK(1)", "where cells end at semicolons");
        assert_eq!(field("a; -1"), "a; '-1");
        assert_eq!(field("a,\"=1"), "\"a,\"\"'=1\"");
        assert_eq!(field("nvme-eui.0025=a+b"), "nvme-eui.0025=a+b");
        assert_eq!(field("Ana's disk"), "Ana's disk");
    }

    #[test]
    fn a_time_beyond_all_clocks_is_cut() {
        let mut one = series("a", None, Unit::Count, Some);
        one.start = WallTime(u64::MAX);
        assert_eq!(csv(&[one]).lines().count(), 61);
    }
}
