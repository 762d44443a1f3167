use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use wire::time::{Moment, WallTime};

use super::{
    backtest::{Set, Total, predictors, run},
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
        for Foreseen { likely_secs, range: forecast } in forecasts.into_iter().flatten() {
            prop_assert!(forecast.earliest_secs <= likely_secs);
            prop_assert!(forecast.latest_secs.is_none_or(|latest| latest >= forecast.earliest_secs));
            prop_assert!(forecast.fit_permille <= 1000);
        }
    }

    #[test]
    fn no_values_make_what_watches_them_panic(values in vec(any::<i64>(), 0..400)) {
        let mut vote = Vote::default();
        Model::train(&values).into_iter().for_each(|model| vote.add(model));
        prop_assert!(vote.oddness(&values).is_none_or(|oddness| (0.0..=1.0).contains(&oddness)));
        let (mut shift, mut spikes) = (LevelShift::new(1.0), Spikes::new(1.0));
        let mut season = Seasonal::default();
        for (second, value) in (0..).zip(values) {
            #[expect(clippy::cast_precision_loss, reason = "any float will do")]
            let float = value as f64;
            shift.push(float, Moment::from_origin(Duration::from_secs(second)));
            spikes.push(float);
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
    let forecast = disk_full(&points(values), 3_000_000).unwrap().range;
    // 103,000 are left, 3000 go every five minutes.
    let truth = 103_000 / 3000 * 300;
    assert!(forecast.earliest_secs < truth && forecast.latest_secs.unwrap() > truth, "{forecast:?}");
    assert!(forecast.earliest_secs > truth * 9 / 10 && forecast.fit_permille > 990);
}

#[test]
fn from_one_morning_alone_no_latest_date_is_told() {
    let values = (0..80).map(|step| 100_000 - 1000 * step);
    assert_eq!(disk_full(&points(values), 1_000_000).unwrap().range.latest_secs, None);
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
    assert_eq!(memory_leak(&leak, Growth::Own, 1_000_000, 800_000_000), Err(NoForecast::Plenty));
    assert!(memory_leak(&leak, Growth::Own, 1_000_000, 8_000_000).is_ok());
}

#[test]
fn a_program_that_was_started_again_is_foreseen_once_it_holds_more_than_before() {
    let restarted = |after: i64| {
        points((0..40).map(|step| 500_000 + 10_000 * step).chain((0..after).map(|step| 300_000 + 25_000 * step)))
    };
    let ask = |after: i64| memory_leak(&restarted(after), Growth::Own, 1_000_000, 8_000_000);
    assert_eq!(ask(10), Err(NoForecast::TooFew));
    // It held 890,000 then, and holds 875,000 now.
    assert_eq!(ask(24), Err(NoForecast::Recurring));
    let foreseen = ask(31).unwrap();
    // A million at 25,000 every five minutes.
    assert!((11_000..13_000).contains(&foreseen.likely_secs), "{foreseen:?}");
    assert_eq!(foreseen.range.latest_secs, None, "it may be started again");
    let after = points((0..31).map(|step| 300_000 + 25_000 * step));
    let again = |most| memory_leak(&after, Growth::Again(most), 1_000_000, 8_000_000);
    assert_eq!(again(1_000_000), Err(NoForecast::Recurring));
    assert_eq!(again(900_000).unwrap().range.latest_secs, None);
}

#[test]
fn a_fill_that_speeds_up_is_inside_its_range() {
    // All is used up after five days; each day takes more than the day before.
    let left = |step: i64| 150_000_000 - 150_000_000 * (step * step) / (1440 * 1440);
    for day in [3, 4] {
        let now = day * 288;
        let range = disk_full(&points((0..=now).map(left)), 500_000_000).unwrap().range;
        let truth = u64::try_from(1440 - now).unwrap() * 300;
        let latest = range.latest_secs.unwrap();
        assert!((range.earliest_secs..=latest).contains(&truth), "{truth} after day {day}: {range:?}");
    }
}

#[test]
fn a_fill_goes_on_after_somebody_made_room() {
    let left = |step: i64| 90_000_000 - 60_000 * step + if step > 700 { 25_000_000 } else { 0 };
    let foreseen = disk_full(&points((0..1700).map(left)), 500_000_000).unwrap();
    let truth = u64::try_from(left(1699)).unwrap() / 60_000 * 300;
    assert!(foreseen.likely_secs.abs_diff(truth) < truth / 10, "{truth}: {foreseen:?}");
}

#[test]
fn what_just_began_is_believed_once_it_took_much() {
    // A day of rest, and then 600 MB every five minutes of sixty-odd GB.
    let after =
        |steps: i64| points((0..288).map(|_| 60_000_000).chain((1..=steps).map(|step| 60_000_000 - 300_000 * step)));
    assert_eq!(disk_full(&after(76), 500_000_000), Err(NoForecast::Unproven));
    let foreseen = disk_full(&after(100), 500_000_000).unwrap();
    assert_eq!(foreseen.range.latest_secs, None, "nobody knows whether it goes on");
    assert!(foreseen.likely_secs.abs_diff(100 * 300) < 2000, "{foreseen:?}");
}

#[test]
fn a_fill_is_foreseen_although_samples_are_missing() {
    let all = points((0..600).map(|step| 200_000_000 - 300_000 * step));
    let some = all.into_iter().enumerate().filter(|(step, _)| step % 8 != 3).map(|(_, point)| point);
    assert!(disk_full(&some.collect::<Vec<_>>(), 500_000_000).is_ok());
}

#[test]
fn a_battery_whose_gauge_was_set_anew_does_not_fade() {
    let daily = (0..40)
        .map(|day| Point { at_secs: day * DAY, value: if day < 20 { 700 } else { 660 } - i64::from(day % 3 == 0) });
    assert!(battery_health(&daily.collect::<Vec<_>>(), 500).is_err());
}

#[test]
fn a_job_that_ends_within_the_minute_is_no_level() {
    let mut shift = LevelShift::new(50.0);
    let found = (0..900_u32).filter_map(|second| {
        let value = f64::from(100 + second % 7) + if (400..440).contains(&second) { 500.0 } else { 0.0 };
        shift.push(value, Moment::from_origin(Duration::from_secs(second.into())))
    });
    assert_eq!(found.count(), 0);
}

#[test]
fn a_shift_began_when_its_values_turned() {
    let mut shift = LevelShift::new(50.0);
    let noise = |second: u32| f64::from(second * 7919 % 61);
    let found = (0..900_u32).find_map(|second| {
        let value = 100.0 + noise(second) + if second >= 500 { 200.0 } else { 0.0 };
        shift.push(value, Moment::from_origin(Duration::from_secs(second.into())))
    });
    assert_eq!(found.unwrap().since, Moment::from_origin(Duration::from_secs(500)));
}

#[test]
fn wear_and_batteries_are_judged_after_thirty_days() {
    let daily = |days: u64, value: fn(i64) -> i64| {
        let value = |day| Point { at_secs: day * DAY, value: value(i64::try_from(day).unwrap()) };
        (0..days).map(value).collect::<Vec<_>>()
    };
    assert_eq!(disk_wear(&daily(29, |day| 10 * day)), Err(NoForecast::TooFew));
    // One percent every six days, from half.
    let wear = disk_wear(&daily(60, |day| 500 + day / 6 * 10)).unwrap().range;
    let truth = 41 * 6 * DAY;
    assert!(wear.earliest_secs < truth && wear.latest_secs.is_none_or(|latest| latest > truth), "{wear:?}");
    assert_eq!(disk_wear(&daily(60, |_| 20)), Err(NoForecast::Steady));
    let battery = battery_health(&daily(60, |day| 950 - day), 800).unwrap().range;
    assert!((75 * DAY..91 * DAY).contains(&battery.earliest_secs), "{battery:?}");
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

/// The least that is good enough, on series that predictors may be changed for: how good they are is what the bench tells, from others.
#[test]
fn predictors_are_right_more_often_than_these() {
    let scores = run(Set::Tuning, 2, 24);
    for (predictor, precision, recall, coverage) in [
        ("disk full", 950, 950, 800),
        ("memory leak", 800, 950, 800),
        ("disk wear", 850, 900, 800),
        ("battery", 600, 900, 800),
        ("level shift", 500, 850, 800),
        ("spike", 950, 900, 0),
    ] {
        let of_it = scores.iter().filter(|score| score.predictor == predictor);
        let total = Total::of(of_it.clone());
        let good = total.precision_permille >= precision
            && total.recall_permille >= recall
            && total.coverage_permille.unwrap_or(0) >= coverage;
        assert!(good, "{predictor}: {total:?} {:#?}", of_it.collect::<Vec<_>>());
    }
}

#[test]
fn what_predictors_are_judged_by_is_the_same_every_time_and_not_what_they_were_changed_for() {
    let (tuned, held_out) = (run(Set::Tuning, 1, 500), run(Set::HeldOut, 1, 500));
    assert_eq!(run(Set::HeldOut, 1, 500), held_out);
    assert_eq!(predictors(&tuned), predictors(&held_out));
    assert!(tuned.iter().all(|tuned| {
        held_out.iter().all(|held_out| tuned.series != held_out.series || tuned.predictor != held_out.predictor)
    }));
}
