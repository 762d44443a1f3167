//! Certificates of the machine.

use crate::{schema, text::Label, time::WallTime};

/// Most certificates that are listed: those that end first.
pub const MAX_CERTIFICATES: usize = 64;

schema! {
    /// Certificates of the machine. Private keys are never opened.
    #[derive(Default)]
    pub struct Certificates {
        /// Authorities that the machine trusts; absent if it has no such list where they usually are.
        technical trusted: Option<u32>,
        /// Authorities that were added on this machine to those of the distribution; a sign of interception, or of a company.
        technical trusted_added: Option<u32>,
        /// Certificates of the machine's own services, those that end first in front; at most [`MAX_CERTIFICATES`].
        nested local: Vec<LocalCertificate>,
    }

    /// A certificate of a service of the machine.
    pub struct LocalCertificate {
        /// The file it is in.
        path file: Label,
        /// Common name of whom it is for; blank if it has none.
        network subject: Label,
        /// Organisation that issued it, or the issuer's common name; blank if it has neither.
        network issuer: Label,
        /// From when on it is valid.
        technical not_before: WallTime,
        /// Until when it is valid.
        technical not_after: WallTime,
        /// Whether it names itself as its issuer.
        technical self_signed: bool,
    }
}
