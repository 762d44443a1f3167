//! Updates as the PackageKit service knows them (its D-Bus reference: `org.freedesktop.PackageKit` and `.Transaction`).

use std::{io, time::Duration};

use zbus::{Message, OwnedObjectPath};

use super::listings::{MAX_LISTED, Pending};
use crate::bus::Bus;

const SERVICE: &str = "org.freedesktop.PackageKit";
const TRANSACTION: &str = "org.freedesktop.PackageKit.Transaction";

/// Longest that the service is waited for; with many packages it needs some seconds.
const DEADLINE: Duration = Duration::from_secs(12);

/// Nobody is asked anything, nothing is more urgent, and nothing is fetched, however old what is known.
const HINTS: [&str; 3] = ["interactive=false", "background=true", "cache-age=4294967295"];

/// The bit of `PK_FILTER_ENUM_NONE`.
const NO_FILTER: u64 = 1 << 1;

/// `PK_INFO_ENUM_SECURITY`; the upper half of the number says how severe it is.
const SECURITY: u32 = 8;

/// `PK_INFO_ENUM_BLOCKED`: an update that is held back.
const BLOCKED: u32 = 9;

/// `PK_EXIT_ENUM_SUCCESS`.
const SUCCESS: u32 = 1;

/// What can be updated.
///
/// # Errors
///
/// As [`Bus::ask`]; an error of the service's own if it could not find out.
pub(super) fn pending(bus: &Bus) -> io::Result<Vec<Pending>> {
    bus.ask(DEADLINE, async |talk| {
        let create = (SERVICE, "CreateTransaction");
        let path = talk.call::<OwnedObjectPath>(SERVICE, "/org/freedesktop/PackageKit", create, &()).await?;
        let path = path.as_str();
        talk.call::<()>(SERVICE, path, (TRANSACTION, "SetHints"), &(HINTS.as_slice(),)).await?;
        let mut answer = Answer::default();
        let ask = (TRANSACTION, "GetUpdates");
        talk.gather(SERVICE, path, ask, &NO_FILTER, "Finished", |member, signal| answer.take(member, signal)).await?;
        match answer.succeeded {
            true => Ok(answer.pending),
            false => Err(io::Error::other("the service could not find out")),
        }
    })
}

#[derive(Debug, Default)]
struct Answer {
    pending: Vec<Pending>,
    succeeded: bool,
}

impl Answer {
    /// Later versions send many packages in one signal. What is of another shape says nothing.
    fn take(&mut self, member: &str, signal: &Message) {
        let body = signal.body();
        match member {
            "Package" => {
                if let Ok((kind, id, _summary)) = body.deserialize::<(u32, &str, &str)>() {
                    self.add(kind, id);
                }
            }
            "Packages" => {
                let packages = body.deserialize::<Vec<(u32, &str, &str)>>().unwrap_or_default();
                packages.into_iter().for_each(|(kind, id, _summary)| self.add(kind, id));
            }
            "Finished" => {
                let finished = body.deserialize::<(u32, u32)>();
                self.succeeded = finished.is_ok_and(|(exit, _took)| exit == SUCCESS);
            }
            _ => {}
        }
    }

    /// An id is name, version, architecture and origin with `;` between.
    fn add(&mut self, kind: u32, id: &str) {
        let kind = kind & 0xffff;
        let name = id.split(';').next().unwrap_or_default();
        if kind != BLOCKED && !name.is_empty() && self.pending.len() < MAX_LISTED {
            self.pending.push(Pending { name: name.to_owned(), security: kind == SECURITY });
        }
    }
}
