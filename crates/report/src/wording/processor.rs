//! Processors, and the tables and figures of the whole machine.

use super::Words;

pub(super) const BUSY: Words = Words {
    title: "Processors are busy",
    question: "Did the processor have time to spare in the last ten minutes?",
    plain: "Your computer has been working at its limit for some minutes, so everything else is slow.[ Most of the work is \
        done by: {busy-process}.] Close what you do not need, or wait until it is done.",
    technical: "busy {busy} over {window}[; most by {busy-process}]",
    rules_out: "No program keeps the processors busy.",
};

pub(super) const IOWAIT: Words = Words {
    title: "Processors wait for disks",
    question: "Does the disk keep up with the work?",
    plain: "Your computer spends much of its time waiting for its disk, so programs hang now and then. Save your work, and pause \
        large copies, backups and downloads.",
    technical: "iowait {iowait} over {window}[; io pressure full {all-waited}][; busiest disk {busiest-disk}]\
        [; waiting: {waiting-process}]",
    rules_out: "Processors do not wait for disks.",
};

pub(super) const STEAL: Words = Words {
    title: "The host takes processor time",
    question: "Does this machine get the processor time that it asks for?",
    plain: "This computer shares its hardware with others, and the others take much of it. Nothing on this computer is wrong. Whoever \
        rents it out to you can help.",
    technical: "steal {steal} over {window}[; {virtualisation}]",
    rules_out: "The hypervisor does not take the processor away.",
};

pub(super) const LOAD: Words = Words {
    title: "More work than processors",
    question: "Is there at most as much work as the computer can do at once?",
    plain: "More programs want to work at the same time than your computer can run at once, so all of them are slow. Close those that you do \
        not need.",
    technical: "load over 15 minutes {load} on {processors} processors ({load-per-processor} each)[; runnable {runnable}]\
        [; blocked {blocked}][; waiting: {waiting-process}]",
    rules_out: "There is no more work than processors for it.",
};

pub(super) const THROTTLING: Words = Words {
    title: "Processor slowed down by heat",
    question: "Does the computer stay cool enough to run at full speed?",
    plain: "Your computer gets too hot and slows itself down. Make sure that its air vents are free and clean, and that it does not stand \
        on something soft or in the sun.",
    technical: "throttled {throttles} times in {window}[; {temperature}]",
    rules_out: "Heat does not slow the processor down.",
};

pub(super) const PROCESS_TABLE: Words = Words {
    title: "Table of processes fills up",
    question: "Can the computer start more programs?",
    plain: "So many programs are running that soon no more can be started. Save your work. Restarting the computer helps for \
        now; one of the programs starts too many others.",
    technical: "{used} of {limit} process ids in use ({used-share})",
    rules_out: "New processes can be started.",
};

pub(super) const LEVEL_SHIFT: Words = Words {
    title: "A figure went to another level",
    question: "Does the computer behave as it did before?",
    plain: "Something about your computer changed and stayed that way. By itself this is nothing bad; it helps to find out when a problem \
        began.",
    technical: "{before} before, {after} since[; odd at the same time: {odd-too}]",
    rules_out: "No figure moved to another level.",
};
