//! The source of chance, which knows what may be drawn.
//!
//! Every number, entity and wording of a chat is drawn here, so that what is held out is decided in one place.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::wording::{self, Template};

/// Which questions are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// As in training.
    Train,
    /// With numbers that training never has.
    Numbers,
    /// With names, objects, places and things that training never has.
    Entities,
    /// With wordings that training never has.
    Frames,
}

/// Whether a number is kept out of training.
///
/// About one in eight of the numbers from 13 on; multiples of five and of twelve are not, since money, percents, dozens
/// and times of day need them.
pub fn is_reserved(number: u64) -> bool {
    if number < 13 || number.is_multiple_of(5) || number.is_multiple_of(12) {
        return false;
    }
    // The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
    let mut hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (hash ^ (hash >> 31)).is_multiple_of(8)
}

/// Whether a reserved number is written anywhere in a text.
pub fn holds_reserved(text: &str) -> bool {
    let runs = text.split(|character: char| !character.is_ascii_digit());
    runs.filter_map(|run| run.parse().ok()).any(is_reserved)
}

/// The source of chance of one split.
#[derive(Debug, Clone)]
pub struct Draw {
    random: ChaCha8Rng,
    split: Split,
    /// Whether a held-out wording was drawn since [`Draw::begin`].
    held: bool,
}

impl Draw {
    /// A source that gives the same for the same seed and stream.
    pub fn new(seed: u64, stream: u64, split: Split) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(stream);
        Self { random, split, held: false }
    }

    /// What is drawn for.
    pub fn split(&self) -> Split {
        self.split
    }

    /// A new chat begins.
    pub fn begin(&mut self) {
        self.held = false;
    }

    /// Whether the chat since [`Draw::begin`] has a held-out wording.
    pub fn has_held_out_wording(&self) -> bool {
        self.held
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.random.next_u32()) * bound as u64) >> 32) as usize
    }

    /// True in `percent` of a hundred draws.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    ///
    /// # Panics
    /// There is none.
    pub fn choose<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// One of several, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, items: &[(T, usize)]) -> T {
        let mut left = self.below(items.iter().map(|(_, weight)| weight).sum());
        for &(item, weight) in items {
            if left < weight {
                return item;
            }
            left -= weight;
        }
        unreachable!("what was drawn is below the sum of the weights")
    }

    /// A number from `low` to `high`, in the number set often one that training never has.
    pub fn number(&mut self, low: u64, high: u64) -> u64 {
        let wanted = self.split == Split::Numbers && self.chance(70);
        for _ in 0..64 {
            let number = low + self.below((high - low + 1) as usize) as u64;
            if is_reserved(number) == wanted {
                return number;
            }
        }
        low
    }

    /// A wording of a group.
    pub fn template(&mut self, group: &str) -> &'static Template {
        let group = wording::group(group);
        if self.split == Split::Frames && !group.held_out.is_empty() && self.chance(50) {
            self.held = true;
            return &group.held_out[self.below(group.held_out.len())];
        }
        &group.training[self.below(group.training.len())]
    }

    /// A wording of a group, with its slots filled by `fill`.
    pub fn phrase(&mut self, group: &str, fill: &dyn Fn(&str) -> String) -> String {
        let template = self.template(group);
        template.render(self, &mut |slot, _| fill(slot))
    }
}
