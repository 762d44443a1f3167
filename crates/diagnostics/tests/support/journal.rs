//! A journal of the test's own: real files, read by the real journalctl.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use diagnostics::{Bus, Roots, RunTools, Sources, Tool};

/// Writes journals from the export format; it comes with the Debian package of the same name and lies outside `PATH`.
const WRITER: &str = "/usr/lib/systemd/systemd-journal-remote";

/// A machine that has nothing but a journal.
#[derive(Debug)]
pub(crate) struct JournalMachine {
    folder: tempfile::TempDir,
}

impl JournalMachine {
    /// A machine with these entries, each a list of fields. A field's value may be any bytes.
    #[expect(clippy::disallowed_methods, reason = "a test makes the journal that it reads, in a folder of its own")]
    pub(crate) fn with(entries: &[Vec<(&str, Vec<u8>)>]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let journals = machine.folder.path().join("var/log/journal");
        fs::create_dir_all(&journals).unwrap();
        let mut export = Vec::new();
        for entry in entries {
            for (name, value) in entry {
                // Plain values in one line, others in the form for any bytes; see systemd's `JOURNAL_EXPORT_FORMATS`.
                if value.is_ascii() && !value.iter().any(u8::is_ascii_control) {
                    export.extend_from_slice(&[name.as_bytes(), b"=", value, b"\n"].concat());
                    continue;
                }
                export.extend_from_slice(format!("{name}\n").as_bytes());
                export.extend_from_slice(&u64::try_from(value.len()).unwrap().to_le_bytes());
                export.extend_from_slice(value);
                export.push(b'\n');
            }
            export.push(b'\n');
        }
        let exported = machine.folder.path().join("export");
        fs::write(&exported, export).unwrap();
        let written = Command::new(WRITER)
            .arg(format!("--output={}", journals.join("test.journal").display()))
            .arg(&exported)
            .stderr(Stdio::null())
            .status()
            .expect("systemd-journal-remote is installed");
        assert!(written.success());
        machine
    }

    /// Gives the machine a file.
    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    pub(crate) fn write(&self, file: &str, content: &str) {
        fs::write(self.folder.path().join(file), content).unwrap();
    }

    /// The machine as sections see it.
    pub(crate) fn sources(&self) -> Sources {
        let at = |folder: &str| self.folder.path().join(folder);
        let roots = Roots::under(self.folder.path());
        let tools = Arc::new(RealTools { journals: at("var/log/journal") });
        Sources { roots, bus: Bus::at(&at("no-bus")), tools, ..Sources::default() }
    }
}

/// Starts the real programs, with the journal of the test in place of the machine's.
#[derive(Debug)]
struct RealTools {
    journals: PathBuf,
}

impl RunTools for RealTools {
    #[expect(clippy::disallowed_methods, reason = "where programs may be started is not here, so the test does it")]
    fn start(&self, tool: &Tool, _: Duration) -> io::Result<Box<dyn Read + Send>> {
        let mut child = Command::new(tool.program())
            .arg(format!("--directory={}", self.journals.display()))
            .args(tool.arguments())
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("it is piped");
        Ok(Box::new(Output { child, output }))
    }
}

/// Ends the program when it is dropped.
struct Output {
    child: Child,
    output: ChildStdout,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.read(buffer)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}
