//! Sums over predictions: likelihood, divergence, agreement.
//!
//! Everything is computed in double precision from the logits, so that what is measured is the model's rounding
//! and not the measurement's.

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
    fn divergence(&self, other: &Self) -> f64 {
        let terms = self.log.iter().zip(&other.log).map(|(p, q)| p.exp() * (p - q));
        // Rounding may leave equal distributions a hair below zero.
        terms.sum::<f64>().max(0.0)
    }
}

/// What was found over many predictions.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    negative_log_likelihood: f64,
    agreements: usize,
    divergences: Vec<f64>,
}

impl Tally {
    /// Takes in one prediction of `target`.
    pub fn add(&mut self, reference: &Distribution, found: &Distribution, target: usize) {
        self.negative_log_likelihood -= found.log[target];
        self.agreements += usize::from(reference.top == found.top);
        self.divergences.push(reference.divergence(found));
    }

    /// Takes in the predictions of a later window.
    pub fn append(&mut self, later: Self) {
        self.negative_log_likelihood += later.negative_log_likelihood;
        self.agreements += later.agreements;
        self.divergences.extend(later.divergences);
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

    /// The least divergence that a share of the predictions do not exceed.
    pub fn kl_quantile(&self, share: f64) -> f64 {
        let mut sorted = self.divergences.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// Share of predictions with the same most likely token.
    pub fn top1(&self) -> f64 {
        self.agreements as f64 / self.predictions() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_and_perplexity_of_known_distributions() {
        let even = Distribution::of(&[0.0, 0.0]);
        let (p, q) = (0.75f64, 0.25f64);
        let uneven = Distribution::of(&[p.ln() as f32, q.ln() as f32]);
        let expected = 0.5 * (0.5 / p).ln() + 0.5 * (0.5 / q).ln();
        assert!((even.divergence(&uneven) - expected).abs() < 1e-7);
        assert_eq!(even.divergence(&even), 0.0);
        let mut tally = Tally::default();
        tally.add(&even, &uneven, 1);
        tally.add(&even, &even, 0);
        assert!((tally.perplexity() - (4.0f64 * 2.0).sqrt()).abs() < 1e-6);
        assert!((tally.kl_mean() - expected / 2.0).abs() < 1e-7);
        assert_eq!((tally.kl_quantile(0.5), tally.top1()), (0.0, 1.0));
        assert!((tally.kl_quantile(0.99) - expected).abs() < 1e-7);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let found = Distribution::of(&[1e4, -1e4, 9999.0]);
        assert!(found.log.iter().all(|log| log.is_finite()));
        assert_eq!(found.top, 0);
    }
}
