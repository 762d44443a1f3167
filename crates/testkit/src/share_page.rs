//! A real agent with a person at its page, who has a keyboard and no mouse.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use fantoccini::key::Key;
use serde_json::Value;
use wire::link::RelayLink;

use crate::{
    PATIENCE,
    browser::Browser,
    programs::{Home, command},
    running::{Finished, Running},
    share::{ShareOptions, audit_logs_in, write_settings},
    tree::Tree,
};

/// More than there is on the page: Tab goes round before.
const MOST_TABS: usize = 60;

/// `assent-share --consent browser --no-open --json` and a browser that shows its page. The person in front of it is the test.
///
/// Dropping kills the agent with everything below it, and the browser.
#[derive(Debug)]
pub struct SharePage {
    home: Home,
    running: Running,
    browser: Browser,
    pages: usize,
}

impl SharePage {
    /// Starts an agent that meets technicians at `relay`, and opens the page whose address it prints.
    ///
    /// # Errors
    ///
    /// When it does not build or start, or the page does not open.
    pub async fn start(relay: &RelayLink) -> anyhow::Result<Self> {
        Self::start_with(relay, &ShareOptions::default()).await
    }

    /// As [`SharePage::start`], with options. There is no terminal, so its size does not matter.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn start_with(relay: &RelayLink, options: &ShareOptions) -> anyhow::Result<Self> {
        // The browser first: an address is good for a minute.
        let browser = Browser::start().await?;
        let home = Home::new()?;
        write_settings(&home, options)?;
        let mut command = command(options.program()?);
        home.apply(&mut command);
        command.args(["--consent", "browser", "--no-open", "--json", "--relay"]).arg(relay.to_string());
        command.args(&options.arguments);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        let running = Running::start(command).context("assent-share does not start")?;
        let mut share = Self { home, running, browser, pages: 0 };
        share.open().await?;
        Ok(share)
    }

    /// Opens the page in the present tab, by the next address that the agent prints.
    ///
    /// # Errors
    ///
    /// When it prints no further address, or the page does not open.
    pub async fn open(&mut self) -> anyhow::Result<()> {
        let mut unused = self.pages + 1;
        let nth = |line: &str| {
            let url = event(line, "page")?["url"].as_str()?.to_owned();
            unused -= 1;
            (unused == 0).then_some(url)
        };
        let url = self.running.wait_for_line("the address of the page", PATIENCE, nth).await?;
        self.pages += 1;
        self.browser.open(&url).await
    }

    /// Closes the page's tab. The browser stays, with an empty one.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn close(&self) -> anyhow::Result<()> {
        let client = self.browser.client();
        let page = client.window().await?;
        let empty = client.new_window(true).await?.handle;
        client.switch_to_window(page).await?;
        client.close_window().await?;
        Ok(client.switch_to_window(empty).await?)
    }

    /// The browser that shows the page.
    pub fn browser(&self) -> &Browser {
        &self.browser
    }

    /// The agent, for what it prints and for its end.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The person's home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Process id of the agent.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Waits for the session code on the page, and makes sure that it is the one that the agent prints.
    ///
    /// # Errors
    ///
    /// When none is shown in time, or another one is printed.
    pub async fn code(&self) -> anyhow::Result<String> {
        let code = |line: &str| Some(event(line, "code")?["code"].as_str()?.to_owned());
        let printed = self.running.wait_for_line("a session code", PATIENCE, code).await?;
        self.sees(&printed).await?;
        let shown = self.browser.find("#code").await?.text().await?;
        ensure!(shown == printed, "the page shows {shown} and the agent prints {printed}");
        Ok(shown)
    }

    /// Waits until the page's visible text contains `text`.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub async fn sees(&self, text: &str) -> anyhow::Result<()> {
        self.browser.sees(text).await
    }

    /// Waits for a question, allows it with Tab and the space bar, and waits until that was taken.
    ///
    /// # Errors
    ///
    /// When no question comes or it does not go away.
    pub async fn allow(&self) -> anyhow::Result<()> {
        self.asked().await?;
        self.press_allow().await
    }

    /// Waits for a question, and ticks one of its abilities with Tab and the space bar.
    ///
    /// # Errors
    ///
    /// When no question comes, or it is not about that.
    pub async fn tick(&self, ability: &str) -> anyhow::Result<()> {
        self.asked().await?;
        self.tab_to(ability).await?;
        self.press(Key::Space).await
    }

    /// As [`SharePage::allow`], for a question that wants the two words that the technician reads out.
    ///
    /// # Errors
    ///
    /// As there, or when it does not want them.
    pub async fn allow_with_words(&self, spoken: &str) -> anyhow::Result<()> {
        self.asked().await?;
        self.sees("Type the two words first.").await?;
        self.tab_to("words-input").await?;
        self.browser.type_keys(spoken).await?;
        self.press_allow().await
    }

    /// Waits for a question and denies it with Tab and Enter.
    ///
    /// # Errors
    ///
    /// When no question comes or it does not go away.
    pub async fn deny(&self) -> anyhow::Result<()> {
        self.asked().await?;
        self.tab_to("deny").await?;
        self.press(Key::Enter).await?;
        self.answered().await
    }

    /// Goes to Stop with Tab and presses Enter.
    ///
    /// # Errors
    ///
    /// When Tab does not lead there.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.tab_to("stop").await?;
        self.press(Key::Enter).await
    }

    /// Waits until a question is open, whether it can be allowed already or not.
    ///
    /// # Errors
    ///
    /// When none comes in time.
    pub async fn asked(&self) -> anyhow::Result<()> {
        self.browser.find("#question:not([hidden])").await?;
        Ok(())
    }

    /// Presses Tab until the element with this id, or without one and with this value, has the focus.
    ///
    /// # Errors
    ///
    /// When it does not get it.
    pub async fn tab_to(&self, id: &str) -> anyhow::Result<()> {
        for _ in 0..MOST_TABS {
            if self.focus().await? == id {
                return Ok(());
            }
            self.press(Key::Tab).await?;
        }
        bail!("Tab does not lead to #{id}; the focus is on #{}", self.focus().await?)
    }

    /// Presses one key at whatever has the focus.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn press(&self, key: Key) -> anyhow::Result<()> {
        self.browser.type_keys(&char::from(key).to_string()).await
    }

    /// Waits for the end of the agent, and makes sure that its page broke none of its own rules and logged nothing.
    ///
    /// # Errors
    ///
    /// When the agent does not end in time or the page logged something.
    pub async fn wait_exit(&mut self) -> anyhow::Result<Finished> {
        let finished = self.running.wait_exit(PATIENCE).await?;
        let console = self.browser.console().await?;
        ensure!(console.is_empty(), "the page logged {console:?}");
        Ok(finished)
    }

    /// The agent's audit logs, oldest first.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn logs(&self) -> anyhow::Result<Vec<PathBuf>> {
        audit_logs_in(&self.home.state().join("assent/sessions"))
    }

    async fn press_allow(&self) -> anyhow::Result<()> {
        self.browser.find("#allow:not([disabled])").await?;
        self.tab_to("allow").await?;
        self.press(Key::Space).await?;
        self.answered().await
    }

    async fn answered(&self) -> anyhow::Result<()> {
        self.browser.find("#question[hidden]").await.context("the answer was not taken")?;
        Ok(())
    }

    async fn focus(&self) -> anyhow::Result<String> {
        let id = self
            .browser
            .client()
            .execute("const at = document.activeElement; return at.id || at.value", Vec::new())
            .await?;
        Ok(id.as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for SharePage {
    fn drop(&mut self) {
        if let Ok(tree) = Tree::below(self.running.pid()) {
            tree.kill();
        }
    }
}

/// A line of the agent's output, if it is this event.
fn event(line: &str, name: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line).ok().filter(|event| event["event"] == name)
}
