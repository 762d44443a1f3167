//! Probes of the network that a technician asks for: of what the machine's owner has listed, and of nothing else.

use serde_json::Value;
use testkit::{PATIENCE, relay::RelayProcess, running::Running, share::ShareOptions};

use crate::world::{LONG, Log, World};

/// A person whose settings have these lines, and who allows `ability`; nothing goes directly.
async fn allowed(settings: String, ability: &str) -> anyhow::Result<(World, Running)> {
    let options = ShareOptions { settings, ..ShareOptions::behind_the_relay() };
    let world = World::start_with(&options).await?;
    let attached = world.attach().await?;
    allow(&world, ability).await?;
    Ok((world, attached))
}

pub(crate) async fn allow(world: &World, ability: &str) -> anyhow::Result<()> {
    let mut asked = Running::start(world.technician.command(["request", ability, "--reason", "to test"]))?;
    // Nothing but the basics is ticked by itself.
    world.share.word().await?;
    world.share.answer("1").await?;
    let ticked = if ability == "diag.load" { "1 [x] Measure how fast" } else { "1 [x] See network addresses" };
    world.share.sees(ticked).await?;
    world.share.allow().await?;
    let answer = asked.wait_exit(PATIENCE).await?;
    anyhow::ensure!(answer.code() == 0, "{}{}", answer.stdout, answer.stderr);
    Ok(())
}

/// The one result of a probe, and the exit code.
pub(crate) async fn probe(world: &World, what: &[&str]) -> anyhow::Result<(Value, i32)> {
    let done = world.technician.run([&["diag", "probe"], what, &["--json"]].concat()).await?;
    anyhow::ensure!(!done.stdout.is_empty(), "{what:?} printed nothing: {}", done.stderr);
    let section = serde_json::from_str::<Value>(&done.stdout)?;
    anyhow::ensure!(section["section"] == "probes", "{section}");
    Ok((section["content"]["probes"]["results"][0].clone(), done.code()))
}

#[tokio::test]
async fn a_technician_probes_the_relay_and_a_host_on_the_owners_list() -> anyhow::Result<()> {
    // Another relay is a server whose certificate nobody on this machine has heard of.
    let listed = RelayProcess::start().await?;
    let host = format!("127.0.0.1:{}", listed.link().port());
    let (world, _attached) = allowed(format!("probe_hosts = [\"{host}\"]\n"), "diag.network").await?;

    let (relay, code) = probe(&world, &["tls"]).await?;
    let found = &relay["found"]["handshake"];
    assert_eq!((relay["outcome"].as_str(), code), (Some("pass"), 0), "{relay}");
    assert_eq!((found["trust"].as_str(), found["version"].as_str()), (Some("relay_key"), Some("TLS 1.3")), "{relay}");
    assert!(found["connect_ms"].is_u64() && found["tls_ms"].is_u64(), "{relay}");

    let (other, code) = probe(&world, &["tls", &host]).await?;
    let found = &other["found"]["handshake"];
    assert_eq!((other["outcome"].as_str(), code), (Some("fail"), 1), "{other}");
    assert!(["unknown_issuer", "wrong_name"].map(Some).contains(&found["trust"].as_str()), "{other}");
    assert_eq!((found["chain_length"].as_u64(), found["issuer"].as_str()), (Some(1), Some("assent-relay")), "{other}");

    let (sizes, code) = probe(&world, &["mtu"]).await?;
    assert_eq!(
        (sizes["kind"].as_str(), sizes["outcome"].as_str(), code),
        (Some("path_mtu"), Some("pass"), 0),
        "{sizes}"
    );
    let (names, code) = probe(&world, &["dns"]).await?;
    assert_eq!((names["kind"].as_str(), code == 0), (Some("names"), names["outcome"] == "pass"), "{names}");

    let read = world.technician.run(["diag", "probe", "tls"]).await?;
    assert!(read.stdout.contains("TLS 1.3") && read.stdout.contains("handshake"), "{}", read.stdout);
    let log = Log::read(&world.share.logs()?[0])?;
    let asked = log.all("inspecting").filter_map(|event| event["what"].as_str()).collect::<Vec<_>>();
    let of_host = format!("probe handshake of {host}");
    assert_eq!(asked[..2], ["probe handshake of the relay", &of_host]);
    Ok(())
}

#[tokio::test]
async fn a_host_that_the_owner_has_not_listed_is_not_probed() -> anyhow::Result<()> {
    let listed = RelayProcess::start().await?;
    let port = listed.link().port();
    let settings = format!("probe_hosts = [\"127.0.0.1:{port}\"]\n");
    let (world, _attached) = allowed(settings, "diag.network").await?;
    let beside = format!("127.0.0.1:{}", port ^ 1);
    let range = format!("127.0.0.1:{port}-65535");
    for target in [beside.as_str(), &range, "127.0.0.2", "localhost", "10.0.0.0/8"] {
        for kind in ["tls", "route", "ping"] {
            let refused = world.technician.run(["diag", "probe", kind, target]).await?;
            assert_eq!((refused.code(), refused.stdout.as_str()), (3, ""), "{target}");
            assert!(refused.stderr.contains("has not listed this host"), "{}", refused.stderr);
        }
    }
    // What was refused counts as well: whoever tries out names is slowed down.
    let refused = world.technician.run(["diag", "probe", "tls", "one.more"]).await?;
    assert!(refused.stderr.contains("has not listed this host"), "{}", refused.stderr);
    let refused = world.technician.run(["diag", "probe", "tls", "yet.one.more"]).await?;
    assert_eq!(refused.code(), 3);
    assert!(refused.stderr.contains("too many probes in a short time"), "{}", refused.stderr);
    Ok(())
}

#[tokio::test]
async fn nothing_is_probed_before_the_person_allows_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    for (asked, ability) in [(["diag", "probe", "tls"], "diag.network"), (["diag", "probe", "load"], "diag.load")] {
        let refused = world.technician.run(asked).await?;
        assert_eq!(refused.code(), 3, "{}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(&format!("assent request {ability}")), "{}", refused.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn load_is_measured_once_for_one_yes_and_within_its_bytes() -> anyhow::Result<()> {
    let (world, _attached) = allowed(String::new(), "diag.load").await?;
    let (load, _) = probe(&world, &["load"]).await?;
    let found = &load["found"]["load"];
    assert_eq!(found["way"], "relay", "{load}");
    assert!((1_000_000..=25_000_000).contains(&found["bytes"].as_u64().unwrap_or(0)), "{load}");
    assert!(found["idle_us"].is_u64() && found["loaded_us"].is_u64() && found["grade"].is_string(), "{load}");

    let again = world.technician.run(["diag", "probe", "load"]).await?;
    // Either it is not over at the machine yet, or the yes is used up.
    assert_eq!((again.code(), again.stdout.as_str()), (3, ""), "{}", again.stderr);
    allow(&world, "diag.load").await?;
    assert_eq!(probe(&world, &["load"]).await?.0["kind"], "load");
    Ok(())
}

#[tokio::test]
async fn stop_ends_load_at_once() -> anyhow::Result<()> {
    let (mut world, _attached) = allowed(String::new(), "diag.load").await?;
    let mut load = Running::start(world.technician.command(["diag", "probe", "load"]))?;
    world.share.sees("probe load").await?;
    world.share.stop().await?;
    world.share_exit().await?;
    let ended = load.wait_exit(LONG).await?;
    assert_eq!(ended.code(), 3, "{}{}", ended.stdout, ended.stderr);
    let log = Log::read(&world.share.logs()?[0])?;
    assert_eq!((log.all("inspection_stopped").count(), log.end()), (1, Some("by_user")));
    Ok(())
}
