use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::PathBuf,
};

use wire::diagnostics::report::Series;

use super::{
    super::{
        figures::Figure,
        query::{Fold, Pattern, Query},
        ring::Ring,
    },
    *,
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: u64 = 3600;
/// A whole day.
const START: u64 = 1_795_305_600;

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    Place { path: dir.path().join("history"), _dir: dir }
}

/// The disk that the tests run on may be nearly full.
fn roomy(_: &Folder) -> io::Result<(u64, u64)> {
    Ok((500, 1000))
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open_within(path, SECOND, Limits { bytes: MAX_BYTES, space: roomy, sync: File::sync_data })
}

fn cpu() -> SeriesKey {
    SeriesKey::machine(Figure::Processes)
}

fn push(store: &mut Store, second: u64, value: i64) {
    store.push(
        &[(cpu(), value)],
        WallTime((START + second) * 1000),
        Moment::from_origin(Duration::from_secs(second + 1)),
    );
}

fn flush(store: &mut Store) {
    store.flush(Moment::from_origin(Duration::from_secs(1 << 40)));
}

fn ask(path: &Path, from: u64, to: u64, step_secs: u32, fold: Fold) -> (Vec<Option<i64>>, Damage) {
    let query = Query {
        from: WallTime((START + from) * 1000),
        to: WallTime((START + to) * 1000),
        step_secs,
        fold,
        series: vec![Pattern::Any(Figure::Processes)],
    };
    let answer = query.run(None, Some(&Reader::open(path).unwrap()));
    let values = answer.series.into_iter().next().map(|Series { values, .. }| values).unwrap_or_default();
    (values, answer.damage)
}

fn files(path: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let ours = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(prefix);
    let mut files = entries.filter(ours).collect::<Vec<_>>();
    files.sort();
    files
}

fn cut(path: &Path, off: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - off).unwrap();
}

#[test]
fn what_was_recorded_is_there_after_a_restart() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    (0..150).for_each(|second| push(&mut store, second, i64::try_from(second).unwrap()));
    flush(&mut store);
    drop(store);
    let mut store = open(&place.path).unwrap();
    (150..200).for_each(|second| push(&mut store, second, i64::try_from(second).unwrap()));
    flush(&mut store);
    let (values, damage) = ask(&place.path, 0, 200, 1, Fold::Mean);
    assert_eq!(values, (0..200).map(Some).collect::<Vec<_>>());
    assert_eq!(damage, Damage::default());
    assert_eq!(files(&place.path, "full").len(), 1, "the same hour goes on in the same file");
}

#[test]
fn the_files_are_for_their_user_alone() {
    let place = place();
    fs::create_dir(&place.path).unwrap();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut store = open(&place.path).unwrap();
    push(&mut store, 0, 1);
    flush(&mut store);
    assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o777, 0o700);
    let all = files(&place.path, "");
    assert_eq!(all.len(), 3, "two tiers and the lock");
    assert!(all.iter().all(|path| fs::metadata(path).unwrap().mode() & 0o777 == 0o600));
}

#[test]
fn a_link_in_place_of_the_folder_or_of_a_file_is_not_followed() {
    let place = place();
    let elsewhere = place.path.with_file_name("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &place.path).unwrap();
    assert!(matches!(open(&place.path), Err(StoreError::Io { doing: "open", .. })));
    fs::remove_file(&place.path).unwrap();

    let mut store = open(&place.path).unwrap();
    push(&mut store, 0, 1);
    flush(&mut store);
    drop(store);
    let name = files(&place.path, "full").remove(0);
    let aside = elsewhere.join("file");
    fs::rename(&name, &aside).unwrap();
    symlink(&aside, &name).unwrap();
    let before = fs::metadata(&aside).unwrap().len();
    let mut store = open(&place.path).unwrap();
    push(&mut store, 10, 1);
    flush(&mut store);
    assert_eq!(store.status().state, StoreState::Writing);
    assert_eq!(fs::metadata(&aside).unwrap().len(), before);
    assert_eq!(ask(&place.path, 0, 20, 1, Fold::Mean).0.iter().flatten().count(), 1);
}

#[test]
fn there_is_one_writer_and_readers_need_no_lock() {
    let place = place();
    let store = open(&place.path).unwrap();
    assert!(matches!(open(&place.path), Err(StoreError::InUse)));
    assert_eq!(ask(&place.path, 0, 1, 1, Fold::Mean).0, []);
    drop(store);
    open(&place.path).unwrap();
}

#[test]
fn a_torn_tail_is_cut_and_counted_and_the_file_goes_on() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    (0..120).for_each(|second| push(&mut store, second, 7));
    flush(&mut store);
    drop(store);
    cut(&files(&place.path, "full")[0], 3);
    assert_eq!(ask(&place.path, 0, 120, 1, Fold::Mean).1.torn, 1);

    let mut store = open(&place.path).unwrap();
    assert_eq!(store.status().damage.torn, 1);
    (120..130).for_each(|second| push(&mut store, second, 8));
    flush(&mut store);
    let (values, damage) = ask(&place.path, 0, 130, 1, Fold::Mean);
    assert_eq!(damage, Damage::default());
    assert_eq!(values, [[Some(7)].repeat(60), [None].repeat(60), [Some(8)].repeat(10)].concat());
    // The minutes are still there, and answer for what the samples do not tell.
    assert_eq!(ask(&place.path, 0, 120, 60, Fold::Max).0, [Some(7), Some(7)]);
}

#[test]
fn a_block_damaged_in_the_middle_costs_itself_alone() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    (0..180).for_each(|second| push(&mut store, second, i64::try_from(second * second % 97).unwrap()));
    flush(&mut store);
    let name = files(&place.path, "full").remove(0);
    let mut bytes = fs::read(&name).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::remove_file(&name).unwrap();
    io::Write::write_all(&mut File::create(&name).unwrap(), &bytes).unwrap();
    let (values, damage) = ask(&place.path, 0, 180, 1, Fold::Mean);
    assert_eq!(damage, Damage { skipped: 1, ..Damage::default() });
    assert!(values[..60].iter().all(Option::is_some) && values[120..].iter().all(Option::is_some));
}

#[test]
fn samples_go_after_a_day_and_minutes_after_thirty() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    for hour in 0..40 * 24 {
        (0..2).for_each(|minute| push(&mut store, hour * HOUR + minute * 60, 1));
    }
    flush(&mut store);
    let hours = files(&place.path, "full").len();
    assert!((24..=26).contains(&hours), "{hours} hours");
    let days = files(&place.path, "minute").len();
    assert!((30..=32).contains(&days), "{days} days");
    let (values, _) = ask(&place.path, 10 * 24 * HOUR, 40 * 24 * HOUR, 24 * 3600, Fold::Mean);
    assert_eq!(values, [Some(1); 30]);
}

#[test]
fn the_budget_is_kept_by_giving_up_the_oldest_samples_first() {
    let place = place();
    let limits = Limits { bytes: 8 * 1024, space: roomy, sync: File::sync_data };
    let mut store = Store::open_within(&place.path, SECOND, limits).unwrap();
    for second in 0..6 * HOUR {
        push(&mut store, second, i64::try_from(second * 2_654_435_761 % 1000).unwrap());
        assert!(store.status().bytes <= limits.bytes);
    }
    flush(&mut store);
    assert_eq!(store.status().blocks_lost, 0);
    let on_disk = files(&place.path, "").iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    assert_eq!(on_disk, store.status().bytes);
    assert_eq!(ask(&place.path, 6 * HOUR - 60, 6 * HOUR, 1, Fold::Mean).0.iter().flatten().count(), 60);
    assert_eq!(ask(&place.path, 0, 60, 1, Fold::Mean).0, []);
    assert_eq!(ask(&place.path, 0, 60, 60, Fold::Mean).0.len(), 1, "minutes outlive samples");
}

#[test]
fn where_hardly_any_space_is_free_nothing_is_written_until_there_is() {
    thread_local!(static FREE: std::cell::Cell<u64> = const { std::cell::Cell::new(49) });
    let place = place();
    let limits = Limits { bytes: MAX_BYTES, space: |_| Ok((FREE.get(), 1000)), sync: File::sync_data };
    let mut store = Store::open_within(&place.path, SECOND, limits).unwrap();
    (0..61).for_each(|second| push(&mut store, second, 1));
    let status = store.status();
    assert_eq!((status.state, status.blocks_lost, status.bytes), (StoreState::LowSpace, 1, 0));
    FREE.set(50);
    (61..121).for_each(|second| push(&mut store, second, 2));
    let status = store.status();
    assert_eq!((status.state, status.blocks_lost, status.blocks_written), (StoreState::Writing, 1, 1));
    flush(&mut store);
    let (values, _) = ask(&place.path, 0, 200, 1, Fold::Mean);
    assert_eq!(values[60..121].iter().flatten().count(), 61);
    assert_eq!(values[..60], [None; 60]);
    // Minutes are gathered all the while, and were not due.
    assert_eq!(ask(&place.path, 0, 120, 60, Fold::Last).0, [Some(1), Some(2)]);
}

#[test]
fn what_the_kernel_took_and_could_not_bring_to_the_disk_is_lost_and_counted() {
    thread_local!(static FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    let place = place();
    let sync = |_: &File| if FAILS.get() { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) };
    let limits = Limits { bytes: MAX_BYTES, space: roomy, sync };
    let mut store = Store::open_within(&place.path, SECOND, limits).unwrap();
    let ten_minutes = |store: &mut Store, number: u64| {
        (number * 600..number * 600 + 600).for_each(|second| push(store, second, 1));
        // Long after the last time that it was brought to the disk.
        store.flush(Moment::from_origin(Duration::from_secs(number * 600 + 601)));
        store.status()
    };
    let before = ten_minutes(&mut store, 0);
    assert_eq!((before.state, before.blocks_lost), (StoreState::Writing, 0));
    let on_disk = files(&place.path, "").len();

    FAILS.set(true);
    let failed = ten_minutes(&mut store, 1);
    assert_eq!(failed.state, StoreState::Failing);
    assert_eq!((failed.blocks_written, failed.blocks_lost), (before.blocks_written, before.blocks_written));
    assert_eq!(failed.bytes, before.bytes);
    assert_eq!(files(&place.path, "").len(), on_disk, "no file is left behind with each turn");

    FAILS.set(false);
    let again = ten_minutes(&mut store, 2);
    assert_eq!((again.state, again.blocks_lost), (StoreState::Writing, failed.blocks_lost));
    drop(store);
    let (values, damage) = ask(&place.path, 0, 1800, 600, Fold::Last);
    assert_eq!((values, damage), (vec![Some(1), None, Some(1)], Damage::default()));
}

#[test]
fn a_file_that_cannot_be_brought_to_the_disk_when_another_is_begun_is_counted_too() {
    thread_local!(static FAILS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    let place = place();
    let sync = |_: &File| if FAILS.get() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
    let limits = Limits { bytes: MAX_BYTES, space: roomy, sync };
    let mut store = Store::open_within(&place.path, SECOND, limits).unwrap();
    // A clock that is set back begins a file, and all of it is too soon after the first to be brought to the disk by itself.
    for round in 0..4 {
        FAILS.set(round == 3);
        for second in 0..10 {
            let at = WallTime((START + 1000 - round * 100 + second) * 1000);
            store.push(&[(cpu(), 1)], at, Moment::from_origin(Duration::from_secs(round * 10 + second + 1)));
        }
    }
    // The second file of each tier is lost; the first was brought to the disk, and the third takes what comes.
    let status = store.status();
    assert_eq!((status.state, status.blocks_written, status.blocks_lost), (StoreState::Writing, 4, 2));
}

#[test]
fn a_figure_of_the_real_disk_is_read() {
    let place = place();
    let (free, whole) = Folder::open(&place.path, true).unwrap().space().unwrap();
    assert!(whole > 0 && free <= whole);
}

#[test]
fn a_clock_that_is_set_back_begins_a_file_and_answers_stay_in_order() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    (100..110).for_each(|second| push(&mut store, second, 1));
    for second in 0..10_u64 {
        let at = WallTime((START + 50 + second) * 1000);
        store.push(&[(cpu(), 2)], at, Moment::from_origin(Duration::from_secs(111 + second)));
    }
    flush(&mut store);
    assert_eq!(store.status().clock_set_back, 1);
    assert_eq!(files(&place.path, "full").len(), 2);
    assert_eq!(ask(&place.path, 0, 120, 10, Fold::Last).0[5..=10], [Some(2), None, None, None, None, Some(1)]);
}

#[test]
fn a_clock_that_jumps_ahead_by_mistake_deletes_nothing_at_once() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    (0..70).for_each(|second| push(&mut store, second, 1));
    let far = START + 40 * 24 * HOUR;
    for second in 0..70 {
        let at = WallTime((far + second) * 1000);
        store.push(&[(cpu(), 2)], at, Moment::from_origin(Duration::from_secs(71 + second)));
    }
    assert_eq!(ask(&place.path, 0, 70, 1, Fold::Mean).0.iter().flatten().count(), 70);
}

#[test]
fn memory_and_files_tell_each_sample_once() {
    let place = place();
    let mut store = open(&place.path).unwrap();
    let mut ring = Ring::new(SECOND);
    for second in 0..1000_u64 {
        let (at, now) = (WallTime((START + second) * 1000), Moment::from_origin(Duration::from_secs(second + 1)));
        let figures = [(cpu(), i64::try_from(second % 60).unwrap())];
        ring.push(&figures, at, now);
        store.push(&figures, at, now);
    }
    let query = |fold| Query {
        from: WallTime(START * 1000),
        to: WallTime((START + 1000) * 1000),
        step_secs: 50,
        fold,
        series: vec![Pattern::One(cpu())],
    };
    let reader = Reader::open(&place.path).unwrap();
    let values = |fold| query(fold).run(Some(&ring), Some(&reader)).series.remove(0).values;
    let all = (0..20).map(|step| (0..50).map(move |second| (step * 50 + second) % 60).collect::<Vec<i64>>());
    let all = all.collect::<Vec<_>>();
    assert_eq!(values(Fold::Mean), all.iter().map(|step| Some(step.iter().sum::<i64>() / 50)).collect::<Vec<_>>());
    assert_eq!(values(Fold::Last), all.iter().map(|step| step.last().copied()).collect::<Vec<_>>());
    assert_eq!(values(Fold::Max), all.iter().map(|step| step.iter().max().copied()).collect::<Vec<_>>());
}
