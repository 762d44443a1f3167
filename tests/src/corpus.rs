//! The fuzzers' corpus, read again on every test run: what once led somewhere must still keep every rule.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a crate of its own for libFuzzer, which needs it public")]
mod fuzz;

use fuzz::{TARGETS, Verdict};

/// All of the corpus together: it is cloned by everybody.
const CORPUS_BYTES: usize = 200 * 1024;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The inputs of one target.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz_folder().join("corpus").join(target);
    let paths = names_in(&folder).into_iter().map(|name| folder.join(name));
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_input_of_the_corpus_keeps_the_rules() {
    for target in TARGETS {
        for (path, bytes) in inputs(target.name) {
            // A broken rule panics; the line above it in the test's output says on which input.
            println!("{}", path.display());
            (target.read)(&bytes);
        }
        fuzz::read(target.name, &[]);
    }
}

#[test]
fn every_target_has_inputs_that_it_accepts_and_inputs_that_it_refuses() {
    for target in TARGETS {
        let verdicts = inputs(target.name).iter().map(|(_, bytes)| (target.read)(bytes)).collect::<Vec<_>>();
        for verdict in [Verdict::Accepted, Verdict::Refused] {
            assert!(verdicts.contains(&verdict), "nothing in the corpus of {} is {verdict:?}", target.name);
        }
    }
}

#[test]
fn targets_binaries_and_corpora_have_the_same_names() {
    let targets = TARGETS.iter().map(|target| target.name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names_in(&fuzz_folder().join("corpus")), targets);
    let binaries = names_in(&fuzz_folder().join("fuzz_targets"));
    assert_eq!(binaries, targets.iter().map(|name| format!("{name}.rs")).collect());
    let manifest = fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
        let source = fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("fuzz::read(\"{name}\", bytes)")), "{name} hands its bytes to another target");
    }
}

#[test]
fn the_corpus_stays_small() {
    let bytes = TARGETS.iter().flat_map(|target| inputs(target.name)).map(|(_, bytes)| bytes.len()).sum::<usize>();
    assert!(bytes < CORPUS_BYTES, "the corpus has {bytes} bytes; keep what leads somewhere new");
}
