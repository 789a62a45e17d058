//! The same bits from every table, layout and number of cores, for prompts and for single tokens.
//!
//! One core and the portable kernels on rows one after the other say what the bits are.

use super::*;
use crate::team::tests::Threads;

/// Shapes whose heads and rows no number of cores divides.
fn shapes() -> [Config; 4] {
    let odd = Config { heads: 9, kv_heads: 3, head_dim: 10, hidden_size: 36, ffn_size: 52, ..llama() };
    let odd = Config { position: Position::Rotary { dims: 8, pairing: Pairing::Half }, ..odd };
    let single = Config { heads: 5, kv_heads: 1, vocab_size: 21, ..llama() };
    [llama(), gpt2(), odd, single]
}

/// The logits after every token: a prompt in chunks of five, then single tokens.
fn logits(image: &Image, kv: KvType, kernels: &'static Kernels, team: &dyn Team) -> Vec<u32> {
    let limits = Limits { kv, ..*image.limits() };
    let plan = Plan::for_team(image.config(), &limits, team.size()).unwrap();
    let mut arena = Aligned::zeros(plan.arena_bytes);
    let mut engine = Engine::with_team(image, limits, arena.as_mut(), kernels, team).unwrap();
    let mut all = Vec::new();
    engine.feed_each(&TEXT[..11], |_, logits| all.push(logits.to_vec())).unwrap();
    for token in &TEXT[11..] {
        engine.feed(&[*token]).unwrap();
        all.push(engine.logits().unwrap().to_vec());
    }
    bits(&all)
}

#[test]
fn any_table_layout_and_number_of_cores_computes_the_same_bits() {
    let portable = Kernels::by_name("portable").unwrap();
    let layouts = [Layout::Rows, Layout::Interleaved, Layout::InterleavedBiased];
    for config in shapes() {
        for (element, layouts) in [
            (Element::Q8 { group: 16 }, &layouts[..]),
            (Element::F16, &layouts[..1]),
            (Element::F32, &layouts[..1]),
        ] {
            for kv in CACHES {
                let plain = model(&config, limits(kv), element);
                let expected = logits(&Image::new(plain.as_ref()).unwrap(), kv, portable, &Solo);
                for layout in layouts {
                    let model = model_in(&config, limits(kv), element, *layout);
                    let image = Image::new(model.as_ref()).unwrap();
                    for kernels in Kernels::available() {
                        for members in [1, 2, 4] {
                            let found = logits(&image, kv, kernels, &Threads(members));
                            let name = kernels.name();
                            assert!(found == expected, "{name} {layout:?} {element:?} {kv:?} {members}");
                        }
                    }
                }
            }
        }
    }
}
