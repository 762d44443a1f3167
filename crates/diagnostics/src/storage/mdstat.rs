//! `/proc/mdstat` (md(4); the kernel's `drivers/md/md.c`).

use wire::{
    diagnostics::sections::storage::{MAX_MEMBERS, MemberRole, RaidAction, RaidArray, RaidMember},
    text::Label,
};

use crate::text::{fields, hundredths, lines, number};

/// Every array; `called` says by which name a device is known to others. Lines that make no sense are skipped.
pub(super) fn parse(text: &[u8], called: impl Fn(&str) -> Label) -> Vec<RaidArray> {
    let mut arrays = Vec::new();
    for line in lines(text) {
        if line.first().is_some_and(u8::is_ascii_whitespace) {
            if let Some(array) = arrays.last_mut() {
                detail(line, array);
            }
        } else if let Some(array) = head(line, &called) {
            arrays.push(array);
        }
    }
    arrays
}

/// `md1 : active (auto-read-only) raid1 sdb2[1](F) sda2[0]`
fn head(line: &[u8], called: &impl Fn(&str) -> Label) -> Option<RaidArray> {
    let mut words = fields(line).peekable();
    let name = words.next()?;
    if words.next() != Some(b":") || !name.starts_with(b"md") {
        return None;
    }
    let active = match words.next()? {
        b"active" => true,
        b"inactive" | b"broken" => false,
        _ => return None,
    };
    let read_only = words.next_if(|word| matches!(*word, b"(read-only)" | b"(auto-read-only)")).is_some();
    let level = words.next_if(|word| !word.contains(&b'[')).unwrap_or_default();
    Some(RaidArray {
        name: called(&String::from_utf8_lossy(name)),
        active,
        read_only,
        level: Label::cut(&String::from_utf8_lossy(level)),
        wanted_members: 0,
        working_members: 0,
        members: words.filter_map(|word| member(word, called)).take(MAX_MEMBERS).collect(),
        action: RaidAction::Idle,
        progress_permille: None,
    })
}

/// `sdb2[1](F)`; a slash in a kernel name is written as `!`.
fn member(word: &[u8], called: &impl Fn(&str) -> Label) -> Option<RaidMember> {
    let open = word.iter().position(|byte| *byte == b'[')?;
    let (device, rest) = word.split_at(open);
    let flag = |flag: &[u8]| rest.windows(flag.len()).any(|part| part == flag);
    let role = match () {
        () if flag(b"(F)") => MemberRole::Failed,
        () if flag(b"(S)") => MemberRole::Spare,
        () if flag(b"(J)") => MemberRole::Journal,
        () if flag(b"(R)") => MemberRole::Replacement,
        () => MemberRole::Active,
    };
    (!device.is_empty()).then(|| RaidMember { device: called(&String::from_utf8_lossy(device)), role })
}

/// `1464725632 blocks super 1.2 [2/1] [U_]`, `[=>...]  recovery = 12.6% (…) finish=…` or `resync=DELAYED`.
fn detail(line: &[u8], array: &mut RaidArray) {
    let mut words = fields(line);
    while let Some(word) = words.next() {
        if let Some((wanted, working)) = counts(word) {
            (array.wanted_members, array.working_members) = (wanted, working);
        }
        let (verb, waits) = match word.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&word[..equals], true),
            None => (word, false),
        };
        let action = match verb {
            b"resync" => RaidAction::Resync,
            b"recovery" => RaidAction::Recovery,
            b"reshape" => RaidAction::Reshape,
            b"check" => RaidAction::Check,
            _ => continue,
        };
        array.action = action;
        array.progress_permille = None;
        if !waits && words.next() == Some(b"=") {
            let percent = words.next().and_then(|word| hundredths(word.strip_suffix(b"%")?));
            array.progress_permille = percent.map(|centi| u16::try_from((centi / 10).min(1000)).unwrap_or(1000));
        }
    }
}

/// `[2/1]`: members wanted, members that work.
fn counts(word: &[u8]) -> Option<(u32, u32)> {
    let inner = word.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let slash = inner.iter().position(|byte| *byte == b'/')?;
    let count = |digits: &[u8]| u32::try_from(number(digits)?).ok();
    Some((count(&inner[..slash])?, count(&inner[slash + 1..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Vec<RaidArray> {
        super::parse(text, Label::cut)
    }

    const DEGRADED: &[u8] = b"Personalities : [raid1] [raid6] [raid5] [raid4]\n\
md1 : active raid1 sdb2[1](F) sda2[0]\n      \
1464725632 blocks super 1.2 [2/1] [U_]\n      \
bitmap: 3/11 pages [12KB], 65536KB chunk\n\
\n\
md0 : active (auto-read-only) raid5 sdd1[3] sde1[4](S) sdc1[1] sda1[0]\n      \
4190208 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [UU_]\n      \
[==>..................]  recovery = 12.6% (264064/2095104) finish=1.2min speed=20000K/sec\n\
\n\
md9 : inactive sdf1[0](S)\n      \
1047552 blocks super 1.2\n\
\n\
unused devices: <none>\n";

    #[test]
    fn a_mirror_without_one_member_is_degraded() {
        let arrays = parse(DEGRADED);
        assert_eq!(arrays.len(), 3);
        let mirror = &arrays[0];
        assert_eq!((mirror.name.raw(), mirror.level.raw(), mirror.active), ("md1", "raid1", true));
        assert_eq!((mirror.wanted_members, mirror.working_members), (2, 1));
        let members = mirror.members.iter().map(|m| (m.device.raw(), m.role)).collect::<Vec<_>>();
        assert_eq!(members, [("sdb2", MemberRole::Failed), ("sda2", MemberRole::Active)]);
        assert_eq!((mirror.action, mirror.progress_permille), (RaidAction::Idle, None));
    }

    #[test]
    fn an_array_that_fills_a_new_member_tells_how_far_it_is() {
        let array = &parse(DEGRADED)[1];
        assert_eq!((array.action, array.progress_permille), (RaidAction::Recovery, Some(126)));
        assert!(array.read_only);
        assert_eq!((array.wanted_members, array.working_members), (3, 2));
        assert_eq!(array.members[1].role, MemberRole::Spare);
    }

    #[test]
    fn an_array_that_does_not_run_has_no_level() {
        let array = &parse(DEGRADED)[2];
        assert_eq!((array.active, array.level.raw(), array.members.len()), (false, "", 1));
    }

    #[test]
    fn a_resync_that_waits_for_another_has_no_progress() {
        let text = b"md0 : active raid1 sda1[0] sdb1[1]\n  100 blocks [2/2] [UU]\n  \tresync=DELAYED\n";
        let array = &parse(text)[0];
        assert_eq!((array.action, array.progress_permille, array.working_members), (RaidAction::Resync, None, 2));
        let text = b"md0 : active raid1 sda1[0]\n  [>....]  check =  0.0% (1/2) finish=1min\n";
        assert_eq!(parse(text)[0].progress_permille, Some(0));
        assert_eq!(parse(text)[0].action, RaidAction::Check);
    }

    #[test]
    fn nonsense_makes_no_array_and_does_not_panic() {
        for text in [
            b"".as_slice(),
            b"\n \n",
            b"  [2/1] [U_]\n",
            b"md0\nmd0 :\nmd0 : \nmd0 : dancing raid1 sda[0]\n",
            b"unused devices: <none>\n",
            b"\xff\xfe : active raid1 sda[0]\n",
        ] {
            assert_eq!(parse(text), [], "{text:?}");
        }
        let text = b"md0 : active raid1 [0] sda[ sdb\n = recovery = 99999999999999999999% [9999999999/1] [/] [1/] recovery =\n";
        let array = &parse(text)[0];
        assert_eq!((array.members.len(), array.wanted_members, array.progress_permille), (1, 0, None));
        let text = b"md0 : active raid1\n recovery = 900.5%\n";
        assert_eq!(parse(text)[0].progress_permille, Some(1000));
    }

    #[test]
    fn an_array_of_very_many_members_is_cut() {
        let many = (0..5000).map(|n| format!(" sd{n}[{n}]")).collect::<String>();
        assert_eq!(parse(format!("md0 : active raid0{many}\n").as_bytes())[0].members.len(), MAX_MEMBERS);
    }
}
