//! Screens, graphics, sound, cameras, Bluetooth.

use crate::schema;

schema! {
    /// Screens, graphics, sound, cameras, Bluetooth.
    #[derive(Default)]
    pub struct Displays {
    }
}
