//! Metrics as OTLP in JSON: <https://opentelemetry.io/docs/specs/otlp/>, section "JSON Protobuf Encoding".
//!
//! Names of fields are in lower camel case, and 64-bit numbers are strings. Only the body is made here; whoever has it posts it to
//! `/v1/metrics` of a collector, as `application/json`.

use serde::Serialize;

use super::{
    Measured,
    metrics::{Metric, Point, Value, host, metrics},
};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u8 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    resource_metrics: [ResourceMetrics; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics {
    resource: Resource,
    scope_metrics: [ScopeMetrics; 1],
}

#[derive(Serialize)]
struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct ScopeMetrics {
    scope: Scope,
    metrics: Vec<OneMetric>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct OneMetric {
    name: String,
    description: &'static str,
    unit: &'static str,
    #[serde(flatten)]
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Data {
    #[serde(rename_all = "camelCase")]
    Gauge { data_points: Vec<DataPoint> },
    #[serde(rename_all = "camelCase")]
    Sum { data_points: Vec<DataPoint>, aggregation_temporality: u8, is_monotonic: bool },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DataPoint {
    attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time_unix_nano: Option<String>,
    time_unix_nano: String,
    #[serde(flatten)]
    value: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Number {
    AsInt(String),
    AsDouble(f64),
}

#[derive(Serialize)]
struct Attribute {
    key: &'static str,
    value: AnyValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum AnyValue {
    StringValue(String),
}

/// `measured` as the body of an OTLP/HTTP request with metrics, encoded as JSON.
///
/// The names are those of [`super::prometheus()`] without `_total`, the units those of UCUM.
pub fn otlp(measured: &Measured<'_>) -> String {
    let attribute = |key, value: String| Attribute { key, value: AnyValue::StringValue(value) };
    let mut attributes = vec![attribute("service.name", "assent-agent".to_owned())];
    if let Some(card) = measured.card {
        attributes.push(attribute("host.name", host(measured)));
        attributes.push(attribute("host.arch", card.architecture.shown()));
        attributes.push(attribute("os.description", card.system.shown()));
        attributes.push(attribute("service.version", card.agent_version.shown()));
    }
    let scope = Scope { name: "assent", version: env!("CARGO_PKG_VERSION") };
    let metrics = metrics(measured).into_iter().map(|metric| one_metric(metric, measured)).collect();
    let request = Request {
        resource_metrics: [ResourceMetrics {
            resource: Resource { attributes },
            scope_metrics: [ScopeMetrics { scope, metrics }],
        }],
    };
    super::json::harmless(&serde_json::to_string(&request).expect("every key is a text and every number is finite"))
}

fn one_metric(metric: Metric, measured: &Measured<'_>) -> OneMetric {
    let Metric { name, help, counter, points } = metric;
    // What counts since the machine started has a start.
    let started = measured.at.0.saturating_sub(measured.sample.uptime_secs.saturating_mul(1000));
    let nanos = |millis: u64| (u128::from(millis) * 1_000_000).min(u64::MAX.into()).to_string();
    let point = |Point { labels, value }: Point| DataPoint {
        attributes: labels
            .into_iter()
            .map(|(key, value)| Attribute { key, value: AnyValue::StringValue(value) })
            .collect(),
        start_time_unix_nano: counter.then(|| nanos(started)),
        time_unix_nano: nanos(measured.at.0),
        value: match value {
            Value::Whole(value) => Number::AsInt(value.to_string()),
            Value::Part(value) => Number::AsDouble(value),
        },
    };
    let data_points = points.into_iter().map(point).collect();
    OneMetric {
        name: format!("assent_{name}"),
        description: help,
        unit: unit(name),
        data: if counter {
            Data::Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true }
        } else {
            Data::Gauge { data_points }
        },
    }
}

/// The unit that the metric's name ends in, as UCUM writes it.
fn unit(name: &str) -> &'static str {
    let ends = [
        ("_bytes_per_second", "By/s"),
        ("_per_second", "1/s"),
        ("_per_minute", "1/min"),
        ("_bytes", "By"),
        ("_seconds", "s"),
        ("_celsius", "Cel"),
        ("_watts", "W"),
    ];
    ends.iter().find(|(end, _)| name.ends_with(end)).map_or("1", |(_, unit)| unit)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{self, HOSTILE, filler::Filler};

    #[test]
    fn a_machine_in_trouble_for_a_collector() {
        let mut report = testing::report();
        report.sample.disks.truncate(1);
        let value = serde_json::from_str::<Value>(&otlp(&Measured::from(&report))).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&value["resourceMetrics"][0]["resource"]).unwrap());
        let metrics = value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let named = |name: &str| metrics.iter().find(|metric| metric["name"] == name).unwrap();
        let chosen = ["assent_uptime_seconds", "assent_disk_busy_ratio", "assent_oom_kills"].map(named);
        insta::assert_snapshot!(serde_json::to_string_pretty(&chosen).unwrap());
    }

    #[test]
    fn numbers_of_sixty_four_bits_are_texts_and_every_point_has_one_value() {
        let text = otlp(&Measured::from(&Filler::full(HOSTILE, 1).report()));
        assert_eq!(wire::text::shown(&text).replace("\\\\", "\\"), text);
        let value = serde_json::from_str::<Value>(&text).unwrap();
        let metrics = value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
        assert!(metrics.len() > 40);
        for metric in metrics {
            let data = if metric["gauge"].is_null() { &metric["sum"] } else { &metric["gauge"] };
            for point in data["dataPoints"].as_array().unwrap() {
                assert!(point["timeUnixNano"].is_string(), "{point}");
                assert!(point["asInt"].is_string() != point["asDouble"].is_f64(), "{point}");
            }
        }
    }
}
