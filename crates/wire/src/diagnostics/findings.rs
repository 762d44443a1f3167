//! What the agent concluded from what it measured.
//!
//! A finding is the answer of one check about one subject. What a check asks and answers in words stands where people read it, by
//! [`Check`]; here is only what was found.

use super::schema::{Named, Technical};
use crate::{
    closed, schema,
    text::{Label, Sentence},
    time::WallTime,
};

closed! {
    /// What is checked. A closed list; new ones are added at the end. It is exhaustive on purpose: a new check does not build
    /// until it has a rule and words.
    pub enum Check {
        /// Processors busy for ten minutes.
        CpuBusy = "cpu-busy",
        /// Processors idle because they wait for disks.
        CpuIowait = "cpu-iowait",
        /// Processor time taken by the hypervisor for other guests.
        CpuSteal = "cpu-steal",
        /// More work than processors.
        LoadPerCore = "load-per-core",
        /// Everything waits for memory.
        MemoryPressure = "memory-pressure",
        /// Work waits for disks.
        IoPressure = "io-pressure",
        /// Little memory is left.
        MemoryAvailable = "memory-available",
        /// The kernel killed processes for want of memory.
        OomKills = "oom-kills",
        /// Swap is full, or much is being swapped out.
        SwapUse = "swap-use",
        /// A file system is nearly full.
        SpaceUsed = "space-used",
        /// A file system will be full soon.
        SpaceForecast = "space-forecast",
        /// A file system runs out of inodes.
        InodesUsed = "inodes-used",
        /// A file system turned read-only.
        FilesystemReadOnly = "filesystem-read-only",
        /// A mount does not answer.
        MountUnresponsive = "mount-unresponsive",
        /// A disk is saturated.
        DiskSaturated = "disk-saturated",
        /// An NVMe device warns.
        NvmeWarning = "nvme-warning",
        /// An NVMe device wears out.
        NvmeWear = "nvme-wear",
        /// An ATA disk has failing sectors.
        AtaSectors = "ata-sectors",
        /// A RAID lacks a member.
        RaidDegraded = "raid-degraded",
        /// Memory has errors.
        MemoryErrors = "memory-errors",
        /// An interface drops packets.
        InterfaceDrops = "interface-drops",
        /// An interface has errors.
        InterfaceErrors = "interface-errors",
        /// TCP sends again too often.
        TcpRetransmits = "tcp-retransmits",
        /// A rung of the way to the internet is broken.
        NetworkLadder = "network-ladder",
        /// Round trips grow under load.
        LatencyUnderLoad = "latency-under-load",
        /// A portal or an interceptor stands between the machine and the internet.
        Interception = "interception",
        /// The wireless signal is weak.
        WifiSignal = "wifi-signal",
        /// The clock is wrong or not synchronised.
        Clock = "clock",
        /// A service failed.
        FailedUnit = "failed-unit",
        /// A service restarts over and over.
        RestartLoop = "restart-loop",
        /// A certificate ends soon.
        CertificateExpiry = "certificate-expiry",
        /// Security updates wait.
        SecurityUpdates = "security-updates",
        /// A restart is needed.
        RebootNeeded = "reboot-needed",
        /// Programs crash.
        Crashes = "crashes",
        /// A process takes ever more memory.
        MemoryLeak = "memory-leak",
        /// The battery wears out.
        BatteryHealth = "battery-health",
        /// File handles run out.
        FileHandles = "file-handles",
        /// The table of tracked connections fills up.
        Conntrack = "conntrack",
        /// The table of processes fills up.
        ProcessTable = "process-table",
        /// The processor is slowed down because it is hot.
        ThermalThrottling = "thermal-throttling",
        /// A figure went to another level and stayed there.
        LevelShift = "level-shift",
        /// A control group runs against its memory limit.
        GroupLimit = "group-limit",
    }

    /// What a check answered.
    pub enum Verdict {
        /// Looked at and fine.
        Pass = "pass",
        /// Something is wrong.
        Fail = "fail",
        /// It could not be looked at. Never counted as fine.
        Unknown = "unknown",
        /// The machine has nothing of the kind.
        NotApplicable = "not_applicable",
    }

    /// How bad a failed check is.
    pub enum Severity {
        /// Worth knowing.
        Info = "info",
        /// Something should be done.
        Warning = "warning",
        /// Something must be done now.
        Critical = "critical",
    }

    /// How sure a finding is.
    pub enum Confidence {
        /// A hint.
        Low = "low",
        /// Likely.
        Medium = "medium",
        /// Measured or told by the device itself.
        High = "high",
    }

    /// What a piece of evidence tells. The words of a finding name these in their placeholders.
    pub enum What {
        /// Share of the time in which something worked.
        Busy = "busy",
        /// Share of the time in which processors waited for disks.
        Iowait = "iowait",
        /// Share of the time that the hypervisor gave to other guests.
        Steal = "steal",
        /// Time that an average covers.
        Window = "window",
        /// Load average over 15 minutes.
        Load = "load",
        /// Load average over 15 minutes for each processor.
        LoadPerProcessor = "load-per-processor",
        /// Logical processors.
        Processors = "processors",
        /// Tasks that run or want to.
        Runnable = "runnable",
        /// Tasks that wait for a device.
        Blocked = "blocked",
        /// A process that uses much processor time, and how much of one processor.
        BusyProcess = "busy-process",
        /// A process with much memory, and how much.
        LargeProcess = "large-process",
        /// A process that waits for a device.
        WaitingProcess = "waiting-process",
        /// A control group with much memory, and how much.
        LargeGroup = "large-group",
        /// The disk with the most to do, and how much of the time it was busy.
        BusiestDisk = "busiest-disk",
        /// Kind of virtual machine.
        Virtualisation = "virtualisation",
        /// Share of the time in which some tasks waited.
        SomeWaited = "some-waited",
        /// Share of the time in which all tasks waited.
        AllWaited = "all-waited",
        /// What is left.
        Available = "available",
        /// What is left, as a share of the whole.
        AvailableShare = "available-share",
        /// What is in use.
        Used = "used",
        /// What is in use, as a share of the whole.
        UsedShare = "used-share",
        /// The whole.
        Total = "total",
        /// Most that may be used.
        Limit = "limit",
        /// Read back from swap.
        SwapIn = "swap-in",
        /// Written to swap in the window, as a share of memory.
        SwappedOutShare = "swapped-out-share",
        /// How often the kernel killed for want of memory.
        Kills = "kills",
        /// What was killed.
        Killed = "killed",
        /// Kind of file system.
        Kind = "kind",
        /// How fast something fills or grows, in an hour.
        GrowthPerHour = "growth-per-hour",
        /// How much of the movement a line explains.
        Fit = "fit",
        /// Mean time of a request.
        Await = "await",
        /// Requests that are outstanding, on average.
        Backlog = "backlog",
        /// The model of a device.
        Model = "model",
        /// A warning that a device gives of itself.
        DeviceWarning = "device-warning",
        /// Share of its life that a device has used.
        Wear = "wear",
        /// Spare blocks left.
        Spare = "spare",
        /// Spare blocks below which the device gives itself up.
        SpareThreshold = "spare-threshold",
        /// Errors of the medium.
        MediaErrors = "media-errors",
        /// Sectors moved elsewhere.
        Reallocated = "reallocated",
        /// Sectors that could not be corrected.
        Uncorrectable = "uncorrectable",
        /// Sectors that could not be read and wait for a decision.
        Pending = "pending",
        /// Commands that took too long.
        CommandTimeouts = "command-timeouts",
        /// Parts that failed.
        Failed = "failed",
        /// Parts that work.
        Active = "active",
        /// Parts there should be.
        Required = "required",
        /// The state of something, in the word of whoever keeps it.
        State = "state",
        /// How far a repair is.
        Progress = "progress",
        /// Errors that were corrected.
        Corrected = "corrected",
        /// A part, and what it has of it.
        Part = "part",
        /// Packets that were dropped.
        Drops = "drops",
        /// Packets in all.
        Packets = "packets",
        /// Packets that were dropped, as a share of all.
        DropShare = "drop-share",
        /// Errors.
        Errors = "errors",
        /// Segments sent again, as a share of all.
        RetransmitShare = "retransmit-share",
        /// Segments sent in a second.
        Segments = "segments",
        /// The first rung that does not hold.
        Rung = "rung",
        /// Rungs that do not hold.
        BrokenRungs = "broken-rungs",
        /// Round trip without load.
        IdleRoundTrip = "idle-round-trip",
        /// Round trip under load.
        LoadedRoundTrip = "loaded-round-trip",
        /// How much longer a round trip takes under load.
        RoundTripRise = "round-trip-rise",
        /// Who signed a certificate.
        Issuer = "issuer",
        /// Strength of the signal.
        Signal = "signal",
        /// How often a machine went from one access point to another.
        Roams = "roams",
        /// How far the clock is off.
        Offset = "offset",
        /// What the clock is set by.
        TimeSource = "time-source",
        /// How something ended.
        Result = "result",
        /// How often something was started again.
        Restarts = "restarts",
        /// Time left.
        Remaining = "remaining",
        /// How old something is.
        Age = "age",
        /// How many wait.
        Waiting = "waiting",
        /// What runs now.
        Running = "running",
        /// What is installed and would run.
        Installed = "installed",
        /// How often a program crashed.
        Crashes = "crashes",
        /// Charge that a full battery holds, as a share of what it was made for.
        Health = "health",
        /// How often a battery was charged.
        Cycles = "cycles",
        /// How often a processor was slowed down because it was hot.
        Throttles = "throttles",
        /// A temperature.
        Temperature = "temperature",
        /// The level before.
        Before = "before",
        /// The level since.
        After = "after",
        /// How often a group had to give memory back to stay within its limit.
        LimitHits = "limit-hits",
        /// Something else about it, by its name.
        About = "about",
        /// Another figure that moved as it seldom does at the same time, and how much of that time it did.
        OddToo = "odd-too",
    }

    /// What an amount counts.
    pub enum Unit {
        /// Things.
        Count = "count",
        /// Things in a second.
        PerSecond = "per_second",
        /// Hundredths.
        Centi = "centi",
        /// Thousandths of the whole.
        Permille = "permille",
        /// Hundredths of a percent.
        CentiPercent = "centi_percent",
        /// 1,024 bytes.
        Kib = "kib",
        /// 1,024 bytes in a second.
        KibPerSecond = "kib_per_second",
        /// Bytes in a second.
        BytesPerSecond = "bytes_per_second",
        /// Microseconds.
        Micros = "micros",
        /// Milliseconds.
        Millis = "millis",
        /// Seconds.
        Seconds = "seconds",
        /// Days.
        Days = "days",
        /// Tenths of a degree Celsius.
        DeciCelsius = "deci_celsius",
        /// Decibels to a milliwatt.
        Dbm = "dbm",
        /// Thousandths of a watt.
        Milliwatts = "milliwatts",
    }
}

/// A number and what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    /// How many.
    pub value: i64,
    /// Of what.
    pub unit: Unit,
}

impl Technical for Amount {}

schema! {
    /// The answer of one check about one subject.
    pub struct Finding {
        /// Which check.
        technical check: Check,
        /// Its version, counted up when its thresholds or its meaning change.
        technical version: u16,
        /// What it answered.
        technical verdict: Verdict,
        /// How bad it is; only of [`Verdict::Fail`].
        technical severity: Option<Severity>,
        /// How sure it is.
        technical confidence: Confidence,
        /// About what; absent where it is the whole machine.
        nested subject: Option<Named>,
        /// Since when it fails; absent otherwise.
        technical since: Option<WallTime>,
        /// Why there is no answer; only of [`Verdict::Unknown`] and [`Verdict::NotApplicable`].
        technical reason: Option<Sentence>,
        /// What it rests on; at most [`MAX_EVIDENCE`].
        nested evidence: Vec<Evidence>,
        /// When it will get worse if nothing changes.
        technical forecast: Option<Forecast>,
        /// Which other checks, should they fail, do not fail because of this; only of [`Verdict::Pass`], and only if the check passes
        /// for all of its subjects. At most as many as there are checks.
        technical exonerates: Vec<Check>,
        /// The runbook that would help; blank if there is none.
        technical runbook: Label,
    }

    /// One fact that a finding rests on.
    pub struct Evidence {
        /// What it tells.
        technical what: What,
        /// How much.
        technical amount: Option<Amount>,
        /// Of which thing.
        nested name: Option<Named>,
    }

    /// When something happens if it goes on as it does: never a moment, always a range.
    #[derive(Copy)]
    pub struct Forecast {
        /// Not before this many seconds from now.
        technical earliest_secs: u64,
        /// By this many seconds from now, as far as can be said; absent if it may never happen.
        technical latest_secs: Option<u64>,
        /// How much of the movement the line through it explains, in thousandths.
        technical fit_permille: u16,
    }
}

impl Technical for Forecast {}

/// Most facts in one finding.
pub const MAX_EVIDENCE: usize = 12;

/// Most findings in one report: more subjects than these of one machine are cut off, and said to be.
pub const MAX_FINDINGS: usize = 256;
