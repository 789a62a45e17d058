//! The engine as a whole, on small models of random weights made here.

use proptest::prelude::*;
use std::format;
use std::vec;
use std::vec::Vec;

use sprat_format::*;

use crate::*;

mod cost;
mod families;
mod mark;
mod prefix;
mod slide;
#[cfg(feature = "stream")]
mod stream;
mod teams;

/// A sink that keeps the file in memory.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Sink for Memory {
    type Error = core::convert::Infallible;

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error> {
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        self.0.resize(self.0.len().max(to), 0);
        self.0[from..to].copy_from_slice(bytes);
        Ok(())
    }
}

/// Bytes that begin at a multiple of 16.
struct Aligned {
    words: Vec<u128>,
    length: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut this = Self::zeros(bytes.len());
        this.as_mut().copy_from_slice(bytes);
        this
    }

    fn zeros(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(16)], length }
    }

    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}

fn llama() -> Config {
    Config {
        vocab_size: 19,
        hidden_size: 20,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 6,
        ffn_size: 28,
        max_positions: 32,
        norm: Norm::RmsNorm,
        norm_eps: 1e-5,
        position: Position::Rotary { dims: 6, pairing: Pairing::Interleaved },
        feed_forward: FeedForward::Gated(Activation::Silu),
        group: 16,
        ..Config::PLAIN
    }
}

fn gpt2() -> Config {
    Config {
        kv_heads: 4,
        norm: Norm::LayerNorm,
        position: Position::Learned,
        feed_forward: FeedForward::Plain(Activation::GeluTanh),
        ..llama()
    }
}

fn limits(kv: KvType) -> Limits {
    Limits { context: 24, prefill_chunk: 5, prompt_bytes: 16, kv, logits_rows: 0 }
}

/// A model of random weights, matrices in `element`, with biases wherever the configuration allows them.
fn model(config: &Config, limits: Limits, element: Element) -> Aligned {
    model_in(config, limits, element, Layout::Rows)
}

/// The same model with its q8 matrices in some layout.
fn model_in(config: &Config, limits: Limits, element: Element, layout: Layout) -> Aligned {
    let meta = Meta {
        config: *config,
        limits,
        name: "random",
        source: "test",
        tool: "sprat tests",
        recipe: "",
        bos: Some(1),
        add_bos: true,
        end_tokens: heapless::Vec::new(),
    };
    let layers = (0..config.layers as u16).map(Some).chain([None]);
    let wanted = |role: &Role| role.is_allowed(config) && *role != Role::Head;
    let specs: Vec<TensorSpec> = layers
        .flat_map(|layer| {
            let roles =
                Role::ALL.into_iter().filter(move |r| r.in_layers() == layer.is_some()).filter(wanted);
            roles.map(move |role| {
                let (rows, cols) = role.shape(config);
                let element = if role.is_matrix() { element } else { Element::F32 };
                let layout = if matches!(element, Element::Q8 { .. }) { layout } else { Layout::Rows };
                TensorSpec { role, layer, element, layout, rows, cols }
            })
        })
        .collect();
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut buffer = [0; 256];
    let mut writer =
        Writer::begin(Memory::default(), meta.encode(&mut buffer).unwrap(), &[], &[], &specs).unwrap();
    for spec in &specs {
        let count = (spec.rows * spec.cols) as usize;
        let (mut values, mut scales) = (Vec::new(), Vec::new());
        match spec.element {
            Element::F32 => {
                (0..count).for_each(|_| values.extend_from_slice(&(random() * 0.4).to_le_bytes()))
            }
            Element::F16 => (0..count)
                .for_each(|_| values.extend_from_slice(&half::f16::from_f32(random() * 0.4).to_le_bytes())),
            Element::Q8 { .. } => {
                let padded = spec.element.padded_cols(spec.cols);
                let by_rows: Vec<i8> = (0..spec.rows * padded)
                    .map(|i| if i % padded < spec.cols { (random() * 127.0) as i8 } else { 0 })
                    .collect();
                let scales_by_rows: Vec<[u8; 2]> = (0..spec.element.scale_bytes(spec.rows, spec.cols) / 2)
                    .map(|_| half::f16::from_f32(0.003 + 0.001 * random()).to_le_bytes())
                    .collect();
                let mut arranged = vec![[0; 2]; spec.scale_bytes() as usize / 2];
                values.resize(spec.value_bytes() as usize, 0);
                spec.layout.arrange(
                    spec.rows as usize,
                    &by_rows,
                    &scales_by_rows,
                    &mut values,
                    &mut arranged,
                );
                scales = arranged.concat();
            }
        }
        writer.tensor(&values, &scales).unwrap();
    }
    Aligned::new(&writer.finish().unwrap().0.0)
}

const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::Q8 { group: 16 }];
const CACHES: [KvType; 3] = [KvType::Q8, KvType::F16, KvType::F32];
const TEXT: [u32; 13] = [1, 4, 18, 0, 7, 7, 2, 11, 5, 3, 16, 9, 10];

/// The logits after every token of `TEXT`, fed in pieces of these sizes.
fn run(model: &Aligned, limits: Limits, pieces: &[usize]) -> Vec<Vec<f32>> {
    let image = Image::new(model.as_ref()).unwrap();
    let plan = Plan::new(image.config(), &limits).unwrap();
    let mut arena = Aligned::zeros(plan.arena_bytes);
    // What the arena held before does not matter.
    arena.as_mut().fill(0xa5);
    let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
    let mut all = Vec::new();
    let mut at = 0;
    for piece in pieces {
        engine.feed_each(&TEXT[at..at + piece], |_, logits| all.push(logits.to_vec())).unwrap();
        at += piece;
    }
    assert_eq!((at, all.len(), engine.position()), (TEXT.len(), TEXT.len(), TEXT.len()));
    all
}

fn bits(logits: &[Vec<f32>]) -> Vec<u32> {
    logits.iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn a_prompt_in_chunks_computes_the_bits_of_one_token_at_a_time() {
    for config in [llama(), gpt2()] {
        for element in ELEMENTS {
            for kv in CACHES {
                let model = model(&config, limits(kv), element);
                let alone = run(&model, limits(kv), &[1; 13]);
                assert!(alone.iter().flatten().all(|x| x.is_finite()));
                assert!(alone[3] != alone[12], "logits must depend on the text");
                for prefill_chunk in [1, 2, 5, 13, 64] {
                    let limits = Limits { prefill_chunk, ..limits(kv) };
                    for pieces in [&[13][..], &[1, 12], &[6, 7]] {
                        assert_eq!(bits(&run(&model, limits, pieces)), bits(&alone), "{element:?} {kv:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_layout_computes_the_same_bits() {
    for config in [llama(), gpt2()] {
        let run_in = |layout| {
            let model = model_in(&config, limits(KvType::Q8), Element::Q8 { group: 16 }, layout);
            bits(&run(&model, limits(KvType::Q8), &[13]))
        };
        assert_eq!(run_in(Layout::Interleaved), run_in(Layout::Rows));
        assert_eq!(run_in(Layout::InterleavedBiased), run_in(Layout::Rows));
    }
}

#[test]
fn the_cache_type_changes_little_and_weights_matter() {
    let mean = |a: &[Vec<f32>], b: &[Vec<f32>]| {
        let pairs = a.iter().flatten().zip(b.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).sum::<f32>() / (a.len() * a[0].len()) as f32
    };
    for config in [llama(), gpt2()] {
        let model = model(&config, limits(KvType::F32), Element::F32);
        let exact = run(&model, limits(KvType::F32), &[13]);
        let spread = mean(&exact, &vec![vec![0.0; 19]; 13]);
        let error = |kv| mean(&run(&model, limits(kv), &[13]), &exact) / spread;
        assert!(error(KvType::F16) > 0.0 && error(KvType::F16) < 2e-3, "{}", error(KvType::F16));
        assert!(error(KvType::Q8) > 0.0 && error(KvType::Q8) < 3e-2, "{}", error(KvType::Q8));
    }
}

#[test]
fn truncating_returns_to_an_earlier_state() {
    let model = model(&llama(), limits(KvType::Q8), Element::Q8 { group: 16 });
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), image.limits()).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
    engine.feed(&TEXT).unwrap();
    let first = engine.logits().unwrap().to_vec();
    engine.truncate(4);
    assert_eq!(engine.position(), 4);
    engine.feed(&[8, 8, 8]).unwrap();
    assert_ne!(engine.logits().unwrap(), first);
    engine.truncate(4);
    engine.feed(&TEXT[4..]).unwrap();
    assert_eq!(engine.logits().unwrap(), first);
    engine.truncate(99);
    assert_eq!(engine.position(), TEXT.len());
}

#[test]
fn the_arena_is_used_to_the_byte() {
    for (config, kv) in [(llama(), KvType::Q8), (gpt2(), KvType::F16), (llama(), KvType::F32)] {
        for prompt_bytes in [1, 4096] {
            let limits = Limits { prompt_bytes, ..limits(kv) };
            let plan = Plan::new(&config, &limits).unwrap();
            let mut arena = Aligned::zeros(plan.arena_bytes);
            let mut carver = arena::Carver::new(arena.as_mut());
            cache::Cache::carve(&mut carver, &config, &limits, &plan.sizes);
            assert_eq!(carver.left(), plan.arena_bytes - plan.kv_bytes);
            assert_eq!(carver.take::<f32>(config.vocab_size as usize).len(), 19);
            assert_eq!(carver.take::<f32>(config.hidden_size as usize).len(), config.hidden_size as usize);
            assert_eq!(carver.take::<u32>(limits.context as usize).len(), 24);
            assert_eq!(carver.left(), plan.scratch_bytes);
            forward::Scratch::carve(&mut carver, &plan.sizes);
            assert_eq!(carver.left(), plan.scratch_bytes - plan.activation_bytes);
        }
    }
}

#[test]
fn the_plan_is_a_constant() {
    const CONFIG: Config = Config {
        vocab_size: 1024,
        hidden_size: 128,
        layers: 5,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        ffn_size: 256,
        max_positions: 256,
        norm: Norm::RmsNorm,
        norm_eps: 1e-5,
        position: Position::Rotary { dims: 32, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(Activation::Silu),
        group: 64,
        ..Config::PLAIN
    };
    const LIMITS: Limits =
        Limits { context: 256, prefill_chunk: 1, prompt_bytes: 64, kv: KvType::Q8, logits_rows: 0 };
    const PLAN: Plan = match Plan::new(&CONFIG, &LIMITS) {
        Ok(plan) => plan,
        Err(_) => panic!("impossible"),
    };
    // Keys and values: 2 x 5 layers x 2 heads x 256 tokens x (32 bytes + a scale of 2 bytes).
    assert_eq!(PLAN.kv_bytes, 2 * 5 * 2 * 256 * 34);
    assert_eq!(PLAN.logits_bytes, 4096);
}

#[test]
fn limits_out_of_range_are_named() {
    let error = |limits| format!("{}", Plan::new(&llama(), &limits).unwrap_err());
    let base = limits(KvType::Q8);
    assert_eq!(error(Limits { context: 33, ..base }), "context is 33, expected 1 to 32");
    assert_eq!(error(Limits { context: 0, ..base }), "context is 0, expected 1 to 32");
    assert_eq!(error(Limits { prefill_chunk: 0, ..base }), "prefill_chunk is 0, expected 1 to 256");
    assert_eq!(error(Limits { prompt_bytes: 0, ..base }), "prompt_bytes is 0, expected 1 to 16777216");
    assert_eq!(error(Limits { logits_rows: 6, ..base }), "logits_rows modulo 4 is 2, expected 0 to 0");
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers_and_changes_nothing() {
    let model = model(&llama(), limits(KvType::Q8), Element::F16);
    let image = Image::new(model.as_ref()).unwrap();
    let need = Plan::new(image.config(), image.limits()).unwrap().arena_bytes;
    let mut arena = Aligned::zeros(need + 1);
    let mut refusal = |range: core::ops::Range<usize>| {
        Engine::new(&image, *image.limits(), &mut arena.as_mut()[range], Kernels::detect()).err()
    };
    let have = need - 1;
    assert_eq!(refusal(0..have), Some(EngineError::ArenaTooSmall { need, have }));
    assert_eq!(refusal(1..need + 1), Some(EngineError::ArenaMisaligned { by: 1 }));
    let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
    engine.feed(&TEXT).unwrap();
    let logits = engine.logits().unwrap().to_vec();
    assert_eq!(engine.feed(&TEXT), Err(EngineError::ContextFull { need: 13, have: 11 }));
    assert_eq!(engine.feed(&[19]), Err(EngineError::Token { found: 19, vocab_size: 19 }));
    assert_eq!(engine.feed(&[]), Err(EngineError::EmptyPrompt));
    assert_eq!(engine.prompt("text", Special::AsText), Err(EngineError::NoTokenizer));
    assert_eq!((engine.position(), engine.logits().unwrap().to_vec()), (13, logits));
}

#[test]
fn a_misaligned_or_damaged_image_is_refused() {
    let mut model = model(&llama(), limits(KvType::Q8), Element::F16);
    let mut shifted = Aligned::zeros(model.length + 3);
    shifted.as_mut()[3..].copy_from_slice(model.as_ref());
    assert_eq!(Image::new(&shifted.as_ref()[3..]).err(), Some(ImageError::Misaligned { by: 3 }));
    model.as_mut()[5000] ^= 4;
    let error = Image::new(model.as_ref()).unwrap_err();
    assert!(format!("{error}").contains("section DATA is damaged"), "{error}");
}

#[test]
fn a_context_of_one_and_a_vocabulary_of_three_work() {
    let config = Config { vocab_size: 3, max_positions: 1, ..gpt2() };
    let limits = Limits { context: 1, ..limits(KvType::Q8) };
    let model = model(&config, limits, Element::Q8 { group: 16 });
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &limits).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
    engine.feed(&[2]).unwrap();
    let mut generator = Generator::new(&mut engine, Sampler::new(SamplerConfig::greedy(), 0), 10);
    assert!(generator.next_token().unwrap().unwrap() < 3);
    assert_eq!(generator.next_token(), Ok(None));
    assert_eq!(generator.stop_reason(), Some(StopReason::ContextFull));
    assert_eq!(generator.next_token(), Ok(None));
}

#[test]
fn a_generation_ends_at_its_limit_and_starts_from_something() {
    let model = model(&llama(), limits(KvType::F16), Element::F32);
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), image.limits()).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
    let greedy = || Sampler::new(SamplerConfig::greedy(), 0);
    assert_eq!(Generator::new(&mut engine, greedy(), 1).next_token(), Err(EngineError::EmptyPrompt));
    engine.feed(&[1]).unwrap();
    let mut generator = Generator::new(&mut engine, greedy(), 3).with_logits_hash();
    let mut tokens = Vec::new();
    while let Some(token) = generator.next_token().unwrap() {
        tokens.push(token);
    }
    assert_eq!((tokens.len(), generator.stop_reason()), (3, Some(StopReason::Limit)));
    let hash = generator.logits_hash().unwrap();
    assert_ne!(hash, LogitsHash::new().value());
    // The last token was not fed: nobody asked for what follows it.
    assert_eq!(engine.position(), 3);
}

/// Tokens and the hash of all logits of a generation.
fn generate(model: &Aligned, limits: Limits, config: SamplerConfig) -> Result<(Vec<u32>, u64), EngineError> {
    let image = Image::new(model.as_ref()).unwrap();
    let plan = Plan::new(image.config(), &limits).unwrap();
    let mut arena = Aligned::zeros(plan.arena_bytes);
    arena.as_mut().fill(0xa5);
    let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
    engine.feed(&TEXT[..5]).unwrap();
    let mut generator = Generator::new(&mut engine, Sampler::new(config, 3), 10).with_logits_hash();
    let mut tokens = Vec::new();
    while let Some(token) = generator.next_token()? {
        tokens.push(token);
    }
    Ok((tokens, generator.logits_hash().unwrap()))
}

#[test]
fn logits_in_blocks_give_the_same_tokens_and_the_same_hash_in_less_memory() {
    let greedy = SamplerConfig { repetition_penalty: 1.3, ..SamplerConfig::greedy() };
    let seeded = SamplerConfig { temperature: 1.1, top_k: 7, top_p: 0.9, ..SamplerConfig::greedy() };
    for config in [llama(), gpt2()] {
        for (element, layout) in [
            (Element::F32, Layout::Rows),
            (Element::F16, Layout::Rows),
            (Element::Q8 { group: 16 }, Layout::Rows),
            (Element::Q8 { group: 16 }, Layout::Interleaved),
            (Element::Q8 { group: 16 }, Layout::InterleavedBiased),
        ] {
            let model = model_in(&config, limits(KvType::Q8), element, layout);
            for sampler in [greedy, seeded] {
                let whole = generate(&model, limits(KvType::Q8), sampler).unwrap();
                for logits_rows in [4, 8, 16, 20, 64] {
                    let limits = Limits { logits_rows, ..limits(KvType::Q8) };
                    let plan = Plan::new(&config, &limits).unwrap();
                    assert_eq!(plan.logits_bytes, (4 * logits_rows.min(19) as usize).next_multiple_of(16));
                    assert_eq!(generate(&model, limits, sampler).unwrap(), whole, "{logits_rows} {layout:?}");
                }
            }
        }
    }
}

#[test]
fn what_needs_all_logits_at_once_is_refused_when_they_come_in_blocks() {
    let model = model(&llama(), limits(KvType::Q8), Element::F16);
    let blocks = Limits { logits_rows: 8, ..limits(KvType::Q8) };
    for top_k in [0, 65] {
        let sampler = SamplerConfig { temperature: 1.0, top_k, ..SamplerConfig::greedy() };
        let refused = generate(&model, blocks, sampler).unwrap_err();
        assert_eq!(refused, EngineError::Candidates { top_k, most: 64 });
        assert!(std::format!("{refused}").contains("set top_k to 1 to 64"));
        generate(&model, limits(KvType::Q8), sampler).unwrap();
    }
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &blocks).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, blocks, arena.as_mut(), Kernels::detect()).unwrap();
    let refused = Err(EngineError::LogitsInBlocks { rows: 8 });
    assert_eq!(engine.feed_each(&[1, 2], |_, _| panic!("refused before")), refused);
    assert_eq!(engine.position(), 0);
    engine.feed(&[1, 2]).unwrap();
    assert_eq!(engine.logits().map(|logits| logits.len()), Err(EngineError::LogitsInBlocks { rows: 8 }));
    let mut firsts = Vec::new();
    engine.each_logits(|first, block| firsts.push((first, block.len()))).unwrap();
    assert_eq!(firsts, [(0, 8), (8, 8), (16, 3)]);
}

#[test]
fn the_kernels_are_named() {
    assert_eq!(Kernels::available().last().map(Kernels::name), Some("portable"));
    assert_eq!(Kernels::detect().name(), Kernels::available().next().unwrap().name());
    assert_eq!(Kernels::by_name("portable").map(Kernels::name), Some("portable"));
    assert!(Kernels::by_name("abacus").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sizes that are no multiple of anything.
    #[test]
    fn every_shape_runs(
        hidden_size in 1u32..40, layers in 1u32..3, kv_heads in 1u32..4, heads_per_kv in 1u32..3,
        half_dim in 1u32..5, ffn_size in 1u32..50, vocab_size in 3u32..20, group in (1u32..10).prop_map(|n| 4 * n),
        element in 0usize..3, kv in 0usize..3, learned: bool,
    ) {
        let base = if learned { gpt2() } else { llama() };
        let position = match base.position {
            Position::Rotary { pairing, .. } => Position::Rotary { dims: 2 * half_dim, pairing },
            learned => learned,
        };
        let config = Config {
            vocab_size, hidden_size, layers, kv_heads, ffn_size, group, position,
            heads: kv_heads * heads_per_kv, head_dim: 2 * half_dim, ..base
        };
        let element = [Element::F32, Element::F16, Element::Q8 { group: group as u16 }][element];
        let model = model(&config, limits(CACHES[kv]), element);
        let image = Image::new(model.as_ref()).unwrap();
        let mut arena = Aligned::zeros(Plan::new(image.config(), image.limits()).unwrap().arena_bytes);
        let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
        engine.feed(&[1, 0, 2, 2, 1, 0, 1]).unwrap();
        let together = engine.logits().unwrap().to_vec();
        prop_assert!(together.iter().all(|x| x.is_finite()));
        engine.truncate(0);
        for token in [1, 0, 2, 2, 1, 0, 1] {
            engine.feed(&[token]).unwrap();
        }
        prop_assert_eq!(engine.logits().unwrap(), &together[..]);
    }
}
