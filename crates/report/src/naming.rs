//! What the fields of the schema are called, and what their values are in words.
//!
//! A field's name is its documentation: words, and at the end the unit. `read_kib_s` reads `Read` and is shown as `2 MiB/s`.

use wire::{
    diagnostics::findings::{Amount, Unit},
    text::shown,
    time::WallTime,
};

use crate::{tree::Tree, units};

/// How the number of a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// An amount of so many of the unit.
    Of(Unit, i64),
    /// The number and then this.
    Then(&'static str),
    /// The number without grouping: it names something.
    Name,
    /// So many hexadecimal digits, as the makers of devices write them.
    Hex(usize),
}

/// The end of a field's name and how it is written. The first that fits counts.
const ENDS: &[(&str, Measure)] = &[
    ("deci_celsius", Measure::Of(Unit::DeciCelsius, 1)),
    ("bytes_s", Measure::Of(Unit::BytesPerSecond, 1)),
    ("kib_s", Measure::Of(Unit::KibPerSecond, 1)),
    ("kbit_s", Measure::Then(" kbit/s")),
    ("mbit_s", Measure::Then(" Mbit/s")),
    ("mt_s", Measure::Then(" MT/s")),
    ("ms_s", Measure::Then(" ms/s")),
    ("kib", Measure::Of(Unit::Kib, 1)),
    ("mib", Measure::Of(Unit::Kib, 1024)),
    ("permille", Measure::Of(Unit::Permille, 1)),
    ("percent", Measure::Of(Unit::Permille, 10)),
    ("centi", Measure::Of(Unit::CentiPercent, 1)),
    ("per_minute", Measure::Then("/min")),
    ("rpm", Measure::Then("/min")),
    ("ppb", Measure::Then(" ppb")),
    ("us", Measure::Of(Unit::Micros, 1)),
    ("ms", Measure::Of(Unit::Millis, 1)),
    ("secs", Measure::Of(Unit::Seconds, 1)),
    ("hours", Measure::Of(Unit::Seconds, 3600)),
    ("days", Measure::Of(Unit::Days, 1)),
    ("mhz", Measure::Then(" MHz")),
    ("mwh", Measure::Then(" mWh")),
    ("mw", Measure::Of(Unit::Milliwatts, 1)),
    ("milliwatts", Measure::Of(Unit::Milliwatts, 1)),
    ("mv", Measure::Then(" mV")),
    ("dbm", Measure::Of(Unit::Dbm, 1)),
    ("mm", Measure::Then(" mm")),
    ("pixels", Measure::Then(" px")),
    ("s", Measure::Of(Unit::PerSecond, 1)),
];

/// Fields that are a unit and nothing else or one word of two, and what they are called.
const BARE: &[(&str, &str)] = &[
    ("deci_celsius", "Temperature"),
    ("rpm", "Speed"),
    ("milliwatts", "Power"),
    ("mt_s", "Speed"),
    ("per_minute", "A minute"),
    ("filesystems", "File systems"),
];

/// Numbers that name something.
const NAMES: &[&str] = &[
    "pid",
    "ppid",
    "parent",
    "tid",
    "port",
    "ports",
    "year",
    "number",
    "table",
    "channel",
    "index",
    "user_id",
    "start_ticks",
    "rcode",
    "status",
    "signal",
    "exit_status",
];

/// Numbers that makers of devices write in hexadecimal, and with how many digits.
const HEXADECIMAL: &[(&str, usize)] = &[
    ("vendor_id", 4),
    ("device_id", 4),
    ("product_id", 4),
    ("subsystem_vendor_id", 4),
    ("subsystem_id", 4),
    ("class_code", 6),
];

/// Words that are not written as they stand in a name.
const WORDS: &[(&str, &str)] = &[
    ("ata", "ATA"),
    ("btrfs", "Btrfs"),
    ("bssid", "BSSID"),
    ("cpu", "CPU"),
    ("dns", "DNS"),
    ("dnssec", "DNSSEC"),
    ("fail2ban", "Fail2ban"),
    ("hw", "hardware"),
    ("id", "ID"),
    ("io", "I/O"),
    ("mtu", "MTU"),
    ("nvme", "NVMe"),
    ("oom", "out-of-memory"),
    ("pci", "PCI"),
    ("pid", "PID"),
    ("rx", "received"),
    ("selinux", "SELinux"),
    ("ssh", "SSH"),
    ("ssid", "SSID"),
    ("tcp", "TCP"),
    ("tid", "thread ID"),
    ("tls", "TLS"),
    ("tx", "sent"),
    ("udp", "UDP"),
    ("usb", "USB"),
    ("uuid", "UUID"),
    ("v4", "IPv4"),
    ("v6", "IPv6"),
    ("wwn", "WWN"),
];

/// The field's name in words, without its unit: `Read` of `read_kib_s`.
pub(crate) fn title(field: &str) -> String {
    if let Some((_, title)) = BARE.iter().find(|(name, _)| *name == field) {
        return (*title).to_owned();
    }
    let (rest, _) = split(field);
    let words = rest.split('_').map(|word| {
        let written = WORDS.iter().find(|(name, _)| *name == word);
        written.map_or(word, |(_, written)| written)
    });
    capital(&words.collect::<Vec<_>>().join(" "))
}

/// The text with a capital at the start.
pub(crate) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// The text without a capital at the start, unless a second one follows, as in `CPU`.
pub(crate) fn small(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) && !text.starts_with("IPv") => {
            first.to_lowercase().chain(second).chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// Splits the unit off a field's name.
fn split(field: &str) -> (&str, Measure) {
    if let Some((_, digits)) = HEXADECIMAL.iter().find(|(name, _)| *name == field) {
        return (field, Measure::Hex(*digits));
    }
    if NAMES.contains(&field) {
        return (field, Measure::Name);
    }
    for (end, measure) in ENDS {
        match field.strip_suffix(end) {
            Some("") => return (field, *measure),
            Some(rest) if rest.ends_with('_') => return (rest.trim_end_matches('_'), *measure),
            Some(_) | None => {}
        }
    }
    (field, Measure::Of(Unit::Count, 1))
}

/// Whether the values of the field are numbers to compare by eye, which stand on the right.
pub(crate) fn is_amount(field: &str, value: &Tree) -> bool {
    matches!(value, Tree::Number(_)) && !matches!(split(field).1, Measure::Name | Measure::Hex(_))
}

/// Whether the amount of the field changed enough to be told: by more than a tenth, and by more than one of a machine at rest does.
pub(crate) fn differs(field: &str, before: i128, after: i128) -> bool {
    let least = match split(field).1 {
        Measure::Of(unit, times) => i128::from(at_rest(unit)) / i128::from(times),
        Measure::Then(_) => 1,
        Measure::Name | Measure::Hex(_) => 0,
    };
    let change = before.abs_diff(after);
    change > least.unsigned_abs() && change.saturating_mul(10) > before.unsigned_abs().max(after.unsigned_abs())
}

/// How much an amount moves while nothing happens.
fn at_rest(unit: Unit) -> i64 {
    match unit {
        Unit::Count | Unit::Days | Unit::Dbm => 0,
        Unit::PerSecond => 100,
        Unit::Centi => 50,
        Unit::Permille => 20,
        Unit::CentiPercent => 200,
        Unit::Kib => 10_240,
        Unit::KibPerSecond => 256,
        Unit::BytesPerSecond => 262_144,
        Unit::Micros => 5000,
        Unit::Millis => 200,
        Unit::Seconds => 60,
        Unit::DeciCelsius => 30,
        Unit::Milliwatts => 1000,
    }
}

/// What the value of the field is in words, safe to be shown as plain text; `None` if it says nothing, or is more than a line.
pub(crate) fn value(field: &str, tree: &Tree) -> Option<String> {
    match tree {
        tree if tree.is_absent() => None,
        Tree::Truth(true) => Some("yes".to_owned()),
        Tree::Truth(false) => Some("no".to_owned()),
        Tree::Number(number) => Some(self::number(field, *number)),
        Tree::Text(text) => Some(shown(text)),
        Tree::Word(word) => Some(word.replace('_', " ")),
        Tree::Time(time) => Some(when(*time)),
        Tree::Absent | Tree::List(_) | Tree::Record(_) => None,
    }
}

fn number(field: &str, number: i128) -> String {
    match split(field).1 {
        Measure::Name => number.to_string(),
        Measure::Hex(digits) => format!("{number:0digits$x}"),
        Measure::Then(after) => format!("{}{after}", units::grouped(number)),
        Measure::Of(unit, times) => {
            let clamped = number.saturating_mul(times.into()).clamp(i64::MIN.into(), i64::MAX.into());
            units::amount(Amount { value: i64::try_from(clamped).unwrap_or(i64::MAX), unit })
        }
    }
}

/// A time as people read it: `2026-11-22 06:35:04 UTC`.
pub(crate) fn when(time: WallTime) -> String {
    time.to_string().replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(field: &str, number: i128) -> (String, String) {
        (title(field), value(field, &Tree::Number(number)).unwrap())
    }

    #[test]
    fn a_field_is_named_in_words_and_its_figure_has_the_unit() {
        let expected = [
            ("read_kib_s", 2048, "Read", "2 MiB/s"),
            ("rx_bytes_s", 999, "Received", "999 B/s"),
            ("size_mib", 2048, "Size", "2 GiB"),
            ("deci_celsius", 415, "Temperature", "41.5 °C"),
            ("temperature_deci_celsius", -5, "Temperature", "-0.5 °C"),
            ("busy_permille", 123, "Busy", "12.3 %"),
            ("used_percent", 7, "Used", "7 %"),
            ("io_some_centi", 1234, "I/O some", "12.3 %"),
            ("took_ms", 1500, "Took", "1.5 s"),
            ("median_us", 850, "Median", "850 µs"),
            ("poll_secs", 7500, "Poll", "2 h 5 min"),
            ("power_on_hours", 48, "Power on", "2 days"),
            ("speed_mbit_s", 1000, "Speed", "1,000 Mbit/s"),
            ("switches_s", 12, "Switches", "12/s"),
            ("threads", 1234, "Threads", "1,234"),
            ("pid", 12345, "PID", "12345"),
            ("vendor_id", 0x8086, "Vendor ID", "8086"),
            ("other_routes_v6", 3, "Other routes IPv6", "3"),
            ("rpm", 1200, "Speed", "1,200/min"),
            ("dirty_kib", i128::MAX, "Dirty", "8 ZiB"),
        ];
        for (field, number, title, value) in expected {
            assert_eq!(written(field, number), (title.to_owned(), value.to_owned()), "{field}");
        }
    }

    #[test]
    fn names_without_a_unit_keep_all_their_letters() {
        for (field, title_of) in [("status", "Status"), ("drivers", "Drivers"), ("class", "Class"), ("s", "S")] {
            assert_eq!(title(field), title_of);
        }
    }

    #[test]
    fn what_says_nothing_has_no_value_and_text_cannot_act() {
        assert_eq!(value("name", &Tree::Text("  ".to_owned())), None);
        assert_eq!(value("name", &Tree::Absent), None);
        assert_eq!(value("name", &Tree::Text("a\u{1b}[2J".to_owned())).as_deref(), Some("a\\u{1b}[2J"));
        assert_eq!(value("state", &Tree::Word("not_allowed")).as_deref(), Some("not allowed"));
        assert_eq!(value("since", &Tree::Time(WallTime(0))).as_deref(), Some("1970-01-01 00:00:00 UTC"));
    }

    #[test]
    fn an_abbreviation_keeps_its_capitals_within_a_sentence() {
        assert_eq!((small("CPU busy"), small("Busy"), small("")), ("CPU busy".into(), "busy".into(), String::new()));
    }
}
