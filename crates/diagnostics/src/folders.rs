//! Listing folders that may be of any size.

use std::{ffi::OsString, fs, io, path::Path};

/// What is in a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Names in order.
    pub(crate) names: Vec<OsString>,
    /// Whether there are more than were asked for; which ones are missing is up to the file system.
    pub(crate) cut: bool,
}

/// The names in `folder`, at most `most` of them.
pub(crate) fn list(folder: &Path, most: usize) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(folder)? {
        if listing.names.len() >= most {
            listing.cut = true;
            break;
        }
        listing.names.push(entry?.file_name());
    }
    listing.names.sort();
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_in_order_and_no_further_than_asked() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b", "c", "a"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let all = list(folder.path(), 3).unwrap();
        assert_eq!((all.names, all.cut), (["a", "b", "c"].map(OsString::from).to_vec(), false));
        let some = list(folder.path(), 2).unwrap();
        assert_eq!((some.names.len(), some.cut), (2, true));
        assert_eq!(list(&folder.path().join("none"), 2).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
