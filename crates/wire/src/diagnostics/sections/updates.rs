//! Updates that wait.

use crate::schema;

schema! {
    /// Updates that wait.
    #[derive(Default)]
    pub struct Updates {
    }
}
