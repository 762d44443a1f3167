//! A network in one machine for tests: hosts are network namespaces, cables are veth pairs. Needs root, `ip` and `nft`.

use std::{
    fs,
    os::fd::AsFd as _,
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Some hosts. They are gone when it is dropped.
pub(crate) struct Lab {
    id: String,
    hosts: Vec<String>,
}

impl Lab {
    /// Makes hosts that are connected to nobody. `None` where this is not permitted, after saying so loudly.
    pub(crate) fn start(hosts: &[&str]) -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let mut lab = Self { id: format!("dg{}-{number}", std::process::id()), hosts: Vec::new() };
        for host in hosts {
            let made = output(&["ip", "netns", "add", &lab.name(host)]);
            if !made.status.success() {
                let why = String::from_utf8_lossy(&made.stderr).into_owned();
                assert!(why.contains("not permitted") || why.contains("denied"), "ip netns add: {why}");
                eprintln!(
                    "SKIPPED, NOTHING WAS TESTED: this user may not make network namespaces ({why}); run as root"
                );
                return None;
            }
            lab.hosts.push((*host).to_owned());
            lab.ip(host, "link set lo up");
        }
        Some(lab)
    }

    /// Lays a cable: each end is a host, and the address that it gets there. The link is called as the other host is.
    pub(crate) fn cable(&self, (a, a_address): (&str, &str), (b, b_address): (&str, &str)) {
        self.ip(a, &format!("link add {b} type veth peer name {a} netns {}", self.name(b)));
        for (host, link, address) in [(a, b, a_address), (b, a, b_address)] {
            // Large packets are cut by the card otherwise, and a router never sees one.
            self.ip(host, &format!("link set {link} gso_max_segs 1 up"));
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.ip(host, &format!("addr add {address} dev {link}{nodad}"));
        }
    }

    /// Runs an `ip` command on a host.
    pub(crate) fn ip(&self, host: &str, line: &str) {
        let name = self.name(host);
        succeed(&["ip", "-n", &name].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>());
    }

    /// Runs a command on a host.
    pub(crate) fn run(&self, host: &str, words: &[&str]) {
        let name = self.name(host);
        succeed(&["ip", "netns", "exec", &name].into_iter().chain(words.iter().copied()).collect::<Vec<_>>());
    }

    /// Writes a setting of the host's kernel, such as `net/ipv4/ip_forward`.
    pub(crate) fn set(&self, host: &str, setting: &str, value: &str) {
        self.run(host, &["sh", "-c", &format!("echo {value} > /proc/sys/{setting}")]);
    }

    /// Does something on a thread of its own whose sockets are the host's.
    pub(crate) fn at<T: Send>(&self, host: &str, what: impl FnOnce() -> T + Send) -> T {
        let namespace = fs::File::open(format!("/run/netns/{}", self.name(host))).unwrap();
        let there = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            what()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap())
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.id)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &self.hosts {
            // What is left behind is only untidy.
            let _ = output(&["ip", "netns", "del", &self.name(host)]);
        }
    }
}

fn succeed(words: &[&str]) {
    let done = output(words);
    assert!(done.status.success(), "{}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr));
}

#[expect(clippy::disallowed_methods, reason = "a test lays its network with the real programs")]
fn output(words: &[&str]) -> Output {
    Command::new(words[0]).args(&words[1..]).output().unwrap()
}
