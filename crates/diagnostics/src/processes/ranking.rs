//! Which processes are listed: those that use the processors, then those that use memory.
//!
//! The list is read by a person and sent as changes, so it must not flicker. A process counts by its processor time smoothed
//! over a few seconds: one that works keeps its place between two bursts, and one tick of an idle daemon takes nobody's
//! place. Below a threshold all count as idle, and those that hold most memory are listed. Who is listed has a small
//! advantage. By memory or by disk it is the same with these in front.

use std::{cmp::Reverse, time::Duration};

use wire::diagnostics::ProcessOrder;

/// Time in which most of an old value is forgotten.
const MEMORY: Duration = Duration::from_secs(3);

/// Smoothed thousandths of a processor below which a process counts as idle, for one that is listed and one that is not.
const IDLE_LISTED: u32 = 2;
const IDLE_UNLISTED: u32 = 5;

/// Processor time of a process in millionths of a processor, smoothed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Activity(u32);

impl Activity {
    /// What it is after using `permille` of a processor for `interval`.
    pub(crate) fn after(self, permille: u32, interval: Duration) -> Self {
        let newest = u64::from(permille) * 1000;
        let (old_weight, new_weight) = (MEMORY.as_millis(), interval.as_millis());
        let sum = u128::from(self.0) * old_weight + u128::from(newest) * new_weight;
        Self(u32::try_from(sum / (old_weight + new_weight)).unwrap_or(u32::MAX))
    }
}

/// What the place of a process in the list depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// What comes first.
    pub(crate) by: ProcessOrder,
    pub(crate) activity: Activity,
    /// As the activity, in kibibytes a second instead of thousandths.
    pub(crate) io: Activity,
    /// Resident memory, in whatever unit all have in common.
    pub(crate) resident: u64,
    pub(crate) pid: u32,
    pub(crate) listed: bool,
}

impl Standing {
    fn rank(&self) -> (Reverse<(u64, u32, u64)>, u32) {
        let idle = if self.listed { IDLE_LISTED } else { IDLE_UNLISTED } * 1000;
        let advantage = |figure: u64| if self.listed { figure + figure / 8 } else { figure };
        let activity = match self.activity.0 < idle {
            true => 0,
            false => u32::try_from(advantage(u64::from(self.activity.0))).unwrap_or(u32::MAX),
        };
        let first = match self.by {
            ProcessOrder::Cpu => 0,
            ProcessOrder::Memory => advantage(self.resident),
            ProcessOrder::Io => advantage(u64::from(self.io.0)),
        };
        (Reverse((first, activity, advantage(self.resident))), self.pid)
    }
}

/// Moves the indices of the first `places` processes to the front of `order`, which holds every index of `standing` once.
pub(crate) fn choose(order: &mut [usize], places: usize, standing: impl Fn(usize) -> Standing) {
    if order.len() > places {
        order.select_nth_unstable_by_key(places, |index| standing(*index).rank());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The pids listed of `(pid, activity after one second of permille, resident, listed)`.
    fn listed(places: usize, rows: &[(u32, u32, u64, bool)]) -> Vec<u32> {
        listed_by(ProcessOrder::Cpu, places, rows)
    }

    /// As [`listed`]; a process reads as many mebibytes a second as its pid says.
    fn listed_by(by: ProcessOrder, places: usize, rows: &[(u32, u32, u64, bool)]) -> Vec<u32> {
        let mut order = (0..rows.len()).collect::<Vec<_>>();
        choose(&mut order, places, |index| {
            let (pid, permille, resident, listed) = rows[index];
            let activity = Activity::default().after(permille, SECOND);
            Standing { by, activity, io: Activity::default().after(1000 * pid, SECOND), resident, pid, listed }
        });
        let mut pids = order.iter().take(places).map(|index| rows[*index].0).collect::<Vec<_>>();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn the_busy_come_before_the_large() {
        assert_eq!(listed(2, &[(1, 0, 9000, true), (2, 500, 10, false), (3, 900, 10, false)]), [2, 3]);
    }

    #[test]
    fn by_memory_the_large_come_first_and_by_disk_those_that_use_it() {
        let rows = [(1, 0, 9000, false), (2, 500, 10, false), (3, 0, 20, false)];
        assert_eq!(listed_by(ProcessOrder::Memory, 1, &rows), [1]);
        assert_eq!(listed_by(ProcessOrder::Io, 1, &rows), [3]);
    }

    #[test]
    fn one_tick_of_an_idle_daemon_takes_nobodys_place() {
        assert_eq!(listed(1, &[(1, 0, 9000, true), (2, 10, 10, false)]), [1]);
    }

    #[test]
    fn a_process_that_works_a_little_all_the_time_is_listed() {
        let mut activity = Activity::default();
        for _ in 0..4 {
            activity = activity.after(10, SECOND);
        }
        assert!(activity.0 > IDLE_UNLISTED * 1000);
    }

    #[test]
    fn among_the_idle_a_much_larger_one_comes_in_and_an_equal_one_does_not() {
        assert_eq!(listed(1, &[(9, 0, 9000, true), (2, 0, 9500, false)]), [9]);
        assert_eq!(listed(1, &[(9, 0, 9000, true), (2, 0, 19_000, false)]), [2]);
    }

    #[test]
    fn a_burst_is_remembered_for_seconds_and_not_for_minutes() {
        let burst = Activity::default().after(1000, SECOND);
        let later = (0..5).fold(burst, |activity, _| activity.after(0, SECOND));
        assert!(later.0 > IDLE_LISTED * 1000);
        assert!(burst.after(0, Duration::from_secs(3600)).0 < IDLE_LISTED * 1000);
        assert_eq!(burst.after(0, Duration::ZERO), burst);
    }
}
