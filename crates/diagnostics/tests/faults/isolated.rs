//! Tests with a piece of the machine to themselves: processes, mounts and networks of their own, which are gone when the test ends,
//! however it ends.

use std::{
    any::type_name,
    env,
    fs::{self, File},
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Says to a test which one it is that runs isolated.
const INSIDE: &str = "ISOLATED_TEST";

/// Printed when a body has come to its end: a test that ran none of its lines ends well, too.
const DONE: &str = "the isolated test came to its end";

/// Printed where nothing was tested.
const SKIPPED: &str = "SKIPPED, NOTHING WAS TESTED";

/// Seconds after which a test that hangs is ended.
const PATIENCE: &str = "60";

/// What the test has to itself (unshare(1)). Its mount of `/proc` shows its own processes alone, and it is the first of them, so that
/// the kernel ends all others with it.
const NAMESPACES: [&str; 7] =
    ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--net", "--propagation=private"];

/// Runs `body` isolated, as root. Where that is not permitted nothing is tested, which is said loudly.
pub(crate) fn isolated<F: FnOnce()>(body: F) {
    isolated_in(&[], GroupView::Whole, body);
}

/// What a process in control groups sees of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupView {
    /// All there are, as a service does.
    Whole,
    /// Its own and those below, as a container does.
    Own,
}

/// As [`isolated`], as a member of the control groups in these folders, which a test that limits itself makes.
#[expect(clippy::print_stdout, reason = "it tells the test that started it")]
pub(crate) fn isolated_in<F: FnOnce()>(groups: &[PathBuf], view: GroupView, body: F) {
    let test = test_of::<F>();
    if is_inside(test) {
        body();
        println!("{DONE}");
        return;
    }
    let may = output(program("unshare").args(NAMESPACES).arg("true"));
    if !may.status.success() {
        let why = String::from_utf8_lossy(&may.stderr).into_owned();
        assert!(why.contains("not permitted") || why.contains("denied"), "unshare: {why}");
        return skip(&format!("this user may not have namespaces ({}); run as root", why.trim()));
    }
    // A process joins its groups before it gets a view of them of its own, as in a container.
    let script = "for group; do [ \"$group\" = -- ] && break; echo $$ >\"$group/cgroup.procs\" || exit; shift; done; shift; exec \"$@\"";
    let mut run = program("sh");
    run.args(["-c", script, "sh"])
        .args(groups)
        .args(["--", "timeout", "--signal=KILL", PATIENCE, "unshare"])
        .args(NAMESPACES);
    if view == GroupView::Own {
        run.arg("--cgroup");
    }
    run.arg("--").arg(env::current_exe().unwrap()).args(arguments(test)).env(INSIDE, test);
    told(test, &output(&mut run));
}

/// Goes on with `body` in a process of a user without rights. Inside of [`isolated`] only.
pub(crate) fn as_nobody<F: FnOnce()>(body: F) {
    let test = test_of::<F>();
    if rustix::process::getuid().as_raw() == NOBODY {
        return body();
    }
    // The program may lie in a folder that only its owner can enter.
    let here = scratch("nobody").join("test");
    fs::copy("/proc/self/exe", &here).unwrap();
    let mut run = program(&here.to_string_lossy());
    run.args(arguments(test)).env(INSIDE, test).uid(NOBODY).gid(NOBODY).current_dir("/");
    told(test, &output(&mut run));
}

/// The number that Linux gives to nobody.
const NOBODY: u32 = 65_534;

/// Whether this process is `test`, isolated.
fn is_inside(test: &str) -> bool {
    env::var_os(INSIDE).is_some_and(|inside| inside == test)
}

/// The test that a closure stands in, as the harness calls it: the closure's path without the crate and without itself.
fn test_of<F>() -> &'static str {
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, test)| test)
}

fn arguments(test: &str) -> [&str; 4] {
    ["--exact", test, "--nocapture", "--test-threads=1"]
}

/// Passes on what an isolated run says, and fails as it does.
#[expect(clippy::print_stderr, reason = "what was skipped has to be seen")]
fn told(test: &str, run: &Output) {
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && out.contains(DONE), "{test}, isolated: {}\n{out}\n{err}", run.status);
    eprint!("{err}");
}

/// Says that this test could not be made.
#[expect(clippy::print_stderr, reason = "what was skipped has to be seen")]
pub(crate) fn skip(why: &str) {
    eprintln!("{SKIPPED}: {why}");
}

/// A folder that only this test sees, and that is gone with it.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let all = Path::new("/mnt");
    // The first one covers whatever the machine has there.
    if !all.join(MARK).exists() {
        mount(&["-t", "tmpfs", "-o", "mode=755", "scratch", "/mnt"]);
        File::create(all.join(MARK)).unwrap();
    }
    let folder = all.join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

/// Stands in the scratch folder of a test.
const MARK: &str = ".scratch-of-an-isolated-test";

/// Mounts something where only this test sees it.
pub(crate) fn mount(arguments: &[&str]) {
    succeed("mount", arguments);
}

/// Runs a program that has to succeed, and says what it printed.
pub(crate) fn succeed(name: &str, arguments: &[&str]) -> String {
    let done = output(program(name).args(arguments));
    assert!(done.status.success(), "{name} {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Starts a shell that prints a line when everything is as the test wants it, and waits for that line. It ends with the test. Says
/// whether the line came.
#[expect(clippy::zombie_processes, reason = "the kernel ends it with the test")]
pub(crate) fn shell(script: &str) -> bool {
    let child = program("sh").args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.unwrap().read_exact(&mut [0]).is_ok()
}

/// A program that a test needs.
#[expect(clippy::disallowed_methods, reason = "a test makes a faulty machine with the real programs")]
pub(crate) fn program(name: &str) -> Command {
    Command::new(name)
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}
