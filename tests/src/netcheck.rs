//! `assent netcheck` beside a real relay on this machine. Networks of other kinds are in `lab`.

use testkit::{attach::Technician, relay::RelayProcess};
use wire::link::RelayLink;

#[tokio::test]
async fn a_relay_on_this_machine_is_reached_by_everything() -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    let technician = Technician::new(relay.link())?;
    let done = technician.run(["netcheck", "--json"]).await?;
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(done.stderr, "", "progress is for terminals");
    let told = serde_json::from_str::<serde_json::Value>(&done.stdout)?;
    assert_eq!((&told["carrier"], &told["session_possible"]), (&"udp".into(), &true.into()));
    assert_eq!(told["ipv4"]["nat"]["kind"], "none");
    assert_eq!(told["ipv4"]["largest_udp_payload"], 1472);
    assert_eq!(told["ipv4"]["tcp"]["certificate"], "pinned");
    assert_eq!(told["direct"]["likelihood"], "likely");
    assert_eq!(told["port_mapping"]["asked"], false);
    assert_eq!(told["advice"], serde_json::json!([]));

    let link = relay.link().to_string();
    let words = technician.run(["netcheck", &link]).await?;
    assert!(words.stdout.starts_with("Sessions will come up: by UDP"), "{}", words.stdout);
    Ok(())
}

#[tokio::test]
async fn a_relay_may_keep_its_second_port_and_its_tcp_for_itself() -> anyhow::Result<()> {
    let relay = RelayProcess::start_with("reflector = false\ntcp = false").await?;
    let technician = Technician::new(relay.link())?;
    let done = technician.run(["netcheck", "--json"]).await?;
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    let told = serde_json::from_str::<serde_json::Value>(&done.stdout)?;
    assert_eq!(told["ipv4"]["largest_udp_payload_unknown"], "this relay does not offer it");
    assert_eq!((&told["ipv4"]["tcp"]["reached"], &told["carrier"]), (&false.into(), &"udp".into()));

    let over_tcp = technician.run(["netcheck", "--carrier", "tcp", "--json"]).await?;
    assert_eq!(over_tcp.code(), 5, "{}{}", over_tcp.stdout, over_tcp.stderr);
    let told = serde_json::from_str::<serde_json::Value>(&over_tcp.stdout)?;
    assert_eq!((&told["session_possible"], &told["carrier"]), (&false.into(), &serde_json::Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_relay_with_another_key_is_not_reached_and_that_is_what_is_said() -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    let technician = Technician::new(&RelayLink::new(relay.link().host(), relay.link().port(), [7; 32])?)?;
    let done = technician.run(["netcheck"]).await?;
    assert_eq!(done.code(), 5, "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.starts_with("Sessions will not come up"), "{}", done.stdout);
    assert!(done.stdout.contains("another key than the relay link names"), "{}", done.stdout);
    Ok(())
}
