//! Reads [`Displays`].

use wire::diagnostics::sections::displays::Displays;

use crate::{manifest::Manifest, sources::Sources};

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(_sources: &Sources, _manifest: &mut Manifest) -> Option<Displays> {
    None
}
