//! Rules about what Rust code says, comments and texts aside.

use std::collections::BTreeSet;

use super::{
    Breach,
    files::SourceFile,
    mask::mask,
    paths::{Named, paths},
};

/// The core ring, as folders.
const CORE: [&str; 6] =
    ["crates/wire", "crates/trust", "crates/consent", "crates/session", "crates/broker", "crates/report"];

/// Those of them that read what a peer sent.
const READS_PEERS: [&str; 2] = ["crates/wire", "crates/broker"];

/// The dev ring: it starts and watches the programs of the others.
const DEV_RING: [&str; 4] = ["crates/pty", "crates/testkit", "crates/xtask", "tests"];

const CORE_IS_PURE: &str = "the core ring has no effects: whoever calls it passes the time and the randomness and does the work, so \
    that every state can be reached in a test without waiting";

const EFFECTS: [&str; 15] = [
    "std::fs",
    "net::TcpListener",
    "net::TcpStream",
    "net::ToSocketAddrs",
    "net::UdpSocket",
    "std::process",
    "std::thread",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::os",
    "rand_core::OsRng",
    "getrandom::getrandom",
];

const EFFECT_ROOTS: [&str; 7] = ["tokio", "quinn", "rustls", "socket2", "rustix", "libc", "mio"];

const ONE_EXECUTOR: &str = "every process that is started on somebody's machine passes one place that checks the approval: \
    agent/src/executor (and crates/technician/src/detach.rs, where the technician's own program goes on in the background)";

/// Where processes may be started.
const STARTS_PROCESSES: [&str; 2] = ["agent/src/executor", "crates/technician/src/detach.rs"];

const PROCESS_PATHS: [&str; 3] = ["process::Command", "process::CommandExt", "unix::process::CommandExt"];

const PROCESS_CALLS: [&str; 7] = ["fork", "vfork", "execv", "execve", "execvp", "posix_spawn", "posix_spawnp"];

const ONE_CODEC: &str = "one file turns messages into bytes, so that it can be fuzzed, pinned and replaced";

const FINISHED: &str = "what is in the tree works; what does not work yet is not in the tree";

const NO_IGNORED: &str = "an ignored test checks nothing and looks as if it did; mend it or take it out";

const NO_SLEEP: &str = "a test that sleeps is slow when it passes and fails when the machine is busy; wait for the state instead, or \
    say in a comment `// time itself is tested: …` why nothing else can be waited for";

const DOCUMENTED: &str = "the core ring is read by everybody who builds on it";

const TIME_ITSELF: &str = "// time itself is tested:";

pub(super) fn check(files: &[SourceFile]) -> Vec<Breach> {
    let rust = files.iter().filter(|file| file.is_rust()).collect::<Vec<_>>();
    let masked = rust.iter().map(|file| mask(&file.text)).collect::<Vec<_>>();
    let test_modules =
        rust.iter().zip(&masked).flat_map(|(file, masked)| test_modules(file, masked)).collect::<BTreeSet<_>>();
    let mut breaches = rust
        .iter()
        .zip(&masked)
        .flat_map(|(file, masked)| {
            let is_test = is_test_file(&file.path, &test_modules);
            check_file(&Code { file, tests: test_lines(masked, is_test), paths: paths(masked), masked })
        })
        .collect::<Vec<_>>();
    breaches.extend(rust.iter().flat_map(|file| check_core_root(file)));
    breaches
}

/// One file, prepared.
struct Code<'a> {
    file: &'a SourceFile,
    masked: &'a str,
    /// For each line, whether it is test code.
    tests: Vec<bool>,
    paths: Vec<Named>,
}

impl Code<'_> {
    fn breach(&self, line: usize, what: impl Into<String>, why: &'static str) -> Breach {
        Breach::new(&self.file.path, line, what, why)
    }

    fn is_test(&self, line: usize) -> bool {
        self.tests.get(line - 1).copied().unwrap_or(false)
    }

    fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| is_below(&self.file.path, folder))
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.masked.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['/', '.']))
}

fn check_file(code: &Code<'_>) -> Vec<Breach> {
    let mut breaches = Vec::new();
    core_has_no_effects(code, &mut breaches);
    only_the_executor_starts_processes(code, &mut breaches);
    only_one_file_encodes(code, &mut breaches);
    nothing_unfinished(code, &mut breaches);
    tests_do_not_sleep(code, &mut breaches);
    breaches
}

fn core_has_no_effects(code: &Code<'_>, breaches: &mut Vec<Breach>) {
    if !code.is_below(&CORE) {
        return;
    }
    for named in code.paths.iter().filter(|named| !code.is_test(named.line)) {
        if EFFECTS.iter().any(|effect| named.contains(effect)) || EFFECT_ROOTS.contains(&named.root()) {
            breaches.push(code.breach(named.line, format!("the core ring uses {}", named.path), CORE_IS_PURE));
        }
    }
}

fn only_the_executor_starts_processes(code: &Code<'_>, breaches: &mut Vec<Breach>) {
    if code.is_below(&DEV_RING) || code.is_below(&STARTS_PROCESSES) {
        return;
    }
    for named in code.paths.iter().filter(|named| !code.is_test(named.line)) {
        let last = named.path.rsplit("::").next().unwrap_or_default();
        if PROCESS_PATHS.iter().any(|path| named.contains(path)) || PROCESS_CALLS.contains(&last) {
            breaches.push(code.breach(named.line, format!("{} can start a process", named.path), ONE_EXECUTOR));
        }
    }
}

/// The graph of crates says who may link which crate; only for this one it matters which file uses it.
fn only_one_file_encodes(code: &Code<'_>, breaches: &mut Vec<Breach>) {
    if code.is_below(&["crates/wire/src/codec.rs"]) {
        return;
    }
    for named in code.paths.iter().filter(|named| named.root() == "bincode") {
        breaches.push(code.breach(
            named.line,
            format!("{} is named outside of wire/src/codec.rs", named.path),
            ONE_CODEC,
        ));
    }
}

fn nothing_unfinished(code: &Code<'_>, breaches: &mut Vec<Breach>) {
    for (number, line) in code.lines() {
        for unfinished in ["todo!", "unimplemented!"] {
            if line.contains(unfinished) {
                breaches.push(code.breach(number, unfinished, FINISHED));
            }
        }
        if line.replace(' ', "").contains("#[ignore") {
            breaches.push(code.breach(number, "an ignored test", NO_IGNORED));
        }
    }
}

fn tests_do_not_sleep(code: &Code<'_>, breaches: &mut Vec<Breach>) {
    let raw = code.file.text.lines().collect::<Vec<_>>();
    let mut clock_stands = false;
    for (number, line) in code.lines().filter(|(number, _)| code.is_test(*number)) {
        if line.contains("#[tokio::test") || line.contains("#[test]") {
            // tokio moves the time of such a test on by itself: its sleeps take none.
            clock_stands = line.contains("start_paused = true");
        }
        let mut near = (number.saturating_sub(2)..number).filter_map(|index| raw.get(index));
        let excused = clock_stands || near.any(|line| line.contains(TIME_ITSELF));
        if calls(line, "sleep") && !excused {
            breaches.push(code.breach(number, "a test sleeps", NO_SLEEP));
        }
    }
}

/// Whether a function of exactly this name is called, not defined, in the line.
fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        after.starts_with('(')
            && !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && !before.ends_with("fn ")
    })
}

fn check_core_root(file: &SourceFile) -> Vec<Breach> {
    let Some(folder) = CORE.iter().find(|folder| file.path == format!("{folder}/src/lib.rs")) else {
        return Vec::new();
    };
    let mut breaches = Vec::new();
    if !file.text.contains("#![deny(missing_docs)]") {
        breaches.push(Breach::new(&file.path, 0, "missing #![deny(missing_docs)]", DOCUMENTED));
    }
    if READS_PEERS.contains(folder) && !file.text.contains("clippy::indexing_slicing") {
        let why = "a peer's bytes must not be able to make an index panic";
        breaches.push(Breach::new(&file.path, 0, "clippy::indexing_slicing is not on", why));
    }
    breaches
}

/// Files that a `#[cfg(test)] mod name;` declares.
fn test_modules(file: &SourceFile, masked: &str) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.trim_end_matches(".rs");
    let folder = if matches!(stem, "lib" | "main" | "mod") { folder.to_owned() } else { format!("{folder}/{stem}") };
    let declared = masked.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let after = after.trim_start();
        let after = after.strip_prefix("pub(crate) ").unwrap_or(after);
        let (name, rest) = after.strip_prefix("mod ")?.split_at(after.strip_prefix("mod ")?.find([';', ' ', '{'])?);
        rest.starts_with(';').then(|| format!("{folder}/{name}"))
    });
    declared.collect()
}

fn is_test_file(path: &str, test_modules: &BTreeSet<String>) -> bool {
    let is_declared = |module: &String| path == format!("{module}.rs") || path.starts_with(&format!("{module}/"));
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/benches/")
        || test_modules.iter().any(is_declared)
}

/// For each line, whether it lies in test code: everything from `#[cfg(test)]` to the end of the item behind it.
fn test_lines(masked: &str, whole_file: bool) -> Vec<bool> {
    let count = masked.lines().count();
    if whole_file {
        return vec![true; count];
    }
    let mut tests = vec![false; count];
    let mut offset = 0;
    while let Some(at) = masked[offset..].find("#[cfg(test)]") {
        let start = offset + at;
        let end = item_end(masked, start + "#[cfg(test)]".len());
        let line = |at: usize| masked[..at].matches('\n').count();
        tests[line(start)..=line(end).min(count - 1)].fill(true);
        offset = end;
    }
    tests
}

/// Where the item ends that begins behind `start`: at its `;`, or at the brace that closes its first one.
fn item_end(masked: &str, start: usize) -> usize {
    let mut depth = 0usize;
    for (at, c) in masked[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + at + 1,
            _ => {}
        }
    }
    masked.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<(usize, String)> {
        check(&[SourceFile::new(path, text)]).into_iter().map(|breach| (breach.line, breach.what)).collect()
    }

    fn told(line: usize, what: &str) -> Vec<(usize, String)> {
        vec![(line, what.to_owned())]
    }

    #[test]
    fn the_core_ring_may_not_touch_the_world_but_its_tests_may() {
        assert_eq!(breaches("crates/consent/src/a.rs", "use std::{\n  fs,\n};"), told(2, "the core ring uses std::fs"));
        assert_eq!(
            breaches("crates/broker/src/a.rs", "let x = Instant::now();"),
            told(1, "the core ring uses Instant::now")
        );
        assert_eq!(breaches("crates/wire/src/a.rs", "tokio::time::x()"), told(1, "the core ring uses tokio::time::x"));
        assert_eq!(breaches("crates/wire/src/a.rs", "// std::fs\nlet x = \"std::fs\";"), []);
        assert_eq!(breaches("crates/wire/src/a.rs", "#[cfg(test)]\nmod tests {\n  fn f() { std::fs::read(x) }\n}"), []);
        assert_eq!(breaches("crates/wire/src/a.rs", "use std::net::{IpAddr, SocketAddr};"), []);
        assert_eq!(breaches("crates/audit/src/a.rs", "use std::fs;"), []);
        let after = "#[cfg(test)]\nmod tests;\nuse std::fs;";
        assert_eq!(breaches("crates/wire/src/a.rs", after), told(3, "the core ring uses std::fs"));
    }

    #[test]
    fn a_module_that_exists_for_tests_only_is_test_code() {
        let files = [
            SourceFile::new(
                "crates/wire/src/lib.rs",
                "#![deny(missing_docs, clippy::indexing_slicing)]\n#[cfg(test)]\nmod testing;",
            ),
            SourceFile::new("crates/wire/src/testing.rs", "use std::fs;"),
        ];
        let whats = check(&files).into_iter().map(|breach| breach.what).collect::<Vec<_>>();
        assert_eq!(whats, ["missing #![deny(missing_docs)]"]);
    }

    #[test]
    fn processes_start_in_the_executor_and_nowhere_else() {
        let starts = "use std::process::Command;";
        let what = "std::process::Command can start a process";
        assert_eq!(breaches("agent/src/front/browser.rs", starts), told(1, what));
        assert_eq!(breaches("relay/src/main.rs", "libc::fork()"), told(1, "libc::fork can start a process"));
        for path in [
            "agent/src/executor/run.rs",
            "agent/src/executor.rs",
            "crates/technician/src/detach.rs",
            "relay/tests/a.rs",
        ] {
            assert_eq!(breaches(path, starts), []);
        }
        assert_eq!(breaches("relay/src/main.rs", "use clap::Command; use std::process::ExitCode;"), []);
    }

    #[test]
    fn one_file_encodes() {
        let what = "bincode::serde::x is named outside of wire/src/codec.rs";
        assert_eq!(breaches("crates/wire/src/b.rs", "bincode::serde::x()"), told(1, what));
        assert_eq!(breaches("crates/wire/src/codec.rs", "bincode::serde::x()"), []);
    }

    #[test]
    fn unfinished_code_and_ignored_tests_are_told() {
        assert_eq!(breaches("relay/src/a.rs", "fn f() { unimplemented!() }"), told(1, "unimplemented!"));
        assert_eq!(breaches("relay/src/a.rs", concat!("#[ig", "nore = \"slow\"]")), told(1, "an ignored test"));
        assert_eq!(breaches("relay/src/a.rs", "/// Never todo!() here.\nfn f() {}"), []);
    }

    #[test]
    fn a_test_sleeps_only_if_time_itself_is_tested() {
        let path = "relay/tests/a.rs";
        assert_eq!(breaches(path, "x();\ntokio::time::sleep(d).await;"), told(2, "a test sleeps"));
        assert_eq!(breaches(path, "sleep_until(d); fn sleep() {} command(\"sleep(1)\")"), []);
        assert_eq!(breaches(path, "// time itself is tested: the timer\nthread::sleep(d);"), []);
        assert_eq!(breaches("relay/src/a.rs", "tokio::time::sleep(d).await;"), []);
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() {\n  sleep(d).await;\n}\n#[tokio::test]\nasync fn b() {\n";
        assert_eq!(breaches(path, paused), []);
        assert_eq!(breaches(path, &format!("{paused}sleep(d);")), told(7, "a test sleeps"));
    }
}
