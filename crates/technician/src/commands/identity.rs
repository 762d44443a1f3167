//! `assent identity`.

use serde::Serialize;
use transport::clock;

use crate::{
    cli::IdentityArgs,
    exit::Exit,
    identity::{Identity, IdentityError, certificate_pem, key_text},
    output,
    place::Places,
    problem::Problem,
};

/// Who this technician is, for scripts.
#[derive(Serialize)]
struct Shown {
    /// As `assent org issue --key` takes it.
    key: String,
    /// How the key is named in audit logs.
    key_digest: String,
    /// PEM.
    certificate: Option<String>,
}

/// Shows the own key, after taking a certificate in if there is one.
pub(super) fn identity(args: &IdentityArgs, places: &Places) -> Result<Exit, Problem> {
    let mut identity = Identity::load(&places.state).map_err(|error| problem(&error))?;
    if let Some(file) = &args.import {
        identity
            .import(&places.state, file, args.organisation.as_deref(), clock::wall_time())
            .map_err(|error| problem(&error))?;
    }
    let public = identity.key.public();
    let shown = Shown {
        key: key_text(public),
        key_digest: public.digest().to_string(),
        certificate: identity.certificate.as_deref().map(certificate_pem),
    };
    let text = if args.json {
        output::json_line(&shown)
    } else {
        let certificate = match &shown.certificate {
            Some(pem) => format!("certificate:\n{pem}"),
            None => "certificate  none: end users are told that you are not verified\n".to_owned(),
        };
        format!("key          {}\nkey digest   {}\n{certificate}", shown.key, shown.key_digest)
    };
    output::to_stdout(&text).map_err(|error| super::output_problem(&error))?;
    Ok(Exit::Ok)
}

fn problem(error: &IdentityError) -> Problem {
    let happened = wire::text::shown(&error.to_string());
    let next = "Check the file; for a certificate, ask the organisation for one that is made for your key.";
    Problem::new(Exit::Other, happened, "key and certificate are as they were", next).because_of(error)
}
