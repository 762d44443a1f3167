//! The clock and what it is synchronised with.

use crate::{closed, schema, text::Label, time::WallTime};

/// Most services for the clock that are listed.
pub const MAX_SERVICES: usize = 8;

schema! {
    /// The clock and what it is synchronised with.
    #[derive(Default)]
    pub struct Clock {
        /// Whether it is synchronised; absent if nobody tells.
        technical synchronised: Option<bool>,
        /// Whether the system is set to keep it synchronised; absent if nobody tells.
        technical enabled: Option<bool>,
        /// Services that run and may set the clock; at most [`MAX_SERVICES`]. More than one is a fault.
        technical services: Vec<TimeService>,
        /// What the service that answered knows.
        nested source: Option<TimeSource>,
        /// What the kernel knows; absent where it may not be asked.
        nested kernel: Option<KernelClock>,
        /// Time zone, such as `Europe/Berlin`; blank if unknown.
        technical time_zone: Label,
        /// Whether the battery-backed clock keeps local time, which goes wrong twice a year; absent if unknown.
        technical hardware_in_local_time: Option<bool>,
        /// What the battery-backed clock shows; absent where there is none.
        technical hardware_clock: Option<WallTime>,
        /// What the kernel counts time by, such as `tsc`; blank if unknown.
        technical counter: Label,
    }

    /// How well the kernel's clock is kept, whatever service keeps it (`adjtimex(2)`).
    pub struct KernelClock {
        /// How wrong it may be, in microseconds. It grows by half a thousandth while no service says anything, up to 16 s.
        technical max_error_us: u64,
        /// Microseconds that it still has to be put forward; negative if back.
        technical offset_us: i64,
        /// How much faster it is made, in billionths.
        technical frequency_ppb: i64,
    }

    /// What a clock is synchronised with.
    pub struct TimeSource {
        /// Service that knows it.
        technical service: TimeService,
        /// Server; blank if none was chosen.
        network server: Label,
        /// Its distance from a clock of reference; 16 is none at all.
        technical stratum: Option<u8>,
        /// Microseconds that the clock was behind when it was last compared; negative if it was ahead.
        technical offset_us: Option<i64>,
        /// How wrong the server may be itself, in microseconds: half its way to the clock of reference, and what it allows for.
        technical max_error_us: Option<u64>,
        /// How much faster the clock has to be made, in billionths.
        technical frequency_ppb: Option<i64>,
        /// Seconds from one comparison to the next.
        technical poll_secs: Option<u64>,
        /// When it was last compared.
        technical compared_at: Option<WallTime>,
    }
}

closed! {
    /// A service that sets the clock.
    pub enum TimeService {
        /// systemd-timesyncd.
        Timesyncd = "systemd-timesyncd",
        /// chrony.
        Chrony = "chrony",
        /// ntpd, whichever it is.
        Ntpd = "ntpd",
        /// ntpd-rs.
        NtpDaemon = "ntp-daemon",
        /// LinuxPTP's.
        Ptp = "ptp4l",
        /// LinuxPTP's, from the clock of a network card.
        PhcToSystem = "phc2sys",
    }
}
