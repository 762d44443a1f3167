//! Graphics cards and connectors from `/sys/class/drm` (the kernel's `Documentation/gpu/drm-kms.rst`).

use std::path::Path;

use wire::{
    diagnostics::sections::displays::{Connector, ConnectorState, GraphicsCard, MAX_CARDS, MAX_CONNECTORS},
    text::Label,
};

use super::edid;
use crate::{
    manifest::Manifest,
    sysfs::{flag, id, label, link_name, names, whole},
    text::{first_line, lines, number, read_file},
};

pub(super) fn read(drm: &Path, manifest: &mut Manifest) -> (Vec<GraphicsCard>, Vec<Connector>) {
    let (mut cards, mut connectors) = (Vec::new(), Vec::new());
    let Some(names) = manifest.keep("graphics cards", names(drm)) else { return (cards, connectors) };
    for name in names {
        // `card0` is a card, `card0-HDMI-A-1` a connector of it; `renderD128` is the card once more.
        match name.strip_prefix("card").map(|rest| rest.split_once('-').map_or(rest, |(card, _)| card)) {
            Some(card) if number(card.as_bytes()).is_none() => {}
            Some(card) if card.len() + "card".len() == name.len() => cards.push(read_card(&name, &drm.join(&name))),
            Some(_) => connectors.push(read_connector(&name, &drm.join(&name), manifest)),
            None => {}
        }
    }
    manifest.bound("graphics cards", &mut cards, MAX_CARDS);
    manifest.bound("graphics cards", &mut connectors, MAX_CONNECTORS);
    (cards, connectors)
}

fn read_card(name: &str, folder: &Path) -> GraphicsCard {
    let device = folder.join("device");
    // amdgpu alone tells its memory, in bytes.
    let kib = |file: &str| whole(&device.join(file)).map(|bytes| bytes / 1024);
    GraphicsCard {
        name: Label::cut(name),
        driver: Label::cut(&link_name(&device.join("driver")).unwrap_or_default()),
        vendor_id: id(&device.join("vendor")),
        device_id: id(&device.join("device")),
        primary: flag(&device.join("boot_vga")) == Some(true),
        memory_kib: kib("mem_info_vram_total"),
        memory_used_kib: kib("mem_info_vram_used"),
    }
}

fn read_connector(name: &str, folder: &Path, manifest: &mut Manifest) -> Connector {
    let mut buffer = Vec::new();
    // The mode that a screen prefers is the first.
    let text = read_file(&folder.join("modes"), &mut buffer).unwrap_or_default();
    let preferred_mode = Label::cut(&String::from_utf8_lossy(lines(text).next().unwrap_or_default()));
    let modes = u16::try_from(lines(text).count()).unwrap_or(u16::MAX);
    let monitor = match read_file(&folder.join("edid"), &mut buffer) {
        // A connector without a screen has none, and neither have some screens.
        Ok([]) | Err(_) => None,
        Ok(bytes) => {
            let monitor = edid::parse(bytes);
            if monitor.is_none() {
                manifest.partial("graphics cards", "a screen does not describe itself as screens do");
            }
            monitor
        }
    };
    Connector {
        name: Label::cut(name),
        state: match first_line(&folder.join("status")).as_deref() {
            Some("connected") => ConnectorState::Connected,
            Some("disconnected") => ConnectorState::Disconnected,
            _ => ConnectorState::Unknown,
        },
        enabled: first_line(&folder.join("enabled")).as_deref() == Some("enabled"),
        power: label(&folder.join("dpms")),
        preferred_mode,
        modes,
        monitor,
    }
}
