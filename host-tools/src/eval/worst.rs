//! The predictions that packing changed most.
//!
//! A mean hides them, and they are what a person reads first: the text before the token, what the checkpoint would
//! have said and what the packed model says instead. Only so many are kept while measuring, whatever the text's
//! length; which ones does not depend on the number of threads.

use serde::Serialize;
use sprat::tokenizer::Tokenizer;

use super::metrics::Distribution;

/// Predictions that are kept.
const KEPT: usize = 20;
/// Choices that are shown of each.
const CHOICES: usize = 5;
/// Tokens of text that are shown before each.
const CONTEXT_TOKENS: usize = 24;

/// Where a prediction was made, and what came next in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The window of the text.
    pub window: usize,
    /// The last token that was read, counted in the window from 0.
    pub position: usize,
    /// The token that follows in the text.
    pub target: u32,
}

/// A prediction as it was measured: tokens by their ids.
#[derive(Clone, Debug)]
pub(super) struct Surprise {
    divergence: f64,
    place: Place,
    reference: Vec<(u32, f64)>,
    found: Vec<(u32, f64)>,
}

impl Surprise {
    pub fn new(divergence: f64, place: Place, reference: &Distribution, found: &Distribution) -> Self {
        Self { divergence, place, reference: reference.choices(CHOICES), found: found.choices(CHOICES) }
    }
}

/// The worst predictions so far, the worst first.
#[derive(Clone, Debug, Default)]
pub(super) struct Surprises(Vec<Surprise>);

impl Surprises {
    /// Takes a prediction if it is among the worst; of equal ones the earlier place counts as worse.
    pub fn offer(&mut self, divergence: f64, place: Place, make: impl FnOnce() -> Surprise) {
        let key = (place.window, place.position);
        let before = |kept: &Surprise| {
            kept.divergence > divergence
                || kept.divergence == divergence && (kept.place.window, kept.place.position) < key
        };
        let index = self.0.partition_point(before);
        if index < KEPT {
            self.0.insert(index, make());
            self.0.truncate(KEPT);
        }
    }

    /// Takes in those of another window.
    pub fn append(&mut self, later: Self) {
        for surprise in later.0 {
            self.offer(surprise.divergence, surprise.place, || surprise);
        }
    }

    pub fn sorted(&self) -> &[Surprise] {
        &self.0
    }
}

/// A token that could come next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Its id.
    pub id: u32,
    /// Its text; bytes that are no whole character are shown as U+FFFD.
    pub text: String,
    /// Its probability.
    pub probability: f64,
}

/// A prediction that packing changed much.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorstToken {
    /// Divergence in nats.
    pub kl: f64,
    /// The window of the text, from 0.
    pub window: usize,
    /// The last token that was read, counted in the window from 0.
    pub position: usize,
    /// The text before the prediction, its end.
    pub context: String,
    /// The token that follows in the text.
    pub target: String,
    /// The checkpoint's most likely tokens.
    pub reference: Vec<Choice>,
    /// The packed model's most likely tokens.
    pub found: Vec<Choice>,
}

/// Spells out predictions.
pub(super) fn spelled(
    surprises: &[Surprise],
    windows: &[Vec<u32>],
    tokenizer: &Tokenizer<'_>,
) -> Vec<WorstToken> {
    let text = |ids: &[u32]| {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let choices = |choices: &[(u32, f64)]| {
        choices.iter().map(|&(id, probability)| Choice { id, text: text(&[id]), probability }).collect()
    };
    let spell = |surprise: &Surprise| {
        let Place { window, position, target } = surprise.place;
        let end = position + 1;
        WorstToken {
            kl: surprise.divergence,
            window,
            position,
            context: text(&windows[window][end.saturating_sub(CONTEXT_TOKENS)..end]),
            target: text(&[target]),
            reference: choices(&surprise.reference),
            found: choices(&surprise.found),
        }
    };
    surprises.iter().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_are_kept_whatever_their_order() {
        let even = Distribution::of(&[0.0, 0.0]);
        let divergences: Vec<f64> = (0..50).map(|n| f64::from(n * 7 % 25)).collect();
        let offer = |all: &mut Surprises, position: usize| {
            let (divergence, place) = (divergences[position], Place { window: 0, position, target: 0 });
            all.offer(divergence, place, || Surprise::new(divergence, place, &even, &even));
        };
        let (mut forward, mut backward) = (Surprises::default(), Surprises::default());
        (0..50).for_each(|position| offer(&mut forward, position));
        (0..50).rev().for_each(|position| offer(&mut backward, position));
        let found = |all: &Surprises| {
            all.sorted().iter().map(|one| (one.divergence, one.place.position)).collect::<Vec<_>>()
        };
        assert_eq!(found(&forward), found(&backward));
        let mut expected: Vec<_> = divergences.iter().copied().zip(0..).collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        assert_eq!(found(&forward), expected[..KEPT]);
        let mut parts = [Surprises::default(), Surprises::default()];
        (0..50).for_each(|position| offer(&mut parts[position % 2], position));
        let [mut first, second] = parts;
        first.append(second);
        assert_eq!(found(&first), expected[..KEPT]);
    }
}
