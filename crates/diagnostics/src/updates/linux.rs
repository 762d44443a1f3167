//! Reads [`Updates`].

use wire::diagnostics::sections::updates::Updates;

use crate::{manifest::Manifest, sources::Sources};

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(_sources: &Sources, _manifest: &mut Manifest) -> Option<Updates> {
    None
}
