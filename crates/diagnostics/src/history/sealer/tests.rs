use wire::text::Label;

use super::{
    super::figures::{Figure, SeriesKey},
    *,
};

const SECOND: Duration = Duration::from_secs(1);

fn cpu(value: i64) -> Vec<(SeriesKey, i64)> {
    vec![(SeriesKey::machine(Figure::CpuBusy), value)]
}

fn at(ms: u64) -> (WallTime, Moment) {
    (WallTime(1_800_000_000_000 + ms), Moment::from_origin(Duration::from_millis(5_000_000 + ms)))
}

fn push(sealer: &mut Sealer, value: i64, ms: u64) -> Vec<Block> {
    let (wall, now) = at(ms);
    sealer.push(&cpu(value), wall, now)
}

fn only(blocks: &[Block], tier: Tier) -> &Block {
    let mut of_tier = blocks.iter().filter(|block| block.tier == tier);
    let only = of_tier.next().unwrap();
    assert_eq!(of_tier.next(), None);
    only
}

fn columns(block: &Block, figure: Figure) -> &Vec<Vec<i32>> {
    &block.series[&SeriesKey::machine(figure)]
}

#[test]
fn sixty_samples_make_a_block() {
    let mut sealer = Sealer::new(SECOND);
    for second in 0..60_u64 {
        assert_eq!(push(&mut sealer, 5 * i64::try_from(second).unwrap(), second * 1000), []);
    }
    let sealed = push(&mut sealer, 0, 60_000);
    let block = only(&sealed, Tier::Full);
    assert_eq!((block.count, block.start, block.step_ms), (60, at(0).0, 1000));
    assert_eq!(columns(block, Figure::CpuBusy), &[(0..60).collect::<Vec<_>>()]);
}

#[test]
fn samples_that_come_a_little_early_or_late_keep_their_places() {
    let mut sealer = Sealer::new(SECOND);
    for (value, ms) in [(5, 0), (10, 1400), (15, 1990), (20, 3100), (25, 6010)] {
        assert_eq!(push(&mut sealer, value, ms), []);
    }
    let sealed = sealer.flush();
    assert_eq!(columns(only(&sealed, Tier::Full), Figure::CpuBusy), &[[1, 2, 3, 4, ABSENT, ABSENT, 5].to_vec()]);
}

#[test]
fn a_thing_that_comes_later_is_absent_before_and_one_that_goes_is_absent_after() {
    let mut sealer = Sealer::new(SECOND);
    let disk = SeriesKey::of(Figure::DiskBusy, Subject::Disk(Label::cut("sdb")));
    push(&mut sealer, 5, 0);
    let (wall, now) = at(1000);
    sealer.push(&[(disk.clone(), 500)], wall, now);
    push(&mut sealer, 5, 2000);
    let sealed = sealer.flush();
    let block = only(&sealed, Tier::Full);
    assert_eq!(block.series[&disk], [[ABSENT, 100, ABSENT].to_vec()]);
    assert_eq!(columns(block, Figure::CpuBusy), &[[1, ABSENT, 1].to_vec()]);
}

#[test]
fn a_machine_that_slept_begins_a_new_block_and_no_clock_was_set() {
    let mut sealer = Sealer::new(SECOND);
    push(&mut sealer, 5, 0);
    let sealed = push(&mut sealer, 5, 8 * 3_600_000);
    assert_eq!(only(&sealed, Tier::Full).count, 1);
    let sealed = sealer.flush();
    assert_eq!((only(&sealed, Tier::Full).start, only(&sealed, Tier::Full).clock_step_ms), (at(8 * 3_600_000).0, 0));
}

#[test]
fn a_clock_that_is_set_back_begins_a_new_block_that_says_so() {
    let mut sealer = Sealer::new(SECOND);
    push(&mut sealer, 5, 0);
    let (wall, now) = at(1000);
    let back = WallTime(wall.0 - 3_600_000);
    let sealed = sealer.push(&cpu(10), back, now);
    assert_eq!(columns(only(&sealed, Tier::Full), Figure::CpuBusy), &[[1].to_vec()]);
    let sealed = sealer.flush();
    let block = only(&sealed, Tier::Full);
    assert_eq!((block.start, block.clock_step_ms), (back, -3_600_000));
    assert_eq!(only(&sealed, Tier::Minute).clock_step_ms, -3_600_000);
}

#[test]
fn a_minute_is_kept_by_its_lowest_highest_mean_and_last() {
    let mut sealer = Sealer::new(SECOND);
    // The origin is a whole minute.
    for (ms, value) in [(0, 100), (20_000, 400), (40_000, 50), (61_000, 5)] {
        push(&mut sealer, value, ms);
    }
    let sealed = sealer.flush();
    let block = only(&sealed, Tier::Minute);
    assert_eq!((block.start, block.step_ms, block.count), (at(0).0, 60_000, 2));
    // In steps of half a percent.
    assert_eq!(columns(block, Figure::CpuBusy), &[[10, 1], [80, 1], [37, 1], [10, 1]].map(Vec::from));
}

#[test]
fn of_too_many_series_the_minutes_keep_what_forecasts_need() {
    let mut sealer = Sealer::new(SECOND);
    let device = |minor| SeriesKey::of(Figure::SpaceAvailable, Subject::Device { major: 8, minor });
    let interfaces =
        (0..40).map(|n| SeriesKey::of(Figure::NetworkSent, Subject::Network(Label::cut(&format!("eth{n}")))));
    let figures = interfaces.chain((0..20).map(device)).map(|key| (key, 1)).collect::<Vec<_>>();
    let (wall, now) = at(0);
    sealer.push(&figures, wall, now);
    let sealed = sealer.flush();
    let block = only(&sealed, Tier::Minute);
    assert_eq!(block.series.len(), MAX_MINUTE_SERIES);
    assert!((0..20).all(|minor| block.series.contains_key(&device(minor))));
    assert_eq!(only(&sealed, Tier::Full).series.len(), 60);
}
