//! What unit tests of sections are made from.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Stdio},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use wire::{
    diagnostics::report::{Coverage, Outcome, Source},
    text::{Label, Sentence},
};
use zbus::{
    Connection, DynamicType, Message, MessageStream, OwnedVariant, Variant, connection, export::futures_core::Stream,
    message,
};

use crate::{
    bus::Bus,
    manifest::Manifest,
    roots::Roots,
    sources::{CertificateFacts, NoTools, ReadCertificates, RunTools, Sources},
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
            kernel_clock: || Err(io::ErrorKind::PermissionDenied.into()),
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

/// A folder of files that stands for a machine, without programs and without a bus.
#[derive(Debug)]
pub(crate) struct TestMachine(Tree);

impl TestMachine {
    /// A machine with these files and nothing else.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self(Tree::new());
        for (path, content) in files {
            machine.write(path, content);
        }
        machine
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.at(file)
    }

    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        self.0.write(file, content);
    }

    /// A symbolic link, which need not lead anywhere.
    pub(crate) fn link(&self, file: &str, target: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    pub(crate) fn sources(&self) -> Sources {
        self.0.sources(NoTools)
    }
}

/// Reads a section, and says what came of it and of its sources: name, coverage, reason.
pub(crate) fn survey<T>(
    read: impl FnOnce(&Sources, &mut Manifest) -> Option<T>,
    sources: &Sources,
) -> (Option<T>, Outcome, Vec<(String, Coverage, String)>) {
    let mut manifest = Manifest::default();
    let content = read(sources, &mut manifest);
    let outcome = manifest.outcome(content.is_some());
    (content, outcome, told(manifest))
}

/// A real message bus on which anybody may take any name.
#[derive(Debug)]
pub(crate) struct TestBus {
    folder: tempfile::TempDir,
    daemon: Child,
    services: Vec<JoinHandle<()>>,
}

impl TestBus {
    #[expect(clippy::disallowed_methods, reason = "a test that needs a message bus starts one")]
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>",
            folder.path().join("bus").display()
        );
        let file = folder.path().join("bus.conf");
        fs::write(&file, config).unwrap();
        let mut daemon = std::process::Command::new("dbus-daemon")
            .args(["--nofork", "--print-address=1", "--config-file"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It prints its address once it listens.
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("unix:"), "the bus did not start: {address:?}");
        Self { folder, daemon, services: Vec::new() }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    /// Has `service` answer on this bus until the bus ends.
    pub(crate) fn serve(&mut self, service: FakeService) {
        let (ready, started) = mpsc::channel();
        let socket = self.socket();
        self.services.push(thread::spawn(move || service.run(&socket, &ready)));
        started.recv().unwrap();
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        let _ended = self.daemon.kill();
        let _status = self.daemon.wait();
        for service in self.services.drain(..) {
            let _end = service.join();
        }
    }
}

type Answer = Box<dyn Fn(&message::Header<'_>) -> zbus::Result<Message> + Send>;

/// A stand-in for a service that cannot run in a test: it gives fixed answers, and the bus's own error to everything else.
pub(crate) struct FakeService {
    name: &'static str,
    properties: BTreeMap<(String, String, String), OwnedVariant>,
    methods: BTreeMap<(String, String, String), Answer>,
}

impl FakeService {
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name, properties: BTreeMap::new(), methods: BTreeMap::new() }
    }

    pub(crate) fn property<'v>(
        mut self,
        path: &str,
        interface: &str,
        name: &str,
        value: impl Into<Variant<'v>>,
    ) -> Self {
        let key = (path.to_owned(), interface.to_owned(), name.to_owned());
        self.properties.insert(key, value.into().try_to_owned().unwrap());
        self
    }

    pub(crate) fn method(
        mut self,
        path: &str,
        interface: &str,
        name: &str,
        body: impl serde::Serialize + DynamicType + Send + 'static,
    ) -> Self {
        let answer: Answer = Box::new(move |call| Message::method_return(call).build(&body));
        self.methods.insert((path.to_owned(), interface.to_owned(), name.to_owned()), answer);
        self
    }

    fn run(self, socket: &Path, ready: &mpsc::Sender<()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let address = format!("unix:path={}", socket.display());
            let connection = connection::Builder::address(address.as_str()).build().await.unwrap();
            let mut calls = MessageStream::from(&connection);
            connection.request_name(self.name).await.unwrap();
            ready.send(()).unwrap();
            while let Some(Ok(call)) = std::future::poll_fn(|task| Pin::new(&mut calls).poll_next(task)).await {
                if call.message_type() == message::Type::MethodCall {
                    self.answer(&connection, &call).await;
                }
            }
        });
    }

    async fn answer(&self, connection: &Connection, call: &Message) {
        let header = call.header();
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let path = text(header.path().map(|path| path.as_str()));
        let interface = text(header.interface().map(|interface| interface.as_str()));
        let member = text(header.member().map(|member| member.as_str()));
        let unknown = |error: &'static str| Message::error(&header, error).build(&"there is no such thing");
        let answer = if (interface.as_str(), member.as_str()) == ("org.freedesktop.DBus.Properties", "Get") {
            let (interface, name) = call.body().deserialize::<(String, String)>().unwrap();
            match self.properties.get(&(path, interface, name)) {
                Some(value) => Message::method_return(&header).build(value),
                None => unknown("org.freedesktop.DBus.Error.UnknownProperty"),
            }
        } else {
            match self.methods.get(&(path, interface, member)) {
                Some(answer) => answer(&header),
                None => unknown("org.freedesktop.DBus.Error.UnknownMethod"),
            }
        };
        // The bus may be gone already.
        let _sent = connection.send(&answer.unwrap()).await;
    }
}
