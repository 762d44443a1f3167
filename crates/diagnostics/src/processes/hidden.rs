//! Whether the machine hides the processes of other users (`hidepid`, proc(5)): then nothing follows from not seeing one.

use std::path::Path;

use crate::{
    filesystems::mounts::hides_processes,
    text::{first_line, read_file},
};

/// In words.
pub(crate) const HIDDEN: &str = "the machine hides them (hidepid)";

/// Whether processes of others are hidden from this one. The first process is there always, and everybody sees it where nothing is.
pub(crate) fn are_hidden(proc: &Path) -> bool {
    let mut buffer = Vec::new();
    let hides = read_file(&proc.join("self/mountinfo"), &mut buffer).is_ok_and(hides_processes);
    hides && first_line(&proc.join("1/comm")).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;

    #[test]
    fn processes_are_hidden_where_the_mount_says_so_and_the_first_is_not_seen() {
        let mountinfo = |options: &str| format!("22 27 0:21 / /proc rw - proc proc {options}\n");
        let hidden = |options: &str, more: &[(&str, &str)]| {
            let machine = TestMachine::new(more);
            machine.write("proc/self/mountinfo", mountinfo(options));
            are_hidden(&machine.path("proc"))
        };
        assert!(hidden("rw,hidepid=invisible", &[]));
        assert!(!hidden("rw,hidepid=invisible", &[("proc/1/comm", "systemd\n")]), "not from root");
        assert!(!hidden("rw", &[]));
    }
}
