//! Screens, graphics, sound, cameras, Bluetooth; and the sessions at them, by logind (`org.freedesktop.login1(5)`).
//!
//! What is on a screen, the titles of windows and the sound itself are not read, and there is no code for it.

use std::{io, time::Duration};

use wire::{
    diagnostics::sections::displays::{DesktopSession, Displays, MAX_SESSIONS},
    text::Label,
};
use zbus::OwnedObjectPath;

use super::{bluetooth, graphics, sound};
use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    sources::Sources,
};

const BUS_DEADLINE: Duration = Duration::from_secs(10);

/// Reads the section.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Displays> {
    let Sources { roots, bus, .. } = sources;
    let class = roots.sys.join("class");
    let (cards, connectors) = graphics::read(&class.join("drm"), manifest);
    let mut displays = Displays {
        cards,
        connectors,
        sound: sound::read_cards(&roots.proc.join("asound"), manifest),
        cameras: sound::read_cameras(&class.join("video4linux"), manifest),
        bluetooth: bluetooth::read(&class, bus, manifest),
        ..Displays::default()
    };
    if let Some((sessions, more)) = manifest.keep("logind", ask_logind(bus)) {
        displays.sessions = sessions;
        if more > 0 {
            manifest
                .partial("logind", &format!("{more} more sessions than the {MAX_SESSIONS} that are listed, or gone"));
        }
    }
    Some(displays)
}

/// Sessions, and how many of them are not told. Who they belong to is dropped at once.
fn ask_logind(bus: &Bus) -> io::Result<(Vec<DesktopSession>, usize)> {
    const NAME: &str = "org.freedesktop.login1";
    const SESSION: &str = "org.freedesktop.login1.Session";
    /// Its id, the user's id and name, the seat, and the object.
    type Row = (String, u32, String, String, OwnedObjectPath);

    bus.ask(BUS_DEADLINE, async |talk: &Talk| {
        let manager = ("org.freedesktop.login1.Manager", "ListSessions");
        let rows = talk.call::<Vec<Row>>(NAME, "/org/freedesktop/login1", manager, &()).await?;
        let mut sessions = Vec::new();
        for (_, _, _, seat, path) in rows.iter().take(MAX_SESSIONS) {
            let told = async |name: &str| talk.property::<String>(NAME, path.as_str(), (SESSION, name)).await;
            let is = async |name: &str| talk.property::<bool>(NAME, path.as_str(), (SESSION, name)).await;
            // A session may end between being listed and being asked.
            let (Ok(kind), Ok(class)) = (told("Type").await, told("Class").await) else { continue };
            sessions.push(DesktopSession {
                kind: Label::cut(&kind),
                class: Label::cut(&class),
                desktop: Label::cut(&told("Desktop").await.unwrap_or_default()),
                seat: Label::cut(seat),
                active: is("Active").await.unwrap_or(false),
                remote: is("Remote").await.unwrap_or(false),
                locked: is("LockedHint").await.unwrap_or(false),
            });
        }
        let more = rows.len() - sessions.len();
        Ok((sessions, more))
    })
}

#[cfg(test)]
mod tests;
