//! Who is logged in.

use crate::schema;

schema! {
    /// Who is logged in.
    #[derive(Default)]
    pub struct Users {
    }
}
