//! From the typed code to the first diagnostics.
//!
//! Round trips are counted by what they cost: the same attach once without delay and once with 50 ms each way between technician
//! and agent, and the difference divided by a round trip. What does not depend on the network falls out.

use std::time::Duration;

use anyhow::Context as _;
use pty::Size;
use testkit::{PATIENCE, attach::Technician, share::ShareProcess};
use tokio::time::Instant;
use wire::link::RelayLink;

use super::{
    figures::Figure,
    scene::{self, millis},
};

const WARM_UP: usize = 2;
const RUNS: usize = 30;

const ONE_WAY: Duration = Duration::from_millis(50);
const DELAYED_RUNS: usize = 6;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let near = times(Duration::ZERO, RUNS).await?;
    let far = times(ONE_WAY, DELAYED_RUNS).await?;
    let part = |of: fn(&Times) -> Duration| near.iter().map(|times| millis(of(times))).collect::<Vec<_>>();
    let trips = |of: fn(&Times) -> Duration| {
        let base = median(part(of));
        far.iter().map(|times| (millis(of(times)) - base) / millis(2 * ONE_WAY)).collect::<Vec<_>>()
    };
    let asked: fn(&Times) -> Duration = |times| times.asked - times.typed;
    let shown: fn(&Times) -> Duration = |times| times.shown - times.answered;
    let whole: fn(&Times) -> Duration = Times::beyond_the_answer;
    Ok(vec![
        Figure::median("code to first diagnostics, beyond the answer", "ms", &part(whole))?.with_bar("< 100"),
        Figure::median("code to question", "ms", &part(asked))?,
        Figure::median("answer to first diagnostics", "ms", &part(shown))?,
        Figure::median("round trips, the first only to the relay", "trips", &trips(whole))?.with_bar("≤ 1 + 2"),
        Figure::median("round trips before the question", "trips", &trips(asked))?,
        Figure::median("round trips after the answer", "trips", &trips(shown))?,
    ])
}

/// When what happened.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The technician had typed the code: `assent attach` was started.
    typed: Instant,
    /// The question stood on the person's screen.
    asked: Instant,
    /// The person had typed the word.
    answered: Instant,
    /// The first figures stood on the technician's screen.
    shown: Instant,
}

impl Times {
    fn beyond_the_answer(&self) -> Duration {
        (self.asked - self.typed) + (self.shown - self.answered)
    }
}

async fn times(one_way: Duration, runs: usize) -> anyhow::Result<Vec<Times>> {
    let relay = scene::relay().await?;
    let (_wire, link) = scene::behind(&relay, one_way).await?;
    let mut times = Vec::new();
    for _ in 0..WARM_UP + runs {
        times.push(attach(relay.link(), &link).await?);
    }
    Ok(times.split_off(WARM_UP))
}

async fn attach(agents_relay: &RelayLink, technicians_relay: &RelayLink) -> anyhow::Result<Times> {
    let share = ShareProcess::start(agents_relay)?;
    let code = share.code().await?;
    let technician = Technician::new(technicians_relay)?;
    let typed = Instant::now();
    let screen = technician.attach_at_terminal(&code, Size::ROOMY)?;
    share.asked().await?;
    let asked = Instant::now();
    let word = share.word().await?;
    share.answer(&word).await?;
    let answered = Instant::now();
    let shown = screen.wait_until("figures of the machine", PATIENCE, |text| shows_figures(text).then_some(())).await;
    shown.with_context(|| format!("the person's screen shows:\n{}", share.terminal().text()))?;
    Ok(Times { typed, asked, answered, shown: Instant::now() })
}

/// Whether the panel of the processor has a number in its title.
fn shows_figures(text: &str) -> bool {
    let titles = text.split("Processor ").skip(1);
    titles.into_iter().any(|title| title.split_whitespace().next().is_some_and(|word| word.ends_with('%')))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
