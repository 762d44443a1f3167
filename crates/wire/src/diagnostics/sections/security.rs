//! Firewall, encryption, secure boot, open ports.

use crate::schema;

schema! {
    /// Firewall, encryption, secure boot, open ports.
    #[derive(Default)]
    pub struct Security {
    }
}
