//! The terminal front end.

mod keys;
mod text;

use tokio::sync::{mpsc, watch};

use super::FrontError;
use crate::view::{UserAct, View};

/// Placeholder.
#[derive(Debug)]
pub struct TerminalFrontEnd {}

impl TerminalFrontEnd {
    /// Placeholder.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn start(_view: watch::Receiver<View>, _acts: mpsc::Sender<UserAct>) -> Result<Self, FrontError> {
        Err(FrontError::NoTerminal)
    }

    /// Placeholder.
    pub async fn shutdown(self) {}
}
