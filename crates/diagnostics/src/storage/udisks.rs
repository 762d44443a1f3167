//! What UDisks2 knows of disks (its D-Bus reference: interfaces `Block`, `Drive`, `Drive.Ata`, `NVMe.Controller`).
//!
//! Only what it read before is asked for: `SmartUpdate` would make it read disks anew, and wake them.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    time::Duration,
};

use wire::diagnostics::sections::storage::{AtaHealth, Health, HealthSource, MAX_DEVICES, NvmeHealth, NvmeWarning};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use crate::bus::{Bus, Talk};

const SERVICE: &str = "org.freedesktop.UDisks2";
const BLOCK: &str = "org.freedesktop.UDisks2.Block";
const ATA: &str = "org.freedesktop.UDisks2.Drive.Ata";
const NVME: &str = "org.freedesktop.UDisks2.NVMe.Controller";

/// Longest that the service is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// 0 degrees Celsius in tenths of a kelvin, as exact as whole figures allow.
const FREEZING_DECI_KELVIN: i64 = 2732;

type Properties = BTreeMap<String, OwnedVariant>;
type Interfaces = BTreeMap<String, Properties>;
type Objects = HashMap<OwnedObjectPath, Interfaces>;

/// Id, name, flags, value, worst, threshold, pretty value, pretty unit, expansion.
type AtaAttribute = (u8, String, u16, i32, i32, i32, i64, i32, BTreeMap<String, OwnedVariant>);

/// What the service tells.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How disks are, by their kernel names. Disks that it knows nothing of are left out.
    pub(super) disks: BTreeMap<String, Health>,
    /// Why it did not tell of a disk that it knows.
    pub(super) refusal: Option<io::Error>,
}

/// How disks are.
///
/// # Errors
///
/// As [`Bus::ask`].
pub(super) fn health(bus: &Bus) -> io::Result<Told> {
    bus.ask(DEADLINE, async |talk| {
        let manager = ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
        let objects = talk.call::<Objects>(SERVICE, "/org/freedesktop/UDisks2", manager, &()).await?;
        let objects = objects.into_iter().map(|(path, of)| (path.to_string(), of)).collect::<BTreeMap<_, _>>();
        let mut told = Told::default();
        for interfaces in objects.values() {
            let Some((name, drive)) = interfaces.get(BLOCK).and_then(whole_disk) else { continue };
            let Some(of_drive) = objects.get(&drive) else { continue };
            if told.disks.len() >= MAX_DEVICES || told.disks.contains_key(&name) {
                continue;
            }
            // One disk that does not answer does not take the others with it.
            match ask(talk, &drive, of_drive).await {
                Ok(Some(health)) => drop(told.disks.insert(name, health)),
                Ok(None) => {}
                Err(error) => told.refusal = Some(error),
            }
        }
        Ok(told)
    })
}

/// Kernel name and drive of a block device.
fn whole_disk(block: &Properties) -> Option<(String, String)> {
    let device = bytes(block.get("Device")?)?;
    let device = String::from_utf8(device.strip_suffix(b"\0").unwrap_or(&device).to_vec()).ok()?;
    let name = device.strip_prefix("/dev/")?.to_owned();
    let drive = OwnedObjectPath::try_from(block.get("Drive")?.try_clone().ok()?).ok()?;
    (drive.as_str() != "/").then(|| (name, drive.to_string()))
}

async fn ask(talk: &Talk, path: &str, drive: &Interfaces) -> io::Result<Option<Health>> {
    let options = BTreeMap::<String, OwnedVariant>::new();
    if let Some(known) = drive.get(NVME).filter(|known| was_read(known)) {
        let read = talk.call::<Properties>(SERVICE, path, (NVME, "SmartGetAttributes"), &(&options,)).await?;
        return Ok(Some(nvme(known, &read)));
    }
    if let Some(known) = drive.get(ATA).filter(|known| was_read(known)) {
        let read = talk.call::<Vec<AtaAttribute>>(SERVICE, path, (ATA, "SmartGetAttributes"), &(&options,)).await?;
        return Ok(Some(ata(known, &read)));
    }
    Ok(None)
}

/// Whether the service has read the disk since it started; before that its figures are all 0.
fn was_read(known: &Properties) -> bool {
    known.get("SmartUpdated").and_then(|time| whole(time)).is_some_and(|time| time > 0)
}

fn nvme(known: &Properties, read: &Properties) -> Health {
    let figure = |name: &str| read.get(name).and_then(|value| u64::try_from(whole(value)?).ok());
    let percent = |name: &str| figure(name).and_then(|percent| u8::try_from(percent).ok());
    let words = known.get("SmartCriticalWarning").map(texts).unwrap_or_default();
    let critical_warnings = words.iter().filter_map(|word| warning(word)).collect::<Vec<_>>();
    let kelvin = known.get("SmartTemperature").and_then(|value| whole(value)).filter(|kelvin| *kelvin > 0);
    Health {
        told_by: HealthSource::Udisks,
        // The device has no verdict besides its warnings.
        passed: Some(words.is_empty()),
        temperature_deci_celsius: kelvin.and_then(|kelvin| deci_celsius(kelvin.checked_mul(10)?)),
        power_on_hours: known.get("SmartPowerOnHours").and_then(|value| u64::try_from(whole(value)?).ok()),
        nvme: Some(NvmeHealth {
            critical_warnings,
            used_percent: percent("percent_used"),
            spare_percent: percent("avail_spare"),
            spare_threshold_percent: percent("spare_thresh"),
            media_errors: figure("media_errors"),
            unsafe_shutdowns: figure("unsafe_shutdowns"),
        }),
        ata: None,
    }
}

fn warning(word: &str) -> Option<NvmeWarning> {
    match word {
        "spare" => Some(NvmeWarning::Spare),
        "temperature" => Some(NvmeWarning::Temperature),
        "degraded" => Some(NvmeWarning::Degraded),
        "readonly" => Some(NvmeWarning::ReadOnly),
        "volatile_mem" => Some(NvmeWarning::VolatileMemory),
        "pmr_readonly" => Some(NvmeWarning::PersistentMemory),
        _ => None,
    }
}

fn ata(known: &Properties, read: &[AtaAttribute]) -> Health {
    let value = |id: u8| {
        let row = read.iter().find(|row| row.0 == id)?;
        u64::try_from(row.6).ok()
    };
    let failing = known.get("SmartFailing").and_then(|value| bool::try_from(&**value).ok());
    let kelvin = known.get("SmartTemperature").and_then(|value| f64::try_from(&**value).ok());
    let kelvin = kelvin.filter(|kelvin| *kelvin > 0.0 && *kelvin < 10_000.0);
    #[expect(clippy::cast_possible_truncation, reason = "at most 100,000, as it was filtered")]
    let deci_kelvin = kelvin.map(|kelvin| (kelvin * 10.0).round() as i64);
    let seconds = known.get("SmartPowerOnSeconds").and_then(|value| whole(value)).filter(|seconds| *seconds > 0);
    Health {
        told_by: HealthSource::Udisks,
        passed: failing.map(|failing| !failing),
        temperature_deci_celsius: deci_kelvin.and_then(deci_celsius),
        power_on_hours: seconds.and_then(|seconds| u64::try_from(seconds / 3600).ok()),
        nvme: None,
        ata: Some(AtaHealth {
            reallocated_sectors: value(5),
            reported_uncorrectable: value(187),
            command_timeouts: value(188),
            pending_sectors: value(197),
            offline_uncorrectable: value(198),
        }),
    }
}

fn deci_celsius(deci_kelvin: i64) -> Option<i32> {
    i32::try_from(deci_kelvin.checked_sub(FREEZING_DECI_KELVIN)?).ok()
}

/// A whole number of whatever width the service has chosen.
fn whole(value: &Variant<'_>) -> Option<i64> {
    let signed = i64::try_from(value).or_else(|_| i32::try_from(value).map(i64::from));
    let signed = signed.or_else(|_| i16::try_from(value).map(i64::from)).ok();
    let narrow = || u8::try_from(value).map(u64::from).or_else(|_| u16::try_from(value).map(u64::from));
    let unsigned = || narrow().or_else(|_| u32::try_from(value).map(u64::from)).or_else(|_| u64::try_from(value));
    signed.or_else(|| i64::try_from(unsigned().ok()?).ok())
}

fn bytes(value: &OwnedVariant) -> Option<Vec<u8>> {
    Vec::<u8>::try_from(value.try_clone().ok()?).ok()
}

fn texts(value: &OwnedVariant) -> Vec<String> {
    value.try_clone().ok().and_then(|value| Vec::<String>::try_from(value).ok()).unwrap_or_default()
}
