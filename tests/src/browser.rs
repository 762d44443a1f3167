//! The person at the consent page, with a keyboard and no mouse.

use anyhow::Context as _;
use serde_json::Value;
use testkit::{
    PATIENCE, attach::Technician, programs::Host, relay::RelayProcess, running::Running, share_page::SharePage,
    tree::Tree,
};

use crate::world::{LONG, Log, verified};

/// A relay, a person in front of the page, a technician.
struct Desk {
    _relay: RelayProcess,
    share: SharePage,
    technician: Technician,
}

impl Desk {
    /// A relay that runs, a page that shows a code, a technician who has not attached.
    async fn start() -> anyhow::Result<Self> {
        let relay = RelayProcess::start().await?;
        let share = SharePage::start(relay.link()).await?;
        let technician = Technician::new(relay.link())?;
        Ok(Self { _relay: relay, share, technician })
    }

    /// The technician attaches by the code on the page, and the person allows it.
    async fn attach(&self) -> anyhow::Result<Running> {
        let attached = self.technician.attach(&self.share.code().await?)?;
        self.share.allow().await?;
        self.technician.wait_live(&attached).await?;
        Ok(attached)
    }

    /// Starts `assent run` with these arguments, and the person allows it with the words that the technician reads out.
    async fn run_allowed(&self, attached: &Running, arguments: &[&str]) -> anyhow::Result<Running> {
        let words = self.technician.words(attached).await?;
        let running = self.technician.start([&["run"], arguments].concat())?;
        self.share.allow_with_words(&words).await?;
        Ok(running)
    }

    /// Returns when the technician has seen the pause go on for so many seconds.
    async fn pause_goes_on_for(&self, seconds: u64) -> anyhow::Result<()> {
        let left = async || {
            let status = self.technician.run(["status", "--json"]).await?;
            serde_json::from_str::<Value>(&status.stdout)?["phase"]["ends_in_secs"].as_u64().context("no pause")
        };
        let until = left().await?.checked_sub(seconds).context("the pause is about to end")?;
        while left().await? > until {}
        Ok(())
    }

    /// What the agent's only log says.
    fn log(&self) -> anyhow::Result<Log> {
        let logs = self.share.logs()?;
        anyhow::ensure!(logs.len() == 1, "one session has one log: {logs:?}");
        Log::read(&logs[0])
    }
}

#[tokio::test]
async fn in_the_browser_a_visit_is_allowed_with_the_keyboard_and_a_command_with_the_words() -> anyhow::Result<()> {
    let mut desk = Desk::start().await?;
    let mut attached = desk.attach().await?;
    desk.share.sees("See how this computer is doing").await?;
    let reading = desk.technician.run(["diag", "--json"]).await?;
    assert!(reading.stdout.contains("processes_total"), "{}{}", reading.stdout, reading.stderr);

    let script = "echo out; echo err >&2; exit 7";
    let mut running = desk.run_allowed(&attached, &["--reason", "to see it", "--", "sh", "-c", script]).await?;
    let done = running.wait_exit(LONG).await?;
    assert_eq!((done.code(), done.stdout.as_str()), (7, "out\n"), "{}", done.stderr);
    assert!(done.stderr.contains("err\n"), "{}", done.stderr);
    desk.share.sees("The command finished with code 7").await?;

    assert_eq!(desk.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    desk.share.sees("The technician ended the session.").await?;
    assert_eq!(desk.share.wait_exit().await?.code(), 0);
    verified(&desk.technician, &desk.share.logs()?[0]).await?;
    assert_eq!(desk.log()?.all("words_confirmed").count(), 1);
    Ok(())
}

#[tokio::test]
async fn in_the_browser_the_arguments_of_one_program_are_shown_after_a_yes_to_that_one() -> anyhow::Result<()> {
    let desk = Desk::start().await?;
    let attached = desk.attach().await?;
    let mut asking = desk.technician.start(["request", "diag.process", "--reason", "to see what it does"])?;
    desk.share.tick("diag.process").await?;
    desk.share.allow().await?;
    let done = asking.wait_exit(PATIENCE).await?;
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);

    let mut program = Host::default().command("/bin/sh");
    program.args(["-c", "read line", "waiting", "--password=page-secret"]);
    let program = Running::start(program)?;
    let pid = program.pid().to_string();
    let mut asking = desk.technician.start(["diag", "process", &pid, "--arguments"])?;
    desk.share.sees("to see what one program was started with").await?;
    desk.share.sees(&pid).await?;
    assert_eq!(asking.stdout(), "", "nothing is shown before the yes");
    desk.share.allow_with_words(&desk.technician.words(&attached).await?).await?;
    let shown = asking.wait_exit(PATIENCE).await?;
    assert_eq!(shown.code(), 0, "{}{}", shown.stdout, shown.stderr);
    assert!(shown.stdout.contains("--password=[secret]") && !shown.stdout.contains("page-secret"), "{}", shown.stdout);

    let mut asking = desk.technician.start(["diag", "process", &pid, "--arguments"])?;
    desk.share.deny().await?;
    let denied = asking.wait_exit(PATIENCE).await?;
    assert_eq!((denied.code(), denied.stdout.as_str()), (3, ""), "{}", denied.stderr);
    Ok(())
}

#[tokio::test]
async fn in_the_browser_a_no_ends_the_session_before_it_began() -> anyhow::Result<()> {
    let mut desk = Desk::start().await?;
    // As a person reads it, not as a program does.
    let mut attaching = desk.technician.start(["attach", &desk.share.code().await?])?;
    desk.share.deny().await?;
    let denied = attaching.wait_exit(PATIENCE).await?;
    assert_eq!(denied.code(), 3, "{}{}", denied.stdout, denied.stderr);
    assert!(denied.stdout.contains("the end user did not allow the session"), "{}{}", denied.stdout, denied.stderr);
    let refused = desk.technician.run(["diag"]).await?;
    assert_ne!(refused.code(), 0, "{}", refused.stdout);
    desk.share.sees("You did not allow the session.").await?;
    assert_eq!(desk.share.wait_exit().await?.code(), 0);
    assert_eq!(desk.log()?.all("granted").count(), 0);
    Ok(())
}

#[tokio::test]
async fn in_the_browser_a_closed_page_stops_everything_and_one_that_is_opened_again_goes_on() -> anyhow::Result<()> {
    let mut desk = Desk::start().await?;
    let attached = desk.attach().await?;
    let mut running = desk.run_allowed(&attached, &["--", "sh", "-c", "echo up; sleep 600; :"]).await?;
    running.wait_for_line("the command to be up", PATIENCE, |line| (line == "up").then_some(())).await?;
    let below = Tree::below(desk.share.pid())?;
    let readings = desk.technician.start(["diag", "--follow"])?;
    readings.wait_for_bytes(1, PATIENCE).await?;

    desk.share.close().await?;
    let paused =
        desk.technician.wait_status(&attached, "the pause", |status| status["phase"]["name"] == "paused").await?;
    assert_eq!(paused["phase"]["reason"], "page_closed");
    below.wait_dead(PATIENCE).await?;
    assert_eq!(running.wait_exit(PATIENCE).await?.code(), 3);
    let away = |line: &str| line.contains("the end user is away").then_some(());
    readings.wait_for_error_line("the pause", PATIENCE, away).await?;
    let refused = desk.technician.run(["request", "diag.logs", "--reason", "to see them"]).await?;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    // time itself is tested: readings come once a second, and in three seconds there is none.
    let shown = readings.stdout_bytes();
    desk.pause_goes_on_for(3).await?;
    assert_eq!(readings.stdout_bytes(), shown, "{}", readings.stdout());

    desk.share.open().await?;
    desk.technician
        .wait_status(&attached, "the return", |status| status["activity"].to_string().contains("the end user is back"))
        .await?;
    desk.share.sees("Going on, because you are back").await?;
    readings.wait_for_bytes(shown + 1, PATIENCE).await?;
    let mut again = desk.technician.start(["run", "--", "echo", "still here"])?;
    desk.share.allow().await?;
    assert_eq!(again.wait_exit(LONG).await?.stdout, "still here\n");
    let log = desk.log()?;
    assert_eq!(
        (log.all("paused").count(), log.all("resumed").count(), log.all("diagnostics_stopped").count()),
        (1, 1, 1)
    );
    Ok(())
}

#[tokio::test]
async fn in_the_browser_stop_kills_a_tree_that_forked_away_and_ends_the_session_on_both_sides() -> anyhow::Result<()> {
    let mut desk = Desk::start().await?;
    let mut attached = desk.attach().await?;
    let mark = format!("browser-stop-{}", desk.share.pid());
    let script = "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; echo up; sleep 600; :' \"$0\" &); sleep 600; :";
    let mut running = desk.run_allowed(&attached, &["--", "sh", "-c", script, &mark]).await?;
    running.wait_for_line("the command to be up", PATIENCE, |line| (line == "up").then_some(())).await?;
    let below = Tree::below(desk.share.pid())?;
    assert!(Tree::marked(&mark)?.pids().iter().filter(|pid| below.pids().contains(pid)).count() >= 2, "{below:?}");

    desk.share.stop().await?;
    below.wait_dead(PATIENCE).await?;
    assert_eq!(running.wait_exit(PATIENCE).await?.code(), 3);
    let end = attached.wait_exit(PATIENCE).await?;
    assert_eq!(end.code(), 0, "{}", end.stderr);
    assert!(format!("{}{}", end.stdout, end.stderr).contains("the end user ended the session"), "{}", end.stderr);
    assert!(Tree::marked(&mark)?.is_empty());
    desk.share.sees("You stopped the session. Nothing of it is running any more.").await?;
    assert_eq!(desk.share.wait_exit().await?.code(), 0);
    assert_eq!(desk.log()?.end(), Some("by_user"));
    Ok(())
}
