//! The firmware's table of memory modules: DMTF's System Management BIOS (SMBIOS) reference specification, DSP0134, as Linux shows
//! it in `/sys/firmware/dmi/tables/DMI`.
//!
//! Only the two kinds of structures that are needed are read. Nothing in the table is trusted: a structure that is cut short has
//! what fits, and the table ends where it stops making sense.

use wire::{
    diagnostics::sections::hardware::{MAX_SLOTS, MemorySlot},
    text::Label,
};

/// Most structures that are looked at. A large server has some hundred.
const MAX_STRUCTURES: usize = 4096;

const PHYSICAL_MEMORY_ARRAY: u8 = 16;
const MEMORY_DEVICE: u8 = 17;
const END_OF_TABLE: u8 = 127;

/// What the table tells of memory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MemoryTable {
    pub(super) slots: Vec<MemorySlot>,
    /// How memory is protected against errors; blank if the table does not say.
    pub(super) protection: &'static str,
    /// Whether the table ended before its end, or had more than is read.
    pub(super) cut: bool,
}

/// Reads the table.
pub(super) fn parse(table: &[u8]) -> MemoryTable {
    let mut memory = MemoryTable::default();
    let mut rest = table;
    for _ in 0..MAX_STRUCTURES {
        let Some((structure, behind)) = Structure::split(rest) else { break };
        rest = behind;
        match structure.kind() {
            END_OF_TABLE => return memory,
            PHYSICAL_MEMORY_ARRAY if structure.is_main_memory() => memory.protection = structure.protection(),
            MEMORY_DEVICE if memory.slots.len() < MAX_SLOTS => memory.slots.push(structure.slot()),
            MEMORY_DEVICE => memory.cut = true,
            _ => {}
        }
    }
    // A table may end without saying so, but not within a structure.
    memory.cut |= !rest.is_empty();
    memory
}

/// One structure: a formatted area, whose second byte is its length, and the texts that it refers to by number.
#[derive(Debug, Clone, Copy)]
struct Structure<'t> {
    formatted: &'t [u8],
    texts: &'t [u8],
}

impl<'t> Structure<'t> {
    /// The structure at the start of `table`, and what is behind it.
    fn split(table: &'t [u8]) -> Option<(Self, &'t [u8])> {
        let length = usize::from(*table.get(1)?);
        // Kind, length, handle.
        let (formatted, behind) = (length >= 4).then(|| table.split_at_checked(length))??;
        // Two zeroes end the texts, also where there are none.
        let end = behind.windows(2).position(|pair| pair == [0, 0])?;
        Some((Self { formatted, texts: &behind[..end] }, &behind[end + 2..]))
    }

    fn kind(&self) -> u8 {
        self.byte(0).unwrap_or(END_OF_TABLE)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.formatted.get(at).copied()
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(*self.formatted.get(at..)?.first_chunk()?))
    }

    fn double_word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.formatted.get(at..)?.first_chunk()?))
    }

    /// The text whose number, counted from 1, is at `at`; blank where there is none, or where the vendor left the form empty.
    fn text(&self, at: usize) -> Label {
        let number = self.byte(at).map_or(0, usize::from);
        let texts = number.checked_sub(1).and_then(|index| self.texts.split(|byte| *byte == 0).nth(index));
        let text = String::from_utf8_lossy(texts.unwrap_or_default());
        let text = text.trim();
        Label::cut(if super::is_filler(text) { "" } else { text })
    }

    /// Whether an array of memory is for programs, and not for video, flash or cache (7.17.2).
    fn is_main_memory(&self) -> bool {
        self.byte(5) == Some(3)
    }

    /// How an array is protected (7.17.3).
    fn protection(&self) -> &'static str {
        match self.byte(6) {
            Some(3) => "none",
            Some(4) => "parity",
            Some(5) => "single-bit ECC",
            Some(6) => "multi-bit ECC",
            Some(7) => "CRC",
            _ => "",
        }
    }

    /// A memory device (7.18).
    fn slot(&self) -> MemorySlot {
        MemorySlot {
            locator: self.text(0x10),
            size_mib: self.size_mib(),
            kind: Label::cut(self.byte(0x12).map_or("", memory_kind)),
            form: Label::cut(self.byte(0x0e).map_or("", form)),
            speed_mt_s: self.speed(0x15, 0x54),
            configured_mt_s: self.speed(0x20, 0x58),
            vendor: self.text(0x17),
            part: self.text(0x1a),
            serial: self.text(0x18),
        }
    }

    /// The size has 15 bits and one for its unit; larger ones stand elsewhere (7.18.5).
    fn size_mib(&self) -> Option<u64> {
        match self.word(0x0c)? {
            0xffff => None,
            0x7fff => self.double_word(0x1c).map(|size| u64::from(size & 0x7fff_ffff)),
            kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) / 1024),
            mib => Some(u64::from(mib)),
        }
    }

    /// A speed that does not fit into 16 bits stands at `extended`.
    fn speed(&self, at: usize, extended: usize) -> u32 {
        match self.word(at) {
            Some(0xffff) => self.double_word(extended).map_or(0, |speed| speed & 0x7fff_ffff),
            speed => speed.map_or(0, u32::from),
        }
    }
}

/// 7.18.2, of which those that are sold today and were in this century.
fn memory_kind(kind: u8) -> &'static str {
    match kind {
        0x0f => "SDRAM",
        0x12 => "DDR",
        0x13 => "DDR2",
        0x14 => "DDR2 FB-DIMM",
        0x18 => "DDR3",
        0x1a => "DDR4",
        0x1b => "LPDDR",
        0x1c => "LPDDR2",
        0x1d => "LPDDR3",
        0x1e => "LPDDR4",
        0x1f => "non-volatile",
        0x20 => "HBM",
        0x21 => "HBM2",
        0x22 => "DDR5",
        0x23 => "LPDDR5",
        0x24 => "HBM3",
        _ => "",
    }
}

/// 7.18.1, of which those that hold such memory.
fn form(form: u8) -> &'static str {
    match form {
        0x03 => "SIMM",
        0x05 => "chip",
        0x09 => "DIMM",
        0x0b => "soldered",
        0x0c => "RIMM",
        0x0d => "SODIMM",
        0x0f => "FB-DIMM",
        0x10 => "die",
        0x11 => "CAMM",
        _ => "",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A structure of `kind` with `formatted` behind its handle, and its texts.
    pub(in super::super) fn structure(kind: u8, formatted: &[u8], texts: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, u8::try_from(formatted.len() + 4).unwrap(), 0x34, 0x12];
        bytes.extend(formatted);
        for text in texts {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        bytes.extend(if texts.is_empty() { &[0, 0][..] } else { &[0] });
        bytes
    }

    /// A memory device as version 3.3 of the specification has it.
    pub(in super::super) fn device(size: u16, extended_mib: u32, texts: &[&str]) -> Vec<u8> {
        let mut formatted = [0_u8; 0x5c];
        formatted[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
        formatted[0x0e] = 0x0d;
        formatted[0x10] = 1;
        formatted[0x12] = 0x22;
        formatted[0x15..0x17].copy_from_slice(&5600_u16.to_le_bytes());
        formatted[0x17] = 2;
        formatted[0x18] = 3;
        formatted[0x1a] = 4;
        formatted[0x1c..0x20].copy_from_slice(&extended_mib.to_le_bytes());
        formatted[0x20..0x22].copy_from_slice(&0xffff_u16.to_le_bytes());
        formatted[0x58..0x5c].copy_from_slice(&70_000_u32.to_le_bytes());
        structure(MEMORY_DEVICE, &formatted[4..], texts)
    }

    fn table(structures: &[Vec<u8>]) -> Vec<u8> {
        structures.concat()
    }

    #[test]
    fn a_laptop_with_one_module_and_an_empty_slot() {
        let array = structure(PHYSICAL_MEMORY_ARRAY, &[3, 3, 5, 0, 0, 0, 0, 0xfe, 0xff, 2, 0], &[]);
        let full = device(0x7fff, 32_768, &["DIMM A", "Samsung", "1A2B3C4D", "M425R4GA3BB0-CQKOD"]);
        let empty = device(0, 0, &["DIMM B", "Not Specified", "Not Specified", "Not Specified"]);
        let bios = structure(0, &[1, 2, 3], &["LENOVO", "1.0"]);
        let memory = parse(&table(&[bios, array, full, empty, structure(END_OF_TABLE, &[], &[])]));
        assert_eq!((memory.protection, memory.cut, memory.slots.len()), ("single-bit ECC", false, 2));
        let [full, empty] = &memory.slots[..] else { panic!("two slots") };
        assert_eq!((full.locator.raw(), full.size_mib, full.kind.raw()), ("DIMM A", Some(32_768), "DDR5"));
        assert_eq!((full.form.raw(), full.speed_mt_s, full.configured_mt_s), ("SODIMM", 5600, 70_000));
        assert_eq!((full.serial.raw(), full.part.raw()), ("1A2B3C4D", "M425R4GA3BB0-CQKOD"));
        assert_eq!((empty.locator.raw(), empty.size_mib, empty.vendor.raw()), ("DIMM B", Some(0), ""));
    }

    #[test]
    fn sizes_stand_in_three_ways() {
        let size = |size, extended| parse(&device(size, extended, &[])).slots[0].size_mib;
        assert_eq!(size(0x2000, 0), Some(8192));
        assert_eq!(size(0x8000 | 2048, 0), Some(2), "in KiB");
        assert_eq!(size(0xffff, 0), None);
        assert_eq!(size(0x7fff, 0x8000_0000 | 65_536), Some(65_536));
    }

    #[test]
    fn a_structure_of_an_old_version_has_what_fits() {
        let formatted = [0, 0, 0, 0, 64, 0, 64, 0, 0, 0x10];
        let memory = parse(&structure(MEMORY_DEVICE, &formatted, &["DIMM0"]));
        let slot = &memory.slots[0];
        assert_eq!((slot.size_mib, slot.speed_mt_s, slot.locator.raw()), (Some(4096), 0, ""));
    }

    #[test]
    fn a_table_that_lies_is_read_as_far_as_it_makes_sense() {
        let good = device(0x2000, 0, &["A", "B", "C", "D"]);
        for end in 0..good.len() {
            let memory = parse(&good[..end]);
            assert!(memory.slots.is_empty() && memory.cut == (end > 0), "cut at {end}");
        }
        for length in 0..4 {
            assert_eq!(
                parse(&[MEMORY_DEVICE, length, 0, 0, 0, 0]),
                MemoryTable { cut: true, ..MemoryTable::default() }
            );
        }
        let mut beyond = good.clone();
        beyond[0x10] = 200;
        beyond[0x18] = 0;
        let slots = parse(&beyond).slots;
        assert_eq!((slots[0].locator.raw(), slots[0].serial.raw()), ("", ""));
        let memory = parse(&structure(MEMORY_DEVICE, &[0; 0x58], &["\u{1b}[2J"]));
        assert_eq!(memory.slots.len(), 1);
    }

    #[test]
    fn a_table_without_end_is_given_up() {
        let many = device(0x2000, 0, &[]).repeat(MAX_SLOTS + 1);
        assert!(parse(&many).cut);
        let endless = structure(1, &[], &[]).repeat(MAX_STRUCTURES + 1);
        assert!(parse(&endless).cut);
        assert_eq!(parse(&[0xff; 4096]).slots.len(), 0);
    }
}
