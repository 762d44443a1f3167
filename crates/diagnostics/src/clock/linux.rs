//! The clock: what keeps it right, by the services themselves (`org.freedesktop.timesync1(5)`, `org.freedesktop.timedate1(5)`,
//! chronyc(1)), by the kernel (adjtimex(2)), and what it starts from (rtc(4), hwclock(8)).
//!
//! timedated is asked if it happens to run. It is started on demand, and asking must not start anything.

use std::{fs, io, path::Path, time::Duration};

use serde::Deserialize;
use wire::{
    diagnostics::sections::clock::{Clock, KernelClock, MAX_SERVICES, TimeService, TimeSource},
    text::Label,
    time::WallTime,
};
use zbus::OwnedVariant;

use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    processes::hidden::{HIDDEN, are_hidden},
    roots::Roots,
    sources::Sources,
    sysfs::{label, numbered, whole},
    system,
    text::{first_line, lines, number, read_file, signed},
    tools::Tool,
};

const BUS_DEADLINE: Duration = Duration::from_secs(10);

/// chronyd answers at once or not at all.
const CHRONY_DEADLINE: Duration = Duration::from_secs(5);

/// A line of 14 figures.
const CHRONY_BYTES: usize = 4096;

/// A stratum from which on a server has no time itself (RFC 5905, 7.3).
const UNSYNCHRONISED_STRATUM: u8 = 16;

/// Leap indicator of a server whose clock is not synchronised (RFC 5905, 7.3).
const UNSYNCHRONISED_LEAP: u32 = 3;

/// Where the kernel stops counting how wrong the clock may be (`NTP_PHASE_LIMIT`): nobody keeps it. What systemd goes by; the flag
/// `STA_UNSYNC` is set also to keep the kernel away from the battery-backed clock.
const KERNEL_LOST_US: u64 = 16_000_000;

/// Reads the section.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Clock> {
    let Sources { roots, bus, .. } = sources;
    let mut clock = Clock {
        services: running_services(roots, manifest),
        time_zone: system::linux::time_zone(&roots.etc),
        hardware_in_local_time: manifest.keep("/etc/adjtime", keeps_local_time(&roots.etc)),
        hardware_clock: read_hardware_clock(&roots.sys, manifest),
        counter: label(&roots.sys.join("devices/system/clocksource/clocksource0/current_clocksource")),
        ..Clock::default()
    };
    // What runs is asked; a service of a machine's host, or of a container's, cannot be seen from here.
    if clock.services.contains(&TimeService::Chrony) {
        clock.source = manifest.keep("chrony", ask_chrony(sources));
    } else if clock.services.contains(&TimeService::Timesyncd) {
        clock.source = manifest.keep("systemd-timesyncd", ask_timesyncd(bus));
        if let Some(source) = &mut clock.source {
            source.compared_at = source.compared_at.or_else(|| timesyncd_was_right_at(&roots.run));
        }
    } else if clock.services.is_empty() && !are_hidden(&roots.proc) {
        manifest.missing("time service", "none runs here that is known");
    } else if clock.services.is_empty() {
        manifest.missing("time service", &format!("no process of other users is seen: {HIDDEN}"));
    } else {
        manifest.missing("time service", "it has no interface that is asked");
    }
    clock.kernel = manifest.keep("kernel", (sources.kernel_clock)());
    let by_service = clock.source.as_ref().and_then(is_synchronised);
    let by_kernel = clock.kernel.as_ref().map(|kernel| kernel.max_error_us < KERNEL_LOST_US);
    clock.synchronised = match &clock.source {
        // It does not tell the kernel unless it was told to (`rtcsync` in chrony.conf(5)).
        Some(source) if source.service == TimeService::Chrony => by_service.or(by_kernel),
        // A service goes on telling the last answer of a server that is long gone; what the kernel takes for the error grows.
        _ => by_kernel.or(by_service),
    };
    match ask_timedated(bus) {
        Ok(told) => {
            manifest.read("timedated");
            // It asks the same kernel.
            clock.synchronised = clock.synchronised.or(Some(told.synchronised));
            clock.enabled = Some(told.enabled);
            clock.hardware_in_local_time = Some(told.local_time);
            clock.time_zone = Label::cut(&told.time_zone);
        }
        Err(error) if clock.synchronised.is_none() => manifest.failed("timedated", &error),
        // Another has told.
        Err(_) => {}
    }
    Some(clock)
}

/// The kernel's own. This machine's is asked whatever the roots are.
pub(crate) fn ask_kernel() -> io::Result<KernelClock> {
    #[expect(unsafe_code, reason = "no wrapper that could be found tells what the kernel answers")]
    // SAFETY: `timex` is a struct of integers, for all of which zero is a value.
    let mut answer = unsafe { std::mem::zeroed::<libc::timex>() };
    // `modes` is 0: nothing is set.
    #[expect(unsafe_code, reason = "as above")]
    // SAFETY: the pointer is to a `timex` of our own that outlives the call, and the kernel writes no more than that.
    let state = unsafe { libc::adjtimex(&raw mut answer) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let units_a_microsecond = if answer.status & libc::STA_NANO == 0 { 1 } else { 1000 };
    Ok(KernelClock {
        max_error_us: u64::try_from(answer.maxerror).unwrap_or(u64::MAX),
        offset_us: narrow(i128::from(answer.offset) / units_a_microsecond),
        frequency_ppb: billionths(answer.freq),
    })
}

/// The kernel counts in millionths, with 16 bits behind the point (adjtimex(2)).
fn billionths(frequency: impl Into<i128>) -> i64 {
    narrow(frequency.into() * 1000 / 65_536)
}

/// Zero for what no clock shows.
fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or_default()
}

/// Whether what a service knows of its server says that the clock is right.
fn is_synchronised(source: &TimeSource) -> Option<bool> {
    let stratum = source.stratum?;
    Some((1..UNSYNCHRONISED_STRATUM).contains(&stratum) && source.offset_us.is_some())
}

/// Services that set the clock, by the names of the processes. The kernel cuts those after 15 bytes.
fn running_services(roots: &Roots, manifest: &mut Manifest) -> Vec<TimeService> {
    let known = [
        ("systemd-timesyn", TimeService::Timesyncd),
        ("chronyd", TimeService::Chrony),
        ("ntpd", TimeService::Ntpd),
        ("ntp-daemon", TimeService::NtpDaemon),
        ("ptp4l", TimeService::Ptp),
        ("phc2sys", TimeService::PhcToSystem),
    ];
    let mut services = Vec::new();
    if let Err(error) = fs::read_dir(&roots.proc) {
        manifest.failed("time service", &error);
        return services;
    }
    for pid in numbered(&roots.proc, "") {
        let name = first_line(&roots.proc.join(pid).join("comm"));
        let service = known.iter().find(|(known, _)| name.as_deref() == Some(known)).map(|(_, service)| *service);
        services.extend(service.filter(|service| services.len() < MAX_SERVICES && !services.contains(service)));
    }
    services.sort();
    services
}

/// The third line of `/etc/adjtime` (hwclock(8)). Without the file the clock keeps UTC.
fn keeps_local_time(etc: &Path) -> io::Result<bool> {
    let mut buffer = Vec::new();
    match read_file(&etc.join("adjtime"), &mut buffer) {
        Ok(text) => Ok(lines(text).nth(2).is_some_and(|line| line.trim_ascii() == b"LOCAL")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the battery-backed clock shows. One that lost its battery shows a time long past.
fn read_hardware_clock(sys: &Path, manifest: &mut Manifest) -> Option<WallTime> {
    let class = sys.join("class/rtc");
    let clocks = numbered(&class, "rtc");
    // The one that the system started from, else the first.
    let started_from = |name: &&String| whole(&class.join(name).join("hctosys")) == Some(1);
    let Some(name) = clocks.iter().find(started_from).or(clocks.first()) else {
        manifest.missing("battery-backed clock", "there is none");
        return None;
    };
    let Some(seconds) = whole(&class.join(name).join("since_epoch")) else {
        manifest.missing("battery-backed clock", "it does not answer, or its time makes no sense");
        return None;
    };
    manifest.read("battery-backed clock");
    Some(WallTime(seconds.saturating_mul(1000)))
}

/// When timesyncd last set or confirmed the clock: it touches a file then.
fn timesyncd_was_right_at(run: &Path) -> Option<WallTime> {
    let modified = fs::metadata(run.join("systemd/timesync/synchronized")).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(WallTime(u64::try_from(since.as_millis()).ok()?))
}

/// `NTPMessage` of timesyncd: the last answer of its server, times in microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, zbus::Type, zbus::OwnedVariant)]
struct NtpMessage {
    leap: u32,
    version: u32,
    mode: u32,
    stratum: u32,
    precision: i32,
    root_delay: u64,
    root_dispersion: u64,
    reference: Vec<u8>,
    /// When the question was sent, by this clock.
    origin: u64,
    /// When it arrived, by the server's.
    receive: u64,
    /// When the answer was sent, by the server's.
    transmit: u64,
    /// When it arrived, by this one.
    destination: u64,
    ignored: bool,
    packets: u64,
    jitter: u64,
}

impl NtpMessage {
    /// RFC 5905, 8: half of what both ways together differ from the clocks. `None` before the first answer.
    fn offset_us(&self) -> Option<i64> {
        if self.packets == 0 || self.destination == 0 {
            return None;
        }
        let difference = |server: u64, own: u64| i128::from(server) - i128::from(own);
        let both = difference(self.receive, self.origin) + difference(self.transmit, self.destination);
        i64::try_from(both / 2).ok()
    }

    fn stratum(&self) -> u8 {
        match self.leap {
            UNSYNCHRONISED_LEAP => UNSYNCHRONISED_STRATUM,
            _ => u8::try_from(self.stratum).unwrap_or(UNSYNCHRONISED_STRATUM),
        }
    }
}

fn ask_timesyncd(bus: &Bus) -> io::Result<TimeSource> {
    const NAME: &str = "org.freedesktop.timesync1";
    const PATH: &str = "/org/freedesktop/timesync1";
    const MANAGER: &str = "org.freedesktop.timesync1.Manager";
    bus.ask(BUS_DEADLINE, async |talk: &Talk| {
        let server = talk.property::<String>(NAME, PATH, (MANAGER, "ServerName")).await?;
        let poll = talk.property::<u64>(NAME, PATH, (MANAGER, "PollIntervalUSec")).await?;
        let frequency = talk.property::<i64>(NAME, PATH, (MANAGER, "Frequency")).await?;
        let message = talk.property::<OwnedVariant>(NAME, PATH, (MANAGER, "NTPMessage")).await?;
        let message = NtpMessage::try_from(message).map_err(|_| io::ErrorKind::InvalidData)?;
        let offset_us = message.offset_us();
        let answered = offset_us.is_some();
        let max_error = (message.root_delay / 2).saturating_add(message.root_dispersion);
        Ok(TimeSource {
            service: TimeService::Timesyncd,
            server: Label::cut(&server),
            stratum: answered.then(|| message.stratum()),
            offset_us,
            max_error_us: answered.then_some(max_error),
            frequency_ppb: Some(billionths(frequency)),
            poll_secs: Some(poll / 1_000_000),
            compared_at: answered.then_some(WallTime(message.destination / 1000)),
        })
    })
}

/// What timedated tells.
#[derive(Debug)]
struct TimeDate {
    synchronised: bool,
    enabled: bool,
    local_time: bool,
    time_zone: String,
}

fn ask_timedated(bus: &Bus) -> io::Result<TimeDate> {
    const NAME: &str = "org.freedesktop.timedate1";
    const PATH: &str = "/org/freedesktop/timedate1";
    bus.ask(BUS_DEADLINE, async |talk: &Talk| {
        Ok(TimeDate {
            synchronised: talk.property::<bool>(NAME, PATH, (NAME, "NTPSynchronized")).await?,
            enabled: talk.property::<bool>(NAME, PATH, (NAME, "NTP")).await?,
            local_time: talk.property::<bool>(NAME, PATH, (NAME, "LocalRTC")).await?,
            time_zone: talk.property::<String>(NAME, PATH, (NAME, "Timezone")).await?,
        })
    })
}

fn ask_chrony(sources: &Sources) -> io::Result<TimeSource> {
    let output = sources.output_of(&Tool::Chrony, CHRONY_DEADLINE, CHRONY_BYTES)?;
    let tracking = lines(&output).next().and_then(parse_tracking);
    tracking.ok_or_else(|| io::Error::other("chronyd did not answer"))
}

/// One line of `chronyc -c tracking`: reference id, server, stratum, time of the last comparison, offset (positive if the clock is
/// behind), its last value and its mean, frequency, residual frequency, skew, root delay, root dispersion, interval, leap status.
fn parse_tracking(line: &[u8]) -> Option<TimeSource> {
    let fields = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect::<Vec<_>>();
    let [_, server, stratum, at, offset, _, _, frequency, _, _, delay, dispersion, interval, leap] = fields[..] else {
        return None;
    };
    let synchronised = leap != b"Not synchronised";
    let stratum = number(stratum).and_then(|stratum| u8::try_from(stratum).ok())?;
    let delay = millionths(delay).and_then(|delay| u64::try_from(delay).ok());
    let dispersion = millionths(dispersion).and_then(|dispersion| u64::try_from(dispersion).ok());
    Some(TimeSource {
        service: TimeService::Chrony,
        server: Label::cut(&String::from_utf8_lossy(server)),
        stratum: Some(if synchronised { stratum } else { UNSYNCHRONISED_STRATUM }),
        offset_us: millionths(offset).filter(|_| synchronised),
        max_error_us: delay.zip(dispersion).map(|(delay, dispersion)| (delay / 2).saturating_add(dispersion)),
        // In millionths, of which a thousandth is a billionth; chrony says how fast the clock runs, not what to make of it.
        frequency_ppb: millionths(frequency).map(|rate| -(rate / 1000)),
        poll_secs: millionths(interval).and_then(|interval| u64::try_from(interval / 1_000_000).ok()),
        compared_at: millionths(at).and_then(|at| u64::try_from(at / 1000).ok()).filter(|at| *at != 0).map(WallTime),
    })
}

/// A decimal number in millionths; further digits are cut off.
fn millionths(field: &[u8]) -> Option<i64> {
    let (negative, field) = match field.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, field.strip_prefix(b"+").unwrap_or(field)),
    };
    let mut parts = field.splitn(2, |byte| *byte == b'.');
    let whole = signed(parts.next()?).filter(|whole| *whole >= 0)?;
    let mut fraction = [b'0'; 6];
    let digits = parts.next().unwrap_or_default();
    for (place, digit) in fraction.iter_mut().zip(digits) {
        *place = *digit;
    }
    let fraction = i64::try_from(number(&fraction)?).ok()?;
    let value = whole.checked_mul(1_000_000)?.checked_add(fraction)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests;
