use proptest::{collection::vec, option, prelude::*};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const ASKED: Intervals = Intervals { sample: SECOND, processes: SECOND };

const IDLE: Observed =
    Observed { own_cpu_permille: 1, cpu_some_centi: Some(0), processes: 90, load_centi: 20, cores: 4 };

fn at(seconds: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1000 + seconds))
}

/// The pace after each second of what is observed in it.
fn paces(observed: impl IntoIterator<Item = Observed>) -> Vec<(u32, PaceReason)> {
    let mut governor = Governor::new(ASKED);
    let pace = |(second, observed)| {
        governor.observe(observed, at(second));
        let pace = governor.pace();
        (pace.sample_ms, pace.reason)
    };
    (0..).zip(observed).map(pace).collect()
}

#[test]
fn an_idle_machine_is_measured_as_often_as_asked() {
    let governor = Governor::new(ASKED);
    assert_eq!(governor.intervals(), ASKED);
    assert!(paces([IDLE; 100]).iter().all(|pace| *pace == (1000, PaceReason::AsAsked)));
}

#[test]
fn an_agent_that_takes_too_much_for_ten_seconds_slows_down_step_by_step() {
    let paces = paces([Observed { own_cpu_permille: 21, ..IDLE }; 60]);
    assert_eq!(paces[9], (1000, PaceReason::AsAsked));
    assert_eq!(paces[10], (2000, PaceReason::OwnCpu));
    assert_eq!((paces[19].0, paces[20].0, paces[30].0, paces[59].0), (2000, 4000, 8000, 8000));
}

#[test]
fn a_burst_of_the_agents_own_does_not_slow_it_down() {
    let bursts = (0..100).map(|second| Observed { own_cpu_permille: if second % 9 == 8 { 1 } else { 900 }, ..IDLE });
    assert!(paces(bursts).iter().all(|pace| *pace == (1000, PaceReason::AsAsked)));
}

#[test]
fn programs_that_wait_for_processors_slow_it_down_at_once_and_its_recovery_takes_its_time() {
    let waits = |second| if second < 5 { 4001 } else { 1999 };
    let paces = paces((0..60).map(|second| Observed { cpu_some_centi: Some(waits(second)), ..IDLE }));
    assert_eq!(paces[0], (2000, PaceReason::CpuPressure));
    assert_eq!((paces[34], paces[35]), ((2000, PaceReason::CpuPressure), (1000, PaceReason::AsAsked)));
}

#[test]
fn between_the_bounds_nothing_changes() {
    let between = Observed { cpu_some_centi: Some(3000), own_cpu_permille: 15, ..IDLE };
    let paces = paces([Observed { cpu_some_centi: Some(5000), ..IDLE }].into_iter().chain([between; 200]));
    assert!(paces.iter().all(|pace| *pace == (2000, PaceReason::CpuPressure)));
}

#[test]
fn many_processes_are_looked_at_less_often_and_one_more_or_less_changes_nothing() {
    let mut governor = Governor::new(ASKED);
    let mut every = |processes, second| {
        governor.observe(Observed { processes, ..IDLE }, at(second));
        (governor.intervals().processes.as_secs(), governor.pace().reason)
    };
    assert_eq!(every(128, 0), (1, PaceReason::AsAsked));
    assert_eq!(every(129, 1), (2, PaceReason::ManyProcesses));
    assert_eq!(every(113, 2), (2, PaceReason::ManyProcesses));
    assert_eq!(every(4000, 3), (5, PaceReason::ManyProcesses));
    assert_eq!(every(100, 4), (1, PaceReason::AsAsked));
    assert_eq!(governor.intervals().sample, SECOND);
}

#[test]
fn a_loaded_machine_is_spared_the_look_at_all_its_processes() {
    let mut governor = Governor::new(ASKED);
    let mut every = |load_centi, second| {
        governor.observe(Observed { processes: 500, load_centi, ..IDLE }, at(second));
        (governor.intervals().processes.as_secs(), governor.pace().reason)
    };
    assert_eq!(every(404, 0), (5, PaceReason::Load));
    assert_eq!(every(330, 1), (5, PaceReason::Load));
    assert_eq!(every(300, 2), (2, PaceReason::ManyProcesses));
}

#[test]
fn what_was_asked_slowly_is_not_called_slowed_down() {
    let idle = Intervals { sample: Duration::from_secs(5), processes: Duration::from_secs(15) };
    let mut governor = Governor::new(idle);
    governor.observe(Observed { processes: 3000, load_centi: 900, ..IDLE }, at(0));
    assert_eq!((governor.intervals(), governor.pace().reason), (idle, PaceReason::AsAsked));
}

prop_compose! {
    fn any_observed()(
        own_cpu_permille in prop_oneof![0..40_u32, any::<u32>()],
        cpu_some_centi in option::of(0..=10_000_u16),
        processes in prop_oneof![0..5000_u32, any::<u32>()],
        load_centi in prop_oneof![0..3000_u32, any::<u32>()],
        cores in prop_oneof![0..65_u32, any::<u32>()],
    ) -> Observed {
        Observed { own_cpu_permille, cpu_some_centi, processes, load_centi, cores }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_pace_keeps_its_bounds_and_an_idle_machine_gets_its_own_back(
        events in vec((any_observed(), prop_oneof![0..3000_u64, any::<u64>()]), 1..100),
        asked in vec(1..600_000_u64, 2),
    ) {
        let [sample, processes] = [asked[0], asked[1]].map(Duration::from_millis);
        let asked = Intervals { sample, processes };
        let mut governor = Governor::new(asked);
        let mut now = at(0);
        let mut stepped = (0, now);
        for (observed, millis) in events {
            now = now + Duration::from_millis(millis);
            governor.observe(observed, now);
            let is = governor.intervals();
            prop_assert!(is.sample >= asked.sample && is.sample <= asked.sample.max(MAX_INTERVAL).min(asked.sample * 8));
            prop_assert!(is.processes >= is.sample && is.processes <= MAX_INTERVAL.max(asked.processes).max(is.sample));
            prop_assert_eq!(governor.pace().reason == PaceReason::AsAsked, is == Intervals {
                sample: asked.sample,
                processes: asked.processes.max(asked.sample),
            });
            prop_assert!(governor.steps.abs_diff(stepped.0) <= 1);
            if governor.steps != stepped.0 {
                prop_assert!(stepped.0 == 0 || now - stepped.1 >= STEP_AFTER, "two steps within ten seconds");
                stepped = (governor.steps, now);
            }
        }
        let mut calm = at(0).max(now);
        for _ in 0..=MAX_STEPS * 31 {
            governor.observe(IDLE, calm);
            calm = calm + SECOND;
        }
        prop_assert!(now == Moment::from_origin(Duration::MAX) || governor.pace().reason == PaceReason::AsAsked);
    }
}
