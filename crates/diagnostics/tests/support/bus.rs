//! A real `dbus-daemon` of the test's own, on which the test publishes services that cannot run where tests do.
//!
//! ```ignore
//! mod support {
//!     pub(crate) mod bus;
//! }
//!
//! let mut bus = PrivateBus::start();
//! bus.publish("org.freedesktop.hostname1", |builder| builder.serve_at("/org/freedesktop/hostname1", FakeHostname));
//! let sources = Sources { bus: bus.bus(), .. };
//! ```

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use diagnostics::Bus;
use tokio::runtime::{self, Runtime};
use zbus::{Connection, OwnedVariant, connection::Builder};

/// A message bus that nobody else is on. It ends with the value.
#[derive(Debug)]
pub(crate) struct PrivateBus {
    folder: tempfile::TempDir,
    daemon: Child,
    /// Answers for the services that the test publishes, on a thread of its own.
    runtime: Runtime,
    services: Vec<Connection>,
}

impl PrivateBus {
    /// A bus on which everybody may own every name and call everything. No service is started by being asked.
    #[allow(dead_code, reason = "each test uses a part of the harness")]
    pub(crate) fn start() -> Self {
        Self::with_rules("")
    }

    /// As [`PrivateBus::start`], with further rules of the bus's policy, such as `<deny send_interface="org.example.Greeter"/>`; see
    /// dbus-daemon(1).
    #[expect(clippy::disallowed_methods, reason = "a test starts the bus that it needs, in a folder of its own")]
    pub(crate) fn with_rules(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let socket = folder.path().join("socket");
        let policy = format!(
            r#"<busconfig>
                <listen>unix:path={}</listen>
                <auth>EXTERNAL</auth>
                <policy context="default">
                    <allow user="*"/><allow own="*"/>
                    <allow send_destination="*"/><allow send_type="*"/><allow receive_type="*"/>
                    {rules}
                </policy>
            </busconfig>"#,
            socket.display()
        );
        fs::write(&config, policy).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--print-address"])
            .arg(format!("--config-file={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed");
        // It prints its address once it listens.
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.contains("socket"), "dbus-daemon did not start: {address:?}");
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { folder, daemon, runtime, services: Vec::new() }
    }

    /// The bus as sections see it.
    #[allow(dead_code, reason = "each test uses a part of the harness")]
    pub(crate) fn bus(&self) -> Bus {
        Bus::at(&self.folder.path().join("socket"))
    }

    /// Where it listens.
    #[allow(dead_code, reason = "each test uses a part of the harness")]
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Publishes a service under a well-known name, with the objects that `objects` adds by [`Builder::serve_at`]. It is there
    /// when this returns, and for as long as the bus.
    pub(crate) fn publish(&mut self, name: &str, objects: impl FnOnce(Builder<'static>) -> Builder<'static>) {
        let address = format!("unix:path={}", self.folder.path().join("socket").display());
        let builder = objects(Builder::address(address.as_str())).name(name.to_owned());
        let service = self.runtime.block_on(builder.build()).unwrap();
        self.services.push(service);
    }
}

impl PrivateBus {
    /// A property, asked over a connection of its own.
    #[allow(dead_code, reason = "each test uses a part of the harness")]
    pub(crate) fn property<T: TryFrom<OwnedVariant, Error: Into<zbus::Error>>>(
        &self,
        service: &str,
        path: &str,
        question: (&str, &str),
    ) -> zbus::Result<T> {
        let address = format!("unix:path={}", self.folder.path().join("socket").display());
        self.runtime.block_on(async {
            let connection = Builder::address(address.as_str()).build().await?;
            let properties = Some("org.freedesktop.DBus.Properties");
            let reply = connection.call_method(Some(service), path, properties, "Get", &question).await?;
            reply.body().deserialize::<OwnedVariant>()?.try_into().map_err(Into::into)
        })
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.services.clear();
        let _already_gone = self.daemon.kill();
        let _already_gone = self.daemon.wait();
    }
}
