//! The key-value cache: what attention remembers of every token, in a fixed piece of the arena.
//!
//! With it a token costs 12H^2 + 2TH products instead of a pass over the whole text. A head's positions lie
//! one after the other, so that attention reads one contiguous run:
//! `[layer][kv head][position][component]`.

use core::ops::Range;

use half::f16;
use sprat_format::{Config, KvType, Limits};

use crate::arena::Carver;
use crate::kernels::{Kernels, Q8Heads};
use crate::plan::Sizes;

/// Keys or values of all layers, heads and positions.
enum Store<'a> {
    /// Bytes, and one scale for each head and position.
    Q8 {
        values: &'a mut [i8],
        scales: &'a mut [f16],
    },
    F16(&'a mut [f16]),
    F32(&'a mut [f32]),
}

/// Some of one head's positions.
pub(crate) enum Run<'c> {
    Q8(Q8Heads<'c>),
    /// positions x head_dim.
    F16(&'c [f16]),
    /// positions x head_dim.
    F32(&'c [f32]),
}

/// Keys and values of the tokens so far.
pub(crate) struct Cache<'a> {
    keys: Store<'a>,
    values: Store<'a>,
    context: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Components of a stored head: `head_dim`, rounded up in the q8 cache.
    stride: usize,
}

impl<'a> Store<'a> {
    fn carve(carver: &mut Carver<'a>, kv: KvType, sizes: &Sizes, head_dim: usize) -> Self {
        match kv {
            KvType::Q8 => Self::Q8 {
                values: carver.take(sizes.cached_heads * sizes.head_stride),
                scales: carver.take(sizes.cached_heads),
            },
            KvType::F16 => Self::F16(carver.take(sizes.cached_heads * head_dim)),
            KvType::F32 => Self::F32(carver.take(sizes.cached_heads * head_dim)),
        }
    }

    /// Stores one head at `slot`, a number of heads from the start.
    fn put(&mut self, slot: usize, stride: usize, head: &[f32], kernels: &Kernels) {
        let place = slot * stride..(slot + 1) * stride;
        match self {
            Self::Q8 { values, scales } => {
                scales[slot] = (kernels.quantize)(head, &mut values[place]);
            }
            Self::F16(values) => {
                values[place].iter_mut().zip(head).for_each(|(stored, x)| *stored = f16::from_f32(*x));
            }
            Self::F32(values) => values[place].copy_from_slice(head),
        }
    }

    /// Moves the heads at `slots` to others from `to` on.
    fn shift(&mut self, slots: Range<usize>, to: usize, stride: usize) {
        let place = slots.start * stride..slots.end * stride;
        match self {
            Self::Q8 { values, scales } => {
                values.copy_within(place, to * stride);
                scales.copy_within(slots, to);
            }
            Self::F16(values) => values.copy_within(place, to * stride),
            Self::F32(values) => values.copy_within(place, to * stride),
        }
    }

    /// Its bytes, heads and then their scales, each with the bytes of one head.
    fn bytes(&mut self, stride: usize) -> [(&mut [u8], usize); 2] {
        match self {
            Self::Q8 { values, scales } => [
                (bytemuck::cast_slice_mut(values), stride),
                (bytemuck::cast_slice_mut(scales), size_of::<f16>()),
            ],
            Self::F16(values) => {
                [(bytemuck::cast_slice_mut(values), stride * size_of::<f16>()), (&mut [], 0)]
            }
            Self::F32(values) => {
                [(bytemuck::cast_slice_mut(values), stride * size_of::<f32>()), (&mut [], 0)]
            }
        }
    }

    fn run(&self, slots: Range<usize>, stride: usize) -> Run<'_> {
        let place = slots.start * stride..slots.end * stride;
        match self {
            Self::Q8 { values, scales } => {
                let whole_pairs = slots.start * stride..slots.end.next_multiple_of(2) * stride;
                Run::Q8(Q8Heads { values: &values[whole_pairs], scales: &scales[slots], stride })
            }
            Self::F16(values) => Run::F16(&values[place]),
            Self::F32(values) => Run::F32(&values[place]),
        }
    }
}

impl<'a> Cache<'a> {
    pub(crate) fn carve(carver: &mut Carver<'a>, config: &Config, limits: &Limits, sizes: &Sizes) -> Self {
        let head_dim = config.head_dim as usize;
        Self {
            keys: Store::carve(carver, limits.kv, sizes, head_dim),
            values: Store::carve(carver, limits.kv, sizes, head_dim),
            context: sizes.context,
            kv_heads: config.kv_heads as usize,
            head_dim,
            stride: if limits.kv == KvType::Q8 { sizes.head_stride } else { head_dim },
        }
    }

    /// Positions that there is room for.
    pub(crate) fn context(&self) -> usize {
        self.context
    }

    /// The slot of a head's first position.
    fn base(&self, layer: usize, head: usize) -> usize {
        (layer * self.kv_heads + head) * self.context
    }

    /// Stores the keys and values, kv_heads x head_dim each, of the token at `position`.
    pub(crate) fn put(
        &mut self,
        layer: usize,
        position: usize,
        key: &[f32],
        value: &[f32],
        kernels: &Kernels,
    ) {
        let heads = key.chunks_exact(self.head_dim).zip(value.chunks_exact(self.head_dim));
        for (head, (key, value)) in heads.enumerate() {
            let slot = self.base(layer, head) + position;
            self.keys.put(slot, self.stride, key, kernels);
            self.values.put(slot, self.stride, value, kernels);
        }
    }

    /// Moves what is at `positions` to others from `to` on, in every layer.
    pub(crate) fn shift(&mut self, layers: usize, positions: Range<usize>, to: usize) {
        for head in 0..layers * self.kv_heads {
            let base = self.base(0, head);
            let slots = base + positions.start..base + positions.end;
            self.keys.shift(slots.clone(), base + to, self.stride);
            self.values.shift(slots, base + to, self.stride);
        }
    }

    /// Components of a stored head.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Keys, their scales, values, their scales as bytes, each with the bytes of one head at one position; 0 where
    /// there are no scales.
    fn parts(&mut self) -> [(&mut [u8], usize); 4] {
        let [keys, key_scales] = self.keys.bytes(self.stride);
        let [values, value_scales] = self.values.bytes(self.stride);
        [keys, key_scales, values, value_scales]
    }

    /// Takes in the first `positions` of every head, which lie in `parts` without a gap between heads: keys, their
    /// scales, values, their scales.
    pub(crate) fn load(&mut self, positions: usize, parts: [&[u8]; 4]) {
        let context = self.context;
        for ((place, head), part) in self.parts().into_iter().zip(parts).filter(|((_, head), _)| *head > 0) {
            let pieces = part.chunks_exact(positions * head);
            for (place, piece) in place.chunks_exact_mut(context * head).zip(pieces) {
                place[..piece.len()].copy_from_slice(piece);
            }
        }
    }

    /// Writes the first `positions` of every head as [`load`](Self::load) takes them in.
    pub(crate) fn save(&mut self, positions: usize, parts: [&mut [u8]; 4]) {
        let context = self.context;
        for ((place, head), part) in self.parts().into_iter().zip(parts).filter(|((_, head), _)| *head > 0) {
            let pieces = part.chunks_exact_mut(positions * head);
            for (place, piece) in place.chunks_exact(context * head).zip(pieces) {
                piece.copy_from_slice(&place[..positions * head]);
            }
        }
    }

    /// The keys of one head at some positions, of a q8 cache from an even one on.
    pub(crate) fn keys(&self, layer: usize, head: usize, positions: Range<usize>) -> Run<'_> {
        let base = self.base(layer, head);
        self.keys.run(base + positions.start..base + positions.end, self.stride)
    }

    /// The values of one head at some positions, of a q8 cache from an even one on.
    pub(crate) fn values(&self, layer: usize, head: usize, positions: Range<usize>) -> Run<'_> {
        let base = self.base(layer, head);
        self.values.run(base + positions.start..base + positions.end, self.stride)
    }
}
