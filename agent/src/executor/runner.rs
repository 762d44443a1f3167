//! What a runner process does, from the order to the report.
//!
//! Synchronous and single-threaded on purpose: it is the parent and reaper of a program that may be hostile, and does nothing but
//! watch it.

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    os::{
        fd::BorrowedFd,
        unix::{ffi::OsStrExt as _, net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::FdFlags,
    process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus},
};
use wire::limits::RUN_PROCESSES;
use wire::run::{ExactRun, RunOutcome, StartFailure};
use wire::text::Sentence;
use wire::time::Moment;

use super::protocol::{Order, Report, STOP_GENTLY, STOP_NOW};
use super::{resolve, tree};

/// Between asking a tree to end and killing it, when the technician cancels or time is over. A revoked run gets none.
pub const GRACE: Duration = Duration::from_secs(1);

/// How often the tree's size is looked at. Between two looks `RLIMIT_DATA` bounds each single process.
const SIZE_LOOK: Duration = Duration::from_millis(200);

/// Between two looks for processes that are still dying.
const REAP_LOOK: Duration = Duration::from_millis(5);

/// How long processes that cannot be killed are waited for before the runner gives up and says so.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the order that comes in on standard input and reports on the same socket.
///
/// Returns when the program and everything that it started is gone.
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE, // the agent is gone or talks nonsense; there is nobody to tell
    }
}

fn serve() -> io::Result<()> {
    let mut agent = UnixStream::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let order = Order::read(&mut agent)?;
    let outcome = match prepare(&order) {
        Ok(()) => Watch::spawn(&order.exact, &agent).map_or_else(
            |reason| Ok(RunOutcome::NotStarted { reason }),
            |mut watch| {
                let outcome = watch.until_over();
                let gone = watch.clear_tree()?;
                Ok::<_, io::Error>(if gone { outcome? } else { RunOutcome::Lost })
            },
        )?,
        Err(reason) => RunOutcome::NotStarted { reason },
    };
    agent.write_all(&Report { outcome }.to_bytes()?)
}

/// Makes this process fit to be the parent of the program, and checks that the order is what was approved.
fn prepare(order: &Order) -> Result<(), StartFailure> {
    let same = trust::run_digest(&order.exact).is_ok_and(|digest| digest == order.digest);
    if !same || rustix::process::geteuid().as_raw() != order.exact.user_id {
        return Err(StartFailure::NotAsApproved);
    }
    let program = Path::new(OsStr::from_bytes(&order.exact.program));
    match resolve::file_identity(program) {
        Ok(found) if found == order.exact.file => {}
        Ok(_) => return Err(StartFailure::FileChanged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StartFailure::NotFound),
        Err(error) => return Err(system(&error)),
    }
    if !Path::new(OsStr::from_bytes(&order.exact.directory)).is_dir() {
        return Err(StartFailure::Directory);
    }
    confine(order.exact.limits.memory_mib).map_err(|error| system(&error))
}

fn confine(memory_mib: u32) -> io::Result<()> {
    // The program is of the same user: without this it could take the runner over and report what it likes.
    super::shield()?;
    // A session of its own: no controlling terminal, so nothing can be typed into the person's prompt from in here.
    rustix::process::setsid()?;
    // Everything that loses its parent becomes ours and can be found and killed.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    keep_descriptors_back()?;
    // Set-user-id programs give no rights: that would be another ability (`elevate`).
    rustix::thread::set_no_new_privs(true)?;
    let lower = |resource, wanted: u64| {
        let now = rustix::process::getrlimit(resource);
        let limit = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
    };
    lower(Resource::Core, 0)?;
    // The looks at the whole tree enforce the limit; this bounds what a single process takes between two looks.
    lower(Resource::Data, u64::from(memory_mib) << 21)?;
    Ok(())
}

/// Keeps from the program whatever this process was left by those who started the agent: files, sockets, a terminal.
#[expect(unsafe_code, reason = "a descriptor that this process knows by number alone has to be borrowed")]
fn keep_descriptors_back() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if number > 2 {
            // SAFETY: it is open, as it is listed, and this single-threaded process closes none meanwhile.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
        }
    }
    Ok(())
}

/// The program, watched.
struct Watch<'a> {
    agent: &'a UnixStream,
    this: Pid,
    program: Pid,
    exit: std::os::fd::OwnedFd,
    status: Option<WaitStatus>,
    deadline: Moment,
    memory_bytes: u64,
}

impl<'a> Watch<'a> {
    fn spawn(exact: &ExactRun, agent: &'a UnixStream) -> Result<Self, StartFailure> {
        let child = command(exact).spawn().map_err(|error| start_failure(&error))?;
        let program = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(StartFailure::NotAsApproved)?;
        close_outputs().map_err(|error| system(&error))?;
        let exit = rustix::process::pidfd_open(program, PidfdFlags::empty()).map_err(|error| system(&error.into()))?;
        Ok(Self {
            agent,
            this: rustix::process::getpid(),
            program,
            exit,
            status: None,
            deadline: transport::clock::now() + Duration::from_secs(exact.limits.time_secs.into()),
            memory_bytes: u64::from(exact.limits.memory_mib) << 20,
        })
    }

    /// Waits until the program has ended or must end.
    fn until_over(&mut self) -> io::Result<RunOutcome> {
        loop {
            self.reap()?;
            if let Some(status) = self.status {
                return Ok(outcome_of(status));
            }
            let now = transport::clock::now();
            if now >= self.deadline {
                self.end_gently()?;
                return Ok(RunOutcome::TimedOut);
            }
            let size = tree::size(self.this)?;
            if size.resident_bytes > self.memory_bytes {
                return Ok(RunOutcome::OverMemory);
            }
            if size.processes > RUN_PROCESSES {
                return Ok(RunOutcome::OverProcesses);
            }
            match self.wait_for_order((self.deadline - now).min(SIZE_LOOK))? {
                Some(STOP_NOW) => return Ok(RunOutcome::Revoked),
                Some(STOP_GENTLY) => {
                    return self.end_gently().map(|revoked| revoked.unwrap_or(RunOutcome::Cancelled));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Asks the tree to end and waits up to [`GRACE`]; whatever is left is killed by the caller.
    ///
    /// Returns `Revoked` if the agent asked for haste meanwhile.
    fn end_gently(&mut self) -> io::Result<Option<RunOutcome>> {
        tree::signal(self.this, Signal::TERM)?;
        let until = transport::clock::now() + GRACE;
        loop {
            self.reap()?;
            let left = until - transport::clock::now();
            if left.is_zero() || tree::is_gone(self.this)? {
                return Ok(None);
            }
            if self.wait_for_order(left.min(REAP_LOOK * 4))? == Some(STOP_NOW) {
                return Ok(Some(RunOutcome::Revoked));
            }
        }
    }

    /// Kills whatever is left of the tree. Returns whether everything is gone.
    fn clear_tree(&mut self) -> io::Result<bool> {
        let until = transport::clock::now() + KILL_DEADLINE;
        self.kill_group();
        loop {
            self.reap()?;
            if tree::is_gone(self.this)? {
                return Ok(true);
            }
            if transport::clock::now() >= until {
                return Ok(false);
            }
            tree::kill(self.this)?;
            nap(REAP_LOOK)?;
        }
    }

    /// Kills the program's process group, which is all of most trees, by one call that no fork escapes. Finding those who left the group
    /// takes a look at every process of the machine, and comes after.
    fn kill_group(&self) {
        // Once the program was waited for, its number may be somebody else's.
        if self.status.is_none() {
            // An empty group is as good as a dead one.
            let _ = rustix::process::kill_process_group(self.program, Signal::KILL);
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.program => self.status = Some(status),
                Ok(Some(_)) => {}
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a byte from the agent, the end of the program, or `at_most`. A closed socket counts as [`STOP_NOW`].
    fn wait_for_order(&self, at_most: Duration) -> io::Result<Option<u8>> {
        let mut fds = [PollFd::new(self.agent, PollFlags::IN)];
        let mut with_exit = [PollFd::new(self.agent, PollFlags::IN), PollFd::new(&self.exit, PollFlags::IN)];
        // Once the program has ended its descriptor would always be ready.
        let fds: &mut [PollFd<'_>] = if self.status.is_some() { &mut fds } else { &mut with_exit };
        poll(fds, at_most)?;
        if fds.first().is_none_or(|fd| fd.revents().is_empty()) {
            return Ok(None);
        }
        let mut byte = [0];
        match rustix::io::read(self.agent, &mut byte) {
            Ok(0) | Err(rustix::io::Errno::CONNRESET) => Ok(Some(STOP_NOW)),
            Ok(_) => Ok(byte.first().copied()),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the executor: the one place that starts processes")]
fn command(exact: &ExactRun) -> Command {
    let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    let mut command = Command::new(text(&exact.program));
    command
        .args(exact.arguments.iter().map(|argument| text(argument)))
        .current_dir(text(&exact.directory))
        .env_clear()
        .envs(exact.environment.iter().map(|variable| (text(&variable.name), text(&variable.value))))
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Lets go of the program's outputs, so that their other end sees them end with the program.
fn close_outputs() -> io::Result<()> {
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}

fn poll(fds: &mut [PollFd<'_>], at_most: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
    match rustix::event::poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn nap(time: Duration) -> io::Result<()> {
    poll(&mut [], time)
}

fn outcome_of(status: WaitStatus) -> RunOutcome {
    let small = |number: i32| u8::try_from(number).ok();
    let exited = status.exit_status().and_then(small).map(|code| RunOutcome::Exited { code });
    let signalled = || status.terminating_signal().and_then(small).map(|signal| RunOutcome::Signalled { signal });
    exited.or_else(signalled).unwrap_or(RunOutcome::Lost)
}

fn start_failure(error: &io::Error) -> StartFailure {
    match rustix::io::Errno::from_io_error(error) {
        // The program and the directory were there a moment ago: what is missing is the script's interpreter.
        Some(rustix::io::Errno::NOENT) => StartFailure::NotFound,
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::NOEXEC) => StartFailure::NotExecutable,
        Some(_) | None => system(error),
    }
}

fn system(error: &io::Error) -> StartFailure {
    StartFailure::System { detail: Sentence::cut(&error.to_string()) }
}
