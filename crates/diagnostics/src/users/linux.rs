//! Reads [`Users`]: sessions from logind (org.freedesktop.login1(5)), logins from the system's records.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    time::Duration,
};

use wire::{
    diagnostics::sections::users::{MAX_NAMES, SessionClass, SessionCount, SessionKind, SessionState, Users},
    text::Label,
};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

use super::utmp;
use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    sources::Sources,
};

const SERVICE: &str = "org.freedesktop.login1";

/// Longest that logind is waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Sessions that are asked about one by one.
const MAX_SESSIONS: usize = 256;

/// Id, user's number, user's name, seat, object.
type Listed = (String, u32, String, String, OwnedObjectPath);

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Users> {
    let mut users = Users::default();
    if let Some(sessions) = manifest.keep("logind", sessions(&sources.bus)) {
        if sessions.listed > sessions.read.len() {
            manifest.partial("logind", "some sessions ended meanwhile, or are more than are asked about");
        }
        users.users = u32::try_from(sessions.people.len()).ok();
        users.names = sessions.people.into_values().map(|name| Label::cut(&name)).collect();
        manifest.bound("logind", &mut users.names, MAX_NAMES);
        let mut counted = count(sessions.read);
        manifest.bound("logind", &mut counted, MAX_NAMES);
        users.sessions = Some(counted);
    }
    let records = |path: &Path, name: &str, manifest: &mut Manifest| {
        let records = manifest.keep(name, utmp::read(path))?;
        if records.cut {
            manifest.partial(name, "only its newest entries are counted");
        }
        Some(records)
    };
    if let Some(now) = records(&sources.roots.run.join("utmp"), "utmp", manifest) {
        let (people, remote) = now.logged_in();
        (users.logged_in, users.logged_in_remotely) = (Some(people), Some(remote));
    }
    let log = sources.roots.var.join("log");
    users.history = records(&log.join("wtmp"), "wtmp", manifest).map(|records| records.history());
    users.failures = records(&log.join("btmp"), "btmp", manifest).map(|records| records.failures());
    (users != Users::default()).then_some(users)
}

/// What distinguishes sessions from each other.
type Kind = (SessionClass, SessionKind, SessionState, bool, bool);

#[derive(Debug, Default)]
struct Sessions {
    /// How many logind listed.
    listed: usize,
    /// Those that told about themselves.
    read: Vec<Kind>,
    /// People with a session, by their numbers. Those that the system itself logs in are not people.
    people: BTreeMap<u32, String>,
}

fn sessions(bus: &Bus) -> io::Result<Sessions> {
    bus.ask(DEADLINE, async |talk| {
        let list = ("org.freedesktop.login1.Manager", "ListSessions");
        let listed = talk.call::<Vec<Listed>>(SERVICE, "/org/freedesktop/login1", list, &()).await?;
        let mut sessions = Sessions { listed: listed.len(), ..Sessions::default() };
        for (_, number, name, _, path) in listed.into_iter().take(MAX_SESSIONS) {
            // A session may end while it is asked about.
            let Ok(kind) = session(talk, path.as_str()).await else { continue };
            sessions.read.push(kind);
            if kind.0 == SessionClass::User {
                sessions.people.insert(number, name);
            }
        }
        Ok(sessions)
    })
}

async fn session(talk: &Talk, path: &str) -> io::Result<Kind> {
    let all = ("org.freedesktop.DBus.Properties", "GetAll");
    let interface = ("org.freedesktop.login1.Session",);
    let properties = talk.call::<BTreeMap<String, OwnedVariant>>(SERVICE, path, all, &interface).await?;
    let word = |name: &str| match properties.get(name).map(|value| &**value) {
        Some(Variant::Str(word)) => word.as_str(),
        _ => "",
    };
    let flag = |name: &str| matches!(properties.get(name).map(|value| &**value), Some(Variant::Bool(true)));
    Ok((class(word("Class")), kind(word("Type")), state(word("State")), flag("Remote"), flag("LockedHint")))
}

/// Early and light sessions of newer versions (`user-early`, `user-light`) are people's too.
fn class(word: &str) -> SessionClass {
    match word {
        "greeter" => SessionClass::Greeter,
        "lock-screen" => SessionClass::LockScreen,
        _ if word.starts_with("background") => SessionClass::Background,
        _ if word.starts_with("manager") => SessionClass::Manager,
        _ if word == "user" || word.starts_with("user-") => SessionClass::User,
        _ => SessionClass::Other,
    }
}

fn kind(word: &str) -> SessionKind {
    match word {
        "tty" => SessionKind::Terminal,
        "x11" => SessionKind::X11,
        "wayland" => SessionKind::Wayland,
        "unspecified" => SessionKind::Unspecified,
        _ => SessionKind::Other,
    }
}

fn state(word: &str) -> SessionState {
    match word {
        "active" => SessionState::Active,
        "online" => SessionState::Online,
        "closing" => SessionState::Closing,
        _ => SessionState::Other,
    }
}

fn count(mut sessions: Vec<Kind>) -> Vec<SessionCount> {
    sessions.sort_unstable();
    let row = |of: &Kind| {
        let (class, kind, state, remote, locked) = *of;
        let count = sessions.iter().filter(|session| *session == of).count();
        SessionCount { class, kind, state, remote, locked, count: u32::try_from(count).unwrap_or(u32::MAX) }
    };
    let mut rows = sessions.iter().collect::<BTreeSet<_>>().into_iter().map(row).collect::<Vec<_>>();
    rows.sort_by_key(|row| Reverse(row.count));
    rows
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::report::Coverage;

    use super::*;
    use crate::testing::{Printing, Tree, told};

    #[test]
    fn sessions_of_one_kind_are_one_row_and_the_most_stand_in_front() {
        let greeter = (SessionClass::Greeter, SessionKind::Wayland, SessionState::Online, false, false);
        let remote = (SessionClass::User, SessionKind::Terminal, SessionState::Active, true, false);
        let rows = count(vec![greeter, remote, remote]);
        let told = rows.iter().map(|row| (row.class, row.remote, row.count)).collect::<Vec<_>>();
        assert_eq!(told, [(SessionClass::User, true, 2), (SessionClass::Greeter, false, 1)]);
    }

    #[test]
    fn words_of_later_versions_are_understood_as_far_as_they_go() {
        assert_eq!(
            (class("user-early"), class("userland"), class("")),
            (SessionClass::User, SessionClass::Other, SessionClass::Other)
        );
        assert_eq!(
            (class("background-light"), class("manager-early")),
            (SessionClass::Background, SessionClass::Manager)
        );
        assert_eq!((kind("mir"), state("opening")), (SessionKind::Other, SessionState::Other));
    }

    #[test]
    fn a_machine_without_logind_still_has_its_records() {
        let tree = Tree::new();
        tree.write("run/utmp", utmp::tests::record(7, "10.0.0.1", 5));
        tree.write("var/log/wtmp", utmp::tests::record(7, "", 5));
        let mut manifest = Manifest::default();
        let users = read(&tree.sources(Printing::default()), &mut manifest).unwrap();
        assert_eq!((users.sessions, users.logged_in, users.logged_in_remotely), (None, Some(1), Some(1)));
        assert_eq!((users.history.map(|history| history.logins), users.failures), (Some(1), None));
        let told = told(manifest);
        let missing =
            told.iter().filter(|row| row.1 == Coverage::Missing).map(|row| row.0.as_str()).collect::<Vec<_>>();
        assert_eq!(missing, ["logind", "btmp"]);
    }

    #[test]
    fn a_machine_that_records_nothing_has_no_section() {
        let mut manifest = Manifest::default();
        assert_eq!(read(&Tree::new().sources(Printing::default()), &mut manifest), None);
        assert_eq!(told(manifest).len(), 4);
    }
}
