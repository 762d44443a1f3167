//! `assent-share doctor`: the person looks for themselves, without a relay and without a technician.

use std::{
    ffi::OsString,
    fs::File,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use diagnostics::history::{Figure, Place, SeriesKey, Store, Subject};
use serde_json::Value;
use testkit::{
    PATIENCE,
    programs::{Home, Host, Program},
    running::{Finished, Running},
};
use transport::clock;
use wire::time::WallTime;

use crate::{apart::Apart, world::LONG};

/// What the machine and one of its users are called where the program runs.
const CANARIES: [&str; 2] = ["canary-of-a-host", "canary-of-a-user"];

/// Hours of history; six are needed to foresee anything.
const HOURS: u64 = 9;

/// Somebody at a machine whose names are known to this test, or at this machine where no names can be given.
struct Somebody {
    home: Home,
    program: PathBuf,
    named: bool,
    _apart: Option<crate::apart::SetApart>,
}

impl Somebody {
    async fn new() -> anyhow::Result<Self> {
        let home = Home::new()?;
        let [host, user] = CANARIES;
        let users = home.path().join("passwd");
        let mut text = std::fs::read_to_string("/etc/passwd")?;
        text.push_str(&format!("{user}:x:54321:54321:{user}:/home/{user}:/bin/sh\n"));
        File::create(&users)?.write_all(text.as_bytes())?;
        // The user's home is a file system of its own, so that its path is in every reading.
        let prepare = format!(
            "echo {host} > /proc/sys/kernel/hostname && mount --bind \"{}\" /etc/passwd && mount -t tmpfs homes /home && \
             mkdir /home/{user} && mount -t tmpfs home /home/{user}",
            users.display()
        );
        let apart = Apart { namespaces: "--uts --mount --propagation private", prepare };
        let program = Program::Share.path()?;
        let apart = apart.start(&program).await?;
        let program = apart.as_ref().map_or(program, |apart| apart.command.clone());
        Ok(Self { home, program, named: apart.is_some(), _apart: apart })
    }

    async fn doctor(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        let mut command = Host::default().command(&self.program);
        self.home.apply(&mut command);
        command.arg("doctor").args(arguments);
        Running::to_end(command, LONG).await
    }

    /// Into a pipe that nobody reads any more; what came of it is the last line of standard error.
    async fn doctor_for_nobody(&self) -> anyhow::Result<Finished> {
        let mut command = Host::default().command("/bin/sh");
        self.home.apply(&mut command);
        command.args(["-c", "{ \"$0\" doctor; echo \"ended with $?\" >&2; } | :"]).arg(&self.program);
        Running::to_end(command, LONG).await
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.home.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        File::create(&path)?.write_all(text.as_bytes())?;
        Ok(path.to_str().expect("a plain path").to_owned())
    }
}

/// A history in which the root's room goes down to what is left now, and would be gone in six hours more. It is open for writing as
/// long as this lives.
fn history_that_shrinks(folder: &Path) -> anyhow::Result<Store> {
    let root = rustix::fs::statvfs("/")?;
    let left_kib = i64::try_from(root.f_bavail * root.f_frsize / 1024)?;
    let mut store = Store::open(folder, Duration::from_secs(60))?;
    let (now, wall) = (clock::now(), clock::wall_time());
    let key = SeriesKey::of(Figure::SpaceAvailable, Subject::Place(Place::Root));
    for minutes_ago in (1..=HOURS * 60).rev() {
        let value = left_kib + left_kib / (6 * 60) * i64::try_from(minutes_ago)?;
        // How long ago in the program's own time says nothing: it was another program then.
        let moment = now + Duration::from_secs(60 * (HOURS * 60 - minutes_ago));
        store.push(&[(key.clone(), value)], WallTime(wall.0 - minutes_ago * 60_000), moment);
    }
    store.flush(now + Duration::from_secs(HOURS * 3600));
    anyhow::ensure!(store.status().state.why_not().is_none(), "this machine's disk has no room for the history");
    Ok(store)
}

fn everything_in(folder: &Path) -> anyhow::Result<Vec<(OsString, Vec<u8>)>> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        anyhow::Ok((entry.file_name(), std::fs::read(entry.path())?))
    };
    let mut all = std::fs::read_dir(folder)?.map(read).collect::<anyhow::Result<Vec<_>>>()?;
    all.sort();
    Ok(all)
}

fn verdict<'r>(report: &'r Value, check: &str) -> &'r Value {
    let findings = report["findings"].as_array().expect("a report has findings");
    let found = findings.iter().find(|finding| finding["check"] == check);
    &found.unwrap_or_else(|| panic!("{check} was not asked"))["verdict"]
}

fn acts_on_a_screen(text: &str) -> bool {
    text.chars().any(|character| character.is_control() && character != '\n')
}

#[tokio::test]
async fn a_person_finds_what_is_wrong_in_each_form_and_nothing_is_changed() -> anyhow::Result<()> {
    let (one, other) = (Somebody::new().await?, Somebody::new().await?);
    // Whatever is wrong with the settings, a person who wants to know what is wrong is told.
    let broken = one.write("config/assent/share.toml", "relai = 7\n")?;
    let folder = other.home.path().join("kept");
    let _open = history_that_shrinks(&folder)?;
    let kept = everything_in(&folder)?;
    let config = other.write("kept.toml", &format!("history_dir = {folder:?}\n"))?;
    let page = other.home.path().join("page.html");
    let page_path = page.to_str().expect("a plain path");

    let with_history = ["--json", "--config", &config];
    let to_page = ["--html", page_path];
    let (plain, json, as_sent, html, unread) = tokio::join!(
        one.doctor(&[]),
        other.doctor(&with_history),
        other.doctor(&["--as-sent", "--json"]),
        other.doctor(&to_page),
        other.doctor_for_nobody(),
    );

    let plain = plain?;
    assert_eq!(plain.code(), 0, "{}", plain.stderr);
    assert!(plain.stdout.contains("\nLooked for, and not the case:\n  "), "{}", plain.stdout);
    let reason = "\nCould not be told:\n";
    let (_, untold) = plain.stdout.split_once(reason).unwrap_or_else(|| panic!("{}", plain.stdout));
    assert!(untold.contains("  It shows only after a while, and this was one look:\n    "), "{untold}");
    assert!(!acts_on_a_screen(&plain.stdout), "{:?}", plain.stdout);
    assert_eq!(plain.stderr.lines().count(), 1, "{}", plain.stderr);
    assert!(plain.stderr.contains(&broken) && plain.stderr.contains("relai"), "{}", plain.stderr);

    let json = json?;
    assert_eq!((json.code(), json.stderr.as_str()), (0, ""), "{}", json.stdout);
    assert!(!acts_on_a_screen(&json.stdout) && json.stdout.lines().count() == 1);
    let report = serde_json::from_str::<Value>(&json.stdout)?;
    let sections = report["sections"].as_array().expect("a report has sections");
    for section in ["system", "storage", "services", "network"] {
        assert!(sections.iter().any(|report| report["section"] == section), "{section} is missing");
    }
    assert_eq!(verdict(&report, "file-handles"), "pass");
    let mounts = report["sample"]["filesystems"].as_array().expect("a sample has file systems");
    if let Some(root) = mounts.iter().find(|one| one["mount"] == "/") {
        // A disk that is mostly free is nobody's trouble, however fast it fills.
        let kib = |name: &str| root[name].as_u64().unwrap_or(0);
        let nearly_full = kib("available_kib") * 1000 < kib("total_kib") * 400;
        let foreseen = if nearly_full { "fail" } else { "pass" };
        assert_eq!(verdict(&report, "space-forecast"), foreseen, "{root}: {report}");
    }
    assert!(everything_in(&folder)? == kept, "the history was changed");

    let as_sent = as_sent?;
    assert_eq!((as_sent.code(), as_sent.stderr.as_str()), (0, ""), "{}", as_sent.stdout);
    let sent = serde_json::from_str::<Value>(&as_sent.stdout)?;
    let of = |report: &Value, section: &str| {
        report["sections"].as_array().is_some_and(|all| all.iter().any(|one| one["section"] == section))
    };
    assert!(of(&sent, "storage") && !of(&sent, "network"));
    assert_eq!(verdict(&sent, "space-forecast"), "unknown", "no history was named");
    for canary in CANARIES.iter().filter(|_| other.named) {
        assert!(json.stdout.contains(canary), "the person sees {canary}");
        assert!(!as_sent.stdout.contains(canary), "a technician would see {canary}");
    }

    let html = html?;
    assert_eq!((html.code(), html.stderr.as_str()), (0, ""), "{}", html.stdout);
    assert!(html.stdout.contains(page_path) && html.stdout.contains("stays on this computer"), "{}", html.stdout);
    assert_eq!(std::fs::metadata(&page)?.permissions().mode() & 0o777, 0o600);
    let page = std::fs::read_to_string(&page)?.to_ascii_lowercase();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for elsewhere in ["<link", "src=", "@import", "url(", "<script src"] {
        assert!(!page.contains(elsewhere), "the page needs something else: {elsewhere}");
    }

    let unread = unread?;
    assert_eq!(unread.stderr, "ended with 0\n", "who has seen enough is told nothing");
    Ok(())
}

#[tokio::test]
async fn a_mistake_on_the_line_is_named_before_anything_is_looked_at() -> anyhow::Result<()> {
    let home = Home::new()?;
    for (arguments, says) in [
        (&["--frobnicate"][..], "unexpected argument '--frobnicate'"),
        (&["--json", "--html", "page.html"], "cannot be used with"),
        (&["--config", "missing.toml"], "missing.toml cannot be read"),
    ] {
        let mut command = Program::Share.command(&home)?;
        command.arg("doctor").args(arguments);
        let refused = Running::to_end(command, PATIENCE).await?;
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{}", refused.stderr);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
    assert!(!home.path().join("page.html").exists());
    Ok(())
}
