//! `assent status`.

use std::time::Duration;

use crate::{
    cli::StatusArgs,
    exit::Exit,
    local::{
        client::{self, ClientError, Conversation},
        protocol::{Ask, Reply},
    },
    output,
    owner::meter::SPAN,
    place::Places,
    problem::Problem,
    screen::draw::phase_words,
    status::{ReceiptStatus, RunState, Standing, Status},
    units,
};

const NOT_DONE: &str = "nothing was shown";

/// Says how one session stands, or all of them.
pub(super) async fn status(args: &StatusArgs, places: &Places) -> Result<Exit, Problem> {
    let text = if args.all {
        let sessions = all(places).await?;
        match (args.json, sessions.is_empty()) {
            (true, _) => output::json_line(&sessions),
            (false, true) => "There is no live session.\n".to_owned(),
            (false, false) => sessions.iter().map(text).collect::<Vec<_>>().join("\n"),
        }
    } else {
        let status = one(places, super::wanted(&args.session)).await.map_err(|error| problem(&error))?;
        if args.json { output::json_line(&status) } else { text(&status) }
    };
    output::to_stdout(&text).map_err(|error| super::output_problem(&error))?;
    Ok(Exit::Ok)
}

fn problem(error: &ClientError) -> Problem {
    super::client_problem(error, NOT_DONE)
}

async fn all(places: &Places) -> Result<Vec<Status>, Problem> {
    let mut sessions = Vec::new();
    for session in client::live_sessions(&places.runtime).await.map_err(|error| problem(&error))? {
        match one(places, Some(&session.to_string())).await {
            Ok(status) => sessions.push(status),
            // It ended while the others were asked.
            Err(ClientError::NoSession { .. } | ClientError::Closed) => {}
            Err(error) => return Err(problem(&error)),
        }
    }
    Ok(sessions)
}

/// Asks one session.
async fn one(places: &Places, wanted: Option<&str>) -> Result<Status, ClientError> {
    let mut conversation = Conversation::begin(&places.runtime, wanted, Ask::Status).await?;
    let reply = conversation.next().await?;
    if let Reply::Status(status) = reply { Ok(*status) } else { Err(ClientError::Unexpected) }
}

/// The status for a person.
fn text(status: &Status) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<11} {value}\n"));
    let session = status.session.map_or_else(|| "not paired yet".to_owned(), |session| session.to_string());
    line("session", format!("{session} (process {})", status.process));
    line("machine", status.host.clone().unwrap_or_else(|| "not known yet".to_owned()));
    line("state", phase_words(&status.phase));
    line("since", units::duration(Duration::from_secs(status.age_secs)));
    let technician = &status.technician;
    let standing = match &technician.standing {
        Standing::Unknown => "not told yet".to_owned(),
        Standing::Verified { organisation } => format!("verified by {organisation}"),
        Standing::Unverified => "not verified".to_owned(),
        Standing::WordsConfirmed => "not verified, words confirmed".to_owned(),
    };
    line("you are", format!("{}, {standing}", technician.name));
    if let (Some(words), Standing::Unknown | Standing::Unverified) = (&technician.words, &technician.standing) {
        line("read out", format!("{words} (if the end user asks for two words)"));
    }
    let path = &status.path;
    let kind = path.kind.as_deref().unwrap_or("none at the moment");
    let rtt = path.rtt_us.map(|rtt| format!(", {}", units::milliseconds(rtt))).unwrap_or_default();
    let lost = path.lost_permille.map(|lost| format!(", {}% lost", units::tenths(lost.into()))).unwrap_or_default();
    let why = path.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    line("path", format!("{kind}{rtt}{lost}{why}"));
    if let (Some(received), Some(sent)) = (path.received_bits_per_sec, path.sent_bits_per_sec) {
        let (received, sent) = (units::bit_rate(received), units::bit_rate(sent));
        line("rate", format!("{received} in, {sent} out, over the last {}", units::duration(SPAN)));
    }
    line("relay", path.relay.clone());
    for grant in &status.grants {
        let abilities = grant.abilities.iter().map(|ability| ability.name()).collect::<Vec<_>>().join(", ");
        line("allowed", format!("{abilities}, {} left", units::duration(Duration::from_secs(grant.remaining_secs))));
    }
    if status.grants.is_empty() {
        line("allowed", "nothing".to_owned());
    }
    for question in &status.asking {
        let within = question.answer_within_secs.map(|secs| format!(", {secs} s left to answer")).unwrap_or_default();
        line("asking", format!("{}{within}", question.what));
    }
    for run in &status.runs {
        line(&format!("run {}", run.run), format!("{}: {}", run.command, run_words(&run.state)));
    }
    line("receipt", receipt_words(&status.receipt));
    lines.concat()
}

fn run_words(state: &RunState) -> String {
    match state {
        RunState::Asking => "asking the end user".to_owned(),
        RunState::Denied { reason } => format!("not run: {reason}"),
        RunState::Running { for_secs } => format!("running for {for_secs} s"),
        RunState::Cancelling => "being cancelled".to_owned(),
        RunState::Finished { outcome, cut_bytes: 0, .. } => outcome.clone(),
        RunState::Finished { outcome, cut_bytes, .. } => {
            format!("{outcome}, {} of output cut", units::bytes(*cut_bytes))
        }
    }
}

fn receipt_words(receipt: &ReceiptStatus) -> String {
    match receipt {
        ReceiptStatus::None => "nothing yet".to_owned(),
        ReceiptStatus::Sound { file, entries } => format!("{file} ({entries} entries)"),
        ReceiptStatus::Broken { file: Some(file), problem } => format!("{file} cannot be relied on: {problem}"),
        ReceiptStatus::Broken { file: None, problem } => format!("none: {problem}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::draw::testing;

    #[test]
    fn a_status_reads_line_by_line() {
        insta::assert_snapshot!(text(&testing::status()));
    }
}
