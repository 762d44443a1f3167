//! The one way out: whatever is sent to a technician, written to a file for one, or shown as a preview passes [`Privacy::clear`].
//!
//! Each field of the schema declares its class ([`wire::diagnostics::schema`]); here it is decided, by what the person at the machine
//! agreed to, whether a text leaves as it is, as an alias, or not at all.
//!
//! | class | without consent to more | as it is with |
//! |---|---|---|
//! | `personal` | `user-1`, `host-1`, `name-3`; accounts of the system stay | `names` |
//! | `path` | folders that every system has stay; homes are `~user-1`, all else `name-3` | `names` |
//! | `unit` | stays, but for instances and names of people | `names` |
//! | `identifier` | the vendor's part and a number | `identifiers` |
//! | `network` | private addresses and usual names of links stay; public ones are `net4-1.host-2`, names are `name-3` | `network` |
//! | `text` | `[withheld]` | scrubbed with `logs`; never as it is. Arguments of a program: each in its place |
//!
//! **Scrubbing free text is best effort.** It finds secrets that look like one or stand where one is expected, and names that were
//! known or met before. A password in the middle of a sentence looks like any other word and stays. So free text leaves only with a
//! consent of its own, and whoever gives it should be told so.
//!
//! An alias stands for the same thing for as long as the session lasts, and the map from one to the other stays here. Numbers are
//! given in another order in each session.

mod aliases;
mod arguments;
mod identifier;
mod network;
mod place;
mod scrub;
mod secrets;
mod seed;
#[cfg(test)]
mod tests;
mod words;

use std::{collections::HashSet, fmt, ops::Deref};

use wire::{
    diagnostics::{
        report::{ClassCount, Receipt, Report},
        schema::{Class, Egress, Redact},
    },
    text::Label,
};

use self::{
    aliases::{Aliases, Kind, Search},
    place::Homes,
    scrub::{MAX_TEXT_BYTES, Scrubber},
};
use crate::roots::Roots;

/// What leaves instead of free text that nobody agreed to.
pub const WITHHELD: &str = "[withheld]";

/// What the person at the machine agreed to beyond the basics. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    /// Names of people and what they named, homes, paths, names of units.
    pub names: bool,
    /// Serial numbers, hardware addresses, machine ids.
    pub identifiers: bool,
    /// Public addresses, names of networks and of machines in them.
    pub network: bool,
    /// Free text such as log lines, scrubbed as well as can be.
    pub logs: bool,
}

/// Decides what may leave the machine in one session. Never leaves it itself.
pub struct Privacy {
    aliases: Aliases,
    homes: Homes,
    system_accounts: HashSet<String>,
}

/// Says nothing about the names in it.
impl fmt::Debug for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Privacy").finish_non_exhaustive()
    }
}

impl Privacy {
    /// Learns the names of the machine, its people and its domains from files: `passwd(5)`, `subuid(5)`, `hosts(5)`, `hostname(5)`,
    /// `resolv.conf(5)`, and logind's notes. To be made before anything is collected, and anew for each session.
    pub fn new(roots: &Roots) -> Self {
        let (mut aliases, mut homes) = (Aliases::default(), Homes::default());
        let system_accounts = seed::seed(roots, &mut aliases, &mut homes).into_iter().collect();
        Self { aliases, homes, system_accounts }
    }

    /// Makes `value` fit to leave. Doing so again changes nothing.
    pub fn clear<T: Redact>(&mut self, mut value: T, scopes: Scopes) -> Cleared<T> {
        let mut gate = Gate { privacy: self, scopes, sent: [0; CLASSES], replaced: [0; CLASSES] };
        value.redact(&mut gate);
        let Gate { sent, replaced, .. } = gate;
        Cleared { value, sent, replaced }
    }

    /// As [`Privacy::clear`], with the counts written into the report's receipt.
    pub fn clear_report(&mut self, report: Report, scopes: Scopes) -> Cleared<Report> {
        let mut cleared = self.clear(report, scopes);
        let Receipt { sent, replaced, .. } = cleared.receipt();
        cleared.value.receipt.sent = sent;
        cleared.value.receipt.replaced = replaced;
        cleared
    }

    /// Scrubs free text: at most its first 8 KiB, with whatever is no UTF-8 left out.
    ///
    /// Best effort, in time linear in its length. For text that does not have a field in the schema; log lines that have one pass
    /// [`Privacy::clear`], which does the same.
    pub fn scrub(&mut self, text: &[u8], scopes: Scopes) -> String {
        // One character more can be torn at the end.
        let text = text.get(..MAX_TEXT_BYTES + 4).unwrap_or(text);
        self.scrub_text(&String::from_utf8_lossy(text), scopes)
    }

    fn scrub_text(&mut self, text: &str, scopes: Scopes) -> String {
        let accounts = &self.system_accounts;
        let is_system_account = |name: &str| accounts.contains(name) || words::is_system_account(name);
        let (aliases, homes) = (&mut self.aliases, &self.homes);
        Scrubber { aliases, homes, is_system_account: &is_system_account, scopes }.scrub(text)
    }

    fn replacement(&mut self, class: Class, text: &str, scopes: Scopes) -> Option<String> {
        let (aliases, homes) = (&mut self.aliases, &self.homes);
        Some(match class {
            Class::Personal | Class::Path | Class::Unit if scopes.names => return None,
            Class::Identifier if scopes.identifiers => return None,
            // Networks may be named, devices may not.
            Class::Network if scopes.network && !scopes.identifiers => return network::link_of_address(aliases, text),
            Class::Network if scopes.network => return None,
            Class::Personal => self.personal(text),
            Class::Path => place::path(aliases, homes, text),
            Class::Unit => place::unit(aliases, homes, text),
            Class::Identifier => identifier::identifier(aliases, text),
            Class::Network => network::network(aliases, text),
            Class::Text if scopes.logs => self.scrub_text(text, scopes),
            Class::Text => WITHHELD.to_owned(),
        })
    }

    fn arguments(&mut self, arguments: &[&str], scopes: Scopes) -> Vec<String> {
        if !scopes.logs {
            return arguments.iter().map(|_| WITHHELD.to_owned()).collect();
        }
        let mut shown = arguments::without_secrets(arguments);
        // A name that one argument gives away may stand in an earlier one.
        for _ in 0..2 {
            shown = shown.iter().map(|argument| self.scrub_text(argument, scopes)).collect();
        }
        shown
    }

    fn personal(&mut self, text: &str) -> String {
        let name = text.trim();
        // `user 1000`: a user whose name is not known.
        let is_number = |text: &str| text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_nobody = self.system_accounts.contains(name)
            || words::is_system_account(name)
            || is_number(name.strip_prefix("user ").unwrap_or(name)) && name.starts_with("user ");
        if is_nobody || words::is_localhost(name) {
            return name.to_owned();
        }
        if let Some((first, domain)) = name.split_once('.')
            && network::is_host_name(name)
            && (self.aliases.is_alias(first)
                || self.aliases.known(first).is_some() && self.aliases.known(domain).is_some())
        {
            return network::host(&mut self.aliases, name);
        }
        self.aliases.of(Kind::Name, name, Search::Personal)
    }
}

const CLASSES: usize = Class::ALL.len();

/// Passes each text of one value.
struct Gate<'p> {
    privacy: &'p mut Privacy,
    scopes: Scopes,
    sent: [u32; CLASSES],
    replaced: [u32; CLASSES],
}

impl Egress for Gate<'_> {
    fn replacement(&mut self, class: Class, text: &str) -> Option<String> {
        let replacement = self.privacy.replacement(class, text, self.scopes).filter(|replacement| replacement != text);
        self.count(class, replacement.is_some());
        replacement
    }

    fn arguments(&mut self, arguments: &[&str]) -> Vec<String> {
        let shown = self.privacy.arguments(arguments, self.scopes);
        for (shown, argument) in shown.iter().zip(arguments) {
            self.count(Class::Text, shown != argument);
        }
        shown
    }
}

impl Gate<'_> {
    fn count(&mut self, class: Class, replaced: bool) {
        let counts = if replaced { &mut self.replaced } else { &mut self.sent };
        counts[class as usize] = counts[class as usize].saturating_add(1);
    }
}

/// Something that is fit to leave. Only [`Privacy`] makes one:
///
/// ```
/// use diagnostics::{Cleared, Privacy, Roots, Scopes};
/// use wire::diagnostics::Snapshot;
///
/// let mut privacy = Privacy::new(&Roots::default());
/// let cleared: Cleared<Snapshot> = privacy.clear(Snapshot::default(), Scopes::default());
/// assert_eq!(cleared.tick, 0);
/// ```
///
/// It cannot be put together,
///
/// ```compile_fail,E0451
/// # use diagnostics::Cleared;
/// # use wire::diagnostics::Snapshot;
/// let cleared = Cleared { value: Snapshot::default(), sent: [0; 6], replaced: [0; 6] };
/// ```
///
/// made of what is not cleared,
///
/// ```compile_fail,E0277
/// # use diagnostics::Cleared;
/// # use wire::diagnostics::Snapshot;
/// let cleared: Cleared<Snapshot> = Snapshot::default().into();
/// ```
///
/// or changed once it is:
///
/// ```compile_fail,E0594
/// # use diagnostics::{Privacy, Roots, Scopes};
/// # use wire::diagnostics::Snapshot;
/// # let mut privacy = Privacy::new(&Roots::default());
/// let mut cleared = privacy.clear(Snapshot::default(), Scopes::default());
/// cleared.tick = 1;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared<T> {
    value: T,
    sent: [u32; CLASSES],
    replaced: [u32; CLASSES],
}

impl<T> Cleared<T> {
    /// How many texts of each class left as they are, and how many were replaced; classes without any are left out.
    pub fn receipt(&self) -> Receipt {
        let counts = |counts: &[u32; CLASSES]| {
            let classes = Class::ALL.into_iter().map(|class| (class, counts[class as usize]));
            let some = classes.filter(|(_, count)| *count > 0);
            some.map(|(class, count)| ClassCount { class: Label::cut(class.name()), count }).collect()
        };
        Receipt { sent: counts(&self.sent), replaced: counts(&self.replaced), ..Receipt::default() }
    }

    /// What was cleared; it counts as cleared no more.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// What `make` makes of it, which must add nothing to it: a frame of a sample, a report with fewer rows.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "streams and reports that are cleared are put together by their own modules")
    )]
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Cleared<U> {
        Cleared { value: make(self.value), sent: self.sent, replaced: self.replaced }
    }
}

impl<T> Deref for Cleared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
