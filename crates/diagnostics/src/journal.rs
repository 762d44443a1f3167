//! Reads what `journalctl --output=json` prints: one object a line, as `systemd.journal-fields(7)` and the JSON format of
//! systemd's `JOURNAL_EXPORT_FORMATS` document have it.
//!
//! A field is a string; an array of numbers where it is not printable text; an array of either where an entry has it more than
//! once; `null` where it is too long. Anybody on the machine can write an entry with any content, so only the fields that are
//! asked for are looked at, and of each no more than it may have.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    time::Duration,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use wire::{
    diagnostics::sections::logs::{MAX_MESSAGE_BYTES, Priority},
    text::{Label, PeerText},
    time::WallTime,
};

use crate::{
    folders::list,
    manifest::Manifest,
    sources::Sources,
    text::number,
    tools::{JournalSelection, Tool},
};

/// Its name among the sources of a section.
pub(crate) const JOURNAL: &str = "journal";

/// Longest that the journal is waited for. A disk full of it takes seconds.
const DEADLINE: Duration = Duration::from_secs(15);

/// Longest line that is parsed; longer ones are skipped and counted. An entry of a MiB fits.
const MAX_LINE_BYTES: usize = 2 << 20;

/// Most bytes that are read of one answer.
const MAX_OUTPUT_BYTES: u64 = 32 << 20;

/// Most folders of machines that are looked at; this machine's journals and those that were sent to it.
const MAX_MACHINES: usize = 64;

/// Bytes that are kept of a field: one more than any has a use for, so that a cut is noticed.
const FIELD_BYTES: usize = MAX_MESSAGE_BYTES + 1;

/// One entry: of the fields that [`crate::tools::JournalFields`] names, those that it has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: Field,
    #[serde(rename = "__CURSOR")]
    pub(crate) cursor: Field,
    #[serde(rename = "PRIORITY")]
    priority: Field,
    #[serde(rename = "_SYSTEMD_UNIT")]
    writer: Field,
    #[serde(rename = "UNIT")]
    subject: Field,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    identifier: Field,
    #[serde(rename = "_COMM")]
    command: Field,
    #[serde(rename = "MESSAGE")]
    pub(crate) message: Field,
    #[serde(rename = "COREDUMP_SIGNAL")]
    crash_signal: Field,
    #[serde(rename = "COREDUMP_EXE")]
    crash_executable: Field,
    #[serde(rename = "COREDUMP_COMM")]
    crash_command: Field,
    #[serde(rename = "COREDUMP_UNIT")]
    crash_unit: Field,
}

impl Entry {
    /// When it was written.
    pub(crate) fn time(&self) -> WallTime {
        WallTime(number(&self.time.0).unwrap_or(0) / 1000)
    }

    pub(crate) fn priority(&self) -> Option<Priority> {
        Priority::from_level(number(&self.priority.0)?)
    }

    /// The unit that it is about where the system's manager wrote it, else the one that did. Anybody may write entries that
    /// claim to be about a unit, so only the manager is believed; the journal itself says who wrote.
    pub(crate) fn unit(&self) -> Option<Label> {
        match self.writer.0.as_slice() {
            b"" | b"init.scope" => [&self.subject, &self.writer].into_iter().find_map(Field::label),
            _ => self.writer.label(),
        }
    }

    /// What the writer calls itself; blank if it has no name.
    pub(crate) fn identifier(&self) -> Label {
        [&self.identifier, &self.command].into_iter().find_map(Field::label).unwrap_or_default()
    }

    /// Whether it seems that systemd-coredump(8) wrote it, by what the journal itself says of the writer. Where it handles a crash of the
    /// manager it is in no unit; neither is any writer that had ended before the journal looked.
    pub(crate) fn is_by_the_crash_handler(&self) -> bool {
        is_crash_handler(&self.writer)
    }

    /// Name of the program that crashed, without its folder; blank if unknown.
    pub(crate) fn crashed_program(&self) -> Label {
        let executable = String::from_utf8_lossy(&self.crash_executable.0);
        let name = executable.rsplit('/').next().filter(|name| !name.is_empty());
        name.map(Label::cut).or_else(|| self.crash_command.label()).unwrap_or_default()
    }

    pub(crate) fn crash_signal(&self) -> u32 {
        number(&self.crash_signal.0).and_then(|signal| u32::try_from(signal).ok()).unwrap_or(0)
    }

    pub(crate) fn crash_unit(&self) -> Option<Label> {
        self.crash_unit.label()
    }
}

fn is_crash_handler(writer: &Field) -> bool {
    matches!(writer.0.as_slice(), b"" | b"init.scope") || writer.0.starts_with(b"systemd-coredump@")
}

/// Longest message about a crash that is looked at. Ahead of the stacks it has a line for each library of the program.
const MAX_STACKS_BYTES: usize = 128 * 1024;

/// An entry about a crash, with what is said in words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StackEntry {
    #[serde(rename = "__CURSOR")]
    pub(crate) cursor: Field,
    #[serde(rename = "_SYSTEMD_UNIT")]
    writer: Field,
    #[serde(rename = "MESSAGE")]
    pub(crate) message: Field<MAX_STACKS_BYTES>,
}

impl StackEntry {
    /// As [`Entry::is_by_the_crash_handler`].
    pub(crate) fn is_by_the_crash_handler(&self) -> bool {
        is_crash_handler(&self.writer)
    }
}

/// The first value of a field, cut to `MAX` bytes; empty if there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Field<const MAX: usize = FIELD_BYTES>(Vec<u8>);

impl<const MAX: usize> Field<MAX> {
    /// The value with whatever is not text replaced.
    pub(crate) fn lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl Field {
    fn label(&self) -> Option<Label> {
        (!self.0.is_empty()).then(|| Label::cut(&String::from_utf8_lossy(&self.0)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value as text; `None` if it is not text. A character at the cut is left out.
    pub(crate) fn text(&self) -> Option<&str> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() && self.0.len() == FIELD_BYTES => {
                std::str::from_utf8(&self.0[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        }
    }

    /// Whether it was longer than a message may be.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.len() == FIELD_BYTES
    }

    /// The value as bounded text; `None` if it is not text or empty.
    pub(crate) fn peer_text<const MAX: usize>(&self) -> Option<PeerText<MAX>> {
        self.text().filter(|text| !text.is_empty()).map(PeerText::cut)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Field<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor::<MAX>).map(|value| match value {
            Value::Bytes(bytes) => Self(bytes),
            Value::Byte(byte) => Self(vec![byte]),
            Value::Nothing => Self::default(),
        })
    }
}

/// A value, or one number of an array of them.
enum Value<const MAX: usize> {
    Bytes(Vec<u8>),
    Byte(u8),
    Nothing,
}

impl<'de, const MAX: usize> Deserialize<'de> for Value<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for FieldVisitor<MAX> {
    type Value = Value<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of the journal")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<MAX>, E> {
        let bytes = text.as_bytes();
        Ok(Value::Bytes(bytes.get(..MAX).unwrap_or(bytes).to_vec()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<MAX>, E> {
        Ok(u8::try_from(number).map_or(Value::Nothing, Value::Byte))
    }

    fn visit_unit<E>(self) -> Result<Value<MAX>, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<MAX>, E> {
        Ok(Value::Nothing)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<MAX>, E> {
        Ok(Value::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<MAX>, E> {
        Ok(Value::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<MAX>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(item) = items.next_element::<Value<MAX>>()? {
            match item {
                Value::Byte(byte) if bytes.len() < MAX => bytes.push(byte),
                Value::Byte(_) | Value::Nothing => {}
                // One of several values: the first that there is.
                Value::Bytes(first) => {
                    bytes = first;
                    break;
                }
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Bytes(bytes))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut items: A) -> Result<Value<MAX>, A::Error> {
        while items.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Nothing)
    }
}

/// Hands each entry of `selection` to `each`, in the journal's order, and notes the journal among the sources. Blocks.
///
/// `None` if the machine keeps no journal or it cannot be asked: then `each` was never called.
pub(crate) fn read(
    sources: &Sources,
    selection: JournalSelection,
    manifest: &mut Manifest,
    each: impl FnMut(Entry),
) -> Option<()> {
    read_as(JOURNAL, sources, selection, manifest, each)
}

/// As [`read`], with another name among the sources and other fields of each entry.
pub(crate) fn read_as<E: DeserializeOwned>(
    name: &str,
    sources: &Sources,
    selection: JournalSelection,
    manifest: &mut Manifest,
    each: impl FnMut(E),
) -> Option<()> {
    if !is_kept(sources) {
        manifest.missing(name, "this machine keeps no journal");
        return None;
    }
    let most = selection.lines;
    let output = match sources.tools.start(&Tool::Journal(selection), DEADLINE) {
        Ok(output) => output,
        Err(error) => {
            manifest.failed(name, &error);
            return None;
        }
    };
    manifest.read(name);
    if is_hidden(sources) {
        // journalctl prints what it may open, be it nothing, and says the rest where nobody hears it.
        manifest.partial(name, "this user may not read the system's entries, only their own");
    }
    if let Err(reason) = entries(output, most, each) {
        manifest.partial(name, &reason);
    }
    Some(())
}

/// What the machine's own clock shows: the one that entries were stamped with.
pub(crate) fn now() -> WallTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let millis = i128::from(now.tv_sec) * 1000 + i128::from(now.tv_nsec / 1_000_000);
    WallTime(u64::try_from(millis).unwrap_or(0))
}

/// `time` before `now`.
pub(crate) fn before(now: WallTime, time: Duration) -> WallTime {
    WallTime(now.0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// Whether there is a folder of journals; see systemd-journald.service(8), "Files".
pub(crate) fn is_kept(sources: &Sources) -> bool {
    let journals = |root: &Path| std::fs::read_dir(root).is_ok_and(|mut folders| folders.next().is_some());
    journals(&sources.roots.run.join("log/journal")) || journals(&sources.roots.var.join("log/journal"))
}

/// Whether there are entries of the system that this user may not read. Its file has the same name in each machine's folder; see
/// systemd-journald.service(8), "Access Control".
fn is_hidden(sources: &Sources) -> bool {
    let roots = [sources.roots.run.join("log/journal"), sources.roots.var.join("log/journal")];
    let machines = roots.iter().flat_map(|root| {
        let names = list(root, MAX_MACHINES).map(|listing| listing.names).unwrap_or_default();
        names.into_iter().map(|name| root.join(name))
    });
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let mut opened = machines.map(|machine| openat(CWD, machine.join("system.journal"), flags, Mode::empty()));
    opened.any(|opened| opened.is_err_and(|error| !matches!(error, Errno::NOENT | Errno::NOTDIR)))
}

/// Hands at most `most` entries of journalctl's output to `each`. An error says why that is not all of them.
fn entries<E: DeserializeOwned>(output: impl Read, most: u32, mut each: impl FnMut(E)) -> Result<(), String> {
    let mut output = BufReader::new(output.take(MAX_OUTPUT_BYTES));
    let (mut line, mut unreadable, mut count) = (Vec::new(), 0_u64, 0);
    let ended = loop {
        if count == most {
            break Ok(());
        }
        match next_line(&mut output, &mut line) {
            Ok(Line::Whole) => match parse(&line) {
                Some(entry) => {
                    count += 1;
                    each(entry);
                }
                None if line.trim_ascii().is_empty() => {}
                None => unreadable += 1,
            },
            Ok(Line::TooLong) => unreadable += 1,
            Ok(Line::Torn) => break Err("it ended in the middle of an entry".to_owned()),
            Ok(Line::End) => break Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => break Err("it took too long".to_owned()),
            Err(error) => break Err(crate::gaps::why(&error)),
        }
    };
    match unreadable {
        _ if output.get_ref().limit() == 0 => Err("it has more than is read of it".to_owned()),
        0 => ended,
        count => Err(format!("{count} entries make no sense or are too long")),
    }
}

/// An object; serde would take an array for one, too.
fn parse<E: DeserializeOwned>(line: &[u8]) -> Option<E> {
    line.starts_with(b"{").then(|| serde_json::from_slice(line).ok()).flatten()
}

enum Line {
    Whole,
    TooLong,
    Torn,
    End,
}

/// Replaces `line` by the next one, without what is over [`MAX_LINE_BYTES`].
fn next_line(output: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut length = 0;
    loop {
        let available = match output.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(if length == 0 { Line::End } else { Line::Torn });
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        length += part.len();
        if length <= MAX_LINE_BYTES {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        output.consume(used);
        if end.is_some() {
            return Ok(if length <= MAX_LINE_BYTES { Line::Whole } else { Line::TooLong });
        }
    }
}

#[cfg(test)]
mod tests;
