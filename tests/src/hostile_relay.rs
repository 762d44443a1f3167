//! A relay that plots against both sides: it comes to a wrong code or to a closed connection, never to a grant.

use anyhow::Context as _;
use testkit::{
    attach::Technician,
    delay_link::{Conditions, DelayLink, Direction, Tamper},
    hostile::{
        packets,
        relay::{AgentsWord, EvilRelay, Outcome, Plot, TechniciansStep},
    },
    relay::RelayProcess,
    share::{ShareOptions, ShareProcess},
};
use wire::{limits::PAIRING_DEADLINE, link::RelayLink, pairing::PairingRefusal};

use crate::world::World;

/// The two whom a relay can plot against.
struct Victims {
    share: ShareProcess,
    technician: Technician,
}

impl Victims {
    fn of(relay: &RelayLink) -> anyhow::Result<Self> {
        // First, because it builds what is not built yet, and the relay lives in this process.
        let technician = Technician::new(relay)?;
        Ok(Self { share: ShareProcess::start(relay)?, technician })
    }

    /// A session's log begins when somebody is let in, so there is none.
    #[track_caller]
    fn assert_nobody_was_let_in(&self) {
        assert!(self.share.logs().unwrap().is_empty());
        assert!(self.technician.receipts().unwrap().is_empty());
    }
}

/// All that a relay in the middle may come to.
const WRONG_CODE: Outcome =
    Outcome { agent: Some(AgentsWord::Refused(PairingRefusal::WrongCode)), technician: TechniciansStep::Proved };

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_swaps_keys_comes_to_a_wrong_code() -> anyhow::Result<()> {
    a_plot_comes_to_a_wrong_code(Plot::SwapKeys).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_guesses_the_secret_comes_to_a_wrong_code() -> anyhow::Result<()> {
    a_plot_comes_to_a_wrong_code(Plot::GuessSecret).await
}

/// Twice, and then the code is void at both ends: a relay has two guesses in a million.
async fn a_plot_comes_to_a_wrong_code(plot: Plot) -> anyhow::Result<()> {
    let mut relay = EvilRelay::start(plot).await?;
    let victims = Victims::of(relay.link())?;
    let code = victims.share.code().await?;
    for try_number in 1..=2 {
        let refused = victims.technician.run(["attach", &code]).await?;
        assert_eq!(refused.code(), 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("not done: nobody was asked and nothing was shown"), "{}", refused.stderr);
        // Both said goodbye, so nobody waits for the deadline.
        let outcome = tokio::time::timeout(PAIRING_DEADLINE / 3, relay.outcome()).await??;
        assert_eq!(outcome, WRONG_CODE, "try {try_number}");
        victims.share.sees("wrong code").await?;
    }
    victims.share.sees("The code was tried too often, so it is void").await?;
    let third = victims.technician.run(["attach", &code]).await?;
    assert_eq!(third.code(), 3, "{}", third.stderr);
    assert!(third.stderr.contains("the code was not tried"), "{}", third.stderr);
    victims.assert_nobody_was_let_in();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_swaps_locators_brings_a_technician_to_a_wrong_code() -> anyhow::Result<()> {
    let relay = EvilRelay::start(Plot::SwapLocators).await?;
    let victims = Victims::of(relay.link())?;
    let other = ShareProcess::start(relay.link())?;
    let (code, others_code) = (victims.share.code().await?, other.code().await?);
    let refused = victims.technician.run(["attach", &code]).await?;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    other.sees("wrong code").await?;
    assert_eq!(other.code().await?, others_code, "one failure is a mistake");
    assert_eq!(victims.share.code().await?, code, "nobody came to the right one");
    assert!(other.logs()?.is_empty());
    victims.assert_nobody_was_let_in();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_swallows_or_damages_every_packet_lets_nobody_in_and_uses_up_nothing() -> anyhow::Result<()> {
    let (swallowed, cut, turned) = tokio::join!(
        async {
            let relay = EvilRelay::start(Plot::BlackHole).await?;
            closed(Victims::of(relay.link())?).await
        },
        closed_over(packets::truncate(1)),
        closed_over(packets::corrupt(1)),
    );
    swallowed.and(cut).and(turned)
}

async fn closed_over(tamper: Tamper) -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    let wire = DelayLink::with_tamper(relay.address(), Conditions::default(), tamper).await?;
    let tapped = relay.link_by_way_of(wire.address())?;
    closed(Victims { share: ShareProcess::start(relay.link())?, technician: Technician::new(&tapped)? }).await
}

async fn closed(victims: Victims) -> anyhow::Result<()> {
    let code = victims.share.code().await?;
    let refused = victims.technician.run(["attach", &code]).await?;
    assert_eq!(refused.code(), 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("not done: nobody was asked and nothing was shown"), "{}", refused.stderr);
    assert_eq!(victims.share.code().await?, code, "nothing was tried, so nothing was used up");
    victims.assert_nobody_was_let_in();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_replays_cuts_turns_misroutes_or_reorders_some_packets_changes_nothing() -> anyhow::Result<()> {
    let (replayed, cut, turned, misrouted, reordered) = tokio::join!(
        unharmed_by("replay", packets::replay()),
        unharmed_by("truncate", packets::truncate(7)),
        unharmed_by("corrupt", packets::corrupt(7)),
        unharmed_by("misroute", packets::misroute(3)),
        unharmed_by("reorder", packets::reorder()),
    );
    replayed.and(cut).and(turned).and(misrouted).and(reordered)
}

/// A whole session on a wire in bad hands: pairing, consent, and a run whose output arrives as it was written.
async fn unharmed_by(what: &str, tamper: Tamper) -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    let wire = DelayLink::with_tamper(relay.address(), Conditions::default(), tamper).await?;
    let share = ShareProcess::start_with(relay.link(), &ShareOptions::behind_the_relay())?;
    let technician = Technician::new(&relay.link_by_way_of(wire.address())?)?;
    let world = World { relay, share, technician };
    let _attached = world.attach().await?;
    let before = wire.traffic(Direction::ToClient).datagrams;
    let done = world.run_to_end(&["--", "seq", "20000"]).await.with_context(|| what.to_owned())?;
    let expected = (1..=20_000).map(|number| format!("{number}\n")).collect::<String>();
    assert!(done.code() == 0 && done.stdout == expected, "{} bytes: {}", done.stdout.len(), done.stderr);
    assert!(wire.traffic(Direction::ToClient).datagrams > before + 70, "the output went over the wire");
    Ok(())
}
