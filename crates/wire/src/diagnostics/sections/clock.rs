//! The clock and what it is synchronised with.

use crate::schema;

schema! {
    /// The clock and what it is synchronised with.
    #[derive(Default)]
    pub struct Clock {
    }
}
