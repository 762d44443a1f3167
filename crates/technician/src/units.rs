//! Times and sizes as people write and read them.

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use wire::time::WallTime;

/// Reads `90`, `90s`, `5m`, `2h` or `3d`, alone or joined as in `1h30m`. A bare number is seconds.
///
/// # Errors
///
/// What is wrong with the text, for the person who typed it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write it as 90s, 5m, 2h or 1h30m");
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let scale = match tail.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some(_) | None => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
        rest = tail.get(1..).unwrap_or_default();
    }
    Ok(Duration::from_secs(seconds))
}

/// [`parse_duration`] within bounds.
///
/// # Errors
///
/// Also if the time is outside `least..=most`.
pub(crate) fn duration_between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if (least..=most).contains(&time) {
        return Ok(time);
    }
    Err(format!("{text} is not between {} and {}", duration(least), duration(most)))
}

/// A point in time as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// So long ago.
    Ago(Duration),
    /// Then.
    At(WallTime),
}

impl When {
    /// On a clock that shows `now`.
    pub(crate) fn seen_from(self, now: WallTime) -> WallTime {
        match self {
            Self::Ago(time) => WallTime(now.0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
            Self::At(time) => time,
        }
    }
}

/// Reads how long ago, as [`parse_duration`] does, or a date and a time of RFC 3339 (section 5.6), of which seconds, offset and time may be
/// left out: without an offset it is one of this machine's time zone.
///
/// # Errors
///
/// What is wrong with the text, for the person who typed it.
pub(crate) fn parse_when(text: &str) -> Result<When, String> {
    parse_when_in(text, own_zone)
}

fn parse_when_in(text: &str, zone: impl FnOnce() -> Option<TimeZone>) -> Result<When, String> {
    let text = text.trim();
    if let Ok(time) = parse_duration(text) {
        return Ok(When::Ago(time));
    }
    let wrong = || {
        format!(
            "{text:?} is no time; write how long ago it was (90s, 15m, 6h, 2d), or when: 2026-11-23T10:00, or with an offset \
             2026-11-23T10:00+01:00 or 2026-11-23T09:00Z"
        )
    };
    // A name of a zone in brackets (RFC 9557) would be read and not heeded.
    if text.contains('[') {
        return Err(wrong());
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let civil = text.parse::<DateTime>().map_err(|_| wrong())?;
            let unknown = || format!("the time zone of this machine is not known; write the offset: {civil:.0}Z");
            civil.to_zoned(zone().ok_or_else(unknown)?).map_err(|_| wrong())?.timestamp()
        }
    };
    u64::try_from(at.as_millisecond()).map(|millis| When::At(WallTime(millis))).map_err(|_| wrong())
}

/// The time zone of this machine, or of this environment.
fn own_zone() -> Option<TimeZone> {
    let named = || {
        let name = std::env::var("TZ").ok()?;
        let name = name.strip_prefix(':').unwrap_or(&name);
        let plain = name.split('/').all(|part| !part.is_empty() && part != "..");
        let file = std::path::Path::new("/usr/share/zoneinfo").join(name);
        TimeZone::tzif(name, &std::fs::read(file).ok().filter(|_| plain)?).ok()
    };
    TimeZone::try_system().ok().or_else(named)
}

/// Reads `65536`, `64KiB`, `4MiB` or `1GiB`; `K`, `M` and `G` mean the same.
///
/// # Errors
///
/// What is wrong with the text.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is no size; write it as 65536, 64KiB or 4MiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(wrong)
}

/// A length of time in its two largest units: `45 s`, `3 min 20 s`, `1 h 05 min`, `3 d 2 h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..=3599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..=86_399 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        3600..=86_399 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A length of time for narrow places: `45s`, `3m`, `3h59`, `20h`, `3d`.
pub(crate) fn short_duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=99 => format!("{seconds}s"),
        seconds @ 100..=5999 => format!("{}m", seconds / 60),
        seconds @ 6000..=35_999 => format!("{}h{:02}", seconds / 3600, seconds / 60 % 60),
        seconds @ 36_000..=172_799 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A running time as a clock shows it: `03:21` or `1:03:21`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// A size with at most four significant characters: `999 B`, `1.5 KiB`, `23 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let (value, unit) = scaled(count, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);
    format!("{value} {unit}")
}

/// A size in narrow form: `999B`, `1.5K`, `23M`.
pub(crate) fn short_bytes(count: u64) -> String {
    let (value, unit) = scaled(count, &["B", "K", "M", "G", "T", "P", "E"]);
    format!("{value}{unit}")
}

fn scaled(count: u64, units: &'static [&'static str; 7]) -> (String, &'static str) {
    let mut scale = 0;
    let mut value = count;
    let mut tenths = 0;
    for step in 0..units.len() {
        scale = step;
        if value < 1024 {
            break;
        }
        if step + 1 < units.len() {
            tenths = value % 1024 * 10 / 1024;
            value /= 1024;
        }
    }
    let text = if scale == 0 || value >= 10 { value.to_string() } else { format!("{value}.{tenths}") };
    (text, units.get(scale).copied().unwrap_or_default())
}

/// Bits a second as people say them, with a decimal while that says something: `0 bit/s`, `30 kbit/s`, `1.2 Mbit/s`.
pub(crate) fn bit_rate(bits_per_sec: u64) -> String {
    let (number, unit) = scaled_bits(bits_per_sec);
    format!("{number} {unit}bit/s")
}

/// The same in narrow form: `0`, `30k`, `1.2M`.
pub(crate) fn short_bit_rate(bits_per_sec: u64) -> String {
    let (number, unit) = scaled_bits(bits_per_sec);
    format!("{number}{unit}")
}

fn scaled_bits(bits_per_sec: u64) -> (String, &'static str) {
    let mut unit = ("", 1_u64);
    for next in [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)] {
        if bits_per_sec >= next.1 {
            unit = next;
        }
    }
    let (name, size) = unit;
    let tenths = u128::from(bits_per_sec) * 10 / u128::from(size);
    let number = if name.is_empty() || tenths >= 100 {
        (tenths / 10).to_string()
    } else {
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    (number, name)
}

/// Microseconds as milliseconds, with a decimal while that says something: `8.7 ms`, `120 ms`.
pub(crate) fn milliseconds(us: u64) -> String {
    if us < 10_000 { format!("{}.{} ms", us / 1000, us % 1000 / 100) } else { format!("{} ms", us / 1000) }
}

/// Tenths as a number with one place.
pub(crate) fn tenths(value: i32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{}", value.unsigned_abs() / 10, value.unsigned_abs() % 10)
}

/// Thousandths as whole per cent, rounded: `43%`.
pub(crate) fn percent(permille: u32) -> String {
    format!("{}%", (permille + 5) / 10)
}

/// Hundredths as a number with two places.
pub(crate) fn centi(value: u32) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// `part` of `whole` in thousandths; 0 of nothing.
pub(crate) fn permille(part: u64, whole: u64) -> u16 {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    u16::try_from(thousandths.min(1000)).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let seconds = |text| parse_duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("2d"), Ok(172_800));
        for wrong in ["", "m", "5 minutes", "1h30", "-3s", "5x", "99999999999999999999s", "9999999999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_point_in_time_is_an_age_or_a_date() {
        let zone = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").ok();
        let at = |text| match parse_when_in(text, zone) {
            Ok(When::At(time)) => time.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(parse_when_in("15m", || None), Ok(When::Ago(Duration::from_secs(900))));
        assert_eq!(at("2026-11-23T10:00"), "2026-11-23T09:00:00Z", "of the machine's own time zone");
        assert_eq!(at("2026-07-23T10:00:30"), "2026-07-23T08:00:30Z", "as it was then");
        assert_eq!(at("2026-11-23 10:00"), "2026-11-23T09:00:00Z");
        assert_eq!(at("2026-11-23"), "2026-11-22T23:00:00Z");
        assert_eq!(at("2026-11-23T10:00Z"), "2026-11-23T10:00:00Z");
        assert_eq!(at("2026-11-23T10:00:00.5-05:30"), "2026-11-23T15:30:00Z");
        assert_eq!(When::Ago(Duration::MAX).seen_from(WallTime(7)), WallTime(0));
    }

    #[test]
    fn what_is_no_point_in_time_is_told_what_would_be() {
        for wrong in
            ["", "10:00", "yesterday", "2026-11-31", "2026-11-23T25:00", "1969-12-31T23:00Z", "2026-11-23T10:00[UTC]"]
        {
            let error = parse_when_in(wrong, || Some(TimeZone::UTC)).unwrap_err();
            assert!(error.contains("15m") && error.contains("2026-11-23T10:00+01:00"), "{wrong}: {error}");
        }
        let error = parse_when_in("2026-11-23T10:00", || None).unwrap_err();
        assert!(error.ends_with("write the offset: 2026-11-23T10:00:00Z"), "{error}");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(parse_bytes("65536"), Ok(65_536));
        assert_eq!(parse_bytes("4MiB"), Ok(4 << 20));
        assert_eq!(parse_bytes("4m"), Ok(4 << 20));
        for wrong in ["", "MiB", "4 lots", "99999999999G"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_shown_in_two_units() {
        let show = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(show(45), "45 s");
        assert_eq!(show(200), "3 min 20 s");
        assert_eq!(show(3600), "1 h");
        assert_eq!(show(3900), "1 h 05 min");
        assert_eq!(show(90_000), "1 d 1 h");
        assert_eq!(clock(Duration::from_secs(3801)), "1:03:21");
    }

    #[test]
    fn sizes_are_shown_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(23 << 20), "23 MiB");
        assert_eq!(bytes(u64::MAX), "15 EiB");
        assert_eq!(short_bytes(1536), "1.5K");
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(permille(5, 0), 1000);
        assert_eq!(permille(0, 0), 0);
        assert_eq!(permille(1, 3), 333);
        assert_eq!(permille(u64::MAX, u64::MAX), 1000);
    }

    #[test]
    fn bit_rates_are_told_in_thousands() {
        let told = [0, 999, 1000, 1999, 30_100, 999_999, 1_234_567, 99_000_000, 12_000_000_000];
        let words = [
            "0 bit/s",
            "999 bit/s",
            "1.0 kbit/s",
            "1.9 kbit/s",
            "30 kbit/s",
            "999 kbit/s",
            "1.2 Mbit/s",
            "99 Mbit/s",
            "12 Gbit/s",
        ];
        assert_eq!(told.map(bit_rate), words);
        assert_eq!([0, 30_100, 1_234_567].map(short_bit_rate), ["0", "30k", "1.2M"]);
        assert!(bit_rate(u64::MAX).ends_with(" Gbit/s"));
    }
}
