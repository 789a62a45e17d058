//! The tensors of the packed file as typed matrices, borrowed from flash.
//!
//! Finding a tensor is arithmetic on the checked table, so a layer's weights are looked up anew for each
//! token rather than kept in RAM.

use core::ops::Range;

use bytemuck::Pod;
use half::f16;
use sprat_format::{Element, PackedFile, Role, Tensor, WORD};

use crate::family::EVERY_FAMILY;
use crate::kernels::Q8;
#[cfg(feature = "stream")]
use crate::stream::Rows;

/// A matrix of rows (outputs) x columns (inputs) in flash, or in a source from which it is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Matrix<'m> {
    F32 {
        cols: usize,
        values: &'m [f32],
    },
    F16 {
        cols: usize,
        values: &'m [f16],
    },
    Q8 {
        cols: usize,
        matrix: Q8<'m>,
    },
    #[cfg(feature = "stream")]
    Streamed(Rows),
}

/// The elements of `bytes`, which the image's check found to be aligned and whole.
fn typed<T: Pod>(bytes: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(bytes).ok()
}

impl<'m> Matrix<'m> {
    pub(crate) fn new(tensor: Tensor<'m>) -> Option<Self> {
        let cols = tensor.cols as usize;
        Some(match tensor.element {
            Element::F32 => Self::F32 { cols, values: typed(tensor.values)? },
            Element::F16 => Self::F16 { cols, values: typed(tensor.values)? },
            Element::Q8 { group } => {
                let (values, scales) = (typed(tensor.values)?, typed(tensor.scales)?);
                let stride = tensor.element.padded_cols(tensor.cols) as usize;
                let (rows, layout) = (tensor.rows as usize, tensor.layout);
                Self::Q8 { cols, matrix: Q8 { values, scales, rows, group: group.into(), stride, layout } }
            }
        })
    }

    /// Inputs.
    pub(crate) fn cols(&self) -> usize {
        match *self {
            Self::F32 { cols, .. } | Self::F16 { cols, .. } | Self::Q8 { cols, .. } => cols,
            #[cfg(feature = "stream")]
            Self::Streamed(rows) => rows.cols(),
        }
    }

    /// Outputs.
    pub(crate) fn rows(&self) -> usize {
        match *self {
            Self::F32 { cols, values } => values.len() / cols,
            Self::F16 { cols, values } => values.len() / cols,
            Self::Q8 { matrix, .. } => matrix.rows,
            #[cfg(feature = "stream")]
            Self::Streamed(rows) => rows.count(),
        }
    }

    /// Where its values begin, in memory or in the file.
    #[cfg(feature = "taps")]
    pub(crate) fn address(&self) -> usize {
        match self {
            Self::F32 { values, .. } => values.as_ptr().addr(),
            Self::F16 { values, .. } => values.as_ptr().addr(),
            Self::Q8 { matrix, .. } => matrix.values.as_ptr().addr(),
            #[cfg(feature = "stream")]
            Self::Streamed(rows) => rows.place().values_at as usize,
        }
    }

    /// The matrix as q8, if it is.
    pub(crate) fn q8(&self) -> Option<&Q8<'m>> {
        match self {
            Self::Q8 { matrix, .. } => Some(matrix),
            _ => None,
        }
    }

    /// Some rows, beginning at a multiple of those that are stored together.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        match *self {
            Self::F32 { cols, values } => {
                Self::F32 { cols, values: &values[rows.start * cols..rows.end * cols] }
            }
            Self::F16 { cols, values } => {
                Self::F16 { cols, values: &values[rows.start * cols..rows.end * cols] }
            }
            Self::Q8 { cols, matrix } => Self::Q8 { cols, matrix: matrix.part(rows) },
            #[cfg(feature = "stream")]
            Self::Streamed(all) => Self::Streamed(all.part(rows)),
        }
    }

    /// Writes one row as `f32`; nothing for a row that is not there, or not in memory.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        match *self {
            Self::F32 { cols, values } => {
                let row = values.chunks_exact(cols).nth(row).unwrap_or_default();
                out.iter_mut().zip(row).for_each(|(out, value)| *out = *value);
            }
            Self::F16 { cols, values } => {
                let row = values.chunks_exact(cols).nth(row).unwrap_or_default();
                out.iter_mut().zip(row).for_each(|(out, value)| *out = value.to_f32());
            }
            Self::Q8 { matrix: Q8 { values, scales, rows, group, stride, layout }, .. } if row < rows => {
                let bias = layout.bias().map(|bias| bias as i8);
                for (number, out) in out.chunks_mut(group).enumerate() {
                    let scale = scales[layout.scale_at(stride / group, row, number)].to_f32();
                    for (word, out) in out.chunks_mut(WORD).enumerate() {
                        // In every layout the columns of a word lie together.
                        let at = layout.value_at(stride, row, number * group + word * WORD);
                        let values = values[at..at + WORD].iter().zip(bias.iter().cycle());
                        for (out, (value, bias)) in out.iter_mut().zip(values) {
                            *out = f32::from(value ^ bias) * scale;
                        }
                    }
                }
            }
            Self::Q8 { .. } => {}
            #[cfg(feature = "stream")]
            Self::Streamed(_) => {}
        }
    }
}

/// A norm's weight and bias.
pub(crate) struct NormWeights<'m> {
    pub weight: &'m [f32],
    pub bias: Option<&'m [f32]>,
}

/// What `find` finds, in builds that know the parts which plain models lack.
#[inline(always)]
fn uncommon<T>(find: impl FnOnce() -> Option<T>) -> Option<T> {
    if EVERY_FAMILY { find() } else { None }
}

/// The weights of one layer. Of the norms there are those that stand in the configuration.
pub(crate) struct LayerWeights<'m> {
    pub attention_norm: Option<NormWeights<'m>>,
    pub attention_output_norm: Option<NormWeights<'m>>,
    pub query: Matrix<'m>,
    pub query_bias: Option<&'m [f32]>,
    pub key: Matrix<'m>,
    pub key_bias: Option<&'m [f32]>,
    pub value: Matrix<'m>,
    pub value_bias: Option<&'m [f32]>,
    pub attention_output: Matrix<'m>,
    pub attention_output_bias: Option<&'m [f32]>,
    pub query_norm: Option<NormWeights<'m>>,
    pub key_norm: Option<NormWeights<'m>>,
    pub ffn_norm: Option<NormWeights<'m>>,
    pub ffn_output_norm: Option<NormWeights<'m>>,
    pub gate: Option<Matrix<'m>>,
    pub gate_bias: Option<&'m [f32]>,
    pub up: Matrix<'m>,
    pub up_bias: Option<&'m [f32]>,
    pub down: Matrix<'m>,
    pub down_bias: Option<&'m [f32]>,
}

/// The weights outside the layers, and the way to those inside.
pub(crate) struct Weights<'i, 'm> {
    file: &'i PackedFile<'m>,
    pub token_embedding: Matrix<'m>,
    pub embedding_norm: Option<NormWeights<'m>>,
    pub embedding_projection: Option<Matrix<'m>>,
    pub position_embedding: Option<Matrix<'m>>,
    pub rotary_frequencies: &'m [f32],
    pub window_frequencies: Option<&'m [f32]>,
    /// Empty without ALiBi.
    pub alibi_slopes: &'m [f32],
    pub final_norm: Option<NormWeights<'m>>,
    pub head_projection: Option<Matrix<'m>>,
    pub head: Matrix<'m>,
    pub head_bias: Option<&'m [f32]>,
}

fn matrix<'m>(file: &PackedFile<'m>, role: Role, layer: usize) -> Option<Matrix<'m>> {
    #[cfg(feature = "stream")]
    if file.is_streamed() {
        return file.place(role, layer).map(|place| Matrix::Streamed(Rows::new(place)));
    }
    file.tensor(role, layer).and_then(Matrix::new)
}

fn vector<'m>(file: &PackedFile<'m>, role: Role, layer: usize) -> Option<&'m [f32]> {
    file.tensor(role, layer).and_then(|tensor| typed(tensor.values))
}

fn norm<'m>(file: &PackedFile<'m>, weight: Role, bias: Role, layer: usize) -> Option<NormWeights<'m>> {
    Some(NormWeights { weight: vector(file, weight, layer)?, bias: vector(file, bias, layer) })
}

impl<'i, 'm> Weights<'i, 'm> {
    /// `None` when the file's bytes are not aligned for their elements.
    pub(crate) fn new(file: &'i PackedFile<'m>) -> Option<Self> {
        let token_embedding = matrix(file, Role::TokenEmbedding, 0)?;
        Some(Self {
            file,
            token_embedding,
            embedding_norm: uncommon(|| norm(file, Role::EmbeddingNorm, Role::EmbeddingNormBias, 0)),
            embedding_projection: uncommon(|| matrix(file, Role::EmbeddingProjection, 0)),
            position_embedding: matrix(file, Role::PositionEmbedding, 0),
            rotary_frequencies: vector(file, Role::RotaryFrequencies, 0).unwrap_or_default(),
            window_frequencies: uncommon(|| vector(file, Role::WindowFrequencies, 0)),
            alibi_slopes: uncommon(|| vector(file, Role::AlibiSlopes, 0)).unwrap_or_default(),
            final_norm: norm(file, Role::FinalNorm, Role::FinalNormBias, 0),
            head_projection: uncommon(|| matrix(file, Role::HeadProjection, 0)),
            head: matrix(file, Role::Head, 0).unwrap_or(token_embedding),
            head_bias: vector(file, Role::HeadBias, 0),
        })
    }

    /// The weights of one layer.
    #[inline]
    pub(crate) fn layer(&self, layer: usize) -> Option<LayerWeights<'m>> {
        let matrix = |role| matrix(self.file, role, layer);
        let vector = |role| vector(self.file, role, layer);
        let norm = |weight, bias| norm(self.file, weight, bias, layer);
        Some(LayerWeights {
            attention_norm: norm(Role::AttentionNorm, Role::AttentionNormBias),
            attention_output_norm: uncommon(|| {
                norm(Role::AttentionOutputNorm, Role::AttentionOutputNormBias)
            }),
            query: matrix(Role::Query)?,
            query_bias: vector(Role::QueryBias),
            key: matrix(Role::Key)?,
            key_bias: vector(Role::KeyBias),
            value: matrix(Role::Value)?,
            value_bias: vector(Role::ValueBias),
            attention_output: matrix(Role::AttentionOutput)?,
            attention_output_bias: vector(Role::AttentionOutputBias),
            query_norm: uncommon(|| norm(Role::QueryNorm, Role::QueryNormBias)),
            key_norm: uncommon(|| norm(Role::KeyNorm, Role::KeyNormBias)),
            ffn_norm: norm(Role::FeedForwardNorm, Role::FeedForwardNormBias),
            ffn_output_norm: uncommon(|| norm(Role::FeedForwardOutputNorm, Role::FeedForwardOutputNormBias)),
            gate: matrix(Role::Gate),
            gate_bias: vector(Role::GateBias),
            up: matrix(Role::Up)?,
            up_bias: vector(Role::UpBias),
            down: matrix(Role::Down)?,
            down_bias: vector(Role::DownBias),
        })
    }
}
