//! Arguments of a program. That they are told apart says more than a text does: a secret ends where its argument ends, whatever is in it,
//! and it may stand behind the argument that says what it is.

use super::secrets::{SECRET, is_secret_key};

/// Options of one letter that take a secret, of programs whose name begins so. Longer options say it themselves.
const SHORT_OPTIONS: &[(&[&str], &str)] = &[
    (&["mysql", "mariadb", "mongo", "sshpass", "docker", "podman", "buildah", "rdesktop", "7z"], "p"),
    (&["curl", "wget", "lftp"], "uU"),
    (&["redis-cli", "redis-benchmark"], "a"),
    (&["ldap"], "w"),
    (&["smb", "rpcclient"], "U"),
    (&["mosquitto_", "zip", "unzip", "ipmitool", "sqlcmd", "bcp", "tsql"], "P"),
    (&["snmp"], "cAX"),
];

/// Longest cluster of options of one letter, such as `-vsu`; what is longer is the value of its first.
const CLUSTER: usize = 5;

/// The arguments without what they say is a secret. What looks like one by itself is found when each is scrubbed as a text.
pub(super) fn without_secrets(arguments: &[&str]) -> Vec<String> {
    let mut hides_next = false;
    let mut letters = String::new();
    let each = arguments.iter().enumerate().map(|(at, argument)| {
        let options = options_of(argument);
        let (shown, next) = judged(argument, &letters);
        // A program may have a name like that of a secret.
        let is_program = at == 0 && !argument.starts_with('-') || argument.ends_with("sshpass");
        let next = next && !is_program;
        letters.push_str(&options);
        // An option without its value, as in `--password --token x`, is hidden and hides the next one all the same.
        if std::mem::replace(&mut hides_next, next) { SECRET.to_owned() } else { shown }
    });
    each.collect()
}

/// The options of one letter that take a secret, if the argument is the name of a program that has any.
fn options_of(argument: &str) -> String {
    let name = argument.rsplit('/').next().unwrap_or_default();
    let known = SHORT_OPTIONS.iter().filter(|(programs, _)| programs.iter().any(|program| name.starts_with(program)));
    known.map(|(_, options)| *options).collect()
}

/// What is shown of an argument, and whether the next one is a secret.
fn judged(argument: &str, letters: &str) -> (String, bool) {
    for separator in ['=', ':'] {
        if let Some((key, value)) = argument.split_once(separator)
            && !key.contains(char::is_whitespace)
            && (is_secret_key(key) || key == "/p")
            && !value.is_empty()
        {
            return (format!("{key}{separator}{SECRET}"), false);
        }
    }
    let is_word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if is_word(argument) && is_secret_key(argument) {
        return (argument.to_owned(), true);
    }
    let Some(cluster) = argument.strip_prefix('-').filter(|cluster| !cluster.starts_with('-')) else {
        return (argument.to_owned(), false);
    };
    let takes_secret = |option: char| letters.contains(option);
    let mut options = cluster.chars();
    let first = options.next().filter(|first| takes_secret(*first));
    match (first, options.as_str()) {
        (Some(_), "") => (argument.to_owned(), true),
        (Some(first), _) => (format!("-{first}{SECRET}"), false),
        (None, _) => {
            let is_cluster = cluster.len() <= CLUSTER && cluster.chars().all(|c| c.is_ascii_alphabetic());
            (argument.to_owned(), is_cluster && cluster.chars().last().is_some_and(takes_secret))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &[&str]) -> Vec<String> {
        let shown = without_secrets(arguments);
        let again = without_secrets(&shown.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(again, shown, "doing so again changes nothing");
        shown
    }

    #[test]
    fn a_secret_ends_where_its_argument_ends() {
        assert_eq!(
            shown(&["x", "--password=correct horse \"battery", "--host=db"]),
            ["x", "--password=[secret]", "--host=db"]
        );
        assert_eq!(shown(&["x", "-H", "Authorization: Basic a b c"]), ["x", "-H", "Authorization:[secret]"]);
        assert_eq!(shown(&["openssl", "-passin", "pass:two words"]), ["openssl", "-passin", "pass:[secret]"]);
    }

    #[test]
    fn an_argument_says_what_the_next_one_is() {
        assert_eq!(shown(&["x", "--password", "two words", "end"]), ["x", "--password", "[secret]", "end"]);
        assert_eq!(shown(&["nmcli", "wifi-sec.psk", "hunter2"]), ["nmcli", "wifi-sec.psk", "[secret]"]);
        assert_eq!(shown(&["plink", "-pw", "hunter2", "host"]), ["plink", "-pw", "[secret]", "host"]);
        assert_eq!(shown(&["x", "--password", "--token", "hunter2"]), ["x", "--password", "[secret]", "[secret]"]);
        assert_eq!(shown(&["x", "--password", "", "end"]), ["x", "--password", "[secret]", "end"]);
        assert_eq!(shown(&["x", "--token"]), ["x", "--token"], "nothing follows");
    }

    #[test]
    fn options_of_one_letter_are_known_by_their_program() {
        assert_eq!(shown(&["/usr/bin/mysql", "-uroot", "-phunter2"]), ["/usr/bin/mysql", "-uroot", "-p[secret]"]);
        assert_eq!(shown(&["sudo", "mysqldump", "-phunter2"]), ["sudo", "mysqldump", "-p[secret]"]);
        assert_eq!(shown(&["sshpass", "-p", "hunter2", "ssh"]), ["sshpass", "-p", "[secret]", "ssh"]);
        assert_eq!(shown(&["curl", "-vsu", "ana:hunter2", "-L"]), ["curl", "-vsu", "[secret]", "-L"]);
        assert_eq!(shown(&["snmpget", "-v2c", "-c", "hunter2"]), ["snmpget", "-v2c", "-c", "[secret]"]);
        assert_eq!(shown(&["xfreerdp", "/u:ana", "/p:hunter2"]), ["xfreerdp", "/u:ana", "/p:[secret]"]);
        assert_eq!(shown(&["sudo", "sshpass", "-phunter2"]), ["sudo", "sshpass", "-p[secret]"]);
        assert_eq!(shown(&["mkdir", "-p", "/srv/www"]), ["mkdir", "-p", "/srv/www"]);
        assert_eq!(shown(&["ssh", "-p2222", "host"]), ["ssh", "-p2222", "host"]);
    }

    #[test]
    fn what_is_no_secret_stays() {
        let plain = ["nginx", "-g", "daemon off;", "--conf=/etc/nginx.conf", "key value", "", "-", "--", "é=ü"];
        assert_eq!(shown(&plain), plain);
    }
}
