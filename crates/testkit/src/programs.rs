//! Where the built programs are, and private homes for them.

use std::{
    env, fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;
use tokio::process::Command;

/// One of the programs of this tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `assent-relay`.
    Relay,
    /// `assent-share`, the agent.
    Share,
    /// `assent`, the technician client.
    Technician,
}

impl Program {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Relay, Self::Share, Self::Technician];

    /// Its file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "assent-relay",
            Self::Share => "assent-share",
            Self::Technician => "assent",
        }
    }

    /// Package that it is built from.
    fn package(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Share => "agent",
            Self::Technician => "technician",
        }
    }

    /// The program as it is shipped, of the same profile as the running test; for a program that is not a test, the one beside it.
    ///
    /// A library has the features that anything asks for that is built along with it, tests and benches included. So the programs of
    /// tests have a folder of their own, `shipped` in the target directory, and are built by themselves with their own features:
    /// otherwise nobody would notice that what is shipped lacks one. They are built together, as the demo builds them, because each
    /// by itself would compile tokio and all above it three times. The agent, which reads most, gets nothing by it but defaults of two
    /// libraries that ask nobody (`hashbrown`, `mio`); the relay gets code of `transport` that it does not call (`port-mapping`).
    ///
    /// They are built when they are not there or older than their sources, as cargo's own record of them (`assent-share.d` and so on)
    /// tells.
    ///
    /// # Errors
    ///
    /// When it does not build.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        let programs = programs_dir(&env::current_exe().context("this process has no path")?)?;
        let path = programs.join(self.name());
        // One build at a time in this process; cargo's own lock keeps processes apart.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _guard = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_fresh(&path) {
            build(&programs)?;
        }
        if !path.is_file() {
            bail!("{} was built but is not there", path.display());
        }
        Ok(path)
    }

    /// A command that runs the program in `home`, and knows nothing of this process's environment but `PATH`.
    ///
    /// # Errors
    ///
    /// As [`Program::path`].
    pub fn command(self, home: &Home) -> anyhow::Result<Command> {
        let mut command = command(self.path()?);
        home.apply(&mut command);
        Ok(command)
    }
}

/// A person's home on one machine: own configuration, state and runtime directories, gone when dropped.
#[derive(Debug)]
pub struct Home {
    root: TempDir,
}

impl Home {
    /// Makes an empty home.
    ///
    /// # Errors
    ///
    /// When the temporary directory cannot be written.
    pub fn new() -> anyhow::Result<Self> {
        // A short name: the path of a Unix socket within may have 107 bytes.
        let root = tempfile::Builder::new().prefix("as").tempdir().context("no temporary directory")?;
        let home = Self { root };
        for directory in [home.runtime(), home.state(), home.config(), home.data(), home.cache()] {
            fs::create_dir(&directory)?;
            fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        }
        Ok(home)
    }

    /// `HOME`.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// `XDG_RUNTIME_DIR`.
    pub fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    /// `XDG_STATE_HOME`.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// `XDG_CONFIG_HOME`.
    pub fn config(&self) -> PathBuf {
        self.path().join("config")
    }

    /// `XDG_DATA_HOME`.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// `XDG_CACHE_HOME`.
    pub fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// Gives `command` this home and nothing else of the present environment but `PATH`.
    pub fn apply(&self, command: &mut Command) {
        command.env_clear();
        if let Some(path) = env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .env("HOME", self.path())
            .env("XDG_RUNTIME_DIR", self.runtime())
            .env("XDG_STATE_HOME", self.state())
            .env("XDG_CONFIG_HOME", self.config())
            .env("XDG_DATA_HOME", self.data())
            .env("XDG_CACHE_HOME", self.cache())
            .env("LANG", "C.UTF-8")
            .env("RUST_BACKTRACE", "1")
            .current_dir(self.path());
    }
}

/// The machine that a program runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// A network namespace with a name (ip-netns(8)); `None`: where the test runs.
    namespace: Option<String>,
}

impl Host {
    /// A machine with a network of its own: the namespace of this name, which exists.
    pub fn in_namespace(name: &str) -> Self {
        Self { namespace: Some(name.to_owned()) }
    }

    /// Moves the calling thread there: sockets that it opens from now on are that machine's.
    ///
    /// # Errors
    ///
    /// When there is no such namespace, or this user may not enter it.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let Some(name) = &self.namespace else { return Ok(()) };
        let namespace = fs::File::open(Path::new("/run/netns").join(name))?;
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// A command that runs `program` there. The process is the program's own.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let Some(namespace) = &self.namespace else { return command(program) };
        let mut entering = command("ip");
        entering.args(["netns", "exec", namespace]).arg(program);
        entering
    }
}

/// The one door to other programs in this crate.
#[expect(clippy::disallowed_methods, reason = "the test kit runs the real programs")]
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// Folder of programs of their own, in the target directory.
const SHIPPED: &str = "shipped";

/// Where the programs are that `exe` uses: for a test in `target/debug/deps` it is `target/shipped/debug`, for a program in
/// `target/release` that folder itself.
fn programs_dir(exe: &Path) -> anyhow::Result<PathBuf> {
    let dir = exe.parent().context("a program lies in a folder")?;
    if !dir.file_name().is_some_and(|name| name == "deps" || name == "examples") {
        return Ok(dir.to_owned());
    }
    let profile = dir.parent().context("deps has a parent")?;
    let (target, name) = profile.parent().zip(profile.file_name()).context("a profile lies in the target directory")?;
    Ok(target.join(SHIPPED).join(name))
}

fn is_fresh(program: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let (Some(built), Ok(record)) = (modified(program), fs::read_to_string(program.with_extension("d"))) else {
        return false;
    };
    let is_older = |source: PathBuf| modified(&source).is_some_and(|changed: SystemTime| changed <= built);
    record
        .lines()
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(_, sources)| split_sources(sources))
        .all(is_older)
}

/// Splits the right side of a line of a cargo dep-info file, in which a blank within a path has a backslash before it.
fn split_sources(sources: &str) -> Vec<PathBuf> {
    const BLANK: &str = "\0";
    let joined = sources.replace("\\ ", BLANK);
    joined.split_whitespace().map(|path| PathBuf::from(path.replace(BLANK, " "))).collect()
}

fn build(programs: &Path) -> anyhow::Result<()> {
    let profile = match programs.file_name().and_then(|name| name.to_str()) {
        None => bail!("{} is no build directory", programs.display()),
        Some("debug") => "dev",
        Some(other) => other,
    };
    let target_dir = programs.parent().context("a profile's directory lies in a target directory")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(cargo);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    command.args(["build", "--locked", "--quiet", "--bins", "--profile", profile]).arg("--target-dir").arg(target_dir);
    for program in Program::ALL {
        command.args(["--package", program.package()]);
    }
    let output = command.as_std_mut().output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("the programs do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_in_a_path_does_not_end_it() {
        let sources = split_sources("/a/my\\ code/main.rs /b/lib.rs");
        assert_eq!(sources, [PathBuf::from("/a/my code/main.rs"), PathBuf::from("/b/lib.rs")]);
    }

    #[test]
    fn tests_use_programs_that_were_built_by_themselves() {
        let of = |exe: &str| programs_dir(Path::new(exe)).unwrap();
        assert_eq!(of("/t/debug/deps/e2e-0123"), Path::new("/t/shipped/debug"));
        assert_eq!(of("/t/release/xtask"), Path::new("/t/release"));
    }

    #[test]
    fn a_program_is_fresh_until_one_of_its_sources_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (program, source) = (dir.path().join("program"), dir.path().join("main.rs"));
        let touch = |path: &Path, seconds: u64| {
            let file = fs::File::options().create(true).append(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)).unwrap();
        };
        touch(&source, 100);
        touch(&program, 200);
        assert!(!is_fresh(&program), "nothing tells what it was built from");

        let record = format!("{}: {}\n", program.display(), source.display());
        fs::File::create(program.with_extension("d"))
            .and_then(|mut file| io::Write::write_all(&mut file, record.as_bytes()))
            .unwrap();
        assert!(is_fresh(&program));
        touch(&source, 300);
        assert!(!is_fresh(&program));
        fs::remove_file(&source).unwrap();
        assert!(!is_fresh(&program));
    }

    #[test]
    fn a_home_is_private_and_its_socket_paths_are_short() {
        let home = Home::new().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(home.runtime()).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
        assert!(home.runtime().join("assent/0123456789abcdef.sock").as_os_str().len() < 107);
    }
}
