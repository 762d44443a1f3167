//! Proxies in the settings of the system and of the person at the machine. A name or a password in them is noticed and never kept: [`Endpoint`] has no room for it.

use std::{io, path::Path};

use wire::{
    diagnostics::sections::network::{Proxy, ProxySource},
    text::Label,
};

use super::desktop;
use crate::{
    manifest::Manifest,
    roots::Roots,
    text::{lines, read_file},
};

/// Most files of one folder that are read.
const MAX_FILES: usize = 64;

/// What a proxy is for that is found by a script, or by asking the network.
const AUTOMATIC: &str = "automatic";

/// Reads every file in which a proxy is set for the whole system, or for the person. One that is not there sets none.
pub(super) fn read(roots: &Roots, manifest: &mut Manifest) -> Vec<Proxy> {
    use ProxySource::{Apt, Dnf, Environment, EnvironmentFolder, Sysconfig};
    let etc = &roots.etc;
    let mut proxies = Vec::new();
    let files = [
        ("/etc/environment", Environment, etc.join("environment")),
        ("/etc/sysconfig/proxy", Sysconfig, etc.join("sysconfig/proxy")),
        ("/etc/apt/apt.conf", Apt, etc.join("apt/apt.conf")),
        ("/etc/dnf/dnf.conf", Dnf, etc.join("dnf/dnf.conf")),
    ];
    for (name, source, file) in files {
        if let Some(text) = manifest_file(name, &file, manifest) {
            proxies.extend(parse(source, &text));
        }
    }
    let config = roots.person.config.as_deref();
    let mut folders = vec![
        ("/etc/environment.d", EnvironmentFolder, etc.join("environment.d")),
        ("/etc/apt/apt.conf.d", Apt, etc.join("apt/apt.conf.d")),
    ];
    folders.extend(config.map(|config| ("own environment.d", EnvironmentFolder, config.join("environment.d"))));
    for (name, source, folder) in folders {
        for file in files_of(&folder) {
            if let Some(text) = manifest_file(name, &file, manifest) {
                proxies.extend(parse(source, &text));
            }
        }
    }
    if let Some(config) = config {
        proxies.extend(desktop::read(config, manifest));
    }
    proxies
}

/// The proxy at `url`, which may be a host alone; `None` if it names none.
pub(super) fn proxy(source: ProxySource, purpose: &str, url: &str) -> Option<Proxy> {
    let Endpoint { host, port, has_credentials } = Endpoint::parse(url)?;
    Some(Proxy { source, purpose: Label::cut(purpose), host: Label::cut(host), port, has_credentials })
}

/// A proxy that the script at `url` names, or the network if there is none; the host is the script's.
pub(super) fn automatic(source: ProxySource, url: &str) -> Proxy {
    let purpose = Label::cut(AUTOMATIC);
    let unknown = || Proxy { source, purpose, host: Label::default(), port: 0, has_credentials: false };
    proxy(source, AUTOMATIC, url).unwrap_or_else(unknown)
}

fn manifest_file(name: &str, file: &Path, manifest: &mut Manifest) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    match read_file(file, &mut buffer) {
        Ok(_) => manifest.read(name),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            manifest.failed(name, &error);
            return None;
        }
    }
    Some(buffer)
}

/// The files of a folder in the order that they are read in; none if there is no folder.
fn files_of(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files = entries.map(|entry| entry.path()).take(MAX_FILES).collect::<Vec<_>>();
    files.sort();
    files
}

fn parse(source: ProxySource, text: &[u8]) -> Vec<Proxy> {
    let setting = |line| match source {
        ProxySource::Environment | ProxySource::EnvironmentFolder | ProxySource::Sysconfig => variable(line),
        ProxySource::Apt => apt(line),
        ProxySource::Dnf => dnf(line),
        ProxySource::Gnome | ProxySource::Kde | ProxySource::NetworkManager => None,
    };
    let settings = lines(text).filter_map(|line| std::str::from_utf8(line).ok()).filter_map(setting);
    settings.filter_map(|(purpose, url)| proxy(source, purpose, url)).collect()
}

/// `https_proxy=…`, in any case, with or without `export` and quotes (pam_env(8), environment.d(5)).
fn variable(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let known = [("http_proxy", "http"), ("https_proxy", "https"), ("ftp_proxy", "ftp"), ("all_proxy", "all")];
    let (_, purpose) = known.into_iter().find(|(known, _)| name.trim().eq_ignore_ascii_case(known))?;
    Some((purpose, unquoted(value)))
}

/// `Acquire::https::Proxy "…";` (apt.conf(5)).
fn apt(line: &str) -> Option<(&'static str, &str)> {
    let (name, value) = line.trim().split_once(char::is_whitespace)?;
    let known = [("acquire::http::proxy", "http"), ("acquire::https::proxy", "https"), ("acquire::ftp::proxy", "ftp")];
    let (_, purpose) = known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some((purpose, unquoted(value.trim().trim_end_matches(';'))))
}

/// `proxy = …` (dnf.conf(5)).
fn dnf(line: &str) -> Option<(&'static str, &str)> {
    let (name, value) = line.split_once('=')?;
    (name.trim() == "proxy").then(|| ("all", unquoted(value)))
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

/// Where a proxy is. What stands in front of the host in its URL is left out.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint<'u> {
    host: &'u str,
    port: u16,
    has_credentials: bool,
}

impl<'u> Endpoint<'u> {
    /// Takes host and port from `scheme://user:password@host:port/path`, of which all but the host may be missing (RFC 3986, 3.2).
    /// `None` for what names no host, such as an empty value or apt's `DIRECT`.
    fn parse(url: &'u str) -> Option<Self> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        // A password may have any character in it that should have been escaped, so the last sign counts.
        let (has_credentials, rest) = match rest.rsplit_once('@') {
            Some((_, rest)) => (true, rest),
            None => (false, rest),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let is_name = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || "-._:%".contains(c));
        let names_a_host = is_name && !host.eq_ignore_ascii_case("direct") && !host.eq_ignore_ascii_case("false");
        let port = port.and_then(|port| port.parse().ok()).unwrap_or(0);
        names_a_host.then_some(Self { host, port, has_credentials })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_of_a_proxy_are_noticed_and_not_kept() {
        for url in [
            "http://ana:hunter2@proxy.corp:3128/",
            "ana:hunter2@proxy.corp:3128",
            "http://ana:hun/t@er2@proxy.corp:3128",
            "http://ana:hunter2@x@proxy.corp:3128?hunter2",
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint, Endpoint { host: "proxy.corp", port: 3128, has_credentials: true }, "{url}");
        }
    }

    #[test]
    fn a_proxy_is_read_however_it_is_written() {
        let endpoint = |host, port| Some(Endpoint { host, port, has_credentials: false });
        assert_eq!(Endpoint::parse("proxy"), endpoint("proxy", 0));
        assert_eq!(Endpoint::parse("https://[fd00::1]:8080"), endpoint("fd00::1", 8080));
        assert_eq!(Endpoint::parse("http://proxy:99999"), endpoint("proxy", 0));
        for nothing in ["", "DIRECT", "http://", "http://:80", "$OTHER", "a b", "http://ana:secret@"] {
            assert_eq!(Endpoint::parse(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn settings_of_the_system_name_what_the_proxy_is_for() {
        let proxies = |source, text: &str| {
            let proxies = parse(source, text.as_bytes()).into_iter();
            proxies.map(|proxy| format!("{} {} {}", proxy.purpose, proxy.host, proxy.port)).collect::<Vec<_>>()
        };
        let environment =
            "PATH=/bin\n# http_proxy=no\nHTTP_PROXY=\"http://a:1\"\n  export https_proxy='b:2'\nno_proxy=c\n";
        assert_eq!(proxies(ProxySource::Environment, environment), ["http a 1", "https b 2"]);
        let apt = "Acquire::http::Proxy \"http://a:3142\";\n// Acquire::http::Proxy \"b\";\nAcquire::https::Proxy \"DIRECT\";\n";
        assert_eq!(proxies(ProxySource::Apt, apt), ["http a 3142"]);
        assert_eq!(proxies(ProxySource::Dnf, "[main]\nproxy=http://d:80\nproxy_password=hunter2\n"), ["all d 80"]);
    }
}
