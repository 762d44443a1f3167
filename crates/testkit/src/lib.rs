//! What the tests of more than one crate share: real programs in real terminals, bad networks, hostile peers.
//!
//! | module | what it gives |
//! |---|---|
//! | [`clock`] | time that moves only when a test says so |
//! | [`programs`] | where the built programs are, and private homes for them |
//! | [`running`] | a program with its output, ended with its test |
//! | [`relay`], [`share`], [`attach`] | the three programs, driven as a person drives them |
//! | [`share_page`] | the agent with a person at its page instead of a terminal |
//! | [`browser`] | Chromium, for the consent page |
//! | [`tree`] | process trees: who is in one, how much it uses, when it is dead |
//! | [`delay_link`] | a network between two programs that is slow, lossy or hostile |
//! | [`connect_proxy`] | a proxy that leads out of a network that lets nothing else through |
//! | [`virtual_link`] | a link with a rate and a queue, in memory and in virtual time |
//! | [`lab`] | machines with networks of their own, and routers between them that translate, lose and block |
//! | [`hostile`] | peers that break the rules on purpose, so that the receiver's check is what is tested |
//!
//! Nothing here sleeps: everything waits for a state, with a deadline ([`PATIENCE`]) that only a failure reaches. No program has
//! a switch that approves without a person, so the prompts are answered for real: by typing the shown word, or on the page.

pub mod attach;
pub mod browser;
pub mod clock;
pub mod connect_proxy;
pub mod delay_link;
pub mod hostile;
pub mod lab;
pub mod programs;
pub mod relay;
pub mod running;
pub mod share;
pub mod share_page;
pub mod tree;
pub mod virtual_link;

use std::{future::Future, time::Duration};

use anyhow::bail;

/// How long a test waits for something that should take milliseconds: long enough for two cores that compile at the same time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that has to come; `what` completes "waited for …".
async fn within_patience<T>(what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => bail!("waited {PATIENCE:?} for {what}"),
    }
}
