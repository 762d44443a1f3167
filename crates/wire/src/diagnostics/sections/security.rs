//! Firewall, encryption, secure boot, open ports.

use crate::{closed, schema, text::Label};

schema! {
    /// Firewall, encryption, secure boot, open ports.
    #[derive(Default)]
    pub struct Security {
        /// Whether packets are filtered.
        nested firewall: Firewall,
        /// Whether the disk under the root directory is encrypted; absent if that cannot be told.
        technical root_encrypted: Option<bool>,
        /// Whether the firmware starts signed systems only; absent where it has no UEFI.
        technical secure_boot: Option<SecureBoot>,
        /// Security modules of the kernel, in the order that they are asked.
        technical modules: Vec<Label>,
        /// What SELinux does; absent where it is off.
        technical selinux: Option<Enforcement>,
        /// AppArmor; absent where it is off.
        nested apparmor: Option<AppArmor>,
        /// How far the kernel is closed to its own administrator; absent where it cannot be.
        technical lockdown: Option<Lockdown>,
        /// What the SSH server is set to; absent where there is none.
        nested ssh: Option<SshServer>,
        /// Services that guard the machine, those that it has.
        nested guards: Vec<Guard>,
        /// Rules of fail2ban that are switched on in its settings; absent where it has none.
        technical fail2ban_jails: Option<u32>,
        /// Ports of TCP that other machines may reach, if no firewall is in between.
        technical tcp_open: u32,
        /// Ports of TCP that this machine alone may reach.
        technical tcp_local: u32,
        /// Ports of UDP that other machines may reach, if no firewall is in between.
        technical udp_open: u32,
        /// Ports of UDP that this machine alone may reach.
        technical udp_local: u32,
        /// The ports, those that others may reach first; at most [`MAX_PORTS`].
        nested ports: Vec<Port>,
    }

    /// Whether packets are filtered.
    #[derive(Default)]
    pub struct Firewall {
        /// Tables of nftables, in which newer iptables stand as well; absent if the kernel does not tell this user.
        technical nftables_tables: Option<u32>,
        /// Chains in them that see packets to this machine.
        technical nftables_input_chains: u32,
        /// Those of them that drop what no rule lets in.
        technical nftables_input_drops: u32,
        /// Rules in all of them.
        technical nftables_rules: u32,
        /// Tables of the old iptables that are loaded, such as `filter`; absent if the kernel does not tell this user.
        technical iptables_tables: Option<Vec<Label>>,
        /// Whether ufw is switched on in its settings; absent where it is not installed.
        technical ufw_enabled: Option<bool>,
    }

    /// AppArmor's profiles.
    #[derive(Copy)]
    pub struct AppArmor {
        /// Profiles that are enforced; absent if the kernel does not tell this user.
        technical enforced: Option<u32>,
        /// Profiles that only complain; absent if the kernel does not tell this user.
        technical complaining: Option<u32>,
    }

    /// What the SSH server's file says outside of `Match` blocks. What it does not say has OpenSSH's default, or the distribution's.
    pub struct SshServer {
        /// Whether the administrator may log in; absent if it is not said.
        technical permit_root_login: Option<RootLogin>,
        /// Whether passwords are taken; absent if it is not said.
        technical password_authentication: Option<bool>,
        /// Whether empty passwords are taken; absent if it is not said.
        technical permit_empty_passwords: Option<bool>,
        /// Ports that are said; 22 if none is.
        technical ports: Vec<u16>,
        /// Whether there are `Match` blocks, in which anything may be said otherwise for some.
        technical has_match_blocks: bool,
    }

    /// A service that guards the machine.
    pub struct Guard {
        /// Its unit, from a closed list, such as `firewalld`.
        technical name: Label,
        /// Whether it runs.
        technical state: GuardState,
    }

    /// One port.
    pub struct Port {
        /// TCP or UDP.
        technical protocol: Protocol,
        /// Its number.
        technical port: u16,
        /// Whether this machine alone may reach it.
        technical local: bool,
        /// The address that it listens on.
        network address: Label,
        /// Name of the program, never its arguments; blank if it cannot be told.
        technical program: Label,
        /// Numeric user id of the socket's owner.
        technical user_id: u32,
    }
}

/// Most ports that are listed.
pub const MAX_PORTS: usize = 128;

/// Most ports of the SSH server.
pub const MAX_SSH_PORTS: usize = 8;

/// Most security modules.
pub const MAX_MODULES: usize = 16;

closed! {
    /// Whether the firmware starts signed systems only.
    pub enum SecureBoot {
        /// It does.
        On = "on",
        /// It does not.
        Off = "off",
        /// It would take new keys from anybody.
        Setup = "setup",
    }

    /// Whether rules are enforced.
    pub enum Enforcement {
        /// They are.
        Enforcing = "enforcing",
        /// What breaks them is only written down.
        Permissive = "permissive",
    }

    /// How far the kernel is closed to its own administrator (kernel_lockdown(7)).
    pub enum Lockdown {
        /// It is not.
        None = "none",
        /// It cannot be changed.
        Integrity = "integrity",
        /// It cannot be read either.
        Confidentiality = "confidentiality",
    }

    /// Whether the administrator may log in by SSH (sshd_config(5), `PermitRootLogin`).
    pub enum RootLogin {
        /// In every way.
        Yes = "yes",
        /// Not with a password.
        ProhibitPassword = "prohibit_password",
        /// To run a command that is set.
        ForcedCommandsOnly = "forced_commands_only",
        /// Not at all.
        No = "no",
    }

    /// Whether a service runs.
    pub enum GuardState {
        /// It does.
        Running = "running",
        /// It is there and does not.
        Stopped = "stopped",
        /// It failed.
        Failed = "failed",
    }

    /// What carries a port's bytes.
    pub enum Protocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}
