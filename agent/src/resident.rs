//! Gives back what of the program is in memory and was needed once.
//!
//! Whoever runs one function of a program has the kernel map 64 KiB around it (`fault_around_bytes`), and nothing takes that away while
//! memory is plenty. An agent that was started, attached to and read a machine once would hold most of its 17 MB of code and constants,
//! of which a session's second needs a fifth. What is given back stays in the kernel's cache of the file, whence a page that is needed again
//! comes without reading; but it is the kernel's to use, and no longer this program's.

use std::{fs, io, ops::Range, path::Path};

use rustix::mm::{Advice, madvise};

/// Where the program itself is in memory: its code and its constants, which are as in its file. Not its libraries, whose files
/// may be written to while they are in use.
#[derive(Debug, Default)]
pub(crate) struct Program(Vec<Range<usize>>);

impl Program {
    /// This program.
    ///
    /// # Errors
    ///
    /// If the kernel does not tell (no `/proc`).
    pub(crate) fn this() -> io::Result<Self> {
        let file = fs::read_link("/proc/self/exe")?;
        Ok(Self(unchanged(&fs::read_to_string("/proc/self/smaps")?, &file)))
    }

    /// Gives it all back. What runs next comes again at once.
    pub(crate) fn give_back(&self) {
        for part in &self.0 {
            let start = std::ptr::without_provenance_mut(part.start);
            #[expect(unsafe_code, reason = "memory is given back by its address")]
            // SAFETY: these pages are the program's file, mapped by the kernel for as long as the program runs, private and not to be
            // written to. None was changed, neither in memory nor one that was swapped out (`unchanged`), so each is a page of the file,
            // and what comes again is the same page. Only a debugger that changes the program while it runs can tell.
            let given = unsafe { madvise(start, part.len(), Advice::LinuxDontNeed) };
            // Memory that is locked cannot be given back (`mlockall(2)`): then it stays.
            if let Err(error) = given {
                tracing::debug!(%error, "the program's code stays in memory");
            }
        }
    }
}

/// Counts of pages that differ from the file of a private mapping: in memory, and swapped out. One that is dirty and not anonymous is a
/// page of the file itself that has yet to be written to the disk, as after a program was installed.
const CHANGED: [&str; 2] = ["Anonymous:", LAST_OF_CHANGED];

/// The kernel tells this one after the others.
const LAST_OF_CHANGED: &str = "Swap:";

/// Parts of `smaps` (`proc_pid_smaps(5)`) that are of `file`, private, not to be written to, and in which no page differs from it.
/// What the linker changed before the program began is protected afterwards too, but differs.
fn unchanged(smaps: &str, file: &Path) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut part = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            let of_file = Path::new(mapping.path) == file && matches!(mapping.rights, "r--p" | "r-xp");
            part = of_file.then_some(mapping.range);
        } else if CHANGED.iter().any(|count| line.starts_with(count)) && !line.ends_with(" 0 kB") {
            part = None;
        } else if line.starts_with(LAST_OF_CHANGED) {
            found.extend(part.take());
        }
    }
    found
}

struct Mapping<'l> {
    range: Range<usize>,
    rights: &'l str,
    /// Blank if it is no file.
    path: &'l str,
}

/// The line that begins a mapping: `55d0-55e0 r-xp 00001000 fd:00 1234    /path`. `None` for those about the one before.
fn mapping(line: &str) -> Option<Mapping<'_>> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let mut fields = rest.splitn(5, ' ');
    let rights = fields.next()?;
    let path = fields.nth(3)?.trim_start();
    Some(Mapping { range: address(start)?..address(end)?, rights, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
5586c0000000-5586c04a4000 r--p 00000000 fd:00 77                         /opt/a b/assent-share
Size:               4752 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
5586c04a4000-5586c100d000 r-xp 004a3000 fd:00 77                         /opt/a b/assent-share
Private_Dirty:      1172 kB
Anonymous:             0 kB
Swap:                  0 kB
5586c100d000-5586c109b000 r--p 0100b000 fd:00 77                         /opt/a b/assent-share
Anonymous:           560 kB
Swap:                  0 kB
5586c109b000-5586c10a0000 rw-p 01099000 fd:00 77                         /opt/a b/assent-share
Anonymous:             0 kB
Swap:                  0 kB
5586c10a0000-5586c10a1000 r--p 0109e000 fd:00 77                         /opt/a b/assent-share
Anonymous:             0 kB
Swap:                  4 kB
5586c10a1000-5586c10a2000 r--s 00000000 fd:00 77                         /opt/a b/assent-share
Anonymous:             0 kB
Swap:                  0 kB
5586c2000000-5586c2100000 rw-p 00000000 00:00 0                          [heap]
Anonymous:             0 kB
Swap:                  0 kB
7f0000000000-7f0000001000 r-xp 00000000 fd:00 78                         /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
7f0000001000-7f0000002000 r-xp 00000000 00:00 0
Anonymous:             0 kB
Swap:                  0 kB
5586c10b0000-5586c10b1000 r-xp 0109e000 fd:00 77                         /opt/a b/assent-share
Anonymous:             0 kB
";

    #[test]
    fn only_the_programs_own_pages_that_are_as_in_its_file_are_given_back() {
        let parts = unchanged(SMAPS, Path::new("/opt/a b/assent-share"));
        assert_eq!(parts, [0x5586_c000_0000..0x5586_c04a_4000, 0x5586_c04a_4000..0x5586_c100_d000]);
        assert!(unchanged(SMAPS, Path::new("/opt/a b/assent")).is_empty());
        assert!(unchanged("Swap: 0 kB\n-\n - \nx-y r-xp 0 0 0 /p\n", Path::new("/p")).is_empty());
    }

    #[test]
    fn a_program_that_gave_its_code_back_goes_on_with_less_of_it() {
        let program = Program::this().unwrap();
        let before = in_memory(&program);
        program.give_back();
        let after = in_memory(&program);
        assert!(after < before, "{after} kB of {before} kB");
    }

    /// Kilobytes of the program's parts that are mapped.
    fn in_memory(program: &Program) -> u64 {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let (mut sum, mut counts) = (0, false);
        for line in smaps.lines() {
            if let Some(mapping) = mapping(line) {
                counts = program.0.contains(&mapping.range);
            } else if let Some(size) = line.strip_prefix("Rss:").filter(|_| counts) {
                sum += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        sum
    }
}
