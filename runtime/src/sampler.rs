//! Choosing the next token from its logits, in place and without further memory.
//!
//! Top-k, top-p and min-p all keep the tokens above some probability. Instead of sorting the vocabulary, which
//! would need memory of its size, the threshold itself is found by bisection over the bits of a float: the
//! result is exact, and the same on every target.

use heapless::HistoryBuf;

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
}

impl Sampler {
    /// A sampler at the start of its random stream.
    pub fn new(config: SamplerConfig, seed: u64) -> Self {
        Self { config, random: SplitMix64(seed), recent: HistoryBuf::new() }
    }

    /// Takes a token into account for the repetition penalty, as one that was sampled or stood in the prompt.
    pub fn saw(&mut self, token: u32) {
        self.recent.write(token);
    }

    /// Chooses a token. The logits (V, at least one) are used up: what they hold afterwards is of no use.
    pub fn sample(&mut self, logits: &mut [f32]) -> u32 {
        self.penalize(logits);
        let token = if self.config.temperature > 0.0 { self.draw(logits) } else { argmax(logits) };
        self.saw(token);
        token
    }

    fn penalize(&self, logits: &mut [f32]) {
        let penalty = self.config.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        for (i, &token) in self.recent.iter().enumerate() {
            let seen_before = self.recent.iter().take(i).any(|&earlier| earlier == token);
            if let Some(logit) = logits.get_mut(token as usize).filter(|_| !seen_before) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    fn draw(&mut self, logits: &mut [f32]) -> u32 {
        let SamplerConfig { temperature, top_k, top_p, min_p, .. } = self.config;
        // From here on: weights, the most likely token's is 1 and a token that is out of the game has 0.
        let most = largest(logits);
        logits.iter_mut().for_each(|x| *x = math::exp((*x - most) / temperature));
        let weights = logits;
        if top_k > 0 {
            keep_most_likely(weights, top_k as usize);
        }
        if top_p < 1.0 {
            let goal = top_p * total(weights, 0.0);
            keep(weights, threshold(|least| total(weights, least) >= goal));
        }
        if min_p > 0.0 {
            keep(weights, min_p);
        }
        let goal = self.random.unit() * total(weights, 0.0);
        let mut sum = 0.0;
        let mut chosen = 0;
        for (token, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            sum += weight;
            chosen = token;
            if sum > goal {
                break;
            }
        }
        chosen as u32
    }
}

/// The index of the largest value, the lowest among equals.
fn argmax(values: &[f32]) -> u32 {
    /// Values whose largest is found before anyone asks which it is: that is rarely worth asking.
    const RUN: usize = 64;
    let mut best = (0, f32::NEG_INFINITY);
    for (run, values) in values.chunks(RUN).enumerate() {
        if largest(values) > best.1 {
            for (i, &value) in values.iter().enumerate() {
                if value > best.1 {
                    best = (run * RUN + i, value);
                }
            }
        }
    }
    best.0 as u32
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

/// Keeps the k largest weights, lower tokens first among equals.
fn keep_most_likely(weights: &mut [f32], k: usize) {
    let count = |least: f32| weights.iter().filter(|&&weight| weight >= least).count();
    if count(0.0) <= k {
        return;
    }
    let least = threshold(|least| count(least) >= k);
    keep(weights, least);
    let above = weights.iter().filter(|&&weight| weight > least).count();
    let surplus = weights.iter_mut().filter(|weight| **weight == least).skip(k.saturating_sub(above));
    surplus.for_each(|weight| *weight = 0.0);
}

/// The largest weight in 0..=1 for which `enough` holds, where it holds for 0 and, once it fails, for nothing
/// larger. Floats that are not negative are ordered as their bits are.
fn threshold(enough: impl Fn(f32) -> bool) -> f32 {
    let (mut holds, mut fails) = (0, 1.0f32.to_bits() + 1);
    while fails - holds > 1 {
        let middle = holds + (fails - holds) / 2;
        if enough(f32::from_bits(middle)) {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    f32::from_bits(holds)
}

/// SplitMix64 (Steele, Lea and Flood 2014). It is written out here because the stream is a contract: the
/// same seed gives the same text for as long as packed models exist.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
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
