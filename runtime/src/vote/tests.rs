use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::*;

fn normal(answer: &str) -> String {
    let mut out = [0; 64];
    let bytes = normalize(answer, &mut out).unwrap();
    String::from_utf8(out[..bytes].to_vec()).unwrap()
}

#[test]
fn answers_that_mean_the_same_are_the_same() {
    for (answers, form) in [
        (&["18", " 18.", "$18", "+18", "018", "18.0", "18.00 ", "$ 18"][..3], "18"),
        (&["+18", "018", "18.0", "18.00", "18,", "18?"], "18"),
        (&["1,250.50", "$1250.5", "+1250.500."], "1250.5"),
        (&["-3", "-3.0", "- 3", "-$3"], "-3"),
        (&["0", "-0", "0.0", "00", "-0.00", "$0."], "0"),
        (&[".5", "0.5", "$0.50"], "0.5"),
        (&["The  Red\tdoor.", "the red DOOR", " THE RED DOOR! "], "the red door"),
        (&["18 apples"], "18 apples"),
        (&["1.2.3"], "1.2.3"),
        (&["1,"], "1"),
        (&[",1"], ",1"),
        (&["1,,2"], "1,,2"),
        (&["-"], "-"),
        (&["$"], "$"),
        (&["5%"], "5%"),
        (&["Ärger."], "ärger"),
        (&["", " ", "...", "?!"], ""),
    ] {
        for answer in answers {
            assert_eq!(normal(answer), form, "{answer:?}");
        }
    }
    assert_eq!(normalize("12345", &mut [0; 4]), None);
    assert_eq!(normalize("12,34.0", &mut [0; 4]), Some(4));
}

#[test]
fn an_answer_stands_behind_the_last_marker() {
    assert_eq!(after("a\n#### 5\n#### 18 \nmore", "####"), Some("18"));
    assert_eq!(after("#### 5 apples", "####"), Some("5 apples"));
    for nothing in ["", "18", "####", "#### \n", "#### 18 ####"] {
        assert_eq!(after(nothing, "####"), None, "{nothing:?}");
    }
    assert_eq!(after("####\n18", "####"), None, "the answer stands on the marker's line");
}

/// Votes of chains with these answers and lengths.
fn verdict(chains: &[(Option<&str>, u32)], longest: u32) -> Option<(String, [u32; 5])> {
    let mut votes = vec![Vote::default(); chains.len()];
    let mut answers = vec![0; chains.len() * 8];
    let mut ballot = Ballot::new(&mut votes, &mut answers);
    for &(answer, tokens) in chains {
        assert!(ballot.cast(answer, tokens));
    }
    assert!(!ballot.cast(Some("one more"), 1));
    let Verdict { answer, chain, votes, chains: counted, runner_up, unanswered, tokens } =
        ballot.verdict(longest)?;
    assert!(chains[chain as usize].0.is_some_and(|said| said.starts_with(answer)), "{chain}");
    Some((answer.to_string(), [votes, counted, runner_up, unanswered, tokens]))
}

#[test]
fn the_majority_wins_and_the_first_among_equals() {
    let chains = [(Some("7"), 10), (None, 90), (Some("12"), 30), (Some("7.0"), 11), (Some("12"), 40)];
    // A tie between 7 and 12: 7 was said first.
    assert_eq!(verdict(&chains, 0), Some(("7".into(), [2, 5, 2, 1, 181])));
    // The three longest that have an answer say 12, 12 and 7.
    assert_eq!(verdict(&chains, 3), Some(("12".into(), [2, 3, 1, 1, 181])));
    assert_eq!(verdict(&chains, 1), Some(("12".into(), [1, 1, 0, 1, 181])));
    // More than there are: as many as were cast count.
    assert_eq!(verdict(&chains, 99), verdict(&chains, 0));
    // Of equally long chains the earlier one counts.
    assert_eq!(verdict(&[(Some("b"), 5), (Some("a"), 5)], 1), Some(("b".into(), [1, 1, 0, 0, 10])));
    assert_eq!(verdict(&[(None, 5), (Some("..."), 5)], 0), None);
    assert_eq!(verdict(&[], 0), None);
    // An answer beyond its eight bytes is none.
    assert_eq!(verdict(&[(Some("123456789"), 1), (Some("8"), 1)], 0), Some(("8".into(), [1, 2, 0, 1, 2])));
    let (mut votes, mut answers) = ([Vote::default(); 4], [0; 32]);
    let mut ballot = Ballot::new(&mut votes, &mut answers);
    for answer in ["yes", "no", "Yes."] {
        ballot.cast(Some(answer), 1);
    }
    assert_eq!(ballot.verdict(0).map(|verdict| verdict.confidence()), Some(2.0 / 3.0));
    ballot.clear();
    assert!(ballot.verdict(0).is_none());
}

#[test]
fn chains_have_seeds_of_their_own_and_one_error_ends_the_poll() {
    let mut seeds: Vec<u64> =
        (0..50).flat_map(|seed| (0..50).map(move |number| Chain::new(seed, number).seed)).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 2500);
    let (mut votes, mut answers, mut text) = ([Vote::default(); 4], [0; 32], [0; 16]);
    let mut ballot = Ballot::new(&mut votes, &mut answers);
    let mut ran = Vec::new();
    let polled = poll(
        &mut ballot,
        7,
        &mut Tail::new(&mut text),
        |text| Some(text),
        |chain, text| {
            ran.push(chain);
            text.push("no");
            if chain.number == 2 { Err("broken") } else { Ok(1) }
        },
    );
    assert_eq!(polled, Err("broken"));
    assert_eq!(ran, [Chain::new(7, 0), Chain::new(7, 1), Chain::new(7, 2)]);
    assert_eq!(ballot.verdict(0).map(|verdict| (verdict.votes, verdict.chains)), Some((2, 2)));
}

proptest! {
    #[test]
    fn a_tail_is_the_end_of_the_text(size in 0usize..40, parts in proptest::collection::vec("[aé🦀]{0,9}", 0..20)) {
        let mut buffer = vec![0; size];
        let mut tail = Tail::new(&mut buffer);
        parts.iter().for_each(|part| tail.push(part));
        let whole = parts.concat();
        prop_assert!(whole.ends_with(tail.as_str()));
        prop_assert_eq!(tail.is_cut(), tail.as_str() != whole);
        // A character has up to four bytes.
        prop_assert!(!tail.is_cut() || tail.as_str().len() + 4 > size / 2 || size < 8);
    }

    #[test]
    fn any_answer_has_a_form_that_is_its_own_form(answer in "[-+$.,0-9aB é?]{0,12}") {
        let once = normal(&answer);
        prop_assert_eq!(normal(&once), once);
    }
}
