//! `assent completions` and `assent man`.

use crate::{
    cli::{self, CompletionsArgs, ManArgs},
    exit::Exit,
    output,
    problem::Problem,
};

/// Prints a completion script.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "assent", &mut script);
    output::bytes_to_stdout(&script).map_err(|error| super::output_problem(&error))?;
    Ok(Exit::Ok)
}

/// Prints the main manual page, or writes one for each command.
pub(super) fn man(args: &ManArgs) -> Result<Exit, Problem> {
    let Some(directory) = &args.directory else {
        let page = page(cli::command())?;
        output::bytes_to_stdout(&page).map_err(|error| super::output_problem(&error))?;
        return Ok(Exit::Ok);
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        let happened = format!("{} cannot be made", super::shown_path(directory));
        Problem::new(Exit::Other, happened, "no page was written", "Choose another directory.").because(&error)
    })?;
    for (name, command) in commands() {
        super::write_public(&directory.join(format!("{name}.1")), &page(command)?)?;
    }
    Ok(Exit::Ok)
}

fn page(command: clap::Command) -> Result<Vec<u8>, Problem> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(|error| super::output_problem(&error))?;
    Ok(page)
}

/// The program and each of its commands, named as their pages are.
fn commands() -> Vec<(String, clap::Command)> {
    let mut program = cli::command();
    program.build();
    let mut pages = Vec::new();
    collect(&program, "assent", &mut pages);
    pages
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, clap::Command)>) {
    pages.push((name.to_owned(), command.clone()));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_each_names_itself() {
        let pages = commands();
        let names = pages.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        for wanted in ["assent", "assent-attach", "assent-run", "assent-diag", "assent-org-issue"] {
            assert!(names.contains(&wanted), "{names:?}");
        }
        assert!(!names.contains(&"assent-session-process"), "that one is not for people");
        for (name, command) in pages {
            let page = String::from_utf8(page(command).unwrap()).unwrap();
            assert!(page.contains(".TH") && page.contains(&name.replace('-', "\\-")), "{name}: {page}");
        }
    }

    #[test]
    fn the_main_page_documents_the_exit_codes() {
        let page = String::from_utf8(page(cli::command()).unwrap()).unwrap();
        for code in ["125", "126", "127", "128+n"] {
            assert!(page.contains(code), "{code}");
        }
    }
}
