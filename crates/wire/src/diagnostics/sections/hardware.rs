//! Firmware, processors, memory modules, PCI and USB devices.

use crate::schema;

schema! {
    /// Firmware, processors, memory modules, PCI and USB devices.
    #[derive(Default)]
    pub struct Hardware {
    }
}
