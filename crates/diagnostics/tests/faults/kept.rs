//! Disks on which a history cannot be kept.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
};

use diagnostics::{
    IDLE_PERIOD, Monitor, Roots,
    history::{Figure, Fold, Pattern, Query, Reader, SeriesKey, Store, StoreState, StoreStatus},
};
use wire::time::WallTime;

use crate::{
    at, ext4, find_damage, gap,
    isolated::{isolated, mount, scratch},
    mount_again,
};

/// When the stories begin, in milliseconds since 1970: the start of an hour.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// A history that goes on, on a disk of the test's making and on one that has room.
struct Kept {
    store: Store,
    roomy: Store,
    secs: u64,
}

impl Kept {
    fn begin(disk: &Path, roomy: &Path) -> Self {
        let open = |folder: &Path| Store::open(&folder.join("history"), IDLE_PERIOD).unwrap();
        Self { store: open(disk), roomy: open(roomy), secs: 0 }
    }

    /// Ten more minutes.
    fn goes_on(&mut self) -> StoreStatus {
        for _ in 0..120 {
            self.secs += 5;
            let figures = [(SeriesKey::machine(Figure::CpuBusy), i64::try_from(self.secs % 997).unwrap())];
            for store in [&mut self.store, &mut self.roomy] {
                store.push(&figures, WallTime(BEGIN_MS + self.secs * 1000 - 1000), at(self.secs * 1000));
            }
        }
        self.store.flush(at(self.secs * 1000));
        self.roomy.flush(at(self.secs * 1000));
        let (status, roomy) = (self.store.status(), self.roomy.status());
        assert_eq!((roomy.state, roomy.blocks_lost), (StoreState::Writing, 0));
        assert_eq!(status.blocks_written + status.blocks_lost, roomy.blocks_written, "what is not kept is counted");
        status
    }

    /// Whether there are values of each ten minutes, as anybody finds who opens the files.
    fn has(&self, disk: &Path) -> Vec<bool> {
        has(disk, self.secs)
    }
}

/// As [`Kept::has`], of the first `secs` seconds.
fn has(disk: &Path, secs: u64) -> Vec<bool> {
    let reader = Reader::open(&disk.join("history")).unwrap();
    let asked = Query {
        from: WallTime(BEGIN_MS),
        to: WallTime(BEGIN_MS + secs * 1000),
        step_secs: 600,
        fold: Fold::Last,
        series: vec![Pattern::Any(Figure::CpuBusy)],
    };
    let answer = asked.run(None, Some(&reader));
    assert_eq!(answer.damage, Default::default(), "what could not be kept damaged nothing");
    answer.series[0].values.iter().map(Option::is_some).collect()
}

/// Writes until there is no more room.
fn fill(file: &Path) {
    let mut file = File::create(file).unwrap();
    for bytes in [4096, 1] {
        let full = std::iter::repeat_with(|| file.write_all(&vec![0; bytes])).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }
}

#[test]
fn a_disk_that_is_full_costs_what_came_meanwhile_and_says_how_much() {
    isolated(|| {
        let (disk, roomy) = (scratch("small"), scratch("roomy"));
        mount(&["-t", "tmpfs", "-o", "size=1m,nr_inodes=64", "small", disk.to_str().unwrap()]);
        let mut kept = Kept::begin(&disk, &roomy);
        assert_eq!(kept.goes_on().state, StoreState::Writing);

        fill(&disk.join("filler"));
        let status = kept.goes_on();
        assert!(status.state == StoreState::LowSpace && status.blocks_lost > 0, "{status:?}");
        fs::remove_file(disk.join("filler")).unwrap();
        let status = kept.goes_on();
        assert_eq!(status.state, StoreState::Writing);
        let lost = status.blocks_lost;

        // Room for bytes, and none for another file, which the next hour needs.
        let files = (0..).map(|number| disk.join(format!("file-{number}"))).find(|file| File::create(file).is_err());
        while kept.secs < 3600 {
            kept.goes_on();
        }
        let status = kept.goes_on();
        assert!(status.state == StoreState::NoSpace && status.blocks_lost > lost, "{status:?}");
        assert!(files.is_some());
        for entry in fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            fs::remove_file(entry).unwrap();
        }
        assert_eq!(kept.goes_on().state, StoreState::Writing);
        // Of the time without room for another file the minutes are there, which are in a file that was there already.
        assert_eq!(kept.has(&disk), [true, false, true, true, true, true, true, true]);
    });
}

#[test]
fn a_disk_that_refuses_to_write_is_told_apart_from_one_that_is_full() {
    isolated(|| {
        let Some(disk) = ext4("errors=remount-ro") else { return };
        let mut kept = Kept::begin(&disk, &scratch("roomy"));
        assert_eq!(kept.goes_on().state, StoreState::Writing);
        find_damage(&disk);
        for _ in 0..2 {
            let status = kept.goes_on();
            assert!(status.state == StoreState::Failing && status.blocks_lost > 0, "{status:?}");
        }
        let secs = kept.secs;
        drop(kept);
        // Some kernels keep in memory what they cannot write.
        mount_again(&disk);
        assert_eq!(has(&disk, secs), [true, false, false]);
    });
}

#[test]
fn whoever_looks_at_a_machine_whose_history_is_not_kept_is_told_so() {
    isolated(|| {
        let disk = scratch("small");
        mount(&["-t", "tmpfs", "-o", "size=1m", "small", disk.to_str().unwrap()]);
        let mut monitor = Monitor::new(Roots::default(), at(0));
        monitor.keep_in(&disk.join("history"), IDLE_PERIOD).unwrap();
        let mut secs = 0;
        let mut goes_on = |minutes: u64| {
            for _ in 0..minutes * 12 {
                secs += 5;
                monitor.tick(at(secs * 1000), WallTime(BEGIN_MS + secs * 1000));
            }
            let report = monitor.report(Vec::new(), WallTime(BEGIN_MS + secs * 1000));
            gap(&report.sample, "history").map(str::to_owned)
        };
        assert_eq!(goes_on(6), None);
        fill(&disk.join("filler"));
        assert_eq!(goes_on(6).as_deref(), Some("it is not kept: less than five percent of its disk is free"));
        fs::remove_file(disk.join("filler")).unwrap();
        assert_eq!(goes_on(6), None);
    });
}
