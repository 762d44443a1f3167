//! Disks, file systems, open files.

use super::Words;

pub(super) const IO_PRESSURE: Words = Words {
    title: "Work waits for disks",
    question: "Do programs get their files without waiting?",
    plain: "Programs wait for your computer's disk. Pause large copies, backups and downloads. If it stays like this, the disk may be \
        failing: make a backup.",
    technical: "io pressure some {some-waited}[, full {all-waited}][; busiest disk {busiest-disk}][; waiting: {waiting-process}]",
    rules_out: "Nothing waits for disks.",
};

pub(super) const SPACE: Words = Words {
    title: "A disk is nearly full",
    question: "Is there room for new files?",
    plain: "There is hardly any room left for files in {subject}: {available} are free. Delete or move what you no longer need, and empty \
        the bin. When it is full, nothing can be saved and programs stop working.",
    technical: "{used-share} used, {available} of {total} free[ ({kind})]",
    rules_out: "No file system is full.",
};

pub(super) const SPACE_FORECAST: Words = Words {
    title: "A disk will be full soon",
    question: "Will there be room for new files tomorrow?",
    plain: "Something fills {subject} quickly; only {available} are left. If it goes on like this, nothing can be saved there soon. Look \
        for what is growing: a download, a copy, a recording.",
    technical: "{available} free ({available-share}), shrinking {growth-per-hour} an hour[; fit {fit}]",
    rules_out: "No file system fills up within a day.",
};

pub(super) const INODES: Words = Words {
    title: "A disk holds too many files",
    question: "Can more files be created?",
    plain: "{subject} holds so many small files that soon no new ones can be created, even if there is room. A program probably leaves \
        files behind that can be cleaned up.",
    technical: "{used-share} of inodes used, {available} of {total} free[ ({kind})]",
    rules_out: "No file system runs out of inodes.",
};

pub(super) const READ_ONLY: Words = Words {
    title: "A disk cannot be written",
    question: "Can files be saved everywhere?",
    plain: "Nothing can be saved in {subject} any more: the system protects it, most often because the disk has faults. Do not \
        restart yet. Copy what is important to another disk first.",
    technical: "read-only[, {state}][ ({kind})]",
    rules_out: "No file system turned read-only.",
};

/// Of [`READ_ONLY`], where it can be written all the same.
pub(super) const DAMAGED: Words = Words {
    title: "A disk has errors",
    plain: "Errors were found in {subject} that nobody has repaired. It still works, but files in it may be damaged. Copy what is \
        important to another disk, then have it checked.",
    technical: "errors {errors}[ ({kind})]; can be written",
    ..READ_ONLY
};

pub(super) const UNRESPONSIVE: Words = Words {
    title: "A folder does not answer",
    question: "Do all disks and network folders answer?",
    plain: "{subject} does not answer, and programs that use it hang. If it is on the network, check that connection; if it is a disk, \
        check its cable.",
    technical: "did not answer in time[ ({kind})]",
    rules_out: "Every mount answers.",
};

pub(super) const SATURATED: Words = Words {
    title: "A disk is at its limit",
    question: "Do the disks have time to spare?",
    plain: "A disk of your computer has had more to do than it can manage for some minutes, so everything that needs it is slow. Pause \
        large copies, backups and downloads.",
    technical: "busy {busy} over {window}, {await} a request[, {backlog} of them outstanding][; waiting: {waiting-process}]",
    rules_out: "No disk is saturated.",
};

pub(super) const NVME_WARNING: Words = Words {
    title: "A disk warns of itself",
    question: "Do the disks say that they are well?",
    plain: "A disk of your computer warns that it may fail. Make a backup of everything that is important now, and have the disk replaced.",
    technical: "critical warning: {device-warning}[; {temperature}][; spare {spare}][; {media-errors} media errors][; {model}]",
    rules_out: "No NVMe device warns.",
};

pub(super) const NVME_WEAR: Words = Words {
    title: "A disk wears out",
    question: "Do the disks have life left?",
    plain: "A disk of your computer has used up most of the writing that it was made for. It still works. Make backups, and plan to have it \
        replaced.",
    technical: "{wear} used[; spare {spare}, threshold {spare-threshold}][; {media-errors} media errors][; {model}]",
    rules_out: "No NVMe device is worn out.",
};

pub(super) const ATA_SECTORS: Words = Words {
    title: "A disk has bad spots",
    question: "Can the disks read everything that is on them?",
    plain: "A disk of your computer has spots that it cannot read well. Such disks often fail within months. Make a backup now, and \
        have it replaced.",
    technical: "reallocated {reallocated}[, pending {pending}][, uncorrectable {uncorrectable}][, command timeouts {command-timeouts}]\
        [; {state}][; {model}]",
    rules_out: "No ATA disk has failing sectors.",
};

pub(super) const RAID: Words = Words {
    title: "A disk of a group is missing",
    question: "Is every disk of a group of disks there?",
    plain: "Your computer keeps its files on several disks, and one of them has failed. Nothing is lost yet, but one more failure may lose \
        everything. Make a backup, and have the disk replaced.",
    technical: "{active} of {required} members active[, {failed} failed][; {state}][; repaired {progress}]",
    rules_out: "Every array has its members.",
};

pub(super) const FILE_HANDLES: Words = Words {
    title: "Open files run out",
    question: "Can programs open more files?",
    plain: "So many files are open that soon no program can open another. Save your work. Restarting the computer helps for now; one of the \
        programs does not close its files.",
    technical: "{used} of {limit} file handles in use ({used-share})",
    rules_out: "File handles do not run out.",
};
