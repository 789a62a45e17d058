//! Text without end in a cache of fixed size: attention sinks and a sliding window.
//!
//! A cache that is full drops its oldest tokens but for the first few. Those, the sinks, take up the attention that a
//! query has no use for, and a model that loses them loses its way (StreamingLLM, Xiao et al. 2023). As there, a token
//! is rotated by its place in the cache and not in the text: after a drop the sinks stand right before the tokens
//! that are left, so no distance is ever larger than in training.
//!
//! Room is made for several tokens at once, and the rest moves together, so that the cache stays in the order of the
//! text: kernels, windows of layers and ALiBi need not know of it. Rotary embedding is a matter of differences, so
//! what is left keeps the angles of its positions in the text, to the bit, however long it stays. The sinks alone get
//! new ones: they are read again, which costs a pass over a few tokens for every drop, and no memory for keys that are
//! not rotated yet.

use sprat_format::{Position, messages};

use super::Engine;
use crate::arena::Carver;
use crate::forward::{Place, Scratch, forward};
use crate::layers::Compute;

/// Records sinks among tokens that are about to be fed, and makes room for at least one if there is none.
type Prepare = for<'i, 'm, 'a> fn(&mut Engine<'i, 'm, 'a>, &[u32]);

/// How an engine makes room.
pub(super) struct Slide<'a> {
    /// The tokens that are never dropped, as far as they were fed.
    sinks: &'a mut [u32],
    /// Tokens that are dropped at once.
    drop: usize,
    /// Called through a pointer, so that a firmware whose engine never slides does not hold the code.
    prepare: Prepare,
}

impl Slide<'_> {
    pub(super) fn prepare(&self) -> Prepare {
        self.prepare
    }
}

/// Why an engine cannot slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlideError {
    /// The model learned an embedding for each position: a token cannot be moved without being read again.
    Learned,
    /// Tokens were fed already: the sinks are not known any more.
    Late {
        /// Tokens in the cache.
        position: usize,
    },
    /// It slides already.
    Twice,
    /// Nothing would be left of the text after a drop, or nothing would be dropped.
    Size {
        /// Tokens that stay.
        sinks: usize,
        /// Tokens to drop at once.
        drop: usize,
        /// Tokens that the cache holds.
        context: usize,
    },
}

messages!(SlideError {
    Self::Learned => (
        "the model has an embedding for each position, so its cache cannot slide: \
         drop text and feed the rest again"
    ),
    Self::Late { position } => (
        "{} tokens were fed already: let the engine slide before, or truncate it to 0",
        position,
    ),
    Self::Twice => ("the engine slides already"),
    Self::Size { sinks, drop, context } => (
        "{} sinks and {} tokens to drop at once, expected at least 1 to drop and together less than the context, {}",
        sinks,
        drop,
        context,
    ),
});

impl core::error::Error for SlideError {}

impl Engine<'_, '_, '_> {
    /// From now on a full cache drops its oldest `drop` tokens but for the first `sinks` (usually 4), as often as
    /// needed: [`room`](Self::room) has no end, and the memory stays what it is. Feeding and generating go on as
    /// before; until the first drop every bit is as without.
    ///
    /// A drop reads the sinks again, so a token costs `sinks / drop` of a token more. The text that the model sees is
    /// between `context - drop` and `context` tokens long. A text that must stay, such as a system prompt, is as many
    /// sinks; [`encode`](Self::encode) and [`prompt`](Self::prompt) take as many tokens less at once.
    ///
    /// # Errors
    /// A model whose positions are learned, numbers that leave nothing of the text, tokens that were fed already.
    /// Nothing has changed then.
    pub fn slide(&mut self, sinks: usize, drop: usize) -> Result<(), SlideError> {
        let context = self.limits.context as usize;
        if self.image.config().position == Position::Learned {
            return Err(SlideError::Learned);
        }
        if self.slide.is_some() {
            return Err(SlideError::Twice);
        }
        if self.position > 0 {
            return Err(SlideError::Late { position: self.position });
        }
        if drop == 0 || sinks.saturating_add(drop) >= context {
            return Err(SlideError::Size { sinks, drop, context });
        }
        let (tokens, sinks) = core::mem::take(&mut self.tokens).split_at_mut(context - sinks);
        self.tokens = tokens;
        self.slide = Some(Slide { sinks, drop, prepare });
        Ok(())
    }

    /// Tokens that were dropped to make room since the cache was last empty, modulo 2^32: the last token's position
    /// in the text is so much ahead of its [position](Self::position) in the cache.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Drops the oldest tokens behind the sinks, and reads the sinks again for their new places.
    fn drop_oldest(&mut self) {
        let Some(Slide { sinks, drop, .. }) = &self.slide else { return };
        let config = self.image.config();
        self.cache.shift(config.layers as usize, sinks.len() + drop..self.position, sinks.len());
        self.position -= drop;
        self.dropped = self.dropped.wrapping_add(*drop as u32);
        if config.rotary_dims() == 0 {
            return;
        }
        let mut scratch = Scratch::carve(&mut Carver::new(self.scratch), &self.plan.sizes);
        let compute = Compute {
            kernels: self.kernels,
            team: self.team,
            meter: &self.meter,
            #[cfg(feature = "stream")]
            stream: self.stream,
        };
        let mut place = Place { slot: 0, dropped: self.dropped };
        for chunk in sinks.chunks(self.limits.prefill_chunk as usize) {
            forward(config, &self.weights, compute, &mut self.cache, &mut scratch, chunk, place);
            place.slot += chunk.len();
        }
        // Sinks that could not be read are none. The feeding that asked for room says how the source failed.
        #[cfg(feature = "stream")]
        if self.stream.is_some_and(|stream| stream.failure().is_some()) {
            self.truncate(0);
        }
    }
}

fn prepare(engine: &mut Engine, coming: &[u32]) {
    if let Some(Slide { sinks, .. }) = &mut engine.slide {
        let rest = sinks.iter_mut().skip(engine.position);
        rest.zip(coming).for_each(|(sink, token)| *sink = *token);
    }
    if engine.vacant() == 0 {
        engine.drop_oldest();
    }
}
