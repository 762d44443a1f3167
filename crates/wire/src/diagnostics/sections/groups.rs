//! Control groups: slices, services, containers.

use crate::schema;

schema! {
    /// Control groups: slices, services, containers.
    #[derive(Default)]
    pub struct Groups {
    }
}
