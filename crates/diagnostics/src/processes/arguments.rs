//! The arguments of one process.

use std::{
    fs,
    io::{self, Read as _},
};

use wire::{
    diagnostics::sections::process::{Arguments, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS},
    text::Sentence,
};

use super::stat::Stat;
use crate::{roots::Roots, text::read_file};

/// The arguments of the process `pid` that started at `start_ticks`: at most [`MAX_ARGUMENT_BYTES`] and [`MAX_ARGUMENTS`].
///
/// Passwords are given in arguments. Call this **only after the person at the machine has said yes to showing the arguments of
/// this one process**, show the result, and do not store it. Nothing else in this crate reads them.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if the process has ended, whatever uses its number now; else why its file could not be read.
pub fn arguments(roots: &Roots, pid: u32, start_ticks: u64) -> io::Result<Arguments> {
    let folder = roots.proc.join(pid.to_string());
    let same = || {
        let mut buffer = Vec::new();
        let stat = read_file(&folder.join("stat"), &mut buffer).ok().and_then(Stat::parse);
        stat.filter(|stat| stat.start_ticks == start_ticks).ok_or(io::ErrorKind::NotFound)
    };
    same()?;
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_ARGUMENT_BYTES).unwrap_or(u64::MAX);
    fs::File::open(folder.join("cmdline"))?.take(most + 1).read_to_end(&mut bytes)?;
    // What was read by the number may be of another by now.
    same()?;
    let mut cut = bytes.len() > MAX_ARGUMENT_BYTES;
    bytes.truncate(MAX_ARGUMENT_BYTES);
    let mut all = bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|byte| *byte == 0);
    let mut arguments = Vec::new();
    if !bytes.is_empty() {
        for argument in all.by_ref().take(MAX_ARGUMENTS) {
            let argument = String::from_utf8_lossy(argument);
            let kept = Sentence::cut(&argument);
            cut |= kept.raw().len() < argument.len();
            arguments.push(kept);
        }
        cut |= all.next().is_some();
    }
    Ok(Arguments { pid, start_ticks, arguments, cut })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const START: u64 = 152_160;

    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    fn machine(cmdline: &[u8]) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        let process = folder.path().join("7");
        fs::create_dir(&process).unwrap();
        let stat = format!("7 (cat) R 1 7 7 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 {START} 1 1 1\n");
        fs::write(process.join("stat"), stat).unwrap();
        fs::write(process.join("cmdline"), cmdline).unwrap();
        let roots = Roots { proc: folder.path().to_owned(), ..Roots::default() };
        (folder, roots)
    }

    fn read(cmdline: &[u8]) -> (Vec<String>, bool) {
        let (_folder, roots) = machine(cmdline);
        let Arguments { arguments, cut, .. } = arguments(&roots, 7, START).unwrap();
        (arguments.iter().map(|argument| argument.raw().to_owned()).collect(), cut)
    }

    #[test]
    fn arguments_are_told_apart_and_blank_ones_are_kept() {
        assert_eq!(read(b"cat\0\0a b\0"), (["cat", "", "a b"].map(str::to_owned).to_vec(), false));
        assert_eq!(read(b""), (Vec::new(), false), "a worker of the kernel");
        assert_eq!(read(b"postgres: writer"), (vec!["postgres: writer".to_owned()], false), "one that set its title");
    }

    #[test]
    fn arguments_without_end_are_cut_and_it_is_said() {
        let (many, cut) = read(&b"x\0".repeat(1000));
        assert_eq!((many.len(), cut), (MAX_ARGUMENTS, true));
        let (long, cut) = read(&b"x".repeat(1 << 20));
        assert!(cut && long.len() == 1 && long[0].len() <= MAX_ARGUMENT_BYTES);
        assert!(!read(&b"x\0".repeat(MAX_ARGUMENTS)).1);
    }

    #[test]
    fn a_number_that_another_process_uses_now_shows_nothing() {
        let (_folder, roots) = machine(b"secret\0");
        assert_eq!(arguments(&roots, 7, START + 1).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(arguments(&roots, 8, START).unwrap_err().kind(), io::ErrorKind::NotFound);
        let nowhere = Roots { proc: Path::new("/nowhere").to_owned(), ..Roots::default() };
        assert_eq!(arguments(&nowhere, 7, START).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
