//! The system's message bus (D-Bus): services that tell about themselves.
//!
//! Questions are asked without starting services that do not run: looking must not change anything. Each question has its time.

use std::{io, num::NonZeroUsize, path::Path, time::Duration};

use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use zbus::{
    Connection, DBusError as _, Error, MatchRule, Message, MessageStream, OwnedVariant, connection, message,
    zvariant::{DynamicType, Type},
};

/// Where the system's bus is; see the D-Bus specification, "Well-known Message Bus Instances".
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// Longest that one call is waited for.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// Most signals that wait to be read: one for each package with an update, on a machine that was never updated.
const MAX_WAITING_SIGNALS: usize = 4096;

/// A message bus. Nothing is connected until something is asked.
#[derive(Debug, Clone)]
pub struct Bus {
    address: String,
}

impl Default for Bus {
    /// The system's bus.
    fn default() -> Self {
        Self::at(Path::new(SYSTEM_BUS))
    }
}

impl Bus {
    /// The bus that listens at a Unix socket.
    pub fn at(socket: &Path) -> Self {
        Self { address: format!("unix:path={}", socket.display()) }
    }

    /// Connects, has `question` asked over the connection, and waits for it. Blocks for at most `deadline`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is no bus, [`io::ErrorKind::TimedOut`] if it does not answer in time, and what the
    /// question fails with.
    pub(crate) fn ask<T>(
        &self,
        deadline: Duration,
        question: impl AsyncFnOnce(&Talk) -> io::Result<T>,
    ) -> io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asked = runtime.block_on(async {
            let talk = async {
                let builder = connection::Builder::address(self.address.as_str()).method_timeout(CALL_DEADLINE);
                let connection = builder.build().await.map_err(in_words)?;
                question(&Talk { connection }).await
            };
            tokio::time::timeout(deadline, talk).await
        });
        runtime.shutdown_background();
        asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A connection to the bus.
#[derive(Debug)]
pub(crate) struct Talk {
    connection: Connection,
}

impl Talk {
    /// Calls a method of a service that runs.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if the service does not run or has no such object, [`io::ErrorKind::PermissionDenied`] if it
    /// does not tell this user, [`io::ErrorKind::InvalidData`] if the answer is of another shape.
    pub(crate) async fn call<T: DeserializeOwned + Type>(
        &self,
        service: &str,
        path: &str,
        (interface, method): (&str, &str),
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> io::Result<T> {
        // A call to the owner's own name never starts a service; one to a well-known name may.
        let bus = "org.freedesktop.DBus";
        let owner = self.send::<String>(bus, "/org/freedesktop/DBus", (bus, "GetNameOwner"), &service).await?;
        self.send(&owner, path, (interface, method), arguments).await
    }

    /// Calls a method whose answer comes in signals of the same object, and hands each to `each` until the one called `last`,
    /// which it gets as well.
    ///
    /// # Errors
    ///
    /// As [`Talk::call`]; [`io::ErrorKind::UnexpectedEof`] if the connection ends before the last signal.
    pub(crate) async fn gather(
        &self,
        service: &str,
        path: &str,
        (interface, method): (&str, &str),
        arguments: &(impl serde::Serialize + DynamicType),
        last: &str,
        mut each: impl FnMut(&str, &Message),
    ) -> io::Result<()> {
        let bus = "org.freedesktop.DBus";
        let owner = self.send::<String>(bus, "/org/freedesktop/DBus", (bus, "GetNameOwner"), &service).await?;
        let rule = MatchRule::builder().msg_type(message::Type::Signal).sender(owner.as_str());
        let rule = rule.path(path).interface(interface).build().map_err(in_words)?;
        // Signals that come while the call is under way wait here.
        let room = NonZeroUsize::new(MAX_WAITING_SIGNALS);
        let mut signals = MessageStream::for_match_rule(rule, &self.connection, room).await.map_err(in_words)?;
        self.send::<()>(&owner, path, (interface, method), arguments).await?;
        while let Some(signal) = signals.next().await {
            let signal = signal.map_err(in_words)?;
            let header = signal.header();
            let member = header.member().map(|member| member.as_str()).unwrap_or_default();
            each(member, &signal);
            if member == last {
                return Ok(());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    async fn send<T: DeserializeOwned + Type>(
        &self,
        owner: &str,
        path: &str,
        (interface, method): (&str, &str),
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> io::Result<T> {
        let called = self.connection.call_method(Some(owner), path, Some(interface), method, arguments).await;
        called.and_then(|reply| reply.body().deserialize::<T>()).map_err(in_words)
    }

    /// A property of an object.
    ///
    /// # Errors
    ///
    /// As [`Talk::call`].
    pub(crate) async fn property<T: TryFrom<OwnedVariant>>(
        &self,
        service: &str,
        path: &str,
        (interface, name): (&str, &str),
    ) -> io::Result<T> {
        let get = ("org.freedesktop.DBus.Properties", "Get");
        let value = self.call::<OwnedVariant>(service, path, get, &(interface, name)).await?;
        T::try_from(value).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

/// What a person has to know of an error of the bus.
fn in_words(error: Error) -> io::Error {
    let kind = if let Error::InputOutput(inner) | Error::Connection(inner, _) = &error {
        inner.kind()
    } else if let Error::FDO(named) = &error {
        // Errors that the specification names have a type of their own.
        kind_of(named.name().as_str())
    } else if let Error::MethodError(name, ..) = &error {
        kind_of(name.as_str())
    } else {
        io::ErrorKind::InvalidData
    };
    if kind == io::ErrorKind::Other { io::Error::other("the service answered with an error") } else { kind.into() }
}

/// What an error of the D-Bus specification, or of systemd, is in the standard library's words.
fn kind_of(name: &str) -> io::ErrorKind {
    match name {
        "org.freedesktop.DBus.Error.NameHasNoOwner"
        | "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.UnknownObject"
        | "org.freedesktop.DBus.Error.UnknownInterface"
        | "org.freedesktop.DBus.Error.UnknownMethod"
        | "org.freedesktop.DBus.Error.UnknownProperty" => io::ErrorKind::NotFound,
        "org.freedesktop.DBus.Error.AccessDenied" | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
            io::ErrorKind::PermissionDenied
        }
        "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.Timeout" => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeService, TestBus};

    fn ask(bus: &Bus, service: &str, property: &str) -> io::Result<u32> {
        let question = async |talk: &Talk| talk.property::<u32>(service, "/", ("test.Thing", property)).await;
        bus.ask(Duration::from_secs(60), question)
    }

    #[test]
    fn what_is_not_there_is_told_apart_from_what_makes_no_sense() {
        let mut daemon = TestBus::start();
        let thing = FakeService::named("test.Thing").property("/", "test.Thing", "Size", 7_u32);
        daemon.serve(thing.property("/", "test.Thing", "Word", "seven"));
        let bus = Bus::at(&daemon.socket());
        assert_eq!(ask(&bus, "test.Thing", "Size").unwrap(), 7);
        let kind = |asked: io::Result<u32>| asked.unwrap_err().kind();
        assert_eq!(kind(ask(&bus, "test.Nobody", "Size")), io::ErrorKind::NotFound, "a service that does not run");
        assert_eq!(kind(ask(&bus, "test.Thing", "Colour")), io::ErrorKind::NotFound, "a property of newer versions");
        assert_eq!(kind(ask(&bus, "test.Thing", "Word")), io::ErrorKind::InvalidData);
        drop(daemon);
        assert_eq!(kind(ask(&bus, "test.Thing", "Size")), io::ErrorKind::NotFound, "no bus at all");
    }

    #[test]
    fn errors_have_the_same_meaning_under_both_of_their_types() {
        assert_eq!(kind_of("org.freedesktop.DBus.Error.AccessDenied"), io::ErrorKind::PermissionDenied);
        assert_eq!(kind_of("org.freedesktop.DBus.Error.NoReply"), io::ErrorKind::TimedOut);
        assert_eq!(kind_of("net.reactivated.Fprint.Error.NoSuchDevice"), io::ErrorKind::Other);
    }
}
