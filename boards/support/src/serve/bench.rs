//! How long tokens take on this board.

use sprat::{Engine, EngineError, Sampler, SamplerConfig};

use crate::console::message::Bench;
use crate::console::{Counter, Port, Serial};

/// Tokens that are read, and then written, if the context has room for both.
const TOKENS: usize = 32;

/// Reads tokens in chunks and writes as many one by one. What was in the context is forgotten.
pub(super) fn measure<S: Serial>(
    engine: &mut Engine<'_, '_, '_>,
    port: &mut Port<'_, S>,
    counter: &mut impl Counter,
    counts_per_second: u64,
) -> Result<Bench, EngineError> {
    engine.truncate(0);
    let vocab_size = engine.image().config().vocab_size.max(1);
    let most = TOKENS.min(engine.limits().context as usize / 2).max(1);
    // Which tokens they are makes no difference.
    let tokens: [u32; TOKENS] = core::array::from_fn(|index| index as u32 % vocab_size);
    let (begun, products) = (counter.now(), engine.products());
    engine.feed(&tokens[..most])?;
    let (reading, read_products) = (counter.now() - begun, engine.products() - products);

    let mut sampler = Sampler::new(SamplerConfig::greedy(), 0);
    let (mut written_tokens, mut writing, products) = (0, 0, engine.products());
    while written_tokens < most && port.poll().is_continue() {
        let begun = counter.now();
        let token = engine.sample(&mut sampler, None)?;
        engine.feed(&[token])?;
        writing += counter.now() - begun;
        written_tokens += 1;
    }
    Ok(Bench {
        read_tokens: most as u32,
        reading,
        read_products,
        written_tokens: written_tokens as u32,
        writing,
        written_products: engine.products() - products,
        counts_per_second,
    })
}
