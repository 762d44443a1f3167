//! Log lines, from a journal of the test's own that the agent finds in place of the machine's.

use std::{fs::File, io::Write as _};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{
    PATIENCE,
    programs::{Host, Program},
    running::Running,
    share::ShareOptions,
};
use transport::clock;

use crate::{
    apart::Apart,
    world::{LONG, Log, World},
};

/// Writes journals from the export format; it comes with the Debian package of the same name and lies outside `PATH`.
const WRITER: &str = "/usr/lib/systemd/systemd-journal-remote";

/// What stands in `/var/log` for the agent.
struct Journal {
    folder: TempDir,
}

impl Journal {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("journal"))?;
        Ok(Self { folder })
    }

    /// Adds a file called `name` with these messages of a service, written now.
    async fn write(&self, name: &str, service: &str, messages: &[&str]) -> anyhow::Result<()> {
        let now = clock::wall_time().0;
        let mut export = String::new();
        for (message, place) in messages.iter().zip(0..) {
            let (realtime, monotonic) = (now + place, clock::now().since_origin().as_micros() + u128::from(place));
            export.push_str(&format!(
                "__REALTIME_TIMESTAMP={realtime}000\n__MONOTONIC_TIMESTAMP={monotonic}\n\
                 _BOOT_ID=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n_MACHINE_ID=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n\
                 _SYSTEMD_UNIT={service}.service\nPRIORITY=4\nSYSLOG_IDENTIFIER=writer\nMESSAGE={message}\n\n"
            ));
        }
        let exported = self.folder.path().join(name);
        File::create(&exported)?.write_all(export.as_bytes())?;
        let mut writer = Host::default().command(WRITER);
        // Elsewhere first: a file is found whole or not at all.
        let made = self.folder.path().join(format!("{name}.journal"));
        writer.arg(format!("--output={}", made.display())).arg(&exported);
        let written = Running::to_end(writer, LONG).await?;
        anyhow::ensure!(written.code() == 0, "{}", written.stderr);
        Ok(std::fs::rename(&made, self.folder.path().join(format!("journal/{name}.journal")))?)
    }
}

async fn allow_logs(world: &World) -> anyhow::Result<()> {
    let mut asked = world.technician.start(["request", "diag.logs", "--reason", "to test"])?;
    world.share.word().await?;
    world.share.answer("1").await?;
    world.share.allow().await?;
    let answer = asked.wait_exit(PATIENCE).await?;
    anyhow::ensure!(answer.code() == 0, "{}{}", answer.stdout, answer.stderr);
    Ok(())
}

#[tokio::test]
async fn allowed_log_lines_are_read_and_followed_until_the_technician_has_enough() -> anyhow::Result<()> {
    let journal = Journal::new()?;
    journal.write("first", "spooler", &["out of paper", "password=hunter2-canary"]).await?;
    journal.write("other", "mailer", &["nothing to send"]).await?;
    let var_log = format!("mount --bind \"{}\" /var/log", journal.folder.path().display());
    let Some(agent) = Apart::mounts(var_log).start(&Program::Share.path()?).await? else { return Ok(()) };
    let mut world =
        World::start_with(&ShareOptions { program: Some(agent.command.clone()), ..ShareOptions::default() }).await?;
    let mut attached = world.attach().await?;
    allow_logs(&world).await?;

    // A name without its kind is a service.
    let read = world.technician.run(["diag", "logs", "--unit", "spooler", "--since", "1h"]).await?;
    assert_eq!(read.code(), 0, "{}", read.stderr);
    assert!(
        read.stdout.contains(" warning   spooler.service writer: out of paper\n"),
        "{}{}",
        read.stdout,
        read.stderr
    );
    assert!(!read.stdout.contains("hunter2") && !read.stdout.contains("nothing to send"), "{}", read.stdout);
    assert_eq!(read.stdout.lines().count(), 2, "{}", read.stdout);
    let section = world.json(&["diag", "logs", "--unit", "spooler.service", "--lines", "1", "--json"]).await?;
    let lines = section["content"]["logs"]["lines"].as_array().map(Vec::len);
    assert_eq!((section["section"].as_str(), lines), (Some("logs"), Some(1)), "{section}");

    let followed = ["diag", "logs", "--unit", "spooler", "--follow"];
    let mut text = world.technician.start(followed)?;
    let mut json = world.technician.start([&followed[..], &["--json"]].concat())?;
    let has = |part: &'static str| move |line: &str| line.contains(part).then(|| line.to_owned());
    text.wait_for_line("the line that is there", LONG, has("out of paper")).await?;
    json.wait_for_line("the line that is there", LONG, has("out of paper")).await?;
    journal.write("second", "spooler", &["paper is back"]).await?;
    text.wait_for_line("the line that came", LONG, has("spooler.service writer: paper is back")).await?;
    let object = json.wait_for_line("the line that came", LONG, has("paper is back")).await?;
    let object = serde_json::from_str::<Value>(&object)?;
    assert_eq!((&object["unit"], &object["priority"]), (&"spooler.service".into(), &"warning".into()), "{object}");

    text.signal(Signal::INT)?;
    let text = text.wait_exit(PATIENCE).await?;
    assert_eq!((text.code(), text.stdout.lines().count()), (0, 3), "{}{}", text.stdout, text.stderr);

    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    let json = json.wait_exit(PATIENCE).await?;
    assert_eq!(json.stdout.lines().count(), 3, "no line comes twice: {}", json.stdout);
    assert!(json.stderr.contains("no further line was shown"), "{}", json.stderr);
    world.share_exit().await?;
    let log = Log::read(&world.share.logs()?[0])?;
    assert!(log.all("inspecting").any(|read| read["what"] == "further log lines"), "{log:?}");
    Ok(())
}
