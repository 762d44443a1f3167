use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let mut names =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_whole_with_exactly_the_asked_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    write_atomic(&path, b"first and longer", 0o600).unwrap();
    assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"first and longer"[..], 0o600));
    write_atomic(&path, b"second", 0o666).unwrap();
    assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (&b"second"[..], 0o666), "whatever the mask");
    assert_eq!(names(dir.path()), ["key"], "nothing is left over");
}

#[test]
fn a_file_that_cannot_be_replaced_stays_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::create_dir(&path).unwrap();
    let error = write_atomic(&path, b"new", 0o600).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
    let source = std::error::Error::source(&error).expect("the system's own words").to_string();
    assert!(!source.is_empty() && !error.to_string().contains(&source), "they are told once: {error}: {source}");
    assert_eq!(names(dir.path()), ["taken"]);
    let nowhere = write_atomic(&dir.path().join("missing").join("key"), b"new", 0o600);
    assert!(matches!(nowhere, Err(FileError::Io { .. })), "{nowhere:?}");
    assert!(matches!(write_atomic(Path::new("/"), b"new", 0o600), Err(FileError::NoFileName { .. })));
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    write_atomic(&target, b"untouched", 0o600).unwrap();
    symlink(&target, &link).unwrap();
    write_atomic(&link, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"untouched");
    assert_eq!(fs::read(&link).unwrap(), b"new");
}

#[test]
fn temporary_files_of_a_crashed_program_are_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let (_file, first) = create_temporary(&path, 0o600).unwrap();
    let (_file, second) = create_temporary(&path, 0o600).unwrap();
    assert_ne!(first, second);
    write_atomic(&path, b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn a_private_directory_is_made_with_its_parents() {
    let dir = tempfile::tempdir().unwrap();
    let (above, below) = (dir.path().join("above"), dir.path().join("above").join("below"));
    private_dir(&below).unwrap();
    assert_eq!((mode(&above), mode(&below)), (0o700, 0o700));
    private_dir(&below).unwrap();
}

#[test]
fn a_directory_in_which_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    for (bits, good) in [(0o700, true), (0o755, true), (0o770, false), (0o702, false), (0o1777, false)] {
        fs::set_permissions(&open, fs::Permissions::from_mode(bits)).unwrap();
        let result = private_dir(&open);
        assert_eq!(result.is_ok(), good, "{bits:o}");
        assert!(good || result.unwrap_err().to_string().contains("chmod go-w"));
    }
}

#[test]
fn a_file_is_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_atomic(&path, b"", 0o600).unwrap();
    assert!(private_dir(&path).is_err());
    assert!(private_dir(&path.join("below")).is_err());
}
