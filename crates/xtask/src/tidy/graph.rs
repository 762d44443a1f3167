//! Who may depend on whom: read from cargo, so that no spelling of a dependency escapes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Context as _;
use serde::Deserialize;

use super::Breach;
use crate::process::{cargo, output_of};

/// For each crate, the crates of this tree that it may depend on outside of tests.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("trust", &["wire"]),
    ("consent", &["wire", "trust"]),
    ("session", &["wire", "trust", "consent"]),
    ("broker", &["wire", "trust"]),
    ("transport", &["wire", "trust"]),
    ("audit", &["wire", "trust"]),
    ("diagnostics", &["wire"]),
    ("report", &["wire"]),
    ("webui", &["wire"]),
    ("agent", &["wire", "trust", "consent", "session", "transport", "diagnostics", "report", "audit", "webui"]),
    ("technician", &["wire", "trust", "consent", "session", "transport", "report", "audit"]),
    ("relay", &["wire", "trust", "broker", "transport", "audit"]),
    ("pty", &[]),
];

/// The dev ring: it exists for tests, benches and the demo, and may use whatever they need.
const DEV_RING: [&str; 3] = ["testkit", "xtask", "e2e"];

const DIRECTION: &str = "dependencies point one way (wire <- trust <- consent <- session; shells around them), so that each \
    crate can be read, tested and replaced without what lies above it; a new edge needs a decision record and a line in \
    crates/xtask/src/tidy/graph.rs";

const CORE: [&str; 6] = ["wire", "trust", "consent", "session", "broker", "report"];

/// Runtimes, sockets and timers.
const EFFECTS: [&str; 9] =
    ["tokio", "quinn", "quinn-proto", "quinn-udp", "socket2", "mio", "async-io", "smol", "hyper"];

const CORE_IS_PURE: &str = "the core ring decides and does nothing else: time, randomness and bytes are arguments, so that every \
    state can be reached in a test within microseconds";

const BLIND_RELAY: &str =
    "a relay that links the code of a session could come to look into one; it must not even know the words";

/// Signatures, key exchange and certificates.
const SIGNATURES: [&str; 10] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "ring",
    "spake2",
    "rcgen",
    "x509-parser",
    "ed25519-dalek",
    "curve25519-dalek",
    "p256",
    "x25519-dalek",
];

const ONLY_TRUST: &str = "keys, codes and certificates are handled in one crate that can be reviewed as a whole: trust";

const QUIC: [&str; 6] = ["quinn", "quinn-proto", "quinn-udp", "rustls", "rustls-platform-verifier", "tokio-rustls"];

const ONLY_TRANSPORT: &str = "everything that depends on how quinn and rustls behave stands in one crate, so that either can be \
    replaced there: transport";

const ONLY_WIRE: &str =
    "one file turns messages into bytes, so that it can be fuzzed, pinned and replaced: wire/src/codec.rs";

const FORBIDDEN: [&str; 6] = ["openssl", "openssl-sys", "native-tls", "ring", "boring", "async-std"];

const ONE_PROVIDER: &str = "one TLS library with one provider (rustls with aws-lc-rs): a second one would bring other defaults, \
    other bugs and a second place to configure";

/// What `cargo metadata` tells, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
    /// Names of the crates that are built here. The metadata has more: it adds up the features of all platforms.
    #[serde(skip)]
    built: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    source: Option<String>,
    manifest_path: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
struct Kind {
    /// Absent for an ordinary dependency.
    kind: Option<String>,
}

impl Graph {
    /// Asks cargo, without the network where the registry's files are there already.
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        let ask_with = |arguments: &str| {
            let mut command = cargo(arguments);
            command.current_dir(root);
            output_of(command)
        };
        let ask = |question: &str| {
            let question = format!("{question} --locked --all-features");
            ask_with(&format!("{question} --offline")).or_else(|_| ask_with(&question))
        };
        let metadata = ask("metadata --format-version 1")?;
        let mut graph = serde_json::from_str::<Self>(&metadata).context("cargo metadata is not as expected")?;
        let tree = ask("tree --workspace --edges normal,dev --prefix none --format {p}")?;
        graph.built = tree.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
        Ok(graph)
    }

    fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    fn members(&self) -> impl Iterator<Item = &Package> {
        self.workspace_members.iter().filter_map(|id| self.package(id))
    }

    /// Direct dependencies, tests included if `with_tests`. Build dependencies are not linked in.
    fn direct(&self, id: &str, with_tests: bool) -> impl Iterator<Item = &Package> {
        let edges = self.resolve.nodes.iter().filter(move |node| node.id == id).flat_map(|node| &node.deps);
        let linked = move |edge: &&Edge| {
            edge.dep_kinds.iter().any(|kind| match kind.kind.as_deref() {
                None => true,
                Some("dev") => with_tests,
                Some(_) => false,
            })
        };
        edges.filter(linked).filter_map(|edge| self.package(&edge.pkg))
    }

    /// Everything that is linked into a package outside of tests, each with the shortest way to it.
    fn reached(&self, from: &Package) -> BTreeMap<&str, String> {
        let mut ways = BTreeMap::from([(from.id.as_str(), from.name.clone())]);
        let mut unseen = vec![from.id.as_str()];
        while !unseen.is_empty() {
            let mut next = Vec::new();
            for id in unseen {
                let way = ways.get(id).cloned().unwrap_or_default();
                for package in self.direct(id, false) {
                    if self.built.contains(&package.name) && !ways.contains_key(package.id.as_str()) {
                        ways.insert(&package.id, format!("{way} -> {}", package.name));
                        next.push(package.id.as_str());
                    }
                }
            }
            unseen = next;
        }
        ways.into_iter().filter_map(|(id, way)| Some((self.package(id)?.name.as_str(), way))).collect()
    }
}

pub(super) fn check(graph: &Graph) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let own = graph.members().map(|package| package.name.as_str()).collect::<BTreeSet<_>>();
    for package in graph.members() {
        directions(graph, package, &own, &mut breaches);
        monopolies(graph, package, &mut breaches);
        let reached = graph.reached(package);
        if CORE.contains(&package.name.as_str()) {
            reaches_none_of(package, &reached, &EFFECTS, CORE_IS_PURE, &mut breaches);
        }
        if package.name == "relay" {
            let inside = ["consent", "session", "runbook", "diagnostics"];
            reaches_none_of(package, &reached, &inside, BLIND_RELAY, &mut breaches);
        }
        reaches_none_of(package, &reached, &FORBIDDEN, ONE_PROVIDER, &mut breaches);
    }
    for package in &graph.packages {
        if package.source.as_ref().is_some_and(|source| source.starts_with("git+")) {
            let what = format!("{} comes from git", package.name);
            let why = "a branch can change or vanish, and licences and advisories are not known for it";
            breaches.push(Breach::new("Cargo.lock", 0, what, why));
        }
    }
    breaches
}

fn directions(graph: &Graph, package: &Package, own: &BTreeSet<&str>, breaches: &mut Vec<Breach>) {
    let name = package.name.as_str();
    if DEV_RING.contains(&name) {
        return;
    }
    let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(member, _)| *member == name) else {
        let what = format!("{name} is not among the crates whose dependencies are settled");
        breaches.push(Breach::new(&manifest_of(package), 0, what, DIRECTION));
        return;
    };
    for dependency in graph.direct(&package.id, false) {
        let dependency = dependency.name.as_str();
        if own.contains(dependency) && !allowed.contains(&dependency) {
            breaches.push(Breach::new(&manifest_of(package), 0, format!("{name} depends on {dependency}"), DIRECTION));
        }
    }
}

/// Crates that only one crate of this tree may name.
fn monopolies(graph: &Graph, package: &Package, breaches: &mut Vec<Breach>) {
    let name = package.name.as_str();
    for dependency in graph.direct(&package.id, true) {
        let dependency = dependency.name.as_str();
        let (owner, why) = if SIGNATURES.contains(&dependency) {
            ("trust", ONLY_TRUST)
        } else if QUIC.contains(&dependency) {
            ("transport", ONLY_TRANSPORT)
        } else if dependency == "bincode" {
            ("wire", ONLY_WIRE)
        } else {
            continue;
        };
        if name != owner {
            breaches.push(Breach::new(&manifest_of(package), 0, format!("{name} depends on {dependency}"), why));
        }
    }
}

fn reaches_none_of(
    package: &Package,
    reached: &BTreeMap<&str, String>,
    barred: &[&str],
    why: &'static str,
    breaches: &mut Vec<Breach>,
) {
    for way in barred.iter().filter_map(|name| reached.get(name)) {
        breaches.push(Breach::new(&manifest_of(package), 0, format!("{} reaches: {way}", package.name), why));
    }
}

/// Path of the manifest relative to the root of the tree.
fn manifest_of(package: &Package) -> String {
    let path = Path::new(&package.manifest_path);
    path.strip_prefix(crate::process::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from lines such as `relay -> session` or, in tests only, `wire -dev> testkit`.
    fn graph(members: &[&str], edges: &[(&str, &str, Option<&str>)]) -> Graph {
        let names = members.iter().copied().chain(edges.iter().flat_map(|(from, to, _)| [*from, *to]));
        let names = names.collect::<BTreeSet<_>>();
        let package = |name: &&str| Package {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            source: None,
            manifest_path: format!("{name}/Cargo.toml"),
        };
        let node = |name: &&str| {
            let own = edges.iter().filter(|(from, _, _)| from == name);
            let edge = |(_, to, kind): &(&str, &str, Option<&str>)| Edge {
                pkg: (*to).to_owned(),
                dep_kinds: vec![Kind { kind: kind.map(str::to_owned) }],
            };
            Node { id: (*name).to_owned(), deps: own.map(edge).collect() }
        };
        Graph {
            packages: names.iter().map(package).collect(),
            workspace_members: members.iter().map(|name| (*name).to_owned()).collect(),
            resolve: Resolve { nodes: names.iter().map(node).collect() },
            built: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn whats(graph: &Graph) -> Vec<String> {
        check(graph).into_iter().map(|breach| breach.what).collect()
    }

    #[test]
    fn the_drawn_directions_are_allowed_and_tests_may_use_more() {
        let graph = graph(
            &["wire", "trust", "session", "transport", "testkit"],
            &[
                ("session", "trust", None),
                ("trust", "wire", None),
                ("trust", "aws-lc-rs", None),
                ("transport", "quinn", None),
                ("quinn", "tokio", None),
                ("session", "testkit", Some("dev")),
                ("testkit", "transport", None),
            ],
        );
        assert_eq!(whats(&graph), Vec::<String>::new());
    }

    #[test]
    fn an_edge_against_the_direction_is_told() {
        let graph = graph(&["wire", "trust"], &[("wire", "trust", None)]);
        assert_eq!(whats(&graph), ["wire depends on trust"]);
    }

    #[test]
    fn a_relay_that_reaches_a_session_by_a_detour_is_told_with_the_way() {
        let graph =
            graph(&["relay", "audit"], &[("relay", "audit", None), ("audit", "x", None), ("x", "session", None)]);
        assert_eq!(whats(&graph), ["relay reaches: relay -> audit -> x -> session"]);
    }

    #[test]
    fn effects_in_the_core_and_foreign_monopolies_are_told() {
        let graph = graph(
            &["broker", "audit"],
            &[("broker", "x", None), ("x", "tokio", None), ("audit", "rustls", None), ("audit", "spake2", Some("dev"))],
        );
        let expected = ["broker reaches: broker -> x -> tokio", "audit depends on rustls", "audit depends on spake2"];
        assert_eq!(whats(&graph), expected);
    }

    #[test]
    fn a_crate_that_is_built_on_other_platforms_only_is_not_reached() {
        let mut graph = graph(&["wire"], &[("wire", "x", None), ("x", "ring", None)]);
        assert_eq!(whats(&graph), ["wire reaches: wire -> x -> ring"]);
        graph.built.remove("ring");
        assert_eq!(whats(&graph), Vec::<String>::new());
    }

    #[test]
    fn a_crate_that_nobody_settled_is_told() {
        assert_eq!(
            whats(&graph(&["helpers"], &[])),
            ["helpers is not among the crates whose dependencies are settled"]
        );
    }
}
