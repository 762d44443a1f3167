//! A real agent with a person at its terminal.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use pty::{Key, Size, Terminal};
use trust::code::SessionCode;
use wire::link::RelayLink;

use crate::{
    PATIENCE,
    programs::{Home, Host, Program},
    running::Running,
    tree::Tree,
};

/// How to start an agent.
#[derive(Debug, Clone)]
pub struct ShareOptions {
    /// The machine.
    pub host: Host,
    /// The program, or the one beside the test.
    pub program: Option<PathBuf>,
    /// Before a yes to a command is taken: whole seconds, 1..=60. The least, so that tests do not wait.
    pub unlock_delay: Duration,
    /// Rows and columns of the person's terminal.
    pub size: Size,
    /// Further lines of `share.toml`.
    pub settings: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further environment.
    pub environment: Vec<(String, String)>,
}

impl Default for ShareOptions {
    fn default() -> Self {
        Self {
            host: Host::default(),
            program: None,
            unlock_delay: Duration::from_secs(1),
            size: Size::ROOMY,
            settings: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl ShareOptions {
    /// As by default, but nothing goes directly: for what is about the relay, or about what is in front of it.
    pub fn behind_the_relay() -> Self {
        Self { arguments: vec!["--no-direct".to_owned()], ..Self::default() }
    }

    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        self.program.clone().map_or_else(|| Program::Share.path(), Ok)
    }
}

/// `assent-share --consent terminal` in a terminal. The person in front of it is the test.
///
/// Dropping kills the agent with everything below it.
#[derive(Debug)]
pub struct ShareProcess {
    home: Home,
    terminal: Terminal,
}

impl ShareProcess {
    /// Starts an agent that meets technicians at `relay`.
    ///
    /// # Errors
    ///
    /// When it does not build or start.
    pub fn start(relay: &RelayLink) -> anyhow::Result<Self> {
        Self::start_with(relay, &ShareOptions::default())
    }

    /// As [`ShareProcess::start`], with options.
    ///
    /// # Errors
    ///
    /// When it does not build or start.
    pub fn start_with(relay: &RelayLink, options: &ShareOptions) -> anyhow::Result<Self> {
        let home = Home::new()?;
        write_settings(&home, options)?;
        let mut command = options.host.command(options.program()?);
        home.apply(&mut command);
        command.args(["--consent", "terminal", "--relay"]).arg(relay.to_string()).args(&options.arguments);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        let terminal = Terminal::start(command, options.size).context("assent-share does not start")?;
        Ok(Self { home, terminal })
    }

    /// The person's terminal.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// The person's terminal, to close it or to wait for its end.
    pub fn terminal_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }

    /// The person's home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.terminal.pid()
    }

    /// Waits for the session code and reads it from the screen.
    ///
    /// # Errors
    ///
    /// When none is shown in time.
    pub async fn code(&self) -> anyhow::Result<String> {
        Ok(self.terminal.wait_until("a session code", PATIENCE, code_on).await?)
    }

    /// Waits for a code other than `previous`.
    ///
    /// # Errors
    ///
    /// When none is shown in time.
    pub async fn code_after(&self, previous: &str) -> anyhow::Result<String> {
        let other = |text: &str| code_on(text).filter(|code| code != previous);
        Ok(self.terminal.wait_until("another session code", PATIENCE, other).await?)
    }

    /// Waits until the screen shows `text`.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub async fn sees(&self, text: &str) -> anyhow::Result<()> {
        Ok(self.terminal.wait_for(text, PATIENCE).await?)
    }

    /// Waits for a question, types the word that it shows, as a person does who wants to say yes, and waits until it was taken.
    ///
    /// # Errors
    ///
    /// When no question comes, or it does not go away.
    pub async fn allow(&self) -> anyhow::Result<()> {
        let word = self.word().await?;
        match self.answer_by_word(&word).await? {
            Taken::Yes => Ok(()),
            Taken::WantsWords => bail!("the question also wants the technician's two words:\n{}", self.terminal.text()),
        }
    }

    /// As [`ShareProcess::allow`], for a question that may also want the two words that the technician reads out.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn allow_with_words(&self, spoken: &str) -> anyhow::Result<()> {
        let word = self.word().await?;
        if self.answer_by_word(&word).await? == Taken::WantsWords {
            self.answer(spoken).await?;
            let taken = |text: &str| is_closed(text, &word).then_some(());
            self.terminal.wait_until("the words to be taken", PATIENCE, taken).await?;
        }
        Ok(())
    }

    async fn answer_by_word(&self, word: &str) -> anyhow::Result<Taken> {
        self.answer(word).await?;
        let taken = |text: &str| {
            if wants_words(text) { Some(Taken::WantsWords) } else { is_closed(text, word).then_some(Taken::Yes) }
        };
        Ok(self.terminal.wait_until("the answer to be taken", PATIENCE, taken).await?)
    }

    /// Waits for a question and says no, without waiting until a yes could be said.
    ///
    /// # Errors
    ///
    /// When no question comes.
    pub async fn deny(&self) -> anyhow::Result<()> {
        self.asked().await?;
        self.answer("n").await
    }

    /// Waits until a question is on the screen, whether it can be allowed already or not.
    ///
    /// # Errors
    ///
    /// When no question comes in time.
    pub async fn asked(&self) -> anyhow::Result<()> {
        let asks = |text: &str| is_open(text).then_some(());
        Ok(self.terminal.wait_until("a question", PATIENCE, asks).await?)
    }

    /// Presses the key that stops everything.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub async fn stop(&self) -> anyhow::Result<()> {
        Ok(self.terminal.press(STOP).await?)
    }

    /// Waits until a question can be answered and returns the word that says yes to it.
    ///
    /// # Errors
    ///
    /// When no question comes in time.
    pub async fn word(&self) -> anyhow::Result<String> {
        // What is typed before the whole question was written counts for nothing, and its last line is where the cursor waits.
        let whole = |text: &str| word_on(text).filter(|_| text.trim_end().ends_with('>'));
        Ok(self.terminal.wait_until("a question", PATIENCE, whole).await?)
    }

    /// Types a line and presses the return key.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub async fn answer(&self, line: &str) -> anyhow::Result<()> {
        self.terminal.type_text(line).await?;
        Ok(self.terminal.press(Key::Enter).await?)
    }

    /// Folder with the agent's audit logs.
    pub fn log_dir(&self) -> PathBuf {
        self.home.state().join("assent/sessions")
    }

    /// What an `assent-share` command prints for the same person, such as `sent`.
    ///
    /// # Errors
    ///
    /// When it does not end well.
    pub async fn told(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Program::Share.command(&self.home)?;
        command.args(arguments);
        let finished = Running::to_end(command, PATIENCE).await?;
        ensure!(finished.code() == 0, "{}", finished.stderr);
        Ok(finished.stdout)
    }

    /// The agent's audit logs, oldest first.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn logs(&self) -> anyhow::Result<Vec<PathBuf>> {
        audit_logs_in(&self.log_dir())
    }
}

impl Drop for ShareProcess {
    fn drop(&mut self) {
        if let Ok(tree) = Tree::below(self.terminal.pid()) {
            tree.kill();
        }
    }
}

/// The key that stops everything in the terminal front end.
pub const STOP: Key = Key::Control('c');

/// The session code in `text`: three groups of digits of which the last is right.
pub fn code_on(text: &str) -> Option<String> {
    let words = text.split_whitespace().collect::<Vec<_>>();
    words.windows(3).map(|group| group.join(" ")).find(|group| group.parse::<SessionCode>().is_ok())
}

/// What became of a typed word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    /// The technician's two words are wanted too.
    WantsWords,
}

/// The word that says yes to the question on the screen. It is shown only once a yes is taken.
fn word_on(text: &str) -> Option<String> {
    let text = on_one_line(text);
    // The last one: an older question may still stand above.
    let (_, after) = text.rsplit_once("type the word «")?;
    Some(after.split_once('»')?.0.to_owned())
}

/// Whether a question waits for an answer, or an answer for the program.
fn is_open(text: &str) -> bool {
    on_one_line(text).contains("To deny, type n")
}

/// Whether the question with this word is gone, and not only the answer on its way: meanwhile it may be drawn once more, and its
/// word would pass for that of the next question.
fn is_closed(text: &str, word: &str) -> bool {
    !is_open(text) || word_on(text).is_some_and(|shown| shown != word)
}

fn wants_words(text: &str) -> bool {
    on_one_line(text).contains("Type the two words that")
}

/// Sentences as they are, wherever the terminal's width broke them.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn write_settings(home: &Home, options: &ShareOptions) -> anyhow::Result<()> {
    let mut text = String::new();
    writeln!(text, "unlock_delay_secs = {}", options.unlock_delay.as_secs())?;
    writeln!(text, "{}", options.settings)?;
    let dir = home.config().join("assent");
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(fs::File::create(dir.join("share.toml"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))?)
}

/// The audit logs in a folder of sessions, oldest first.
pub(crate) fn audit_logs_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = files_in(dir)?;
    files.retain(|path| path.to_string_lossy().ends_with(".audit.jsonl"));
    Ok(files)
}

pub(crate) fn files_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut files = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;
    use wire::ids::Locator;

    use super::*;

    #[test]
    fn a_code_is_read_as_it_is_shown() {
        for locator in [Locator::new(48, 4), Locator::new(48_215, 5), Locator::new(482_159, 6)] {
            let code = SessionCode::draw(locator.unwrap(), &mut OsRng).to_string();
            assert_eq!(code_on(&format!("Read this out:\n\n   {code}  \n\nvalid for 10 minutes")), Some(code));
        }
        assert_eq!(code_on("valid for 10 minutes, 1234 56 7890"), None);
    }

    #[test]
    fn the_word_of_the_newest_question_is_found_across_line_ends() {
        let text = "To allow it, type the word «apple» and press Enter.\n…\nTo allow what is ticked, type the\nword «river» and";
        assert_eq!(word_on(text).as_deref(), Some("river"));
        assert_eq!(word_on("Take your time to read. You can allow it in 3 s."), None);
        assert!(is_open("Sent. Waiting for the program.\nTo deny, type n and press Enter."));
        assert!(is_closed("s stops everything at once", "apple"));
        let open = "type the word «apple» and press Enter. To deny, type n";
        assert!(!is_closed(open, "apple") && is_closed(open, "river"));
        assert!(wants_words("Type the two\nwords that the person on the phone reads to you"));
    }
}
