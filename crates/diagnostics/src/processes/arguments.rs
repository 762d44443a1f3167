//! The arguments of one process.

use std::{
    fs,
    io::{self, Read as _},
};

use wire::{
    diagnostics::sections::process::{Arguments, CommandLine, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, MAX_COUNTED_BYTES},
    text::{Label, Sentence},
};

use super::{hidden::are_hidden, stat::Stat};
use crate::{roots::Roots, text::read_file};

/// Why there are no arguments to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentsError {
    /// The process has ended, whatever uses its number now.
    #[error("the process has ended")]
    Ended,
    /// The process is another program than the one that the person was asked about (execve(2)).
    #[error("the process has become another program")]
    Changed,
    /// The agent has not the right to read it.
    #[error("the process may not be read")]
    NotReadable(#[source] io::Error),
    /// Anything else.
    #[error("the process could not be read")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for ArgumentsError {
    fn from(error: io::Error) -> Self {
        // A file of a process that has ended meanwhile says ESRCH.
        let ended = error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
        if ended || error.kind() == io::ErrorKind::NotFound {
            Self::Ended
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Self::NotReadable(error)
        } else {
            Self::Failed(error)
        }
    }
}

/// What the process `pid` that started at `start_ticks` is called at the moment. Its arguments are not opened: this is what the person is
/// asked with.
///
/// # Errors
///
/// [`ArgumentsError::Ended`], or why it could not be read.
pub fn process_name(roots: &Roots, pid: u32, start_ticks: u64) -> Result<Label, ArgumentsError> {
    let mut buffer = Vec::new();
    let read = read_file(&roots.proc.join(format!("{pid}/stat")), &mut buffer);
    let stat = Stat::parse(read.map_err(|error| {
        // One that is hidden looks like one that has ended, and which it is cannot be told.
        let hidden = error.kind() == io::ErrorKind::NotFound && are_hidden(&roots.proc);
        if hidden { ArgumentsError::NotReadable(error) } else { error.into() }
    })?);
    let stat = stat.ok_or_else(|| ArgumentsError::Failed(io::ErrorKind::InvalidData.into()))?;
    // What is left of a process that has ended has no arguments.
    let is_there = stat.start_ticks == start_ticks && !matches!(stat.state, b'Z' | b'X');
    if is_there { Ok(stat.name.label()) } else { Err(ArgumentsError::Ended) }
}

/// The arguments of the process `pid` that started at `start_ticks` and is called `name`: at most [`MAX_ARGUMENTS`], together
/// [`MAX_ARGUMENT_BYTES`]. Blocks: a process that is stuck in the kernel may keep its arguments locked.
///
/// Passwords are given in arguments. Call this **only after the person at the machine has said yes to showing the arguments of
/// this one process**, show the result, and do not store it. Nothing else in this crate reads them.
///
/// # Errors
///
/// Why there is nothing to show.
pub fn arguments(roots: &Roots, pid: u32, start_ticks: u64, name: &Label) -> Result<Arguments, ArgumentsError> {
    let still_the_same = || match process_name(roots, pid, start_ticks)? {
        now if now == *name => Ok(()),
        _ => Err(ArgumentsError::Changed),
    };
    still_the_same()?;
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_COUNTED_BYTES).unwrap_or(u64::MAX);
    fs::File::open(roots.proc.join(format!("{pid}/cmdline")))?.take(most + 1).read_to_end(&mut bytes)?;
    // What was read by the number may be of another by now.
    still_the_same()?;
    let uncounted = bytes.len() > MAX_COUNTED_BYTES;
    bytes.truncate(MAX_COUNTED_BYTES);
    let mut shown = Arguments { pid, start_ticks, name: name.clone(), uncounted, ..Arguments::default() };
    let all = bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|byte| *byte == 0);
    let mut room = MAX_ARGUMENT_BYTES;
    let CommandLine(arguments) = &mut shown.arguments;
    for argument in all.filter(|_| !bytes.is_empty()) {
        let argument = String::from_utf8_lossy(argument);
        let kept = Sentence::cut(&argument);
        // None is shown behind one that is not: what it is may have been said there.
        if shown.left_out > 0 || arguments.len() >= MAX_ARGUMENTS || kept.raw().len() > room {
            shown.left_out += 1;
            continue;
        }
        room -= kept.raw().len();
        shown.shortened += u32::from(kept.raw().len() < argument.len());
        arguments.push(kept);
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const START: u64 = 152_160;

    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    fn machine(state: char, cmdline: &[u8]) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        let process = folder.path().join("7");
        fs::create_dir(&process).unwrap();
        let stat = format!("7 (cat) {state} 1 7 7 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 {START} 1 1 1\n");
        fs::write(process.join("stat"), stat).unwrap();
        fs::write(process.join("cmdline"), cmdline).unwrap();
        let roots = Roots { proc: folder.path().to_owned(), ..Roots::default() };
        (folder, roots)
    }

    fn cat() -> Label {
        Label::cut("cat")
    }

    fn read(cmdline: &[u8]) -> Arguments {
        let (_folder, roots) = machine('R', cmdline);
        arguments(&roots, 7, START, &cat()).unwrap()
    }

    fn texts(read: &Arguments) -> Vec<&str> {
        read.arguments.0.iter().map(Sentence::raw).collect()
    }

    #[test]
    fn arguments_are_told_apart_and_blank_ones_are_kept() {
        let three = read(b"cat\0\0a b\0");
        assert_eq!(texts(&three), ["cat", "", "a b"]);
        assert_eq!((three.shortened, three.left_out, three.uncounted), (0, 0, false));
        assert!(texts(&read(b"")).is_empty(), "a worker of the kernel");
        assert_eq!(texts(&read(b"postgres: writer")), ["postgres: writer"], "one that set its title");
    }

    #[test]
    fn arguments_without_end_are_cut_and_counted() {
        let many = read(&b"x\0".repeat(1000));
        assert_eq!((texts(&many).len(), many.left_out, many.uncounted), (MAX_ARGUMENTS, 936, false));
        assert_eq!(read(&b"x\0".repeat(MAX_ARGUMENTS)).left_out, 0);

        let long = read(&b"x".repeat(1 << 20));
        assert_eq!((texts(&long)[0].len(), long.shortened, long.uncounted), (512, 1, true));

        let wide = read(&[&[b'y'; 512][..], b"\0"].concat().repeat(20));
        assert_eq!((texts(&wide).len(), wide.left_out, wide.shortened), (16, 4, 0));
        let total = texts(&wide).iter().map(|argument| argument.len()).sum::<usize>();
        assert!(total <= MAX_ARGUMENT_BYTES);
    }

    #[test]
    fn nothing_is_shown_behind_one_that_is_left_out() {
        let nearly_full = [&b"y".repeat(512)[..], b"\0"].concat().repeat(15);
        let cmdline = [&nearly_full[..], &b"z".repeat(500), b"\0--password\0hunter2\0"].concat();
        let shown = read(&cmdline);
        assert_eq!((texts(&shown).last().map(|text| text.len()), shown.left_out), (Some(10), 1), "{:?}", texts(&shown));
        let fuller = [&nearly_full[..], &b"z".repeat(510), b"\0--password\0x\0"].concat();
        assert_eq!(read(&fuller).left_out, 2, "the short one behind the option is not shown either");
    }

    #[test]
    fn a_number_that_another_process_uses_now_shows_nothing() {
        let (_folder, roots) = machine('S', b"secret\0");
        let ended = |result| matches!(result, Err(ArgumentsError::Ended));
        assert!(ended(arguments(&roots, 7, START + 1, &cat())));
        assert!(ended(arguments(&roots, 8, START, &cat())));
        let nowhere = Roots { proc: Path::new("/nowhere").to_owned(), ..Roots::default() };
        assert!(ended(arguments(&nowhere, 7, START, &cat())));
        assert_eq!(process_name(&roots, 7, START).unwrap(), cat());
        assert!(matches!(process_name(&roots, 7, START + 1), Err(ArgumentsError::Ended)));
    }

    #[test]
    fn a_process_that_became_another_program_shows_nothing() {
        let (_folder, roots) = machine('S', b"secret\0");
        let changed = arguments(&roots, 7, START, &Label::cut("dog"));
        assert!(matches!(changed, Err(ArgumentsError::Changed)), "{changed:?}");
    }

    #[test]
    fn what_is_left_of_a_process_that_has_ended_has_no_arguments() {
        let (_folder, roots) = machine('Z', b"");
        assert!(matches!(process_name(&roots, 7, START), Err(ArgumentsError::Ended)));
    }

    #[test]
    fn the_arguments_of_this_very_process_are_those_that_it_was_called_with() {
        let roots = Roots::default();
        let pid = std::process::id();
        let mut buffer = Vec::new();
        let start = Stat::parse(read_file(&roots.proc.join("self/stat"), &mut buffer).unwrap()).unwrap().start_ticks;
        let name = process_name(&roots, pid, start).unwrap();
        let read = arguments(&roots, pid, start, &name).unwrap();
        let own = std::env::args().collect::<Vec<_>>();
        assert_eq!(
            texts(&read),
            own.iter()
                .map(|argument| Sentence::cut(argument))
                .collect::<Vec<_>>()
                .iter()
                .map(Sentence::raw)
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_printed_for_a_developer_has_no_arguments_in_it() {
        let printed = format!("{:?}", read(b"cat\0hunter2\0"));
        assert!(!printed.contains("hunter2") && printed.contains("2 arguments"), "{printed}");
    }
}
