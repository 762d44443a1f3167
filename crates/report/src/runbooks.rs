//! What to look at next. Every step only reads; whoever wants to run one still asks the end user.

/// What helps with a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runbook {
    /// Its id in findings.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    /// How to go about it.
    pub advice: &'static str,
    /// What to look at, in order.
    pub steps: &'static [Step],
}

/// One thing to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What it shows.
    pub shows: &'static str,
    /// Program and arguments. A word in capitals stands for what the finding is about and is filled in by a person.
    pub command: &'static [&'static str],
}

/// The runbook with this id.
pub fn runbook(id: &str) -> Option<&'static Runbook> {
    RUNBOOKS.iter().find(|runbook| runbook.id == id)
}

/// All of them.
pub const RUNBOOKS: &[Runbook] = &[
    Runbook {
        id: "cpu-hog",
        title: "A program keeps the processor busy",
        advice: "Find out which program it is, what started it, and whether it gets anywhere.",
        steps: &[
            Step { shows: "The busiest processes", command: &["top", "-b", "-n", "1", "-o", "%CPU"] },
            Step {
                shows: "Who started what",
                command: &["ps", "-e", "-o", "pid,ppid,etime,pcpu,comm", "--sort=-pcpu"],
            },
            Step { shows: "Whether a timer started it", command: &["systemctl", "list-timers", "--no-pager"] },
        ],
    },
    Runbook {
        id: "slow-disk",
        title: "A disk does not keep up",
        advice: "Tell a disk that has too much to do from one that fails: look at its errors first, then at who uses it.",
        steps: &[
            Step {
                shows: "Errors of disks in the kernel's log",
                command: &["journalctl", "-k", "-p", "warning", "--no-pager", "-n", "100"],
            },
            Step { shows: "Queue and latency of each disk", command: &["iostat", "-x", "1", "5"] },
            Step { shows: "Processes that wait for a device", command: &["ps", "-e", "-o", "state,pid,wchan:32,comm"] },
        ],
    },
    Runbook {
        id: "noisy-host",
        title: "The host gives too little processor time",
        advice: "Nothing on this machine helps. Note when it happens, and ask whoever runs the host.",
        steps: &[
            Step { shows: "Steal over time", command: &["vmstat", "5", "12"] },
            Step { shows: "What kind of machine this is", command: &["systemd-detect-virt"] },
        ],
    },
    Runbook {
        id: "high-load",
        title: "More work than processors",
        advice: "See whether tasks want a processor or wait for a device: the two have nothing in common but the figure.",
        steps: &[
            Step { shows: "Runnable and blocked tasks", command: &["vmstat", "1", "10"] },
            Step { shows: "Processes that wait for a device", command: &["ps", "-e", "-o", "state,pid,wchan:32,comm"] },
        ],
    },
    Runbook {
        id: "memory-pressure",
        title: "Memory is short",
        advice: "Find what takes the memory, and whether it grew or was always that large.",
        steps: &[
            Step { shows: "Memory in all", command: &["free", "-h"] },
            Step { shows: "The largest processes", command: &["ps", "-e", "-o", "pid,rss,etime,comm", "--sort=-rss"] },
            Step { shows: "The largest control groups", command: &["systemd-cgtop", "-b", "-n", "1", "-m"] },
        ],
    },
    Runbook {
        id: "out-of-memory",
        title: "The kernel killed a process",
        advice: "See what was killed and what was largest then: often they are not the same.",
        steps: &[
            Step {
                shows: "What the kernel wrote",
                command: &["journalctl", "-k", "-g", "Out of memory|oom-kill", "--no-pager", "-n", "50"],
            },
            Step {
                shows: "What systemd-oomd did",
                command: &["journalctl", "-u", "systemd-oomd", "--no-pager", "-n", "50"],
            },
        ],
    },
    Runbook {
        id: "swap",
        title: "Much is swapped out",
        advice: "Swap that is full and quiet is no trouble. Look whether pages come and go.",
        steps: &[
            Step { shows: "Pages in and out", command: &["vmstat", "1", "10"] },
            Step { shows: "Swap areas", command: &["swapon", "--show"] },
        ],
    },
    Runbook {
        id: "disk-full",
        title: "A file system is full",
        advice: "Find the largest folders. A file that is deleted and still open takes room until its program ends.",
        steps: &[
            Step { shows: "File systems", command: &["df", "-h"] },
            Step { shows: "Largest folders of the root", command: &["du", "-x", "-h", "--max-depth=2", "/"] },
            Step { shows: "Room that the journal takes", command: &["journalctl", "--disk-usage"] },
        ],
    },
    Runbook {
        id: "disk-fill",
        title: "A file system fills up",
        advice: "Find what grows before it is full.",
        steps: &[
            Step {
                shows: "Files of the last hour",
                command: &["find", "/", "-xdev", "-type", "f", "-mmin", "-60", "-size", "+10M"],
            },
            Step { shows: "File systems", command: &["df", "-h"] },
        ],
    },
    Runbook {
        id: "inodes",
        title: "Inodes run out",
        advice: "Find the folder with very many small files; sessions, caches and mail queues are the usual ones.",
        steps: &[
            Step { shows: "Inodes", command: &["df", "-i"] },
            Step { shows: "Folders by number of files", command: &["du", "-x", "--inodes", "--max-depth=3", "/"] },
        ],
    },
    Runbook {
        id: "read-only",
        title: "A file system turned read-only",
        advice: "The kernel does this to save what is there. Do not write and do not restart before the reason is known and copies are made.",
        steps: &[
            Step {
                shows: "Why it did",
                command: &["journalctl", "-k", "-g", "I/O error|EXT4-fs|XFS|BTRFS|remount", "--no-pager", "-n", "100"],
            },
            Step { shows: "How it is mounted", command: &["findmnt", "-o", "TARGET,SOURCE,FSTYPE,OPTIONS"] },
        ],
    },
    Runbook {
        id: "dead-mount",
        title: "A mount does not answer",
        advice: "Look at the server and the way to it. Do not touch the mount itself: whatever does hangs too.",
        steps: &[
            Step {
                shows: "Mounts of the network",
                command: &["findmnt", "-t", "nfs,nfs4,cifs,smb3,fuse.sshfs", "-o", "TARGET,SOURCE,FSTYPE"],
            },
            Step {
                shows: "What the kernel says of it",
                command: &["journalctl", "-k", "-g", "not responding|timed out", "--no-pager", "-n", "50"],
            },
        ],
    },
    Runbook {
        id: "backup-now",
        title: "A disk may fail",
        advice: "Copy first, then look. A disk that warns may work for a year or for an hour.",
        steps: &[
            Step { shows: "What the disk says of itself", command: &["smartctl", "--all", "/dev/DISK"] },
            Step {
                shows: "Errors of disks in the kernel's log",
                command: &["journalctl", "-k", "-g", "I/O error|nvme|ata", "--no-pager", "-n", "100"],
            },
        ],
    },
    Runbook {
        id: "raid",
        title: "An array lacks a member",
        advice: "Find out which disk it is and why, before anything is taken out. Make a backup first.",
        steps: &[
            Step { shows: "Arrays", command: &["cat", "/proc/mdstat"] },
            Step { shows: "Details of an array", command: &["mdadm", "--detail", "/dev/ARRAY"] },
        ],
    },
    Runbook {
        id: "bad-memory",
        title: "Memory has errors",
        advice: "Corrected errors of one module that go up mean: replace it. Uncorrectable ones mean: do not trust what was written since.",
        steps: &[
            Step { shows: "Errors by module", command: &["ras-mc-ctl", "--summary"] },
            Step {
                shows: "What the kernel wrote",
                command: &["journalctl", "-k", "-g", "EDAC|Hardware Error|mce", "--no-pager", "-n", "50"],
            },
        ],
    },
    Runbook {
        id: "lossy-link",
        title: "An interface loses packets",
        advice: "Tell a bad cable (errors) from a machine that does not keep up (drops).",
        steps: &[
            Step { shows: "Counters of each interface", command: &["ip", "-s", "-s", "link"] },
            Step { shows: "Speed and duplex", command: &["ethtool", "INTERFACE"] },
        ],
    },
    Runbook {
        id: "lossy-path",
        title: "Connections lose what they send",
        advice: "See whether all peers are concerned or one: the first hop or the far end.",
        steps: &[
            Step { shows: "Connections with retransmits", command: &["ss", "-t", "-i", "-n"] },
            Step { shows: "Loss on the way", command: &["mtr", "--report", "--report-cycles", "20", "ADDRESS"] },
        ],
    },
    Runbook {
        id: "network-ladder",
        title: "The way to the internet is broken",
        advice: "Start at the lowest broken rung; those above it cannot hold.",
        steps: &[
            Step { shows: "Links and addresses", command: &["ip", "address"] },
            Step { shows: "Routes", command: &["ip", "route"] },
            Step { shows: "Name servers", command: &["resolvectl", "status"] },
        ],
    },
    Runbook {
        id: "bufferbloat",
        title: "Slow under load",
        advice: "The queue is in the slowest device on the way, most often the router. Queue management there (SQM, CAKE) helps.",
        steps: &[Step { shows: "Queues of this machine", command: &["tc", "-s", "qdisc"] }],
    },
    Runbook {
        id: "captive-portal",
        title: "Something stands in between",
        advice: "A portal wants a sign-in. An unknown issuer of certificates is a proxy that reads along: ask whose it is.",
        steps: &[
            Step { shows: "What NetworkManager found", command: &["nmcli", "networking", "connectivity", "check"] },
            Step { shows: "Authorities that were added", command: &["trust", "list", "--filter=ca-anchors"] },
        ],
    },
    Runbook {
        id: "wifi",
        title: "The wireless signal is weak",
        advice: "Look at signal and channel where the machine stands, and whether it stays with one access point.",
        steps: &[
            Step { shows: "The link", command: &["iw", "dev", "INTERFACE", "link"] },
            Step { shows: "Access points around", command: &["nmcli", "device", "wifi", "list"] },
        ],
    },
    Runbook {
        id: "clock",
        title: "The clock is off",
        advice: "See what sets the clock and whether that reaches its server.",
        steps: &[
            Step { shows: "State", command: &["timedatectl", "status"] },
            Step { shows: "The source", command: &["timedatectl", "timesync-status"] },
            Step { shows: "The source, with chrony", command: &["chronyc", "tracking"] },
        ],
    },
    Runbook {
        id: "failed-service",
        title: "A service failed",
        advice: "Read its last lines. A service that is started again and again hides why it ended first.",
        steps: &[
            Step { shows: "What failed", command: &["systemctl", "--failed", "--no-pager"] },
            Step { shows: "Its state", command: &["systemctl", "status", "--no-pager", "UNIT"] },
            Step { shows: "Its last lines", command: &["journalctl", "-u", "UNIT", "--no-pager", "-n", "50"] },
        ],
    },
    Runbook {
        id: "certificate",
        title: "A certificate ends",
        advice: "See who renews it and why that has not happened yet.",
        steps: &[
            Step {
                shows: "Dates and issuer",
                command: &["openssl", "x509", "-noout", "-dates", "-issuer", "-in", "FILE"],
            },
            Step { shows: "Whether a timer renews it", command: &["systemctl", "list-timers", "--no-pager"] },
        ],
    },
    Runbook {
        id: "updates",
        title: "Updates wait",
        advice: "See whether updates install themselves and what holds them up.",
        steps: &[
            Step { shows: "What waits, with APT", command: &["apt", "list", "--upgradable"] },
            Step {
                shows: "What waits, with DNF",
                command: &["dnf", "--cacheonly", "updateinfo", "list", "--security"],
            },
            Step {
                shows: "Last runs",
                command: &["journalctl", "-u", "unattended-upgrades", "-u", "dnf-automatic", "--no-pager", "-n", "50"],
            },
        ],
    },
    Runbook {
        id: "restart",
        title: "A restart is needed",
        advice: "See what runs that is no longer installed. Ask for a good time.",
        steps: &[
            Step { shows: "The kernel that runs", command: &["uname", "-r"] },
            Step { shows: "Since when", command: &["uptime", "-s"] },
        ],
    },
    Runbook {
        id: "crashes",
        title: "A program crashes",
        advice: "The same place each time is a bug of the program; ever other places, and several programs, point at memory or disk.",
        steps: &[
            Step { shows: "Crashes", command: &["coredumpctl", "list", "--no-pager"] },
            Step { shows: "The last one", command: &["coredumpctl", "info", "--no-pager", "-1"] },
        ],
    },
    Runbook {
        id: "memory-leak",
        title: "A process grows",
        advice: "See since when, and whether it has a limit. A restart of it helps until the next time.",
        steps: &[
            Step { shows: "The process", command: &["ps", "-o", "pid,rss,vsz,etime,comm", "-p", "PID"] },
            Step { shows: "What its memory is made of", command: &["cat", "/proc/PID/smaps_rollup"] },
        ],
    },
    Runbook {
        id: "group-limit",
        title: "A group is at its memory limit",
        advice: "Decide whether the limit is too small or what is inside grew.",
        steps: &[
            Step { shows: "Groups by memory", command: &["systemd-cgtop", "-b", "-n", "1", "-m"] },
            Step {
                shows: "Its limits",
                command: &["systemctl", "show", "-p", "MemoryCurrent,MemoryHigh,MemoryMax", "UNIT"],
            },
        ],
    },
    Runbook {
        id: "battery",
        title: "The battery is worn",
        advice: "Nothing wakes it up again. Note the figures and have it replaced.",
        steps: &[Step { shows: "What it says of itself", command: &["upower", "--dump"] }],
    },
    Runbook {
        id: "file-handles",
        title: "File handles run out",
        advice: "Find which program holds them.",
        steps: &[
            Step { shows: "In use, free, and most", command: &["cat", "/proc/sys/fs/file-nr"] },
            Step { shows: "By program", command: &["lsof", "-n"] },
        ],
    },
    Runbook {
        id: "connection-table",
        title: "Tracked connections run out",
        advice: "See which address has most of them.",
        steps: &[
            Step {
                shows: "How many, and how many there may be",
                command: &["sysctl", "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"],
            },
            Step { shows: "Connections of this machine", command: &["ss", "-s"] },
        ],
    },
    Runbook {
        id: "process-table",
        title: "Processes run out",
        advice: "Find the parent of those that are very many.",
        steps: &[Step {
            shows: "By program and parent",
            command: &["ps", "-e", "-o", "ppid,pid,nlwp,comm", "--sort=-nlwp"],
        }],
    },
    Runbook {
        id: "overheating",
        title: "The processor is too hot",
        advice: "Look whether fans turn and whether something keeps it busy.",
        steps: &[
            Step { shows: "Temperatures and fans", command: &["sensors"] },
            Step { shows: "Busiest processes", command: &["top", "-b", "-n", "1", "-o", "%CPU"] },
        ],
    },
    Runbook {
        id: "what-changed",
        title: "A figure moved",
        advice: "Look at what was installed, started or plugged in at that time.",
        steps: &[Step {
            shows: "What was logged then",
            command: &["journalctl", "--since", "TIME", "-p", "notice", "--no-pager", "-n", "200"],
        }],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_runbook_has_an_id_of_its_own_and_something_to_look_at() {
        let ids = RUNBOOKS.iter().map(|runbook| runbook.id).collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), RUNBOOKS.len());
        for Runbook { id, title, advice, steps } in RUNBOOKS {
            assert!(!title.is_empty() && advice.ends_with('.') && !steps.is_empty(), "{id}");
            assert_eq!(runbook(id).unwrap().title, *title);
        }
        assert_eq!(runbook("reinstall-everything"), None);
    }

    /// A step that changed something would be proposed as harmless.
    #[test]
    fn steps_only_read() {
        let changes = [
            "rm", "kill", "restart", "start", "stop", "mount", "umount", "reboot", "install", "upgrade", "-delete",
            "-exec", "tee", "dd", "mkfs", "sh", "bash", "sudo", "-w",
        ];
        for (runbook, step) in RUNBOOKS.iter().flat_map(|runbook| runbook.steps.iter().map(move |step| (runbook, step)))
        {
            for word in step.command {
                assert!(!changes.contains(word), "{}: {word} in {:?}", runbook.id, step.command);
                assert!(!word.contains(['>', ';', '`', '$']), "{}: {word}", runbook.id);
            }
        }
    }
}
