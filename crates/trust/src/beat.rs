//! Keys and tags of sleeping agents' packets ([`wire::beat`]).
//!
//! The relay derives the key of a slot from a root that it keeps, so that it can check the first beat after a restart without having
//! kept any key. Both are keyed BLAKE3: a beat is checked in well under a microsecond and without allocating, forty thousand times a
//! second. Domains are kept apart by what is hashed first: a tag covers a packet that begins with its type (0x20..=0x25), a derivation
//! and a nonce begin with a letter.

use std::fmt;

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq as _;
use wire::{
    beat::{BEAT_BYTES, BEAT_TAG_BYTES, Beat, SleepSlot, SlotKey},
    ids::AgentId,
};
use zeroize::Zeroizing;

/// What the keys of all slots of one period are derived from. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct BeatRoot(Zeroizing<[u8; 32]>);

impl BeatRoot {
    /// Bytes of a root.
    pub const BYTES: usize = 32;

    /// Draws a root.
    pub fn draw(rng: &mut dyn CryptoRngCore) -> Self {
        let mut bytes = Zeroizing::new([0; Self::BYTES]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// A root that was kept.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// To be kept where nobody else reads.
    pub fn to_bytes(&self) -> Zeroizing<[u8; Self::BYTES]> {
        self.0.clone()
    }

    /// The key of a slot in the use by `agent`.
    pub fn slot_key(&self, slot: SleepSlot, agent: AgentId) -> SlotKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"slot").update(&slot.slot.to_le_bytes()).update(&slot.generation.to_le_bytes()).update(&agent.0);
        SlotKey(*hasher.finalize().as_bytes())
    }

    /// A number that nobody else can tell for `about`. Of a root that is used for nothing else.
    pub fn nonce(&self, about: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"nonce").update(about);
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for BeatRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeatRoot(..)")
    }
}

/// The packet with its tag. `answers`: the nonce that a response answers.
pub fn seal(key: &SlotKey, beat: &Beat, answers: Option<u64>) -> [u8; BEAT_BYTES] {
    beat.to_bytes(tag(key, beat, answers))
}

/// Whether a packet was made by somebody who has the key. Takes the same time whatever the tag is.
pub fn is_genuine(key: &SlotKey, beat: &Beat, tag_is: &[u8; BEAT_TAG_BYTES], answers: Option<u64>) -> bool {
    tag(key, beat, answers).ct_eq(tag_is).into()
}

fn tag(key: &SlotKey, beat: &Beat, answers: Option<u64>) -> [u8; BEAT_TAG_BYTES] {
    let mut covered = [0; 24];
    let (head, nonce) = covered.split_at_mut(16);
    head.copy_from_slice(&beat.head());
    let covered = match answers {
        Some(answers) => {
            nonce.copy_from_slice(&answers.to_le_bytes());
            covered.as_slice()
        }
        None => &*head,
    };
    let mut tag = [0; BEAT_TAG_BYTES];
    tag.copy_from_slice(&blake3::keyed_hash(&key.0, covered).as_bytes()[..BEAT_TAG_BYTES]);
    tag
}

#[cfg(test)]
mod tests {
    use wire::beat::{BeatKind, KeyEpoch};

    use super::*;

    const SLOT: SleepSlot = SleepSlot { slot: 7, generation: 3 };
    const AGENT: AgentId = AgentId([9; 16]);

    fn root() -> BeatRoot {
        BeatRoot::from_bytes([1; 32])
    }

    fn beat() -> Beat {
        Beat { kind: BeatKind::Wake, epoch: KeyEpoch::of(1), slot: SLOT, counter: 5 }
    }

    #[test]
    fn keys_and_tags_never_change() {
        let key = root().slot_key(SLOT, AGENT);
        let shown = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(shown(&key.0), "895971d10530eb50067ed146f439faa1c44e16f62ddef958e9a677dd3e7a099f");
        let tags = [None, Some(1)].map(|answers| shown(&seal(&key, &beat(), answers)[16..]));
        assert_eq!(tags, ["1099d2c44774534708a3cace0a1d2520", "048ff1b403a9bbf68511a2a1c28eba6c"]);
    }

    #[test]
    fn every_slot_generation_agent_and_root_has_a_key_of_its_own() {
        let key = root().slot_key(SLOT, AGENT);
        let others = [
            root().slot_key(SleepSlot { slot: 8, ..SLOT }, AGENT),
            root().slot_key(SleepSlot { generation: 4, ..SLOT }, AGENT),
            root().slot_key(SLOT, AgentId([8; 16])),
            BeatRoot::from_bytes([2; 32]).slot_key(SLOT, AGENT),
        ];
        assert!(others.iter().all(|other| *other != key));
    }

    #[test]
    fn a_packet_that_was_changed_anywhere_is_not_genuine() {
        let key = root().slot_key(SLOT, AGENT);
        for answers in [None, Some(77)] {
            let packet = seal(&key, &beat(), answers);
            let (read, tag) = Beat::parse(&packet).unwrap();
            assert!(is_genuine(&key, &read, &tag, answers));
            assert!(!is_genuine(&key, &read, &tag, Some(78)));
            assert!(!is_genuine(&SlotKey([0; 32]), &read, &tag, answers));
            for at in 0..packet.len() {
                let mut changed = packet;
                changed[at] ^= 1;
                let taken = Beat::parse(&changed).is_some_and(|(read, tag)| is_genuine(&key, &read, &tag, answers));
                assert!(!taken, "byte {at}");
            }
        }
    }
}
