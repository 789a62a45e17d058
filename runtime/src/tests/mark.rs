//! Returning to a place in the text.

use super::*;

#[test]
fn a_mark_brings_back_cache_and_logits() {
    for (config, logits_rows) in [(llama(), 0), (gpt2(), 0), (llama(), 8)] {
        let limits = Limits { logits_rows, ..limits(KvType::Q8) };
        let model = model(&config, limits, Element::Q8 { group: 16 });
        let image = Image::new(model.as_ref()).unwrap();
        let mut arena = Aligned::zeros(Plan::new(&config, &limits).unwrap().arena_bytes);
        let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
        let all = |engine: &mut Engine| {
            let mut all = Vec::new();
            engine.each_logits(|_, block| all.extend(block.iter().map(|x| x.to_bits()))).unwrap();
            all
        };
        let mut saved = [0.0; 32];
        assert_eq!(engine.mark(&mut saved).unwrap_err(), MarkError::Empty);
        engine.feed(&TEXT[..6]).unwrap();
        let need = engine.mark_size();
        assert_eq!(engine.mark(&mut saved[..3]).unwrap_err(), MarkError::Buffer { need, have: 3 });
        let here = all(&mut engine);
        let mark = engine.mark(&mut saved).unwrap();
        assert_eq!(mark.position(), 6);
        for continuation in [&TEXT[6..], &[3, 3, 3], &[]] {
            if !continuation.is_empty() {
                engine.feed(continuation).unwrap();
                assert_ne!(all(&mut engine), here);
            }
            let products = engine.products();
            engine.return_to(&mark).unwrap();
            assert_eq!((all(&mut engine), engine.position()), (here.clone(), 6));
            // No pass through the layers: a product with the head, for each time that the logits come in blocks.
            assert_eq!(engine.products() - products, (config.vocab_size * config.hidden_size).into());
        }
        engine.truncate(4);
        let gone = MarkError::Gone { need: 6, have: 4, dropped: 0 };
        assert_eq!(engine.return_to(&mark), Err(gone));
        assert_eq!(engine.position(), 4);
    }
}

#[test]
fn a_place_before_tokens_that_were_dropped_is_gone() {
    let model = model(&llama(), limits(KvType::Q8), Element::F16);
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), image.limits()).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, *image.limits(), arena.as_mut(), Kernels::detect()).unwrap();
    engine.slide(4, 8).unwrap();
    engine.feed(&TEXT).unwrap();
    let mut saved = [0.0; 20];
    let mark = engine.mark(&mut saved).unwrap();
    engine.feed(&TEXT[..11]).unwrap();
    engine.return_to(&mark).unwrap();
    engine.feed(&TEXT[..12]).unwrap();
    let gone = MarkError::Gone { need: 13, have: 17, dropped: 8 };
    assert_eq!(engine.return_to(&mark), Err(gone));
}
