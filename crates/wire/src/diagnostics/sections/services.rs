//! Services, timers, what starts with the system.
//!
//! What a service runs and with which environment is not here: command lines carry passwords.

use crate::{closed, schema, text::Label, time::WallTime};

/// Most failed units that are listed.
pub const MAX_FAILED: usize = 64;

/// Most services with restarts that are listed: those with the most.
pub const MAX_RESTARTED: usize = 32;

/// Most timers that are listed.
pub const MAX_TIMERS: usize = 64;

/// Most units that are listed as other than preset.
pub const MAX_DRIFTED: usize = 64;

/// Most units that are listed as enabled.
pub const MAX_ENABLED: usize = 256;

/// Most names of autostart entries and of tables of cron that are listed, of each.
pub const MAX_NAMES: usize = 64;

closed! {
    /// What starts and watches the services.
    pub enum Manager {
        /// systemd.
        Systemd = "systemd",
        /// OpenRC. Its services are not listed.
        OpenRc = "openrc",
        /// Scripts in the manner of System V. Their services are not listed.
        SysV = "sysv",
        /// Something else, or nothing, as in most containers.
        Other = "other",
    }
}

schema! {
    /// Services, timers, what starts with the system.
    pub struct Services {
        /// What starts and watches the services.
        technical manager: Manager,
        /// What systemd says; absent where it does not run or does not answer.
        nested systemd: Option<Systemd>,
        /// What the systemd of the person at the machine says, which is another one than the system's; absent if nobody is known, or it
        /// does not run.
        #[serde(default)]
        nested own_systemd: Option<Systemd>,
        /// Entries that start with a desktop session (XDG autostart): of that of the person at the machine if they are known, else of
        /// any user's. Where the desktop is not known, also those that only some desktops start.
        technical autostart_entries: u32,
        /// How many of them are the person's own; absent if nobody is known.
        #[serde(default)]
        technical own_autostart_entries: Option<u32>,
        /// Entries that do not start.
        #[serde(default)]
        nested autostart_left_out: AutostartLeftOut,
        /// Their names; at most [`MAX_NAMES`].
        personal autostart: Vec<Label>,
        /// Tables and scripts of cron for the system.
        technical cron_entries: u32,
        /// Their names; at most [`MAX_NAMES`].
        personal cron: Vec<Label>,
        /// Tables of cron of single users; absent if they cannot be listed.
        technical user_crontabs: Option<u32>,
    }

    /// Entries that do not start with a desktop session, by why not.
    #[derive(Copy, Default)]
    pub struct AutostartLeftOut {
        /// Somebody switched them off.
        technical switched_off: u32,
        /// They are for other desktops.
        technical other_desktop: u32,
        /// Their program is not installed.
        technical program_missing: u32,
    }

    /// What systemd says about the units it manages.
    #[derive(Default)]
    pub struct Systemd {
        /// Version.
        technical version: Label,
        /// State of the whole, such as `running` or `degraded`; see systemctl(1), `is-system-running`.
        technical state: Label,
        /// How many units of which kind are in which state, such as 80 services that are active.
        nested counts: Vec<StateCount>,
        /// Units that failed; at most [`MAX_FAILED`].
        nested failed: Vec<FailedUnit>,
        /// Services that were started again because they ended; at most [`MAX_RESTARTED`], the most often first.
        nested restarted: Vec<RestartedService>,
        /// Timers; at most [`MAX_TIMERS`].
        nested timers: Vec<Timer>,
        /// Unit files that are enabled.
        technical enabled_unit_files: Option<u32>,
        /// Names of those that are services, sockets, timers or paths, which start something; at most [`MAX_ENABLED`].
        #[serde(default)]
        unit enabled: Vec<Label>,
        /// Loaded services, sockets and timers that are enabled although the vendor's preset says otherwise, or the other way
        /// round; at most [`MAX_DRIFTED`].
        nested drifted: Vec<DriftedUnit>,
    }

    /// How many units of a kind are in a state.
    pub struct StateCount {
        /// Kind, such as `service`.
        technical kind: Label,
        /// State, such as `active`, `inactive` or `failed`.
        technical state: Label,
        /// How many.
        technical count: u32,
    }

    /// A unit that failed.
    pub struct FailedUnit {
        /// Name.
        unit name: Label,
        /// Why, in systemd's word, such as `exit-code`, `signal`, `timeout` or `oom-kill`; blank if it does not say.
        technical result: Label,
        /// Exit status of the main process; absent if it did not exit by itself.
        technical exit_status: Option<i32>,
        /// Number of the signal that ended the main process.
        technical signal: Option<i32>,
        /// Times that it was started again because it ended.
        technical restarts: u32,
        /// Since when.
        technical since: Option<WallTime>,
    }

    /// A service that was started again.
    pub struct RestartedService {
        /// Name.
        unit name: Label,
        /// Times that it was started again because it ended, since somebody last started it.
        technical restarts: u32,
        /// State, such as `active` or `activating`.
        technical state: Label,
    }

    /// A timer.
    pub struct Timer {
        /// Name.
        unit name: Label,
        /// What it starts.
        unit starts: Label,
        /// When it last did.
        technical last: Option<WallTime>,
        /// When it will next.
        technical next: Option<WallTime>,
        /// How that ended, such as `success`; blank if unknown.
        technical result: Label,
    }

    /// A unit that is not as the vendor set it.
    pub struct DriftedUnit {
        /// Name.
        unit name: Label,
        /// State of its file, such as `enabled` or `masked`.
        technical state: Label,
        /// What the vendor's preset says: `enabled` or `disabled`.
        technical preset: Label,
    }
}
