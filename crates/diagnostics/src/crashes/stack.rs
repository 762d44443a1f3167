//! Stacks in what systemd-coredump(8) says about a crash: for each thread a heading and a line for each of its frames, the innermost
//! first, such as `#3  0x0000558c34bc8aee error_setv (qemu-system-x86_64 + 0x9c8aee)`.

use std::borrow::Cow;

use wire::{
    diagnostics::sections::crashes::{Frame, MAX_FRAMES},
    text::Label,
};

/// What stands above the frames of a thread.
const HEADING: &str = "Stack trace of thread ";

/// What stands for a name that nobody knows.
const UNKNOWN: &str = "n/a";

/// Longest part of a mangled name that makes sense.
const MAX_PART: usize = 1024;

/// What is known of where a program crashed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stack {
    /// File name of what the innermost frame is in.
    pub(super) module: Option<Label>,
    /// The innermost frames.
    pub(super) frames: Vec<Frame>,
}

impl Stack {
    /// The stack of the thread that crashed: the kernel writes it in front of the others (`fill_note_info` of its `fs/binfmt_elf.c`).
    pub(super) fn parse(message: &str) -> Self {
        let mut lines = message.lines().map(str::trim);
        if !lines.any(|line| line.starts_with(HEADING)) {
            return Self::default();
        }
        let (mut module, mut frames) = (None, Vec::new());
        for line in lines.map_while(Line::parse).take(MAX_FRAMES) {
            if frames.is_empty() && line.module != UNKNOWN {
                module = Some(Label::cut(line.module));
            }
            frames.push(line.frame());
        }
        Self { module, frames }
    }
}

/// One frame.
struct Line<'m> {
    function: Cow<'m, str>,
    module: &'m str,
    /// In the module, as a hexadecimal number; versions before 249 do not tell.
    offset: Option<&'m str>,
}

impl<'m> Line<'m> {
    /// `None` for what is no frame. The address is left out: it tells where the memory of the program was, and nothing about the crash.
    fn parse(line: &'m str) -> Option<Self> {
        let numbered = line.strip_prefix('#')?.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let (address, rest) = numbered.trim_start().split_once(' ')?;
        is_hexadecimal(address)?;
        // The name of a function may have brackets in it, and so may a folder.
        let (function, place) = match rest.split_once(" (/") {
            Some((function, _)) => (function, &rest[function.len() + 2..]),
            None => rest.rsplit_once(" (")?,
        };
        let place = place.strip_suffix(')')?;
        let (module, offset) = match place.rsplit_once(" + ") {
            Some((module, offset)) => (module, Some(is_hexadecimal(offset)?)),
            None => (place, None),
        };
        let module = if module.starts_with('/') { module.rsplit('/').next().unwrap_or(UNKNOWN) } else { module };
        Some(Self { function: readable(function.trim()), module, offset })
    }

    fn frame(&self) -> Frame {
        let (function, module) = (Label::cut(&self.function), Label::cut(self.module));
        let (function, module) = (function.raw(), module.raw());
        match self.offset {
            Some(offset) => Frame::cut(&format!("{function} ({module} + {offset})")),
            None => Frame::cut(&format!("{function} ({module})")),
        }
    }
}

/// `text`, if it is a hexadecimal number of at most 64 bits.
fn is_hexadecimal(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("0x")?;
    let good = (1..=16).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    good.then_some(text)
}

/// A mangled name of C++ or Rust as far as it is made of plain parts: `QListView::event` of `_ZN9QListView5eventEP6QEvent`. As it is
/// it looks like a key, and would be taken for one.
fn readable(symbol: &str) -> Cow<'_, str> {
    let Some(mut rest) = symbol.strip_prefix("_Z") else { return Cow::Borrowed(symbol) };
    if let Some(nested) = rest.strip_prefix('N') {
        rest = nested.trim_start_matches(['r', 'V', 'K']);
    }
    let mut parts = Vec::new();
    if let Some(standard) = rest.strip_prefix("St") {
        parts.push("std");
        rest = standard;
    }
    while let Some((part, after)) = part(rest) {
        parts.push(part);
        rest = after;
    }
    // Rust ends a name with a hash of what it depends on.
    let is_hash = |part: &str| {
        part.len() == 17 && part.starts_with('h') && is_hexadecimal(&format!("0x{}", &part[1..])).is_some()
    };
    parts.pop_if(|part| is_hash(part));
    if parts.is_empty() { Cow::Borrowed(symbol) } else { Cow::Owned(parts.join("::")) }
}

/// The part of a name at the start of `text`, which says its length, and what follows.
fn part(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|digit: char| !digit.is_ascii_digit())?;
    let length = text[..end].parse::<usize>().ok().filter(|length| (1..=MAX_PART).contains(length))?;
    text[end..].split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use wire::{diagnostics::sections::crashes::Crash, time::WallTime};

    use super::*;
    use crate::{Privacy, Roots, Scopes, WITHHELD};

    fn frames(stack: &Stack) -> Vec<&str> {
        stack.frames.iter().map(Frame::raw).collect()
    }

    #[test]
    fn the_thread_that_crashed_is_told_by_function_and_place() {
        let message = "Process 635109 (java) of user 1000 dumped core.\n\n\
            Module libsystemd.so.0 from deb systemd-252.39-1~deb12u2.amd64\n\
            Stack trace of thread 635167:\n\
            #0  0x00007237452cb3f4 n/a (libc.so.6 + 0x963f4)\n\
            #1  0x0000723745272120 raise (libc.so.6 + 0x3d120)\n\
            #10 0x0000558c34bc8aee error_setv (/home/ana/My (old) tools/app + 0x9c8aee)\n\
            #11 0x0000558c34bc8aef old_format (app)\n\
            #12 0x0000558c34bc8af0 n/a (n/a + 0x0)\n\n\
            Stack trace of thread 635110:\n\
            #0  0x00007237452cb3f4 another (libc.so.6 + 0x1)\n\
            ELF object binary architecture: AMD x86-64";
        let stack = Stack::parse(message);
        let expected = [
            "n/a (libc.so.6 + 0x963f4)",
            "raise (libc.so.6 + 0x3d120)",
            "error_setv (app + 0x9c8aee)",
            "old_format (app)",
            "n/a (n/a + 0x0)",
        ];
        assert_eq!((frames(&stack), stack.module.as_ref().map(Label::raw)), (expected.to_vec(), Some("libc.so.6")));
    }

    #[test]
    fn what_is_no_stack_is_none() {
        let lines = [
            "",
            "#0 0x1 f (m + 0x1)",
            "Stack trace of thread 1:\nnothing",
            "Stack trace of thread 1:\n#0 0x1 f (m + x)",
        ];
        for message in lines {
            assert_eq!(Stack::parse(message), Stack::default(), "{message}");
        }
        let unknown = Stack::parse("Stack trace of thread 1:\n#0  0x0000000000000000 n/a (n/a + 0x0)\n");
        assert_eq!((unknown.module, unknown.frames.len()), (None, 1));
    }

    #[test]
    fn names_that_compilers_make_are_read_as_far_as_they_are_plain() {
        let cases = [
            ("_ZN9QListView5eventEP6QEvent", "QListView::event"),
            ("_ZNK3foo3barIiE3bazEv", "foo::bar"),
            ("_Z3runi", "run"),
            ("_ZNSt6thread4joinEv", "std::thread::join"),
            ("_ZN4core6option13expect_failed17h0123456789abcdefE", "core::option::expect_failed"),
            ("core::ops::function::FnOnce::call_once<fn(), ()>", "core::ops::function::FnOnce::call_once<fn(), ()>"),
            ("_ZN99999999999999999999x", "_ZN99999999999999999999x"),
            ("_ZN5abc", "_ZN5abc"),
            ("_ZN2é", "é"),
            ("_ZN1é", "_ZN1é"),
            ("_Z", "_Z"),
        ];
        for (symbol, name) in cases {
            assert_eq!(readable(symbol), name);
        }
    }

    #[test]
    fn a_stack_leaves_with_the_log_only_and_is_not_taken_for_a_secret() {
        let message = "Stack trace of thread 7:\n\
            #0  0x00007237452cb3f4 __pthread_kill_implementation (libc.so.6 + 0x8a8ec)\n\
            #1  0x00007237452cb3f4 _ZN4core6option13expect_failed17h0123456789abcdefE (app + 0x9c8aee)\n\
            #2  0x00007237452cb3f4 _ZN9QListView5eventEP6QEvent (libQt5Widgets.so.5 + 0x2a1f3b)\n\
            #3  0x00007237452cb3f4 n/a (libtree-sitter.so.0.23 + 0x5e74)\n\
            #4  0x00007237452cb3f4 login_password=hunter2 (app + 0x9c8aee)\n";
        let Stack { module, frames } = Stack::parse(message);
        let mut stack = frames.clone();
        let crash =
            Crash { time: WallTime(0), program: Label::cut("app"), signal: 6, unit: None, module, stack: frames };
        let mut privacy = Privacy::new(&Roots::under(Path::new("/nonexistent")));
        let shown = privacy.clear(crash.clone(), Scopes { logs: true, ..Scopes::default() });
        stack[4] = Frame::cut("login_password=[secret] (app + 0x9c8aee)");
        assert_eq!((&shown.stack, &shown.module), (&stack, &crash.module));
        let withheld = privacy.clear(crash, Scopes { names: true, identifiers: true, network: true, logs: false });
        assert!(withheld.stack.iter().all(|frame| frame.raw() == WITHHELD));
        assert_eq!(withheld.module.as_ref().map(Label::raw), Some(WITHHELD));
    }

    proptest! {
        #[test]
        fn whatever_somebody_writes_is_read_within_bounds_and_without_folders(
            folder in "[a-z (]{1,12}",
            lines in proptest::collection::vec("#[0-9]{0,3} {0,2}(0x[0-9a-f]{0,18})? .{0,300}", 0..40),
        ) {
            let message = format!("{HEADING}1:\n#0  0x1 f (/home/{folder}/app + 0x2)\n{}", lines.join("\n"));
            let stack = Stack::parse(&message);
            prop_assert_eq!(stack.frames[0].raw(), "f (app + 0x2)");
            prop_assert!(stack.frames.len() <= MAX_FRAMES);
        }
    }
}
