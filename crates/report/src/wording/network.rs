//! Interfaces, connections, the way to the internet.

use super::Words;

pub(super) const DROPS: Words = Words {
    title: "A network connection loses data",
    question: "Does everything arrive that is sent over the network?",
    plain: "Your computer loses some of what arrives over the network, so pages and calls stutter. Move closer to the router or check the \
        cable. If the computer is very busy, that may be the reason.",
    technical: "{drop-share} dropped over {window} ({drops} packets)",
    rules_out: "No interface drops packets.",
};

pub(super) const ERRORS: Words = Words {
    title: "A network connection has errors",
    question: "Does data arrive undamaged?",
    plain: "Some of what arrives over the network is damaged on the way. Most often a cable or a plug is broken: try another one.",
    technical: "{errors} errors over {window}",
    rules_out: "No interface has errors.",
};

pub(super) const RETRANSMITS: Words = Words {
    title: "Connections send again and again",
    question: "Does data get through at the first try?",
    plain: "Much of what your computer sends gets lost on the way and has to be sent again, so the internet is slow. Try again over a \
        cable or closer to the router. It may also be the provider.",
    technical: "{retransmit-share} of segments sent again over {window}[; sent in all: {segments}]",
    rules_out: "TCP does not lose what it sends.",
};

pub(super) const LADDER: Words = Words {
    title: "The way to the internet is broken",
    question: "Does the whole way to the internet hold?",
    plain: "Your computer does not reach the internet as it should. Check that the router is on and the cable is in or the wireless \
        network is chosen. Switching the router off and on often helps.",
    technical: "first broken rung: {rung}[; broken in all: {broken-rungs}]",
    rules_out: "The way to the internet holds.",
};

pub(super) const LATENCY: Words = Words {
    title: "The connection is slow under load",
    question: "Does the internet answer quickly while something large is sent or fetched?",
    plain: "While something large is sent or fetched, everything else on the internet has to wait for it, so calls stutter. Pause large \
        transfers during calls. A better router can share the line fairly.",
    technical: "round trip {idle-round-trip} idle, {loaded-round-trip} loaded (+{round-trip-rise})",
    rules_out: "The connection stays quick under load.",
};

pub(super) const INTERCEPTION: Words = Words {
    title: "Something stands before the internet",
    question: "Does this computer talk to the internet without anybody in between?",
    plain: "The network that you use answers in place of the internet. In a hotel or a train, open a web page and sign in there. At \
        work, your company may be reading along. Do not enter passwords until you know which it is.",
    technical: "{state}[; certificate issued by {issuer}][; {about}]",
    rules_out: "Neither a portal nor an interceptor is in the way.",
};

pub(super) const WIFI: Words = Words {
    title: "The wireless signal is weak",
    question: "Is the wireless signal strong enough?",
    plain: "Your computer hardly hears the wireless network, so the connection is slow and breaks off. Move closer to the router, or use a \
        cable.",
    technical: "signal {signal}[; {roams} roams in {window}]",
    rules_out: "The wireless signal is strong enough.",
};

pub(super) const CONNTRACK: Words = Words {
    title: "Table of connections fills up",
    question: "Can more connections be made?",
    plain: "So many connections are open through this computer that soon no new ones can be made. A program or a device behind it opens \
        too many.",
    technical: "{used} of {limit} tracked connections ({used-share})",
    rules_out: "The table of tracked connections has room.",
};
