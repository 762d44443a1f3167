//! Tickets, the cookie and the bearers: who has been let in.
//!
//! ```text
//! OpenUrl (ticket, 60 s, once) --POST /session--> cookie (one per server) + bearer (one per tab)
//! ```
//!
//! A browser sends a cookie to every port of `127.0.0.1`, so a cookie alone proves nothing here; a bearer alone could leak
//! through a copied page. Each call needs both. Time is an argument; nothing here touches a socket.

use std::{collections::VecDeque, fmt, net::SocketAddr, time::Duration};

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq as _;
use wire::time::Moment;
use zeroize::Zeroizing;

/// How long a ticket opens the page.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(60);

/// Tickets that may wait at once; a further one voids the oldest. Enough for one that was opened and one that was
/// printed, with a spare for each.
pub const TICKETS_AT_ONCE: usize = 4;

/// Tabs that one server lets in during its life. A person opens a handful; the bound keeps the memory finite.
pub const TABS: u32 = 64;

/// 256 random bits as lower-case hexadecimal digits, compared in constant time, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    fn draw(rng: &mut impl CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("a nibble is below 16");
        Self(Zeroizing::new(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()))
    }

    fn is(&self, offered: &str) -> bool {
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The address that opens the page once, within [`TICKET_LIFETIME`] of being made.
///
/// Its `Debug` hides the ticket, and it has no `Display`: whoever sees the whole address may open the page, so it goes to
/// the person's own browser or terminal and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenUrl {
    address: SocketAddr,
    ticket: Secret,
}

impl OpenUrl {
    /// The whole address, ticket included. Never to be logged.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("http://{}/#t={}", self.address, self.ticket.expose()))
    }
}

impl fmt::Debug for OpenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}/#t=…", self.address)
    }
}

/// One browser tab that was let in, numbered from 1 and never reused. A tab that is reloaded keeps its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tab(pub u32);

/// A ticket opened nothing: wrong, used, older than [`TICKET_LIFETIME`], or one tab too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAdmitted;

/// Everybody that one server let in.
#[derive(Debug)]
pub(crate) struct Access {
    address: SocketAddr,
    cookie: Secret,
    tickets: VecDeque<(Secret, Moment)>,
    bearers: Vec<(Secret, Tab)>,
}

impl Access {
    pub(crate) fn new(address: SocketAddr, rng: &mut impl CryptoRngCore) -> Self {
        Self { address, cookie: Secret::draw(rng), tickets: VecDeque::new(), bearers: Vec::new() }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cookie's name. Cookies ignore ports, so the port is part of it.
    pub(crate) fn cookie_name(&self) -> String {
        format!("assent-{}", self.address.port())
    }

    pub(crate) fn cookie(&self) -> &Secret {
        &self.cookie
    }

    /// Makes a ticket that opens the page until `now` + [`TICKET_LIFETIME`].
    pub(crate) fn open_url(&mut self, now: Moment, rng: &mut impl CryptoRngCore) -> OpenUrl {
        if self.tickets.len() == TICKETS_AT_ONCE {
            self.tickets.pop_front();
        }
        let ticket = Secret::draw(rng);
        self.tickets.push_back((ticket.clone(), now + TICKET_LIFETIME));
        OpenUrl { address: self.address, ticket }
    }

    /// Swaps a ticket for a tab's bearer. A wrong one voids nothing: otherwise anybody could shut the person out.
    pub(crate) fn redeem(
        &mut self,
        offered: &str,
        now: Moment,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Secret, NotAdmitted> {
        self.tickets.retain(|(_, void_at)| now < *void_at);
        // Looks at every ticket, so that the time taken does not depend on which one is right.
        let mut found = None;
        for (index, (ticket, _)) in self.tickets.iter().enumerate() {
            if ticket.is(offered) {
                found = Some(index);
            }
        }
        let tab = u32::try_from(self.bearers.len()).map_or(u32::MAX, |before| before.saturating_add(1));
        match found {
            Some(index) if tab <= TABS => {
                self.tickets.remove(index);
                let bearer = Secret::draw(rng);
                self.bearers.push((bearer.clone(), Tab(tab)));
                Ok(bearer)
            }
            Some(_) | None => Err(NotAdmitted),
        }
    }

    /// The tab that both belong to.
    pub(crate) fn tab(&self, cookies: &[&str], bearer: &str) -> Option<Tab> {
        let has_cookie = cookies.iter().fold(false, |has, cookie| has | self.cookie.is(cookie));
        let tab = self.bearers.iter().fold(None, |tab, (own, number)| if own.is(bearer) { Some(*number) } else { tab });
        tab.filter(|_| has_cookie)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    fn access() -> Access {
        Access::new(SocketAddr::from(([127, 0, 0, 1], 4711)), &mut OsRng)
    }

    fn ticket(url: &OpenUrl) -> String {
        url.expose().split_once("#t=").unwrap().1.to_owned()
    }

    fn at(secs: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(secs))
    }

    #[test]
    fn an_address_carries_256_bits_in_its_fragment() {
        let mut access = access();
        let url = access.open_url(at(0), &mut OsRng);
        let text = url.expose();
        let ticket = text.strip_prefix("http://127.0.0.1:4711/#t=").unwrap();
        assert_eq!(ticket.len(), 64);
        assert!(ticket.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(access.open_url(at(0), &mut OsRng).expose(), text);
    }

    #[test]
    fn no_secret_is_seen_in_debug_output() {
        let mut access = access();
        let url = access.open_url(at(0), &mut OsRng);
        let bearer = access.redeem(&ticket(&url), at(0), &mut OsRng).unwrap();
        let waiting = access.open_url(at(0), &mut OsRng);
        let printed = format!("{access:?} {url:?} {bearer:?} {waiting:?}");
        for secret in [&ticket(&url), &ticket(&waiting), bearer.expose(), access.cookie().expose()] {
            assert!(!printed.contains(secret));
        }
    }

    #[test]
    fn a_ticket_opens_the_page_once() {
        let mut access = access();
        let ticket = ticket(&access.open_url(at(0), &mut OsRng));
        assert!(access.redeem(&ticket, at(1), &mut OsRng).is_ok());
        assert_eq!(access.redeem(&ticket, at(1), &mut OsRng), Err(NotAdmitted));
    }

    #[test]
    fn a_ticket_opens_nothing_from_its_sixtieth_second_on() {
        let mut access = access();
        let early = ticket(&access.open_url(at(100), &mut OsRng));
        let late = ticket(&access.open_url(at(100), &mut OsRng));
        assert!(access.redeem(&early, at(159), &mut OsRng).is_ok());
        assert_eq!(access.redeem(&late, at(160), &mut OsRng), Err(NotAdmitted));
    }

    #[test]
    fn a_wrong_ticket_does_not_void_the_right_one() {
        let mut access = access();
        let ticket = ticket(&access.open_url(at(0), &mut OsRng));
        for wrong in ["", "0", &"0".repeat(64), &ticket[1..], &format!("{ticket}0")] {
            assert_eq!(access.redeem(wrong, at(0), &mut OsRng), Err(NotAdmitted));
        }
        assert!(access.redeem(&ticket, at(0), &mut OsRng).is_ok());
    }

    #[test]
    fn the_oldest_ticket_gives_way_when_too_many_wait() {
        let mut access = access();
        let tickets = (0..=TICKETS_AT_ONCE).map(|_| ticket(&access.open_url(at(0), &mut OsRng))).collect::<Vec<_>>();
        assert_eq!(access.redeem(&tickets[0], at(0), &mut OsRng), Err(NotAdmitted));
        for ticket in &tickets[1..] {
            assert!(access.redeem(ticket, at(0), &mut OsRng).is_ok());
        }
    }

    #[test]
    fn a_tab_needs_both_the_cookie_and_its_bearer() {
        let mut access = access();
        let ticket = ticket(&access.open_url(at(0), &mut OsRng));
        let bearer = access.redeem(&ticket, at(0), &mut OsRng).unwrap();
        let cookie = access.cookie().expose().to_owned();
        assert_eq!(access.tab(&[&cookie], bearer.expose()), Some(Tab(1)));
        assert_eq!(access.tab(&["planted by another port", &cookie], bearer.expose()), Some(Tab(1)));
        assert_eq!(access.tab(&[], bearer.expose()), None);
        assert_eq!(access.tab(&["wrong"], bearer.expose()), None);
        assert_eq!(access.tab(&[&cookie], ""), None);
        assert_eq!(access.tab(&[&cookie], &cookie), None);
        assert_eq!(access.tab(&[bearer.expose()], bearer.expose()), None);
    }

    #[test]
    fn only_so_many_tabs_are_let_in() {
        let mut access = access();
        for number in 1..=TABS + 1 {
            let ticket = ticket(&access.open_url(at(0), &mut OsRng));
            assert_eq!(access.redeem(&ticket, at(0), &mut OsRng).is_ok(), number <= TABS);
        }
    }
}
