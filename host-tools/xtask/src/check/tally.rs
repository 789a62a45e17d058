//! What the output of `cargo test` says: how many passed, failed and were skipped.
//!
//! A test whose data is not there prints `SKIP <name>: <what is missing>` and returns; to the test harness it
//! passed. Here it counts as skipped, so that a gate without data does not look like one with.

use std::ops::AddAssign;

/// Steps or tests by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Right.
    pub passed: usize,
    /// Wrong.
    pub failed: usize,
    /// Not tried here.
    pub skipped: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// What a run of tests came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// The sum of all `test result:` lines, skipped tests taken out of those that passed.
    pub tally: Tally,
    /// The `SKIP` lines.
    pub skips: Vec<String>,
}

/// Reads the output of `cargo test -- --show-output`.
pub fn read(output: &str) -> Results {
    let mut results = Results::default();
    // A test counts once, however many of its parts it skips.
    let mut test_has_skipped = false;
    for line in output.lines() {
        if line.starts_with("---- ") {
            test_has_skipped = false;
        } else if line.starts_with("SKIP ") {
            results.skips.push(line.to_string());
            if !test_has_skipped {
                test_has_skipped = true;
                results.tally.skipped += 1;
                results.tally.passed = results.tally.passed.wrapping_sub(1);
            }
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |name| {
                let words = counts.split([' ', ';', '.']).filter(|word| !word.is_empty());
                let pairs = words.clone().zip(words.skip(1));
                pairs
                    .filter(|(_, word)| *word == name)
                    .find_map(|(number, _)| number.parse().ok())
                    .unwrap_or(0)
            };
            results.tally.passed = results.tally.passed.wrapping_add(count("passed"));
            results.tally.failed += count("failed");
            results.tally.skipped += count("ignored");
        }
    }
    results
}

/// The output without the tests that passed and without what they have printed.
pub fn failures_only(output: &str) -> String {
    let mut kept = String::new();
    let mut within_successes = false;
    for line in output.lines() {
        match line {
            "successes:" => within_successes = true,
            "failures:" => within_successes = false,
            _ if line.starts_with("test result: ") => within_successes = false,
            _ => {}
        }
        let passed = line.starts_with("test ") && line.ends_with(" ... ok");
        if !within_successes && !passed && !line.is_empty() {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 3 tests
test a ... ok
test b ... ok
test c ... FAILED

successes:

---- a stdout ----
SKIP a: no ../shared/data/stories260K
SKIP a: no ../shared/data/zoo

successes:
    a
    b

failures:

---- c stdout ----
left 1, right 2

failures:
    c

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
";

    #[test]
    fn sums_results_and_takes_skips_for_what_they_are() {
        let results = read(OUTPUT);
        assert_eq!(results.tally, Tally { passed: 2, failed: 1, skipped: 2 });
        assert_eq!(results.skips.len(), 2);
    }

    #[test]
    fn keeps_failures_and_drops_what_passing_tests_say() {
        let kept = failures_only(OUTPUT);
        assert!(kept.contains("left 1, right 2") && kept.contains("test result: ok"), "{kept}");
        assert!(!kept.contains("SKIP") && !kept.contains("test a"), "{kept}");
    }
}
