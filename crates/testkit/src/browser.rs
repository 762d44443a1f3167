//! Chromium, driven by chromedriver, for the consent page.

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{PATIENCE, programs::command, running::Running};

/// A browser window with its own empty profile. Dropping kills the driver and the browser.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    driver: Running,
    _profile: TempDir,
}

/// A line of the browser's console: script errors, refused resources, breaches of the content security policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLine {
    /// Such as `SEVERE` or `WARNING`.
    pub level: String,
    /// Where it comes from, such as `security` or `javascript`.
    pub source: String,
    /// The text.
    pub message: String,
}

impl Browser {
    /// Starts Chromium without a visible window, 1280 by 900 pixels.
    ///
    /// # Errors
    ///
    /// When chromium or chromedriver is not installed (Debian packages `chromium` and `chromium-driver`), or does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// As [`Browser::start`], with further Chromium switches such as `--force-dark-mode`.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn start_with(switches: &[&str]) -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        let (driver, port) = start_driver(&profile).await?;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&find("chromium")?, &profile, switches)?);
        let driver_url = format!("http://127.0.0.1:{port}");
        let client =
            timeout(PATIENCE, Box::pin(builder.connect(&driver_url))).await.context("Chromium does not start")??;
        Ok(Self { client, driver, _profile: profile })
    }

    /// Everything else that a browser can do.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    ///
    /// When it cannot be loaded.
    pub async fn open(&self, url: &str) -> anyhow::Result<()> {
        Ok(self.client.goto(url).await?)
    }

    /// Waits for an element that matches a CSS selector.
    ///
    /// # Errors
    ///
    /// When none is there in time; the error shows the page's text.
    pub async fn find(&self, css: &str) -> anyhow::Result<Element> {
        let found = self.client.wait().at_most(PATIENCE).every(POLL).for_element(Locator::Css(css)).await;
        match found {
            Ok(element) => Ok(element),
            Err(error) => Err(error).with_context(|| format!("{css} is not on the page")),
        }
    }

    /// Waits until the page's visible text contains `text`.
    ///
    /// # Errors
    ///
    /// When it does not in time; the error shows the text that is there.
    pub async fn sees(&self, text: &str) -> anyhow::Result<()> {
        let script = "const [text, done] = arguments;
            const look = () => document.body.innerText.includes(text);
            if (look()) { done(true); } else {
              new MutationObserver((_, observer) => { if (look()) { observer.disconnect(); done(true); } })
                .observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
            }";
        let waiting = self.client.execute_async(script, vec![json!(text)]);
        match timeout(PATIENCE, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error).with_context(|| format!("waiting for {text:?} on the page")),
            Err(_) => bail!("{text:?} is not on the page, which says:\n{}", self.text().await?),
        }
    }

    /// The visible text of the page.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn text(&self) -> anyhow::Result<String> {
        let text = self.client.execute("return document.body.innerText", Vec::new()).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Types at whatever has the focus. [`fantoccini::key::Key`] has the keys that are no characters.
    ///
    /// # Errors
    ///
    /// When nothing takes keys.
    pub async fn type_keys(&self, keys: &str) -> anyhow::Result<()> {
        Ok(self.client.active_element().await?.send_keys(keys).await?)
    }

    /// A picture of the page as PNG.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn screenshot(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.client.screenshot().await?)
    }

    /// What assistive technology is told that an element is, such as `button`.
    ///
    /// # Errors
    ///
    /// When the element is gone.
    pub async fn role(&self, element: &Element) -> anyhow::Result<String> {
        self.computed(element, "computedrole").await
    }

    /// What assistive technology calls an element.
    ///
    /// # Errors
    ///
    /// When the element is gone.
    pub async fn label(&self, element: &Element) -> anyhow::Result<String> {
        self.computed(element, "computedlabel").await
    }

    /// The console's lines since the last call. A page of this tree writes none.
    ///
    /// # Errors
    ///
    /// When the browser is gone.
    pub async fn console(&self) -> anyhow::Result<Vec<ConsoleLine>> {
        let lines = self.client.issue_cmd(Endpoint::Log).await?;
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let line = |line: &Value| ConsoleLine {
            level: text(line, "level"),
            source: text(line, "source"),
            message: text(line, "message"),
        };
        Ok(lines.as_array().map(|lines| lines.iter().map(line).collect()).unwrap_or_default())
    }

    /// Process id of chromedriver, whose children are the browser.
    pub fn pid(&self) -> u32 {
        self.driver.pid()
    }

    async fn computed(&self, element: &Element, what: &'static str) -> anyhow::Result<String> {
        let id = element.element_id().to_string();
        let value = self.client.issue_cmd(Endpoint::Computed { element: id, what }).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium's helpers leave the driver's process group.
        if let Ok(tree) = crate::tree::Tree::below(self.driver.pid()) {
            tree.kill();
        }
    }
}

/// Starts chromedriver on a port of the system's choice, which it prints.
///
/// It has the system choose a port for IPv6 and then wants the same one for IPv4, which some other test may have by then. It ends in that
/// case, and is asked to choose again.
async fn start_driver(profile: &TempDir) -> anyhow::Result<(Running, u16)> {
    for _ in 0..DRIVER_CHOICES {
        let mut driver = command(find("chromedriver")?);
        driver.arg("--port=0").env("HOME", profile.path());
        let driver = Running::start(driver)?;
        match driver.wait_for_line("chromedriver's port", PATIENCE, port_in).await {
            Ok(port) => return Ok((driver, port)),
            Err(_) if driver.stdout().contains(PORT_TAKEN) => {}
            Err(error) => return Err(error),
        }
    }
    bail!("chromedriver found no port that is free for both IPv6 and IPv4, {DRIVER_CHOICES} times in a row");
}

const DRIVER_CHOICES: usize = 8;

/// What chromedriver says then.
const PORT_TAKEN: &str = "port not available";

/// How often the driver is asked for an element; the protocol has no way to be told.
const POLL: Duration = Duration::from_millis(20);

fn find(program: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "{program} is not installed; on Debian: apt-get install --no-install-recommends chromium chromium-driver"
        )
    })
}

fn port_in(line: &str) -> Option<u16> {
    line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
}

fn capabilities(chromium: &std::path::Path, profile: &TempDir, switches: &[&str]) -> anyhow::Result<Capabilities> {
    let mut arguments = vec![
        "--headless=new".to_owned(),
        "--window-size=1280,900".to_owned(),
        // The sandbox refuses to work for root, as in a container; the pages are our own.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-gpu".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--password-store=basic".to_owned(),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    arguments.extend(switches.iter().map(|switch| (*switch).to_owned()));
    let wanted = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": chromium, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
        "timeouts": { "script": 60_000, "pageLoad": 60_000 },
        "unhandledPromptBehavior": "ignore",
    });
    serde_json::from_value(wanted).context("capabilities are an object")
}

/// Commands that the client library does not know.
#[derive(Debug)]
enum Endpoint {
    /// <https://www.w3.org/TR/webdriver2/#get-computed-role> and the section after it.
    Computed { element: String, what: &'static str },
    /// chromedriver's console log.
    Log,
}

impl WebDriverCompatibleCommand for Endpoint {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        match self {
            Self::Computed { element, what } => base.join(&format!("session/{session}/element/{element}/{what}")),
            Self::Log => base.join(&format!("session/{session}/se/log")),
        }
    }

    fn method_and_body(&self, _url: &url::Url) -> (http::Method, Option<String>) {
        match self {
            Self::Computed { .. } => (http::Method::GET, None),
            Self::Log => (http::Method::POST, Some(json!({ "type": "browser" }).to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_says_where_it_listens() {
        assert_eq!(port_in("ChromeDriver was started successfully on port 41527."), Some(41527));
        assert_eq!(port_in("Please see https://chromedriver.example"), None);
    }

    #[tokio::test]
    async fn browser_reads_roles_labels_text_and_its_console() {
        let browser = Browser::start().await.unwrap();
        let page = "data:text/html,<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">\
            <button aria-label='Stop everything'>x</button><input id=name><p>hello</p><script>alert(1)</script>";
        browser.open(page).await.unwrap();
        browser.sees("hello").await.unwrap();
        let button = browser.find("button").await.unwrap();
        assert_eq!(browser.role(&button).await.unwrap(), "button");
        assert_eq!(browser.label(&button).await.unwrap(), "Stop everything");
        browser.find("#name").await.unwrap().click().await.unwrap();
        browser.type_keys("Ana").await.unwrap();
        let typed = browser.find("#name").await.unwrap().prop("value").await.unwrap();
        assert_eq!(typed.as_deref(), Some("Ana"));
        assert!(browser.screenshot().await.unwrap().starts_with(b"\x89PNG"));
        let console = browser.console().await.unwrap();
        assert!(console.iter().any(|line| line.message.contains("Content Security Policy")), "{console:?}");

        let tree = crate::tree::Tree::of(browser.pid()).unwrap();
        drop(browser);
        tree.wait_dead(PATIENCE).await.unwrap();
    }
}
