//! The session code: what the end user reads out and the technician types.
//!
//! ```text
//! 4821 936 0423
//! ^^^^           locator: the relay knows it and finds the agent by it
//!      ^^^ ^^^   secret: six random digits that only the two people know
//!             ^  check digit over both: catches a typo before it costs a try
//! ```
//!
//! A code gives contact and never authority: after it comes the consent screen, always.

use std::{fmt, str::FromStr};

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq;
use wire::ids::Locator;
use zeroize::Zeroizing;

/// How many digits of a code are secret: 19.9 bits, of which an attacker gets [`CODE_TRIES`](wire::limits::CODE_TRIES) guesses.
pub const SECRET_DIGITS: usize = 6;

/// Longest text that is looked at for a code: its digits and generous separators.
const TYPED_CHARACTERS: usize = 64;

/// A session code. Wiped from memory when it is dropped; its `Debug` shows the locator alone.
#[derive(Clone)]
pub struct SessionCode {
    locator: Locator,
    /// ASCII digits.
    secret: Zeroizing<[u8; SECRET_DIGITS]>,
}

/// Why a typed text is no session code. Nothing was sent and no try was used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Too few or too many digits.
    #[error("a session code has 11 to 13 digits, and this has {digits}; ask for the code again")]
    Length {
        /// How many there are, counted up to 64.
        digits: usize,
    },
    /// Something that is neither a digit nor a separator.
    #[error("a session code has digits only, and this has {character:?}")]
    Digit {
        /// The first such character.
        character: char,
    },
    /// The check digit does not fit: one digit is wrong or two were swapped.
    #[error("a digit of the session code is mistyped; compare it with what was read out")]
    CheckDigit,
}

impl SessionCode {
    /// Draws the secret part of a code for `locator`.
    ///
    /// Twenty random bits are drawn until they make a number below a million, so that every secret is equally likely.
    pub fn draw(locator: Locator, rng: &mut dyn CryptoRngCore) -> Self {
        let mut number = loop {
            let bits = rng.next_u32() & 0xf_ffff;
            if bits < 1_000_000 {
                break bits;
            }
        };
        let mut secret = Zeroizing::new([0; SECRET_DIGITS]);
        for place in secret.iter_mut().rev() {
            *place = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
        }
        Self { locator, secret }
    }

    /// The part that the relay may know.
    pub fn locator(&self) -> Locator {
        self.locator
    }

    /// The part that the relay must not know, as ASCII digits.
    pub(crate) fn secret(&self) -> &Zeroizing<[u8; SECRET_DIGITS]> {
        &self.secret
    }

    /// All digits, the check digit last.
    fn digits(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it at once: a vector that grows leaves a copy behind that nobody wipes.
        let mut digits = Zeroizing::new(Vec::with_capacity(usize::from(Locator::MAX_DIGITS) + SECRET_DIGITS + 1));
        digits.extend_from_slice(self.locator.to_string().as_bytes());
        digits.extend_from_slice(self.secret.as_slice());
        let check = damm(&digits);
        digits.push(b'0' + check);
        digits
    }
}

impl fmt::Display for SessionCode {
    /// In three groups for reading out: `4821 936 0423`, `48215 9360 429` or `482159 3604 277`, by the locator's length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        let locator = usize::from(self.locator.digits());
        let middle = if locator == 4 { 3 } else { 4 };
        for (place, digit) in digits.iter().enumerate() {
            if place == locator || place == locator + middle {
                f.write_str(" ")?;
            }
            write!(f, "{}", char::from(*digit))?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionCode({} ..)", self.locator)
    }
}

impl PartialEq for SessionCode {
    /// In constant time as to the secret.
    fn eq(&self, other: &Self) -> bool {
        let secret_is_same = self.secret.as_slice().ct_eq(other.secret.as_slice());
        self.locator == other.locator && bool::from(secret_is_same)
    }
}

impl Eq for SessionCode {}

impl FromStr for SessionCode {
    type Err = CodeError;

    /// Reads a code as people type it: white space, hyphens, dashes and dots between digits do not matter.
    fn from_str(typed: &str) -> Result<Self, CodeError> {
        let mut digits = Zeroizing::new(Vec::with_capacity(TYPED_CHARACTERS));
        for character in typed.chars().take(TYPED_CHARACTERS) {
            match character {
                '0'..='9' => digits.push(u8::try_from(character).map_err(|_| CodeError::Digit { character })?),
                '-' | '.' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
                _ if character.is_whitespace() => {}
                _ => return Err(CodeError::Digit { character }),
            }
        }
        let length = CodeError::Length { digits: digits.len() };
        let locator_digits = digits.len().checked_sub(SECRET_DIGITS + 1).ok_or(length)?;
        let fits = (usize::from(Locator::MIN_DIGITS)..=usize::from(Locator::MAX_DIGITS)).contains(&locator_digits);
        if !fits || typed.chars().nth(TYPED_CHARACTERS).is_some() {
            return Err(length);
        }
        if damm(&digits) != 0 {
            return Err(CodeError::CheckDigit);
        }
        let value = digits.iter().take(locator_digits).fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
        let written = u8::try_from(locator_digits).map_err(|_| length)?;
        let locator = Locator::new(value, written).ok_or(length)?;
        let mut secret = Zeroizing::new([0; SECRET_DIGITS]);
        secret.copy_from_slice(&digits[locator_digits..locator_digits + SECRET_DIGITS]);
        Ok(Self { locator, secret })
    }
}

/// The check digit of `digits`, 0 if the last of them is already the right one.
///
/// H. Michael Damm's totally anti-symmetric quasigroup of order 10 (dissertation, Marburg 2004): it finds every single wrong digit
/// and every swap of neighbours.
fn damm(digits: &[u8]) -> u8 {
    const TABLE: [[u8; 10]; 10] = [
        [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
        [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
        [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
        [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
        [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
        [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
        [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
        [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
        [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
        [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
    ];
    digits.iter().fold(0, |interim, digit| TABLE[usize::from(interim)][usize::from((digit - b'0') % 10)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::TestRng;

    fn locator(text: &str) -> Locator {
        Locator::new(text.parse().unwrap(), text.len().try_into().unwrap()).unwrap()
    }

    fn any_code() -> impl Strategy<Value = SessionCode> {
        (4u8..=6, any::<u32>(), any::<u64>()).prop_map(|(digits, value, seed)| {
            let locator = Locator::new(value % 10u32.pow(digits.into()), digits).unwrap();
            SessionCode::draw(locator, &mut TestRng::new(&seed.to_string()))
        })
    }

    fn digits_of(code: &SessionCode) -> Vec<u8> {
        code.digits().to_vec()
    }

    fn parse(digits: &[u8]) -> Result<SessionCode, CodeError> {
        digits.iter().map(|digit| char::from(*digit)).collect::<String>().parse()
    }

    #[test]
    fn the_check_digit_is_the_one_of_the_published_example() {
        // The example of Damm's dissertation: 572 has the check digit 4.
        assert_eq!(damm(b"572"), 4);
        assert_eq!(damm(b"5724"), 0);
    }

    #[test]
    fn codes_are_grouped_for_reading_out() {
        let mut rng = TestRng::new("grouping");
        let shown = ["4821", "04821", "004821"].map(|text| SessionCode::draw(locator(text), &mut rng).to_string());
        assert_eq!(shown, ["4821 408 0387", "04821 3069 226", "004821 4491 489"]);
    }

    #[test]
    fn a_code_is_read_however_a_person_types_it() {
        let code = SessionCode::draw(locator("4821"), &mut TestRng::new("typing"));
        let shown = code.to_string();
        let plain = shown.replace(' ', "");
        let spread = plain.chars().map(|digit| format!("{digit}\u{a0}")).collect::<String>();
        for typed in [&shown, &plain, &shown.replace(' ', "-"), &shown.replace(' ', " \u{2013} "), &spread] {
            assert_eq!(typed.parse::<SessionCode>().as_ref(), Ok(&code), "{typed}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused_with_the_reason() {
        assert_eq!("".parse::<SessionCode>(), Err(CodeError::Length { digits: 0 }));
        assert_eq!("4821 936 042".parse::<SessionCode>(), Err(CodeError::Length { digits: 10 }));
        assert_eq!("4821 936 0427 936".parse::<SessionCode>(), Err(CodeError::Length { digits: 14 }));
        assert_eq!("4821 93O 0427".parse::<SessionCode>(), Err(CodeError::Digit { character: 'O' }));
        assert_eq!("٤821 936 0427".parse::<SessionCode>(), Err(CodeError::Digit { character: '٤' }));
        assert_eq!("0".repeat(1 << 20).parse::<SessionCode>(), Err(CodeError::Length { digits: 64 }));
        let padded = format!("{}{}", "0".repeat(11), " ".repeat(100));
        assert_eq!(padded.parse::<SessionCode>(), Err(CodeError::Length { digits: 11 }));
    }

    #[test]
    fn a_code_shows_its_secret_only_when_asked() {
        let code = SessionCode::draw(locator("4821"), &mut TestRng::new("masking"));
        assert_eq!(format!("{code:?}"), "SessionCode(4821 ..)");
    }

    #[test]
    fn every_secret_is_as_likely_as_another() {
        // Ten thousand draws: each leading digit comes up about a thousand times; 200 off is more than six deviations.
        let mut rng = TestRng::new("uniform");
        let mut counts = [0i32; 10];
        for _ in 0..10_000 {
            let code = SessionCode::draw(locator("0000"), &mut rng);
            counts[usize::from(code.secret[0] - b'0')] += 1;
        }
        assert!(counts.iter().all(|count| (count - 1000).abs() < 200), "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_shown_code_is_read_back(code in any_code()) {
            prop_assert_eq!(code.to_string().parse::<SessionCode>(), Ok(code));
        }

        #[test]
        fn one_wrong_digit_is_always_caught(code in any_code(), place in any::<prop::sample::Index>(), step in 1u8..10) {
            let mut digits = digits_of(&code);
            let place = place.index(digits.len());
            digits[place] = b'0' + (digits[place] - b'0' + step) % 10;
            prop_assert_eq!(parse(&digits), Err(CodeError::CheckDigit));
        }

        #[test]
        fn two_swapped_neighbours_are_always_caught(code in any_code(), place in any::<prop::sample::Index>()) {
            let mut digits = digits_of(&code);
            let place = place.index(digits.len() - 1);
            prop_assume!(digits[place] != digits[place + 1]);
            digits.swap(place, place + 1);
            prop_assert_eq!(parse(&digits), Err(CodeError::CheckDigit));
        }

        #[test]
        fn no_text_makes_the_reader_panic(typed in any::<String>()) {
            let _ = typed.parse::<SessionCode>();
        }

        #[test]
        fn nearly_codes_do_not_make_the_reader_panic(typed in "[0-9 .-]{0,70}") {
            if let Ok(code) = typed.parse::<SessionCode>() {
                prop_assert_eq!(code.to_string().parse::<SessionCode>(), Ok(code));
            }
        }
    }
}
