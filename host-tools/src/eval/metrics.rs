//! Sums over predictions: likelihood, divergence, agreement.
//!
//! Everything is computed in double precision from the logits, so that what is measured is the model's rounding
//! and not the measurement's.

use serde::Serialize;

use super::worst::{Place, Surprise, Surprises};

/// Edges of the histogram's bins are a half of a decade apart, from this power of ten on.
const LEAST_POWER: i32 = -8;
/// Bins of the histogram: up to 10 nats, beyond which hardly any divergence lies.
const BINS: usize = 18;

/// The distribution of the next token: natural logarithms of probabilities.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    log: Vec<f64>,
    top: usize,
}

impl Distribution {
    /// Softmax of logits.
    pub fn of(logits: &[f32]) -> Self {
        let mut top = 0;
        for (index, logit) in logits.iter().enumerate() {
            if *logit > logits[top] {
                top = index;
            }
        }
        let most = f64::from(logits[top]);
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - most).exp()).sum();
        let normalizer = most + sum.ln();
        Self { log: logits.iter().map(|&logit| f64::from(logit) - normalizer).collect(), top }
    }

    /// Kullback-Leibler divergence of `other` from this one, in nats.
    /// Natural logarithm of a token's probability.
    pub fn log_probability(&self, token: u32) -> f64 {
        self.log[token as usize]
    }

    fn divergence(&self, other: &Self) -> f64 {
        let terms = self.log.iter().zip(&other.log).map(|(p, q)| p.exp() * (p - q));
        // Rounding may leave equal distributions a hair below zero.
        terms.sum::<f64>().max(0.0)
    }

    /// The `count` most likely tokens with their probabilities, the most likely first.
    pub fn choices(&self, count: usize) -> Vec<(u32, f64)> {
        let mut ids: Vec<u32> = (0..self.log.len() as u32).collect();
        let order = |a: &u32, b: &u32| self.log[*b as usize].total_cmp(&self.log[*a as usize]).then(a.cmp(b));
        let count = count.min(ids.len());
        if count < ids.len() {
            ids.select_nth_unstable_by(count, order);
            ids.truncate(count);
        }
        ids.sort_unstable_by(order);
        ids.into_iter().map(|id| (id, self.log[id as usize].exp())).collect()
    }
}

/// The mean divergence over a range of positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PositionBin {
    /// First position of the range, counted in tokens read, from 0.
    pub first: usize,
    /// Last position of the range.
    pub last: usize,
    /// Predictions in it.
    pub predictions: usize,
    /// Their mean divergence in nats.
    pub kl_mean: f64,
}

/// A bin of the histogram of divergences.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistogramBin {
    /// Least divergence in nats; the first bin also holds everything below.
    pub from: f64,
    /// What divergences stay below; the last bin also holds everything above.
    pub to: f64,
    /// Share of the predictions, 0 to 1.
    pub share: f64,
}

/// What was found over many predictions.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    negative_log_likelihood: f64,
    agreements: usize,
    divergences: Vec<f64>,
    /// Sum and count of the divergences at each position of a window.
    positions: Vec<(f64, usize)>,
    worst: Surprises,
}

impl Tally {
    /// Takes in one prediction.
    pub fn add(&mut self, reference: &Distribution, found: &Distribution, place: Place) {
        let divergence = reference.divergence(found);
        self.negative_log_likelihood -= found.log[place.target as usize];
        self.agreements += usize::from(reference.top == found.top);
        self.divergences.push(divergence);
        if self.positions.len() <= place.position {
            self.positions.resize(place.position + 1, (0.0, 0));
        }
        let at = &mut self.positions[place.position];
        *at = (at.0 + divergence, at.1 + 1);
        self.worst.offer(divergence, place, || Surprise::new(divergence, place, reference, found));
    }

    /// Takes in the predictions of a later window.
    pub fn append(&mut self, later: Self) {
        self.negative_log_likelihood += later.negative_log_likelihood;
        self.agreements += later.agreements;
        self.divergences.extend(later.divergences);
        if self.positions.len() < later.positions.len() {
            self.positions.resize(later.positions.len(), (0.0, 0));
        }
        for (at, later) in self.positions.iter_mut().zip(later.positions) {
            *at = (at.0 + later.0, at.1 + later.1);
        }
        self.worst.append(later.worst);
    }

    pub fn predictions(&self) -> usize {
        self.divergences.len()
    }

    pub fn perplexity(&self) -> f64 {
        (self.negative_log_likelihood / self.predictions() as f64).exp()
    }

    pub fn kl_mean(&self) -> f64 {
        self.divergences.iter().sum::<f64>() / self.predictions() as f64
    }

    /// The least divergences that shares of the predictions do not exceed.
    pub fn kl_quantiles<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let mut sorted = self.divergences.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        shares.map(|share| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
        })
    }

    /// Share of predictions with the same most likely token.
    pub fn top1(&self) -> f64 {
        self.agreements as f64 / self.predictions() as f64
    }

    /// The mean divergence over at most `count` ranges of positions, equally long but for the last.
    pub fn by_position(&self, count: usize) -> Vec<PositionBin> {
        let width = self.positions.len().div_ceil(count).max(1);
        let bin = |(index, sums): (usize, &[(f64, usize)])| {
            let (sum, predictions) = sums.iter().fold((0.0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
            let first = index * width;
            let kl_mean = sum / predictions.max(1) as f64;
            PositionBin { first, last: first + sums.len() - 1, predictions, kl_mean }
        };
        self.positions.chunks(width).enumerate().map(bin).collect()
    }

    /// How many predictions have which divergence.
    pub fn histogram(&self) -> Vec<HistogramBin> {
        let mut counts = [0usize; BINS];
        for divergence in &self.divergences {
            let bin = (2.0 * (divergence.log10() - f64::from(LEAST_POWER))).floor();
            // The logarithm of zero is less than any bin, and a cast to an integer saturates.
            counts[(bin as usize).min(BINS - 1)] += 1;
        }
        let edge = |bin: usize| 10f64.powf(f64::from(LEAST_POWER) + bin as f64 / 2.0);
        let share = |count: usize| count as f64 / self.predictions() as f64;
        let bin = |(bin, &count)| HistogramBin { from: edge(bin), to: edge(bin + 1), share: share(count) };
        counts.iter().enumerate().map(bin).collect()
    }

    /// The predictions that differ most, the worst first.
    pub fn worst(&self) -> &[Surprise] {
        self.worst.sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: usize, target: u32) -> Place {
        Place { window: 0, position, target }
    }

    #[test]
    fn divergence_and_perplexity_of_known_distributions() {
        let even = Distribution::of(&[0.0, 0.0]);
        let (p, q) = (0.75f64, 0.25f64);
        let uneven = Distribution::of(&[p.ln() as f32, q.ln() as f32]);
        let expected = 0.5 * (0.5 / p).ln() + 0.5 * (0.5 / q).ln();
        assert!((even.divergence(&uneven) - expected).abs() < 1e-7);
        assert_eq!(even.divergence(&even), 0.0);
        let mut tally = Tally::default();
        tally.add(&even, &uneven, at(0, 1));
        tally.add(&even, &even, at(3, 0));
        assert!((tally.perplexity() - (4.0f64 * 2.0).sqrt()).abs() < 1e-6);
        assert!((tally.kl_mean() - expected / 2.0).abs() < 1e-7);
        let [median, p99] = tally.kl_quantiles([0.5, 0.99]);
        assert_eq!((median, tally.top1()), (0.0, 1.0));
        assert!((p99 - expected).abs() < 1e-7);

        let bins = tally.by_position(2);
        let of = |bin: &PositionBin| (bin.first, bin.last, bin.predictions);
        assert_eq!(bins.iter().map(of).collect::<Vec<_>>(), [(0, 1, 1), (2, 3, 1)]);
        assert!((bins[0].kl_mean - expected).abs() < 1e-7 && bins[1].kl_mean == 0.0);
        let histogram = tally.histogram();
        assert_eq!(histogram[0].share, 0.5, "a divergence of zero is in the first bin");
        let bin = histogram.iter().find(|bin| (bin.from..bin.to).contains(&expected)).unwrap();
        assert_eq!(bin.share, 0.5);
        assert_eq!(histogram.iter().map(|bin| bin.share).sum::<f64>(), 1.0);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let found = Distribution::of(&[1e4, -1e4, 9999.0]);
        assert!(found.log.iter().all(|log| log.is_finite()));
        assert_eq!(found.top, 0);
    }

    #[test]
    fn choices_are_the_most_likely_and_of_equals_the_first() {
        let found = Distribution::of(&[0.0, 2.0, 1.0, 2.0]);
        let ids = |count| found.choices(count).iter().map(|&(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(3), [1, 3, 2]);
        assert_eq!(ids(9), [1, 3, 2, 0]);
        let sum: f64 = found.choices(4).iter().map(|&(_, probability)| probability).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
}
