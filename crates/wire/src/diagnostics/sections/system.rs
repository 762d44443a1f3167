//! Operating system, kernel, modules, how it started.

use crate::schema;

schema! {
    /// Operating system, kernel, modules, how it started.
    #[derive(Default)]
    pub struct System {
    }
}
