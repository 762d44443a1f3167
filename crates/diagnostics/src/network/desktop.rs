//! Proxies in the settings of the person's desktop. Their files are read as they are: the programs that belong to them write some.

use std::{io, path::Path};

use wire::diagnostics::sections::network::{Proxy, ProxySource};

use super::{
    gvdb::{Database, Value},
    proxies::{automatic, proxy},
};
use crate::{
    manifest::Manifest,
    text::{lines, read_file},
};

/// What a proxy can be for, in both.
const PURPOSES: [&str; 4] = ["http", "https", "ftp", "socks"];

/// Reads the settings of GNOME, and of those that came from it, and of KDE, in `config`.
pub(super) fn read(config: &Path, manifest: &mut Manifest) -> Vec<Proxy> {
    let mut proxies = Vec::new();
    let files =
        [("dconf", "dconf/user", gnome as fn(&[u8]) -> io::Result<Vec<Proxy>>), ("kioslaverc", "kioslaverc", kde)];
    let mut buffer = Vec::new();
    for (name, file, read) in files {
        match read_file(&config.join(file), &mut buffer).and_then(read) {
            Ok(found) => {
                manifest.read(name);
                proxies.extend(found);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => manifest.failed(name, &error),
        }
    }
    proxies
}

/// `org.gnome.system.proxy`, as `gsettings-desktop-schemas` has it. What is not there is as by default: no proxy. The name and the
/// password beside it are never asked for.
fn gnome(file: &[u8]) -> io::Result<Vec<Proxy>> {
    let database = Database::parse(file).ok_or(io::ErrorKind::InvalidData)?;
    let text = |key: &str| match database.value(&format!("/system/proxy/{key}")) {
        Some(Value::Text(text)) => text,
        Some(Value::Number(_) | Value::Truth(_)) | None => "",
    };
    let port = |key: &str| match database.value(&format!("/system/proxy/{key}")) {
        Some(Value::Number(port)) => u16::try_from(port).unwrap_or(0),
        Some(Value::Text(_) | Value::Truth(_)) | None => 0,
    };
    let authenticates = database.value("/system/proxy/http/use-authentication") == Some(Value::Truth(true));
    Ok(match text("mode") {
        "manual" => {
            let set = PURPOSES.into_iter().filter_map(|purpose| {
                let mut set = proxy(ProxySource::Gnome, purpose, text(&format!("{purpose}/host")))?;
                set.port = if set.port == 0 { port(&format!("{purpose}/port")) } else { set.port };
                set.has_credentials |= purpose == "http" && authenticates;
                Some(set)
            });
            set.collect()
        }
        "auto" => vec![automatic(ProxySource::Gnome, text("autoconfig-url"))],
        _ => Vec::new(),
    })
}

/// Checks what has to hold whatever a database of dconf holds, for fuzzers. Returns whether it tells of a proxy.
///
/// # Panics
///
/// If a rule is broken.
#[doc(hidden)]
pub fn check_dconf(file: &[u8]) -> bool {
    let Ok(proxies) = gnome(file) else { return false };
    assert!(proxies.len() <= PURPOSES.len(), "a proxy for nothing");
    for proxy in &proxies {
        assert!(!proxy.host.raw().contains(['@', '/']), "more than a host is kept: {proxy:?}");
    }
    assert_eq!(gnome(file).ok().as_ref(), Some(&proxies), "a database is read in two ways");
    !proxies.is_empty()
}

/// The group `Proxy Settings` of `kioslaverc` (`kprotocolmanager.cpp` of KIO). Host and port may have a space between them.
fn kde(file: &[u8]) -> io::Result<Vec<Proxy>> {
    let (mut kind, mut script, mut hosts) = ("", "", [""; PURPOSES.len()]);
    let mut inside = false;
    for line in lines(file).filter_map(|line| std::str::from_utf8(line).ok()) {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line == "[Proxy Settings]" || line.starts_with("[Proxy Settings][$");
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        // Behind the name there may be marks, such as `[$i]` for a setting that may not be changed.
        let key = key.split('[').next().unwrap_or_default().trim();
        let value = value.trim();
        match key {
            "ProxyType" => kind = value,
            "Proxy Config Script" => script = value,
            _ => {
                let purpose =
                    key.strip_suffix("Proxy").and_then(|key| PURPOSES.iter().position(|purpose| *purpose == key));
                if let Some(place) = purpose {
                    hosts[place] = value;
                }
            }
        }
    }
    Ok(match kind {
        "1" => {
            let set = PURPOSES.into_iter().zip(hosts).filter_map(|(purpose, host)| match host.rsplit_once(' ') {
                Some((host, port)) => {
                    let set = proxy(ProxySource::Kde, purpose, host)?;
                    Some(Proxy { port: port.parse().unwrap_or(set.port), ..set })
                }
                None => proxy(ProxySource::Kde, purpose, host),
            });
            set.collect()
        }
        "2" => vec![automatic(ProxySource::Kde, script)],
        "3" => vec![automatic(ProxySource::Kde, "")],
        // None, or those of the environment.
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        network::gvdb::tests::REAL,
        testing::{TestMachine, told},
    };

    fn shown(proxies: &[Proxy]) -> Vec<String> {
        let row = |proxy: &Proxy| {
            let Proxy { source, purpose, host, port, has_credentials } = proxy;
            let asks = if *has_credentials { " asks" } else { "" };
            format!("{source} {purpose} {host} {port}{asks}")
        };
        proxies.iter().map(row).collect()
    }

    /// The real file, with a mode that has no more letters than its own.
    fn with_mode(mode: &str) -> Vec<u8> {
        let own = b"manual\0\0s";
        let start = REAL.windows(own.len()).position(|window| window == own).unwrap();
        let value = format!("{mode}\0\0s");
        let pointer =
            |length: usize| [start, start + length].map(|at| u32::try_from(at).unwrap().to_le_bytes()).concat();
        let item = REAL.windows(8).position(|window| window == pointer(own.len())).unwrap();
        let mut file = REAL.to_vec();
        file[start..start + value.len()].copy_from_slice(value.as_bytes());
        file[item..item + 8].copy_from_slice(&pointer(value.len()));
        file
    }

    #[test]
    fn gnomes_proxies_are_told_and_their_passwords_are_not() {
        let proxies = gnome(REAL).unwrap();
        let expected = ["gnome http proxy.corp.example 3128 asks", "gnome https proxy.corp.example 3129 asks"];
        assert_eq!(shown(&proxies), expected);
        assert!(!format!("{proxies:?}").contains("qanary"));
        let script = gnome(&with_mode("auto")).unwrap();
        assert_eq!(shown(&script), ["gnome automatic pac.corp.example 0 asks"]);
        assert!(!format!("{script:?}").contains("qanary"));
        assert_eq!(gnome(&with_mode("none")).unwrap(), []);
        assert_eq!(gnome(b"GVariant").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn kdes_proxies_are_told_and_their_passwords_are_not() {
        let told = |settings: &str| {
            let file = format!(
                "[$Version]\nhttpProxy=x\n[Proxy Settings][$i]\nNoProxyFor=localhost\n{settings}\n[Other]\nProxyType=1\n"
            );
            shown(&kde(file.as_bytes()).unwrap())
        };
        let hosts = "httpProxy=http://ana:qanary@proxy.corp 3128\nhttpsProxy[$e]=http://proxy.corp:3129\nsocksProxy=\nftpProxy=\\s21\n\
            Proxy Config Script=https://ana:qanary@pac.corp/x?qanary\n";
        assert_eq!(
            told(&format!("ProxyType=1\n{hosts}")),
            ["kde http proxy.corp 3128 asks", "kde https proxy.corp 3129"]
        );
        assert_eq!(told(&format!("ProxyType=2\n{hosts}")), ["kde automatic pac.corp 0 asks"]);
        assert_eq!(told(&format!("ProxyType=3\n{hosts}")), ["kde automatic  0"]);
        for kind in ["0", "4", "qanary", ""] {
            assert_eq!(told(&format!("ProxyType={kind}\n{hosts}")), [""; 0], "{kind}");
        }
    }

    #[test]
    fn a_desktop_that_is_not_there_is_no_gap_and_one_that_makes_no_sense_is() {
        let machine = TestMachine::new(&[]);
        let config = machine.path("home/ana/.config");
        let mut manifest = Manifest::default();
        assert_eq!((read(&config, &mut manifest), told(manifest)), (vec![], vec![]));
        machine.write("home/ana/.config/dconf/user", "no database");
        machine.write("home/ana/.config/kioslaverc", "[Proxy Settings]\nProxyType=3\n");
        let mut manifest = Manifest::default();
        assert_eq!(read(&config, &mut manifest).len(), 1);
        let told = told(manifest).into_iter().map(|(name, _, why)| (name, why)).collect::<Vec<_>>();
        let why = |name: &str, why: &str| (name.to_owned(), why.to_owned());
        assert_eq!(told, [why("dconf", "its content makes no sense"), why("kioslaverc", "")]);
    }

    proptest! {
        #[test]
        fn whatever_kde_wrote_no_credentials_are_kept(
            kind in "[0-4]",
            user in "[a-z]{1,8}",
            host in "[a-z0-9.:/ -]{0,30}",
            noise in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let line = format!("=http://{user}:qanary@{host}\n");
            let keys = ["httpProxy", "httpsProxy", "socksProxy", "Proxy Config Script"].map(|key| format!("{key}{line}"));
            let mut file = format!("[Proxy Settings]\nProxyType={kind}\n{}", keys.concat()).into_bytes();
            file.extend(noise);
            let kept = format!("{:?}", kde(&file).unwrap());
            prop_assert!(!kept.contains("qanary"), "{}", kept);
        }
    }
}
