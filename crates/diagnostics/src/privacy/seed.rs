//! Who and what is known by name before anything is collected.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::Read,
    path::Path,
};

use super::{
    aliases::{Aliases, Kind, Search},
    place::Homes,
    words,
};
use crate::roots::Roots;

/// Largest file of names that is read.
const LIMIT_BYTES: u64 = 1 << 20;

/// Most people and machines that are taken from files, so that there is room for what is met later.
const MAX_SEEDS: usize = 2048;

/// Numeric ids of people, login.defs(5): from 1000 on, without the two that stand for nobody.
fn is_person(user_id: u32) -> bool {
    user_id >= 1000 && user_id != 65_534 && user_id != 65_535
}

/// A person with an account.
#[derive(Debug, PartialEq, Eq)]
struct Person {
    login: String,
    /// The first part of the comment; blank if nobody filled it in.
    full_name: String,
    home: String,
}

/// Gives aliases to the people and machines that the system's files name, and notes the accounts that are nobody's.
pub(super) fn seed(roots: &Roots, aliases: &mut Aliases, homes: &mut Homes) -> Vec<String> {
    let own = own_hosts(roots);
    if let Some((first, others)) = own.split_first() {
        let alias = aliases.of(Kind::Host, first, Search::Person);
        others.iter().for_each(|name| aliases.also(name, &alias, Search::Person));
    }
    for domain in shuffled(domains(roots)) {
        aliases.of(Kind::Domain, &domain, Search::Person);
    }
    let Accounts { people, system } = accounts(roots);
    for person in shuffled(people) {
        let alias = aliases.of(Kind::User, &person.login, Search::Person);
        if person.full_name.contains(' ') {
            aliases.also(&person.full_name, &alias, Search::Person);
        }
        homes.add(&person.home, &alias);
    }
    for host in shuffled(other_hosts(roots)) {
        aliases.of(Kind::Host, &host, Search::Network);
    }
    system
}

/// In an order that differs from session to session, so that the numbers of two sessions do not tell who is the same.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    items.truncate(MAX_SEEDS);
    let random = RandomState::new();
    let mut keyed = items.drain(..).enumerate().map(|(at, item)| (random.hash_one(at), item)).collect::<Vec<_>>();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// Who has an account.
#[derive(Debug, Default)]
struct Accounts {
    people: Vec<Person>,
    system: Vec<String>,
}

fn accounts(roots: &Roots) -> Accounts {
    let mut found = passwd(&read(&roots.etc.join("passwd")));
    // Users of a directory service are in no file, but logind notes who is logged in.
    let sessions = std::fs::read_dir(roots.run.join("systemd/users")).into_iter().flatten().flatten();
    for entry in sessions.take(MAX_SEEDS) {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let text = read(&entry.path());
        let name = text.lines().find_map(|line| line.strip_prefix("NAME="));
        if let (Some(id), Some(name)) = (id, name)
            && is_person(id)
        {
            found.add(Person { login: name.to_owned(), full_name: String::new(), home: String::new() });
        }
    }
    // `newusers` and its like note who may have users of their own.
    for line in read(&roots.etc.join("subuid")).lines() {
        let name = line.split(':').next().unwrap_or_default();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            found.add(Person { login: name.to_owned(), full_name: String::new(), home: String::new() });
        }
    }
    #[cfg(not(target_os = "linux"))]
    if *roots == Roots::default() {
        for user in &sysinfo::Users::new_with_refreshed_list() {
            let is_system = user.name().starts_with('_') || words::is_system_account(user.name());
            if !is_system {
                found.add(Person { login: user.name().to_owned(), full_name: String::new(), home: String::new() });
            }
        }
    }
    found
}

impl Accounts {
    fn add(&mut self, person: Person) {
        let known = self.people.iter().any(|other| other.login == person.login) || self.system.contains(&person.login);
        if !known
            && !person.login.is_empty()
            && !words::is_system_account(&person.login)
            && self.people.len() < MAX_SEEDS
        {
            self.people.push(person);
        }
    }
}

/// passwd(5).
fn passwd(text: &str) -> Accounts {
    let mut found = Accounts::default();
    for line in text.lines() {
        let fields = line.split(':').collect::<Vec<_>>();
        let &[login, _, user_id, _, comment, home, ..] = fields.as_slice() else { continue };
        let Ok(user_id) = user_id.parse::<u32>() else { continue };
        if is_person(user_id) {
            let full_name = comment.split(',').next().unwrap_or_default().trim();
            found.add(Person { login: login.to_owned(), full_name: full_name.to_owned(), home: home.to_owned() });
        } else if found.system.len() < MAX_SEEDS {
            found.system.push(login.to_owned());
        }
    }
    found
}

/// The machine's own names: what it is called now, and what it was told to be called.
fn own_hosts(roots: &Roots) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: &str| {
        let name = name.trim();
        let common = name.is_empty() || name == "(none)" || words::is_localhost(name);
        if !common && !names.iter().any(|other| other == name) {
            names.push(name.to_owned());
        }
    };
    for file in [roots.proc.join("sys/kernel/hostname"), roots.etc.join("hostname")] {
        for name in read(&file).lines().filter(|line| !line.starts_with('#')).take(1) {
            add(name.trim().split('.').next().unwrap_or_default());
        }
    }
    let machine_info = read(&roots.etc.join("machine-info"));
    let pretty = machine_info.lines().find_map(|line| line.strip_prefix("PRETTY_HOSTNAME="));
    add(pretty.unwrap_or_default().trim_matches(['"', '\'']));
    #[cfg(not(target_os = "linux"))]
    if *roots == Roots::default() {
        add(&sysinfo::System::host_name().unwrap_or_default());
    }
    names
}

/// The domains that the machine is in: the rest of its names, and what resolv.conf(5) searches.
fn domains(roots: &Roots) -> Vec<String> {
    let mut domains = Vec::new();
    let mut add = |name: &str| {
        let name = name.trim().trim_end_matches('.');
        if name.contains('.') && !name.starts_with('.') && !domains.iter().any(|other| other == name) {
            domains.push(name.to_owned());
        }
    };
    for file in [roots.proc.join("sys/kernel/hostname"), roots.etc.join("hostname")] {
        let text = read(&file);
        add(text.lines().next().and_then(|name| name.split_once('.')).map_or("", |(_, domain)| domain));
    }
    add(&read(&roots.proc.join("sys/kernel/domainname")));
    for line in read(&roots.etc.join("resolv.conf")).lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            words.for_each(&mut add);
        }
    }
    for name in host_file_names(roots) {
        add(name.split_once('.').map_or("", |(_, domain)| domain));
    }
    domains
}

/// Machines that hosts(5) names.
fn other_hosts(roots: &Roots) -> Vec<String> {
    let first_labels = host_file_names(roots).into_iter().filter_map(|name| Some(name.split('.').next()?.to_owned()));
    first_labels.filter(|label| label.parse::<u32>().is_err()).collect()
}

fn host_file_names(roots: &Roots) -> Vec<String> {
    let text = read(&roots.etc.join("hosts"));
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.flat_map(|line| line.split_whitespace().skip(1));
    let told =
        names.filter(|name| !words::is_localhost(name) && !name.starts_with("ip6-") && !name.starts_with("ff02"));
    told.take(MAX_SEEDS).map(str::to_owned).collect()
}

/// A file's text; nothing where it cannot be read.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is as good as it is.
    let _ = File::open(path).and_then(|file| file.take(LIMIT_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_from_accounts_of_the_system() {
        let text = "root:x:0:0:root:/root:/bin/bash\nana:x:1000:1000:Ana Ruiz,,,:/home/ana:/bin/bash\nbroken\n::::::\n\
            nobody:x:65534:65534::/nonexistent:/bin/false\nbo:x:4294967294:1::/srv/bo:/bin/sh\nx:y:-1:0:::\n";
        let found = passwd(text);
        let logins = found.people.iter().map(|person| person.login.as_str()).collect::<Vec<_>>();
        assert_eq!(logins, ["ana", "bo"]);
        assert_eq!(found.people[0].full_name, "Ana Ruiz");
        assert_eq!(found.system, ["root", "nobody"]);
    }

    #[test]
    fn shuffling_loses_nobody() {
        let mut after = shuffled((0..100).collect());
        after.sort_unstable();
        assert_eq!(after, (0..100).collect::<Vec<_>>());
    }
}
