//! The machine that the tests run on.
#![cfg(target_os = "linux")]

use std::time::Duration;

use diagnostics::{Collector, Privacy, Roots, Sampler, Scopes};
use wire::{
    codec,
    diagnostics::{DeltaDecoder, Panels, StreamFrame, TOP_PROCESSES},
    time::Moment,
};

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1000) + Duration::from_millis(millis))
}

#[test]
fn this_machine_is_measured() {
    let mut collector = Collector::new(Roots::default(), at(0));
    let sample = collector.sample(at(1000), Panels::ALL);
    let threads = std::thread::available_parallelism().unwrap().get();
    assert!(sample.cores.len() >= threads, "{} online, {threads} usable", sample.cores.len());
    assert!(sample.memory.total_kib > 0 && sample.memory.available_kib > 0);
    assert!(sample.uptime_secs > 0);
    assert!(sample.filesystems.iter().any(|row| row.mount.raw() == "/" && row.total_kib > 0));
    assert!(sample.processes_total >= sample.processes_readable && sample.processes_readable >= 1);
    assert!((1..=TOP_PROCESSES).contains(&sample.processes.len()));
    let card = collector.identity();
    assert!(!card.host.is_blank() && !card.kernel.is_blank() && !card.user.is_blank());
    assert_eq!(card.memory_kib, sample.memory.total_kib);
    assert_eq!(card.administrator, rustix::process::geteuid().is_root());
}

/// A library shows 0 for the first two samples of such a process.
#[test]
fn a_process_that_works_is_listed_with_its_processor_time() {
    let mut collector = Collector::new(Roots::default(), at(0));
    let own = std::process::id();
    let mut work = 0_u64;
    let mut now = 0;
    let row = loop {
        work = (0..20_000_000).fold(work, |sum, number| sum.rotate_left(1) ^ number);
        now += 100;
        let sample = collector.sample(at(now), Panels::ALL);
        let row = sample.processes.into_iter().find(|process| process.pid == own && process.cpu_permille > 0);
        if let Some(row) = row {
            break row;
        }
    };
    assert_ne!(work, 1);
    assert!(row.threads >= 1 && row.resident_kib > 0);
    assert_eq!(row.owner, collector.identity().user);
}

#[test]
fn a_stream_from_this_machine_arrives_as_it_was_measured() {
    let mut collector = Collector::new(Roots::default(), at(0));
    let mut sampler = Sampler::new(Duration::from_secs(1), at(0));
    let mut everything = Privacy::new(&Roots::default());
    let all = Scopes { names: true, identifiers: true, network: true, logs: true };
    let mut decoder = DeltaDecoder::new();
    for tick in 1..=5 {
        sampler.start(at(tick * 1000));
        let mut expected = collector.sample(at(tick * 1000), sampler.wanted());
        let bytes =
            codec::encode(&sampler.collected(everything.clear(expected.clone(), all), at(tick * 1000))).unwrap();
        expected.tick = tick;
        sampler.sent();
        decoder.apply(codec::decode::<StreamFrame>(&bytes).unwrap()).unwrap();
        let arrived = decoder.sample().unwrap();
        expected.pace = arrived.pace;
        expected.agent = arrived.agent;
        assert_eq!(arrived, &expected.quantised());
    }
}
