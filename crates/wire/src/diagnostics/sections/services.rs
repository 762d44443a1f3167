//! Services, timers, what starts with the system.

use crate::schema;

schema! {
    /// Services, timers, what starts with the system.
    #[derive(Default)]
    pub struct Services {
    }
}
