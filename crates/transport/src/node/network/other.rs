//! Where the system is not asked to tell: everything is looked at now and then.

use std::io;

/// There are none.
#[derive(Debug)]
pub(super) enum Events {}

impl Events {
    pub(super) fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) async fn next(&self) -> io::Result<()> {
        match *self {}
    }
}
