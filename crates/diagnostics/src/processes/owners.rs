//! Names of users from `/etc/passwd` (passwd(5)).
//!
//! Users of a directory service are not in there: asking that service could hang, so they are shown by number.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use wire::text::Label;

use crate::text::{lines, number, read_file};

/// Names that are remembered. A machine with more users than that looks some up again.
const MAX_REMEMBERED: usize = 256;

#[derive(Debug)]
pub(crate) struct Owners {
    passwd: PathBuf,
    names: BTreeMap<u32, Label>,
    buffer: Vec<u8>,
}

impl Owners {
    pub(crate) fn new(etc: &Path) -> Self {
        Self { passwd: etc.join("passwd"), names: BTreeMap::new(), buffer: Vec::new() }
    }

    pub(crate) fn name(&mut self, user_id: u32) -> Label {
        if let Some(name) = self.names.get(&user_id) {
            return name.clone();
        }
        let passwd = read_file(&self.passwd, &mut self.buffer).unwrap_or_default();
        let name = lines(passwd).find_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            (number(fields.nth(1)?)? == u64::from(user_id)).then_some(name)
        });
        let name = name.map_or_else(|| format!("user {user_id}"), |name| String::from_utf8_lossy(name).into_owned());
        let name = Label::cut(&name);
        if self.names.len() >= MAX_REMEMBERED {
            self.names.clear();
        }
        self.names.insert(user_id, name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    fn users_have_their_names_and_strangers_their_numbers() {
        let etc = tempfile::tempdir().unwrap();
        let hostile = "root:x:0:0::/:/bin/sh\n:x:7::\nana:x:1000:1000:Ana:/home/ana:/bin/sh\ntorn:x\n\u{1b}[2J:x:9:\n";
        std::fs::write(etc.path().join("passwd"), hostile).unwrap();
        let mut owners = Owners::new(etc.path());
        let names = [0, 1000, 7, 9, 1000].map(|user| owners.name(user).shown().to_string());
        assert_eq!(names, ["root", "ana", "user 7", "\\u{1b}[2J", "ana"]);
        assert_eq!(Owners::new(Path::new("/nowhere")).name(0).raw(), "user 0");
    }
}
