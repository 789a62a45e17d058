//! The most likely tokens among logits that come block by block, in memory for a few.
//!
//! A block is looked at once and then forgotten, so nobody needs a buffer for the logits of the whole vocabulary.

/// Most tokens that are kept.
pub(crate) const MOST_CANDIDATES: u32 = 64;

const MOST: usize = MOST_CANDIDATES as usize;

/// Logits of which it is asked whether any is large enough before it is asked which: that is rarely so.
const RUN: usize = 64;

/// The largest logits so far, at most [`MOST_CANDIDATES`], in descending order; of equal ones the lower token first.
#[derive(Clone, Debug)]
pub(super) struct Candidates {
    logits: [f32; MOST],
    tokens: [u32; MOST],
    count: usize,
}

impl Candidates {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self { logits: [0.0; MOST], tokens: [0; MOST], count: 0 }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Takes in the logits of the tokens from `first` on, larger than those of earlier calls, and keeps the `most`
    /// (1 to [`MOST_CANDIDATES`]) best of all.
    #[inline(never)]
    pub(super) fn offer(&mut self, most: usize, first: u32, logits: &[f32]) {
        let most = most.clamp(1, MOST);
        // The first ones are all among the best so far.
        let (start, rest) = logits.split_at(logits.len().min(most.saturating_sub(self.count)));
        for (&logit, token) in start.iter().zip(first..) {
            self.count += 1;
            // What is no number is not likely.
            self.insert(if logit.is_nan() { f32::NEG_INFINITY } else { logit }, token);
        }
        let first = first + start.len() as u32;
        let mut least = self.logits[most - 1];
        for (run, first) in rest.chunks(RUN).zip((first..).step_by(RUN)) {
            // An equal one has a higher token than those that are kept.
            if !any_above(run, least) {
                continue;
            }
            for (&logit, token) in run.iter().zip(first..) {
                if logit > least {
                    self.insert(logit, token);
                    least = self.logits[most - 1];
                }
            }
        }
    }

    /// Puts a logit where it belongs; the last of `count` falls out.
    #[inline(never)]
    fn insert(&mut self, logit: f32, token: u32) {
        let mut place = self.count - 1;
        while place > 0 && logit > self.logits[place - 1] {
            self.logits[place] = self.logits[place - 1];
            self.tokens[place] = self.tokens[place - 1];
            place -= 1;
        }
        self.logits[place] = logit;
        self.tokens[place] = token;
    }

    /// The most likely token; 0 when there is none.
    pub(super) fn best(&self) -> u32 {
        if self.count == 0 { 0 } else { self.tokens[0] }
    }

    /// Tokens in ascending order and their logits. The order of the candidates is lost.
    #[inline(never)]
    pub(super) fn in_order_of_tokens(&mut self) -> (&[u32], &mut [f32]) {
        let (tokens, logits) = (&mut self.tokens[..self.count], &mut self.logits[..self.count]);
        for end in 1..tokens.len() {
            let mut place = end;
            while place > 0 && tokens[place - 1] > tokens[place] {
                tokens.swap(place - 1, place);
                logits.swap(place - 1, place);
                place -= 1;
            }
        }
        (tokens, logits)
    }
}

/// Whether any value is larger than `least`.
fn any_above(values: &[f32], least: f32) -> bool {
    let (runs, rest) = values.as_chunks::<8>();
    let above = |&[a, b, c, d, e, f, g, h]: &[f32; 8]| {
        let is = |value: f32| value > least;
        match cfg!(target_pointer_width = "32") {
            // A small core, without vectors of floats, asks and goes on; the others ask eight times at once.
            true => is(a) || is(b) || is(c) || is(d) || is(e) || is(f) || is(g) || is(h),
            false => is(a) | is(b) | is(c) | is(d) | is(e) | is(f) | is(g) | is(h),
        }
    };
    runs.iter().any(above) || rest.iter().any(|value| *value > least)
}
