//! One line of `/proc/<pid>/stat` (proc_pid_stat(5)).

use wire::text::Label;

use crate::text::{fields, number, signed};

/// The kernel cuts a program's name at 15 bytes, and a kernel worker's at 63.
const NAME_BYTES: usize = 63;

/// The flag of a process that is a part of the kernel (`PF_KTHREAD` of the kernel's `sched.h`).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What the line says that is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: Name,
    pub(super) state: u8,
    pub(super) parent: u32,
    pub(super) kernel_thread: bool,
    /// Ticks spent in the program and in the kernel for it; those of children are not its own.
    pub(super) ticks: u64,
    pub(super) nice: i32,
    pub(super) threads: u64,
    pub(super) start_ticks: u64,
    pub(super) resident_pages: u64,
}

/// A program's name as the program chose it: any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

impl Stat {
    /// `None` if the line is not what a kernel writes.
    ///
    /// The name stands in parentheses and may contain parentheses, spaces and line ends itself; nothing after it does.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let name = Name::cut(line.get(open + 1..close)?);
        // From here fields are numbered from 3 in the manual page.
        let mut rest = fields(line.get(close + 1..)?);
        let state = *rest.next()?.first()?;
        let parent = rest.next().and_then(number)?;
        let mut at = |skip: usize| rest.nth(skip).and_then(number);
        let flags = at(4)?;
        let (user, system) = (at(4)?, at(0)?);
        let nice = rest.nth(3).and_then(signed)?;
        let mut at = |skip: usize| rest.nth(skip).and_then(number);
        let (threads, start_ticks) = (at(0)?, at(1)?);
        let resident_pages = at(1)?;
        state.is_ascii_alphabetic().then_some(Self {
            name,
            state,
            parent: u32::try_from(parent).unwrap_or(0),
            kernel_thread: flags & KERNEL_THREAD != 0,
            ticks: user.saturating_add(system),
            nice: i32::try_from(nice).unwrap_or(0),
            threads,
            start_ticks,
            resident_pages,
        })
    }
}

impl Name {
    pub(super) fn cut(name: &[u8]) -> Self {
        let mut bytes = [0; NAME_BYTES];
        let length = name.len().min(NAME_BYTES);
        bytes[..length].copy_from_slice(&name[..length]);
        Self { bytes, length: u8::try_from(length).unwrap_or(0) }
    }

    pub(super) fn label(&self) -> Label {
        Label::cut(&String::from_utf8_lossy(self.bytes()))
    }

    /// What it is without what the kernel adds to the names of its workers: which processor, and what they work on.
    pub(super) fn program(&self) -> Self {
        if self.bytes().starts_with(b"kworker/") { Self::cut(b"kworker") } else { *self }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str) -> String {
        format!(
            "4242 ({name}) R 1 4242 4242 0 -1 4194304 101 0 0 0 120 30 900 900 20 0 7 0 152160 3133440 409 1844 1 1 1 0"
        )
    }

    #[test]
    fn fields_are_found_behind_the_name() {
        let stat = Stat::parse(line("cat").as_bytes()).unwrap();
        let expected = Stat {
            name: Name::cut(b"cat"),
            state: b'R',
            parent: 1,
            kernel_thread: false,
            ticks: 150,
            nice: 0,
            threads: 7,
            start_ticks: 152_160,
            resident_pages: 409,
        };
        assert_eq!(stat, expected);
        let worker = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 12 0 0 20 0 1 0 3 0 0 18446744073709551615";
        assert!(Stat::parse(worker.as_bytes()).unwrap().kernel_thread);
    }

    #[test]
    fn hostile_names_parse_right() {
        for name in ["", ")", "(", ") R 0 0 (", "a b", "line\nend", "\u{1b}[2J", "tmux: server", "((sd-pam))"] {
            let stat = Stat::parse(line(name).as_bytes()).unwrap();
            assert_eq!((stat.name.bytes(), stat.ticks), (name.as_bytes(), 150), "{name:?}");
        }
        let long = "k".repeat(200);
        assert_eq!(Stat::parse(line(&long).as_bytes()).unwrap().name.bytes().len(), NAME_BYTES);
    }

    #[test]
    fn a_line_that_is_cut_short_is_refused() {
        let whole = line("cat");
        let needed = whole.find(" 1844").unwrap();
        for length in 0..needed - 3 {
            assert_eq!(Stat::parse(&whole.as_bytes()[..length]), None, "{length}");
        }
        assert!(Stat::parse(b") 1 (").is_none());
    }
}
