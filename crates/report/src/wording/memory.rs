//! Memory and swap.

use super::Words;

pub(super) const PRESSURE: Words = Words {
    title: "Everything waits for memory",
    question: "Do programs get memory without waiting for it?",
    plain: "Your computer has too little memory for what is open, and everything stops again and again while it makes room. Save your \
        work and close the largest programs[: {large-process}].",
    technical: "memory pressure full {all-waited}[, some {some-waited}][; largest groups {large-group}][; largest {large-process}]",
    rules_out: "Nothing waits for memory.",
};

pub(super) const AVAILABLE: Words = Words {
    title: "Memory is short",
    question: "Is enough memory left?",
    plain: "Only {available} of your computer's memory are left. Close what you do not need[; the most is used by: {large-process}]. \
        If there is none left, programs are ended without being asked.",
    technical: "{available} of {total} available ({available-share})[; swap-in {swap-in}][; largest {large-process}]",
    rules_out: "The machine does not lack memory.",
};

pub(super) const OOM_KILLS: Words = Words {
    title: "Programs killed for want of memory",
    question: "Could all programs keep running?",
    plain: "There was no memory left for a program, so it was ended[: {killed}]. What was not saved in it is lost. Close what you do not \
        need before you start it again.",
    technical: "kills: {kills} in {window}[; killed: {killed}]",
    rules_out: "No process was killed for want of memory.",
};

/// Of [`OOM_KILLS`], where the machine had memory left.
pub(super) const OOM_KILLS_OF_GROUP: Words = Words {
    title: "A service ran out of its own memory",
    plain: "A part of the system may use only so much memory, and a program in it was ended because it needed more[: {killed}]. What was \
        not saved in it is lost. The rest of your computer was not affected. Whoever set it up can give it more.",
    technical: "kills: {kills} in {window}, at the limit of {limit}[; killed: {killed}]",
    ..OOM_KILLS
};

pub(super) const SWAP: Words = Words {
    title: "Much memory is on the disk",
    question: "Does what is open fit into memory?",
    plain: "What is open does not fit into your computer's memory, so a part of it is kept on the much slower disk. Close what you do not \
        need; it may take a while to be fast again.",
    technical: "swap {used} of {total} used ({used-share})[; {swapped-out-share} of memory written out in {window}]\
        [; {available-share} of memory available][; largest {large-process}]",
    rules_out: "Swapping does not slow the machine down.",
};

pub(super) const ERRORS: Words = Words {
    title: "Memory has errors",
    question: "Is the memory free of faults?",
    plain: "A part of your computer's memory is faulty. That damages files and makes programs end without reason. Make a backup, and \
        have the memory looked at.",
    technical: "{corrected} corrected, {uncorrectable} uncorrectable[; {part}][; {failed} given up as corrupted]",
    rules_out: "The memory modules report no errors.",
};

pub(super) const LEAK: Words = Words {
    title: "A program takes ever more memory",
    question: "Do programs give back the memory that they no longer need?",
    plain: "The program or service {subject} takes more and more memory and does not give it back. Save what you do in it, close it, and \
        start it again. A newer version may be better.",
    technical: "resident {used}, growing {growth-per-hour} an hour[; {available} available]",
    rules_out: "No process and no service grows without end.",
};

pub(super) const GROUP_LIMIT: Words = Words {
    title: "A part runs against its memory limit",
    question: "Is what is allowed to each part of the system enough for it?",
    plain: "A part of the system may use only so much memory and has used it up, so it is slow or is ended. Whoever set it up can give \
        it more.",
    technical: "{used} of {limit} used[ ({used-share})][; limit hit {limit-hits} times in {window}][; {kills} killed]",
    rules_out: "No control group is held up by its memory limit.",
};
