//! Reads [`Power`].

use wire::diagnostics::sections::power::Power;

use crate::{manifest::Manifest, sources::Sources};

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(_sources: &Sources, _manifest: &mut Manifest) -> Option<Power> {
    None
}
