//! Starts the programs that diagnostics are read from: the closed list [`Tool`], never what a peer named.

use std::{
    io::{self, Read},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use diagnostics::{RunTools, Tool};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process_group},
};
use transport::clock;
use wire::time::Moment;

use super::resolve::SEARCH_PATH;

/// Starts them as the agent's own user, with nothing of the agent's environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tools;

impl RunTools for Tools {
    fn start(&self, tool: &Tool, limit: Duration) -> io::Result<Box<dyn Read + Send>> {
        let mut child = command(tool).spawn()?;
        let Some(output) = child.stdout.take() else {
            return Err(io::Error::other("its output cannot be read"));
        };
        Ok(Box::new(Running { child, output, ends_at: clock::now() + limit }))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the executor")]
fn command(tool: &Tool) -> std::process::Command {
    let mut command = std::process::Command::new(tool.program());
    command
        .args(tool.arguments())
        .env_clear()
        // Where the program itself is looked for as well.
        .env("PATH", SEARCH_PATH)
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// A program that is being read. Dropping it kills it and what it started.
#[derive(Debug)]
struct Running {
    child: Child,
    output: ChildStdout,
    ends_at: Moment,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.ends_at - clock::now();
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
            }
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            let ready = [PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN)];
            match poll(&mut { ready }, Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.output.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already and was not waited for yet is still there to be named, so nobody else is hit.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &str, limit: Duration) -> io::Result<String> {
        let mut command = command_line(script);
        let mut child = command.spawn()?;
        let output = child.stdout.take().unwrap();
        let mut text = String::new();
        Running { child, output, ends_at: clock::now() + limit }.read_to_string(&mut text)?;
        Ok(text)
    }

    /// As [`command`], with a shell in place of the tool.
    #[expect(clippy::disallowed_methods, reason = "this is the executor")]
    fn command_line(script: &str) -> std::process::Command {
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        shell
    }

    #[test]
    fn what_a_tool_prints_is_read_to_its_end() {
        assert_eq!(read("printf 'a\\nb'", Duration::from_secs(60)).unwrap(), "a\nb");
    }

    #[test]
    fn a_tool_that_hangs_is_given_up_and_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("alive");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        // Both hold the other end of the fifo open for as long as they live.
        let script = format!("exec 9<>'{0}'; sleep 1000 & exec sleep 1000", fifo.display());
        let error = read(&script, Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        // A killed process may take a moment to close what it held; only its end lets this fail.
        while rustix::fs::open(&fifo, flags, rustix::fs::Mode::empty()).is_ok() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_tool_that_is_not_there_says_so_and_none_sees_the_agents_environment() {
        let journal = Tool::JournalBoots;
        let command = command(&journal);
        let names = command.get_envs().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names, ["LC_ALL", "PATH"]);
        assert_eq!(command.get_current_dir(), Some(std::path::Path::new("/")));
    }
}
