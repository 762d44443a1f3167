//! `assent end`.

use crate::{
    cli::EndArgs,
    exit::Exit,
    local::{
        client::{ClientError, Conversation},
        protocol::{Ask, Reply},
    },
    place::Places,
    problem::Problem,
};

/// Ends the session and waits until it is over.
pub(super) async fn end(args: &EndArgs, places: &Places) -> Result<Exit, Problem> {
    let problem = |error: &ClientError| super::client_problem(error, "no session was ended");
    let begun = Conversation::begin(&places.runtime, super::wanted(&args.session), Ask::End).await;
    let mut conversation = begun.map_err(|error| problem(&error))?;
    match conversation.next().await {
        Ok(Reply::Ended { .. }) => Ok(Exit::Ok),
        // Its process ended before it could say so: it is over all the same.
        Err(ClientError::Closed) => Ok(Exit::Ok),
        Ok(_) => Err(problem(&ClientError::Unexpected)),
        Err(error) => Err(problem(&error)),
    }
}
