//! Starts the programs that diagnostics are read from: the closed list [`Tool`], never what a peer named.

use std::{
    io::{self, Read},
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use diagnostics::{RunTools, Tool};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid},
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
        Ok(Box::new(Running { tool: tool.clone(), child, output, ends_at: clock::now() + limit, ended: false }))
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

/// A program that is being read. Its output ends with an error unless the program succeeds. Dropping it kills it and what it started.
#[derive(Debug)]
struct Running {
    tool: Tool,
    child: Child,
    output: ChildStdout,
    ends_at: Moment,
    /// It has succeeded.
    ended: bool,
}

impl Running {
    /// Waits until there is something to read from `file`, or nothing more.
    fn wait_for(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let left = self.ends_at - clock::now();
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
            }
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::IN)], Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// It has printed everything. One that fails may have printed less than there is, or nothing.
    fn succeed(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        let end = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        self.wait_for(end.as_fd())?;
        // It stays there to be named until this is dropped.
        let status = waitid(WaitId::PidFd(end.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        match status.and_then(|status| status.exit_status()) {
            Some(code) if self.tool.succeeds_with(code) => {
                self.ended = true;
                Ok(())
            }
            Some(code) => Err(io::Error::other(format!("{} failed with code {code}", self.tool.program()))),
            None => Err(io::Error::other(format!("{} was stopped by somebody", self.tool.program()))),
        }
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait_for(self.output.as_fd())?;
        let length = self.output.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            self.succeed()?;
        }
        Ok(length)
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
        let tool = Tool::JournalBoots;
        Running { tool, child, output, ends_at: clock::now() + limit, ended: false }.read_to_string(&mut text)?;
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
    fn a_tool_that_fails_has_not_printed_everything() {
        let minute = Duration::from_secs(60);
        assert_eq!(read("echo some; exit 1", minute).unwrap_err().to_string(), "journalctl failed with code 1");
        let stopped = read("echo some; kill -9 $$", minute).unwrap_err();
        assert_eq!(stopped.to_string(), "journalctl was stopped by somebody");
        let error = read("exec >&-; exec sleep 1000", Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "it said that there is nothing more, and did not end");
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
