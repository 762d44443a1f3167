use std::time::Duration;

use wire::time::Moment;

use super::*;

fn ring(series: u32) -> Ring {
    let mut ring = Ring::new(Duration::from_secs(1));
    for second in 0..4 {
        let devices = (0..series).map(|minor| Subject::Device { major: 8, minor });
        let figures = devices.map(|device| (SeriesKey::of(Figure::InodesFree, device), 160)).collect::<Vec<_>>();
        ring.push(&figures, WallTime(second * 1000), Moment::from_origin(Duration::from_secs(second + 1)));
    }
    ring
}

fn ask(query: &Query, ring: &Ring) -> Answer {
    query.run(Some(ring), None)
}

#[test]
fn an_answer_is_bounded_however_long_the_time() {
    let query = Query {
        from: WallTime(0),
        to: WallTime(u64::MAX),
        step_secs: 0,
        fold: Fold::Mean,
        series: vec![Pattern::Any(Figure::InodesFree)],
    };
    let answer = ask(&query, &ring(10));
    let values = answer.series.iter().map(|series| series.values.len()).sum::<usize>();
    assert!(values <= MAX_ANSWER_VALUES && answer.series.iter().all(|series| series.values.len() <= MAX_VALUES));
    assert_eq!(answer.series.len() + usize::try_from(answer.series_left_out).unwrap(), 10);
}

#[test]
fn a_time_that_ends_before_it_begins_holds_nothing() {
    let query = Query {
        from: WallTime(5000),
        to: WallTime(1000),
        step_secs: 1,
        fold: Fold::Mean,
        series: vec![Pattern::Any(Figure::InodesFree)],
    };
    assert_eq!(ask(&query, &ring(1)).series, []);
}

#[test]
fn a_pattern_asks_for_one_series_for_a_figure_or_for_a_thing() {
    let device = |minor| Subject::Device { major: 8, minor };
    let found = |pattern| {
        let query =
            Query { from: WallTime(0), to: WallTime(9000), step_secs: 1, fold: Fold::Last, series: vec![pattern] };
        ask(&query, &ring(3)).series.len()
    };
    assert_eq!(found(Pattern::Any(Figure::InodesFree)), 3);
    assert_eq!(found(Pattern::Any(Figure::CpuBusy)), 0);
    assert_eq!(found(Pattern::One(SeriesKey::of(Figure::InodesFree, device(1)))), 1);
    assert_eq!(found(Pattern::Of(device(2))), 1);
}
