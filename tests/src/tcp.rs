//! A network that lets only TCP through: the same visit, by the same programs.

use serde_json::Value;
use testkit::{
    PATIENCE,
    attach::Technician,
    connect_proxy::ConnectProxy,
    relay::RelayProcess,
    share::{ShareOptions, ShareProcess},
};
use trust::{code::SessionCode, keys::SigningKey, tls_certificate::self_signed};
use wire::{ids::Locator, link::RelayLink};

use crate::world::World;

/// A code that nobody waits by.
fn some_code() -> String {
    let locator = Locator::new(4821, 4).expect("four digits");
    SessionCode::draw(locator, &mut rand_core::OsRng).to_string()
}

#[tokio::test]
async fn a_visit_over_tcp_outlives_the_relay_and_says_how_it_travels() -> anyhow::Result<()> {
    let over_tcp = ShareOptions { arguments: vec!["--carrier".into(), "tcp".into()], ..ShareOptions::default() };
    let mut world = World::start_with(&over_tcp).await?;
    world.technician.set("ASSENT_CARRIER", "tcp");
    let attached = world.attach().await?;
    let by_tcp = |status: &Value| status["path"]["kind"] == "relayed over TCP";
    world.technician.wait_status(&attached, "the path", by_tcp).await?;
    world.share.sees("relayed over TCP").await?;
    assert_eq!(world.run_to_end(&["--", "/bin/echo", "over tcp"]).await?.stdout, "over tcp\n");

    world.relay.kill().await?;
    world.relay.restart().await?;
    let followed = world.technician.run(["diag", "--json", "--follow", "3"]).await?;
    assert_eq!((followed.code(), followed.stdout.lines().count()), (0, 3), "{}", followed.stderr);
    let done = world.run_to_end(&["--", "/bin/echo", "again"]).await?;
    assert_eq!(done.stdout, "again\n", "{}", done.stderr);

    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(world.share_exit().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_with_a_password_a_visit_is_as_any_other() -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    // Only the proxy knows this name.
    let link = RelayLink::new("relay.invalid", 443, relay.link().pin())?;
    let place = ("relay.invalid:443".to_owned(), relay.address());
    let proxy = ConnectProxy::start([place], Some("Basic YW5hOnBAc3Mgd29yZA=="))?;
    let variable = ("HTTPS_PROXY", format!("http://ana:p%40ss%20word@{}", proxy.address()));

    let options =
        ShareOptions { environment: vec![(variable.0.to_owned(), variable.1.clone())], ..ShareOptions::default() };
    let share = ShareProcess::start_with(&link, &options)?;
    let mut technician = Technician::new(&link)?;
    technician.set(variable.0, &variable.1);
    let mut world = World { relay, share, technician };
    let attached = world.attach().await?;
    assert!(proxy.asked().iter().all(|asked| asked.status == 200) && proxy.asked().len() == 2);
    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(world.share_exit().await?, Some(0));
    drop(attached);

    // The wrong password is named as what it is, and shown nowhere.
    world.technician.set(variable.0, &variable.1.replace("word", "wrong"));
    let mut refused = world.technician.attach(&some_code())?;
    let refused = refused.wait_exit(PATIENCE).await?;
    assert_eq!(refused.code(), 5, "{}{}", refused.stdout, refused.stderr);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("407") && said.contains("HTTPS_PROXY") && !said.contains("p%40ss"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_an_authority_opens_the_way_and_the_link_still_decides() -> anyhow::Result<()> {
    // Not the relay's key: as if an authority had issued it. Its name is the one that such a certificate has.
    let issued = SigningKey::generate(&mut rand_core::OsRng);
    let files = tempfile::tempdir()?;
    let (chain, key) = (files.path().join("fullchain.pem"), files.path().join("privkey.pem"));
    for (path, tag, der) in
        [(&chain, "CERTIFICATE", self_signed(&issued)?), (&key, "PRIVATE KEY", issued.to_pkcs8().to_vec())]
    {
        std::io::Write::write_all(&mut std::fs::File::create(path)?, pem::encode(&pem::Pem::new(tag, der)).as_bytes())?;
    }
    let settings = format!("tls_certificate = {chain:?}\ntls_key = {key:?}");
    let relay = RelayProcess::start_with(&settings).await?;
    let place = ("assent-relay:443".to_owned(), relay.address());
    let proxy = ConnectProxy::start([place], None)?;
    let attach = async |link: &RelayLink, trusted: &str| {
        let mut technician = Technician::new(link)?;
        technician.set("ALL_PROXY", &format!("http://{}", proxy.address()));
        technician.set("SSL_CERT_FILE", trusted);
        let done = technician.attach(&some_code())?.wait_exit(PATIENCE).await?;
        anyhow::Ok(format!("{} {}{}", done.code(), done.stdout, done.stderr))
    };
    let link = RelayLink::new("assent-relay", 443, relay.link().pin())?;
    let said = attach(&link, "/nowhere").await?;
    assert!(said.starts_with("5 ") && said.contains("nor a certificate that this machine trusts"), "{said}");

    // The relay is reached, and says that nobody waits by that code.
    let trusted = chain.to_str().unwrap_or_default();
    let said = attach(&link, trusted).await?;
    assert!(said.contains("the relay refused"), "{said}");

    // Trust in the certificate is not trust in the relay.
    let another = RelayLink::new("assent-relay", 443, [9; 32])?;
    let said = attach(&another, trusted).await?;
    assert!(said.starts_with("5 ") && said.contains("another key"), "{said}");
    Ok(())
}
