//! What the SSH server's settings say (sshd_config(5)).
//!
//! The first value of a keyword counts. What stands in `Match` blocks holds for some connections only and is not told.

use std::{io, path::Path};

use wire::diagnostics::sections::security::{MAX_SSH_PORTS, RootLogin, SshServer};

use crate::{
    manifest::Manifest,
    text::{lines, read_file},
};

/// Most files of `sshd_config.d` that are read.
const MAX_FILES: usize = 64;

/// The settings; `None` where there is no such file.
pub(super) fn read(etc: &Path, manifest: &mut Manifest) -> Option<SshServer> {
    let name = "/etc/ssh/sshd_config";
    let mut buffer = Vec::new();
    let main = match read_file(&etc.join("ssh/sshd_config"), &mut buffer) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            manifest.failed(name, &error);
            return None;
        }
    };
    manifest.read(name);
    let mut settings = Settings::default();
    let mut included = |pattern: &str, settings: &mut Settings| match pattern {
        "/etc/ssh/sshd_config.d/*.conf" | "sshd_config.d/*.conf" => {
            for file in conf_files(&etc.join("ssh/sshd_config.d")) {
                let mut buffer = Vec::new();
                match read_file(&file, &mut buffer) {
                    Ok(text) => settings.add(text, &mut |_, _| {}),
                    Err(error) => manifest.failed("/etc/ssh/sshd_config.d", &error),
                }
            }
        }
        _ => manifest.partial(name, "it includes files of other folders"),
    };
    settings.add(main, &mut included);
    Some(settings.told())
}

fn conf_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let is_conf = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "conf");
    let mut files = entries.map(|entry| entry.path()).filter(is_conf).take(MAX_FILES).collect::<Vec<_>>();
    files.sort();
    files
}

#[derive(Debug, Default)]
struct Settings {
    root_login: Option<RootLogin>,
    passwords: Option<bool>,
    empty_passwords: Option<bool>,
    ports: Vec<u16>,
    matches: bool,
}

impl Settings {
    /// Takes one file; `included` is called where another is to be read.
    fn add(&mut self, text: &[u8], included: &mut dyn FnMut(&str, &mut Self)) {
        for line in lines(text) {
            let Some((keyword, value)) = std::str::from_utf8(line).ok().and_then(setting) else { continue };
            match keyword.to_ascii_lowercase().as_str() {
                // Until the end of the file, which an included file's `Match` does not outlive.
                "match" => {
                    self.matches = true;
                    return;
                }
                "include" => value.split_whitespace().for_each(|pattern| included(unquoted(pattern), self)),
                "permitrootlogin" => self.root_login = self.root_login.or_else(|| root_login(value)),
                "passwordauthentication" => self.passwords = self.passwords.or_else(|| yes_or_no(value)),
                "permitemptypasswords" => self.empty_passwords = self.empty_passwords.or_else(|| yes_or_no(value)),
                "port" if self.ports.len() < MAX_SSH_PORTS => self.ports.extend(value.parse::<u16>().ok()),
                _ => {}
            }
        }
    }

    fn told(self) -> SshServer {
        SshServer {
            permit_root_login: self.root_login,
            password_authentication: self.passwords,
            permit_empty_passwords: self.empty_passwords,
            ports: if self.ports.is_empty() { vec![22] } else { self.ports },
            has_match_blocks: self.matches,
        }
    }
}

/// Keyword and value, which white space or one `=` parts.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (keyword, value) = line.split_once(|c: char| c.is_whitespace() || c == '=')?;
    let value = value.trim_start();
    let value = value.strip_prefix('=').unwrap_or(value);
    let value = value.split_once(" #").map_or(value, |(value, _)| value);
    (!keyword.starts_with('#')).then(|| (keyword, unquoted(value)))
}

fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

fn root_login(value: &str) -> Option<RootLogin> {
    match value {
        "yes" => Some(RootLogin::Yes),
        "no" => Some(RootLogin::No),
        "prohibit-password" | "without-password" => Some(RootLogin::ProhibitPassword),
        "forced-commands-only" => Some(RootLogin::ForcedCommandsOnly),
        _ => None,
    }
}

fn yes_or_no(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> SshServer {
        let mut settings = Settings::default();
        settings.add(text.as_bytes(), &mut |_, _| {});
        settings.told()
    }

    #[test]
    fn the_first_value_counts_and_match_blocks_are_only_named() {
        let server = told(
            "#PermitRootLogin yes\npermitrootlogin no\nPermitRootLogin yes\nPort 2222\nPort=22\n\
             PasswordAuthentication \"no\" # as we agreed\nMatch User ana\n PasswordAuthentication yes\n PermitEmptyPasswords yes\n",
        );
        assert_eq!(server.permit_root_login, Some(RootLogin::No));
        assert_eq!((server.password_authentication, server.permit_empty_passwords), (Some(false), None));
        assert_eq!((server.ports, server.has_match_blocks), (vec![2222, 22], true));
    }

    #[test]
    fn what_is_not_said_is_not_made_up() {
        let server = told("PermitRootLogin perhaps\nPasswordAuthentication\nPort 99999\n\u{0}\n");
        assert_eq!((server.permit_root_login, server.password_authentication), (None, None));
        assert_eq!(server.ports, [22]);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    fn a_file_that_is_included_counts_where_it_is_included() {
        let etc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(etc.path().join("ssh/sshd_config.d")).unwrap();
        let write = |file: &str, text: &str| std::fs::write(etc.path().join("ssh").join(file), text).unwrap();
        write("sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\nInclude /srv/*\n");
        write("sshd_config.d/50-cloud.conf", "PasswordAuthentication no\nMatch all\n");
        write("sshd_config.d/10-first.conf", "PermitRootLogin without-password\n");
        write("sshd_config.d/99.off", "PermitEmptyPasswords yes\n");
        let mut manifest = Manifest::default();
        let server = read(etc.path(), &mut manifest).unwrap();
        assert_eq!(server.password_authentication, Some(false));
        assert_eq!(server.permit_root_login, Some(RootLogin::ProhibitPassword));
        assert_eq!((server.permit_empty_passwords, server.has_match_blocks), (None, true));
        assert_eq!(manifest.into_sources()[0].reason.raw(), "it includes files of other folders");
        assert_eq!(read(Path::new("/nowhere"), &mut Manifest::default()), None);
    }
}
