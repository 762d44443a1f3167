//! Which page answers, and whether the person is there.
//!
//! A page is *seated* while its stream of views is open. The first tab takes the seat and keeps it; another one is told. A tab
//! that is reloaded gets its seat back. A seat that stays empty means that the person is away.

use std::time::Duration;

use webui::Tab;
use wire::time::Moment;

/// How long the seat may be empty before the person counts as away. Long enough for a page to be reloaded and for a
/// stream to be opened again.
pub(crate) const EMPTY_SEAT: Duration = Duration::from_secs(3);

/// The same after the page said that it is being closed (or reloaded: it cannot know).
pub(crate) const LEFT_SEAT: Duration = Duration::from_secs(2);

/// One stream of views, numbered from 1, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId(u64);

/// Another tab has the seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken;

/// What became of the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    Away,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No page was ever open.
    Unseen,
    Seated {
        tab: Tab,
        stream: StreamId,
        leaving: bool,
    },
    /// Nobody sits here; the person counts as away from `away_at` on.
    Empty {
        away_at: Moment,
    },
    Away,
}

/// The seat. Time is an argument.
#[derive(Debug)]
pub(crate) struct Seat {
    state: State,
    told: Option<Presence>,
    streams: u64,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self { state: State::Unseen, told: None, streams: 0 }
    }

    /// Seats `tab` with a new stream. An older stream of the same tab is no longer the seat's.
    pub(crate) fn sit(&mut self, tab: Tab) -> Result<StreamId, Taken> {
        match self.state {
            State::Seated { tab: seated, .. } if seated != tab => Err(Taken),
            State::Seated { .. } | State::Unseen | State::Empty { .. } | State::Away => {
                self.streams += 1;
                let stream = StreamId(self.streams);
                self.state = State::Seated { tab, stream, leaving: false };
                Ok(stream)
            }
        }
    }

    /// A stream ended.
    pub(crate) fn rise(&mut self, ended: StreamId, now: Moment) {
        match self.state {
            State::Seated { stream, leaving, .. } if stream == ended => {
                let wait = if leaving { LEFT_SEAT } else { EMPTY_SEAT };
                self.state = State::Empty { away_at: now + wait };
            }
            State::Seated { .. } | State::Unseen | State::Empty { .. } | State::Away => {}
        }
    }

    /// The page says that it is being closed. Its stream may have ended before.
    pub(crate) fn leave(&mut self, tab: Tab, now: Moment) {
        match &mut self.state {
            State::Seated { tab: seated, leaving, .. } if *seated == tab => *leaving = true,
            State::Empty { away_at } => *away_at = (*away_at).min(now + LEFT_SEAT),
            State::Seated { .. } | State::Unseen | State::Away => {}
        }
    }

    /// Whether `tab` may answer.
    pub(crate) fn is_seated(&self, tab: Tab) -> bool {
        matches!(self.state, State::Seated { tab: seated, .. } if seated == tab)
    }

    /// Whether `stream` is the seat's.
    pub(crate) fn is_current(&self, stream: StreamId) -> bool {
        matches!(self.state, State::Seated { stream: current, .. } if current == stream)
    }

    /// When to call [`Seat::presence`] again.
    pub(crate) fn poll_timeout(&self) -> Option<Moment> {
        match self.state {
            State::Empty { away_at } => Some(away_at),
            State::Unseen | State::Seated { .. } | State::Away => None,
        }
    }

    /// What became of the person since the last call.
    pub(crate) fn presence(&mut self, now: Moment) -> Option<Presence> {
        if let State::Empty { away_at } = self.state
            && away_at <= now
        {
            self.state = State::Away;
        }
        let presence = match self.state {
            State::Seated { .. } => Presence::Here,
            State::Away => Presence::Away,
            State::Unseen | State::Empty { .. } => return None,
        };
        (self.told.replace(presence) != Some(presence)).then_some(presence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(ms))
    }

    #[test]
    fn nobody_is_away_before_they_came() {
        let mut seat = Seat::new();
        assert_eq!(seat.presence(at(1_000_000)), None);
        assert_eq!(seat.poll_timeout(), None);
    }

    #[test]
    fn the_first_tab_has_the_seat_and_a_second_one_is_told() {
        let mut seat = Seat::new();
        seat.sit(Tab(1)).unwrap();
        assert_eq!(seat.sit(Tab(2)), Err(Taken));
        assert!(seat.is_seated(Tab(1)));
        assert!(!seat.is_seated(Tab(2)));
    }

    #[test]
    fn the_person_is_away_three_seconds_after_the_page_was_lost() {
        let mut seat = Seat::new();
        let stream = seat.sit(Tab(1)).unwrap();
        assert_eq!(seat.presence(at(0)), Some(Presence::Here));
        assert_eq!(seat.presence(at(0)), None, "told once");
        seat.rise(stream, at(1000));
        assert!(!seat.is_seated(Tab(1)), "a page without its stream shows nothing new, so it does not answer");
        assert_eq!(seat.poll_timeout(), Some(at(4000)));
        assert_eq!(seat.presence(at(3999)), None);
        assert_eq!(seat.presence(at(4000)), Some(Presence::Away));
        assert_eq!(seat.poll_timeout(), None);
    }

    #[test]
    fn a_page_that_says_goodbye_is_missed_sooner() {
        for goodbye_first in [true, false] {
            let mut seat = Seat::new();
            let stream = seat.sit(Tab(1)).unwrap();
            seat.presence(at(0));
            if goodbye_first {
                seat.leave(Tab(1), at(0));
                seat.rise(stream, at(0));
            } else {
                seat.rise(stream, at(0));
                seat.leave(Tab(1), at(0));
            }
            assert_eq!(seat.presence(at(1999)), None);
            assert_eq!(seat.presence(at(2000)), Some(Presence::Away));
        }
    }

    #[test]
    fn a_reloaded_page_is_not_away() {
        let mut seat = Seat::new();
        let before = seat.sit(Tab(1)).unwrap();
        seat.presence(at(0));
        seat.leave(Tab(1), at(0));
        seat.rise(before, at(0));
        seat.sit(Tab(1)).unwrap();
        assert_eq!(seat.presence(at(10_000)), None);
        assert!(seat.is_seated(Tab(1)));
    }

    #[test]
    fn the_end_of_an_older_stream_does_not_empty_the_seat() {
        let mut seat = Seat::new();
        let before = seat.sit(Tab(1)).unwrap();
        let after = seat.sit(Tab(1)).unwrap();
        assert!(!seat.is_current(before));
        seat.rise(before, at(0));
        assert!(seat.is_current(after));
        assert_eq!(seat.poll_timeout(), None);
    }

    #[test]
    fn somebody_who_comes_back_is_there_again() {
        let mut seat = Seat::new();
        let stream = seat.sit(Tab(1)).unwrap();
        seat.presence(at(0));
        seat.rise(stream, at(0));
        assert_eq!(seat.presence(at(3000)), Some(Presence::Away));
        seat.sit(Tab(2)).unwrap();
        assert_eq!(seat.presence(at(3001)), Some(Presence::Here));
    }
}
