//! Names for things that live longer than one message.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

numbered!(
    /// One consent request of one session. The technician numbers them from 1 and never reuses one.
    RequestId, "request-"
);
numbered!(
    /// One grant of one session, numbered by the agent from 1, never reused.
    GrantId, "grant-"
);
numbered!(
    /// One run of one session. The technician numbers them from 1 and never reuses one.
    RunId, "run-"
);

/// A session, drawn at random by the agent when a technician attaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 8]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A SHA-256 digest. Computed by `trust::digest`, compared byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The public part of a session code: four to six decimal digits by which the relay finds the agent.
///
/// It gives contact and nothing else. The relay never learns the rest of the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Locator {
    /// The digits as a number.
    value: u32,
    /// How many digits are written, leading zeros included: 4..=6.
    digits: u8,
}

impl Locator {
    /// Fewest digits of a locator.
    pub const MIN_DIGITS: u8 = 4;
    /// Most digits of a locator.
    pub const MAX_DIGITS: u8 = 6;

    /// Makes a locator of `digits` digits, or `None` if `value` does not fit or `digits` is out of range.
    pub fn new(value: u32, digits: u8) -> Option<Self> {
        let fits = (Self::MIN_DIGITS..=Self::MAX_DIGITS).contains(&digits) && value < 10u32.pow(u32::from(digits));
        fits.then_some(Self { value, digits })
    }

    /// Whether this could have been made by [`Locator::new`]; a decoded one may not.
    pub fn is_valid(self) -> bool {
        Self::new(self.value, self.digits).is_some()
    }

    /// How many digits are written.
    pub fn digits(self) -> u8 {
        self.digits
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.value, width = usize::from(self.digits))
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
