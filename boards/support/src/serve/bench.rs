//! How long tokens take on this board, as a whole and by stage, and how many bytes of weights go by for them.

use sprat::format::Role;
use sprat::{Engine, EngineError, Image, Sampler, SamplerConfig, Stage};

use super::stages::{Counts, StageCounter};
use crate::console::message::{Bench, Piece};
use crate::console::{Counter, Port, Serial};

/// Tokens that are read, and then written, if the context has room for both.
const TOKENS: usize = 32;

/// Bytes of weights, with their scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeightBytes {
    /// Of the layers: what a pass reads, for one token or for a chunk of them.
    pub layers: u64,
    /// Of the head: what logits read.
    pub head: u64,
}

/// Bytes of a model's weights, without the few that are looked up.
pub fn weight_bytes(image: &Image<'_>) -> WeightBytes {
    let (mut layers, mut head, mut embedding) = (0, None, 0);
    for (role, layer, tensor) in image.file().tensors() {
        let bytes = (tensor.values.len() + tensor.scales.len()) as u64;
        match (role, layer) {
            (_, Some(_)) => layers += bytes,
            (Role::Head, None) => head = Some(bytes),
            (Role::TokenEmbedding, None) => embedding = bytes,
            _ => {}
        }
    }
    WeightBytes { layers, head: head.unwrap_or(embedding) }
}

/// Reads tokens in chunks and writes as many one by one, twice: what stages take is measured apart, since it takes time
/// to be told of them. What was in the context is forgotten.
pub(super) fn measure<'a, S: Serial, C: Counter + Send>(
    engine: &mut Engine<'_, '_, 'a>,
    port: &mut Port<'_, S>,
    counter: &'a StageCounter<'_, C>,
    counts_per_second: u64,
) -> Result<Bench, EngineError> {
    let whole = round(engine, port, counter)?;
    if !whole.is_cancelled {
        engine.set_probe(counter);
        let told = round(engine, port, counter);
        engine.clear_probe();
        show_stages(&told?, port);
    }
    let bytes = weight_bytes(engine.image());
    // Where logits come in blocks, those of tokens read are not computed.
    let read_head = if engine.logits_in_blocks() { 0 } else { bytes.head };
    let passes = whole.read_tokens.div_ceil(engine.limits().prefill_chunk.max(1));
    Ok(Bench {
        read_tokens: whole.read_tokens,
        reading: whole.reading,
        read_products: whole.read_products,
        written_tokens: whole.written_tokens,
        writing: whole.writing,
        written_products: whole.written_products,
        counts_per_second,
        read_bytes: u64::from(passes) * bytes.layers + read_head,
        written_bytes: u64::from(whole.written_tokens) * (bytes.layers + bytes.head),
    })
}

/// What came of reading and writing once.
struct Round {
    read_tokens: u32,
    reading: u64,
    read_products: u64,
    read_stages: Counts,
    written_tokens: u32,
    writing: u64,
    written_products: u64,
    written_stages: Counts,
    is_cancelled: bool,
}

fn round<S: Serial, C: Counter>(
    engine: &mut Engine<'_, '_, '_>,
    port: &mut Port<'_, S>,
    counter: &StageCounter<'_, C>,
) -> Result<Round, EngineError> {
    engine.truncate(0);
    let vocab_size = engine.image().config().vocab_size.max(1);
    let most = TOKENS.min(engine.limits().context as usize / 2).max(1);
    // Which tokens they are makes no difference.
    let tokens: [u32; TOKENS] = core::array::from_fn(|index| index as u32 % vocab_size);
    counter.take();
    let (begun, products) = (counter.now(), engine.products());
    engine.feed(&tokens[..most])?;
    let (reading, read_products) = (counter.now() - begun, engine.products() - products);
    let read_stages = counter.take();

    let mut sampler = Sampler::new(SamplerConfig::greedy(), 0);
    let (mut written_tokens, mut writing, products) = (0, 0, engine.products());
    let mut is_cancelled = false;
    while written_tokens < most && !is_cancelled {
        let begun = counter.now();
        let token = engine.sample(&mut sampler, None)?;
        engine.feed(&[token])?;
        writing += counter.now() - begun;
        written_tokens += 1;
        is_cancelled = port.poll().is_break();
    }
    Ok(Round {
        read_tokens: most as u32,
        reading,
        read_products,
        read_stages,
        written_tokens: written_tokens as u32,
        writing,
        written_products: engine.products() - products,
        written_stages: counter.take(),
        is_cancelled,
    })
}

/// Sends what each stage took, of those that took anything.
fn show_stages<S: Serial>(told: &Round, port: &mut Port<'_, S>) {
    for stage in Stage::ALL {
        let each = |counts: &Counts, tokens: u32| counts[stage as usize] / u64::from(tokens.max(1));
        let reading = each(&told.read_stages, told.read_tokens);
        let writing = each(&told.written_stages, told.written_tokens);
        // What is done outside is not the engine's: among it, hearing what arrives.
        if stage != Stage::Outside && reading + writing > 0 {
            port.piece(&Piece::Stage { name: stage.name(), reading, writing });
        }
    }
}
