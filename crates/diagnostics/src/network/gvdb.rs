//! Reads one value of a database in the format of GVDB, which dconf keeps settings in (`gvdb-format.h` of GVDB). It was written by any
//! program of the person's, so nothing in it is trusted: every place is looked up within the file, and every step shortens a name.
//!
//! A header says where the table is. The table has a filter and buckets, which are for quick lookups and are passed over, and then items:
//! a part of a name, the item whose name stands in front of it, and where the value is.

const SIGNATURE: &[u8] = b"GVariant";

/// Bytes of an item.
const ITEM: usize = 24;

/// The parent of an item that has none.
const NOBODY: u32 = u32::MAX;

/// What there is of the file, whose table was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Database<'f> {
    file: &'f [u8],
    items: &'f [[u8; ITEM]],
}

/// A value of one of the types that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'f> {
    Text(&'f str),
    Number(i32),
    Truth(bool),
}

impl<'f> Database<'f> {
    /// `None` if `file` is none, or one of a machine with another order of bytes.
    pub(super) fn parse(file: &'f [u8]) -> Option<Self> {
        let header = file.strip_prefix(SIGNATURE)?;
        let is_known = number(header, 0)? == 0;
        let table = file.get(place(header, 8)?).filter(|_| is_known)?;
        // The filter's number of words shares its field with a shift.
        let filter = number(table, 0)? & ((1 << 27) - 1);
        let words = usize::try_from(filter.checked_add(number(table, 4)?)?).ok()?;
        let (items, _) = table.get(words.checked_mul(4)?.checked_add(8)?..)?.as_chunks();
        Some(Self { file, items })
    }

    /// The value of `key`, such as `/system/proxy/mode`; `None` if there is none, or it is of another type.
    pub(super) fn value(&self, key: &str) -> Option<Value<'f>> {
        let item = self.items.iter().find(|item| item[14] == b'v' && self.is_called(item, key).is_some())?;
        let value = self.file.get(place(item, 16)?)?;
        // A variant: the value, a zero, and its type.
        let (value, kind) = value.split_at_checked(value.iter().rposition(|byte| *byte == 0)?)?;
        match kind {
            b"\0s" => Some(Value::Text(std::str::from_utf8(value.strip_suffix(b"\0")?).ok()?)),
            b"\0i" => Some(Value::Number(i32::from_le_bytes(value.try_into().ok()?))),
            b"\0b" => Some(Value::Truth(value == [1])),
            _ => None,
        }
    }

    /// `Some` if the names of `item` and of those in front of it make `key`.
    fn is_called(&self, mut item: &'f [u8; ITEM], key: &str) -> Option<()> {
        let mut rest = key.as_bytes();
        loop {
            let start = usize::try_from(number(item, 8)?).ok()?;
            let length = usize::from(u16::from_le_bytes([item[12], item[13]]));
            let name = self.file.get(start..start.checked_add(length)?).filter(|name| !name.is_empty())?;
            rest = rest.strip_suffix(name)?;
            match number(item, 4)? {
                NOBODY => return rest.is_empty().then_some(()),
                parent => item = self.items.get(usize::try_from(parent).ok()?)?,
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// From where to where something is in the file.
fn place(bytes: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let end = |at| usize::try_from(number(bytes, at)?).ok();
    Some(end(at)?..end(at + 4)?)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by `dconf compile` of dconf 0.40.
    pub(in crate::network) const REAL: &[u8] = include_bytes!("testdata/dconf");

    #[test]
    fn a_database_of_dconf_is_read() {
        let database = Database::parse(REAL).unwrap();
        let cases = [
            ("/system/proxy/mode", Some(Value::Text("manual"))),
            ("/system/proxy/http/host", Some(Value::Text("proxy.corp.example"))),
            ("/system/proxy/http/port", Some(Value::Number(3128))),
            ("/system/proxy/http/use-authentication", Some(Value::Truth(true))),
            ("/org/gnome/desktop/interface/clock-show-date", Some(Value::Truth(true))),
            // A list.
            ("/system/proxy/ignore-hosts", None),
            ("/system/proxy/", None),
            ("/system/proxy/socks/host", None),
            ("mode", None),
            ("", None),
        ];
        for (key, value) in cases {
            assert_eq!(database.value(key), value, "{key}");
        }
    }

    #[test]
    fn what_is_no_database_is_none() {
        assert!(Database::parse(b"").is_none());
        assert!(Database::parse(SIGNATURE).is_none());
        assert!(Database::parse(b"raVGtnai\0\0\0\0\0\0\0\0\x18\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0").is_none());
        for length in 0..0x70 {
            assert!(Database::parse(&REAL[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn an_item_that_is_its_own_parent_ends() {
        let mut file = REAL.to_vec();
        let items = file.len() - Database::parse(REAL).unwrap().items.as_flattened().len();
        assert!(items > 0);
        for place in (0x70..0x250).step_by(ITEM) {
            let own = u32::try_from((place - 0x70) / ITEM).unwrap();
            file[place + 4..place + 8].copy_from_slice(&own.to_le_bytes());
        }
        assert_eq!(Database::parse(&file).unwrap().value("/system/proxy/mode"), None);
    }

    proptest! {
        #[test]
        fn a_database_that_somebody_changed_is_read_all_the_same(
            changes in proptest::collection::vec((0..REAL.len(), any::<u8>()), 0..32),
            length in 0..=REAL.len(),
        ) {
            let mut file = REAL.to_vec();
            for (at, byte) in changes {
                file[at] = byte;
            }
            file.truncate(length);
            if let Some(database) = Database::parse(&file) {
                for key in ["/system/proxy/mode", "/system/proxy/http/port", "/", ""] {
                    let _any = database.value(key);
                }
            }
        }

        #[test]
        fn whatever_follows_the_signature_is_read(rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(database) = Database::parse(&[SIGNATURE, &[0; 4], &rest].concat()) {
                let _any = database.value("/system/proxy/mode");
            }
        }
    }
}
