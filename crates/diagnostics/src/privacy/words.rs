//! Words that say nothing about a person: names of folders, devices and accounts that every system has.

use std::{collections::HashSet, sync::LazyLock};

use regex::Regex;

/// Folders and files of the Filesystem Hierarchy Standard, of systemd's file-hierarchy(7), of the XDG base directories, and of
/// programs that most systems have.
const FOLDERS: &str = "
    . .. ~ $home afs bin boot core dev efi etc export home lib lib32 lib64 libexec libx32 lost+found media mnt net nfs none opt proc
    root run sbin snap srv swap sys sysroot system tmp usr var volumes users
    account adm alternatives apparmor apt backups cache cachefiles containerd containers crash db dbus default docker games include
    info init init.d local lock locale log lxc lxd mail man misc modules network opt overlay overlay2 private share skel spool src
    ssl state systemd tmpfs tools udev udisks2 user volatile www yp zfs
    anacron at bluetooth chrony cloud clamav cron cron.d cron.daily cron.hourly cron.monthly cron.weekly cups cups-pdf dhcp dhclient
    dhcpcd dnf dnsmasq dpkg exim4 fail2ban firmware firewalld flatpak fonts fwupd gdm gdm3 git grub grub2 html initramfs journal
    kernel kubelet libvirt lightdm logrotate mariadb modprobe.d mongodb mysql named networkmanager nginx apache2 httpd ntp nvidia
    openvpn pacman packagekit pam.d php pki podman polkit-1 portage postfix postgresql pulse qemu redis rabbitmq rpm rsyslog samba
    sddm selinux sessions snapd ssh sshd sss sssd sudo sudoers.d supervisor sysctl.d tftpboot tomcat tor tpm ufw unattended-upgrades
    upower wireguard wpa_supplicant x11 xdg xorg yum zypp zypper
    block bus cgroup class cpu debug devices fd fs fuse hugepages mapper module mqueue net pts power shm snd tracing disk by-id
    by-label by-partlabel by-partuuid by-path by-uuid dri input usb bootctl loader pstore config efivars security self thread-self
    configfs debugfs devpts devtmpfs hugetlbfs ramfs securityfs sysfs tracefs rootfs cgroup2 bpf binfmt_misc binderfs rpc_pipefs
    acpi bdi hwmon leds thermal virtual platform pci pci_bus firmware_node
    group group- gshadow gshadow- passwd passwd- shadow shadow- hosts hostname fstab crypttab mdadm.conf resolv.conf machine-id
    os-release nsswitch.conf sudoers profile bashrc motd issue localtime timezone environment ld.so.cache ld.so.conf mtab
    auth.log boot.log daemon.log dmesg dpkg.log kern.log lastlog maillog messages secure syslog wtmp btmp cpuinfo meminfo mounts
    mountinfo mdstat swaps vmstat stat status loadavg uptime diskstats partitions interrupts cmdline
    data root-ro rw images volumes aufs btrfs devicemapper vfs snapshots io.containerd.snapshotter.v1.overlayfs rootfs merged
    desktop documents downloads music pictures public templates videos
    .bash_history .bashrc .cache .config .gnupg .local .mozilla .profile .ssh .thumbnails .trash .vscode .snapshots .swap
    windows system32 syswow64 programdata appdata roaming temp applications library
    swapfile swap.img vmlinuz initrd.img config.txt
    stdin stdout stderr null zero full random urandom console tty ptmx kmsg mem rtc kvm
";

/// Accounts that distributions make. `passwd` names those of the machine itself; these are for what comes from elsewhere.
const ACCOUNTS: &str = "
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody _apt systemd-network
    systemd-resolve systemd-timesync systemd-coredump systemd-oom messagebus dbus polkitd sshd ntp chrony _chrony avahi colord cups
    cupsys gdm sddm lightdm rtkit saned pulse pipewire geoclue tss tcpdump uuidd usbmux whoopsie kernoops syslog landscape pollinate
    fwupd-refresh lxd dnsmasq statd rpc rpcuser nscd nslcd sssd postfix exim Debian-exim mysql mariadb postgres redis mongodb nginx
    apache http httpd tomcat docker libvirt-qemu qemu kvm nogroup nfsnobody halt shutdown operator ftp adm systemd
";

/// Words too common in logs to be looked for in free text, though somebody may be called so.
const COMMON: &str = "
    user admin administrator test guest name host domain net id localhost local server client pc laptop desktop computer machine
    debian ubuntu fedora linux windows kernel system service root default public private home work office network internet wifi wlan
    lan wan vpn eth printer scanner disk data backup storage media music boot efi swap live main master primary secondary new old
    temp tmp the and for not are was all any can has had her his him how its may one our out own see she two use who why you will
    mark bill grant page file error failed failure info warning notice debug start started starting stop stopped stopping session
    from with into over that this then than when what which while opened closed open close read write mount mounted unknown none
    secret email card account query withheld removed more line time date day night true false null yes password key token
";

static FOLDER_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| FOLDERS.split_whitespace().collect());
static ACCOUNT_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| ACCOUNTS.split_whitespace().collect());
static COMMON_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON.split_whitespace().collect());

/// Whether every system has a folder or file of this name, or the kernel gave it to a device.
pub(super) fn is_system_component(component: &str) -> bool {
    component.is_empty()
        || FOLDER_SET.contains(component)
        || FOLDER_SET.contains(component.to_ascii_lowercase().as_str())
        || is_device(component)
}

/// Whether distributions make an account of this name.
pub(super) fn is_system_account(name: &str) -> bool {
    ACCOUNT_SET.contains(name)
}

/// Whether it is one of the names by which every machine calls itself.
pub(super) fn is_localhost(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or_default();
    let domain = name.strip_prefix(first).unwrap_or_default();
    ["localhost", "localhost4", "localhost6"].contains(&first)
        && ["", ".localdomain", ".localdomain4", ".localdomain6"].contains(&domain)
}

/// Whether a name, in lower case, would be found in free text where nobody is meant.
pub(super) fn is_too_common(name: &str) -> bool {
    name.chars().count() < 3
        || !name.chars().any(char::is_alphabetic)
        || COMMON_SET.contains(name)
        || ACCOUNT_SET.contains(name)
        || FOLDER_SET.contains(name)
}

/// Names that the kernel gives: a known stem and numbers, such as `sda1`, `nvme0n1p2`, `tty3`, `dm-0`; a process or user id.
fn is_device(component: &str) -> bool {
    static DEVICE: LazyLock<Regex> = LazyLock::new(|| {
        let names = [
            r"\d{1,7}",
            r"(?:sd|hd|vd|xvd)[a-z]{1,2}\d{0,3}",
            r"(?:sr|st|nst|sg|fb|md|loop|zram|nbd|pts|eth|dm-|tty|ttyS|ttyUSB|ttyACM|card|renderD|video|hidraw|usb)\d{1,4}",
            r"nvme\d{1,3}(?:n\d{1,3}(?:p\d{1,3})?)?",
            r"(?:mmcblk|md|nbd|loop)\d{1,4}p\d{1,3}",
        ];
        Regex::new(&format!("^(?:{})$", names.join("|"))).expect("the pattern is a constant")
    });
    component.len() <= 16 && DEVICE.is_match(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_system_has_is_told_from_what_somebody_named() {
        for component in [
            "usr",
            "var",
            "sda1",
            "sdaa",
            "nvme0n1p2",
            "tty1",
            "ttyUSB0",
            "dm-0",
            "md127",
            "1000",
            "loop7",
            "mmcblk0p1",
        ] {
            assert!(is_system_component(component), "{component}");
        }
        for component in
            ["ana", "sdcard-of-ana", "studio", "md-ana", "Taxes", "20240102123", "stan", "stana", "ttyana", "hdana"]
        {
            assert!(!is_system_component(component), "{component}");
        }
    }
}
