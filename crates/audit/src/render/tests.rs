use super::*;
use wire::{
    ids::{Digest, InspectionId},
    session::DenyReason,
};

use crate::testing::{agent, complete, file as log_file, joined, lines, paired};

fn rendered(lines: &[Vec<u8>]) -> (String, Result<Summary, RenderError>) {
    let (_dir, path) = log_file(&joined(lines));
    let mut out = Vec::new();
    let summary = file(&path, &mut out);
    (String::from_utf8(out).unwrap(), summary)
}

#[test]
fn a_log_reads_as_a_story() {
    let (text, summary) = rendered(&complete());
    let whole = format!("{text}\n{}\n", summary.unwrap());
    assert_eq!(whole, include_str!("golden.txt"));
}

#[test]
fn nothing_that_a_peer_wrote_acts_on_the_screen() {
    let (text, summary) = rendered(&complete());
    let whole = format!("{text}{}", summary.unwrap());
    assert!(!whole.chars().any(|character| character != '\n'
        && shown(&character.to_string()) != character.to_string()
        && character != '\\'));
    assert!(whole.contains("\\u{1b}[2J") && whole.contains("exe\\u{202e}gpj") && whole.contains("no\\u{a}memory"));
}

#[test]
fn a_question_about_one_reading_reads_as_what_the_machine_found() {
    let inspection = InspectionId(3);
    let asked = Event::AskedForInspection {
        inspection,
        what: "arguments of process 4711".to_owned(),
        about: "a\"b\u{202e}".to_owned(),
        digest: Digest([6; 32]),
        prompt: Digest([7; 32]),
    };
    let no = Event::Denied { subject: Subject::Inspection(inspection), reason: DenyReason::ByUser };
    let (text, _) = rendered(&lines(&[paired(&agent()), asked, no], None));
    let (_, told) = text.split_once("Asking the end user to allow inspection-3").unwrap();
    assert!(told.contains(r#"reads     "arguments of process 4711", called "a\"b\u{202e}""#), "{told}");
    assert!(told.contains("Denied, inspection-3: the end user said no"), "{told}");
}

#[test]
fn a_name_cannot_vouch_for_itself() {
    let hostile = "Ana\" of \"Example Help\", verified by certificate";
    assert_eq!(
        who(hostile, None),
        r#"an unverified technician who uses the name "Ana\" of \"Example Help\", verified by certificate""#
    );
    assert_eq!(quoted("a\\\"b"), r#""a\\\"b""#, "a backslash before a mark does not free it");
}

#[test]
fn a_bad_log_is_shown_up_to_the_bad_entry() {
    let mut log = complete();
    log[3][80] ^= 1;
    let (text, result) = rendered(&log);
    assert!(matches!(result, Err(RenderError::Verify(VerifyError::Bad(bad))) if bad.n == 4));
    assert!(text.contains("The end user confirmed the two words") && !text.contains("Allowed by"));
}

/// Takes some bytes and then no more.
struct Pipe(usize);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_fault_of_the_log() {
    let (_dir, path) = log_file(&joined(&complete()));
    assert!(matches!(file(&path, &mut Pipe(300)), Err(RenderError::Output(_))));
}
