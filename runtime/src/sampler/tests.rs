//! The sampler against sorting, which it does without.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;

fn config(change: impl Fn(&mut SamplerConfig)) -> SamplerConfig {
    let mut config = SamplerConfig { temperature: 1.0, ..SamplerConfig::greedy() };
    change(&mut config);
    config
}

/// How often each token is chosen in `rounds` draws.
fn histogram(config: SamplerConfig, logits: &[f32], rounds: usize) -> Vec<usize> {
    let mut sampler = Sampler::new(config, 42);
    let mut counts = vec![0; logits.len()];
    for _ in 0..rounds {
        counts[sampler.sample(&mut logits.to_vec()) as usize] += 1;
    }
    counts
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    let mut sampler = Sampler::new(SamplerConfig::greedy(), 0);
    assert_eq!(sampler.sample(&mut [1.0, 3.0, 3.0, 2.0]), 1);
    assert_eq!(sampler.sample(&mut [f32::NEG_INFINITY; 3]), 0);
    assert_eq!(sampler.sample(&mut [-5.0]), 0);
}

#[test]
fn logits_that_are_all_out_of_the_game_still_give_a_token() {
    for top_k in [0, 3, 100] {
        let mut sampler = Sampler::new(config(|c| c.top_k = top_k), 0);
        assert!(sampler.sample(&mut [f32::NEG_INFINITY; 5]) < 5);
        assert!(sampler.sample(&mut [f32::NAN; 5]) < 5);
    }
}

#[test]
fn draws_follow_the_softmax() {
    let logits = [0.0, 1.0, 2.0, -30.0];
    let rounds = 40_000;
    let counts = histogram(config(|_| {}), &logits, rounds);
    let total: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    for (count, logit) in counts.iter().zip(logits) {
        let share = *count as f64 / rounds as f64;
        assert!((share - f64::from(logit).exp() / total).abs() < 0.01, "{counts:?}");
    }
    assert_eq!(counts[3], 0);
}

#[test]
fn temperature_flattens_and_sharpens() {
    let logits = [0.0, 1.0];
    let share = |t| histogram(config(|c| c.temperature = t), &logits, 20_000)[1] as f64 / 20_000.0;
    assert!((share(0.5) - 0.881).abs() < 0.01);
    assert!((share(4.0) - 0.562).abs() < 0.01);
}

#[test]
fn min_p_is_a_share_of_the_most_likely() {
    let counts = histogram(config(|c| c.min_p = 0.2), &[0.0, -1.0, -2.0], 5000);
    assert!(counts[0] > 0 && counts[1] > 0 && counts[2] == 0, "{counts:?}");
}

#[test]
fn the_repetition_penalty_counts_a_token_once() {
    let mut sampler = Sampler::new(SamplerConfig { repetition_penalty: 2.0, ..SamplerConfig::greedy() }, 0);
    sampler.saw(0);
    sampler.saw(0);
    sampler.saw(2);
    // 3 / 2 = 1.5 and -0.5 * 2 = -1: with a second penalty token 0 would fall to 0.75.
    assert_eq!(sampler.sample(&mut [3.0, 1.0, -0.5]), 0);
    assert_eq!(sampler.sample(&mut [3.0, 1.4, -0.5]), 0);
    assert_eq!(sampler.sample(&mut [3.0, 1.6, -0.5]), 1);
}

#[test]
fn the_stream_of_a_seed_is_a_contract() {
    let mut random = SplitMix64(1234567);
    assert_eq!(random.next(), 6_457_827_717_110_365_317);
    assert_eq!(random.next(), 3_203_168_211_198_807_973);
    let mut sampler = Sampler::new(config(|c| c.top_p = 0.9), 7);
    let drawn: Vec<u32> =
        (0..12).map(|i| sampler.sample(&mut [0.1, 0.5, i as f32 * 0.1, 0.3, -1.0])).collect();
    assert_eq!(drawn, [1, 0, 3, 2, 1, 1, 2, 1, 0, 1, 0, 3]);
}

proptest! {
    #[test]
    fn top_k_keeps_what_sorting_keeps(
        logits in proptest::collection::vec((-10i8..10).prop_map(|x| f32::from(x) / 3.0), 1..40),
        k in 1usize..45,
    ) {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        let mut expected = vec![f32::NEG_INFINITY; logits.len()];
        order.iter().take(k).for_each(|&i| expected[i] = logits[i]);
        let mut kept = logits.clone();
        keep_most_likely(&mut kept, k);
        prop_assert_eq!(kept, expected);
    }

    /// The choice from blocks against the one that needs all logits at once, token after token.
    #[test]
    fn blocks_choose_what_all_logits_at_once_choose(
        rounds in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![-6.0f32..6.0, (-3i8..3).prop_map(f32::from)], 1..300), 1..8,
        ),
        block in 1usize..80, temperature in prop_oneof![Just(0.0f32), 0.1f32..3.0], top_k in 1u32..=64,
        top_p in 0.05f32..1.2, min_p in prop_oneof![Just(0.0f32), 0.0f32..0.9],
        repetition_penalty in prop_oneof![Just(1.0f32), 0.7f32..2.0], seed: u64,
    ) {
        let config = SamplerConfig { repetition_penalty, temperature, top_k, top_p, min_p };
        let mut by_block = Sampler::new(config, seed);
        let mut at_once = by_block.clone();
        for mut logits in rounds {
            for (number, block_logits) in logits.clone().chunks_mut(block).enumerate() {
                by_block.offer(number * block, block_logits);
            }
            at_once.penalize(0, &mut logits);
            let expected = match temperature > 0.0 {
                true => at_once.draw_from_all(&mut logits),
                false => {
                    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    logits.iter().position(|&logit| logit == most).unwrap() as u32
                }
            };
            at_once.saw(expected);
            prop_assert_eq!(by_block.choose(), expected);
        }
    }

    #[test]
    fn top_p_keeps_the_smallest_set_of_that_share(
        weights in proptest::collection::vec(0.0f32..1.0, 1..40),
        top_p in 0.01f32..0.99,
    ) {
        let goal = top_p * total(&weights, 0.0);
        let enough = |least| total(&weights, f32::from_bits(least)) >= goal;
        let least = f32::from_bits(threshold(1.0f32.to_bits(), enough));
        let kept: Vec<f32> = weights.iter().copied().filter(|&w| w >= least).collect();
        let smallest = kept.iter().copied().fold(f32::INFINITY, f32::min);
        prop_assert!(kept.iter().sum::<f32>() >= goal);
        let without: f32 = kept.iter().filter(|&&w| w > smallest).sum();
        prop_assert!(kept.is_empty() || without < goal);
    }

    #[test]
    fn a_choice_is_always_a_token(
        logits in proptest::collection::vec(-50.0f32..50.0, 1..50),
        temperature in 0.0f32..3.0, top_k in 0u32..60, top_p in 0.0f32..1.2, min_p in 0.0f32..1.0, seed: u64,
    ) {
        let config = SamplerConfig { repetition_penalty: 1.1, temperature, top_k, top_p, min_p };
        let mut sampler = Sampler::new(config, seed);
        for _ in 0..4 {
            prop_assert!((sampler.sample(&mut logits.clone()) as usize) < logits.len());
        }
    }
}

/// The token that greedy sampling chooses.
fn argmax(values: &[f32]) -> u32 {
    Sampler::new(SamplerConfig::greedy(), 0).sample(&mut values.to_vec())
}

#[test]
fn the_largest_is_found_wherever_it_lies() {
    for length in [1, 7, 8, 63, 64, 65, 200] {
        for at in 0..length {
            let mut values: Vec<f32> = (0..length).map(|i| -((i * 37 % 101) as f32) - 2.0).collect();
            values[at] = -1.0;
            assert_eq!(argmax(&values), at as u32);
            // An equal one behind it changes nothing, and what is no number is never chosen.
            values[length - 1] = -1.0;
            assert_eq!(argmax(&values), at as u32);
            if at > 0 {
                values[0] = f32::NAN;
                assert_eq!(argmax(&values), at as u32);
            }
        }
        assert_eq!(argmax(&vec![f32::NEG_INFINITY; length]), 0);
    }
}
