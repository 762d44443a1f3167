//! What unit tests of sections are made from.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use wire::{
    diagnostics::report::{Coverage, Source},
    text::{Label, Sentence},
};

use crate::{
    bus::Bus,
    manifest::Manifest,
    roots::Roots,
    sources::{CertificateFacts, ReadCertificates, RunTools, Sources},
    tools::Tool,
};

/// A folder with files of the test's making.
#[derive(Debug)]
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a test has a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, file: &str) -> PathBuf {
        self.path().join(file)
    }

    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.at(file);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("the folder can be made");
        fs::write(path, content).expect("the file can be written");
    }

    /// Everything from this tree, no bus, and `tools`.
    pub(crate) fn sources(&self, tools: impl RunTools + 'static) -> Sources {
        Sources {
            roots: Roots::under(self.path()),
            bus: Bus::at(&self.at("no-bus")),
            tools: Arc::new(tools),
            certificates: Arc::new(ByTrust),
            ..Sources::default()
        }
    }
}

/// Certificates as the agent reads them.
#[derive(Debug)]
pub(crate) struct ByTrust;

impl ReadCertificates for ByTrust {
    fn describe(&self, der: &[u8]) -> Option<CertificateFacts> {
        let trust::described::Described { subject, issuer, not_before_secs, not_after_secs, self_signed, authority } =
            trust::described::describe(der)?;
        Some(CertificateFacts { subject, issuer, not_before_secs, not_after_secs, self_signed, authority })
    }
}

/// Programs that print what the test says.
#[derive(Debug, Default)]
pub(crate) struct Printing(pub(crate) Vec<(Tool, Vec<u8>)>);

impl RunTools for Printing {
    fn start(&self, tool: &Tool, _: Duration) -> io::Result<Box<dyn Read + Send>> {
        let printed = self.0.iter().find(|(known, _)| known == tool).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(printed.1.clone())))
    }
}

/// Every source of `manifest`, how far it was read, and why not further.
pub(crate) fn told(manifest: Manifest) -> Vec<(String, Coverage, String)> {
    let row = |source: Source| {
        let (name, reason): (Label, Sentence) = (source.name, source.reason);
        (name.raw().to_owned(), source.coverage, reason.raw().to_owned())
    };
    manifest.into_sources().into_iter().map(row).collect()
}
