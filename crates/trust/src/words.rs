//! Words that people say and type.
//!
//! The list is the English one of BIP-39 (<https://github.com/bitcoin/bips/tree/master/bip-0039>), taken from the Rust crate
//! `bip39` 2.2.2, which is in the public domain (CC0 1.0): 2048 common words of 3 to 8 letters that differ in their first four.

use std::{fmt, sync::LazyLock};

use rand_core::CryptoRngCore;

/// How many words there are: each carries 11 bits.
pub const COUNT: usize = 2048;

static LIST: LazyLock<Vec<&'static str>> = LazyLock::new(|| include_str!("words/english.txt").lines().collect());

/// The word at the low 11 bits of `bits`.
fn word(bits: u32) -> &'static str {
    LIST[bits as usize % COUNT]
}

/// The two short authentication words of a pairing, 22 bits. Both people see the same two, unless somebody is in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    first: &'static str,
    second: &'static str,
}

impl Words {
    /// Takes 22 bits from the front of four uniformly random bytes.
    pub(crate) fn from_random(bytes: [u8; 4]) -> Self {
        let bits = u32::from_be_bytes(bytes);
        Self { first: word(bits >> 21), second: word(bits >> 10) }
    }

    /// Both words in the order in which they are read out.
    pub fn both(self) -> [&'static str; 2] {
        [self.first, self.second]
    }

    /// Whether a person typed these two words, in order. Case does not matter, nor how the words are set apart.
    pub fn matches(self, typed: &str) -> bool {
        let mut given = typed.split(|character: char| !character.is_alphabetic()).filter(|part| !part.is_empty());
        let mut next_is = |word: &str| given.next().is_some_and(|part| part.eq_ignore_ascii_case(word));
        next_is(self.first) && next_is(self.second) && given.next().is_none()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.first, self.second)
    }
}

/// What a person who is asked types to say no. Some of them are on the list.
const NO: [&str; 14] = [
    "n", "no", "cancel", "close", "decline", "deny", "end", "exit", "leave", "never", "quit", "refuse", "reject",
    "stop",
];

/// Whether a typed line says no, whatever word would have said yes.
pub fn says_no(line: &str) -> bool {
    NO.iter().any(|no| line.trim().eq_ignore_ascii_case(no))
}

/// Draws the word that a person has to type to allow something, so that no reflex and no stuck key can. Never one that says no.
pub fn challenge_word(rng: &mut dyn CryptoRngCore) -> &'static str {
    loop {
        let word = word(rng.next_u32());
        if !says_no(word) {
            return word;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_the_published_one() {
        // SHA-256 of `bip-0039/english.txt` as published.
        let published = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda";
        assert_eq!(crate::digest(include_bytes!("words/english.txt")).to_string(), published);
        assert_eq!(LIST.len(), COUNT);
    }

    #[test]
    fn words_are_told_apart_by_their_first_four_letters() {
        let beginnings = LIST.iter().map(|word| word.get(..4).unwrap_or(word)).collect::<BTreeSet<_>>();
        assert_eq!(beginnings.len(), COUNT);
        assert!(LIST.iter().all(|word| word.chars().all(|letter| letter.is_ascii_lowercase())));
    }

    #[test]
    fn every_word_can_come_up_in_both_places() {
        assert_eq!(Words::from_random([0; 4]).to_string(), "abandon abandon");
        assert_eq!(Words::from_random([0xff; 4]).to_string(), "zoo zoo");
        assert_eq!(Words::from_random([0x00, 0x20, 0x04, 0x00]).to_string(), "ability ability");
        assert_eq!(Words::from_random([0x00, 0x00, 0x03, 0xff]).to_string(), "abandon abandon");
    }

    #[test]
    fn words_match_however_a_person_types_them() {
        let words = Words { first: "apple", second: "river" };
        for typed in ["apple river", " Apple  RIVER ", "apple-river", "apple, river\n", "APPLE\u{a0}river."] {
            assert!(words.matches(typed), "{typed:?}");
        }
        for typed in ["", "apple", "river apple", "apple river river", "appleriver", "apple rivers", "äpple river"] {
            assert!(!words.matches(typed), "{typed:?}");
        }
    }

    #[test]
    fn a_challenge_word_is_drawn_from_the_list() {
        let mut rng = crate::testing::TestRng::new("challenge");
        let drawn = (0..64).map(|_| challenge_word(&mut rng)).collect::<BTreeSet<_>>();
        assert!(drawn.len() > 50);
        assert!(drawn.iter().all(|word| LIST.contains(word)));
    }

    #[test]
    fn no_word_that_says_yes_also_says_no() {
        let mut rng = crate::testing::TestRng::new("no");
        assert!((0..16 * COUNT).map(|_| challenge_word(&mut rng)).all(|word| !says_no(word)));
        assert!(LIST.iter().any(|word| says_no(word)), "and the list has some");
        assert!(says_no(" Deny ") && says_no("N") && !says_no("not") && !says_no(""));
    }
}
