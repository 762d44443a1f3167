//! Programs that crashed.

use crate::schema;

schema! {
    /// Programs that crashed.
    #[derive(Default)]
    pub struct Crashes {
    }
}
