//! The way to the internet, rung by rung.

use crate::schema;

schema! {
    /// The way to the internet, rung by rung.
    #[derive(Default)]
    pub struct Ladder {
    }
}
