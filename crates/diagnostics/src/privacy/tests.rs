use std::{fs, path::Path};

use proptest::prelude::*;
use tempfile::TempDir;
use wire::{
    diagnostics::{
        Core, Disk, Filesystem, FilesystemState, IdentityCard, Network, Process, Snapshot, Temperature,
        findings::{Check, Confidence, Evidence, Finding, Verdict, What},
        report::{REPORT_FORMAT, Series},
        schema::Named,
        sections::process::{Arguments, CommandLine},
    },
    schema,
    text::Sentence,
    time::WallTime,
};

use super::*;

const BASICS: Scopes = Scopes { names: false, identifiers: false, network: false, logs: false };
const LOGS: Scopes = Scopes { logs: true, ..BASICS };

schema! {
    /// Something of each class.
    #[allow(unreachable_pub, reason = "types of the schema are public")]
    pub struct Everything {
        /// Personal.
        personal personal: Vec<Label>,
        /// A path.
        path path: Vec<Label>,
        /// A unit.
        unit unit: Vec<Label>,
        /// An identifier.
        identifier identifier: Vec<Label>,
        /// Of a network.
        network network: Vec<Label>,
        /// Free.
        text text: Vec<Sentence>,
    }
}

#[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
fn write(folder: &Path, file: &str, content: &str) {
    fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
    fs::write(folder.join(file), content).unwrap();
}

/// A machine called `desk-4` in `corp.example.net`, with Ana, Bo, and Cy from a directory service.
fn machine() -> (TempDir, Privacy) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(
        root,
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/bin/false\nsvc-local:x:990:990::/opt/svc:/bin/false\n\
         ana:x:1000:1000:Ana Ruiz,,,:/home/ana:/bin/bash\nbo:x:1001:1001::/srv/people/bo:/bin/sh\n",
    );
    write(root, "etc/hostname", "desk-4\n");
    write(root, "etc/hosts", "127.0.0.1 localhost\n127.0.1.1 desk-4.corp.example.net desk-4\n10.0.0.9 vault9\n");
    write(root, "etc/resolv.conf", "search corp.example.net\nnameserver 10.0.0.1\n");
    write(root, "proc/sys/kernel/hostname", "desk-4\n");
    write(root, "run/systemd/users/70001", "# private\nNAME=cy.directory\nSTATE=active\n");
    let roots = Roots::under(root);
    let privacy = Privacy::new(&roots);
    (folder, privacy)
}

/// What is sent of `text`, with the numbers of users, which differ from session to session, as `N`.
fn sent(privacy: &mut Privacy, class: Class, text: &str, scopes: Scopes) -> String {
    let shown = privacy.replacement(class, text, scopes).unwrap_or_else(|| text.to_owned());
    let again = privacy.replacement(class, &shown, scopes).unwrap_or_else(|| shown.clone());
    assert_eq!(again, shown, "clearing {text:?} a second time changes it");
    (1..=9).fold(shown, |shown, number| shown.replace(&format!("user-{number}"), "user-N"))
}

#[track_caller]
fn assert_sent(class: Class, scopes: Scopes, cases: &[(&str, &str)]) {
    let (_folder, mut privacy) = machine();
    for (text, expected) in cases {
        assert_eq!(sent(&mut privacy, class, text, scopes), *expected, "{text:?}");
    }
}

#[test]
fn people_and_machines_become_aliases_and_accounts_of_the_system_stay() {
    let cases = [
        ("ana", "user-N"),
        ("ANA", "user-N"),
        ("Ana Ruiz", "user-N"),
        ("cy.directory", "user-N"),
        ("root", "root"),
        ("svc-local", "svc-local"),
        ("nobody", "nobody"),
        ("user 1000", "user 1000"),
        ("desk-4", "host-1"),
        ("desk-4.corp.example.net", "host-1.domain-1"),
        ("Ana's printer", "name-1"),
        ("Living room", "name-2"),
        ("ana's printer", "name-1"),
        ("localhost", "localhost"),
    ];
    assert_sent(Class::Personal, BASICS, &cases);
    assert_sent(Class::Personal, Scopes { names: true, ..BASICS }, &[("ana", "ana"), ("desk-4", "desk-4")]);
}

#[test]
fn paths_keep_what_every_system_has() {
    let cases = [
        ("/", "/"),
        ("/boot/efi", "/boot/efi"),
        ("/var/lib/docker", "/var/lib/docker"),
        ("/home", "/home"),
        ("/home/ana", "~user-N"),
        ("/home/ana/Taxes 2024/a.pdf", "~user-N/name-1/name-2"),
        ("/home/someone/Documents", "~user-N/Documents"),
        ("/srv/people/bo/x", "~user-N/name-3"),
        ("/media/ana/ANAS-STICK", "/media/user-N/name-4"),
        ("/srv/customers", "/srv/name-5"),
        ("/SRV/Customers", "/SRV/name-5"),
        ("/dev/nvme0n1p2", "/dev/nvme0n1p2"),
        ("/dev/mapper/ana--pc-root", "/dev/mapper/name-6"),
        ("/run/user/1000", "/run/user/1000"),
        ("C:\\Users\\ana\\x", "~user-N\\name-3"),
        ("~ana/x", "~user-N/name-3"),
        ("//filer/ana", "//name-7/user-N"),
    ];
    assert_sent(Class::Path, BASICS, &cases);
    assert_sent(Class::Path, Scopes { names: true, ..BASICS }, &[("/home/ana", "/home/ana")]);
}

#[test]
fn units_keep_their_template_and_their_suffix() {
    let cases = [
        ("nginx.service", "nginx.service"),
        ("user@1000.service", "user@1000.service"),
        ("getty@tty1.service", "getty@tty1.service"),
        ("openvpn@acme-corp.service", "openvpn@name-1.service"),
        ("backup-ana.timer", "backup-user-N.timer"),
        ("backup-ANA.timer", "backup-user-N.timer"),
        ("anacron.service", "anacron.service"),
        ("home-ana.mount", "~user-N.mount"),
        ("mnt-Anas\\x20Disk.mount", "/mnt/name-2.mount"),
        ("-.mount", "/.mount"),
        ("boot-efi.mount", "/boot/efi.mount"),
        ("machine-qemu\\x2d1\\x2dana.scope", "machine-qemu-1-user-N.scope"),
        ("system.slice/docker-4f66ad9c2a1b4f66ad9c2a1b4f66ad9c.scope", "system.slice/docker-id-1.scope"),
        ("session-3.scope", "session-3.scope"),
        ("sync-desk-4.service", "sync-host-1.service"),
    ];
    assert_sent(Class::Unit, BASICS, &cases);
    assert_sent(Class::Unit, Scopes { names: true, ..BASICS }, &[("openvpn@acme.service", "openvpn@acme.service")]);
}

#[test]
fn identifiers_keep_the_vendors_part() {
    let cases = [
        ("00:1B:21:3a:4b:5c", "00:1b:21:id-1"),
        ("00-1b-21-3a-4b-5c", "00:1b:21:id-1"),
        ("52:54:00:12:34:56", "52:54:00:id-2"),
        ("da:a1:19:12:34:56", "local:id-3"),
        ("ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff"),
        ("00:00:00:00:00:00", "00:00:00:00:00:00"),
        ("WD-WCC4E1234567", "WD-id-4"),
        ("S4EWNX0M123456", "S-id-5"),
        ("0x5000c500a1b2c3d4", "0x5000c50-id-6"),
        ("eui.0025385b71b07e2e", "eui.002538-id-7"),
        ("4c4c4544-0042-3010-8054-b7c04f564432", "id-8"),
        ("ANASLAPTOP", "id-9"),
        ("To Be Filled By O.E.M.", "To Be Filled By O.E.M."),
    ];
    assert_sent(Class::Identifier, BASICS, &cases);
    assert_sent(Class::Identifier, Scopes { identifiers: true, ..BASICS }, &[("S4EWNX0M1", "S4EWNX0M1")]);
}

#[test]
fn addresses_that_many_networks_use_stay_and_others_keep_their_network() {
    let cases = [
        ("192.168.1.7/24", "192.168.1.7/24"),
        ("100.64.0.1", "100.64.0.1"),
        ("203.0.113.5:443", "203.0.113.5:443"),
        ("8.8.8.8", "8.8.8.8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("93.184.216.34", "net4-1.host-3"),
        ("93.184.216.34:443", "net4-1.host-3:443"),
        ("93.184.216.35/24", "net4-1.host-4/24"),
        ("93.184.217.34", "net4-2.host-5"),
        ("2a00:1450:4001:82a::200e", "net6-1.host-6"),
        ("[2a00:1450:4001:82b::1]:443", "[net6-1.host-7]:443"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("fe80::21b:21ff:fe3a:4b5c", "fe80::id-1"),
        ("::ffff:93.184.216.34", "::ffff:net4-1.host-3"),
        ("00:1b:21:3a:4b:5c", "00:1b:21:id-1"),
        ("AnaHome 5G", "name-1"),
        ("ec2-93-184-216-34.compute.example.org", "host-8.domain-2"),
        ("printer.corp.example.net", "host-9.domain-1"),
        ("nas.local", "host-10.local"),
        ("_gateway", "_gateway"),
        ("*:22", "*:22"),
        ("http://ana:pw@proxy.example.org:3128/x?y", "http://host-11.domain-3:3128"),
    ];
    assert_sent(Class::Network, BASICS, &cases);
    assert_sent(Class::Network, Scopes { network: true, ..BASICS }, &[("93.184.216.34", "93.184.216.34")]);
}

#[test]
fn what_only_begins_or_ends_like_a_usual_name_is_none() {
    let cases = [("localhost", "localhost"), ("localhost6.localdomain6", "localhost6.localdomain6")];
    assert_sent(Class::Personal, BASICS, &cases);
    assert_sent(Class::Personal, BASICS, &[("localhost-ana-ruiz", "name-1"), ("localhosted", "name-2")]);
    assert_sent(
        Class::Network,
        BASICS,
        &[
            ("http://proxy.example.org:3128", "http://host-3.domain-2:3128"),
            ("ana-ruiz://x", "name-1"),
            ("fe80::5054:ff:fe12:3456", "fe80::id-1"),
            ("fe80::id-1", "fe80::id-1"),
            ("ana ruiz::id-1", "name-2"),
        ],
    );
}

#[test]
fn links_keep_the_names_that_every_machine_has() {
    let usual = [
        "lo",
        "eth0",
        "wlan1",
        "enp3s0f1",
        "wlp2s0",
        "eno1",
        "eth0.100",
        "docker0",
        "br-0123456789ab",
        "veth1a2b3c4",
        "wg0",
    ];
    assert_sent(Class::Network, BASICS, &usual.map(|name| (name, name)));
    assert_sent(
        Class::Network,
        BASICS,
        &[
            ("wg-ana", "name-1"),
            ("Ruiz-Guests", "name-2"),
            ("veth-ana", "name-3"),
            ("enx00e04c680001", "enx-id-1"),
            ("00:e0:4c:68:00:01", "00:e0:4c:id-1"),
            ("wlxAA00000000FF", "wlx-id-2"),
            ("enx-id-1", "enx-id-1"),
            ("enx00e04c68000", "name-4"),
        ],
    );
    let networks = Scopes { network: true, ..BASICS };
    assert_sent(Class::Network, networks, &[("wg-ana", "wg-ana"), ("enx00e04c680001", "enx-id-1")]);
    let all = Scopes { identifiers: true, ..networks };
    assert_sent(Class::Network, all, &[("enx00e04c680001", "enx00e04c680001")]);
    assert_sent(Class::Text, LOGS, &[("device (enx00e04c680001): up", "device (enx-id-1): up")]);
}

#[test]
fn no_interface_tells_the_address_of_its_hardware() {
    let (_folder, mut privacy) = machine();
    let name = Label::cut("enx00e04c680001");
    let network = Network { name: name.clone(), ..Network::default() };
    let sample = Snapshot { networks: vec![network], ..Snapshot::default() };
    let subject = crate::history::Subject::Network(name).named();
    let (sample, subject) = (privacy.clear(sample, BASICS), privacy.clear(subject, BASICS));
    assert_eq!(sample.networks[0].name.raw(), "enx-id-1");
    assert_eq!(subject.label(), &sample.networks[0].name);
}

#[test]
fn free_text_leaves_with_a_consent_of_its_own_and_then_scrubbed() {
    assert_sent(
        Class::Text,
        Scopes { names: true, identifiers: true, network: true, logs: false },
        &[("fine", WITHHELD)],
    );
    let cases = [
        ("Started Daily apt upgrade.", "Started Daily apt upgrade."),
        ("password=hunter2 for ana", "password=[secret] for user-N"),
        (
            "GET https://ana:pw@vault9.corp.example.net/x?token=abc#f done",
            "GET https://[secret]@host-2.domain-1/x?[query] done",
        ),
        ("Authorization: Basic YW5hOnB3", "Authorization: [secret]"),
        ("mail from ana@example.org to x", "mail from [email] to x"),
        ("paid with 4111 1111 1111 1111 now", "paid with [card] now"),
        ("order 4111 1111 1111 1112 now", "order 4111 1111 1111 1112 now"),
        ("to DE89 3704 0044 0532 0130 00 today", "to [account] today"),
        ("from 93.184.216.34 port 22", "from net4-1.host-3 port 22"),
        ("version 1.2.3.4 of x", "version 1.2.3.4 of x"),
        ("libfoo 1.2.3.4-5ubuntu1, v5.6.7.8", "libfoo 1.2.3.4-5ubuntu1, v5.6.7.8"),
        ("OID 1.3.6.1.4.1.2021", "OID 1.3.6.1.4.1.2021"),
        ("ip-93-184-216-34 said", "ip-net4-1.host-3 said"),
        ("inet6:2a00:1450:4001::5 up", "inet6:net6-1.host-4 up"),
        ("at 12:34:56 std::vec", "at 12:34:56 std::vec"),
        ("eth0 00:1b:21:3a:4b:5c joined", "eth0 00:1b:21:id-1 joined"),
        ("boot 4c4c4544-0042-3010-8054-b7c04f564432", "boot id-2"),
        ("open /home/ana/Taxes/x.pdf: denied", "open ~user-N/name-1/name-2: denied"),
        (
            "Failed password for invalid user zoe from 10.0.0.5 port 4",
            "Failed password for invalid user user-N from 10.0.0.5 port 4",
        ),
        ("session opened for user root(uid=0)", "session opened for user root(uid=0)"),
        (
            "Unit user@1000.service and openvpn@acme.service failed",
            "Unit user@1000.service and openvpn@name-3.service failed",
        ),
        ("pass\u{1b}[1mword=hunter2", "password=[secret]"),
        ("Ana%20Ruiz wrote", "user-N wrote"),
        ("desk-4 kernel: hello", "host-1 kernel: hello"),
    ];
    assert_sent(Class::Text, LOGS, &cases);
}

/// Secrets, each with the shortest part of it that must not be left. Made up, and put together here so that no scanner takes them for real.
fn secrets() -> Vec<(String, String)> {
    let tail = "Zq8Rt5Wn3Kx7Lp2Vb9Mc4Jd6Hf1Gs0Ty".to_owned();
    let shape = |prefix: &str| (format!("{prefix}{tail}"), tail.clone());
    let word = |prefix: &str| (format!("{prefix}canaryvalue"), "canaryvalue".to_owned());
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj";
    vec![
        shape("ghp_"),
        shape(concat!("gl", "pat-")),
        shape(concat!("xox", "b-")),
        shape("AIza"),
        shape(concat!("sk_", "live_")),
        shape("sk-proj-"),
        shape(""),
        (format!("AKIA{}", "QWERTYUIOPASDFGH"), "QWERTYUIOPASDFGH".to_owned()),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlYnl0ZXM".to_owned(), "c2lnbmF0dXJl".to_owned()),
        ("0123456789abcdef0123456789abcdef".to_owned(), "abcdef".to_owned()),
        ("https://someone:canaryvalue@example.org/".to_owned(), "canaryvalue".to_owned()),
        ("https://example.org/?q=canaryvalue".to_owned(), "canaryvalue".to_owned()),
        ("canaryvalue@example.org".to_owned(), "canaryvalue".to_owned()),
        ("4111-1111-1111-1111".to_owned(), "1111-1111".to_owned()),
        (format!("-----BEGIN PRIVATE KEY-----\n{line}\n-----END PRIVATE KEY-----"), line.to_owned()),
        word("password="),
        word("passwd: "),
        word("DB_PASS="),
        word("--mysql-pwd "),
        word("api_key="),
        word("X-Api-Key: "),
        word("Bearer "),
        word("Cookie: id="),
        word("client_secret="),
        ("\"token\": \"canaryvalue\"".to_owned(), "canaryvalue".to_owned()),
        ("/home/canaryvalue/x".to_owned(), "canaryvalue".to_owned()),
        ("Ana Ruiz".to_owned(), "Ruiz".to_owned()),
        ("desk-4".to_owned(), "desk-4".to_owned()),
        ("93.184.216.34".to_owned(), "216".to_owned()),
        ("00:1b:21:3a:4b:5c".to_owned(), "3a:4b:5c".to_owned()),
    ]
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_secret_is_left_in_whatever_text(before in "[ -~]{0,40}", behind in "[ -~]{0,40}", form in 0..4_usize, upper: bool) {
        let (_folder, mut privacy) = machine();
        for (secret, rest) in secrets() {
            // Some are told by their case.
            let by_case = rest.starts_with("Zq8") || rest.starts_with("c2l");
            let secret = if upper && !by_case { secret.to_uppercase() } else { secret };
            let plain = format!("{before} {secret} {behind}");
            let text = match form {
                0 => plain.clone(),
                1 => json(&plain),
                2 => json(&json(&plain)),
                _ => format!("{before} {} {behind}", percent(&secret)),
            };
            let shown = privacy.scrub(text.as_bytes(), LOGS);
            // The surrounding text may say the same by chance.
            if !before.contains(&rest) && !behind.contains(&rest) {
                prop_assert!(!shown.to_lowercase().contains(&rest.to_lowercase()), "{text:?} left as {shown:?}");
            }
        }
    }

    #[test]
    fn whatever_is_cleared_twice_is_as_it_was_cleared_once(texts in prop::collection::vec("\\PC{0,40}|[a-z0-9@:/.%=\\\\ -]{0,40}", 1..6)) {
        let (_folder, mut privacy) = machine();
        let labels = texts.iter().map(|text| Label::cut(text)).collect::<Vec<_>>();
        let value = Everything {
            personal: labels.clone(),
            path: labels.clone(),
            unit: labels.clone(),
            identifier: labels.clone(),
            network: labels,
            text: Vec::new(),
        };
        let once = privacy.clear(value, LOGS).into_inner();
        let twice = privacy.clear(once.clone(), LOGS).into_inner();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn scrubbing_never_panics_and_the_same_text_is_scrubbed_to_the_same(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let (_folder, mut privacy) = machine();
        let first = privacy.scrub(&bytes, LOGS);
        prop_assert_eq!(privacy.scrub(&bytes, LOGS), first);
    }

    #[test]
    fn aliases_are_stable(names in prop::collection::vec("[a-zA-Z ]{1,12}", 1..20)) {
        let (_folder, mut privacy) = machine();
        let mut all = || names.iter().map(|name| sent(&mut privacy, Class::Personal, name, BASICS)).collect::<Vec<_>>();
        prop_assert_eq!(all(), all());
    }
}

/// Time that this thread computed, whatever else the machine does.
fn computed() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.try_into().unwrap()
}

/// Four times the text may take four times as long, and some more. With the square of the length it would take sixteen times.
#[test]
fn hostile_text_takes_no_longer_than_other_text() {
    let (_folder, mut privacy) = machine();
    privacy.scrub(b"password=x", LOGS);
    for piece in [
        "a",
        "=",
        "password",
        "password=",
        "eyJ",
        "://",
        "a:",
        "a=",
        "a:b,",
        "a:\\",
        "a:b@",
        "x=\"'",
        "http://a@",
        "1.",
        "1-",
        "%25",
        "\\",
        "\\\"",
        "@",
        "-----BEGIN ",
        "ana ",
        "/home/",
        "4 ",
        "\u{1b}[",
    ] {
        let mut least = |bytes: usize| {
            let text = piece.repeat(bytes / piece.len());
            let once = || {
                let began = computed();
                privacy.scrub(text.as_bytes(), LOGS);
                computed() - began
            };
            std::iter::repeat_with(once).take(3).min().unwrap()
        };
        // Short enough that what it grows to is not cut either: a text that is cut is gone through again.
        let (quarter, whole) = (least(MAX_TEXT_BYTES / 8), least(MAX_TEXT_BYTES / 2));
        let moment = std::time::Duration::from_millis(5);
        assert!(whole < quarter * 8 + moment, "{piece:?}: {quarter:?} became {whole:?}");
        let shown = privacy.scrub(piece.repeat(3 * MAX_TEXT_BYTES / piece.len()).as_bytes(), LOGS);
        assert!(shown.len() <= 8 * MAX_TEXT_BYTES, "{piece:?} grew to {} bytes", shown.len());
    }
}

const CANARY: &str = "canary";

/// Every text that is told to serde.
fn strings(value: &impl serde::Serialize) -> Vec<String> {
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => found.push(text.clone()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            serde_json::Value::Object(fields) => fields.values().for_each(|item| walk(item, found)),
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    walk(&serde_json::to_value(value).unwrap(), &mut found);
    found
}

fn canary(kind: &str) -> Label {
    Label::cut(&format!("{kind}canary"))
}

fn snapshot() -> Snapshot {
    let label = |number: usize| Label::cut(&format!("technical{number}"));
    Snapshot {
        cores: vec![Core::default(); 4],
        filesystems: (0..64)
            .map(|number| Filesystem {
                mount: Label::cut(&format!("/mnt/canary {number}")),
                kind: label(number),
                total_kib: 1,
                available_kib: 1,
                inodes_total: 1,
                inodes_free: 1,
                state: FilesystemState::ReadWrite,
            })
            .collect(),
        disks: (0..64).map(|number| Disk { name: label(number), ..Disk::default() }).collect(),
        networks: (0..64).map(|number| Network { name: label(number), ..Network::default() }).collect(),
        temperatures: (0..64).map(|number| Temperature { label: label(number), deci_celsius: 1 }).collect(),
        processes: (0..20).map(|number| Process { name: label(number), ..Process::default() }).collect(),
        ..Snapshot::default()
    }
}

fn card() -> IdentityCard {
    let technical = || Label::cut("technical");
    IdentityCard {
        host: canary("host"),
        system: technical(),
        kernel: technical(),
        architecture: technical(),
        model: technical(),
        virtualisation: None,
        processor: technical(),
        cores: 1,
        memory_kib: 1,
        agent_version: technical(),
        user: canary("user"),
        administrator: true,
    }
}

fn report() -> Report {
    let names = [
        Named::Technical(Label::cut("technical")),
        Named::Identifier(canary("SN")),
        Named::Unit(Label::cut("openvpn@canary.service")),
        Named::Path(Label::cut("/home/canary/canary")),
        Named::Personal(canary("")),
        Named::Network(Label::cut("canary.example.org")),
        Named::Text(Label::cut("in a canary")),
    ];
    let finding = |subject: &Named| Finding {
        check: Check::SpaceUsed,
        version: 1,
        verdict: Verdict::Fail,
        severity: None,
        confidence: Confidence::High,
        subject: Some(subject.clone()),
        since: None,
        reason: None,
        evidence: vec![Evidence { what: What::ALL[0], amount: None, name: Some(subject.clone()) }],
        forecast: None,
        exonerates: Vec::new(),
        runbook: Label::cut("technical"),
    };
    let series = |subject: &Named| Series {
        figure: Label::cut("technical"),
        subject: Some(subject.clone()),
        unit: wire::diagnostics::findings::Unit::Count,
        start: WallTime(0),
        step_secs: 1,
        values: vec![Some(1)],
        stood_out: vec![0],
    };
    Report {
        format: REPORT_FORMAT,
        taken_at: WallTime(0),
        card: card(),
        findings: names.iter().map(finding).collect(),
        sample: snapshot(),
        largest: Vec::new(),
        disk_processes: Vec::new(),
        recent: names.iter().map(series).collect(),
        sections: Vec::new(),
        receipt: Receipt { rows_left_out: 3, ..Receipt::default() },
    }
}

#[test]
fn nothing_that_somebody_named_is_left_in_a_report() {
    let (_folder, mut privacy) = machine();
    for scopes in [BASICS, LOGS] {
        let cleared = privacy.clear_report(report(), BASICS);
        let left = strings(&*cleared).into_iter().filter(|text| text.contains(CANARY)).collect::<Vec<_>>();
        assert_eq!(left, [""; 0], "{scopes:?}");
        assert_eq!(cleared.receipt.rows_left_out, 3);
        let counted = |counts: &[ClassCount], name: &str| {
            counts.iter().find(|count| count.class.raw() == name).map(|count| count.count)
        };
        // In 7 findings, with one fact each, and 7 series; of paths, 64 are mounted, and as many links have a name; on the card are a host and a user.
        for (class, count) in
            [("identifier", 3), ("unit", 3), ("path", 67), ("personal", 5), ("network", 67), ("text", 3)]
        {
            assert_eq!(counted(&cleared.receipt.replaced, class), Some(count), "{class}");
        }
        assert_eq!(cleared.receipt.sent, []);
    }
}

#[test]
fn what_is_agreed_to_leaves_as_it_is_and_is_counted_so() {
    let (_folder, mut privacy) = machine();
    let all = Scopes { names: true, identifiers: true, network: true, logs: true };
    let cleared = privacy.clear(card(), all);
    assert_eq!(*cleared, card());
    let receipt = cleared.receipt();
    assert_eq!((receipt.sent.len(), receipt.sent[0].count, receipt.replaced.len()), (1, 2, 0));
    let other = privacy.clear(card(), BASICS).map(|card| card.user);
    assert_eq!(other.raw(), "name-2");
}

/// Each technical text is the very one that was there, in the same memory.
#[test]
fn technical_fields_are_not_touched() {
    let (_folder, mut privacy) = machine();
    let sample = snapshot();
    let places = |sample: &Snapshot| {
        let kinds = sample.filesystems.iter().map(|row| row.kind.raw().as_ptr());
        let disks = sample.disks.iter().map(|row| row.name.raw().as_ptr());
        let temperatures = sample.temperatures.iter().map(|row| row.label.raw().as_ptr());
        let processes = sample.processes.iter().map(|row| row.name.raw().as_ptr());
        kinds.chain(disks).chain(temperatures).chain(processes).collect::<Vec<_>>()
    };
    let before = places(&sample);
    assert_eq!(before.len(), 3 * 64 + 20);
    assert_eq!(places(&privacy.clear(sample, BASICS)), before);
}

fn cleared_arguments(privacy: &mut Privacy, arguments: &[&str], scopes: Scopes) -> Vec<String> {
    let arguments = CommandLine(arguments.iter().map(|argument| Sentence::cut(argument)).collect());
    let cleared = privacy.clear(Arguments { arguments, ..Arguments::default() }, scopes).into_inner();
    let again = privacy.clear(cleared.clone(), scopes).into_inner();
    assert_eq!(again.arguments.0, cleared.arguments.0, "doing so again changes nothing");
    cleared.arguments.0.iter().map(|argument| argument.raw().to_owned()).collect()
}

#[test]
fn arguments_leave_each_in_its_place_without_secrets_and_names() {
    let (_folder, mut privacy) = machine();
    let given = [
        "/home/ana/bin/backup",
        "--host=db.example.com",
        "--password=two words",
        "--token",
        "qanary word",
        "https://ana:qanary@example.com/x?key=qanary",
        "AKIAIOSFODNN7QANARY1",
        "--verbose",
        "",
    ];
    let shown = cleared_arguments(&mut privacy, &given, LOGS);
    assert_eq!(shown.len(), given.len());
    assert!(shown[0].starts_with("~user-") && shown[0].ends_with("/bin/name-1"), "{shown:?}");
    assert_eq!(shown[2..5], ["--password=[secret]", "--token", "[secret]"]);
    assert!(shown[5].contains("[secret]@") && shown[5].ends_with("?[query]"), "{shown:?}");
    assert_eq!(shown[6..], ["[secret]", "--verbose", ""]);
    assert!(!shown.concat().to_ascii_lowercase().contains("qanary"), "{shown:?}");
}

#[test]
fn arguments_stay_without_a_yes_to_them() {
    let (_folder, mut privacy) = machine();
    assert_eq!(cleared_arguments(&mut privacy, &["cat", "file"], BASICS), [WITHHELD, WITHHELD]);
}

#[test]
fn what_was_taken_out_of_arguments_is_counted() {
    let (_folder, mut privacy) = machine();
    let arguments = CommandLine(["cat", "--password=x"].map(Sentence::cut).to_vec());
    let receipt = privacy.clear(Arguments { arguments, ..Arguments::default() }, LOGS).receipt();
    let count = |counts: &[ClassCount]| {
        counts.iter().map(|class| (class.class.raw().to_owned(), class.count)).collect::<Vec<_>>()
    };
    assert_eq!(count(&receipt.sent), [("text".to_owned(), 1)]);
    assert_eq!(count(&receipt.replaced), [("text".to_owned(), 1)]);
}

proptest! {
    #[test]
    fn a_secret_that_is_said_to_be_one_never_leaves(
        before in prop::collection::vec("[ -~]{0,12}", 0..5),
        key in prop::sample::select(vec!["--password", "--api-token", "-pw", "db.secret", "--auth"]),
        apart in any::<bool>(),
        words in "[a-z]{0,5} [a-z\"'= ]{0,9}",
    ) {
        let secret = format!("qanary{words}qanary");
        let given = if apart { vec![key.to_owned(), secret] } else { vec![format!("{key}={secret}")] };
        let all = [vec!["program".to_owned()], before, given].concat();
        let (_folder, mut privacy) = machine();
        let shown = privacy.arguments(&all.iter().map(String::as_str).collect::<Vec<_>>(), LOGS);
        prop_assert_eq!(shown.len(), all.len());
        prop_assert!(!shown.concat().contains("qanary"), "{:?}", shown);
    }
}
