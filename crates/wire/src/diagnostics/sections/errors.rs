//! Errors in the log, by kind.

use crate::schema;

schema! {
    /// Errors in the log, by kind.
    #[derive(Default)]
    pub struct Errors {
    }
}
