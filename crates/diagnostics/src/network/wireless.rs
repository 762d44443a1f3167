//! Wireless links, as nl80211 tells them (`linux/nl80211.h`, over generic netlink).
//!
//! Drivers that do not speak it are left to `/proc/net/wireless` (the wireless extensions), which has the signal only.

use std::{io, path::Path, time::Duration};

use rustix::net::netlink;
use wire::{diagnostics::sections::network::Wireless, text::Label};

use super::links::hardware_address;
use crate::{
    netlink::{Attributes, Netlink, attribute, attributes},
    text::{fields, lines, read_file, signed},
};

/// Longest that one list is waited for. Some drivers ask their hardware.
const LIST_DEADLINE: Duration = Duration::from_secs(3);

/// `struct genlmsghdr`: command, version, and nothing.
const HEADER: usize = 4;

// `linux/genetlink.h`.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

// `linux/nl80211.h`.
const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const ATTR_IFINDEX: u16 = 3;
const ATTR_IFNAME: u16 = 4;
const ATTR_IFTYPE: u16 = 5;
const ATTR_MAC: u16 = 6;
const ATTR_STA_INFO: u16 = 21;
const ATTR_WIPHY_FREQ: u16 = 38;
const ATTR_SSID: u16 = 52;
/// `NL80211_IFTYPE_STATION`: joined to an access point, or able to.
const STATION: u32 = 2;

/// The wireless links of this machine that can join an access point.
///
/// # Errors
///
/// [`io::ErrorKind::NotFound`] if the kernel has no nl80211, or what the kernel says.
pub(super) fn read() -> io::Result<Vec<Wireless>> {
    let mut netlink = Netlink::open(Some(netlink::GENERIC), LIST_DEADLINE)?;
    let question = command(CTRL_CMD_GETFAMILY, &attribute(CTRL_ATTR_FAMILY_NAME, b"nl80211\0"));
    let family = netlink.look_up(GENL_ID_CTRL, &question)?.ok_or(io::ErrorKind::NotFound)?;
    let family = attributes(&family.body, HEADER).find(CTRL_ATTR_FAMILY_ID).and_then(|id| id.u16(0));
    let family = family.ok_or(io::ErrorKind::InvalidData)?;
    let interfaces = netlink.dump(family, &command(GET_INTERFACE, &[]))?.messages;
    let mut wireless = Vec::new();
    for (index, mut link) in interfaces.iter().filter_map(|message| interface(&message.body)) {
        let question = command(GET_STATION, &attribute(ATTR_IFINDEX, &index.to_ne_bytes()));
        let stations = netlink.dump(family, &question)?.messages;
        if let Some(station) = stations.first() {
            add_station(&mut link, &station.body);
        }
        wireless.push(link);
    }
    Ok(wireless)
}

/// Wireless links of the old kind, of which only the signal is known.
pub(super) fn read_extensions(proc: &Path) -> io::Result<Vec<Wireless>> {
    let mut buffer = Vec::new();
    Ok(lines(read_file(&proc.join("net/wireless"), &mut buffer)?).filter_map(extension).collect())
}

fn command(command: u8, attributes: &[u8]) -> Vec<u8> {
    [&[command, 1, 0, 0], attributes].concat()
}

fn interface(message: &[u8]) -> Option<(u32, Wireless)> {
    let told = attributes(message, HEADER);
    let number = |kind| told.find(kind).and_then(|value| value.u32(0));
    if number(ATTR_IFTYPE) != Some(STATION) {
        return None;
    }
    let frequency = number(ATTR_WIPHY_FREQ);
    let link = Wireless {
        ssid: told.find(ATTR_SSID).map_or_else(Label::default, |ssid| Label::cut(&String::from_utf8_lossy(ssid.0))),
        frequency_mhz: frequency,
        channel: frequency.and_then(channel),
        ..blank(told.find(ATTR_IFNAME)?.text()?)
    };
    Some((number(ATTR_IFINDEX)?, link))
}

fn blank(name: &str) -> Wireless {
    Wireless {
        link: Label::cut(name),
        ssid: Label::default(),
        bssid: Label::default(),
        signal_dbm: None,
        frequency_mhz: None,
        channel: None,
        rx_kbit_s: None,
        tx_kbit_s: None,
        connected_secs: None,
        tx_retries: None,
        tx_failed: None,
        beacon_losses: None,
    }
}

/// `NL80211_STA_INFO_*` of the access point that the link has joined.
fn add_station(link: &mut Wireless, message: &[u8]) {
    let told = attributes(message, HEADER);
    let access_point = told.find(ATTR_MAC).filter(|address| address.0.len() == 6);
    link.bssid = access_point.map_or_else(Label::default, |address| Label::cut(&hardware_address(address.0)));
    let Some(station) = told.find(ATTR_STA_INFO).map(|station| attributes(station.0, 0)) else { return };
    let number = |kind| station.find(kind).and_then(|value| value.u32(0));
    // The mean of the last frames where the driver has it, else the last frame.
    let signal = station.find(13).or_else(|| station.find(7)).and_then(|signal| signal.u8(0));
    link.signal_dbm = signal.map(|signal| i32::from(i8::from_ne_bytes([signal])));
    link.tx_kbit_s = station.find(8).and_then(|rate| kbit_s(attributes(rate.0, 0)));
    link.rx_kbit_s = station.find(14).and_then(|rate| kbit_s(attributes(rate.0, 0)));
    link.connected_secs = number(16);
    link.tx_retries = number(11);
    link.tx_failed = number(12);
    link.beacon_losses = number(18);
}

/// `NL80211_RATE_INFO_BITRATE32`, or `_BITRATE` of old kernels: in units of 100 kbit/s.
fn kbit_s(rate: Attributes<'_>) -> Option<u32> {
    let wide = rate.find(5).and_then(|rate| rate.u32(0));
    wide.or_else(|| rate.find(1)?.u16(0).map(u32::from)).map(|rate| rate.saturating_mul(100))
}

/// IEEE 802.11, annex E: the channel around a frequency.
fn channel(mhz: u32) -> Option<u16> {
    let channel = match mhz {
        2484 => 14,
        2412..=2472 if (mhz - 2407).is_multiple_of(5) => (mhz - 2407) / 5,
        5955..=7115 if (mhz - 5950).is_multiple_of(5) => (mhz - 5950) / 5,
        5160..=5885 if mhz.is_multiple_of(5) => (mhz - 5000) / 5,
        _ => return None,
    };
    u16::try_from(channel).ok()
}

/// ` wlan0: 0000   54.  -56.  -256        0      0 …`: status, link, level, noise.
fn extension(line: &[u8]) -> Option<Wireless> {
    let mut words = fields(line);
    let name = std::str::from_utf8(words.next()?.strip_suffix(b":")?).ok()?;
    let level = words.nth(2)?;
    let level = signed(level.strip_suffix(b".").unwrap_or(level))?;
    // Other drivers have a level of no unit, which is never negative.
    let signal = i32::try_from(level).ok().filter(|level| (-128..0).contains(level));
    Some(Wireless { signal_dbm: signal, ..blank(name) })
}

/// Whether the kernel says that a link is wireless: nl80211 and the old extensions each leave a folder.
pub(super) fn is_wireless(sys: &Path, link: &str) -> bool {
    let folder = sys.join("class/net").join(link);
    !link.contains('/') && ["phy80211", "wireless"].iter().any(|mark| folder.join(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_tells_its_network_its_signal_and_its_rates() {
        let told = [
            attribute(ATTR_IFINDEX, &3_u32.to_ne_bytes()),
            attribute(ATTR_IFNAME, b"wlan0\0"),
            attribute(ATTR_IFTYPE, &STATION.to_ne_bytes()),
            attribute(ATTR_WIPHY_FREQ, &5180_u32.to_ne_bytes()),
            attribute(ATTR_SSID, b"Caf\xc3\xa9\n\x1b[2J"),
        ];
        let (index, mut link) = interface(&command(GET_INTERFACE, &told.concat())).unwrap();
        assert_eq!((index, link.link.raw(), link.channel), (3, "wlan0", Some(36)));
        assert_eq!(link.ssid.shown(), "Café\\u{a}\\u{1b}[2J");
        let station = [
            attribute(7, &[0xc4]),
            attribute(
                8 | 0x8000,
                &[attribute(1, &540_u16.to_ne_bytes()), attribute(5, &8660_u32.to_ne_bytes())].concat(),
            ),
            attribute(14 | 0x8000, &attribute(1, &540_u16.to_ne_bytes())),
            attribute(16, &42_u32.to_ne_bytes()),
            attribute(12, &[1]),
        ];
        let told = [attribute(ATTR_MAC, &[2, 0, 0, 0, 0, 9]), attribute(ATTR_STA_INFO | 0x8000, &station.concat())];
        add_station(&mut link, &command(GET_STATION, &told.concat()));
        assert_eq!((link.signal_dbm, link.tx_kbit_s, link.rx_kbit_s), (Some(-60), Some(866_000), Some(54_000)));
        assert_eq!((link.connected_secs, link.tx_failed, link.bssid.raw()), (Some(42), None, "02:00:00:00:00:09"));
    }

    #[test]
    fn what_joins_no_access_point_is_left_out() {
        let monitor = [attribute(ATTR_IFNAME, b"mon0\0"), attribute(ATTR_IFTYPE, &6_u32.to_ne_bytes())];
        assert_eq!(interface(&command(GET_INTERFACE, &monitor.concat())), None);
        assert_eq!(interface(&[]), None);
    }

    #[test]
    fn channels_are_known_in_each_band() {
        let channels = [2412, 2472, 2484, 5180, 5825, 5955, 6415, 5000, 0, 2413].map(channel);
        let known = [Some(1), Some(13), Some(14), Some(36), Some(165), Some(1), Some(93), None, None, None];
        assert_eq!(channels, known);
    }

    #[test]
    fn the_old_extensions_tell_a_signal_if_it_has_a_unit() {
        let link = extension(b" wlan0: 0000   54.  -56.  -256        0      0      0      0     30        0").unwrap();
        assert_eq!((link.link.raw(), link.signal_dbm), ("wlan0", Some(-56)));
        assert_eq!(extension(b" wlan1: 0000   54.  71.  0 0").unwrap().signal_dbm, None);
        assert_eq!(extension(b" face | tus | link level noise |  nwid"), None);
    }

    #[test]
    fn a_rate_beyond_measure_stays_a_number() {
        assert_eq!(kbit_s(attributes(&attribute(5, &u32::MAX.to_ne_bytes()), 0)), Some(u32::MAX));
    }
}
