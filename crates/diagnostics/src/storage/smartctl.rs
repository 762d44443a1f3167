//! What `smartctl --json` prints about one disk (smartctl(8), "JSON output").

use std::io;

use serde_json::Value;
use wire::diagnostics::sections::storage::{AtaHealth, Health, HealthSource, NvmeHealth, NvmeWarning};

/// Bits of Critical Warning, lowest first.
const WARNINGS: [NvmeWarning; 6] = [
    NvmeWarning::Spare,
    NvmeWarning::Temperature,
    NvmeWarning::Degraded,
    NvmeWarning::ReadOnly,
    NvmeWarning::VolatileMemory,
    NvmeWarning::PersistentMemory,
];

/// How the disk is.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] if that is no JSON, [`io::ErrorKind::PermissionDenied`] if the disk could not be opened, and
/// another if the disk told nothing, because it sleeps or has nothing to tell.
pub(super) fn parse(printed: &[u8]) -> io::Result<Health> {
    let printed = serde_json::from_slice::<Value>(printed).map_err(|_| io::ErrorKind::InvalidData)?;
    let passed = printed.pointer("/smart_status/passed").and_then(Value::as_bool);
    let nvme = printed.get("nvme_smart_health_information_log").filter(|log| log.is_object()).map(nvme);
    let ata = printed.pointer("/ata_smart_attributes/table").and_then(Value::as_array).map(|table| ata(table));
    if passed.is_none() && nvme.is_none() && ata.is_none() {
        return Err(refusal(&printed));
    }
    let celsius = printed.pointer("/temperature/current").and_then(Value::as_i64);
    Ok(Health {
        told_by: HealthSource::Smartctl,
        passed,
        temperature_deci_celsius: celsius.and_then(|celsius| i32::try_from(celsius.checked_mul(10)?).ok()),
        power_on_hours: printed.pointer("/power_on_time/hours").and_then(Value::as_u64),
        nvme,
        ata,
    })
}

/// The warnings whose bits are set.
fn warnings(bits: u64) -> Vec<NvmeWarning> {
    let set = WARNINGS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    set.map(|(_, warning)| *warning).collect()
}

fn nvme(log: &Value) -> NvmeHealth {
    let figure = |name: &str| log.get(name).and_then(Value::as_u64);
    let percent = |name: &str| figure(name).and_then(|percent| u8::try_from(percent).ok());
    NvmeHealth {
        critical_warnings: warnings(figure("critical_warning").unwrap_or(0)),
        used_percent: percent("percentage_used"),
        spare_percent: percent("available_spare"),
        spare_threshold_percent: percent("available_spare_threshold"),
        media_errors: figure("media_errors"),
        unsafe_shutdowns: figure("unsafe_shutdowns"),
    }
}

fn ata(table: &[Value]) -> AtaHealth {
    let raw = |id: u64| {
        let row = table.iter().find(|row| row.get("id").and_then(Value::as_u64) == Some(id))?;
        row.pointer("/raw/value")?.as_u64()
    };
    AtaHealth {
        reallocated_sectors: raw(5),
        reported_uncorrectable: raw(187),
        command_timeouts: raw(188),
        pending_sectors: raw(197),
        offline_uncorrectable: raw(198),
    }
}

/// Why there is no answer. Bits of the exit status are listed in smartctl(8); only bit 1 says that the disk could not be opened.
fn refusal(printed: &Value) -> io::Error {
    let status = printed.pointer("/smartctl/exit_status").and_then(Value::as_u64).unwrap_or(0);
    let says = |word: &str| {
        let messages = printed.pointer("/smartctl/messages").and_then(Value::as_array);
        let mut texts = messages.into_iter().flatten().filter_map(|message| message.get("string")?.as_str());
        texts.any(|text| text.contains(word))
    };
    match () {
        () if says("Permission denied") => io::ErrorKind::PermissionDenied.into(),
        () if says("STANDBY") || says("SLEEP") => io::Error::other("the disk sleeps and was not woken"),
        () if status & 2 != 0 => io::Error::other("the disk could not be opened"),
        () => io::Error::other("the disk tells nothing about itself"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NVME: &[u8] = br#"{"json_format_version":[1,0],"smartctl":{"version":[7,3],"exit_status":8},
        "device":{"name":"/dev/nvme0","type":"nvme","protocol":"NVMe"},"model_name":"X","serial_number":"S1",
        "smart_status":{"passed":false,"nvme":{"value":9}},
        "nvme_smart_health_information_log":{"critical_warning":9,"temperature":41,"available_spare":5,
        "available_spare_threshold":10,"percentage_used":104,"data_units_read":5716382,"media_errors":3,
        "unsafe_shutdowns":81,"power_on_hours":9025},
        "temperature":{"current":41},"power_cycle_count":201,"power_on_time":{"hours":9025}}"#;

    const ATA: &[u8] = br#"{"smartctl":{"exit_status":0},"smart_status":{"passed":true},
        "ata_smart_attributes":{"revision":10,"table":[
        {"id":1,"name":"Raw_Read_Error_Rate","raw":{"value":195986256,"string":"195986256"}},
        {"id":5,"name":"Reallocated_Sector_Ct","raw":{"value":24,"string":"24"}},
        {"id":187,"name":"Reported_Uncorrect","raw":{"value":2,"string":"2"}},
        {"id":188,"name":"Command_Timeout","raw":{"value":8590065666,"string":"2 2 2"}},
        {"id":197,"name":"Current_Pending_Sector","raw":{"value":8,"string":"8"}}]},
        "temperature":{"current":-3},"power_on_time":{"hours":31002,"minutes":4}}"#;

    #[test]
    fn an_nvme_device_that_warns_says_with_which_bits() {
        let health = parse(NVME).unwrap();
        assert_eq!((health.passed, health.temperature_deci_celsius), (Some(false), Some(410)));
        assert_eq!((health.power_on_hours, health.ata), (Some(9025), None));
        let nvme = health.nvme.unwrap();
        assert_eq!(nvme.critical_warnings, [NvmeWarning::Spare, NvmeWarning::ReadOnly]);
        assert_eq!(
            (nvme.used_percent, nvme.spare_percent, nvme.spare_threshold_percent),
            (Some(104), Some(5), Some(10))
        );
        assert_eq!((nvme.media_errors, nvme.unsafe_shutdowns), (Some(3), Some(81)));
    }

    #[test]
    fn an_ata_disk_gives_raw_values_and_what_it_has_not_is_absent() {
        let health = parse(ATA).unwrap();
        assert_eq!((health.passed, health.temperature_deci_celsius), (Some(true), Some(-30)));
        let expected = AtaHealth {
            reallocated_sectors: Some(24),
            reported_uncorrectable: Some(2),
            command_timeouts: Some(8_590_065_666),
            pending_sectors: Some(8),
            offline_uncorrectable: None,
        };
        assert_eq!(health.ata, Some(expected));
    }

    #[test]
    fn a_disk_that_told_nothing_says_why() {
        let reason = |messages: &str, status: u8| {
            let printed = format!(r#"{{"smartctl":{{"messages":[{messages}],"exit_status":{status}}}}}"#);
            parse(printed.as_bytes()).unwrap_err()
        };
        let message = |text: &str| format!(r#"{{"string":"{text}","severity":"error"}}"#);
        let denied = reason(&message("Smartctl open device: /dev/sda failed: Permission denied"), 2);
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let asleep = reason(&message("Device is in STANDBY mode, exit(2)"), 2);
        assert_eq!(asleep.to_string(), "the disk sleeps and was not woken");
        let real = reason(&message("/dev/vda: Unable to detect device type"), 1);
        assert_eq!(real.to_string(), "the disk tells nothing about itself");
    }

    #[test]
    fn values_of_another_kind_are_absent_and_nonsense_is_refused() {
        let odd = br#"{"smart_status":{"passed":"yes"},"temperature":{"current":9223372036854775807},
            "nvme_smart_health_information_log":{"critical_warning":-1,"percentage_used":300,"media_errors":1e40}}"#;
        let health = parse(odd).unwrap();
        assert_eq!((health.passed, health.temperature_deci_celsius), (None, None));
        assert_eq!(health.nvme, Some(NvmeHealth::default()));
        let deep = "[".repeat(100_000);
        for nonsense in [b"".as_slice(), b"smartctl 7.3", b"\xff", b"{\"smart_status\":", deep.as_bytes()] {
            assert_eq!(parse(nonsense).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        for nothing in [b"{}".as_slice(), b"[]", b"null", b"7"] {
            assert!(parse(nothing).is_err());
        }
    }
}
