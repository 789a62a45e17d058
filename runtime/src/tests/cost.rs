//! What a pass costs: products counted against the formula, stages told in the order of the model.

use std::sync::Mutex;

use super::*;

/// Products of one token at which attention reads `positions` positions, without the head, by the formula.
fn formula(config: &Config, positions: u64) -> u64 {
    let [h, q, kv, f, layers] =
        [config.hidden_size, config.query_size(), config.kv_size(), config.ffn_size, config.layers]
            .map(u64::from);
    let matrices = if matches!(config.feed_forward, FeedForward::Gated(_)) { 3 } else { 2 };
    layers * (2 * h * q + 2 * h * kv + matrices * h * f + 2 * positions * q)
}

#[test]
fn products_are_those_of_the_formula() {
    // GPT-2: four times the width in the feed-forward block, as many keys as queries, heads that fill the width.
    let gpt2 = Config { hidden_size: 24, head_dim: 6, ffn_size: 96, ..gpt2() };
    let grouped = Config { heads: 9, kv_heads: 3, ..llama() };
    for (config, element) in
        [(gpt2, Element::F32), (llama(), Element::F16), (grouped, Element::Q8 { group: 16 })]
    {
        let head = u64::from(config.hidden_size * config.vocab_size);
        let model = model(&config, limits(KvType::Q8), element);
        let image = Image::new(model.as_ref()).unwrap();
        let mut arena = Aligned::zeros(Plan::new(image.config(), image.limits()).unwrap().arena_bytes);
        let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
        assert_eq!(engine.products(), 0);
        engine.feed(&TEXT[..7]).unwrap();
        let mut expected = (1..=7).map(|positions| formula(&config, positions)).sum::<u64>() + head;
        assert_eq!(engine.products(), expected, "a prompt in chunks, and logits once");
        for (positions, token) in (8..).zip(&TEXT[7..]) {
            engine.feed(&[*token]).unwrap();
            expected += formula(&config, positions) + head;
            assert_eq!(engine.products(), expected);
        }
    }
    let [h, layers] = [24, u64::from(gpt2.layers)];
    for positions in [1, 2, 24] {
        assert_eq!(formula(&gpt2, positions), layers * (12 * h * h + 2 * positions * h));
    }
}

#[derive(Default)]
struct Told(Mutex<Vec<Stage>>);

impl Probe for Told {
    fn begin(&self, stage: Stage) {
        self.0.lock().unwrap().push(stage);
    }
}

#[test]
fn an_observer_is_told_of_every_stage_in_order() {
    use Stage::*;
    let model = model(&llama(), limits(KvType::Q8), Element::F16);
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), image.limits()).unwrap().arena_bytes);
    let told = Told::default();
    let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
    engine.set_probe(&told);
    engine.feed(&[1, 2]).unwrap();
    let layer = [Norm, Qkv, Attention, Output, Norm, FeedForward];
    let pass = [&[Embedding][..], &layer, &layer, &[Norm, Head, Outside]].concat();
    assert_eq!(*told.0.lock().unwrap(), pass);
    told.0.lock().unwrap().clear();
    let mut generator = Generator::new(&mut engine, Sampler::new(SamplerConfig::greedy(), 0), 2);
    generator.next_token().unwrap();
    generator.next_token().unwrap();
    assert_eq!(*told.0.lock().unwrap(), [&[Sampling, Outside][..], &pass, &[Sampling, Outside]].concat());
    told.0.lock().unwrap().clear();
    engine.clear_probe();
    engine.feed(&[3]).unwrap();
    assert_eq!(*told.0.lock().unwrap(), []);
    let mut names: Vec<_> = Stage::ALL.map(Stage::name).to_vec();
    names.dedup();
    assert_eq!(names.len(), Stage::ALL.len());
}
