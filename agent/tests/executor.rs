//! Approved runs against real programs and real processes: what starts, what it may do, and that nothing is left.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail with the test")]

use std::{
    collections::BTreeSet,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use agent::executor::{
    Executor, Running, Stop,
    resolve::{Account, resolve},
};
use tokio::io::AsyncReadExt as _;
use wire::ids::RunId;
use wire::run::{ApprovedRun, RunLimits, RunOutcome, RunProposal, StartFailure, Variable};
use wire::text::Sentence;

#[tokio::test]
async fn a_program_gets_exactly_its_arguments_and_no_shell() {
    let hostile = ["; rm -rf /", "$(id)", "`id`", "two words", "", "--flag", "..", "a\nb", "\u{202e}x", "*"];
    let done = run(proposal("printf", &[&["[%s]"], hostile.as_slice()].concat())).await;
    assert_eq!(done.outcome, RunOutcome::Exited { code: 0 });
    assert_eq!(done.stdout, hostile.map(|argument| format!("[{argument}]")).concat());
}

#[tokio::test]
async fn the_environment_is_the_approved_one_and_nothing_else() {
    let mut wanted = proposal("env", &[]);
    wanted.environment = vec![Variable { name: b"TICKET".to_vec(), value: b"42 $HOME".to_vec() }];
    let done = run(wanted).await;
    let names = done.stdout.lines().filter_map(|line| line.split('=').next()).collect::<BTreeSet<_>>();
    assert_eq!(names, BTreeSet::from(["HOME", "LANG", "LOGNAME", "PATH", "TERM", "TICKET", "USER"]));
    assert!(done.stdout.contains("TICKET=42 $HOME\n"));
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    assert_eq!(run(shell("exit 7")).await.outcome, RunOutcome::Exited { code: 7 });
    assert_eq!(run(shell("kill -USR1 $$")).await.outcome, RunOutcome::Signalled { signal: 10 });
}

#[tokio::test]
async fn standard_output_and_standard_error_stay_apart_and_input_is_empty() {
    let done = run(shell("cat; echo out; echo err >&2")).await;
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_killed() {
    let mut slow = shell("sleep 600");
    slow.limits.time_secs = 1;
    assert_eq!(run(slow).await.outcome, RunOutcome::TimedOut);
}

#[tokio::test]
async fn revoking_kills_a_tree_that_ignores_every_request_to_end() {
    let world = Marked::new();
    let mut running = start(&world.script("trap '' TERM HUP INT; sleep 600 & sleep 600"));
    world.wait_for_processes(3).await;
    running.handle.stopper().stop(Stop::Now);
    assert_eq!(running.handle.finished().await, RunOutcome::Revoked);
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn cancelling_lets_a_program_clean_up() {
    let world = Marked::new();
    let mut running = start(&world.script("trap 'echo tidied; exit 3' TERM; echo ready; while :; do sleep 0.01; done"));
    let mut first = [0; 6];
    running.stdout.read_exact(&mut first).await.unwrap();
    running.handle.stopper().stop(Stop::Gently);
    let mut rest = String::new();
    running.stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(running.handle.finished().await, RunOutcome::Cancelled);
    assert_eq!(rest, "tidied\n");
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn a_daemon_that_forks_twice_into_its_own_session_is_killed_with_the_run() {
    let world = Marked::new();
    let running = start(&world.script("(setsid sh -c 'sleep 600 & sleep 600' >/dev/null 2>&1 &) ; exit 0"));
    assert_eq!(finish(running).await.outcome, RunOutcome::Exited { code: 0 });
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn a_tree_that_keeps_forking_is_killed() {
    let world = Marked::new();
    // Each process is replaced by a new one in a moment: a list of them is old before it is read.
    let mut running = start(&world.script("f() { sleep 0.005; f & }; f & f & f & wait; sleep 600"));
    world.wait_for_processes(4).await;
    running.handle.stopper().stop(Stop::Now);
    assert_eq!(running.handle.finished().await, RunOutcome::Revoked);
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn stopping_reaches_a_program_that_stopped_its_runner() {
    let world = Marked::new();
    let mut running = start(&world.script("kill -STOP $PPID; sleep 600 & sleep 600"));
    world.wait_for_processes(3).await;
    running.handle.stopper().stop(Stop::Now);
    let outcome = tokio::time::timeout(Duration::from_secs(5), running.handle.finished()).await;
    assert_eq!(outcome, Ok(RunOutcome::Revoked));
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn cancelling_reaches_a_program_that_stopped_its_runner() {
    let world = Marked::new();
    let mut running = start(&world.script("kill -STOP $PPID; sleep 600 & sleep 600"));
    world.wait_for_processes(3).await;
    running.handle.stopper().stop(Stop::Gently);
    let outcome = tokio::time::timeout(Duration::from_secs(20), running.handle.finished()).await;
    assert_eq!(outcome, Ok(RunOutcome::Cancelled));
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn time_runs_out_for_a_program_that_stopped_its_runner() {
    let world = Marked::new();
    let mut slow = world.script("kill -STOP $PPID; sleep 600 & sleep 600");
    slow.limits.time_secs = 1;
    let mut running = start(&slow);
    let outcome = tokio::time::timeout(Duration::from_secs(20), running.handle.finished()).await;
    assert_eq!(outcome, Ok(RunOutcome::TimedOut));
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn revoking_does_not_wait_for_a_cancel_that_is_under_way() {
    let world = Marked::new();
    let mut running = start(&world.script("kill -STOP $PPID; sleep 600 & sleep 600"));
    world.wait_for_processes(3).await;
    running.handle.stopper().stop(Stop::Gently);
    running.handle.stopper().stop(Stop::Now);
    let outcome = tokio::time::timeout(Duration::from_secs(5), running.handle.finished()).await;
    assert_eq!(outcome, Ok(RunOutcome::Revoked));
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn nothing_is_left_of_a_program_that_killed_its_runner() {
    let world = Marked::new();
    let mut running = start(&world.script("setsid sleep 600 & kill -KILL $PPID; sleep 600"));
    assert_eq!(running.handle.finished().await, RunOutcome::Lost);
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn a_run_dies_with_its_agent() {
    let world = Marked::new();
    let running = start(&world.script("trap '' TERM HUP; sleep 600"));
    world.wait_for_processes(2).await;
    drop(running); // closes the socket and kills the runner, as the end of the agent would
    world.wait_for_processes(0).await;
}

#[tokio::test]
async fn a_tree_that_takes_too_much_memory_is_killed() {
    let mut greedy = shell("head -c 60000000 /dev/zero | tail -c 55000000 | sleep 600");
    greedy.limits.memory_mib = 40;
    assert_eq!(run(greedy).await.outcome, RunOutcome::OverMemory);
}

#[tokio::test]
async fn a_tree_of_too_many_processes_is_killed() {
    let world = Marked::new();
    let script = "i=0; while [ $i -lt 600 ]; do sleep 600 & i=$((i+1)); done; wait";
    let mut many = world.script(script);
    many.limits.memory_mib = 8192;
    assert_eq!(run(many).await.outcome, RunOutcome::OverProcesses);
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn a_program_cannot_reach_the_persons_terminal() {
    let done = run(shell("cat /dev/tty; ps -o tty= -p $$ 2>/dev/null || cut -d' ' -f7 /proc/$$/stat")).await;
    assert!(done.stderr.contains("/dev/tty"), "{}", done.stderr);
    assert!(["?", "0"].contains(&done.stdout.trim()), "{}", done.stdout);
}

#[tokio::test]
async fn a_program_inherits_no_descriptor_but_its_outputs() {
    // What started the agent may have left it descriptors that every program inherits.
    let (_left_open, _other) = rustix::pipe::pipe().unwrap();
    let done = run(proposal("ls", &["/proc/self/fd"])).await;
    assert_eq!(done.stdout, "0\n1\n2\n3\n", "the last one is the directory that is being listed");
}

#[tokio::test]
async fn rights_cannot_be_gained_by_a_set_user_id_program() {
    let done = run(proposal("grep", &["NoNewPrivs", "/proc/self/status"])).await;
    assert_eq!(done.stdout, "NoNewPrivs:\t1\n");
}

#[tokio::test]
async fn a_program_that_was_replaced_after_the_approval_does_not_run() {
    let world = Marked::new();
    let program = world.program("#!/bin/sh\necho good\n");
    let approved = approve(&proposal(program.to_str().unwrap(), &[]));
    std::fs::remove_file(&program).unwrap();
    world.program("#!/bin/sh\necho evil\n");
    let done = finish(executor().start(&approved).unwrap()).await;
    assert_eq!(done.outcome, RunOutcome::NotStarted { reason: StartFailure::FileChanged });
    assert_eq!(done.stdout, "");
}

#[tokio::test]
async fn a_changed_argument_or_a_forged_digest_does_not_run() {
    let mut approved = approve(&proposal("echo", &["good"]));
    approved.exact.arguments = vec![b"evil".to_vec()];
    let done = finish(executor().start(&approved).unwrap()).await;
    assert_eq!(done.outcome, RunOutcome::NotStarted { reason: StartFailure::NotAsApproved });
    assert_eq!(done.stdout, "");
}

#[tokio::test]
async fn a_script_without_its_interpreter_and_a_file_of_nonsense_do_not_start() {
    let world = Marked::new();
    let script = world.program("#!/no/such/interpreter\n");
    let done = run(proposal(script.to_str().unwrap(), &[])).await;
    assert_eq!(done.outcome, RunOutcome::NotStarted { reason: StartFailure::NotFound });
    let nonsense = world.program("\u{0}\u{1}\u{2} no program\n");
    let done = run(proposal(nonsense.to_str().unwrap(), &[])).await;
    assert_eq!(done.outcome, RunOutcome::NotStarted { reason: StartFailure::NotExecutable });
}

struct Done {
    outcome: RunOutcome,
    stdout: String,
    stderr: String,
}

fn executor() -> Executor {
    Executor::with_runner(PathBuf::from(env!("CARGO_BIN_EXE_assent-share")))
}

fn proposal(program: &str, arguments: &[&str]) -> RunProposal {
    RunProposal {
        run: RunId(1),
        reason: Sentence::default(),
        program: program.into(),
        arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        directory: Some(b"/".to_vec()),
        environment: vec![],
        limits: RunLimits { time_secs: 120, ..RunLimits::DEFAULT },
    }
}

fn shell(script: &str) -> RunProposal {
    proposal("/bin/sh", &["-c", script])
}

fn approve(proposal: &RunProposal) -> ApprovedRun {
    let exact = resolve(proposal, &Account::current()).unwrap();
    let digest = trust::run_digest(&exact).unwrap();
    ApprovedRun { exact, digest }
}

fn start(proposal: &RunProposal) -> Running {
    executor().start(&approve(proposal)).unwrap()
}

async fn run(proposal: RunProposal) -> Done {
    finish(start(&proposal)).await
}

async fn finish(mut running: Running) -> Done {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (_, _, outcome) = tokio::join!(
        running.stdout.read_to_end(&mut stdout),
        running.stderr.read_to_end(&mut stderr),
        running.handle.finished()
    );
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { outcome, stdout: text(stdout), stderr: text(stderr) }
}

/// A folder whose path stands in the environment of every process of one run, so that they can be counted.
struct Marked {
    folder: tempfile::TempDir,
}

impl Marked {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn script(&self, script: &str) -> RunProposal {
        let mark = Variable { name: b"MARK".to_vec(), value: self.mark().into_bytes() };
        RunProposal { environment: vec![mark], ..shell(script) }
    }

    fn mark(&self) -> String {
        self.folder.path().to_str().unwrap().to_owned()
    }

    fn program(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("program");
        let _ = std::fs::remove_file(&path);
        std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn processes(&self) -> usize {
        let mark = self.mark();
        let marked = |path: &Path| {
            let mut environment = Vec::new();
            let read =
                std::fs::File::open(path.join("environ")).and_then(|mut file| file.read_to_end(&mut environment));
            read.is_ok() && String::from_utf8_lossy(&environment).contains(&mark)
        };
        std::fs::read_dir("/proc").unwrap().filter(|entry| marked(&entry.as_ref().unwrap().path())).count()
    }

    /// Waits until the number of processes has reached `count`: at least, or exactly if it is zero.
    async fn wait_for_processes(&self, count: usize) {
        let reached = |now: usize| if count == 0 { now == 0 } else { now >= count };
        let wait = async {
            while !reached(self.processes()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("processes did not reach the number");
    }
}
