//! Services, updates, the clock, the battery.

use super::Words;

pub(super) const CLOCK: Words = Words {
    title: "The clock is wrong",
    question: "Does the clock tell the right time?",
    plain: "Your computer's clock is wrong or is not being set. Secure web pages may refuse to open, and files get wrong dates. \
        Switch on that date and time are set automatically.",
    technical: "{state}[; offset {offset}][; source {time-source}]",
    rules_out: "The clock is right.",
};

pub(super) const FAILED_UNIT: Words = Words {
    title: "A service failed",
    question: "Does everything run that should run in the background?",
    plain: "Something that should run in the background of your computer has stopped: {subject}. You may not notice until you need it.",
    technical: "failed[: {result}][; {about}]",
    rules_out: "No service failed.",
};

pub(super) const RESTART_LOOP: Words = Words {
    title: "A service starts again and again",
    question: "Does everything in the background keep running?",
    plain: "Something in the background of your computer, {subject}, stops and is started again all the time. It does not work, and it \
        makes the computer slower.",
    technical: "{restarts} restarts in {window}[; {result}]",
    rules_out: "No service restarts over and over.",
};

pub(super) const CERTIFICATE: Words = Words {
    title: "A certificate ends soon",
    question: "Are the computer's own certificates valid for some time?",
    plain: "A digital proof of identity that this computer uses ends soon. After that, others will refuse to connect to it. Whoever set it \
        up has to renew it.",
    technical: "valid for {remaining}[; issued by {issuer}]",
    rules_out: "No certificate ends soon.",
};

pub(super) const UPDATES: Words = Words {
    title: "Security updates wait",
    question: "Are all security updates installed?",
    plain: "Updates that close security holes are waiting to be installed. Install them soon; until then your computer is \
        easier to attack.",
    technical: "{waiting} security updates wait[; looked at {age} ago]",
    rules_out: "No security update waits.",
};

pub(super) const REBOOT: Words = Words {
    title: "A restart is needed",
    question: "Does the computer run what is installed?",
    plain: "Updates were installed that work only after a restart. Save your work, and restart the computer when it suits you.",
    technical: "restart needed[ for {age}][; running {running}][, installed {installed}][; {about}]",
    rules_out: "No restart is pending.",
};

pub(super) const CRASHES: Words = Words {
    title: "A program crashes",
    question: "Do programs run without crashing?",
    plain: "The program {subject} crashes again and again. Save often, and look for a newer version. If several programs crash, \
        something else is wrong with the computer.",
    technical: "{crashes} crashes in {window}[; {result}]",
    rules_out: "No program crashes repeatedly.",
};

pub(super) const BATTERY: Words = Words {
    title: "The battery wears out",
    question: "Does the battery still hold its charge?",
    plain: "The battery holds only {health} of what it could when it was new, so the computer runs for a shorter time without the mains. A \
        new battery helps.",
    technical: "{health} of its design capacity[; {cycles} cycles][; {model}]",
    rules_out: "The battery is healthy.",
};
