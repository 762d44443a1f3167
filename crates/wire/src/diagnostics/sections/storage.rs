//! Disks, their health, arrays and volumes.

use crate::schema;

schema! {
    /// Disks, their health, arrays and volumes.
    #[derive(Default)]
    pub struct Storage {
    }
}
