//! Which front end asks the person, and starting it.

use std::{
    convert::Infallible,
    io::{IsTerminal as _, Write as _},
    path::Path,
};

use tokio::sync::{mpsc, watch};

use super::{ShareError, events::Events};
use crate::executor::open::{self, OpenedBrowser};
use crate::front::{browser::BrowserFrontEnd, terminal::TerminalFrontEnd};
use crate::options::{Arguments, ConsentAt};
use crate::view::{UserAct, View};

/// The one front end of this program.
#[derive(Debug)]
pub(super) enum FrontEnd {
    Browser {
        server: Box<BrowserFrontEnd>,
        /// Removes the file that the browser was sent to.
        opened: Option<OpenedBrowser>,
    },
    Terminal(TerminalFrontEnd),
}

impl FrontEnd {
    /// Starts the front end that was asked for, else the page on a desktop, else the terminal.
    pub(super) async fn start(
        arguments: &Arguments,
        state_dir: &Path,
        views: watch::Receiver<View>,
        acts: mpsc::Sender<UserAct>,
        events: &Events,
    ) -> Result<Self, ShareError> {
        let default = || if open::browser_available() { ConsentAt::Browser } else { ConsentAt::Terminal };
        match arguments.consent.unwrap_or_else(default) {
            ConsentAt::Terminal => Ok(Self::Terminal(TerminalFrontEnd::start(views, acts).await?)),
            ConsentAt::Browser => {
                let server = BrowserFrontEnd::start(views, acts).await?;
                let url = server.url().expose();
                let url = url.as_str();
                events.page(url);
                let opened = if arguments.no_open { None } else { open::open_in_browser(url, state_dir).ok() };
                if opened.is_none() && !events.enabled() {
                    print_address("Open this page in the browser of this computer:", url);
                }
                Ok(Self::Browser { server: Box::new(server), opened })
            }
        }
    }

    /// A terminal is there from the start; a page has to be opened first.
    pub(super) fn sees_the_person_from_the_start(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Shows a new address whenever the person could not get to the page any more: it was closed, or not opened in time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but that nothing more is shown.
    pub(super) async fn keep_reachable(&self, events: &Events) -> Infallible {
        let Self::Browser { server, opened } = self else { return std::future::pending().await };
        loop {
            let url = server.next_url().await.expose();
            events.page(&url);
            // Where a browser was opened there may be nobody who reads this, and then it does not belong into some log.
            if !events.enabled() && (opened.is_none() || std::io::stderr().is_terminal()) {
                print_address("The page is not open. To see what happens and to be asked, open:", &url);
            }
        }
    }

    /// Shows the last view and ends.
    pub(super) async fn shutdown(self) {
        match self {
            Self::Browser { server, opened: _opened } => server.shutdown().await,
            Self::Terminal(terminal) => terminal.shutdown().await,
        }
    }
}

/// Only this terminal sees the address; it is good for one page and one minute.
fn print_address(text: &str, url: &str) {
    let _ = writeln!(std::io::stderr(), "{text}\n\n  {url}\n");
}
