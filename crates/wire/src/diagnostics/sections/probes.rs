//! Probes of the network.

use crate::schema;

schema! {
    /// Probes of the network.
    #[derive(Default)]
    pub struct Probes {
    }
}
