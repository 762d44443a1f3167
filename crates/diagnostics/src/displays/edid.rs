//! How a screen describes itself: VESA's Enhanced Extended Display Identification Data (E-EDID, release A, revision 2), of which the
//! first block is read. Extensions tell modes and colours.
//!
//! Nothing in it is trusted: cheap screens and adapters send anything.

use wire::{diagnostics::sections::displays::Monitor, text::Label};

const HEADER: [u8; 8] = [0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00];
const BLOCK_BYTES: usize = 128;

/// The four descriptors of 18 bytes.
const DESCRIPTORS: std::ops::Range<usize> = 54..126;

const SERIAL: u8 = 0xff;
const NAME: u8 = 0xfc;

/// Reads the first block; `None` if it is none. A wrong checksum is no reason to throw away the rest: screens that send one work.
pub(super) fn parse(bytes: &[u8]) -> Option<Monitor> {
    let block = bytes.first_chunk::<BLOCK_BYTES>()?;
    if !block.starts_with(&HEADER) {
        return None;
    }
    let number = u32::from_le_bytes([block[12], block[13], block[14], block[15]]);
    let mut monitor = Monitor {
        vendor: vendor(u16::from_be_bytes([block[8], block[9]])),
        product: u16::from_le_bytes([block[10], block[11]]),
        // Counted from 1990; 0 was not given out.
        year: if block[17] == 0 { 0 } else { u16::from(block[17]) + 1990 },
        // In centimetres; one of them 0 is the ratio of a projector.
        width_mm: if block[22] == 0 { 0 } else { u16::from(block[21]) * 10 },
        height_mm: if block[21] == 0 { 0 } else { u16::from(block[22]) * 10 },
        // Most screens put 0 or 1 or 16843009 here and their serial number into a text.
        serial: if matches!(number, 0 | 1 | 0x0101_0101 | u32::MAX) {
            Label::default()
        } else {
            Label::cut(&number.to_string())
        },
        ..Monitor::default()
    };
    for (index, descriptor) in block[DESCRIPTORS].chunks_exact(18).enumerate() {
        match descriptor {
            [0, 0, 0, SERIAL, _, text @ ..] if !text_of(text).is_blank() => monitor.serial = text_of(text),
            [0, 0, 0, NAME, _, text @ ..] => monitor.name = text_of(text),
            // The first descriptor is the mode that the screen prefers.
            [low, high, ..] if index == 0 && (*low, *high) != (0, 0) => read_timing(descriptor, &mut monitor),
            _ => {}
        }
    }
    Some(monitor)
}

/// Three letters of five bits each.
fn vendor(code: u16) -> Label {
    let letter = |shift: u16| u8::try_from(code >> shift & 0x1f).ok().filter(|letter| (1..=26).contains(letter));
    let letters = [letter(10), letter(5), letter(0)];
    let letters = letters.into_iter().map(|letter| Some(char::from(b'A' - 1 + letter?))).collect::<Option<String>>();
    Label::cut(&letters.unwrap_or_default())
}

/// A text of 13 bytes that ends at a line end.
fn text_of(bytes: &[u8]) -> Label {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    // Code page 437, of which nobody uses more than ASCII.
    let text = bytes[..end].iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' });
    Label::cut(text.collect::<String>().trim())
}

/// A detailed timing: pixels in 12 bits each, and the size of the picture in millimetres, which is more exact than the centimetres.
fn read_timing(timing: &[u8], monitor: &mut Monitor) {
    let &[_, _, width, _, high_width, height, _, high_height, _, _, _, _, width_mm, height_mm, high_mm, ..] = timing
    else {
        return;
    };
    let twelve = |low: u8, high: u8| u16::from(low) | u16::from(high & 0xf0) << 4;
    monitor.width_pixels = twelve(width, high_width);
    monitor.height_pixels = twelve(height, high_height);
    let (width_mm, height_mm) = (twelve(width_mm, high_mm), twelve(height_mm, high_mm << 4));
    if width_mm != 0 && height_mm != 0 {
        (monitor.width_mm, monitor.height_mm) = (width_mm, height_mm);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A screen as they are sold: 2560x1440, 597 mm by 336 mm.
    pub(in super::super) fn office_screen() -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&HEADER);
        // D, E, L.
        block[8..10].copy_from_slice(&(4_u16 << 10 | 5 << 5 | 12).to_be_bytes());
        block[10..12].copy_from_slice(&0x4185_u16.to_le_bytes());
        block[12..16].copy_from_slice(&808_793_420_u32.to_le_bytes());
        block[16..18].copy_from_slice(&[12, 30]);
        block[21..23].copy_from_slice(&[60, 34]);
        block[54..72].copy_from_slice(&[
            0x56, 0x5e, 0x00, 0xa0, 0xa0, 0xa0, 0x29, 0x50, 0x30, 0x20, 0x35, 0x00, 0x55, 0x50, 0x21, 0x00, 0x00, 0x1a,
        ]);
        block[72..90].copy_from_slice(b"\0\0\0\xff\0JKVP2X3\n     ");
        block[90..108].copy_from_slice(b"\0\0\0\xfc\0DELL U2719D\n ");
        block
    }

    #[test]
    fn a_screen_tells_maker_model_size_and_serial_number() {
        let monitor = parse(&office_screen()).unwrap();
        assert_eq!((monitor.vendor.raw(), monitor.product, monitor.year), ("DEL", 0x4185, 2020));
        assert_eq!((monitor.name.raw(), monitor.serial.raw()), ("DELL U2719D", "JKVP2X3"));
        assert_eq!((monitor.width_pixels, monitor.height_pixels), (2560, 1440));
        assert_eq!((monitor.width_mm, monitor.height_mm), (597, 336));
    }

    #[test]
    fn a_number_is_the_serial_number_where_no_text_is() {
        let mut block = office_screen();
        block[75] = 0xfe;
        assert_eq!(parse(&block).unwrap().serial.raw(), "808793420");
        block[12..16].copy_from_slice(&0x0101_0101_u32.to_le_bytes());
        assert!(parse(&block).unwrap().serial.is_blank(), "a number that a million screens have");
    }

    #[test]
    fn a_projector_has_no_size() {
        let mut block = office_screen();
        block[22] = 0;
        block[66..69].copy_from_slice(&[0; 3]);
        let monitor = parse(&block).unwrap();
        assert_eq!((monitor.width_mm, monitor.height_mm, monitor.width_pixels), (0, 0, 2560));
    }

    #[test]
    fn what_no_screen_sends_is_read_without_harm() {
        let good = office_screen();
        for end in 0..good.len() {
            assert!(parse(&good[..end]).is_none(), "cut at {end}");
        }
        assert!(parse(&[0; 256]).is_none());
        let mut noise = [0xff; 256];
        noise[..8].copy_from_slice(&HEADER);
        let monitor = parse(&noise).unwrap();
        assert_eq!((monitor.vendor.raw(), monitor.serial.raw()), ("", ""));
        assert_eq!((monitor.width_pixels, monitor.width_mm), (4095, 4095));
        let mut escape = good;
        escape[95..99].copy_from_slice(b"\x1b[2J");
        assert_eq!(parse(&escape).unwrap().name.raw(), "[2J U2719D");
    }
}
