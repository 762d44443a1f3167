//! `assent netcheck`.

mod layout;
mod report;

use std::{cell::RefCell, collections::BTreeSet, io::IsTerminal as _};

use transport::node::{
    Proxies,
    netcheck::{Family, Question, observe},
};

use self::report::Report;
use super::attach::{bad_config, no_relay};
use crate::{cli::NetcheckArgs, config::TechnicianConfig, exit::Exit, output, place::Places, problem::Problem};

/// Finds out what the network allows, and says it.
pub(super) async fn netcheck(args: NetcheckArgs, places: &Places) -> Result<Exit, Problem> {
    let config = TechnicianConfig::load(&places.config_file).map_err(|error| bad_config(places, &error))?;
    let relay = args.relay.or(config.relay).ok_or_else(|| no_relay(places, "Give the relay's link as an argument"))?;
    let carrier = args.carrier.or(config.carrier).unwrap_or_default();
    let progress = Progress::default();
    let observations = Box::pin(observe(&relay, &Proxies::from_environment(), |question, done| {
        progress.tell(question, done);
    }))
    .await;
    let report = Report::of(&relay, carrier, &observations);
    let text = if args.json { output::json_line(&report) } else { layout::text(&report) };
    output::to_stdout(&text).map_err(|error| super::output_problem(&error))?;
    Ok(if report.session_possible { Exit::Ok } else { Exit::Network })
}

/// A line at a terminal that says what is still being asked.
#[derive(Debug, Default)]
struct Progress {
    open: RefCell<BTreeSet<Question>>,
}

impl Progress {
    fn tell(&self, question: Question, done: bool) {
        let mut open = self.open.borrow_mut();
        let _changed = if done { open.remove(&question) } else { open.insert(question) };
        if !std::io::stderr().is_terminal() {
            return;
        }
        let words = open.iter().map(|question| question_words(*question)).collect::<Vec<_>>().join(", ");
        let line = if words.is_empty() { String::new() } else { format!("asking: {words} ") };
        output::to_stderr(&format!("\r\u{1b}[K{line}"));
    }
}

fn question_words(question: Question) -> &'static str {
    match question {
        Question::Names => "the name service",
        Question::Udp(Family::V4) => "UDP over IPv4",
        Question::Udp(Family::V6) => "UDP over IPv6",
        Question::Tcp(Family::V4) => "TCP over IPv4",
        Question::Tcp(Family::V6) => "TCP over IPv6",
        Question::Proxy => "the proxy",
        Question::Mapping => "the router",
    }
}
