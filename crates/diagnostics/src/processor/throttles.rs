//! How often processors were slowed down because they were too hot: `/sys/devices/system/cpu/cpu*/thermal_throttle` (x86 only;
//! the kernel's `arch/x86/kernel/cpu/mce/therm_throt.c`). A count per core and per package, told by each logical processor.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{diagnostics::MAX_CORES, time::Moment};

use crate::text::{first_line, number};

/// How old the count may be.
const THROTTLES_EVERY: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Throttles {
    files: Vec<PathBuf>,
    next: Moment,
    count: u64,
}

impl Throttles {
    /// Looks once for who counts.
    pub(crate) fn new(sys: &Path) -> Self {
        let cpus = sys.join("devices/system/cpu");
        let folders = (0..MAX_CORES).map(|cpu| cpus.join(format!("cpu{cpu}"))).take_while(|folder| folder.exists());
        let counts = ["core_throttle_count", "package_throttle_count"];
        let files = folders.flat_map(|folder| counts.map(|count| folder.join("thermal_throttle").join(count)));
        Self { files: files.filter(|file| file.exists()).collect(), next: Moment::default(), count: 0 }
    }

    /// The sum of all counts. One that cannot be read, as of a processor that is offline, counts nothing; the sum never goes
    /// back because of that.
    pub(crate) fn read(&mut self, now: Moment) -> u64 {
        if now >= self.next {
            self.next = now + THROTTLES_EVERY;
            let counts = self.files.iter().filter_map(|file| number(first_line(file)?.as_bytes()));
            self.count = self.count.max(counts.fold(0, u64::saturating_add));
        }
        self.count
    }
}
