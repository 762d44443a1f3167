//! The loopback web server behind a program's own page: who may talk to it, and with what.
//!
//! A page on `127.0.0.1` has three kinds of unwanted neighbours: other web sites in the same browser (forged requests, DNS
//! rebinding), other users of the machine, and other programs that serve pages on other ports. Against them:
//!
//! | check | stops |
//! |---|---|
//! | bound to `127.0.0.1` on a port that the system picks | everybody on the network |
//! | `Host` must be exactly `127.0.0.1:PORT`, checked before anything else | DNS rebinding |
//! | the page's address carries a single-use ticket in its fragment, which no server log and no `Referer` ever sees | whoever finds the port |
//! | the ticket is swapped for an `HttpOnly` cookie **and** a bearer that only the page's own tab knows; every call needs both | cookies that leak to other ports, other tabs |
//! | `Sec-Fetch-Site: same-origin`, or an `Origin` equal to the host, on everything that is not a read | forged requests |
//! | JSON only, small bodies, short time-outs, few connections | oversized and slow clients |
//! | a content security policy without exceptions on every answer | text that was meant to become code |
//!
//! What this cannot stop: another program of the *same* user, which could as well read the browser's memory.
//!
//! | module | |
//! |---|---|
//! | [`server`] | [`Loopback`], [`Server`]: sockets, time-outs, the order of the checks |
//! | [`access`] | [`OpenUrl`], [`Tab`]: tickets, the cookie, bearers |
//! | [`guard`] | what a request must carry, as a pure function |
//! | [`headers`] | what every answer carries |
//! | [`consent`] | the end user's consent page |

pub mod access;
pub mod consent;
pub mod guard;
pub mod headers;
pub mod server;

pub use access::{OpenUrl, Tab};
pub use server::{Asset, Loopback, Server, Site};
