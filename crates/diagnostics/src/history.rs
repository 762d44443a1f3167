//! What was measured before: the last minutes in memory, a day and a month on disk.
//!
//! [`figures_of`] makes figures of a sample. A [`Ring`] keeps them for a quarter of an hour, for the checks and for the start of a
//! session. A [`Store`] keeps every sample for a day, and the minutes of twenty figures for thirty days, in a private folder of at
//! most 32 MiB. A [`Query`] asks both.
//!
//! The encoding and all decisions are pure; `folder.rs` alone touches files.

mod block;
mod figures;
mod file;
#[cfg(target_os = "linux")]
mod folder;
mod query;
mod ring;
mod sealer;
#[cfg(target_os = "linux")]
mod store;
mod subject;

pub use figures::{Figure, Kind, SeriesKey, figures_of};
pub use file::{Damage, check_any};
#[cfg(target_os = "linux")]
pub use folder::StoreError;
pub use query::{Answer, Fold, MAX_ANSWER_VALUES, Pattern, Query};
pub use ring::{History, MAX_RING_SERIES, Pushed, RING_TIME, Ring, Summary};
#[cfg(target_os = "linux")]
pub use store::{MAX_BYTES, Reader, Store, StoreState, StoreStatus};
pub(crate) use subject::is_kernel_interface;
pub use subject::{Place, Places, Subject};
