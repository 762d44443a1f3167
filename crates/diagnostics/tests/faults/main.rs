//! Machines with something wrong with them, each made of the real thing: the test has its own processes, mounts and networks, in which
//! it breaks what it needs broken.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test that cannot set up its machine fails, as it should"
)]

mod bare;
mod crowds;
mod groups;
mod hidden;
mod isolated;
mod kept;
mod mounts;
mod steps;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use diagnostics::{Collector, Privacy, Question, Roots, Sampler, Scopes, Sources, Survey};
use isolated::{mount, program, scratch, skip, succeed};
use rustix::{
    io::Errno,
    time::{ClockId, clock_gettime},
};
use wire::{
    codec,
    diagnostics::{
        DeltaDecoder, Snapshot, StreamFrame,
        report::{Coverage, Outcome, SectionReport},
    },
    time::{Moment, WallTime},
};

/// Longest that one sample may work: half of the time to the next one.
const SAMPLE_WORK: Duration = Duration::from_millis(500);

/// Longest that one sample may take on a test machine that has much else to do. What hangs takes longer.
const SAMPLE_LIMIT: Duration = Duration::from_secs(5);

/// Longest that a section may take there.
const SECTION_LIMIT: Duration = Duration::from_secs(10);

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1000) + Duration::from_millis(millis))
}

/// A technician who looks at this machine: what the collector measures, sent as a stream and put together at the other end.
struct Watched {
    collector: Collector,
    sampler: Sampler,
    privacy: Privacy,
    decoder: DeltaDecoder,
    millis: u64,
    /// Bytes of the last frame.
    frame_bytes: usize,
}

impl Watched {
    fn begin() -> Self {
        Self {
            collector: Collector::new(Roots::default(), at(0)),
            sampler: Sampler::new(Duration::from_secs(1), at(0)),
            privacy: Privacy::new(&Roots::default()),
            decoder: DeltaDecoder::new(),
            millis: 0,
            frame_bytes: 0,
        }
    }

    /// What the technician sees `millis` later.
    fn after(&mut self, millis: u64) -> &Snapshot {
        self.millis += millis;
        let now = at(self.millis);
        self.sampler.start(now);
        let began = (clock(ClockId::ThreadCPUTime), clock(ClockId::Monotonic));
        let sample = self.collector.sample(now, self.sampler.wanted());
        let worked = clock(ClockId::ThreadCPUTime) - began.0;
        let took = clock(ClockId::Monotonic) - began.1;
        assert!(worked < SAMPLE_WORK && took < SAMPLE_LIMIT, "a sample worked {worked:?} and took {took:?}");
        let all = Scopes { names: true, identifiers: true, network: true, logs: true };
        let frame = self.sampler.collected(self.privacy.clear(sample, all), now);
        let bytes = codec::encode(&frame).unwrap();
        self.frame_bytes = bytes.len();
        self.sampler.sent();
        self.decoder.apply(codec::decode::<StreamFrame>(&bytes).unwrap()).unwrap();
        self.decoder.sample().unwrap()
    }
}

/// Why `source` is missing in a sample.
fn gap<'s>(sample: &'s Snapshot, source: &str) -> Option<&'s str> {
    sample.unreadable.iter().find(|gap| gap.source.raw() == source).map(|gap| gap.reason.raw())
}

/// How far a section read `source`, and why not further.
fn source<'r>(report: &'r SectionReport, source: &str) -> Option<(Coverage, &'r str)> {
    report.sources.iter().find(|one| one.name.raw() == source).map(|one| (one.coverage, one.reason.raw()))
}

/// Asks this machine one question, which it has to answer in time.
fn ask(question: Question) -> SectionReport {
    let report = Survey::new(Sources::default()).ask(question, SECTION_LIMIT, WallTime(0));
    assert_ne!(report.outcome, Outcome::TimedOut, "{report:?}");
    report
}

/// Mounts a new ext4 on a loop device, and says where. `None` where there are none. One of its folders is damaged.
fn ext4(options: &str) -> Option<PathBuf> {
    let (seed, point) = (scratch("seed"), scratch("disk"));
    let image = scratch("images").join("image");
    fs::create_dir(seed.join(DAMAGED)).unwrap();
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    let (seed, image) = (seed.to_str().unwrap(), image.to_str().unwrap());
    succeed("mkfs.ext4", &["-q", "-F", "-d", seed, image]);
    succeed("debugfs", &["-w", "-R", &format!("set_inode_field /{DAMAGED} block[0] 4294967295"), image]);
    let options = format!("loop,{options}");
    let mounted = program("mount").args(["-t", "ext4", "-o", &options, image]).arg(&point).output().unwrap();
    let said = String::from_utf8_lossy(&mounted.stderr);
    if said.contains("loop device") {
        skip(&format!("this machine gives no loop device: {said}"));
        return None;
    }
    assert!(mounted.status.success(), "{said}");
    Some(point)
}

/// Mounts what [`ext4`] mounted anew, so that it has what is really on its disk and no more.
fn mount_again(point: &Path) {
    succeed("umount", &[point.to_str().unwrap()]);
    let image = point.with_file_name("images").join("image");
    mount(&["-t", "ext4", "-o", "loop", image.to_str().unwrap(), point.to_str().unwrap()]);
}

/// The folder whose list of blocks makes no sense.
const DAMAGED: &str = "damaged";

/// Has an ext4 find out that it is damaged.
fn find_damage(point: &Path) {
    let refused = fs::metadata(point.join(DAMAGED)).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::UCLEAN.raw_os_error()), "{refused}");
}

/// What one of the kernel's clocks says.
fn clock(which: ClockId) -> Duration {
    let now = clock_gettime(which);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}
