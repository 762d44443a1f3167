//! The text format that Prometheus scrapes: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::Write as _;

use super::{
    Measured,
    metrics::{Value, metrics},
};

/// `measured` in Prometheus's text exposition format, without times: a file of it can be read by the textfile collector, and served.
///
/// All names begin with `assent_`. The values are seconds, bytes, degrees Celsius, watts and shares of 1.
pub fn prometheus(measured: &Measured<'_>) -> String {
    let mut out = String::new();
    for metric in metrics(measured) {
        let (total, kind) = if metric.counter { ("_total", "counter") } else { ("", "gauge") };
        let name = format!("assent_{}{total}", metric.name);
        writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help).expect("a String takes everything");
        for point in &metric.points {
            let labels = point.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
            let labels = labels.collect::<Vec<_>>().join(",");
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let line = match point.value {
                Value::Whole(value) => writeln!(out, "{name}{labels} {value}"),
                Value::Part(value) => writeln!(out, "{name}{labels} {value}"),
            };
            line.expect("a String takes everything");
        }
    }
    out
}

/// A label's value: backslash, quote and line feed are escaped.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::testing::{self, HOSTILE, filler::Filler};

    /// Values by name and labels.
    type Read = BTreeMap<(String, Vec<(String, String)>), f64>;

    /// Reads the format as its page describes it, and refuses whatever is not.
    fn read(text: &str) -> Result<Read, String> {
        let (mut out, mut types) = (Read::new(), BTreeSet::new());
        if !text.ends_with('\n') {
            return Err("the last line does not end".into());
        }
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (keyword, name, rest) = (words.next(), words.next().unwrap_or_default(), words.next());
                match keyword {
                    Some("HELP") if rest.is_some() => {}
                    Some("TYPE") if matches!(rest, Some("gauge" | "counter")) && types.insert(name.to_owned()) => {
                        if (rest == Some("counter")) != name.ends_with("_total") {
                            return Err(format!("{name} is a {rest:?}"));
                        }
                    }
                    _ => return Err(line.into()),
                }
                continue;
            }
            let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').ok_or(line)?;
            let (name, mut rest) = line.split_at(end);
            if !types.contains(name) {
                return Err(format!("{name} has no type"));
            }
            let mut labels = Vec::new();
            if let Some(inside) = rest.strip_prefix('{') {
                rest = inside;
                while !rest.starts_with('}') {
                    let (label, value) = rest.trim_start_matches(',').split_once("=\"").ok_or(line)?;
                    let (mut text, mut characters) = (String::new(), value.char_indices());
                    let end = loop {
                        match characters.next().ok_or(line)? {
                            (at, '"') => break at,
                            (_, '\\') => text.push(match characters.next().ok_or(line)?.1 {
                                'n' => '\n',
                                escaped @ ('\\' | '"') => escaped,
                                _ => return Err(line.into()),
                            }),
                            (_, other) => text.push(other),
                        }
                    };
                    labels.push((label.to_owned(), text));
                    rest = &value[end + 1..];
                }
                rest = &rest[1..];
            }
            let value =
                rest.strip_prefix(' ').ok_or(line)?.parse::<f64>().map_err(|error| format!("{line}: {error}"))?;
            if out.insert((name.to_owned(), labels), value).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
        Ok(out)
    }

    #[test]
    fn a_machine_in_trouble_for_prometheus() {
        insta::assert_snapshot!(prometheus(&Measured::from(&testing::report())));
    }

    #[test]
    fn what_is_written_is_read_again_in_base_units() {
        let read = read(&prometheus(&Measured::from(&testing::report()))).unwrap();
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            read.get(&(format!("assent_{name}"), labels)).copied()
        };
        assert_eq!(value("cpu_ratio", &[("state", "busy")]), Some(0.912));
        assert_eq!(value("memory_size_bytes", &[]), Some(17_179_869_184.0));
        assert_eq!(value("disk_await_seconds", &[("device", "sda")]), Some(0.0084));
        assert_eq!(value("filesystem_available_bytes", &[("mount", "/mnt/nas"), ("kind", "ext4")]), None);
        assert_eq!(value("findings", &[("severity", "critical")]), Some(1.0));
        assert_eq!(value("checks", &[("verdict", "unknown")]), Some(1.0));
    }

    #[test]
    fn no_name_of_a_machine_breaks_the_format_and_two_of_one_name_stay_apart() {
        for seed in 0..HOSTILE.len() {
            // Both rows of a table get the same name.
            let report = Filler::full(&HOSTILE[seed..=seed], 1).report();
            let read = read(&prometheus(&Measured::from(&report))).unwrap();
            let label = ("sensor".to_owned(), wire::text::shown(HOSTILE[seed]));
            let of_sensors = read.keys().filter(|(_, labels)| labels.first() == Some(&label)).count();
            assert_eq!(of_sensors, 2, "{}", HOSTILE[seed]);
        }
    }

    #[test]
    fn rates_that_cover_no_time_are_left_out() {
        let mut report = testing::report();
        report.sample.interval_ms = 0;
        let text = prometheus(&Measured::from(&report));
        assert!(!text.contains("per_second") && !text.contains("cpu_ratio") && text.contains("memory_available_bytes"));
    }
}
