//! Batteries, fans, power, throttling.

use crate::schema;

schema! {
    /// Batteries, fans, power, throttling.
    #[derive(Default)]
    pub struct Power {
    }
}
