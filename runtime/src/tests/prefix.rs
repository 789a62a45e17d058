//! A text that was read before, kept in the packed file.

use sprat_format::chat::Role;
use sprat_format::{insert_section, kind};

use super::*;

/// The model with what it keeps of the first tokens of the text.
fn with_prefix(model: &Aligned, limits: Limits, tokens: &[u32]) -> Aligned {
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &limits).unwrap().arena_bytes);
    let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
    engine.feed(tokens).unwrap();
    let mut section = vec![0xa5; engine.prefix_bytes().unwrap()];
    let written = engine.save_prefix(tokens, Some(Role::System), &mut section).unwrap();
    assert_eq!(written, section.len());
    let (sink, _) = insert_section(model.as_ref(), kind::PREFIX, &section, Memory::default()).unwrap();
    Aligned::new(&sink.0)
}

/// Lets an engine in an arena that held something else act.
fn with_engine<T>(model: &Aligned, limits: Limits, act: impl FnOnce(&mut Engine) -> T) -> T {
    let image = Image::new(model.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &limits).unwrap().arena_bytes);
    arena.as_mut().fill(0x5a);
    let mut engine = Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap();
    act(&mut engine)
}

fn all_bits(engine: &mut Engine) -> Vec<u32> {
    let mut all = Vec::new();
    engine.each_logits(|_, block| all.extend(block.iter().map(|x| x.to_bits()))).unwrap();
    all
}

/// Logits where the engine is, and after each of the text's tokens from there on.
fn go_on(engine: &mut Engine) -> Vec<u32> {
    let mut all = all_bits(engine);
    for &token in &TEXT[7..] {
        engine.feed(&[token]).unwrap();
        all.extend(all_bits(engine));
    }
    all
}

#[test]
fn a_loaded_prefix_has_the_bits_of_one_that_is_fed() {
    for config in [llama(), gpt2(), Config { embedding_size: 12, ..gpt2() }] {
        for kv in CACHES {
            let plain = model(&config, limits(kv), Element::Q8 { group: 16 });
            let packed = with_prefix(&plain, limits(kv), &TEXT[..7]);
            // Another context and another way of the logits than it was computed with.
            for (context, logits_rows) in [(24, 0), (13, 0), (32, 8)] {
                let limits = Limits { context, logits_rows, ..limits(kv) };
                let fed = with_engine(&plain, limits, |engine| {
                    engine.feed(&TEXT[..7]).unwrap();
                    go_on(engine)
                });
                let loaded = with_engine(&packed, limits, |engine| {
                    engine.feed(&TEXT[3..9]).unwrap();
                    let products = engine.products();
                    assert_eq!(engine.load_prefix(), Ok(7));
                    assert_eq!(engine.position(), 7);
                    let head = config.vocab_size * config.embedding_width();
                    let expected = if logits_rows == 0 { head } else { 0 };
                    assert_eq!(engine.products() - products, expected.into());
                    go_on(engine)
                });
                assert_eq!(loaded, fed, "{config:?} {kv:?} {context} {logits_rows}");
            }
        }
    }
}

#[test]
fn sinks_are_those_of_the_prefix() {
    let plain = model(&llama(), limits(KvType::Q8), Element::F16);
    let packed = with_prefix(&plain, limits(KvType::Q8), &TEXT[..7]);
    let slid = |model: &Aligned, begin: fn(&mut Engine)| {
        with_engine(model, limits(KvType::Q8), |engine| {
            engine.slide(5, 6).unwrap();
            begin(engine);
            (0..6).flat_map(|_| go_on(engine)).collect::<Vec<_>>()
        })
    };
    let loaded = slid(&packed, |engine| assert_eq!(engine.load_prefix(), Ok(7)));
    assert_eq!(loaded, slid(&plain, |engine| engine.feed(&TEXT[..7]).unwrap()));
}

#[test]
fn a_prefix_that_does_not_fit_is_refused_and_changes_nothing() {
    let plain = model(&llama(), limits(KvType::Q8), Element::F16);
    with_engine(&plain, limits(KvType::Q8), |engine| {
        assert_eq!(engine.load_prefix(), Err(PrefixError::Absent));
        let none = Err(PrefixError::Tokens { found: 0, expected: 0 });
        assert_eq!(engine.prefix_bytes(), none);
        engine.feed(&TEXT[..3]).unwrap();
        let need = engine.prefix_bytes().unwrap();
        let mut section = vec![0; need];
        let short = engine.save_prefix(&TEXT[..3], None, &mut section[1..]);
        assert_eq!(short, Err(PrefixError::Buffer { need, have: need - 1 }));
        let other = engine.save_prefix(&TEXT[..2], None, &mut section);
        assert_eq!(other, Err(PrefixError::Tokens { found: 2, expected: 3 }));
    });
    let packed = with_prefix(&plain, limits(KvType::Q8), &TEXT[..7]);
    let refused = |limits, expected: PrefixError| {
        with_engine(&packed, limits, |engine| {
            engine.feed(&TEXT[..2]).unwrap();
            let before = all_bits(engine);
            assert_eq!(engine.load_prefix(), Err(expected));
            assert_eq!((engine.position(), all_bits(engine)), (2, before));
        });
    };
    let (found, expected) = (KvType::Q8, KvType::F16);
    refused(limits(KvType::F16), PrefixError::Kv { found, expected });
    refused(Limits { context: 6, ..limits(KvType::Q8) }, PrefixError::Context { need: 7, have: 6 });
    // A section whose checksum is right and whose content is not: of another model, for example.
    let section = PackedFile::parse(packed.as_ref()).unwrap().prefix_section().unwrap().to_vec();
    let damaged = |at: usize, byte: u8| {
        let mut section = section.clone();
        section[at] = byte;
        let (sink, _) = insert_section(plain.as_ref(), kind::PREFIX, &section, Memory::default()).unwrap();
        with_engine(&Aligned::new(&sink.0), limits(KvType::Q8), |engine| engine.load_prefix().unwrap_err())
    };
    assert!(format!("{}", damaged(0, 9)).starts_with("section PRFX: bytes behind the header is"));
    assert!(format!("{}", damaged(12, 1)).contains("reserved is 1"));
}
