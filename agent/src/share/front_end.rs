//! Which front end asks the person, and starting it.

use std::{io::Write as _, path::Path};

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
        _opened: Option<OpenedBrowser>,
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
                if opened.is_none() && !arguments.json {
                    // Only this terminal sees the address; it is good for one page and one minute.
                    let _ = writeln!(std::io::stderr(), "Open this page in the browser of this computer:\n\n  {url}\n");
                }
                Ok(Self::Browser { server: Box::new(server), _opened: opened })
            }
        }
    }

    /// A terminal is there from the start; a page has to be opened first.
    pub(super) fn sees_the_person_from_the_start(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Shows the last view and ends.
    pub(super) async fn shutdown(self) {
        match self {
            Self::Browser { server, _opened } => server.shutdown().await,
            Self::Terminal(terminal) => terminal.shutdown().await,
        }
    }
}
