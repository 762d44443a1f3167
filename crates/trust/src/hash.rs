//! SHA-256, and the digest that binds an approval to a run.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use wire::{
    codec::{self, CodecError},
    diagnostics::inspect::ExactInspection,
    ids::Digest,
    run::ExactRun,
};

/// Keeps the digest of a run apart from every other digest.
const RUN_LABEL: &[u8] = b"assent-run-v1\0";
const INSPECTION_LABEL: &[u8] = b"assent-inspection-v1\0";

/// Returns the SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> Digest {
    Hasher::new().with(bytes).finish()
}

/// SHA-256, fed piece by piece. Nothing marks where one piece ends: use [`Hasher::field`] where that matters.
#[derive(Clone)]
pub struct Hasher(Context);

impl Hasher {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds bytes.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.update(bytes);
        self
    }

    /// Adds the length as a big-endian `u64` and then the bytes, so that no two lists of fields hash alike.
    #[must_use]
    pub fn field(self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).expect("no slice is longer than 2^64");
        self.with(&length.to_be_bytes()).with(bytes)
    }

    /// Returns the digest of everything added.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.finish().as_ref());
        Digest(bytes)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(..)")
    }
}

/// Returns the digest that a person's approval carries: SHA-256 of `assent-run-v1`, a zero byte and the run as it is encoded on
/// the wire.
///
/// # Errors
///
/// [`CodecError::TooLarge`] if the run exceeds what [`wire::codec`] encodes; such a run cannot be approved.
pub fn run_digest(run: &ExactRun) -> Result<Digest, CodecError> {
    Ok(Hasher::new().with(RUN_LABEL).with(&codec::encode(run)?).finish())
}

/// The same for an inspection that a person is asked about: SHA-256 of `assent-inspection-v1`, a zero byte and the inspection as it is
/// encoded on the wire.
///
/// # Errors
///
/// [`CodecError::TooLarge`] if it exceeds what [`wire::codec`] encodes.
pub fn inspection_digest(inspection: &ExactInspection) -> Result<Digest, CodecError> {
    Ok(Hasher::new().with(INSPECTION_LABEL).with(&codec::encode(inspection)?).finish())
}

#[cfg(test)]
mod tests {
    use wire::{
        diagnostics::inspect::{About, Inspect},
        ids::{InspectionId, RunId},
        run::{FileIdentity, RunLimits, Variable},
        text::Label,
    };

    use super::*;

    fn run() -> ExactRun {
        ExactRun {
            run: RunId(7),
            program: b"/usr/bin/ip".to_vec(),
            target: None,
            interpreter: None,
            file: FileIdentity { device: 1, inode: 2, size_bytes: 3, modified_ns: 4, changed_ns: 5 },
            arguments: vec![b"link".to_vec(), b"show".to_vec()],
            directory: b"/home/ana".to_vec(),
            user_id: 1000,
            user_name: b"ana".to_vec(),
            environment: vec![Variable { name: b"LANG".to_vec(), value: b"C".to_vec() }],
            limits: RunLimits::DEFAULT,
        }
    }

    fn inspection() -> ExactInspection {
        ExactInspection {
            inspection: InspectionId(7),
            what: Inspect::Arguments { pid: 300, start_ticks: 7 },
            about: About::Process { name: Label::cut("sh") },
        }
    }

    #[test]
    fn every_part_of_an_inspection_changes_its_digest_which_is_of_no_run() {
        let approved = inspection_digest(&inspection()).unwrap();
        assert_eq!(approved.to_string(), "0ad779dcd4db4eb5acc7543e21ae99372fe314026973de1dd1cf0e425ae2bac2");
        let changes: [fn(&mut ExactInspection); 5] = [
            |exact| exact.inspection = InspectionId(8),
            |exact| exact.what = Inspect::Arguments { pid: 301, start_ticks: 7 },
            |exact| exact.what = Inspect::Arguments { pid: 300, start_ticks: 8 },
            |exact| exact.what = Inspect::Process { pid: 300, start_ticks: Some(7) },
            |exact| exact.about = About::Process { name: Label::cut("zsh") },
        ];
        for change in changes {
            let mut changed = inspection();
            change(&mut changed);
            assert_ne!(inspection_digest(&changed).unwrap(), approved, "{changed:?}");
        }
        let encoded = codec::encode(&inspection()).unwrap();
        assert_ne!(Hasher::new().with(RUN_LABEL).with(&encoded).finish(), approved);
    }

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-4, example "abc".
        assert_eq!(digest(b"abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest(b"ab").to_string(), Hasher::new().with(b"a").with(b"b").finish().to_string());
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let one = Hasher::new().field(b"ab").field(b"c").finish();
        let other = Hasher::new().field(b"a").field(b"bc").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn the_digest_of_a_run_never_changes() {
        assert_eq!(
            run_digest(&run()).unwrap().to_string(),
            "552100b8f11d864a4befd802784517e0d2b828aa37e83e49a0a29defbbcbd11f"
        );
    }

    #[test]
    fn every_part_of_a_run_changes_its_digest() {
        let approved = run_digest(&run()).unwrap();
        let changes: [fn(&mut ExactRun); 16] = [
            |run| run.run = RunId(8),
            |run| run.program.push(b'6'),
            |run| run.file.device += 1,
            |run| run.file.inode += 1,
            |run| run.file.size_bytes += 1,
            |run| run.file.modified_ns += 1,
            |run| run.file.changed_ns += 1,
            |run| run.target = Some(b"/usr/bin/ip".to_vec()),
            |run| run.interpreter = Some(b"/bin/sh".to_vec()),
            |run| run.arguments.swap(0, 1),
            |run| run.arguments = vec![b"linkshow".to_vec()],
            |run| run.directory.push(b'/'),
            |run| run.user_id = 0,
            |run| run.user_name = b"root".to_vec(),
            |run| run.environment.clear(),
            |run| run.limits.time_secs += 1,
        ];
        for change in changes {
            let mut changed = run();
            change(&mut changed);
            assert_ne!(run_digest(&changed).unwrap(), approved, "{changed:?}");
        }
    }
}
