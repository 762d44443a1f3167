use wire::text::Label;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn busy() -> SeriesKey {
    SeriesKey::machine(Figure::Processes)
}

fn disk(name: &str) -> SeriesKey {
    SeriesKey::of(Figure::DiskBusy, Subject::Disk(Label::cut(name)))
}

fn push(ring: &mut Ring, second: u64, figures: &[(SeriesKey, i64)]) -> Pushed {
    let now = Moment::from_origin(Duration::from_secs(1000 + second));
    ring.push(figures, WallTime((1_800_000_000 + second) * 1000), now)
}

fn filled(values: impl IntoIterator<Item = i64>) -> Ring {
    let mut ring = Ring::new(SECOND);
    for (second, value) in (0..).zip(values) {
        assert_eq!(push(&mut ring, second, &[(busy(), value)]), Pushed::Taken);
    }
    ring
}

#[test]
fn a_window_ends_at_the_newest_sample() {
    let ring = filled(0..100);
    let history = ring.history();
    assert_eq!(history.latest(&busy()), Some(99));
    assert_eq!(history.mean(&busy(), SECOND * 10), Some(94), "eleven values, 89 to 99");
    let expected = Summary { count: 11, spans: SECOND * 10, min: 89, max: 99, mean: 94, first: 89, last: 99 };
    assert_eq!(history.summary(&busy(), SECOND * 10), Some(expected));
    let values = history.values(&busy(), SECOND * 2).map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(values, [99, 98, 97]);
    assert_eq!(history.summary(&disk("sda"), SECOND), None);
}

#[test]
fn a_quarter_of_an_hour_is_kept() {
    let ring = filled(0..2000);
    assert_eq!(ring.history().summary(&busy(), Duration::MAX).map(|all| (all.count, all.first)), Some((900, 1100)));
    let slow = Ring::new(Duration::from_secs(5));
    assert_eq!(slow.times.len(), 180);
}

#[test]
fn samples_faster_than_the_period_are_thinned() {
    let mut ring = Ring::new(Duration::from_secs(5));
    let taken = (0..100).filter(|second| push(&mut ring, *second, &[(busy(), 1)]) == Pushed::Taken);
    assert_eq!(taken.count(), 34, "no sooner than half a period");
}

#[test]
fn a_value_that_is_missing_is_no_value() {
    let mut ring = filled([1, 2]);
    push(&mut ring, 2, &[(disk("sda"), 500)]);
    let history = ring.history();
    assert_eq!(history.latest(&busy()), None);
    assert_eq!(history.mean(&busy(), SECOND * 2), Some(1));
    assert_eq!(history.held(&busy(), |_| true), None);
    assert_eq!(history.subjects(Figure::DiskBusy).flatten().count(), 1);
}

#[test]
fn a_thing_that_is_gone_leaves_and_makes_room() {
    let mut ring = Ring::new(Duration::from_secs(60));
    let disks = |from: usize| (from..from + MAX_RING_SERIES).map(|n| (disk(&format!("dm-{n}")), 0)).collect::<Vec<_>>();
    push(&mut ring, 0, &disks(0));
    push(&mut ring, 60, &disks(1000));
    assert_eq!(ring.left_out(), 256);
    for minute in 2..16 {
        push(&mut ring, minute * 60, &[]);
    }
    push(&mut ring, 16 * 60, &disks(1000));
    assert_eq!((ring.left_out(), ring.series.len()), (256, MAX_RING_SERIES));
    assert_eq!(ring.history().latest(&disk("dm-1000")), Some(0));
}

#[test]
fn a_counter_grows_by_its_steps_and_not_when_it_starts_over() {
    let drops = SeriesKey::of(Figure::NetworkDrops, Subject::Network(Label::cut("eth0")));
    let mut ring = Ring::new(SECOND);
    for (second, value) in (0..).zip([5, 7, 7, 0, 4, 1 << 40]) {
        push(&mut ring, second, &[(drops.clone(), value)]);
    }
    assert_eq!(ring.history().increase(&drops, SECOND * 4), Some(4), "2^40 is 0 in 31 bits");
    assert_eq!(ring.history().increase(&drops, SECOND * 5), Some(6));
    assert_eq!(ring.history().increase(&drops, Duration::ZERO), None);
    assert!(ring.history().is_counter(Figure::NetworkDrops) && !ring.history().is_counter(Figure::CpuBusy));
}

#[test]
fn a_condition_holds_since_the_last_sample_that_broke_it() {
    let ring = filled([9, 9, 1, 9, 9, 9]);
    assert_eq!(ring.history().held(&busy(), |value| value > 5), Some(SECOND * 2));
    assert_eq!(ring.history().held(&busy(), |value| value < 5), None);
}

#[test]
fn times_are_in_order_from_when_the_clock_was_last_set_back() {
    let mut ring = Ring::new(SECOND);
    for (second, wall) in (0..).zip([100, 101, 50, 51, 52]) {
        let now = Moment::from_origin(Duration::from_secs(1000 + second));
        ring.push(&[(busy(), 1)], WallTime(wall), now);
    }
    assert_eq!(ring.in_order(), Some((WallTime(50), WallTime(52))));
    assert_eq!(Ring::new(SECOND).in_order(), None);
}
