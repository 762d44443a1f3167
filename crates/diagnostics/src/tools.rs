//! The programs that sections are read from: a closed list, each with the arguments that it is given.
//!
//! None of them changes anything. What arrives over the network becomes a part of an argument only as a number or as a name of
//! which every character was looked at, and always behind an option's `=`.

use std::{ffi::OsString, path::Path};

use wire::{diagnostics::sections::logs, time::WallTime};

/// A program and what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tool {
    /// Entries of the system's journal, as `journalctl --output=json` prints them.
    Journal(JournalSelection),
    /// The starts of the machine that the journal knows, as `journalctl --list-boots --output=json` prints them.
    JournalBoots,
    /// All that a disk tells about itself, as `smartctl` prints it in JSON. A disk that sleeps is not woken.
    DiskHealth {
        /// Which disk.
        disk: DiskName,
    },
    /// What APT would upgrade, in a simulation: without the network, without a lock, and without writing its caches.
    AptUpgrades,
    /// What DNF would update, from its cache.
    DnfUpdates,
    /// The security advisories of what DNF would update, from its cache.
    DnfSecurity,
    /// What Zypper would update, from what it knows.
    ZypperUpdates,
    /// The security patches that Zypper would install, from what it knows.
    ZypperSecurity,
    /// What chrony knows of its server, as `chronyc -c tracking` prints it. Addresses are not looked up.
    Chrony,
}

impl Tool {
    /// Name of the program, looked for in the system's own folders.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Journal(_) | Self::JournalBoots => "journalctl",
            Self::DiskHealth { .. } => "smartctl",
            Self::AptUpgrades => "apt-get",
            Self::DnfUpdates | Self::DnfSecurity => "dnf",
            Self::ZypperUpdates | Self::ZypperSecurity => "zypper",
            Self::Chrony => "chronyc",
        }
    }

    /// Whether it has done what it was asked for if it ends with `code`; what it printed is then whole. See the manual of each.
    pub fn succeeds_with(&self, code: i32) -> bool {
        match self {
            Self::Journal(_) | Self::JournalBoots | Self::AptUpgrades | Self::DnfSecurity | Self::Chrony => code == 0,
            // There are updates.
            Self::DnfUpdates => matches!(code, 0 | 100),
            // There are patches, or something should be started again. From 104 on something was left out.
            Self::ZypperUpdates | Self::ZypperSecurity => code == 0 || (100..=103).contains(&code),
            // It says the same in what it prints, and with more words.
            Self::DiskHealth { .. } => true,
        }
    }

    /// Its arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        match self {
            Self::Journal(selection) => journal().chain(selection.arguments()).collect(),
            Self::JournalBoots => journal().chain(words("--list-boots")).collect(),
            Self::DiskHealth { disk } => {
                let device = format!("/dev/{}", disk.0);
                words("--json=c --nocheck=standby --all").chain([device.into()]).collect()
            }
            Self::Chrony => ["-n", "-c", "tracking"].map(OsString::from).into(),
            // Without its caches on disk it makes them in memory.
            Self::AptUpgrades => words(
                "--simulate --quiet --option=Debug::NoLocking=1 --option=Dir::Cache::pkgcache= \
                 --option=Dir::Cache::srcpkgcache= --option=APT::Get::Show-User-Simulation-Note=0 --with-new-pkgs upgrade",
            )
            .collect(),
            Self::DnfUpdates => words("--quiet --cacheonly check-update").collect(),
            Self::DnfSecurity => words("--quiet --cacheonly updateinfo list --security").collect(),
            Self::ZypperUpdates => words("--non-interactive --no-refresh list-updates").collect(),
            Self::ZypperSecurity => {
                words("--non-interactive --no-refresh list-patches --category=security").collect()
            }
        }
    }
}

/// What every question to the journal has.
fn journal() -> impl Iterator<Item = OsString> {
    words("--no-pager --quiet --output=json")
}

fn words(line: &'static str) -> impl Iterator<Item = OsString> {
    line.split_ascii_whitespace().map(OsString::from)
}

/// The kernel's name of a disk that this machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskName(String);

impl DiskName {
    /// `name`, if it is made of small letters and digits and stands in `block`, which is `/sys/block`.
    pub(crate) fn known(name: &str, block: &Path) -> Option<Self> {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        (plain && block.join(name).exists()).then(|| Self(name.to_owned()))
    }
}

/// Which entries of the journal, and what of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSelection {
    /// What of each entry is printed. The journal knows more: command lines, environments of crashed programs.
    pub fields: JournalFields,
    /// Nothing less grave.
    pub least: Option<logs::Priority>,
    /// Only of these units; of all if there are none.
    pub units: Vec<UnitName>,
    /// Only entries that say that this happened.
    pub message: Option<MessageId>,
    /// Only since the machine started.
    pub this_boot: bool,
    /// Nothing older.
    pub since: Option<WallTime>,
    /// Nothing newer.
    pub until: Option<WallTime>,
    /// Only behind this place.
    pub after: Option<JournalCursor>,
    /// At most this many: the newest, or the first behind [`JournalSelection::after`].
    pub lines: u32,
}

impl JournalSelection {
    /// The newest `lines` entries of all.
    pub fn newest(fields: JournalFields, lines: u32) -> Self {
        Self {
            fields,
            least: None,
            units: Vec::new(),
            message: None,
            this_boot: false,
            since: None,
            until: None,
            after: None,
            lines,
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments =
            vec!["--all".to_owned(), format!("--output-fields={}", self.fields.names()), self.lines_argument()];
        let at = |option: &str, time: WallTime| format!("--{option}=@{}.{:03}", time.0 / 1000, time.0 % 1000);
        arguments.extend(self.least.map(|least| format!("--priority=0..{}", least.level())));
        arguments.extend(self.units.iter().map(|unit| format!("--unit={}", unit.0)));
        arguments.extend(self.this_boot.then(|| "--boot".to_owned()));
        arguments.extend(self.since.map(|time| at("since", time)));
        arguments.extend(self.until.map(|time| at("until", time)));
        arguments.extend(self.after.as_ref().map(|cursor| format!("--after-cursor={}", cursor.0)));
        arguments.extend(self.message.iter().flat_map(|message| message.matches()).map(|part| (*part).to_owned()));
        arguments.into_iter().map(OsString::from).collect()
    }

    /// `--lines` alone means the newest, also behind a cursor, where who goes on from it wants the next. Versions before 254
    /// cannot say that, so all are printed and the reader stops.
    fn lines_argument(&self) -> String {
        match &self.after {
            None => format!("--lines={}", self.lines),
            Some(_) => "--lines=all".to_owned(),
        }
    }
}

/// What is printed of an entry; see `systemd.journal-fields(7)`. Its time and its place always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalFields {
    /// Unit, priority, identifier and message.
    Lines,
    /// Program, signal and unit of a crash, and who wrote so.
    Crashes,
    /// What is said about a crash in words, which has the stacks in it, and who wrote so.
    Stacks,
    /// The unit that something happened to.
    Units,
}

impl JournalFields {
    fn names(self) -> &'static str {
        match self {
            Self::Lines => "PRIORITY,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER,_COMM,MESSAGE",
            Self::Crashes => "COREDUMP_SIGNAL,COREDUMP_EXE,COREDUMP_COMM,COREDUMP_UNIT,_SYSTEMD_UNIT",
            Self::Stacks => "MESSAGE,_SYSTEMD_UNIT",
            Self::Units => "UNIT",
        }
    }
}

/// What an entry says that happened; see `sd-messages.h` of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageId {
    /// A program crashed.
    Crash,
    /// A unit failed.
    UnitFailed,
}

impl MessageId {
    /// What an entry has that says so. That a unit failed is believed of the system's manager alone.
    fn matches(self) -> &'static [&'static str] {
        match self {
            Self::Crash => &["MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1"],
            Self::UnitFailed => &["MESSAGE_ID=d9b373ed55a64feb8242e02dbe79a49c", "_PID=1"],
        }
    }
}

/// A name that a unit of systemd can have. No option, no pattern and no path is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// `None` if no unit can be called `name`; see systemd.unit(5), "Description".
    pub fn new(name: &str) -> Option<Self> {
        const KINDS: [&str; 11] =
            ["service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope"];
        let (prefix, kind) = name.rsplit_once('.')?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        let good = name.len() <= 255 && !prefix.is_empty() && KINDS.contains(&kind) && name.bytes().all(allowed);
        good.then(|| Self(name.to_owned()))
    }
}

/// A place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalCursor(String);

impl JournalCursor {
    /// `None` if `text` is not such a place: letters with hexadecimal numbers, as the journal writes them.
    pub fn new(text: &str) -> Option<Self> {
        let part = |part: &str| match part.split_once('=') {
            Some((name, number)) => {
                name.len() == 1
                    && name.bytes().all(|byte| byte.is_ascii_lowercase())
                    && (1..=32).contains(&number.len())
                    && number.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            None => false,
        };
        (text.len() <= 256 && text.split(';').all(part)).then(|| Self(text.to_owned()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn only_a_disk_of_this_machine_becomes_an_argument() {
        let tree = Tree::new();
        tree.write("sda/size", "1\n");
        tree.write("cciss!c0d0/size", "1\n");
        let known = |name| DiskName::known(name, tree.path());
        let tool = Tool::DiskHealth { disk: known("sda").unwrap() };
        assert_eq!(tool.arguments(), ["--json=c", "--nocheck=standby", "--all", "/dev/sda"]);
        for name in ["", ".", "..", "sdb", "../sda", "sda/size", "cciss!c0d0", "-a", "sda -s", "sda\n"] {
            assert_eq!(known(name), None, "{name:?}");
        }
    }

    #[test]
    fn only_what_a_unit_can_be_called_becomes_an_argument() {
        for name in ["nginx.service", "user@1000.service", "dev-disk-by\\x2dlabel-A.device", "-.mount"] {
            assert!(UnitName::new(name).is_some(), "{name}");
        }
        let long = format!("{}.service", "a".repeat(255));
        let bad = ["", ".service", "nginx", "nginx.conf", "*.service", "a b.service", "a\n.service", "/x.mount", &long];
        for name in bad {
            assert_eq!(UnitName::new(name), None, "{name:?}");
        }
    }

    #[test]
    fn only_what_the_journal_writes_is_a_cursor() {
        let good = "s=0d5e388af0aa4136aa23251f88f26ba6;i=1;b=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;m=f4240;t=660d7ad6;x=a9";
        assert!(JournalCursor::new(good).is_some());
        for bad in ["", "s=", "s", "s=1;", "s=1 --file=/etc/shadow", "S=1", "s=g", "ss=1", "s=1=2", "s=1\n"] {
            assert_eq!(JournalCursor::new(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_selection_is_spelt_as_options() {
        let selection = JournalSelection {
            least: Some(logs::Priority::Error),
            units: vec![UnitName::new("a.service").unwrap(), UnitName::new("b.timer").unwrap()],
            message: Some(MessageId::Crash),
            this_boot: true,
            since: Some(WallTime(1_795_329_304_007)),
            until: Some(WallTime(1_795_329_305_000)),
            ..JournalSelection::newest(JournalFields::Units, 7)
        };
        let arguments = Tool::Journal(selection).arguments();
        let arguments = arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>();
        let expected = "--no-pager --quiet --output=json --all --output-fields=UNIT --lines=7 --priority=0..3 \
            --unit=a.service --unit=b.timer --boot --since=@1795329304.007 --until=@1795329305.000 \
            MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1";
        assert_eq!(arguments.join(" "), expected);
    }
}
