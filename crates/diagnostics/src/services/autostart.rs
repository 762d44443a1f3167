//! What starts with a desktop session: the Desktop Application Autostart Specification, version 0.5. What an entry runs is never
//! looked at.

use std::{collections::BTreeMap, io, path::Path};

use wire::diagnostics::sections::services::AutostartLeftOut;

use super::linux::names;
use crate::{
    manifest::Manifest,
    roots::Roots,
    text::{lines, read_file},
};

/// Most entries that are opened; all others count as if they had nothing in them.
const MAX_OPENED: usize = 1024;

/// Its name among the sources of a section.
const AUTOSTART: &str = "autostart";

/// Entries of the system, and of the person at the machine where they are known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Autostart {
    /// Names of those that start.
    pub(super) starting: Vec<String>,
    /// How many of them are the person's own; absent if nobody is known.
    pub(super) own: Option<u32>,
    /// Those that do not start.
    pub(super) left_out: AutostartLeftOut,
}

/// Why an entry does not start, or that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Starts,
    SwitchedOff,
    OtherDesktop,
    ProgramMissing,
}

/// Reads the names of all entries, and of each only what says whether it starts.
pub(super) fn read(roots: &Roots, manifest: &mut Manifest) -> Autostart {
    let mut entries = BTreeMap::new();
    let mut add = |folder: &Path, own: bool, found: Vec<String>| {
        let found = found.into_iter().filter(|name| name.ends_with(".desktop"));
        // An entry takes the place of one of the same name that counts less.
        entries.extend(found.map(|name| (name.clone(), (folder.join(name), own))));
    };
    let system = roots.etc.join("xdg/autostart");
    add(&system, false, names(&system, AUTOSTART, manifest));
    if let Some(config) = &roots.person.config {
        let own = config.join("autostart");
        add(&own, true, names(&own, "own autostart", manifest));
    }
    if entries.len() > MAX_OPENED {
        manifest.partial(AUTOSTART, &format!("only {MAX_OPENED} entries are opened"));
    }
    let mut autostart = Autostart { own: roots.person.config.is_some().then_some(0), ..Autostart::default() };
    let mut buffer = Vec::new();
    for (number, (name, (file, own))) in entries.into_iter().enumerate() {
        let fate = if number < MAX_OPENED { fate(&file, roots, &mut buffer, manifest) } else { Fate::Starts };
        let left_out = &mut autostart.left_out;
        match fate {
            Fate::Starts => {
                autostart.starting.push(name);
                autostart.own = autostart.own.map(|count| count + u32::from(own));
            }
            Fate::SwitchedOff => left_out.switched_off += 1,
            Fate::OtherDesktop => left_out.other_desktop += 1,
            Fate::ProgramMissing => left_out.program_missing += 1,
        }
    }
    autostart
}

fn fate(file: &Path, roots: &Roots, buffer: &mut Vec<u8>, manifest: &mut Manifest) -> Fate {
    match read_file(file, buffer) {
        Ok(text) => Entry::parse(text).fate(roots),
        // A link to what is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Fate::ProgramMissing,
        Err(error) => {
            manifest.partial(AUTOSTART, &format!("some entries: {}", crate::gaps::why(&error)));
            Fate::Starts
        }
    }
}

/// What of an entry says whether it starts (Desktop Entry Specification, "Recognized desktop entry keys").
#[derive(Debug, Default)]
struct Entry<'t> {
    switched_off: bool,
    only_in: Option<&'t str>,
    not_in: Option<&'t str>,
    program: Option<&'t str>,
}

impl<'t> Entry<'t> {
    fn parse(text: &'t [u8]) -> Self {
        let mut entry = Self::default();
        let mut inside = false;
        for line in lines(text).filter_map(|line| std::str::from_utf8(line).ok()) {
            let line = line.trim();
            if line.starts_with('[') {
                inside = line == "[Desktop Entry]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
            let value = value.trim();
            match key.trim_end() {
                "Hidden" => entry.switched_off |= value == "true",
                // How GNOME and those that came from it switched an entry off before they hid it.
                "X-GNOME-Autostart-enabled" => entry.switched_off |= value == "false",
                "OnlyShowIn" => entry.only_in = Some(value),
                "NotShowIn" => entry.not_in = Some(value),
                "TryExec" => entry.program = Some(value).filter(|program| !program.is_empty()),
                _ => {}
            }
        }
        entry
    }

    fn fate(&self, roots: &Roots) -> Fate {
        let desktops = &roots.person.desktops;
        let is_in = |list: &str| list.split(';').any(|desktop| desktops.iter().any(|own| own == desktop));
        let is_for_others = self.only_in.is_some_and(|list| !is_in(list)) || self.not_in.is_some_and(is_in);
        if self.switched_off {
            Fate::SwitchedOff
        } else if is_for_others && !desktops.is_empty() {
            Fate::OtherDesktop
        } else if self.program.is_some_and(|program| !is_there(program, &roots.usr)) {
            Fate::ProgramMissing
        } else {
            Fate::Starts
        }
    }
}

/// Whether a program is among those of the system. One in another folder, such as `/opt`, is taken to be there.
fn is_there(program: &str, usr: &Path) -> bool {
    let folders = ["bin", "sbin", "local/bin", "local/sbin", "games", "local/games"];
    let below = |path: &str| usr.join(path).exists();
    match program.strip_prefix('/') {
        None => program.contains('/') || folders.iter().any(|folder| below(&format!("{folder}/{program}"))),
        Some(path) => match path.strip_prefix("usr/") {
            Some(path) => below(path),
            None if path.starts_with("bin/") || path.starts_with("sbin/") => below(path),
            None => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        roots::Person,
        testing::{TestMachine, told},
    };

    fn entry(rest: &str) -> String {
        format!("[Desktop Entry]\nType=Application\nExec=sync --password=hunter2\n{rest}")
    }

    fn machine(files: &[(&str, &str)]) -> (TestMachine, Roots) {
        let machine = TestMachine::new(&[]);
        for (file, rest) in files {
            machine.write(file, entry(rest));
        }
        let person = Person {
            config: Some(machine.path("home/ana/.config")),
            runtime: None,
            desktops: vec!["ubuntu".to_owned(), "GNOME".to_owned()],
        };
        let roots = Roots { person, ..machine.sources().roots };
        (machine, roots)
    }

    #[test]
    fn an_entry_of_the_person_takes_the_place_of_the_systems() {
        let (_machine, roots) = machine(&[
            ("etc/xdg/autostart/kept.desktop", ""),
            ("etc/xdg/autostart/switched-off.desktop", ""),
            ("etc/xdg/autostart/switched-on.desktop", "Hidden=true\n"),
            ("etc/xdg/autostart/README", ""),
            ("home/ana/.config/autostart/switched-off.desktop", "Hidden=true\n"),
            ("home/ana/.config/autostart/switched-on.desktop", "Hidden=false\n"),
            ("home/ana/.config/autostart/own.desktop", ""),
            ("home/ana/.config/autostart/.own.desktop.swp", ""),
        ]);
        let mut manifest = Manifest::default();
        let autostart = read(&roots, &mut manifest);
        assert_eq!(autostart.starting, ["kept.desktop", "own.desktop", "switched-on.desktop"]);
        let left_out = AutostartLeftOut { switched_off: 1, ..AutostartLeftOut::default() };
        assert_eq!((autostart.own, autostart.left_out), (Some(2), left_out));
        let sources = told(manifest).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
        assert_eq!(sources, ["autostart", "own autostart"]);

        let nobody = Roots { person: Person::default(), ..roots };
        let autostart = read(&nobody, &mut Manifest::default());
        assert_eq!((autostart.starting.len(), autostart.own, autostart.left_out.switched_off), (2, None, 1));
    }

    #[test]
    fn an_entry_starts_only_where_it_wants_to() {
        let cases = [
            ("", Fate::Starts),
            ("Hidden=true", Fate::SwitchedOff),
            ("X-GNOME-Autostart-enabled=false", Fate::SwitchedOff),
            ("[Desktop Action off]\nHidden=true", Fate::Starts),
            ("OnlyShowIn=KDE;XFCE;", Fate::OtherDesktop),
            ("OnlyShowIn=KDE;GNOME;", Fate::Starts),
            ("NotShowIn=GNOME;", Fate::OtherDesktop),
            ("NotShowIn=KDE;", Fate::Starts),
            ("TryExec=here", Fate::Starts),
            ("TryExec=/usr/bin/here", Fate::Starts),
            ("TryExec=/bin/here", Fate::Starts),
            ("TryExec=gone", Fate::ProgramMissing),
            ("TryExec=/usr/bin/gone", Fate::ProgramMissing),
            ("TryExec=/opt/gone", Fate::Starts),
        ];
        let (machine, roots) = machine(&[]);
        machine.write("usr/bin/here", "");
        for (rest, fate) in cases {
            assert_eq!(Entry::parse(entry(rest).as_bytes()).fate(&roots), fate, "{rest}");
        }
        let unknown = Roots { person: Person::default(), ..roots };
        for rest in ["OnlyShowIn=KDE;", "NotShowIn=GNOME;"] {
            assert_eq!(Entry::parse(entry(rest).as_bytes()).fate(&unknown), Fate::Starts, "{rest}");
        }
    }

    #[test]
    fn an_entry_that_leads_nowhere_does_not_start_and_one_that_cannot_be_read_is_told() {
        let (machine, roots) = machine(&[]);
        machine.link("home/ana/.config/autostart/gone.desktop", "nowhere");
        machine.link("home/ana/.config/autostart/torn.desktop", "torn.desktop");
        let mut manifest = Manifest::default();
        let autostart = read(&roots, &mut manifest);
        assert_eq!(
            (autostart.starting.as_slice(), autostart.left_out.program_missing),
            (["torn.desktop".to_owned()].as_slice(), 1)
        );
        assert!(
            told(manifest).iter().any(|(name, _, reason)| name == "autostart" && reason.starts_with("some entries: "))
        );
    }

    proptest! {
        #[test]
        fn whatever_an_entry_says_it_is_read(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            Entry::parse(&text).fate(&Roots::under(Path::new("/nonexistent")));
        }
    }
}
