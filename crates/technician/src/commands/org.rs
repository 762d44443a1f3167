//! `assent org`: an organisation's key, kept where its keeper works.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use audit::files;
use rand_core::OsRng;
use transport::clock;
use trust::certificate::{OrganisationKey, TrustedOrganisation};
use zeroize::Zeroizing;

use super::shown_path;
use crate::{
    cli::OrgCommand,
    exit::Exit,
    identity::{certificate_pem, parse_key},
    output,
    place::Places,
    problem::Problem,
};

/// Makes an organisation, or lets one vouch.
pub(super) fn org(command: OrgCommand, places: &Places) -> Result<Exit, Problem> {
    let directory = places.state.join("organisations");
    let text = match command {
        OrgCommand::Create { name } => create(&directory, &name)?,
        OrgCommand::Issue { name, key, org, validity } => issue(&directory, &name, &key, org.as_deref(), validity)?,
    };
    output::to_stdout(&text).map_err(|error| super::output_problem(&error))?;
    Ok(Exit::Ok)
}

fn create(directory: &Path, name: &str) -> Result<String, Problem> {
    let not_made = "no organisation was made";
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Problem::new(Exit::Other, error.to_string(), not_made, "Correct what is named above, then try again.")
            .because_of(error)
    };
    let stem = directory.join(file_stem(name));
    let (key_file, root_file) = (stem.with_extension("key"), stem.with_extension("pem"));
    if key_file.exists() || root_file.exists() {
        let happened = format!("there is already an organisation in {}", shown_path(&key_file));
        return Err(Problem::new(Exit::Other, happened, not_made, "Choose another name, or move the old files away."));
    }
    let organisation = OrganisationKey::create(name, &mut OsRng, clock::wall_time()).map_err(|error| failed(&error))?;
    files::private_dir(directory).map_err(|error| failed(&error))?;
    let pem = organisation.root().to_pem();
    files::write_atomic(&key_file, &organisation.to_pkcs8(), 0o600).map_err(|error| failed(&error))?;
    files::write_atomic(&root_file, pem.as_bytes(), 0o600).map_err(|error| failed(&error))?;
    output::to_stderr(&format!(
        "assent: the key is in {}. Whoever has it can name technicians: keep it off the network.\n",
        shown_path(&key_file)
    ));
    Ok(pem)
}

fn issue(directory: &Path, name: &str, key: &str, org: Option<&str>, validity: Duration) -> Result<String, Problem> {
    let not_issued = "no certificate was issued";
    let wrong_key = |error: &(dyn std::error::Error + 'static)| {
        let next = "Copy the line `key` of assent identity from the technician's machine.";
        Problem::new(Exit::Usage, "--key is no technician's key", not_issued, next).because(error)
    };
    let technician = parse_key(key).map_err(|error| wrong_key(&error))?;
    let organisation = choose(directory, org)?;
    let issued = organisation.issue(name, &technician, validity, &mut OsRng, clock::wall_time());
    let der = issued.map_err(|error| {
        Problem::new(Exit::Other, error.to_string(), not_issued, "Correct the name or the time.").because_of(&error)
    })?;
    Ok(certificate_pem(&der))
}

/// The only organisation, or the one of that name.
fn choose(directory: &Path, org: Option<&str>) -> Result<OrganisationKey, Problem> {
    let not_issued = "no certificate was issued";
    let mut found = Vec::new();
    for (file, root) in roots(directory) {
        if org.is_none_or(|wanted| root.name().raw() == wanted) {
            found.push((file, root));
        }
    }
    let (file, root) = match (found.pop(), found.is_empty()) {
        (Some(only), true) => only,
        (Some(_), false) => {
            return Err(Problem::new(
                Exit::Usage,
                "there are several organisations",
                not_issued,
                "Name one with --org NAME.",
            ));
        }
        (None, _) => {
            let next = "Make one first: assent org create NAME.";
            return Err(Problem::new(Exit::Other, "there is no such organisation here", not_issued, next));
        }
    };
    let key_file = file.with_extension("key");
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        let happened = format!("{} cannot be used", shown_path(&key_file));
        Problem::new(Exit::Other, happened, not_issued, "Restore the file from its backup.").because(error)
    };
    let pkcs8 = Zeroizing::new(fs::read(&key_file).map_err(|error| unreadable(&error))?);
    OrganisationKey::from_parts(&pkcs8, root).map_err(|error| unreadable(&error))
}

/// Every organisation's certificate that can be read.
fn roots(directory: &Path) -> Vec<(PathBuf, TrustedOrganisation)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let pem = files.filter(|file| file.extension().is_some_and(|extension| extension == "pem"));
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).ok()?;
        Some((file, TrustedOrganisation::from_pem(&text).ok()?))
    };
    pem.filter_map(read).collect()
}

/// A name for files: letters and digits of the organisation's name, told apart from others by its digest.
fn file_stem(name: &str) -> String {
    let plain = name.chars().filter(char::is_ascii_alphanumeric).take(32).collect::<String>().to_ascii_lowercase();
    let digest = trust::digest(name.as_bytes()).to_string();
    format!("{plain}-{}", digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use trust::keys::SigningKey;

    use super::*;
    use crate::identity::key_text;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn an_organisation_vouches_for_a_technician() {
        let dir = tempfile::tempdir().unwrap();
        let root = create(dir.path(), "Example Ltd").unwrap();
        let technician = SigningKey::generate(&mut OsRng);
        let pem = issue(dir.path(), "Ana Ruiz", &key_text(technician.public()), None, DAY).unwrap();
        let der = pem::parse(pem).unwrap().into_contents();
        let trusted = [TrustedOrganisation::from_pem(&root).unwrap()];
        let identity = trust::certificate::verify(&der, technician.public(), &trusted, clock::wall_time()).unwrap();
        assert!(matches!(identity, wire::session::TechnicianIdentity::Verified { .. }));
    }

    #[test]
    fn one_of_several_organisations_has_to_be_named() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), "One").unwrap();
        create(dir.path(), "Two").unwrap();
        assert_eq!(create(dir.path(), "Two").unwrap_err().exit(), 1, "an organisation is never replaced");
        let key = key_text(SigningKey::generate(&mut OsRng).public());
        assert_eq!(issue(dir.path(), "Ana", &key, None, DAY).unwrap_err().exit(), 2);
        assert!(issue(dir.path(), "Ana", &key, Some("Two"), DAY).is_ok());
        assert_eq!(issue(dir.path(), "Ana", &key, Some("Three"), DAY).unwrap_err().exit(), 1);
        assert_eq!(issue(dir.path(), "Ana", "nonsense", Some("Two"), DAY).unwrap_err().exit(), 2);
    }
}
