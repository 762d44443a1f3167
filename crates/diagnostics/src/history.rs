//! What was measured before: the last minutes in memory, a day and a month on disk.
//!
//! [`figures_of`] makes figures of a sample. A [`Ring`] keeps them for a quarter of an hour, for the checks and for the start of a
//! session.

mod figures;
mod ring;
mod subject;

pub use figures::{Figure, Kind, SeriesKey, figures_of};
pub use ring::{History, MAX_RING_SERIES, Pushed, RING_TIME, Ring, Summary};
pub use subject::{Place, Places, Subject};
