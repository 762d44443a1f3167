use super::*;

#[test]
fn names_of_the_kernel_may_be_kept() {
    for disk in ["sda", "sdaa", "nvme0n1", "nvme0c1n2", "mmcblk0", "dm-12", "md127", "zram0", "vdb", "xvda", "sr0"] {
        assert!(Subject::Disk(Label::cut(disk)).may_be_kept(), "{disk}");
    }
    for interface in ["eth0", "wlan0", "enp3s0", "enp3s0f1np0", "eno1", "ens18", "wlp2s0", "enP2p1s0", "docker0", "wg0"]
    {
        assert!(Subject::Network(Label::cut(interface)).may_be_kept(), "{interface}");
    }
}

#[test]
fn names_that_a_person_may_have_given_stay_in_memory() {
    for disk in ["md_ana", "anas-disk", "sd", "sda1", "", "../x", "nvme", "nvme0nana"] {
        assert!(!Subject::Disk(Label::cut(disk)).may_be_kept(), "{disk}");
    }
    // A name with a hardware address is an identifier.
    for interface in ["enx0011223344aa", "anas-vpn", "wg-acme", "en", "enana", "eth", "br-0123456789ab", "veth12ab"] {
        assert!(!Subject::Network(Label::cut(interface)).may_be_kept(), "{interface}");
    }
    assert!(!Subject::Battery(Label::cut("Anas mouse")).may_be_kept());
    assert!(!Subject::Sensor(Label::cut("caf\u{e9}")).may_be_kept());
}

#[cfg(target_os = "linux")]
#[test]
fn places_that_no_standard_names_are_known_by_their_device() {
    let proc = tempfile::tempdir().unwrap();
    let mountinfo = "28 1 8:1 / / rw - ext4 /dev/sda1 rw\n40 28 8:17 / /media/ana/BACK\\040UP rw - ext4 /dev/sdb1 rw\n";
    std::fs::create_dir(proc.path().join("self")).unwrap();
    let mut file = std::fs::File::create(proc.path().join("self/mountinfo")).unwrap();
    std::io::Write::write_all(&mut file, mountinfo.as_bytes()).unwrap();
    let places = Places::read(&crate::Roots { proc: proc.path().into(), ..crate::Roots::default() });
    assert_eq!(places, Places::new([(Label::cut("/"), (8, 1)), (Label::cut("/media/ana/BACK UP"), (8, 17))]));
    assert_eq!(Places::read(&crate::Roots { proc: "/nowhere".into(), ..crate::Roots::default() }), Places::default());
}
