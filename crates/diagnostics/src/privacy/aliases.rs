//! What stands for what: one alias for each name, the same wherever the name occurs, for as long as the session lasts.

use std::collections::{HashMap, HashSet};

use super::words;

/// Most names that get an alias of their own. Whatever comes later shares one, such as `name-more`. At about 300 bytes each this
/// bounds the map to little more than a MiB.
pub(super) const MAX_ALIASES: usize = 4096;

/// Longest name that is remembered as it is; the longest text of the schema that holds one is a label.
const MAX_NAME_BYTES: usize = 128;

/// Most names with the same first word that a text is compared with at each word.
const MAX_SAME_START: usize = 32;

/// What an alias says about the thing it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A person.
    User,
    /// A machine.
    Host,
    /// The part of a machine's name that it shares with others.
    Domain,
    /// Anything that somebody named.
    Name,
    /// A serial number, a hardware address, a machine id.
    Id,
    /// A /24 of IPv4 addresses.
    Net4,
    /// A /48 of IPv6 addresses.
    Net6,
}

impl Kind {
    const ALL: [Self; 7] = [Self::User, Self::Host, Self::Domain, Self::Name, Self::Id, Self::Net4, Self::Net6];

    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Host => "host",
            Self::Domain => "domain",
            Self::Name => "name",
            Self::Id => "id",
            Self::Net4 => "net4",
            Self::Net6 => "net6",
        }
    }
}

/// Where a name that is known is looked for, and what makes it leave as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    /// Nowhere: it is too common a word, or part of something else.
    Never,
    /// In free text, unless names of people and their things may leave. In names of units as well.
    Person,
    /// In free text, unless names of people and their things may leave.
    Personal,
    /// In free text, unless names of networks may leave.
    Network,
    /// In free text, unless identifiers may leave.
    Identifier,
}

#[derive(Debug)]
struct Entry {
    /// In lower case.
    name: String,
    alias: String,
    search: Search,
}

/// The names of a session and their aliases. Never leaves the endpoint.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    issued: HashSet<String>,
    /// Entries by the first word of their name, the longest name first.
    by_first_word: HashMap<String, Vec<usize>>,
    counters: [u32; Kind::ALL.len()],
}

impl Aliases {
    /// The alias of `name`, if it has one or is one.
    pub(super) fn known(&self, name: &str) -> Option<&str> {
        if let Some(alias) = self.alias_itself(name) {
            return Some(alias);
        }
        Some(&self.entries[*self.by_name.get(&key(name))?].alias)
    }

    /// Whether `text` is an alias of this session.
    pub(super) fn is_alias(&self, text: &str) -> bool {
        self.alias_itself(text).is_some()
    }

    fn alias_itself(&self, text: &str) -> Option<&str> {
        self.issued.get(text).map(String::as_str)
    }

    /// The alias of `name`; a new one of `kind` if it has none.
    pub(super) fn of(&mut self, kind: Kind, name: &str, search: Search) -> String {
        self.with_prefix(kind, "", name, search)
    }

    /// As [`Aliases::of`]; a new alias begins with `prefix`.
    pub(super) fn with_prefix(&mut self, kind: Kind, prefix: &str, name: &str, search: Search) -> String {
        if let Some(alias) = self.alias_itself(name) {
            return alias.to_owned();
        }
        let key = key(name);
        if let Some(&index) = self.by_name.get(&key) {
            self.widen(index, search);
            return self.entries[index].alias.clone();
        }
        let alias = self.next(kind, prefix);
        if self.entries.len() < MAX_ALIASES {
            self.remember(key, alias.clone(), search);
        }
        alias
    }

    /// Lets `name` stand for the same as an alias that was given out.
    pub(super) fn also(&mut self, name: &str, alias: &str, search: Search) {
        let key = key(name);
        if self.entries.len() < MAX_ALIASES && !self.by_name.contains_key(&key) && !self.is_alias(name) {
            self.remember(key, alias.to_owned(), search);
        }
    }

    /// The name that stands at the start of `rest`, whole and in any case: its bytes and its alias. Only one that `hidden` wants.
    pub(super) fn at_start(&self, rest: &str, hidden: impl Fn(Search) -> bool) -> Option<(usize, &str)> {
        let word = rest.split(|c: char| !c.is_alphanumeric()).next().filter(|word| !word.is_empty())?;
        let candidates = self.by_first_word.get(&word.to_lowercase())?;
        candidates.iter().map(|&index| &self.entries[index]).filter(|entry| hidden(entry.search)).find_map(|entry| {
            let length = length_of_prefix(rest, &entry.name)?;
            Some((length, entry.alias.as_str()))
        })
    }

    fn next(&mut self, kind: Kind, prefix: &str) -> String {
        let (word, full) = (kind.word(), self.entries.len() >= MAX_ALIASES);
        loop {
            let alias = if full {
                format!("{prefix}{word}-more")
            } else {
                let counter = &mut self.counters[kind as usize];
                *counter += 1;
                format!("{prefix}{word}-{counter}")
            };
            // A machine may really be called `host-1`: then nothing else is.
            if full || !self.by_name.contains_key(&alias) {
                // Prefixes are many, so that these could fill up as well.
                if self.issued.len() < 4 * MAX_ALIASES {
                    // Behind other prefixes the number stands for the same.
                    self.issued.insert(alias[prefix.len()..].to_owned());
                    self.issued.insert(alias.clone());
                }
                return alias;
            }
        }
    }

    fn remember(&mut self, name: String, alias: String, search: Search) {
        let index = self.entries.len();
        self.by_name.insert(name.clone(), index);
        self.entries.push(Entry { name, alias, search });
        self.index(index);
    }

    /// What is looked for somewhere is not looked for less because it is met again elsewhere.
    fn widen(&mut self, index: usize, search: Search) {
        if self.entries[index].search == Search::Never && search != Search::Never {
            self.entries[index].search = search;
            self.index(index);
        }
    }

    fn index(&mut self, index: usize) {
        let Entry { name, search, .. } = &self.entries[index];
        let first = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        if *search == Search::Never || first.is_empty() || words::is_too_common(name) {
            return;
        }
        let same = self.by_first_word.entry(first.to_owned()).or_default();
        if same.len() < MAX_SAME_START {
            let length = name.len();
            let at = same.partition_point(|&other| self.entries[other].name.len() >= length);
            same.insert(at, index);
        }
    }
}

/// Names differ neither by case nor by what is too long to tell apart.
fn key(name: &str) -> String {
    let mut lower = name.trim().to_lowercase();
    let end = (0..=MAX_NAME_BYTES.min(lower.len())).rev().find(|&end| lower.is_char_boundary(end));
    lower.truncate(end.unwrap_or(0));
    lower
}

/// How many bytes of `text` are `name`, which is in lower case, with no letter or digit behind it.
fn length_of_prefix(text: &str, name: &str) -> Option<usize> {
    let mut wanted = name.chars();
    let mut rest = text.char_indices();
    while !wanted.as_str().is_empty() {
        let (_, c) = rest.next()?;
        for lower in c.to_lowercase() {
            (wanted.next() == Some(lower)).then_some(())?;
        }
    }
    let length = rest.offset();
    (!text[length..].starts_with(char::is_alphanumeric)).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_in_any_case_has_one_alias_and_an_alias_is_its_own() {
        let mut aliases = Aliases::default();
        assert_eq!(aliases.of(Kind::User, "Ana", Search::Person), "user-1");
        assert_eq!(aliases.of(Kind::Name, "ana", Search::Never), "user-1");
        assert_eq!(aliases.of(Kind::Name, "user-1", Search::Never), "user-1");
        assert_eq!(aliases.of(Kind::User, "bo", Search::Person), "user-2");
        assert_eq!((aliases.known("BO"), aliases.known("user-3")), (Some("user-2"), None));
    }

    #[test]
    fn no_alias_is_the_name_of_something_else() {
        let mut aliases = Aliases::default();
        assert_eq!(aliases.of(Kind::Host, "host-2", Search::Person), "host-1");
        assert_eq!(aliases.of(Kind::Host, "desk", Search::Person), "host-3");
        assert_eq!(aliases.known("host-2"), Some("host-1"));
    }

    #[test]
    fn names_beyond_the_bound_share_one_alias_and_memory_stays() {
        let mut aliases = Aliases::default();
        for number in 0..3 * MAX_ALIASES {
            aliases.of(Kind::Name, &format!("thing {number}"), Search::Personal);
        }
        assert_eq!(aliases.entries.len(), MAX_ALIASES);
        assert_eq!(aliases.of(Kind::Name, "thing 7", Search::Never), "name-8");
        assert_eq!(aliases.of(Kind::Name, "one more", Search::Never), "name-more");
        assert_eq!(aliases.of(Kind::Name, "name-more", Search::Never), "name-more");
        assert!(aliases.by_first_word["thing"].len() <= MAX_SAME_START);
    }

    #[test]
    fn names_are_found_whole_and_the_longest_first() {
        let mut aliases = Aliases::default();
        aliases.of(Kind::User, "ana", Search::Person);
        aliases.of(Kind::User, "Ana Ruiz", Search::Person);
        aliases.of(Kind::Name, "ÉCOLE", Search::Network);
        let all = |_: Search| true;
        assert_eq!(aliases.at_start("ANA RUIZ's", all), Some((8, "user-2")));
        assert_eq!(aliases.at_start("ana_ruiz", all), Some((3, "user-1")));
        assert_eq!(aliases.at_start("anatomy", all), None);
        assert_eq!(aliases.at_start("École!", all), Some((6, "name-1")));
        assert_eq!(aliases.at_start("École!", |search| search == Search::Person), None);
        assert_eq!(aliases.at_start("", all), None);
    }
}
