use proptest::{collection::vec, prelude::*};

use super::{super::block::tests::blocks, *};

fn file_of(tier: Tier, blocks: &[Block]) -> Vec<u8> {
    let records = blocks.iter().map(|block| block.encode().unwrap());
    [header(tier).to_vec()].into_iter().chain(records).collect::<Vec<_>>().concat()
}

fn read_all(bytes: &[u8], tier: Tier) -> (Vec<Block>, usize, Damage) {
    let mut blocks = Vec::new();
    let (end, damage) = read(bytes, tier, |block| blocks.push(block));
    (blocks, end, damage)
}

fn of_tier(tier: Tier) -> impl Strategy<Value = Vec<Block>> {
    vec(blocks().prop_filter("of this tier", move |block| block.tier == tier), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_cut_anywhere_is_read_up_to_the_cut(blocks in of_tier(Tier::Minute), cut in any::<prop::sample::Index>()) {
        let bytes = file_of(Tier::Minute, &blocks);
        let cut = cut.index(bytes.len());
        let (read, end, damage) = read_all(&bytes[..cut], Tier::Minute);
        prop_assert_eq!(&read[..], &blocks[..read.len()]);
        prop_assert!(end <= cut && damage.skipped == 0 && damage.foreign == 0);
        let (again, _, intact) = read_all(&bytes[..end], Tier::Minute);
        prop_assert_eq!(again, read);
        prop_assert!(end == 0 || intact == Damage::default(), "what was cut at the last good block is whole");
    }

    #[test]
    fn damage_in_the_middle_costs_no_block_behind_it(blocks in of_tier(Tier::Full), noise in vec(any::<u8>(), 1..100)) {
        let mut bytes = file_of(Tier::Full, &blocks[..1]);
        bytes.extend_from_slice(&noise);
        bytes.extend_from_slice(&file_of(Tier::Full, &blocks[1..])[HEADER..]);
        let (read, _, damage) = read_all(&bytes, Tier::Full);
        prop_assert_eq!(&read, &blocks);
        let in_the_middle = u32::from(blocks.len() > 1);
        prop_assert_eq!((damage.skipped, damage.torn), (in_the_middle, 1 - in_the_middle));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in vec(any::<u8>(), 0..400)) {
        for tier in [Tier::Full, Tier::Minute] {
            read_all(&bytes, tier);
            read_all(&[&header(tier)[..], &bytes].concat(), tier);
        }
    }
}

#[test]
fn a_file_of_nothing_but_marks_is_given_up_soon() {
    let bytes = [header(Tier::Full).to_vec(), Block::MARK.repeat(200_000)].concat();
    let (blocks, end, damage) = read_all(&bytes, Tier::Full);
    assert_eq!((blocks.len(), end, damage.torn), (0, HEADER, 1));
}

#[test]
fn a_file_of_another_version_or_tier_is_left_alone() {
    let mut other = header(Tier::Full);
    other[8] = 2;
    for bytes in [&other[..], &header(Tier::Minute), b"something else"] {
        assert_eq!(read_all(bytes, Tier::Full).2, Damage { foreign: 1, ..Damage::default() });
    }
}

proptest! {
    #[test]
    fn the_fuzzers_rules_hold_for_what_is_whole_and_for_noise(block in blocks(), noise in vec(any::<u8>(), 0..200)) {
        let kind = u8::from(block.tier == Tier::Minute);
        let file = [&[kind][..], &file_of(block.tier, std::slice::from_ref(&block)), &noise].concat();
        prop_assert!(check_any(&file));
        prop_assert!(check_any(&[vec![kind + 2], block.unpacked()].concat()));
        check_any(&noise);
    }
}
