//! Choosing the next token from its logits, in place and with little memory.
//!
//! The likeliest token, or one among the k likeliest for a small k, is found in one pass over logits that may come
//! block by block: [`candidates`] keeps the best so far. Any other choice needs all logits at once. Top-k, top-p and
//! min-p all keep the tokens above some value, and instead of sorting the vocabulary, which would need memory of its
//! size, the value itself is found by bisection over the bits of a float: the result is exact, and the same on
//! every target. Both ways choose the same token.

mod candidates;

use heapless::HistoryBuf;

use candidates::Candidates;
pub(crate) use candidates::MOST_CANDIDATES;

use crate::math;

/// Tokens that the repetition penalty looks back.
const PENALTY_WINDOW: usize = 64;

/// How to choose. The filters apply in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerConfig {
    /// Divides a positive logit, and multiplies a negative one, of each of the last 64 tokens (Keskar et al.
    /// 2019). 1: off.
    pub repetition_penalty: f32,
    /// Divides the logits. 0 (or less): the most likely token, always.
    pub temperature: f32,
    /// Keeps the k most likely tokens. 0: all.
    pub top_k: u32,
    /// Keeps the smallest set of most likely tokens with at least this share of the probability (Holtzman et
    /// al. 2020). 1 (or more): all.
    pub top_p: f32,
    /// Keeps tokens with at least this share of the most likely one's probability. 0: all.
    pub min_p: f32,
}

impl SamplerConfig {
    /// Always the most likely token, the lowest id among equals.
    pub const fn greedy() -> Self {
        Self { repetition_penalty: 1.0, temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

/// A seeded choice of tokens: the same seed and logits give the same tokens on every target.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplerConfig,
    random: SplitMix64,
    recent: HistoryBuf<u32, PENALTY_WINDOW>,
    candidates: Candidates,
}

impl Sampler {
    /// A sampler at the start of its random stream.
    pub fn new(config: SamplerConfig, seed: u64) -> Self {
        Self { config, random: SplitMix64(seed), recent: HistoryBuf::new(), candidates: Candidates::new() }
    }

    /// Takes a token into account for the repetition penalty, as one that was sampled or stood in the prompt.
    pub fn saw(&mut self, token: u32) {
        self.recent.write(token);
    }

    /// Chooses a token. The logits (V, at least one) are used up: what they hold afterwards is of no use.
    pub fn sample(&mut self, logits: &mut [f32]) -> u32 {
        if self.takes_blocks() {
            self.offer(0, logits);
            return self.choose();
        }
        self.penalize(0, logits);
        let token = self.draw_from_all(logits);
        self.saw(token);
        token
    }

    /// The `top_k` that it was made with.
    pub(crate) fn top_k(&self) -> u32 {
        self.config.top_k
    }

    /// Whether a token can be chosen from logits that come block by block: the likeliest one, or one of the
    /// [`MOST_CANDIDATES`] likeliest.
    pub(crate) fn takes_blocks(&self) -> bool {
        !self.is_random() || (1..=MOST_CANDIDATES).contains(&self.config.top_k)
    }

    fn is_random(&self) -> bool {
        self.config.temperature > 0.0
    }

    /// Takes in a block of logits, of the tokens from `first` on. Blocks come in ascending order and are used up.
    pub(crate) fn offer(&mut self, first: usize, logits: &mut [f32]) {
        self.penalize(first, logits);
        let most = if self.is_random() { self.config.top_k as usize } else { 1 };
        self.candidates.offer(most, first as u32, logits);
    }

    /// Chooses a token from the blocks that came since the last choice.
    pub(crate) fn choose(&mut self) -> u32 {
        let token = match self.is_random() {
            true => self.draw_from_candidates(),
            false => self.candidates.best(),
        };
        self.candidates.clear();
        self.saw(token);
        token
    }

    #[inline(never)]
    fn penalize(&self, first: usize, logits: &mut [f32]) {
        let penalty = self.config.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        for (i, &token) in self.recent.iter().enumerate() {
            let seen_before = self.recent.iter().take(i).any(|&earlier| earlier == token);
            let place = (token as usize).checked_sub(first).and_then(|place| logits.get_mut(place));
            if let Some(logit) = place.filter(|_| !seen_before) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    fn draw_from_all(&mut self, logits: &mut [f32]) -> u32 {
        if self.config.top_k > 0 {
            keep_most_likely(logits, self.config.top_k as usize);
        }
        draw(&self.config, &mut self.random, logits) as u32
    }

    fn draw_from_candidates(&mut self) -> u32 {
        let (tokens, logits) = self.candidates.in_order_of_tokens();
        let place = draw(&self.config, &mut self.random, logits);
        tokens.get(place).copied().unwrap_or(0)
    }
}

/// The place of one of `logits`, which are in ascending order of token; those of negative infinity are out of
/// the game, and whether they are there or not changes no sum.
#[inline(never)]
fn draw(config: &SamplerConfig, random: &mut SplitMix64, logits: &mut [f32]) -> usize {
    let SamplerConfig { temperature, top_p, min_p, .. } = *config;
    // From here on: weights, the most likely token's is 1 and a token that is out of the game has 0.
    let most = largest(logits);
    logits.iter_mut().for_each(|x| *x = math::exp((*x - most) / temperature));
    let weights = logits;
    if top_p < 1.0 {
        let goal = top_p * total(weights, 0.0);
        let enough = |least| total(weights, f32::from_bits(least)) >= goal;
        keep(weights, f32::from_bits(threshold(1.0f32.to_bits(), enough)));
    }
    if min_p > 0.0 {
        keep(weights, min_p);
    }
    let goal = random.unit() * total(weights, 0.0);
    let mut sum = 0.0;
    let mut chosen = 0;
    for (place, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        sum += weight;
        chosen = place;
        if sum > goal {
            break;
        }
    }
    chosen
}

/// The largest value, in lanes that a compiler turns into vectors.
fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 8];
    let (runs, rest) = values.as_chunks::<8>();
    for run in runs {
        for (lane, value) in lanes.iter_mut().zip(run) {
            *lane = larger(*lane, *value);
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, larger)
}

/// The sum of the weights of at least `least`, in ascending order of token.
fn total(weights: &[f32], least: f32) -> f32 {
    weights.iter().filter(|&&weight| weight >= least).sum()
}

/// Takes weights below `least` out of the game.
fn keep(weights: &mut [f32], least: f32) {
    weights.iter_mut().filter(|weight| **weight < least).for_each(|weight| *weight = 0.0);
}

/// A number that is ordered as the float is; both zeros have the same.
fn rank(x: f32) -> u32 {
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Keeps the k largest logits, lower tokens first among equals; the others become negative infinity.
#[inline(never)]
fn keep_most_likely(logits: &mut [f32], k: usize) {
    let count = |least: u32| logits.iter().filter(|&&logit| rank(logit) >= least).count();
    if logits.len() <= k {
        return;
    }
    let least = threshold(u32::MAX - 1, |least| count(least) >= k);
    let above = logits.iter().filter(|&&logit| rank(logit) > least).count();
    let mut room = k.saturating_sub(above);
    for logit in logits.iter_mut() {
        let is_last = rank(*logit) == least;
        if rank(*logit) < least || is_last && room == 0 {
            *logit = f32::NEG_INFINITY;
        } else if is_last {
            room -= 1;
        }
    }
}

/// The largest number in 0..=most for which `enough` holds, where it holds for 0 and, once it fails, for nothing
/// larger. Floats that are not negative are ordered as their bits are.
fn threshold(most: u32, enough: impl Fn(u32) -> bool) -> u32 {
    let (mut holds, mut fails) = (0, most + 1);
    while fails - holds > 1 {
        let middle = holds + (fails - holds) / 2;
        if enough(middle) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    holds
}

/// SplitMix64 (Steele, Lea and Flood 2014). It is written out here because the stream is a contract: the
/// same seed gives the same text for as long as packed models exist.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix64(u64);

impl SplitMix64 {
    /// The stream of a seed from its number `index` on.
    pub(crate) const fn at(seed: u64, index: u64) -> Self {
        Self(seed.wrapping_add(index.wrapping_mul(Self::STEP)))
    }

    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1, in steps of 2^-24.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests;
