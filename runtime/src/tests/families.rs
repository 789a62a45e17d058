//! Parts that plain models lack: that a prompt in pieces, by several cores and with every table has the bits of one
//! token at a time, and that each part does something.

use super::*;
use crate::team::tests::Threads;

/// Models with every part, alone and together.
pub(super) fn unusual() -> Vec<Config> {
    let (llama, gpt2) = (llama(), gpt2());
    let windowed = Config { window: 5, window_layers: Layers { period: 2, bits: 1 }, ..llama };
    vec![
        Config { norm_place: NormPlace::Output, qk_norm: QkNorm::Projection, ..llama },
        Config {
            norm_place: NormPlace::BeforeAndOutput,
            qk_norm: QkNorm::SharedByHeads,
            embedding_scale: 4.5,
            attention_scale: 0.3,
            attention_softcap: 2.0,
            logit_softcap: 3.0,
            ..windowed
        },
        Config { norm_place: NormPlace::Sum, final_norm: false, embedding_size: 12, ..gpt2 },
        Config { position: Position::Alibi, embedding_norm: true, window: 3, ..gpt2 },
        Config { position: Position::Alibi, kv_heads: 1, block: Block::Parallel, ..gpt2 },
        Config { block: Block::ParallelTwoNorms, position: llama.position, ..gpt2 },
        Config { rotary_layers: Layers { period: 2, bits: 2 }, qk_norm: QkNorm::EachHead, ..windowed },
        Config { position: Position::None, norm: Norm::LayerNorm, window: 1, ..llama },
    ]
}

#[test]
fn unusual_models_compute_the_same_bits_in_pieces() {
    for config in unusual() {
        for (element, kv) in
            [(ELEMENTS[2], KvType::Q8), (ELEMENTS[1], KvType::F16), (ELEMENTS[0], KvType::F32)]
        {
            let model = model(&config, limits(kv), element);
            let alone = run(&model, limits(kv), &[1; 13]);
            assert!(alone.iter().flatten().all(|x| x.is_finite()), "{config:?}");
            for prefill_chunk in [1, 5, 64] {
                let limits = Limits { prefill_chunk, ..limits(kv) };
                for pieces in [&[13][..], &[6, 7]] {
                    assert_eq!(
                        bits(&run(&model, limits, pieces)),
                        bits(&alone),
                        "{config:?} {element:?} {kv:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn unusual_models_compute_the_same_bits_with_every_table_and_team() {
    for config in unusual() {
        for kv in [KvType::Q8, KvType::F16] {
            let model = model(&config, limits(kv), Element::Q8 { group: 16 });
            let image = Image::new(model.as_ref()).unwrap();
            let run_with = |kernels, cores: usize| {
                let plan = Plan::for_team(image.config(), image.limits(), cores).unwrap();
                let mut arena = Aligned::zeros(plan.arena_bytes);
                let team = Threads(cores);
                let mut engine =
                    Engine::with_team(&image, *image.limits(), arena.as_mut(), kernels, &team).unwrap();
                engine.feed(&TEXT).unwrap();
                engine.logits().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let expected = run_with(Kernels::by_name("portable").unwrap(), 1);
            for kernels in Kernels::available() {
                for cores in [1, 3] {
                    assert_eq!(run_with(kernels, cores), expected, "{config:?} {} {cores}", kernels.name());
                }
            }
        }
    }
}

/// The tensors of a model follow from its parts in a fixed order, so two configurations with the same tensors have the
/// same weights here, and differ by what a part computes alone.
#[test]
fn every_part_changes_the_logits() {
    let base = Config { position: Position::None, ..llama() };
    let logits =
        |config: Config| run(&model(&config, limits(KvType::F32), Element::F32), limits(KvType::F32), &[13]);
    let plain = logits(base);
    let changes: [(&str, Config); 6] = [
        ("a window", Config { window: 4, ..base }),
        ("a scale", Config { attention_scale: 1.0, ..base }),
        ("a soft cap", Config { attention_softcap: 0.5, ..base }),
        ("a soft cap of logits", Config { logit_softcap: 1.0, ..base }),
        ("an embedding scale", Config { embedding_scale: 2.0, ..base }),
        ("norms on sums", Config { norm_place: NormPlace::Sum, ..base }),
    ];
    for (part, config) in changes {
        let found = logits(config);
        assert!(found.iter().flatten().all(|x| x.is_finite()), "{part}");
        assert_ne!(bits(&found), bits(&plain), "{part}");
    }
    // A window that holds everything is none.
    assert_eq!(bits(&logits(Config { window: 13, ..base })), bits(&plain));
    let first = |logits: &[Vec<f32>]| bits(&logits[..4]);
    assert_eq!(first(&logits(Config { window: 4, ..base })), first(&plain), "the first four see all");
}
