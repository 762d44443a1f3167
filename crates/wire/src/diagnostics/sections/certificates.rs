//! Certificates of the machine.

use crate::schema;

schema! {
    /// Certificates of the machine.
    #[derive(Default)]
    pub struct Certificates {
    }
}
