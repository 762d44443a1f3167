//! What looking at a machine costs, in processor time of this process: `cargo bench -p diagnostics --bench scan_cost -- 200 1000`.
//!
//! For each number of processes it starts as many that sleep, and prints one JSON object a line:
//!
//! - `scan_us`, `sysinfo_us`: one look at all processes, by this crate and by sysinfo for the same fields, in turn, 60 ms apart;
//! - `session_millionths`: of a processor, for everything, once a second, at the governor's pace;
//! - `idle_millionths`: the same for the overview every 5 s and all processes every 15 s;
//! - `stream_bytes_s`: bytes a second of that session's stream.
//!
//! Processor time and ratios of one run mean something on a machine that does other things as well; times on a clock would not.
#![expect(clippy::print_stdout, reason = "it is what it is for")]
#![expect(clippy::expect_used, reason = "a measurement that cannot be taken is none")]

#[cfg(target_os = "linux")]
fn main() {
    // Cargo adds arguments of its own.
    for count in std::env::args().skip(1).filter_map(|count| count.parse().ok()) {
        println!("{}", linux::measure(count));
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("only Linux has a process table of its own here");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        process::{Child, Command, Stdio},
        thread,
        time::Duration,
    };

    use diagnostics::{Collector, Privacy, Roots, Sampler, Scopes};
    use rustix::time::{ClockId, clock_gettime};
    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
    use wire::{
        codec,
        diagnostics::{Panel, Panels},
        time::Moment,
    };

    /// Looks of each kind that are compared.
    const ROUNDS: u32 = 20;

    /// Seconds of the session that is measured.
    const SECONDS: u32 = 20;

    const BETWEEN: Duration = Duration::from_millis(60);
    const SECOND: Duration = Duration::from_secs(1);

    /// Processes that sleep until they are dropped.
    struct Sleepers(Vec<Child>);

    impl Sleepers {
        #[expect(clippy::disallowed_methods, reason = "a machine with that many processes is what is measured")]
        fn start(count: usize) -> Self {
            let start = |_| Command::new("sleep").arg("3600").stdin(Stdio::null()).spawn().expect("sleep(1) starts");
            Self((0..count).map(start).collect())
        }
    }

    impl Drop for Sleepers {
        fn drop(&mut self) {
            for child in &mut self.0 {
                let _ended = child.kill();
                let _reaped = child.wait();
            }
        }
    }

    pub(super) fn measure(count: usize) -> serde_json::Value {
        let _sleepers = Sleepers::start(count);
        let (scan, overview, sysinfo) = compare();
        let (session, bytes, processes) = session();
        let idle = used_in(overview, 5) + used_in(scan, 15);
        serde_json::json!({
            "processes": processes,
            "scan_us": micros(scan),
            "sysinfo_us": micros(sysinfo),
            "ratio_percent": scan.as_micros() * 100 / sysinfo.as_micros().max(1),
            "overview_us": micros(overview),
            "session_millionths": session,
            "idle_millionths": idle,
            "stream_bytes_s": bytes,
        })
    }

    /// One look at all processes beyond the overview, one overview, and one look by sysinfo.
    fn compare() -> (Duration, Duration, Duration) {
        let mut now = now();
        let mut collector = Collector::new(Roots::default(), now);
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().with_user(UpdateKind::OnlyIfNotSet);
        let kind = kind.without_tasks();
        let mut system = System::new().expect("sysinfo knows Linux");
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        let mut sums = [Duration::ZERO; 3];
        for _ in 0..ROUNDS {
            let mut look = |panels| {
                pause(BETWEEN);
                now = now + SECOND;
                let before = used();
                collector.sample(now, panels);
                used() - before
            };
            sums[0] += look(Panels::OVERVIEW);
            sums[1] += look(Panels::OVERVIEW.with(Panel::Processes));
            pause(BETWEEN);
            let before = used();
            system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
            sums[2] += used() - before;
        }
        let [overview, both, sysinfo] = sums.map(|sum| sum / ROUNDS);
        (both.saturating_sub(overview), overview, sysinfo)
    }

    /// A session with everything in view, once a second: millionths of a processor, bytes a second, and processes.
    fn session() -> (u128, usize, u32) {
        let mut now = now();
        let mut collector = Collector::new(Roots::default(), now);
        let mut sampler = Sampler::new(SECOND, now);
        let mut privacy = Privacy::new(&Roots::default());
        let mut processes = 0;
        let mut bytes = 0;
        let before = used();
        for _ in 0..SECONDS {
            pause(SECOND);
            now = now + SECOND;
            let sample = collector.sample(now, sampler.wanted());
            processes = sample.processes_total;
            let frame = sampler.collected(privacy.clear(sample, Scopes::default()), now);
            bytes += codec::encode(&frame).expect("a frame fits").len();
            sampler.sent();
        }
        let used = used() - before;
        (used.as_micros() / u128::from(SECONDS), bytes / SECONDS as usize, processes)
    }

    /// Millionths of a processor that `each` takes every so many seconds.
    fn used_in(each: Duration, seconds: u128) -> u128 {
        each.as_micros() / seconds
    }

    /// Caches go cold and counters move, as between two samples.
    fn pause(time: Duration) {
        // time itself is tested: what a look costs depends on how long the processor did something else.
        thread::sleep(time);
    }

    fn micros(time: Duration) -> u64 {
        u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
    }

    fn now() -> Moment {
        let time = clock_gettime(ClockId::Boottime);
        Moment::from_origin(Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)))
    }

    /// Processor time of this process so far.
    fn used() -> Duration {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}
