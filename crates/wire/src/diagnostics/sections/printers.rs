//! Printers and their queues.

use crate::schema;

schema! {
    /// Printers and their queues.
    #[derive(Default)]
    pub struct Printers {
    }
}
