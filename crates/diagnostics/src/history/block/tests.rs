use proptest::{collection::vec, prelude::*};

use super::*;

fn subjects() -> impl Strategy<Value = Option<Subject>> {
    let label = |name: &str| Label::cut(name);
    prop_oneof![
        Just(None),
        (0..Place::ALL.len()).prop_map(|place| Some(Subject::Place(Place::ALL[place]))),
        (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Some(Subject::Device { major, minor })),
        Just(Some(Subject::Disk(label("nvme0n1")))),
        Just(Some(Subject::Network(label("wlan0")))),
        Just(Some(Subject::Sensor(label("Package id 0")))),
        Just(Some(Subject::Battery(label("BAT0")))),
        Just(Some(Subject::Program(label("backup")))),
    ]
}

fn keys() -> impl Strategy<Value = SeriesKey> {
    ((0..Figure::ALL.len()), subjects())
        .prop_map(|(figure, subject)| SeriesKey { figure: Figure::ALL[figure], subject })
}

fn codes() -> impl Strategy<Value = i32> {
    prop_oneof![5 => -3..100_i32, 1 => -i32::MAX..=i32::MAX]
}

pub(crate) fn blocks() -> impl Strategy<Value = Block> {
    let tier = prop_oneof![Just(Tier::Full), Just(Tier::Minute)];
    (tier, 0..LAST_MS, 1..=MAX_STEP_MS, any::<i64>(), 0..=SAMPLES).prop_flat_map(
        |(tier, start, step_ms, step, count)| {
            // Where one column has nothing, none has.
            let rows = vec(proptest::option::weighted(0.9, vec(codes(), tier.columns())), count);
            let columns = rows.prop_map(move |rows| {
                let column =
                    |column: usize| rows.iter().map(|row| row.as_ref().map_or(ABSENT, |row| row[column])).collect();
                (0..tier.columns()).map(column).collect::<Vec<_>>()
            });
            proptest::collection::btree_map(keys(), columns, 0..6).prop_map(move |series| Block {
                tier,
                start: WallTime(start),
                step_ms,
                clock_step_ms: step,
                count,
                series,
            })
        },
    )
}

proptest! {
    #[test]
    fn a_block_is_read_as_it_was_written(block in blocks()) {
        let record = block.encode().unwrap();
        prop_assert_eq!(Block::decode(&record, block.tier), Ok((block, record.len())));
    }

    #[test]
    fn a_block_that_ends_early_is_short(block in blocks(), cut in any::<prop::sample::Index>()) {
        let record = block.encode().unwrap();
        let cut = cut.index(record.len());
        prop_assert_eq!(Block::decode(&record[..cut], block.tier), Err(Bad::Short));
    }

    #[test]
    fn a_block_with_a_changed_bit_is_refused(block in blocks(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let mut record = block.encode().unwrap();
        let at = at.index(record.len());
        record[at] ^= 1 << bit;
        prop_assert!(Block::decode(&record, block.tier).is_err());
    }

    /// Behind a right checksum, anything may stand.
    #[test]
    fn no_content_makes_reading_panic(content in vec(any::<u8>(), 0..300)) {
        for tier in [Tier::Full, Tier::Minute] {
            if let Some(block) = Block::from_unpacked(&content, tier) {
                let again = block.encode().unwrap();
                prop_assert_eq!(Block::decode(&again, tier), Ok((block, again.len())));
            }
        }
    }
}

/// A record with right lengths and checksum.
fn sealed(unpacked: usize, body: &[u8]) -> Vec<u8> {
    let mut record = Block::MARK.to_vec();
    record.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
    record.extend_from_slice(&u32::try_from(unpacked).unwrap().to_le_bytes());
    let crc = crc32fast::hash(&[&record[4..], body].concat());
    record.extend_from_slice(&crc.to_le_bytes());
    record.extend_from_slice(body);
    record
}

#[test]
fn a_block_that_unpacks_to_more_than_it_says_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    assert!(bomb.len() < 16 * 1024, "it is a bomb");
    for unpacked in [0, 1000, MAX_UNPACKED] {
        assert_eq!(Block::decode(&sealed(unpacked, &bomb), Tier::Full), Err(Bad::Damaged));
    }
    assert_eq!(Block::decode(&sealed(64 << 20, &bomb), Tier::Full), Err(Bad::Damaged), "nor one that says so");
}

#[test]
fn names_that_a_person_may_have_given_are_not_written() {
    let named = |name: &str| SeriesKey::of(Figure::NetworkDrops, Subject::Network(Label::cut(name)));
    let series = ["anas-vpn", "wlan0", "enx0011223344aa"].map(|name| (named(name), vec![vec![7]]));
    let block = Block {
        tier: Tier::Full,
        start: WallTime(1000),
        step_ms: 1000,
        clock_step_ms: 0,
        count: 1,
        series: series.into(),
    };
    let (read, _) = Block::decode(&block.encode().unwrap(), Tier::Full).unwrap();
    assert_eq!(read.series.into_keys().collect::<Vec<_>>(), [named("wlan0")]);
}

/// Files know figures and places by their order.
#[test]
fn the_bytes_of_a_block_stay_the_same() {
    let keys = [
        (SeriesKey::machine(Figure::MemoryAvailable), vec![vec![5, ABSENT, 6]]),
        (SeriesKey::of(Figure::SpaceAvailable, Subject::Place(Place::Home)), vec![vec![-1, 0, 1]]),
        (SeriesKey::of(Figure::Temperature, Subject::Sensor(Label::cut("acpitz"))), vec![vec![80, 80, 81]]),
    ];
    let block = Block {
        tier: Tier::Full,
        start: WallTime(1_000_000),
        step_ms: 1000,
        clock_step_ms: -7,
        count: 3,
        series: keys.into(),
    };
    let bytes = block.unpacked().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        bytes,
        [
            "c0843de8070d0303",
            "008020",
            "0104808040",
            "050661637069747a8080808010",
            "01050a02",
            "00010202",
            "00a0010002",
        ]
        .concat()
    );
}
