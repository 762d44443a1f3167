//! Folders, files, and names of units.

use super::{
    aliases::{Aliases, Kind, Search},
    words,
};

/// Suffixes of units, systemd.unit(5).
const UNIT_SUFFIXES: [&str; 11] =
    ["service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"];

/// Folders whose children are the homes of people.
const HOMES: [&str; 2] = ["home", "users"];

/// The home folders that are known, and whose they are.
#[derive(Debug, Default)]
pub(super) struct Homes(Vec<(String, String)>);

/// Most home folders that are remembered.
const MAX_HOMES: usize = 1024;

impl Homes {
    /// Notes that `folder` is the home of whom `alias` stands for. Folders that are no person's, such as `/`, are left out.
    pub(super) fn add(&mut self, folder: &str, alias: &str) {
        let folder = folder.trim_end_matches('/');
        let own =
            folder.rsplit('/').next().is_some_and(|last| !words::is_system_component(last) && last != "nonexistent");
        if folder.starts_with('/') && own && self.0.len() < MAX_HOMES {
            self.0.push((folder.to_owned(), alias.to_owned()));
        }
    }

    /// The alias of whose home `path` lies in, and the rest of the path. Of homes in homes, the inner one.
    fn inside<'p>(&self, path: &'p str) -> Option<(&str, &'p str)> {
        let inside = self.0.iter().filter_map(|(folder, alias)| {
            let rest = path.strip_prefix(folder.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some((alias.as_str(), rest))
        });
        inside.min_by_key(|(_, rest)| rest.len())
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(folder, _)| folder.as_str())
    }
}

/// A path whose components are replaced except for those that every system has; homes become `~user-1`.
pub(super) fn path(aliases: &mut Aliases, homes: &Homes, path: &str) -> String {
    if let Some((alias, rest)) = homes.inside(path) {
        return format!("~{alias}{}", components(aliases, rest));
    }
    // The first folder below the one that holds the homes, wherever that is: `/home/ana`, `C:\Users\ana`.
    let mut parts = path.splitn(4, ['/', '\\']);
    if let (Some(root), Some(folder), Some(person)) = (parts.next(), parts.next(), parts.next())
        && (root.is_empty() || is_drive(root))
        && HOMES.iter().any(|homes| folder.eq_ignore_ascii_case(homes))
        && !person.is_empty()
        && !words::is_system_component(person)
    {
        let alias = aliases.of(Kind::User, person, Search::Person);
        let rest = &path[root.len() + folder.len() + person.len() + 2..];
        return format!("~{alias}{}", components(aliases, rest));
    }
    components(aliases, path)
}

fn components(aliases: &mut Aliases, path: &str) -> String {
    let mut shown = String::with_capacity(path.len());
    for part in path.split_inclusive(['/', '\\']) {
        let component = part.trim_end_matches(['/', '\\']);
        if is_drive(component) || words::is_system_component(component) {
            shown.push_str(component);
        } else if let Some(alias) = component.strip_prefix('~').filter(|person| !person.is_empty()) {
            shown.push('~');
            shown.push_str(&aliases.of(Kind::User, alias, Search::Person));
        } else if aliases.is_alias(component) {
            shown.push_str(component);
        } else {
            shown.push_str(&aliases.of(Kind::Name, component, Search::Never));
        }
        shown.push_str(&part[component.len()..]);
    }
    shown
}

fn is_drive(component: &str) -> bool {
    matches!(component.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

/// Whether `name` ends as names of units do.
pub(super) fn is_unit(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, suffix)| UNIT_SUFFIXES.contains(&suffix))
}

/// The name of a unit: its template and its suffix stay, its instance and whatever names a person are replaced. Names of units that
/// are made of paths, such as those of mounts, become paths.
pub(super) fn unit(aliases: &mut Aliases, homes: &Homes, name: &str) -> String {
    if aliases.is_alias(name) {
        return name.to_owned();
    }
    // A control group is named by the path to it.
    if name.contains('/') && !is_path_unit(name) {
        return name.split('/').map(|part| one_unit(aliases, homes, part)).collect::<Vec<_>>().join("/");
    }
    one_unit(aliases, homes, name)
}

fn one_unit(aliases: &mut Aliases, homes: &Homes, name: &str) -> String {
    let (stem, suffix) = match name.rsplit_once('.') {
        Some((stem, suffix)) if UNIT_SUFFIXES.contains(&suffix) => (stem, &name[stem.len()..]),
        _ => (name, ""),
    };
    if is_path_unit(name) {
        let plain = if stem.starts_with(['/', '~']) { stem.to_owned() } else { unescaped(stem) };
        return format!("{}{suffix}", path(aliases, homes, &plain));
    }
    let (template, instance) = match stem.split_once('@') {
        Some((template, instance)) => (template, Some(instance)),
        None => (stem, None),
    };
    let template = without_people(aliases, template);
    match instance {
        None => format!("{template}{suffix}"),
        Some(instance) if words::is_system_component(instance) || aliases.is_alias(instance) => {
            format!("{template}@{instance}{suffix}")
        }
        Some(instance) => format!("{template}@{}{suffix}", aliases.of(Kind::Name, instance, Search::Never)),
    }
}

fn is_path_unit(name: &str) -> bool {
    let suffix = name.rsplit('.').next().unwrap_or_default();
    matches!(suffix, "mount" | "automount" | "swap" | "device") && name.contains('.')
}

/// The path that systemd.unit(5) makes a name of: `-` was `/`, and `\x2d` was `-`.
fn unescaped(stem: &str) -> String {
    let mut bytes = vec![b'/'];
    let mut rest = stem.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape =
            after.strip_prefix(b"x").and_then(|hex| hex.get(..2)).and_then(|hex| std::str::from_utf8(hex).ok());
        let (byte, after) = match escape.filter(|_| *first == b'\\').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (byte, &after[3..]),
            None => (if *first == b'-' { b'/' } else { *first }, after),
        };
        bytes.push(byte);
        rest = after;
    }
    if bytes == b"//" {
        bytes.pop();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a unit is called without the people and machines in it, and without ids such as those of containers.
fn without_people(aliases: &mut Aliases, name: &str) -> String {
    if !name.contains("\\x") {
        return replace_in_name(aliases, name);
    }
    // Escaped as in `machine-qemu\x2d1\x2dana`: as it was, so that the words in it can be told apart.
    let readable = name.split('-').map(|part| unescaped(part).split_off(1)).collect::<Vec<_>>().join("-");
    let replaced = replace_in_name(aliases, &readable);
    if replaced == readable { name.to_owned() } else { replaced }
}

fn replace_in_name(aliases: &mut Aliases, name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        if let Some((length, alias)) = aliases.at_start(rest, |search| search == Search::Person) {
            shown.push_str(alias);
            rest = &rest[length..];
            continue;
        }
        let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        if is_id(&rest[..word]) {
            shown.push_str(&aliases.of(Kind::Id, &rest[..word], Search::Identifier));
        } else {
            shown.push_str(&rest[..word]);
        }
        let separator = rest[word..].find(char::is_alphanumeric).map_or(rest.len(), |at| word + at);
        shown.push_str(&rest[word..separator]);
        rest = &rest[separator..];
    }
    shown
}

fn is_id(word: &str) -> bool {
    word.len() >= 12
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && word.bytes().any(|byte| byte.is_ascii_digit())
}
