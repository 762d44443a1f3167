//! Log lines.

use crate::schema;

schema! {
    /// Log lines.
    #[derive(Default)]
    pub struct Logs {
    }
}
