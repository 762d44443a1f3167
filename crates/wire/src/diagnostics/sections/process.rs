//! One process in full, without its arguments.

use crate::schema;

schema! {
    /// One process in full, without its arguments.
    #[derive(Default)]
    pub struct Process {
    }
}
