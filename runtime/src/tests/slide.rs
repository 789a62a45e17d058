//! A cache that slides: what it holds, that its memory and bits are fixed, and what is refused.

use super::*;
use crate::team::tests::Threads;

/// Tokens of a text without end.
fn text(count: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 7 + i * 3 + 1) % 19) as u32).collect()
}

/// The tokens that a cache of 24 holds after `tokens`, by the definition.
fn kept(tokens: &[u32], sinks: usize, drop: usize) -> Vec<u32> {
    let mut kept = Vec::new();
    for &token in tokens {
        if kept.len() == 24 {
            kept.drain(sinks..sinks + drop);
        }
        kept.push(token);
    }
    kept
}

/// Lets an engine of one core do something.
fn with_engine<T>(model: &Aligned, limits: Limits, act: impl FnOnce(&mut Engine) -> T) -> T {
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &limits).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
    act(&mut engine)
}

/// The logits after each token, fed in pieces.
fn logits_of(engine: &mut Engine, tokens: &[u32], pieces: usize) -> Vec<Vec<f32>> {
    let mut all = Vec::new();
    for piece in tokens.chunks(pieces) {
        engine.feed_each(piece, |_, logits| all.push(logits.to_vec())).unwrap();
    }
    all
}

/// Models whose positions enter in every way in which they can move.
fn movable() -> Vec<Config> {
    let llama = llama();
    let half = Position::Rotary { dims: 4, pairing: Pairing::Half };
    let window = Config { window: 5, window_layers: Layers { period: 2, bits: 1 }, ..llama };
    vec![
        llama,
        Config { position: half, kv_heads: 4, ..llama },
        Config { position: half, ..window },
        Config { position: Position::Alibi, ..llama },
        Config { position: Position::None, ..llama },
        Config { rotary_layers: Layers { period: 2, bits: 2 }, ..window },
    ]
}

/// In a model of one layer keys and values depend on their tokens alone, so a cache that slid is the cache of the
/// tokens that it holds, as if they were the whole text.
#[test]
fn what_is_left_stands_as_if_it_were_the_text() {
    let tokens = text(80);
    for config in movable() {
        for (kv, tolerance) in [(KvType::F32, 3e-5), (KvType::F16, 3e-3), (KvType::Q8, 6e-2)] {
            let model = model(&Config { layers: 1, ..config }, limits(kv), Element::F32);
            for (sinks, drop) in [(4, 6), (0, 5), (1, 1), (7, 16)] {
                let slid = with_engine(&model, limits(kv), |engine| {
                    engine.slide(sinks, drop).unwrap();
                    logits_of(engine, &tokens, 9)
                });
                for count in [24, 25, 29, 31, 48, 77, 80] {
                    let left = kept(&tokens[..count], sinks, drop);
                    let expected = with_engine(&model, limits(kv), |engine| {
                        logits_of(engine, &left, left.len()).pop().unwrap()
                    });
                    let worst = slid[count - 1].iter().zip(&expected).map(|(a, b)| (a - b).abs());
                    let worst = worst.fold(0.0, f32::max);
                    let spread = expected.iter().map(|x| x.abs()).fold(0.0, f32::max);
                    assert!(worst < tolerance * spread, "{config:?} {kv:?} {sinks} {drop} {count}: {worst}");
                }
            }
        }
    }
}

#[test]
fn the_bits_depend_on_the_text_alone() {
    let tokens = text(90);
    for config in movable() {
        for kv in CACHES {
            let model = model(&config, limits(kv), Element::Q8 { group: 16 });
            let slide = |limits, pieces| {
                with_engine(&model, limits, |engine| {
                    engine.slide(5, 7).unwrap();
                    let all = logits_of(engine, &tokens, pieces);
                    assert_eq!((engine.position(), engine.dropped()), (90 - 70, 70));
                    assert_eq!(engine.room(), usize::MAX);
                    bits(&all)
                })
            };
            let alone = slide(limits(kv), 1);
            let before =
                with_engine(&model, limits(kv), |engine| bits(&logits_of(engine, &tokens[..24], 24)));
            assert_eq!(alone[..before.len()], before, "{config:?} {kv:?}: before the first drop");
            for (prefill_chunk, pieces) in [(5, 90), (1, 90), (3, 11), (64, 90), (7, 25)] {
                let limits = Limits { prefill_chunk, ..limits(kv) };
                assert_eq!(slide(limits, pieces), alone, "{config:?} {kv:?} {prefill_chunk} {pieces}");
            }
        }
    }
}

#[test]
fn every_table_and_team_slides_alike() {
    let tokens = text(60);
    for kv in CACHES {
        let model = model(&llama(), limits(kv), Element::Q8 { group: 16 });
        let image = Image::new(model.as_ref()).unwrap();
        let run_with = |kernels, cores| {
            let plan = Plan::for_team(image.config(), image.limits(), cores).unwrap();
            let mut arena = Aligned::zeros(plan.arena_bytes);
            let team = Threads(cores);
            let mut engine =
                Engine::with_team(&image, *image.limits(), arena.as_mut(), kernels, &team).unwrap();
            engine.slide(4, 3).unwrap();
            bits(&logits_of(&mut engine, &tokens, 20))
        };
        let expected = run_with(Kernels::by_name("portable").unwrap(), 1);
        for kernels in Kernels::available() {
            for cores in [1, 3] {
                assert_eq!(run_with(kernels, cores), expected, "{kv:?} {} {cores}", kernels.name());
            }
        }
    }
}

/// The same tokens far behind others that were dropped, also where positions wrap.
#[test]
fn distances_stay_what_they_are_however_far_the_text_has_come() {
    let tokens = text(24);
    let model = model(&llama(), limits(KvType::F32), Element::F32);
    let after = |dropped: u32| {
        with_engine(&model, limits(KvType::F32), |engine| {
            engine.dropped = dropped;
            logits_of(engine, &tokens, 24)
        })
    };
    let near = after(0);
    for dropped in [1, 1000, 1 << 24, 3_000_000_000, u32::MAX - 10] {
        for (near, far) in near.iter().flatten().zip(after(dropped).iter().flatten()) {
            assert!((near - far).abs() < 2e-5, "{dropped}: {near} {far}");
        }
    }
}

#[test]
fn an_empty_cache_begins_anew() {
    let tokens = text(70);
    let model = model(&llama(), limits(KvType::Q8), Element::F16);
    with_engine(&model, limits(KvType::Q8), |engine| {
        engine.slide(4, 8).unwrap();
        let first = bits(&logits_of(engine, &tokens, 70));
        assert!(engine.dropped() > 0);
        // Other sinks than before are sinks too.
        engine.truncate(0);
        assert_eq!(engine.dropped(), 0);
        let others = bits(&logits_of(engine, &tokens[20..], 70));
        assert_ne!(others[..19], first[..19]);
        engine.truncate(2);
        engine.truncate(0);
        assert_eq!(bits(&logits_of(engine, &tokens, 33)), first);
        // A continuation of what is left can be tried twice.
        let position = engine.position();
        let once = bits(&logits_of(engine, &tokens[..2], 2));
        engine.truncate(position);
        assert_eq!(bits(&logits_of(engine, &tokens[..2], 1)), once);
    });
}

#[test]
fn what_cannot_slide_is_refused_and_changes_nothing() {
    let tokens = text(24);
    let model_of = |config| model(&config, limits(KvType::Q8), Element::F16);
    with_engine(&model_of(gpt2()), limits(KvType::Q8), |engine| {
        assert_eq!(engine.slide(4, 8), Err(SlideError::Learned));
        assert_eq!(engine.room(), 24);
    });
    with_engine(&model_of(llama()), limits(KvType::Q8), |engine| {
        for (sinks, drop) in [(4, 0), (4, 20), (0, 24), (usize::MAX, 1)] {
            assert_eq!(engine.slide(sinks, drop), Err(SlideError::Size { sinks, drop, context: 24 }));
        }
        engine.feed(&tokens[..3]).unwrap();
        assert_eq!(engine.slide(4, 8), Err(SlideError::Late { position: 3 }));
        engine.truncate(0);
        engine.slide(22, 1).unwrap();
        assert_eq!(engine.slide(4, 8), Err(SlideError::Twice));
        engine.feed(&text(100)).unwrap();
        assert_eq!((engine.position(), engine.dropped()), (24, 76));
    });
}
