//! What changed lately.

use crate::schema;

schema! {
    /// What changed lately.
    #[derive(Default)]
    pub struct Changes {
    }
}
