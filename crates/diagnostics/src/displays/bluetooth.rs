//! Bluetooth adapters by BlueZ over D-Bus (its `doc/org.bluez.Adapter.rst`), else from `/sys/class/bluetooth`; what keeps them off
//! from `/sys/class/rfkill`.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::Path,
    time::Duration,
};

use wire::{
    diagnostics::sections::displays::{Blocked, BluetoothAdapter, MAX_ADAPTERS},
    text::Label,
};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    sysfs::{flag, names, numbered},
    text::{first_line, number},
};

const BUS_DEADLINE: Duration = Duration::from_secs(10);
const ADAPTER: &str = "org.bluez.Adapter1";
const DEVICE: &str = "org.bluez.Device1";

type Properties = BTreeMap<String, OwnedVariant>;
type Objects = BTreeMap<String, BTreeMap<String, Properties>>;

pub(super) fn read(class: &Path, bus: &Bus, manifest: &mut Manifest) -> Vec<BluetoothAdapter> {
    let mut adapters = match ask_bluez(bus) {
        Ok(objects) => {
            manifest.read("BlueZ");
            from_objects(objects)
        }
        Err(error) => {
            let adapters = from_kernel(&class.join("bluetooth"));
            match adapters.is_empty() {
                // Who has no adapter has no need for its service.
                true => manifest.read("/sys/class/bluetooth"),
                false => manifest.failed("BlueZ", &error),
            }
            adapters
        }
    };
    manifest.bound("BlueZ", &mut adapters, MAX_ADAPTERS);
    for adapter in &mut adapters {
        adapter.blocked = blocked(&class.join("rfkill"), adapter.device.raw());
    }
    adapters
}

fn ask_bluez(bus: &Bus) -> io::Result<Objects> {
    type Told = HashMap<OwnedObjectPath, BTreeMap<String, Properties>>;

    bus.ask(BUS_DEADLINE, async |talk: &Talk| {
        let method = ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
        let objects = talk.call::<Told>("org.bluez", "/", method, &()).await?;
        Ok(objects.into_iter().map(|(path, interfaces)| (path.to_string(), interfaces)).collect())
    })
}

/// Devices stand below their adapter: `/org/bluez/hci0/dev_…`. Of them only their number is kept.
fn from_objects(mut objects: Objects) -> Vec<BluetoothAdapter> {
    let flag =
        |properties: &Properties, name: &str| properties.get(name).and_then(|value| bool::try_from(value.clone()).ok());
    let devices = objects
        .iter()
        .filter_map(|(path, interfaces)| {
            let properties = interfaces.get(DEVICE)?;
            let is = |name: &str| flag(properties, name) == Some(true);
            Some((path.clone(), is("Paired"), is("Connected")))
        })
        .collect::<Vec<_>>();
    let mut adapters = Vec::new();
    for (path, interfaces) in &mut objects {
        let Some(properties) = interfaces.get_mut(ADAPTER) else { continue };
        let below = format!("{path}/");
        let own = || devices.iter().filter(|(path, ..)| path.starts_with(&below));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let powered = flag(properties, "Powered");
        let mut text = |name: &str| {
            let value = properties.remove(name).and_then(|value| String::try_from(value).ok());
            Label::cut(&value.unwrap_or_default())
        };
        adapters.push(BluetoothAdapter {
            name: text("Alias"),
            address: text("Address"),
            device: Label::cut(path.rsplit('/').next().unwrap_or_default()),
            powered,
            blocked: Blocked::Unknown,
            paired: Some(count(own().filter(|(_, paired, _)| *paired).count())),
            connected: count(own().filter(|(.., connected)| *connected).count()),
        });
    }
    adapters
}

/// Without BlueZ only adapters and their connections (`hci0:11`) can be seen.
fn from_kernel(class: &Path) -> Vec<BluetoothAdapter> {
    let all = names(class).unwrap_or_default();
    let adapter = |name: String| {
        let prefix = format!("{name}:");
        let connected = all.iter().filter(|other| other.starts_with(&prefix)).count();
        BluetoothAdapter {
            device: Label::cut(&name),
            connected: u32::try_from(connected).unwrap_or(u32::MAX),
            ..BluetoothAdapter::default()
        }
    };
    numbered(class, "hci").into_iter().map(adapter).collect()
}

/// What rfkill says of an adapter, which it knows by its name (`Documentation/ABI/stable/sysfs-class-rfkill`).
fn blocked(rfkill: &Path, adapter: &str) -> Blocked {
    let switches = names(rfkill).unwrap_or_default();
    let own = switches.iter().map(|name| rfkill.join(name)).find(|switch| {
        let number = |name: &str| name.strip_prefix("hci").and_then(|rest| number(rest.as_bytes()));
        let name = first_line(&switch.join("name"));
        name.is_some_and(|name| name == adapter && number(&name).is_some())
    });
    let Some(own) = own else { return Blocked::Unknown };
    match (flag(&own.join("hard")), flag(&own.join("soft"))) {
        (Some(true), _) => Blocked::Switch,
        (Some(false), Some(true)) => Blocked::Setting,
        (Some(false), Some(false)) => Blocked::No,
        _ => Blocked::Unknown,
    }
}
