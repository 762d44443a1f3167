//! Logical processors from `/proc/stat` (proc_stat(5)).

use std::time::Duration;

use wire::diagnostics::{Core, Processor};

use crate::{
    rates::{per_second_u32, permille},
    text::{fields, lines, number, values},
};

/// The ticks of each processor as they were last read.
#[derive(Debug, Default)]
pub(crate) struct Processors {
    before: Vec<Ticks>,
    now: Vec<Ticks>,
    /// All together, and how often the processors changed from one task to another.
    total: Option<Ticks>,
    switches: Option<u64>,
}

/// One `cpuN` line. Guest time is part of user time already.
#[derive(Debug, Default, Clone, Copy)]
struct Ticks {
    number: u64,
    working: u64,
    idle: u64,
    iowait: u64,
    steal: u64,
}

impl Processors {
    /// What all processors together did since the last reading.
    pub(crate) fn read_total(&mut self, stat: &[u8], interval: Duration) -> Processor {
        let mut cpus = lines(stat).take_while(|line| line.starts_with(b"cpu"));
        let total = cpus.next().and_then(|line| Ticks::of(0, line.strip_prefix(b"cpu ")?));
        let before = std::mem::replace(&mut self.total, total);
        let shares = total.zip(before).map_or(Core::default(), |(now, before)| now.since(&before));
        let cores = u32::try_from(cpus.count()).unwrap_or(u32::MAX);
        // They come after the long line of interrupts.
        let [switches, running, blocked] = values(stat, ["ctxt", "procs_running", "procs_blocked"]);
        let before = std::mem::replace(&mut self.switches, switches);
        let switched = switches.zip(before).map_or(0, |(now, before)| now.saturating_sub(before));
        let small = |figure: Option<u64>| u32::try_from(figure.unwrap_or(0)).unwrap_or(u32::MAX);
        Processor {
            cores,
            busy_permille: shares.busy_permille,
            iowait_permille: shares.iowait_permille,
            steal_permille: shares.steal_permille,
            switches_s: per_second_u32(switched, interval),
            runnable: small(running),
            blocked: small(blocked),
            throttles: 0,
        }
    }

    /// What each processor did since the last reading. A processor that came online since did nothing yet.
    pub(crate) fn read(&mut self, stat: &[u8]) -> Vec<Core> {
        self.now.clear();
        let cpus = lines(stat).take_while(|line| line.starts_with(b"cpu"));
        self.now.extend(cpus.filter_map(Ticks::parse));
        let cores = self.now.iter().map(|now| {
            let before = self.before.iter().find(|before| before.number == now.number);
            before.map_or(Core::default(), |before| now.since(before))
        });
        let cores = cores.collect();
        std::mem::swap(&mut self.before, &mut self.now);
        cores
    }
}

impl Ticks {
    /// `None` for the line with the sum of all, and for lines that make no sense.
    fn parse(line: &[u8]) -> Option<Self> {
        let (cpu, figures) = line.split_at(line.iter().position(u8::is_ascii_whitespace)?);
        Self::of(number(cpu.strip_prefix(b"cpu")?)?, figures)
    }

    fn of(number_of_cpu: u64, figures: &[u8]) -> Option<Self> {
        let mut fields = fields(figures);
        let mut next = || fields.next().and_then(number);
        let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
        let [iowait, irq, softirq, steal] = [(); 4].map(|()| next().unwrap_or(0));
        let working = [user, nice, system, irq, softirq].into_iter().fold(0, u64::saturating_add);
        Some(Self { number: number_of_cpu, working, idle, iowait, steal })
    }

    /// The kernel's idle and iowait may go back, and everything does when a processor was taken offline in between.
    fn since(&self, before: &Self) -> Core {
        let working = self.working.saturating_sub(before.working);
        let idle = self.idle.saturating_sub(before.idle);
        let iowait = self.iowait.saturating_sub(before.iowait);
        let steal = self.steal.saturating_sub(before.steal);
        let all = [working, idle, iowait, steal].into_iter().fold(0, u64::saturating_add);
        Core {
            busy_permille: permille(working, all),
            iowait_permille: permille(iowait, all),
            steal_permille: permille(steal, all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_waiting_for_a_disk_and_stolen_are_told_apart() {
        let mut processors = Processors::default();
        processors.read(b"cpu  0 0 0 0\ncpu0 100 0 100 1000 50 0 0 10 0 0\n");
        let cores = processors.read(b"cpu  0 0 0 0\ncpu0 120 5 110 1030 60 3 2 30 20 0\nintr 1 2 3\n");
        assert_eq!(cores, [Core { busy_permille: 400, iowait_permille: 100, steal_permille: 200 }]);
    }

    #[test]
    fn all_processors_together_and_their_tasks_are_counted() {
        let mut processors = Processors::default();
        let second = Duration::from_secs(1);
        processors.read_total(b"cpu  10 0 0 100\ncpu0 5 0 0 50\nctxt 1000\n", second);
        let stat =
            b"cpu  60 0 0 140 10\ncpu0 5 0 0 50\ncpu3 1 1 1 1\nintr 5 1\nctxt 1500\nprocs_running 3\nprocs_blocked 1\n";
        let total = processors.read_total(stat, second);
        assert_eq!((total.cores, total.busy_permille, total.iowait_permille), (2, 500, 100));
        assert_eq!((total.switches_s, total.runnable, total.blocked), (500, 3, 1));
        let total = processors.read_total(b"cpu  1 0 0 1\nctxt 7\n", second);
        assert_eq!((total.busy_permille, total.switches_s), (0, 0), "they went back");
    }

    #[test]
    fn counters_that_go_back_give_no_negative_or_huge_shares() {
        let mut processors = Processors::default();
        processors.read(b"cpu0 100 0 100 1000 500 0 0 10\ncpu1 9 9 9 9\n");
        let cores = processors.read(b"cpu0 110 0 100 1010 400 0 0 5\ncpu1 1 1 1 1\n");
        assert_eq!(cores[0], Core { busy_permille: 500, iowait_permille: 0, steal_permille: 0 });
        assert_eq!(cores[1], Core::default());
    }

    #[test]
    fn a_processor_is_followed_by_its_number_when_others_go_offline() {
        let mut processors = Processors::default();
        processors.read(b"cpu0 0 0 0 0\ncpu1 500 0 0 0\ncpu1023 100 0 0 100\n");
        let cores = processors.read(b"cpu0 10 0 0 0\ncpu1023 110 0 0 130\n");
        assert_eq!(cores.iter().map(|core| core.busy_permille).collect::<Vec<_>>(), [1000, 250]);
    }

    #[test]
    fn the_first_reading_has_no_shares() {
        assert_eq!(Processors::default().read(b"cpu0 9 9 9 9\n"), [Core::default()]);
    }
}
