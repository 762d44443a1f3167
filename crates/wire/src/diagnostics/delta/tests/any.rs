//! Whatever a machine measures and a peer sends.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

/// Figures as they come: mostly small and still, now and then anything.
fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..40_u64, 2 => 0..1_000_000_u64, 1 => any::<u64>()]
}

fn small() -> impl Strategy<Value = u32> {
    figure().prop_map(|figure| u32::try_from(figure).unwrap_or(u32::MAX))
}

fn share() -> impl Strategy<Value = u16> {
    figure().prop_map(|figure| u16::try_from(figure).unwrap_or(u16::MAX))
}

fn name() -> impl Strategy<Value = Label> {
    prop_oneof![8 => "[a-c]", 1 => any::<String>()].prop_map(|text| Label::cut(&text))
}

prop_compose! {
    fn any_core()(busy_permille in share(), iowait_permille in share(), steal_permille in share()) -> Core {
        Core { busy_permille, iowait_permille, steal_permille }
    }
}

prop_compose! {
    fn any_memory()(figures in vec(figure(), 9), rates in vec(small(), 3)) -> Memory {
        Memory {
            total_kib: figures[0],
            available_kib: figures[1],
            limit_kib: figures[2],
            limit_used_kib: figures[3],
            dirty_kib: figures[4],
            swap_total_kib: figures[5],
            swap_used_kib: figures[6],
            swap_in_kib_s: rates[0],
            swap_out_kib_s: rates[1],
            oom_kills: figures[7],
            major_faults_s: rates[2],
            corrupted_kib: figures[8],
        }
    }
}

prop_compose! {
    fn any_pressure()(shares in vec(share(), 10)) -> Pressure {
        let mut pressure = Pressure::default();
        pressure.shares_mut().into_iter().zip(shares).for_each(|(share, any)| *share = any);
        pressure
    }
}

fn any_view() -> impl Strategy<Value = View> {
    let panels = prop_oneof![4 => Just(Panels::ALL), 3 => vec(select(Panel::ALL), 0..5).prop_map(Panels::from_iter)];
    (panels, select(ProcessOrder::ALL)).prop_map(|(panels, processes_by)| View { panels, processes_by })
}

prop_compose! {
    fn any_system()(
        view in any_view(), reason in select(PaceReason::ALL), share in any_core(), small in vec(small(), 15),
        figures in vec(figure(), 4),
    ) -> Snapshot {
        let Core { busy_permille, iowait_permille, steal_permille } = share;
        Snapshot {
            view,
            pace: Pace { sample_ms: small[0], processes_ms: small[1], reason },
            processor: Processor {
                cores: small[2],
                busy_permille,
                iowait_permille,
                steal_permille,
                switches_s: small[3],
                runnable: small[4],
                blocked: small[5],
                throttles: figures[0],
            },
            traffic: Traffic {
                tcp_established: small[6],
                tcp_sent_s: small[7],
                tcp_resent_s: small[8],
                tcp_refused_s: small[9],
                udp_errors_s: small[10],
            },
            limits: Limits {
                files: figures[1],
                files_most: figures[2],
                tracked: small[11],
                tracked_most: small[11],
                tasks: small[12],
                tasks_most: small[12],
            },
            agent: Agent { cpu_permille: small[13], resident_kib: figures[3], queued: small[14], lag_ms: small[14] },
            ..Snapshot::default()
        }
    }
}

prop_compose! {
    fn any_filesystem()(mount in name(), kind in name(), figures in vec(figure(), 4), state in 0..FilesystemState::ALL.len()) -> Filesystem {
        Filesystem {
            mount,
            kind,
            total_kib: figures[0],
            available_kib: figures[1],
            inodes_total: figures[2],
            inodes_free: figures[3],
            state: FilesystemState::ALL[state],
        }
    }
}

prop_compose! {
    fn any_disk()(name in name(), figures in vec(small(), 10), busy_permille in share()) -> Disk {
        Disk {
            name,
            read_kib_s: figures[0],
            write_kib_s: figures[1],
            requests_s: figures[2],
            await_us: figures[3],
            busy_permille,
            read_await_us: figures[4],
            write_await_us: figures[5],
            in_flight: figures[6],
            backlog_ms_s: figures[7],
            flushes_s: figures[8],
            flush_await_us: figures[9],
        }
    }
}

prop_compose! {
    fn any_network()(name in name(), up in any::<bool>(), figures in vec(figure(), 4), rates in vec(small(), 4)) -> Network {
        Network {
            name,
            up,
            rx_bytes_s: figures[0],
            tx_bytes_s: figures[1],
            errors: figures[2],
            drops: figures[3],
            rx_packets_s: rates[0],
            tx_packets_s: rates[1],
            errors_s: rates[2],
            drops_s: rates[3],
        }
    }
}

prop_compose! {
    fn any_temperature()(label in name(), deci_celsius in any::<i32>()) -> Temperature {
        Temperature { label, deci_celsius }
    }
}

prop_compose! {
    fn any_fan()(label in name(), rpm in small()) -> Fan {
        Fan { label, rpm }
    }
}

prop_compose! {
    fn any_power()(label in name(), milliwatts in small()) -> PowerDraw {
        PowerDraw { label, milliwatts }
    }
}

prop_compose! {
    fn any_process()(
        pid in 0..30_u32, start_ticks in 0..2_u64, name in name(), owner in name(), figures in vec(small(), 2),
        resident_kib in figure(), io in vec(option::of(small()), 2),
        state in prop_oneof![8 => Just('S'), 2 => Just('R'), 1 => any::<char>()],
    ) -> Process {
        Process {
            pid,
            start_ticks,
            name,
            owner,
            cpu_permille: figures[0],
            resident_kib,
            threads: figures[1],
            state,
            read_kib_s: io[0],
            write_kib_s: io[1],
        }
    }
}

prop_compose! {
    fn any_stuck()(pid in any::<u32>(), name in name()) -> Stuck {
        Stuck { pid, name }
    }
}

prop_compose! {
    fn any_unreadable()(source in name(), reason in any::<String>()) -> Unreadable {
        Unreadable { source, reason: Sentence::cut(&reason) }
    }
}

prop_compose! {
    fn any_sample()(
        system in any_system(),
        figures in vec(figure(), 2),
        counts in vec(small(), 7),
        cores in vec(any_core(), 0..5),
        memory in any_memory(),
        pressure in option::of(any_pressure()),
        filesystems in vec(any_filesystem(), 0..4),
        (disks, networks) in (vec(any_disk(), 0..4), vec(any_network(), 0..4)),
        (temperatures, fans) in (vec(any_temperature(), 0..4), vec(any_fan(), 0..3)),
        power in vec(any_power(), 0..3),
        (processes, stuck) in (vec(any_process(), 0..25), vec(any_stuck(), 0..9)),
        unreadable in vec(any_unreadable(), 0..2),
    ) -> Snapshot {
        Snapshot {
            skipped: figures[0],
            interval_ms: counts[0],
            uptime_secs: figures[1],
            load_centi: [counts[1], counts[2], counts[3]],
            cores,
            memory,
            pressure,
            filesystems,
            disks,
            networks,
            temperatures,
            fans,
            power,
            processes_total: counts[4],
            processes_readable: counts[5],
            processes_stuck: counts[6],
            processes,
            stuck,
            unreadable,
            ..system
        }
    }
}

/// What a hostile agent may do to the bytes of a delta.
fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    for (place, value) in damage {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    match damage.len() % 2 {
        0 => bytes,
        _ => bytes[..cut.index(bytes.len())].to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_decodes_to_what_was_measured(samples in vec(any_sample(), 1..8)) {
        let mut encoder = DeltaEncoder::new();
        let mut decoder = DeltaDecoder::new();
        for (tick, mut sample) in (1..).step_by(3).zip(samples) {
            sample.tick = tick;
            let withheld = encoder.withheld;
            let bytes = codec::encode(&encoder.encode(&sample)).unwrap();
            let frame = codec::decode::<StreamFrame>(&bytes).unwrap();
            prop_assert_eq!(decoder.apply(frame), Ok(Update::Sample(encoder.sent().unwrap())));
            if encoder.withheld == withheld {
                prop_assert_eq!(decoder.sample(), Some(&Snapshot { withheld, ..sample.quantised() }));
            }
        }
    }

    #[test]
    fn quantising_twice_changes_nothing_and_keeps_every_bound(sample in any_sample()) {
        let once = sample.quantised();
        prop_assert_eq!(once.check(), Ok(()));
        prop_assert_eq!(once.quantised(), once);
    }

    #[test]
    fn a_damaged_delta_is_refused_or_leads_to_a_sample_within_its_bounds(
        (mut first, mut second) in (any_sample(), any_sample()),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        (first.tick, second.tick) = (1, 2);
        let (key, delta) = key_and_delta(&first, &second);
        let bytes = damaged(codec::encode(&StreamFrame::Delta(delta)).unwrap(), &damage, cut);
        let mut decoder = DeltaDecoder::new();
        apply(&mut decoder, key).unwrap();
        let held = decoder.sample().cloned();
        match codec::decode::<StreamFrame>(&bytes).map(|frame| apply(&mut decoder, frame)) {
            Err(CodecError::TooLarge { .. } | CodecError::Malformed { .. } | CodecError::TrailingBytes { .. })
            | Ok(Err(_)) => prop_assert_eq!(decoder.sample(), held.as_ref()),
            Ok(Ok(())) => prop_assert_eq!(decoder.sample().unwrap().check(), Ok(())),
        }
    }

    #[test]
    fn random_bytes_never_panic(first in any_sample(), mut bytes in vec(any::<u8>(), 0..200), tag in 0..3_u8) {
        if let Some(byte) = bytes.first_mut() {
            *byte = tag;
        }
        let mut decoder = DeltaDecoder::new();
        apply(&mut decoder, DeltaEncoder::new().encode(&Snapshot { tick: 1, ..first })).unwrap();
        if let Ok(frame) = codec::decode::<StreamFrame>(&bytes) {
            let _refused_or_not = apply(&mut decoder, frame);
        }
        prop_assert_eq!(decoder.sample().unwrap().check(), Ok(()));
    }
}
