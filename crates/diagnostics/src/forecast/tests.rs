use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use wire::time::{Moment, WallTime};

use super::{
    backtest::{Total, run},
    *,
};

const DAY: u64 = 86_400;

/// A value every five minutes.
fn points(values: impl IntoIterator<Item = i64>) -> Vec<Point> {
    (0..).zip(values).map(|(step, value)| Point { at_secs: 1_000_000 + step * 300, value }).collect()
}

fn any_points() -> impl Strategy<Value = Vec<Point>> {
    vec((any::<u64>(), any::<i64>()), 0..320).prop_map(|mut pairs| {
        pairs.sort_unstable();
        pairs.into_iter().map(|(at_secs, value)| Point { at_secs, value }).collect()
    })
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * scale.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_points_make_a_predictor_panic(points in any_points(), available in any::<i64>(), total in any::<i64>()) {
        Trend::of(&points);
        let forecasts = [
            disk_full(&points, total),
            memory_leak(&points, Growth::Own, available, total),
            disk_wear(&points),
            battery_health(&points, available),
        ];
        for forecast in forecasts.into_iter().flatten() {
            prop_assert!(forecast.latest_secs.is_none_or(|latest| latest >= forecast.earliest_secs));
            prop_assert!(forecast.fit_permille <= 1000);
        }
    }

    #[test]
    fn no_values_make_what_watches_them_panic(values in vec(any::<i64>(), 0..400)) {
        let mut vote = Vote::default();
        Model::train(&values).into_iter().for_each(|model| vote.add(model));
        prop_assert!(vote.oddness(&values).is_none_or(|oddness| (0.0..=1.0).contains(&oddness)));
        let (mut shift, mut spikes, mut holt) = (LevelShift::new(1.0), Spikes::new(1.0), Holt::new(0.3, 0.1));
        let mut season = Seasonal::default();
        for (second, value) in (0..).zip(values) {
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            let float = value as f64;
            shift.push(float, Moment::from_origin(Duration::from_secs(second)));
            spikes.push(float);
            holt.push(float);
            season.learn(WallTime(value.unsigned_abs()), value);
        }
        prop_assert!(season.usual(WallTime(0)).is_none_or(|usual| usual.spread.mad >= 0.0));
    }

    #[test]
    fn a_trend_moves_and_grows_with_its_points(values in vec(-10_000..10_000_i64, 3..100), by in -10_000..10_000_i64, times in 1..50_i32) {
        let Some(trend) = Trend::of(&points(values.clone())) else { return Ok(()) };
        let scale = f64::from(times);
        let moved = Trend::of(&points(values.iter().map(|value| value + by))).unwrap();
        prop_assert!(near(moved.slope, trend.slope, 1.0) && near(moved.slope_low, trend.slope_low, 1.0));
        prop_assert_eq!(moved.monotone_permille, trend.monotone_permille);
        let grown = Trend::of(&points(values.iter().map(|value| value * i64::from(times)))).unwrap();
        prop_assert!(near(grown.slope, trend.slope * scale, scale) && near(grown.slope_high, trend.slope_high * scale, scale));
        let later = points(values).into_iter().map(|point| Point { at_secs: point.at_secs + DAY, ..point });
        prop_assert_eq!(Trend::of(&later.collect::<Vec<_>>()), Some(trend));
        prop_assert!(trend.slope_low <= trend.slope && trend.slope <= trend.slope_high);
    }
}

#[test]
fn a_line_does_not_mind_that_a_quarter_of_its_points_are_wrong() {
    let values = (0..200).map(|step| if step % 4 == 0 { 1_000_000 } else { 30 * step });
    let trend = Trend::of(&points(values)).unwrap();
    assert!((trend.slope - 0.1).abs() < 0.01, "{}", trend.slope);
}

#[test]
fn a_steady_fill_is_foretold_as_a_range_that_holds_the_truth() {
    let values = (0..300).map(|step| 1_000_000 - 3000 * step);
    let forecast = disk_full(&points(values), 3_000_000).unwrap();
    // 103,000 are left, 3000 go every five minutes.
    let truth = 103_000 / 3000 * 300;
    assert!(forecast.earliest_secs < truth && forecast.latest_secs.unwrap() > truth, "{forecast:?}");
    assert!(forecast.earliest_secs > truth * 9 / 10 && forecast.fit_permille > 990);
}

#[test]
fn from_one_morning_alone_no_latest_date_is_told() {
    let values = (0..80).map(|step| 100_000 - 1000 * step);
    assert_eq!(disk_full(&points(values), 1_000_000).unwrap().latest_secs, None);
}

#[test]
fn what_keeps_a_forecast_silent_is_said() {
    let short = points((0..71).map(|step| 100_000 - 1000 * step));
    assert_eq!(disk_full(&short, 1_000_000), Err(NoForecast::TooFew));
    let plenty = points((0..80).map(|step| 900_000 - 1000 * step));
    assert_eq!(disk_full(&plenty, 1_000_000), Err(NoForecast::Plenty));
    assert_eq!(disk_full(&points([5; 80]), 1_000_000), Err(NoForecast::Steady));
    let teeth = points((0..400).map(|step| 100_000 - 1000 * (step % 24)));
    assert_eq!(disk_full(&teeth, 1_000_000), Err(NoForecast::Irregular));
    let daily = points((0..4 * 288 - 20).map(|step| 400_000 - 1000 * (step % 288)));
    assert_eq!(disk_full(&daily, 1_000_000), Err(NoForecast::Recurring));
    let leak = points((0..72).map(|step| 500_000 + 5000 * step));
    assert_eq!(memory_leak(&leak, Growth::Cache, 1_000_000, 8_000_000), Err(NoForecast::Cache));
    assert_eq!(memory_leak(&leak, Growth::Own, 1_000_000, 800_000_000), Err(NoForecast::Plenty));
    assert!(memory_leak(&leak, Growth::Own, 1_000_000, 8_000_000).is_ok());
}

#[test]
fn after_a_restart_only_what_came_after_it_counts() {
    let restarted = |after: i64| {
        points((0..48).map(|step| 500_000 + 20_000 * step).chain((0..after).map(|step| 100_000 + 5000 * step)))
    };
    assert_eq!(memory_leak(&restarted(10), Growth::Own, 1_000_000, 8_000_000), Err(NoForecast::TooFew));
    let forecast = memory_leak(&restarted(40), Growth::Own, 1_000_000, 8_000_000).unwrap();
    // A million at 5000 every five minutes.
    assert!((57_000..60_000).contains(&forecast.earliest_secs), "{forecast:?}");
}

#[test]
fn wear_and_batteries_are_judged_after_thirty_days() {
    let daily = |days: u64, value: fn(i64) -> i64| {
        let value = |day| Point { at_secs: day * DAY, value: value(i64::try_from(day).unwrap()) };
        (0..days).map(value).collect::<Vec<_>>()
    };
    assert_eq!(disk_wear(&daily(29, |day| 10 * day)), Err(NoForecast::TooFew));
    // One percent every six days, from half.
    let wear = disk_wear(&daily(60, |day| 500 + day / 6 * 10)).unwrap();
    let truth = 41 * 6 * DAY;
    assert!(wear.earliest_secs < truth && wear.latest_secs.is_none_or(|latest| latest > truth), "{wear:?}");
    assert_eq!(disk_wear(&daily(60, |_| 20)), Err(NoForecast::Steady));
    let battery = battery_health(&daily(60, |day| 950 - day), 800).unwrap();
    assert!((80 * DAY..91 * DAY).contains(&battery.earliest_secs), "{battery:?}");
    assert_eq!(battery_health(&daily(60, |_| 900), 800), Err(NoForecast::Steady));
}

#[test]
fn what_every_model_finds_odd_is_odd_and_what_is_as_always_is_not() {
    let usual = |from: i64| (from..from + 600).map(|second| 100 + (second * 7919) % 13).collect::<Vec<_>>();
    let mut vote = Vote::default();
    (0..MAX_MODELS + 3).for_each(|hour| vote.add(Model::train(&usual(1000 * i64::try_from(hour).unwrap())).unwrap()));
    assert!(vote.oddness(&usual(77_777)).unwrap() < 0.02);
    let burst = (0..60).map(|second| 100 + second % 7 * 400).collect::<Vec<_>>();
    assert!(vote.oddness(&burst).unwrap() > 0.9);
    assert_eq!(Vote::default().oddness(&burst), None);
    assert_eq!(vote.oddness(&[1, 2, 3]), None);
}

#[test]
fn an_hour_is_compared_with_the_same_hour_of_other_weeks() {
    let mut season = Seasonal::default();
    let hour = |week: u64, hour: u64| WallTime((week * 168 + hour) * 3_600_000);
    for week in 0..10 {
        assert_eq!(season.usual(hour(week, 9)).is_some(), week >= 2);
        (0..168).for_each(|of| season.learn(hour(week, of), if of == 9 { 800 } else { 100 }));
    }
    let usual = season.usual(hour(50, 9)).unwrap();
    assert_eq!((usual.spread, usual.weeks), (Spread { median: 800.0, mad: 0.0 }, 8));
}

#[test]
fn a_spike_stands_out_from_noise_and_over_its_floor() {
    let mut spikes = Spikes::new(50.0);
    let noise = |step: u32| 100.0 + f64::from(step % 7);
    assert!((0..100).all(|step| !spikes.push(noise(step))));
    assert!(!spikes.push(140.0), "far, but below the floor");
    assert!(spikes.push(400.0));
}

/// The least that is good enough; `examples/backtest.rs` prints how good they are.
#[test]
fn predictors_are_right_more_often_than_these() {
    let scores = run(4, 12);
    for (predictor, precision, recall) in
        [("disk full", 850, 900), ("memory leak", 850, 900), ("level shift", 900, 850)]
    {
        let total = Total::of(scores.iter().filter(|score| score.predictor == predictor));
        assert!(
            total.precision_permille >= precision && total.recall_permille >= recall,
            "{predictor}: {total:?} {scores:#?}"
        );
    }
    let lead = Total::of(scores.iter().filter(|score| score.predictor == "disk full")).median_lead_secs.unwrap();
    assert!((DAY / 2..2 * DAY).contains(&lead), "{lead} s");
    assert_eq!(run(1, 500), run(1, 500), "the same every time");
}
