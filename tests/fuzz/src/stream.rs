//! The live diagnostics: a sequence of frames, each of which builds on the ones before.

use wire::{
    codec,
    diagnostics::{
        DeltaDecoder, DeltaEncoder, MAX_CORES, MAX_ROWS, MAX_STUCK, MAX_UNREADABLE, Snapshot, StreamFrame,
        TOP_PROCESSES, Update,
    },
};

use super::{Verdict, messages::decode, readable::assert_readable};

/// Reads length-prefixed frames, the last one cut short if need be.
pub(super) fn diagnostics(bytes: &[u8]) -> Verdict {
    let mut decoder = DeltaDecoder::new();
    let mut relayed = Relayed::default();
    let mut accepted = false;
    let mut rest = bytes;
    while let Some((prefix, after)) = rest.split_first_chunk() {
        let Ok(length) = codec::frame_length::<StreamFrame>(*prefix) else { break };
        let (body, next) = after.split_at(length.min(after.len()));
        rest = next;
        let Some(frame) = decode::<StreamFrame>(body) else { continue };
        let held = decoder.sample().cloned();
        match decoder.apply(frame) {
            Ok(Update::Opening(report)) => assert_readable(&format!("{report:?}")),
            Ok(Update::Findings(findings)) => assert_readable(&format!("{findings:?}")),
            Ok(Update::Sample(sample)) => {
                accepted = true;
                assert!(held.is_none_or(|held| held.tick < sample.tick), "samples went back");
                check_bounds(sample);
                relayed.check(sample);
            }
            Err(error) => {
                assert_readable(&error.to_string());
                assert_eq!(decoder.sample(), held.as_ref(), "a refused frame left something behind");
            }
        }
    }
    Verdict::accepted_if(accepted)
}

/// What whoever shows a sample relies on.
fn check_bounds(sample: &Snapshot) {
    assert!(sample.cores.len() <= MAX_CORES && sample.processes.len() <= TOP_PROCESSES);
    let rows = [sample.filesystems.len(), sample.disks.len(), sample.networks.len(), sample.temperatures.len()];
    let sensors = [sample.fans.len(), sample.power.len()];
    assert!(sensors.iter().all(|rows| *rows <= MAX_ROWS) && sample.stuck.len() <= MAX_STUCK);
    assert!(rows.iter().all(|rows| *rows <= MAX_ROWS) && sample.unreadable.len() <= MAX_UNREADABLE);
    assert!(sample.memory.available_kib <= sample.memory.total_kib);
    assert!(sample.filesystems.iter().all(|row| row.available_kib <= row.total_kib));
    assert!(sample.cores.iter().all(|core| core.busy_permille <= 1000));
    assert_readable(&format!("{sample:?}"));
}

/// A second stream that carries on every sample that came out of the first.
#[derive(Default)]
struct Relayed {
    encoder: DeltaEncoder,
    decoder: DeltaDecoder,
}

impl Relayed {
    fn check(&mut self, sample: &Snapshot) {
        let quantised = sample.quantised();
        assert_eq!(quantised.quantised(), quantised);
        let withheld = self.encoder.sent().map_or(0, |sent| sent.withheld);
        let bytes = codec::encode(&self.encoder.encode(sample)).expect("a sample within its bounds fits into a frame");
        let frame = codec::decode::<StreamFrame>(&bytes).expect("it was just encoded");
        let sent = self.encoder.sent().expect("a sample was just sent");
        assert_eq!(self.decoder.apply(frame), Ok(Update::Sample(sent)));
        if sent.withheld == withheld {
            assert_eq!(*sent, Snapshot { withheld, ..quantised });
        }
    }
}
