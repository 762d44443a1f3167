//! From what a technician proposes to the exact run that a person is asked about.

use std::{
    ffi::OsStr,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD};
use wire::run::{ExactRun, FileIdentity, RunLimits, RunProposal, Variable};
use wire::session::DenyReason;

/// Directories in which a program named without a slash is looked up, in order. Fixed, so that neither the technician nor the
/// person's own settings decide which program a name means.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The user that the agent runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Numeric id.
    pub id: u32,
    /// Login name; the number where there is none.
    pub name: Vec<u8>,
    /// Home directory; `/` where there is none.
    pub home: Vec<u8>,
}

impl Account {
    /// The account of this process, from `/etc/passwd`, or from `HOME` and `USER` where it is not listed there.
    pub fn current() -> Self {
        let id = rustix::process::geteuid().as_raw();
        let listed = std::fs::read("/etc/passwd").ok().and_then(|text| Self::find(&text, id));
        listed.unwrap_or_else(|| {
            let variable = |name: &str| std::env::var_os(name).map(|value| value.as_bytes().to_vec());
            Self {
                id,
                name: variable("USER").unwrap_or_else(|| id.to_string().into_bytes()),
                home: variable("HOME").unwrap_or_else(|| b"/".to_vec()),
            }
        })
    }

    fn find(passwd: &[u8], id: u32) -> Option<Self> {
        passwd.split(|byte| *byte == b'\n').find_map(|line| {
            let fields = line.split(|byte| *byte == b':').collect::<Vec<_>>();
            let [name, _, user, _, _, home, ..] = fields.as_slice() else { return None };
            let matches = std::str::from_utf8(user).ok()?.parse() == Ok(id);
            matches.then(|| Self { id, name: name.to_vec(), home: home.to_vec() })
        })
    }
}

/// Looks everything up that the proposal leaves to the device. Reads the file system; starts nothing.
///
/// # Errors
///
/// The reason to give the technician; nobody is asked then.
pub fn resolve(proposal: &RunProposal, account: &Account) -> Result<ExactRun, DenyReason> {
    proposal.check().map_err(DenyReason::Proposal)?;
    let directory = proposal.directory.clone().unwrap_or_else(|| account.home.clone());
    let directory_path = PathBuf::from(OsStr::from_bytes(&directory));
    if !directory_path.is_dir() {
        return Err(DenyReason::NoDirectory);
    }
    let (program, metadata) = find_program(&proposal.program, &directory_path)?;
    let target = program.canonicalize().map_err(|_| DenyReason::LookupFailed)?;
    let interpreter = interpreter(&target);
    Ok(ExactRun {
        run: proposal.run,
        target: (target != program).then(|| target.into_os_string().into_vec()),
        interpreter,
        program: program.as_os_str().as_bytes().to_vec(),
        file: identify(&metadata),
        arguments: proposal.arguments.clone(),
        directory,
        user_id: account.id,
        user_name: account.name.clone(),
        environment: environment(proposal, account),
        limits: RunLimits::clamped(proposal.limits),
    })
}

/// The identity of the file that `path` names now, links followed.
///
/// # Errors
///
/// If it cannot be read.
pub fn file_identity(path: &Path) -> io::Result<FileIdentity> {
    path.metadata().map(|metadata| identify(&metadata))
}

fn identify(metadata: &Metadata) -> FileIdentity {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
        size_bytes: metadata.size(),
        modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn find_program(program: &[u8], directory: &Path) -> Result<(PathBuf, Metadata), DenyReason> {
    let named = Path::new(OsStr::from_bytes(program));
    if program.contains(&b'/') {
        let path = directory.join(named);
        return match executable(&path) {
            Ok(metadata) => Ok((path, metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DenyReason::ProgramNotFound),
            Err(_) => Err(DenyReason::ProgramNotExecutable),
        };
    }
    let mut seen = false;
    for place in SEARCH_PATH.split(':') {
        let path = Path::new(place).join(named);
        match executable(&path) {
            Ok(metadata) => return Ok((path, metadata)),
            Err(error) => seen |= error.kind() != io::ErrorKind::NotFound,
        }
    }
    Err(if seen { DenyReason::ProgramNotExecutable } else { DenyReason::ProgramNotFound })
}

fn executable(path: &Path) -> io::Result<Metadata> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    Ok(metadata)
}

/// What a script's first line names (execve(2)); `None` for another kind of file, and for one that may be executed but not read.
fn interpreter(file: &Path) -> Option<Vec<u8>> {
    /// Where the kernel stops reading.
    const LINE_BYTES: u64 = 256;
    let mut start = Vec::new();
    File::open(file).ok()?.take(LINE_BYTES).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(line.trim_ascii().to_vec())
}

/// The short fixed environment with the proposal's additions, sorted by name.
fn environment(proposal: &RunProposal, account: &Account) -> Vec<Variable> {
    let fixed: [(&[u8], &[u8]); 6] = [
        (b"HOME", &account.home),
        (b"LANG", b"C.UTF-8"),
        (b"LOGNAME", &account.name),
        (b"PATH", SEARCH_PATH.as_bytes()),
        (b"TERM", b"dumb"),
        (b"USER", &account.name),
    ];
    let added = |name: &[u8]| proposal.environment.iter().any(|variable| variable.name == name);
    let mut environment = fixed
        .into_iter()
        .filter(|(name, _)| !added(name))
        .map(|(name, value)| Variable { name: name.to_vec(), value: value.to_vec() })
        .chain(proposal.environment.iter().cloned())
        .collect::<Vec<_>>();
    environment.sort();
    environment
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, os::unix::fs::PermissionsExt as _};

    use wire::ids::RunId;
    use wire::text::Sentence;

    use super::*;

    fn proposal(program: &str) -> RunProposal {
        RunProposal {
            run: RunId(1),
            reason: Sentence::default(),
            program: program.into(),
            arguments: vec![],
            directory: Some(b"/".to_vec()),
            environment: vec![],
            limits: RunLimits::DEFAULT,
        }
    }

    fn account() -> Account {
        Account { id: 7, name: b"ana".to_vec(), home: b"/".to_vec() }
    }

    #[test]
    fn a_bare_name_is_looked_up_in_the_fixed_path_only() {
        let exact = resolve(&proposal("true"), &account()).unwrap();
        assert!(exact.program.starts_with(b"/") && exact.program.ends_with(b"/true"));
        assert_eq!(resolve(&proposal("no-such-program-here"), &account()), Err(DenyReason::ProgramNotFound));
    }

    #[test]
    fn a_directory_or_a_plain_file_is_not_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        File::create(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = |path: &Path| resolve(&proposal(path.to_str().unwrap()), &account());
        assert_eq!(refused(&file), Err(DenyReason::ProgramNotExecutable));
        assert_eq!(refused(folder.path()), Err(DenyReason::ProgramNotExecutable));
        assert_eq!(refused(&folder.path().join("missing")), Err(DenyReason::ProgramNotFound));
    }

    #[test]
    fn a_link_says_where_it_leads_and_a_script_what_runs_it() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        let script = here.join("tidy");
        File::create(&script).unwrap().write_all(b"#! /bin/sh -e \nexit 0\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let link = here.join("harmless");
        std::os::unix::fs::symlink("tidy", &link).unwrap();
        let leads = |path: &Path| {
            let exact = resolve(&proposal(path.to_str().unwrap()), &account()).unwrap();
            (exact.target, exact.interpreter)
        };
        let runs_it = Some(b"/bin/sh -e".to_vec());
        assert_eq!(leads(&script), (None, runs_it.clone()));
        assert_eq!(leads(&link), (Some(script.as_os_str().as_bytes().to_vec()), runs_it));
        assert_eq!(leads(&std::env::current_exe().unwrap().canonicalize().unwrap()), (None, None));
    }

    #[test]
    fn a_missing_directory_is_refused_before_anybody_is_asked() {
        let mut lost = proposal("true");
        lost.directory = Some(b"/no/such/place".to_vec());
        assert_eq!(resolve(&lost, &account()), Err(DenyReason::NoDirectory));
    }

    #[test]
    fn the_environment_is_short_fixed_and_sorted_and_additions_replace() {
        let mut wanted = proposal("true");
        wanted.environment = vec![Variable { name: b"LANG".to_vec(), value: b"de_DE.UTF-8".to_vec() }];
        let exact = resolve(&wanted, &account()).unwrap();
        let names = exact.environment.iter().map(|variable| variable.name.as_slice()).collect::<Vec<_>>();
        assert_eq!(names, [b"HOME".as_slice(), b"LANG", b"LOGNAME", b"PATH", b"TERM", b"USER"]);
        assert_eq!(exact.environment.get(1).unwrap().value, b"de_DE.UTF-8");
    }

    #[test]
    fn limits_never_exceed_what_the_device_gives() {
        let mut greedy = proposal("true");
        greedy.limits = RunLimits { time_secs: u32::MAX, output_bytes: u64::MAX, memory_mib: u32::MAX };
        assert_eq!(resolve(&greedy, &account()).unwrap().limits, RunLimits::MAX);
    }

    #[test]
    fn the_account_is_read_from_passwd() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000:Ana,,,:/home/ana:/bin/bash\n";
        let found = Account::find(passwd, 1000).unwrap();
        assert_eq!(found, Account { id: 1000, name: b"ana".to_vec(), home: b"/home/ana".to_vec() });
        assert_eq!(Account::find(passwd, 5), None);
    }
}
