use std::collections::{BTreeMap, HashMap};

use wire::diagnostics::{
    report::{Coverage, Outcome},
    sections::displays::{Blocked, ConnectorState},
};
use zbus::{ObjectPath, Variant};

use super::{super::edid::tests::office_screen, *};
use crate::{
    roots::Roots,
    testing::{FakeService, TestBus, TestMachine, survey},
};

fn desktop() -> TestMachine {
    let machine = TestMachine::new(&[
        ("sys/class/drm/version", "drm 1.1.0 20060810\n"),
        ("sys/class/drm/renderD128/dev", "226:128\n"),
        ("sys/class/drm/card0/device/vendor", "0x1002\n"),
        ("sys/class/drm/card0/device/device", "0x73df\n"),
        ("sys/class/drm/card0/device/boot_vga", "1\n"),
        ("sys/class/drm/card0/device/mem_info_vram_total", "12868124672\n"),
        ("sys/class/drm/card0-DP-1/status", "connected\n"),
        ("sys/class/drm/card0-DP-1/enabled", "enabled\n"),
        ("sys/class/drm/card0-DP-1/dpms", "On\n"),
        ("sys/class/drm/card0-DP-1/modes", "2560x1440\n1920x1080\n1920x1080\n"),
        ("sys/class/drm/card0-HDMI-A-1/status", "disconnected\n"),
        ("sys/class/drm/card0-HDMI-A-1/enabled", "disabled\n"),
        ("sys/class/drm/card0-HDMI-A-1/edid", ""),
        ("sys/class/drm/card0-HDMI-A-1/modes", ""),
        (
            "proc/asound/cards",
            " 0 [Generic        ]: HDA-Intel - HD-Audio Generic\n                      at 0xfcd00000 irq 99\n",
        ),
        ("proc/asound/card0/pcm0p/sub0/status", "state: RUNNING\nowner_pid   : 1234\n"),
        ("proc/asound/card0/pcm1p/sub0/status", "closed\n"),
        ("proc/asound/card0/pcm0c/sub0/status", "closed\n"),
        ("sys/class/video4linux/video0/name", "Ana's Camera\n"),
        ("sys/class/video4linux/video0/index", "0\n"),
        ("sys/class/video4linux/video1/name", "Ana's Camera\n"),
        ("sys/class/video4linux/video1/index", "1\n"),
        ("sys/class/rfkill/rfkill0/name", "hci0\n"),
        ("sys/class/rfkill/rfkill0/hard", "0\n"),
        ("sys/class/rfkill/rfkill0/soft", "1\n"),
    ]);
    machine.link("sys/class/drm/card0/device/driver", "../../../../bus/pci/drivers/amdgpu");
    machine.write("sys/class/drm/card0-DP-1/edid", office_screen());
    machine
}

#[test]
fn a_desktop_with_a_screen_a_card_and_a_camera() {
    let (displays, _, sources) = survey(read, &desktop().sources());
    let displays = displays.unwrap();
    let [card] = &displays.cards[..] else { panic!("one card") };
    assert_eq!((card.driver.raw(), card.vendor_id, card.primary), ("amdgpu", 0x1002, true));
    assert_eq!((card.memory_kib, card.memory_used_kib), (Some(12_566_528), None));
    let [screen, free] = &displays.connectors[..] else { panic!("two connectors") };
    assert_eq!((screen.state, screen.enabled, screen.power.raw()), (ConnectorState::Connected, true, "On"));
    assert_eq!((screen.preferred_mode.raw(), screen.modes), ("2560x1440", 3));
    assert_eq!(screen.monitor.as_ref().unwrap().serial.raw(), "JKVP2X3");
    assert_eq!((free.state, free.monitor.as_ref(), free.modes), (ConnectorState::Disconnected, None, 0));
    let sound = &displays.sound[0];
    assert_eq!((sound.id.raw(), sound.outputs, sound.inputs, sound.running), ("Generic", 2, 1, 1));
    let cameras = displays.cameras.iter().map(|camera| camera.device.raw()).collect::<Vec<_>>();
    assert_eq!(cameras, ["video0"], "the second device is of the same camera");
    let missing = sources.iter().filter(|(_, coverage, _)| *coverage != Coverage::Read).map(|(name, ..)| name.as_str());
    assert_eq!(missing.collect::<Vec<_>>(), ["logind"], "who has no adapter has no need for BlueZ");
}

#[test]
fn a_server_without_a_screen_says_what_is_missing() {
    let (displays, outcome, sources) = survey(read, &TestMachine::new(&[]).sources());
    assert!(displays.unwrap().connectors.is_empty());
    assert_eq!(outcome, Outcome::Partial);
    let told = sources.iter().map(|(name, coverage, _)| (name.as_str(), *coverage)).collect::<Vec<_>>();
    let (read, missing) = (Coverage::Read, Coverage::Missing);
    let expected = [
        ("graphics cards", missing),
        ("sound cards", missing),
        ("cameras", read),
        ("/sys/class/bluetooth", read),
        ("logind", missing),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_screen_that_describes_itself_in_noise_is_named_in_the_manifest() {
    let machine = desktop();
    machine.write("sys/class/drm/card0-DP-1/edid", [0xa5; 128]);
    machine.write("sys/class/drm/card0-DP-1/status", "\u{1b}[2J\n");
    machine.write("sys/class/drm/cardx-DP-1/status", "connected\n");
    let (displays, _, sources) = survey(read, &machine.sources());
    let connectors = displays.unwrap().connectors;
    assert_eq!(
        (connectors.len(), connectors[0].state, connectors[0].monitor.as_ref()),
        (2, ConnectorState::Unknown, None)
    );
    assert!(sources.iter().any(|(_, _, why)| why == "a screen does not describe itself as screens do"));
}

#[test]
fn an_adapter_without_its_service_is_seen_with_its_connections() {
    let machine = desktop();
    machine.write("sys/class/bluetooth/hci0/uevent", "");
    machine.write("sys/class/bluetooth/hci0:11/uevent", "");
    let (displays, _, sources) = survey(read, &machine.sources());
    let adapter = &displays.unwrap().bluetooth[0];
    assert_eq!((adapter.device.raw(), adapter.connected, adapter.powered), ("hci0", 1, None));
    assert_eq!((adapter.blocked, adapter.paired), (Blocked::Setting, None));
    assert!(sources.iter().any(|(name, coverage, _)| name == "BlueZ" && *coverage == Coverage::Missing));
}

fn bluez_objects() -> HashMap<ObjectPath<'static>, BTreeMap<String, BTreeMap<String, Variant<'static>>>> {
    let object = |path: &'static str, interface: &str, properties: Vec<(&str, Variant<'static>)>| {
        let properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        (ObjectPath::try_from(path).unwrap(), BTreeMap::from([(interface.to_owned(), properties)]))
    };
    let device = |path, paired: bool, connected: bool| {
        let properties =
            vec![("Paired", paired.into()), ("Connected", connected.into()), ("Name", "Ana's buds".into())];
        object(path, "org.bluez.Device1", properties)
    };
    HashMap::from([
        object("/org/bluez", "org.bluez.AgentManager1", Vec::new()),
        object(
            "/org/bluez/hci0",
            "org.bluez.Adapter1",
            vec![("Powered", true.into()), ("Alias", "ana-laptop".into()), ("Address", "00:1A:7D:DA:71:13".into())],
        ),
        object("/org/bluez/hci1", "org.bluez.Adapter1", vec![("Powered", "no truth value".into())]),
        device("/org/bluez/hci0/dev_1", true, true),
        device("/org/bluez/hci0/dev_2", true, false),
        device("/org/bluez/hci10/dev_3", false, true),
    ])
}

#[test]
fn a_fake_of_bluez_tells_adapters_and_counts_their_devices() {
    let mut bus = TestBus::start();
    let (interface, method) = ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects");
    bus.serve(FakeService::named("org.bluez").method("/", interface, method, bluez_objects()));
    let machine = desktop();
    let displays = survey(read, &Sources { bus: Bus::at(&bus.socket()), ..machine.sources() }).0.unwrap();
    let [first, second] = &displays.bluetooth[..] else { panic!("two adapters") };
    assert_eq!((first.device.raw(), first.name.raw(), first.powered), ("hci0", "ana-laptop", Some(true)));
    assert_eq!((first.paired, first.connected, first.blocked), (Some(2), 1, Blocked::Setting));
    assert_eq!((second.device.raw(), second.powered, second.connected), ("hci1", None, 0), "hci10 is another");
}

const LOGIN: &str = "org.freedesktop.login1";
const SESSION: &str = "org.freedesktop.login1.Session";

#[test]
fn a_fake_of_logind_tells_sessions_without_their_users() {
    let mut bus = TestBus::start();
    let path = |path: &'static str| OwnedObjectPath::try_from(path).unwrap();
    let rows = vec![
        ("2".to_owned(), 1000_u32, "ana".to_owned(), "seat0".to_owned(), path("/session/_32")),
        ("9".to_owned(), 1000_u32, "ana".to_owned(), String::new(), path("/session/gone")),
    ];
    let fake = FakeService::named(LOGIN)
        .method("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "ListSessions", rows)
        .property("/session/_32", SESSION, "Type", "wayland")
        .property("/session/_32", SESSION, "Class", "user")
        .property("/session/_32", SESSION, "Active", true)
        .property("/session/_32", SESSION, "Remote", false)
        .property("/session/_32", SESSION, "LockedHint", true);
    bus.serve(fake);
    let machine = desktop();
    let (displays, _, sources) = survey(read, &Sources { bus: Bus::at(&bus.socket()), ..machine.sources() });
    let displays = displays.unwrap();
    let [session] = &displays.sessions[..] else { panic!("one is gone") };
    assert_eq!((session.kind.raw(), session.seat.raw(), session.desktop.raw()), ("wayland", "seat0", ""));
    assert!(session.active && session.locked && !session.remote);
    assert!(!format!("{displays:?}").contains("\"ana\""));
    let logind = sources.iter().find(|(name, ..)| name == "logind").unwrap();
    assert_eq!(logind.1, Coverage::Partial);
}

#[test]
fn this_machine_is_read_within_its_bounds() {
    let sources = Sources { roots: Roots::default(), ..TestMachine::new(&[]).sources() };
    let displays = survey(read, &sources).0.unwrap();
    assert!(displays.connectors.iter().all(|connector| connector.name.raw().starts_with("card")));
    assert!(displays.sessions.is_empty(), "no bus was asked");
}
