//! Starting other programs, and finding out how long they took.

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

/// The root of the tree.
pub fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().and_then(Path::parent).expect("this crate lies two levels below the root")
}

/// A command that runs at the root of the tree.
#[expect(clippy::disallowed_methods, reason = "running other programs is what this crate is for")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that started this, with arguments separated by blanks.
pub fn cargo(arguments: &str) -> Command {
    let mut command = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace());
    // Set for this process by `cargo run`; a cargo below would take them for its own.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(variable);
    }
    command
}

/// Where cargo builds.
pub fn target_dir() -> anyhow::Result<PathBuf> {
    let metadata = output_of(cargo("metadata --format-version 1 --no-deps --locked"))?;
    let metadata = serde_json::from_str::<serde_json::Value>(&metadata)?;
    let target = metadata["target_directory"].as_str().context("cargo does not tell its target directory")?;
    Ok(target.into())
}

/// How a person would type the command.
pub fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let word = |word: &OsStr| {
        let word = word.to_string_lossy();
        if word.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()*?".contains(c)) {
            format!("'{}'", word.replace('\'', r"'\''"))
        } else {
            word.into_owned()
        }
    };
    let set = command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.display(), word(value?))));
    let words = std::iter::once(program).chain(command.get_args()).map(word);
    set.chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs a command with this terminal, and fails when it fails.
pub fn run(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{} does not start", typed(&command)))?;
    if !status.success() {
        bail!("{} ended with {status}", typed(&command));
    }
    Ok(())
}

/// Runs a command quietly; its standard output, or an error with its standard error.
pub fn output_of(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{} does not start", typed(&command)))?;
    if !output.status.success() {
        bail!("{} ended with {}:\n{}", typed(&command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command starts and succeeds. Its output is not shown.
pub fn succeeds(mut command: Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command, passes its outputs on line by line, and shows each line to `see` without colours.
pub fn run_watched(mut command: Command, see: &(impl Fn(&str) + Sync)) -> anyhow::Result<()> {
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", typed(&command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        scope.spawn(|| pass_on(stdout, see, |line| println!("{line}")));
        scope.spawn(|| pass_on(stderr, see, |line| eprintln!("{line}")));
    });
    let status = child.wait()?;
    if !status.success() {
        bail!("{} ended with {status}", typed(&command));
    }
    Ok(())
}

fn pass_on(output: Option<impl Read>, see: impl Fn(&str), print: impl Fn(&str)) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while let Ok(1..) = lines.read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        print(text);
        see(&without_colours(text));
        line.clear();
    }
}

/// `text` without the escape sequences that set colours.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        rest = after.find(|c: char| c.is_ascii_alphabetic()).map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain
}

/// Where a program lies in `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Runs `work` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "a step's time is only shown")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_it_is_typed() {
        let mut command = command("/usr/bin/cargo");
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--no-deps", "a b", "it's (x)"]);
        assert_eq!(typed(&command), r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b' 'it'\''s (x)'");
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(without_colours("\x1b[32;1m PASS\x1b[0m x\x1b[K"), " PASS x");
        assert_eq!(without_colours("plain \x1b["), "plain ");
    }

    #[test]
    fn both_outputs_of_a_watched_command_are_seen_and_its_failure_is_told() {
        let seen = std::sync::Mutex::new(Vec::new());
        let mut shell = command("/bin/sh");
        shell.args(["-c", "echo out; echo err >&2; exit 3"]);
        let error = run_watched(shell, &|line| seen.lock().unwrap().push(line.to_owned())).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        let mut seen = seen.into_inner().unwrap();
        seen.sort();
        assert_eq!(seen, ["err", "out"]);
    }
}
