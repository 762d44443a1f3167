//! Sound cards from `/proc/asound` (the kernel's `Documentation/sound/designs/procfile.rst`) and cameras from
//! `/sys/class/video4linux`.

use std::{io, path::Path};

use wire::{
    diagnostics::sections::displays::{Camera, MAX_CAMERAS, MAX_SOUND, SoundCard},
    text::Label,
};

use crate::{
    manifest::Manifest,
    sysfs::{label, link_name, names, numbered, whole},
    text::{first_line, lines, read_file},
};

pub(super) fn read_cards(asound: &Path, manifest: &mut Manifest) -> Vec<SoundCard> {
    let mut buffer = Vec::new();
    let Some(text) = manifest.keep("sound cards", read_file(&asound.join("cards"), &mut buffer)) else {
        return Vec::new();
    };
    let mut cards = parse_cards(text);
    manifest.bound("sound cards", &mut cards, MAX_SOUND);
    for card in &mut cards {
        count_streams(&asound.join(format!("card{}", card.index)), card);
    }
    cards
}

/// Two lines a card, of which the first is ` 0 [PCH            ]: HDA-Intel - HDA Intel PCH`.
fn parse_cards(text: &[u8]) -> Vec<SoundCard> {
    let card = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let (index, rest) = line.split_once('[')?;
        let (id, rest) = rest.split_once("]:")?;
        let (driver, name) = rest.split_once(" - ")?;
        Some(SoundCard {
            index: index.trim().parse().ok()?,
            id: Label::cut(id.trim()),
            driver: Label::cut(driver.trim()),
            name: Label::cut(name.trim()),
            ..SoundCard::default()
        })
    };
    lines(text).filter_map(card).collect()
}

/// Streams are folders `pcm0p` for playing and `pcm0c` for recording, with one for each program that can use them at once.
fn count_streams(folder: &Path, card: &mut SoundCard) {
    for stream in names(folder).unwrap_or_default().iter().filter(|name| name.starts_with("pcm")) {
        match stream.chars().last() {
            Some('p') => card.outputs = card.outputs.saturating_add(1),
            Some('c') => card.inputs = card.inputs.saturating_add(1),
            _ => continue,
        }
        let stream = folder.join(stream);
        let uses = numbered(&stream, "sub").into_iter().map(|sub| first_line(&stream.join(sub).join("status")));
        // A stream that nobody uses is `closed`.
        if uses.flatten().any(|status| status.starts_with("state:")) {
            card.running = card.running.saturating_add(1);
        }
    }
}

pub(super) fn read_cameras(class: &Path, manifest: &mut Manifest) -> Vec<Camera> {
    let names = match names(class) {
        // The folder comes with the first camera.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names,
    };
    let Some(names) = manifest.keep("cameras", names) else { return Vec::new() };
    // A camera has a second device, for what is known of its pictures.
    let first = names.iter().filter(|name| whole(&class.join(name).join("index")).is_none_or(|index| index == 0));
    let camera = |name: &String| Camera {
        device: Label::cut(name),
        name: label(&class.join(name).join("name")),
        driver: Label::cut(&link_name(&class.join(name).join("device/driver")).unwrap_or_default()),
    };
    let mut cameras = first.map(camera).collect();
    manifest.bound("cameras", &mut cameras, MAX_CAMERAS);
    cameras
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_told_by_their_first_line() {
        let text = b" 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      HDA Intel PCH at 0x603d1c0000 irq 153\n12 [Headset        ]: USB-Audio - Ana's [loud] - Headset\n";
        let cards = parse_cards(text);
        let told = cards.iter().map(|card| (card.index, card.id.raw(), card.driver.raw(), card.name.raw()));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(0, "PCH", "HDA-Intel", "HDA Intel PCH"), (12, "Headset", "USB-Audio", "Ana's [loud] - Headset")]
        );
    }

    #[test]
    fn what_no_kernel_prints_is_no_card() {
        for text in
            ["--- no soundcards ---\n", "", "[]: - \n", "-1 [x]: y - z\n", "0 [x] y - z", "99999999999 [x]: y - z"]
        {
            assert!(parse_cards(text.as_bytes()).is_empty(), "{text:?}");
        }
        assert!(parse_cards(b"0 [\xff]: y - z").is_empty());
    }
}
