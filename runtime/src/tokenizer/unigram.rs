//! Unigram: of all ways to cut a piece into tokens the one with the best sum of scores (Kudo 2018).
//!
//! Viterbi's algorithm from left to right, as `unigram_model.cc` of SentencePiece and `tokenizers` have it: each
//! position knows the best way to it, of equal ones the first found. A character that is no token costs the score
//! of the unknown token. Each position looks at the tokens that begin there, once.

use sprat_format::tokenizer::{NONE, TokenizerTables};

/// Scratch words of one byte of a piece: start, id, and a score of two words.
const WORDS_PER_BYTE: usize = 4;

/// The best ways to the ends of the tokens of a piece; entry `end - 1` is of the token that ends at `end`.
struct Lattice<'s> {
    start: &'s mut [u32],
    id: &'s mut [u32],
    score: &'s mut [[u32; 2]],
}

impl Lattice<'_> {
    fn score(&self, end: usize) -> f64 {
        end.checked_sub(1).map_or(0.0, |place| {
            let [low, high] = self.score[place];
            f64::from_bits(u64::from(low) | u64::from(high) << 32)
        })
    }

    /// Takes a token if it is the best so far that ends at `end`.
    fn offer(&mut self, start: usize, end: usize, id: u32, score: f64) {
        let place = end - 1;
        if self.start[place] == NONE || score > self.score(end) {
            let bits = score.to_bits();
            (self.start[place], self.id[place]) = (start as u32, id);
            self.score[place] = [bits as u32, (bits >> 32) as u32];
        }
    }
}

/// Visits the tokens of a text, which is `head` and then `tail`: each with the bytes of the text that it covers.
/// The unknown token is [`NONE`] and covers as many unknown characters as stand together. `None` if the scratch is
/// too small.
pub(super) fn encode(
    tables: &TokenizerTables<'_>,
    head: &str,
    tail: &str,
    scratch: &mut [u32],
    mut visit: impl FnMut(u32, core::ops::Range<usize>),
) -> Option<()> {
    let len = head.len() + tail.len();
    let (words, _) = scratch.split_at_mut_checked(len.checked_mul(WORDS_PER_BYTE)?)?;
    let (start, words) = words.split_at_mut_checked(len)?;
    let (id, words) = words.split_at_mut_checked(len)?;
    let mut lattice = Lattice { start, id, score: bytemuck::cast_slice_mut(words) };
    lattice.start.fill(NONE);
    let settings = tables.settings();
    let unknown_score = settings.unknown.and_then(|id| tables.score(id)).unwrap_or_default();
    let sum = |a: f64, b: f64| match settings.single_precision {
        true => f64::from(a as f32 + b as f32),
        false => a + b,
    };
    let mut at = 0;
    for character in head.chars().chain(tail.chars()) {
        let before = lattice.score(at);
        let single = character.len_utf8();
        let mut has_single = false;
        let (head, tail) = rest(head, tail, at);
        tables.tokens_at_start(head, tail, |bytes, id| {
            has_single |= bytes == single;
            let score = tables.score(id).unwrap_or_default();
            lattice.offer(at, at + bytes, id, sum(score, before));
        });
        if !has_single {
            lattice.offer(at, at + single, NONE, sum(unknown_score, before));
        }
        at += single;
    }
    // Backwards once, so that each start knows the end of its token; the scores are not needed any more.
    let mut end = len;
    while let Some(place) = end.checked_sub(1) {
        let start = (lattice.start[place] as usize).min(place);
        lattice.score[start][0] = end as u32;
        end = start;
    }
    let (mut at, mut unknown_from) = (0, None);
    while at < len {
        let end = lattice.score[at][0] as usize;
        match lattice.id[end - 1] {
            NONE => _ = unknown_from.get_or_insert(at),
            id => {
                if let Some(from) = unknown_from.take() {
                    visit(NONE, from..at);
                }
                visit(id, at..end);
            }
        }
        at = end;
    }
    if let Some(from) = unknown_from {
        visit(NONE, from..len);
    }
    Some(())
}

/// What is left of `head` and `tail` behind a position.
fn rest<'t>(head: &'t str, tail: &'t str, at: usize) -> (&'t [u8], &'t [u8]) {
    let after = |text: &'t str, at: usize| text.as_bytes().get(at..).unwrap_or_default();
    (after(head, at), after(tail, at.saturating_sub(head.len())))
}
