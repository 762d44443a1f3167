//! Looking for a direct path: when to tell the agent this machine's addresses, and what people are told of it.

use std::{net::SocketAddr, time::Duration};

use session::technician::TechnicianSession;
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};
use transport::{
    node::{MappedPort, Node},
    sealed::{DirectState, PathStats, Sealed},
};
use wire::path::DirectOffer;

/// How long the agent may take to answer with its addresses before it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What one session does about direct paths.
#[derive(Debug)]
pub(super) struct Direct {
    wanted: bool,
    /// The agent knows that they are not wanted here.
    told_not_wanted: bool,
    /// The end user does not want them.
    refused: bool,
    open: bool,
    asked_at: Option<Instant>,
    /// This machine's network has changed.
    moved: bool,
    /// What the router of this network forwards.
    mapping: Option<MappedPort>,
    /// The router's answer has come.
    mapping_changed: bool,
    gathering: JoinSet<Vec<SocketAddr>>,
    shown: Option<&'static str>,
}

impl Direct {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            told_not_wanted: false,
            refused: false,
            open: false,
            asked_at: None,
            moved: false,
            mapping: None,
            mapping_changed: false,
            gathering: JoinSet::new(),
            shown: None,
        }
    }

    /// Does what is due; `covered` says whether anything is granted now. True if the path may have changed.
    pub(super) fn tend(
        &mut self,
        covered: bool,
        offer: Option<DirectOffer>,
        node: &Node,
        sealed: &Sealed,
        core: &mut TechnicianSession,
    ) -> bool {
        if !covered {
            return self.close(sealed);
        }
        if !self.wanted {
            self.told_not_wanted = self.told_not_wanted || core.offer_direct(DirectOffer::NotWanted).is_ok();
            return false;
        }
        match offer {
            Some(DirectOffer::Candidates(addresses)) if self.open => {
                self.asked_at = None;
                sealed.punch(&addresses);
            }
            Some(DirectOffer::NotWanted) => self.refused = true,
            Some(_) | None => {}
        }
        if self.refused {
            return self.close(sealed);
        }
        if !std::mem::replace(&mut self.open, true) {
            sealed.open_direct();
            self.mapping = Some(node.map_port());
        }
        let now = Instant::now();
        let waiting = self.asked_at.is_some_and(|at| now - at < ANSWER_WITHIN) || !self.gathering.is_empty();
        let moved = std::mem::take(&mut self.moved) || std::mem::take(&mut self.mapping_changed);
        if (sealed.wants_direct_round() && !waiting) || moved {
            self.asked_at = Some(now);
            self.gathering.abort_all();
            let node = node.clone();
            self.gathering.spawn(async move { node.candidates().await });
        }
        false
    }

    /// This machine's network has changed: the agent is to be told the addresses of the new one.
    pub(super) fn network_changed(&mut self) {
        self.moved = true;
    }

    /// This machine's addresses, once they are known. `None`: there is a new one to find out.
    ///
    /// Cancel-safe: what was found out is kept.
    pub(super) async fn gathered(&mut self) -> Option<Result<Vec<SocketAddr>, JoinError>> {
        let mapping = self.mapping.as_ref();
        let changed = async {
            match mapping {
                Some(mapping) => mapping.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(gathered) = self.gathering.join_next() => Some(gathered),
            () = changed => {
                self.mapping_changed = true;
                None
            }
        }
    }

    /// Tells the agent this machine's addresses.
    pub(super) fn tell(&mut self, addresses: Vec<SocketAddr>, core: &mut TechnicianSession) {
        if self.open && core.offer_direct(DirectOffer::Candidates(addresses)).is_err() {
            tracing::debug!("the session is over");
        }
    }

    fn close(&mut self, sealed: &Sealed) -> bool {
        self.asked_at = None;
        self.gathering.abort_all();
        self.mapping = None;
        let was_open = std::mem::take(&mut self.open);
        if was_open {
            sealed.close_direct();
        }
        was_open
    }

    /// What is worth a line when the way of packets has changed.
    pub(super) fn news(&mut self, stats: &PathStats) -> Option<String> {
        let before = self.shown.replace(stats.way())?;
        (before != stats.way()).then(|| format!("the session is {} now: {}", stats.way(), self.why(stats)))
    }

    /// Why the session goes by the path that it goes by.
    pub(super) fn why(&self, stats: &PathStats) -> String {
        match stats.direct {
            DirectState::Used { sooner_us } => sooner(sooner_us),
            _ if !self.wanted => "you turned direct connections off".to_owned(),
            _ if self.refused => "the end user turned direct connections off".to_owned(),
            DirectState::Closed => "nothing is allowed at the moment".to_owned(),
            DirectState::Trying => "direct addresses are being tried".to_owned(),
            DirectState::NoAnswer => "no direct address answered".to_owned(),
            DirectState::FellBack => "the direct connection stopped answering".to_owned(),
            _ => "no direct connection was found".to_owned(),
        }
    }
}

/// How the direct path compares with the relay. Less than a millisecond is no difference.
fn sooner(us: i64) -> String {
    let ms = us / 1000;
    match ms {
        1.. => format!("answered {ms} ms sooner than the relay"),
        0 => "answered as soon as the relay".to_owned(),
        _ => format!("answered {} ms later than the relay, which sees less of it this way", ms.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use transport::sealed::Carrier;

    use super::*;

    fn stats(direct: DirectState) -> PathStats {
        let used = matches!(direct, DirectState::Used { .. });
        let carrier = if used { Carrier::Direct } else { Carrier::Relayed };
        PathStats {
            rtt: Duration::ZERO,
            sent: 0,
            lost: 0,
            sent_bytes: 0,
            received_bytes: 0,
            carrier,
            relay_over_tcp: false,
            direct,
            silence: Default::default(),
        }
    }

    #[test]
    fn a_person_is_told_why_the_path_is_what_it_is() {
        let why = |wanted, refused, direct| Direct { refused, ..Direct::new(wanted) }.why(&stats(direct));
        let used = |sooner_us| why(true, false, DirectState::Used { sooner_us });
        assert_eq!(used(12_900), "answered 12 ms sooner than the relay");
        assert_eq!(used(-300), "answered as soon as the relay");
        assert!(used(-20_000).starts_with("answered 20 ms later"));
        assert_eq!(why(true, false, DirectState::NoAnswer), "no direct address answered");
        assert_eq!(why(true, true, DirectState::Closed), "the end user turned direct connections off");
        assert_eq!(why(false, false, DirectState::Closed), "you turned direct connections off");
        assert_eq!(why(true, false, DirectState::Closed), "nothing is allowed at the moment");
    }

    #[test]
    fn a_change_of_the_way_is_news_once() {
        let mut direct = Direct::new(true);
        assert_eq!(direct.news(&stats(DirectState::Trying)), None);
        let used = stats(DirectState::Used { sooner_us: 5000 });
        assert_eq!(direct.news(&used).unwrap(), "the session is direct now: answered 5 ms sooner than the relay");
        assert_eq!(direct.news(&used), None);
        assert!(direct.news(&stats(DirectState::FellBack)).unwrap().contains("stopped answering"));
    }
}
