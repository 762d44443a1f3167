//! The search for the largest packet that passes. Pure.

use std::ops::Range;

use wire::reflect::REFLECT_MOST;

/// UDP payload that is known to pass: QUIC's handshake is padded to it in both directions (RFC 9000 section 14.1).
const KNOWN_TO_PASS: usize = 1200;

/// Sizes that are tried at once.
const AT_ONCE: usize = 8;

/// What is known of the largest size that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Search {
    /// The largest that has passed.
    passed: usize,
    /// The smallest that does not pass, as far as one can know of something that did not come.
    fails: usize,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { passed: KNOWN_TO_PASS, fails: REFLECT_MOST + 1 }
    }

    /// What to try next, spread evenly over what is open, its largest included; nothing once the answer is known.
    pub(super) fn next(&self) -> Vec<usize> {
        let open: Range<usize> = self.passed + 1..self.fails;
        let count = open.len().min(AT_ONCE);
        (1..=count).map(|part| self.passed + open.len() * part / count).collect()
    }

    /// Takes in which of the sizes that were tried have passed.
    pub(super) fn learn(&mut self, tried: &[usize], passed: impl Fn(usize) -> bool) {
        self.passed = tried.iter().copied().filter(|size| passed(*size)).fold(self.passed, usize::max);
        // A smaller one that did not come back was lost for another reason.
        self.fails = tried.iter().copied().filter(|size| *size > self.passed).fold(self.fails, usize::min);
    }

    /// The largest that has passed, in bytes.
    pub(super) fn largest(self) -> u16 {
        u16::try_from(self.passed).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rounds it takes to find out, and what is found.
    fn search(lets_pass: impl Fn(usize) -> bool) -> (usize, u16) {
        let mut search = Search::new();
        let mut rounds = 0;
        loop {
            let sizes = search.next();
            if sizes.is_empty() {
                return (rounds, search.largest());
            }
            assert!(sizes.len() <= AT_ONCE && sizes.is_sorted() && sizes.last() <= Some(&REFLECT_MOST), "{sizes:?}");
            search.learn(&sizes, &lets_pass);
            rounds += 1;
        }
    }

    #[test]
    fn every_largest_size_is_found_in_three_rounds() {
        for largest in KNOWN_TO_PASS..=REFLECT_MOST {
            let (rounds, found) = search(|size| size <= largest);
            assert_eq!(usize::from(found), largest);
            assert!(rounds <= 3, "{rounds} for {largest}");
        }
        assert_eq!(search(|_| true), (1, 1472), "an Ethernet is known at once");
    }

    #[test]
    fn a_probe_that_is_lost_by_chance_changes_nothing_below_one_that_passes() {
        assert_eq!(search(|size| size % 2 == 0).1, 1472);
    }
}
