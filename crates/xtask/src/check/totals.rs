//! Adds up what test runners say at their ends.

use std::sync::{Mutex, PoisonError};

/// Tests that ran in this call.
#[derive(Debug, Default)]
pub(super) struct Totals(Mutex<Option<Counts>>);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Totals {
    /// Takes a line of output; counts it if it is the closing line of a test runner.
    pub(super) fn see(&self, line: &str) {
        if let Some(counts) = counts_in(line) {
            let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = sum.get_or_insert_default();
            sum.passed += counts.passed;
            sum.failed += counts.failed;
        }
    }

    /// The sum in one line, or nothing if no test runner finished.
    pub(super) fn line(&self) -> Option<String> {
        let counts = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some(format!("tests: {} passed, {} failed", counts.passed, counts.failed))
    }
}

/// libtest: `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
/// nextest: `Summary [ 12.3s] 412 tests run: 410 passed (3 slow), 1 failed, 1 timed out, 0 skipped`.
fn counts_in(line: &str) -> Option<Counts> {
    // libtest's own line is not indented; nextest shows it indented within the output of a test that failed.
    let figures = match line.strip_prefix("test result: ") {
        Some(result) => result.split_once(". ")?.1,
        None => line.trim_start().strip_prefix("Summary [")?.split_once(" run: ")?.1,
    };
    let mut counts = Counts::default();
    for part in figures.split([';', ',']) {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u64>().ok()) else { continue };
        match words.next() {
            Some("passed") => counts.passed += number,
            Some("failed" | "timed") => counts.failed += number,
            _ => {}
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_add_up() {
        let totals = Totals::default();
        assert_eq!(totals.line(), None);
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "     Summary [  12.345s] 412 tests run: 409 passed (3 slow, 1 flaky), 2 failed, 1 timed out, 0 skipped",
            "test a_test_result_is_told ... ok",
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 54 filtered out; finished in 33.49s",
        ] {
            totals.see(line);
        }
        assert_eq!(totals.line().unwrap(), "tests: 413 passed, 5 failed");
    }
}
