//! Amounts as people write them: `3.2 GiB`, `12 %`, `-71 dBm`, `2 h 5 min`.

use wire::diagnostics::findings::{Amount, Unit};

/// The amount with its unit.
///
/// ```
/// # use wire::diagnostics::findings::{Amount, Unit};
/// let free = Amount { value: 3_355_443, unit: Unit::Kib };
/// assert_eq!(report::units::amount(free), "3.2 GiB");
/// ```
pub fn amount(amount: Amount) -> String {
    let Amount { value, unit } = amount;
    match unit {
        Unit::Count => grouped(value.into()),
        Unit::PerSecond => format!("{}/s", grouped(value.into())),
        Unit::Centi => fixed(value.into(), 100, 2),
        Unit::Permille => format!("{} %", short(value.into(), 10)),
        Unit::CentiPercent => format!("{} %", short(value.into(), 100)),
        Unit::Kib => bytes(i128::from(value) * 1024, ""),
        Unit::KibPerSecond => bytes(i128::from(value) * 1024, "/s"),
        Unit::BytesPerSecond => bytes(value.into(), "/s"),
        Unit::Micros => micros(value.into()),
        Unit::Millis => micros(i128::from(value) * 1000),
        Unit::Seconds => duration(value.into()),
        Unit::Days if value.unsigned_abs() == 1 => format!("{value} day"),
        Unit::Days => format!("{} days", grouped(value.into())),
        Unit::DeciCelsius => format!("{} °C", short(value.into(), 10)),
        Unit::Dbm => format!("{value} dBm"),
        Unit::Milliwatts => format!("{} W", short(value.into(), 1000)),
    }
}

/// Seconds in the two largest units that say something: `45 s`, `2 h 5 min`, `3 days`.
pub fn seconds(seconds: u64) -> String {
    duration(seconds.into())
}

/// Whole units and, below 100 of them, one decimal unless it is zero.
fn short(value: i128, per_unit: i128) -> String {
    let tenths = rounded(value * 10, per_unit);
    if tenths.unsigned_abs() >= 1000 || tenths % 10 == 0 {
        return grouped(rounded(value, per_unit));
    }
    fixed(tenths, 10, 1)
}

/// A number with as many decimals as told, which `per_unit` has zeros.
fn fixed(value: i128, per_unit: i128, decimals: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = (value.abs() / per_unit, value.abs() % per_unit);
    format!("{sign}{}.{part:0decimals$}", grouped(whole))
}

fn rounded(value: i128, divisor: i128) -> i128 {
    let half = divisor / 2;
    (if value < 0 { value - half } else { value + half }) / divisor
}

/// Digits in threes from a thousand on.
pub(crate) fn grouped(value: i128) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::from(if value < 0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(value: i128, per: &str) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB"];
    let mut size = 1_i128;
    let mut units = units.into_iter().peekable();
    let mut unit = units.next().unwrap_or_default();
    // The next unit from where rounding would show 1,024 of this one.
    while rounded(value.abs(), size) >= 1024 && units.peek().is_some() {
        size *= 1024;
        unit = units.next().unwrap_or_default();
    }
    format!("{} {unit}{per}", short(value, size))
}

fn micros(value: i128) -> String {
    match value.abs() {
        0 => "0 ms".to_owned(),
        1..1000 => format!("{value} µs"),
        1000..1_000_000 => format!("{} ms", short(value, 1000)),
        1_000_000..60_000_000 => format!("{} s", short(value, 1_000_000)),
        _ => duration(rounded(value, 1_000_000)),
    }
}

fn duration(seconds: i128) -> String {
    const MINUTE: i128 = 60;
    const HOUR: i128 = 60 * MINUTE;
    const DAY: i128 = 24 * HOUR;
    let sign = if seconds < 0 { "-" } else { "" };
    let two = |large: i128, large_name: &str, small: i128, small_name: &str| match small {
        0 => format!("{sign}{} {large_name}", grouped(large)),
        small => format!("{sign}{} {large_name} {small} {small_name}", grouped(large)),
    };
    match seconds.abs() {
        s if s < MINUTE => format!("{sign}{s} s"),
        s if s < HOUR => two(s / MINUTE, "min", s % MINUTE, "s"),
        s if s < DAY => two(s / HOUR, "h", s % HOUR / MINUTE, "min"),
        s if s < 2 * DAY => two(1, "day", s % DAY / HOUR, "h"),
        s if s < 10 * DAY => two(s / DAY, "days", s % DAY / HOUR, "h"),
        s => two(s / DAY, "days", 0, ""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(value: i64, unit: Unit) -> String {
        amount(Amount { value, unit })
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        let expected = [
            (1_234_567, Unit::Count, "1,234,567"),
            (12, Unit::PerSecond, "12/s"),
            (205, Unit::Centi, "2.05"),
            (120, Unit::Permille, "12 %"),
            (123, Unit::Permille, "12.3 %"),
            (1234, Unit::CentiPercent, "12.3 %"),
            (1800, Unit::Permille, "180 %"),
            (512, Unit::Kib, "512 KiB"),
            (3_355_443, Unit::Kib, "3.2 GiB"),
            (1_048_575, Unit::Kib, "1 GiB"),
            (500_000_000, Unit::Kib, "477 GiB"),
            (2048, Unit::KibPerSecond, "2 MiB/s"),
            (999, Unit::BytesPerSecond, "999 B/s"),
            (850, Unit::Micros, "850 µs"),
            (200, Unit::Millis, "200 ms"),
            (1500, Unit::Millis, "1.5 s"),
            (45, Unit::Seconds, "45 s"),
            (600, Unit::Seconds, "10 min"),
            (7500, Unit::Seconds, "2 h 5 min"),
            (100_000, Unit::Seconds, "1 day 3 h"),
            (1_000_000, Unit::Seconds, "11 days"),
            (1, Unit::Days, "1 day"),
            (-3, Unit::Days, "-3 days"),
            (845, Unit::DeciCelsius, "84.5 °C"),
            (-71, Unit::Dbm, "-71 dBm"),
            (12_500, Unit::Milliwatts, "12.5 W"),
            (-250, Unit::Millis, "-250 ms"),
        ];
        for (value, unit, text) in expected {
            assert_eq!(shown(value, unit), text, "{value} {unit}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_can_be_shown(value in any::<i64>(), unit in proptest::sample::select(Unit::ALL)) {
            let text = shown(value, unit);
            prop_assert!(text.len() < 48 && text.starts_with('-') == (value < 0 && text.bytes().any(|byte| (b'1'..=b'9').contains(&byte))), "{}", text);
        }
    }
}
