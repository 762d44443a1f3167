//! Names for things that live longer than one message.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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
numbered!(
    /// One inspection of one session. The technician numbers them from 1 and never reuses one.
    InspectionId, "inspection-"
);

macro_rules! hex_shown {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        ///
        /// Shown, and written in JSON and TOML, as lower-case hexadecimal; on the wire as its bytes.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in self.0 {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if !deserializer.is_human_readable() {
                    return <[u8; $bytes]>::deserialize(deserializer).map(Self);
                }
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            /// Reads exactly what `Display` writes; upper case is refused, so that one value has one spelling.
            fn from_str(text: &str) -> Result<Self, NotHex> {
                let mut bytes = [0; $bytes];
                if text.len() != 2 * bytes.len() {
                    return Err(NotHex);
                }
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let digits = pair.iter().try_fold(0, |value, digit| match digit {
                        b'0'..=b'9' => Ok(value << 4 | (digit - b'0')),
                        b'a'..=b'f' => Ok(value << 4 | (digit - b'a' + 10)),
                        0..=u8::MAX => Err(NotHex),
                    });
                    *byte = digits?;
                }
                Ok(Self(bytes))
            }
        }
    };
}

/// Text that should have been a digest or a session's name in lower-case hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not lower-case hexadecimal of the expected length")]
pub struct NotHex;

hex_shown!(
    /// An agent as its relay knows it: the first half of the SHA-256 of the key that it shows on the control connection. An agent has
    /// such a key for its relay alone; a session's keys are others.
    AgentId, 16
);
hex_shown!(
    /// A session, drawn at random by the agent when a technician attaches.
    SessionId, 8
);
hex_shown!(
    /// A SHA-256 digest. Computed by `trust::digest`, compared byte by byte.
    Digest, 32
);

/// The public part of a session code: four to six decimal digits by which the relay finds the agent.
///
/// It gives contact and nothing else. The relay never learns the rest of the code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

    /// Whether this could have been made by [`Locator::new`]. Decoding refuses every other one.
    pub fn is_valid(self) -> bool {
        Self::new(self.value, self.digits).is_some()
    }

    /// How many digits are written.
    pub fn digits(self) -> u8 {
        self.digits
    }
}

impl<'de> Deserialize<'de> for Locator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Locator")]
        struct Unchecked {
            value: u32,
            digits: u8,
        }
        let Unchecked { value, digits } = Unchecked::deserialize(deserializer)?;
        Self::new(value, digits).ok_or_else(|| D::Error::custom("a locator of that many digits is out of range"))
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
