//! How long a training lasts, and how its rates change on the way.

use std::f64::consts::PI;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a training may use up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Budget {
    /// Tokens read, repetitions included.
    Tokens(u64),
    /// Seconds in which it trains. Where it ends depends on the machine, so a training by time is not reproducible.
    Seconds(f64),
}

impl Budget {
    /// The share that is used up, 1 or more at the end.
    pub fn used(self, tokens: u64, time: Duration) -> f64 {
        match self {
            Self::Tokens(budget) => tokens as f64 / budget.max(1) as f64,
            Self::Seconds(budget) => time.as_secs_f64() / budget.max(1e-9),
        }
    }
}

/// How rates fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decay {
    /// Along half a cosine (Loshchilov and Hutter, 2016).
    #[default]
    Cosine,
    /// Flat, then straight down from the middle on.
    Linear,
}

impl FromStr for Decay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cosine" => Ok(Self::Cosine),
            "linear" => Ok(Self::Linear),
            _ => Err("expected cosine or linear".to_owned()),
        }
    }
}

/// The course of the rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps in which rates rise to their highest.
    pub warm_up: u64,
    /// How they fall.
    pub decay: Decay,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { warm_up: 60, decay: Decay::default() }
    }
}

/// What rates do not fall below, as a share of the highest.
const LOWEST: f64 = 0.02;

impl Schedule {
    /// The share of the highest rates in a step, of which `done` came before, when this share of the budget is used.
    pub fn share(self, done: u64, used: f64) -> f32 {
        let used = used.clamp(0.0, 1.0);
        let fallen = match self.decay {
            Decay::Cosine => 0.5 * (1.0 + (PI * used).cos()),
            Decay::Linear => ((1.0 - used) / 0.5).min(1.0),
        };
        let risen = ((done + 1) as f64 / self.warm_up.max(1) as f64).min(1.0);
        (risen * fallen.max(LOWEST)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let schedule = |decay| Schedule { warm_up: 10, decay };
        let cosine = schedule(Decay::Cosine);
        assert_eq!(cosine.share(0, 0.0), 0.1);
        assert_eq!(cosine.share(9, 0.0), 1.0);
        assert!((cosine.share(100, 0.5) - 0.5).abs() < 1e-6);
        assert_eq!(cosine.share(100, 1.5), 0.02);
        let linear = schedule(Decay::Linear);
        assert_eq!((linear.share(100, 0.5), linear.share(100, 0.75)), (1.0, 0.5));
        assert_eq!(Budget::Tokens(100).used(50, Duration::from_secs(9)), 0.5);
        assert_eq!(Budget::Seconds(18.0).used(50, Duration::from_secs(9)), 0.5);
    }
}
