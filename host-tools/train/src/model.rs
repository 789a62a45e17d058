//! The model as a recording on a tape: a Llama with shared embeddings.
//!
//! Queries, keys and values are one matrix, gate and up are another, so that a layer is five products. Behind the last
//! layer's attention only the positions that have a loss go on.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::corpus::Packed;
use crate::ops::{Add, Attention, CrossEntropy, FakeQuant, Linear, RmsNorm, Rotation, Rows, SwiGlu};
use crate::shape::Shape;
use crate::tape::{Tape, Value};

/// What a parameter is, which decides how it begins and how it is optimized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The table of tokens (vocabulary x width).
    Embedding,
    /// The weight of a norm (width).
    Norm,
    /// Matrices (rows x inputs) one above the other, each with its name in a checkpoint and its rows.
    Matrices(Vec<(String, usize)>),
}

/// A tensor that is learned.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name in a checkpoint; of stacked matrices the first's.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its values.
    pub var: Var,
}

impl Parameter {
    /// Its values, copied.
    ///
    /// # Errors
    /// None that is known.
    pub fn values(&self) -> Result<Vec<f32>> {
        Ok(self.var.flatten_all()?.to_vec1()?)
    }

    /// Replaces its values.
    ///
    /// # Errors
    /// Their number is another.
    pub fn set(&self, values: Vec<f32>) -> Result<()> {
        let (found, expected) = (values.len(), self.var.elem_count());
        if found != expected {
            bail!("{}: {found} values; expected {expected}", self.name);
        }
        Ok(self.var.set(&Tensor::from_vec(values, self.var.shape(), &Device::Cpu)?)?)
    }
}

/// A model that learns.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its numbers.
    pub shape: Shape,
    /// All that is learned: the embedding, six tensors a layer (see `LAYER`), the last norm.
    pub parameters: Vec<Parameter>,
    /// Whether weights and the inputs of matrices are rounded to int8, in groups of [`GROUP`] elements, on the way forward.
    pub quantizes: bool,
    rotation: Arc<Rotation>,
}

/// Elements that share a scale when the model is packed.
pub const GROUP: usize = 64;

/// Parameters of a layer: norm, queries with keys and values, output, norm, gate with up, down.
const LAYER: usize = 6;

impl Model {
    /// With random weights.
    ///
    /// # Errors
    /// The shape is impossible.
    pub fn new(shape: &Shape, seed: u64) -> Result<Self> {
        shape.check()?;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut parameters = Vec::new();
        for (name, kind, inputs) in plan(shape) {
            let (rows, deviation) = match &kind {
                Kind::Embedding => (shape.vocabulary, 0.02),
                Kind::Norm => (1, 0.0),
                Kind::Matrices(stacked) => {
                    // What is added to the residual stream begins smaller the more layers add to it.
                    let adds =
                        stacked.iter().any(|(name, _)| name.contains("o_proj") || name.contains("down_proj"));
                    let share = if adds { 1.0 / (2.0 * shape.layers as f32).sqrt() } else { 1.0 };
                    (stacked.iter().map(|(_, rows)| rows).sum(), 0.6 * share / (inputs as f32).sqrt())
                }
            };
            let mut sample = || -> f32 {
                let sample: f32 = StandardNormal.sample(&mut random);
                sample * deviation
            };
            let var = if kind == Kind::Norm {
                Var::from_tensor(&Tensor::from_vec(vec![1f32; inputs], inputs, &Device::Cpu)?)?
            } else {
                let values: Vec<_> = (0..rows * inputs).map(|_| sample()).collect();
                Var::from_tensor(&Tensor::from_vec(values, (rows, inputs), &Device::Cpu)?)?
            };
            parameters.push(Parameter { name, kind, var });
        }
        let rotation = Arc::new(Rotation::new(shape.context, shape.head_width, shape.rope_theta));
        Ok(Self { shape: shape.clone(), parameters, quantizes: false, rotation })
    }

    /// Records the logits of the positions that have a loss: learned positions x vocabulary.
    ///
    /// # Errors
    /// A sequence is longer than the context, or a token is not in the vocabulary.
    pub fn record(&self, tape: &mut Tape, parameters: &[Value], packed: &Packed) -> Result<Value> {
        let shape = &self.shape;
        if let Some(ends) = packed.bounds.windows(2).find(|ends| ends[1] - ends[0] > shape.context) {
            bail!("a sequence of {} tokens; expected at most {}", ends[1] - ends[0], shape.context);
        }
        let (weights, inputs) =
            (FakeQuant { group: GROUP, halves: true }, FakeQuant { group: GROUP, halves: false });
        let mut parameters = parameters.to_vec();
        if self.quantizes {
            for (value, parameter) in parameters.iter_mut().zip(&self.parameters) {
                if parameter.kind != Kind::Norm {
                    *value = tape.one(*value, weights)?;
                }
            }
        }
        let linear = |tape: &mut Tape, x, weight| {
            let x = if self.quantizes { tape.one(x, inputs)? } else { x };
            tape.two(x, weight, Linear)
        };
        let (embedding, rest) = parameters.split_first().context("a model without parameters")?;
        let (last_norm, layers) = rest.split_last().context("a model without layers")?;
        let norm = RmsNorm { epsilon: shape.epsilon };

        let mut x = tape.one(*embedding, Rows(packed.inputs.clone()))?;
        for (index, layer) in layers.chunks(LAYER).enumerate() {
            let &[attention_norm, qkv, output, feed_forward_norm, gate_up, down] = layer else {
                bail!("a layer of {} parameters; expected {LAYER}", layer.len())
            };
            let attention = Attention::new(
                shape.heads,
                shape.kv_heads,
                shape.head_width,
                self.rotation.clone(),
                packed.bounds.clone(),
            );
            let normed = tape.two(x, attention_norm, norm)?;
            let projected = linear(tape, normed, qkv)?;
            let mut mixed = tape.one(projected, attention)?;
            if index + 1 == shape.layers {
                mixed = tape.one(mixed, Rows(packed.learned.clone()))?;
                x = tape.one(x, Rows(packed.learned.clone()))?;
            }
            let added = linear(tape, mixed, output)?;
            x = tape.two(x, added, Add)?;

            let normed = tape.two(x, feed_forward_norm, norm)?;
            let both = linear(tape, normed, gate_up)?;
            let gated = tape.one(both, SwiGlu)?;
            let added = linear(tape, gated, down)?;
            x = tape.two(x, added, Add)?;
        }
        let normed = tape.two(x, *last_norm, norm)?;
        linear(tape, normed, *embedding)
    }

    /// Logits without a way back: learned positions x vocabulary.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn logits(&self, packed: &Packed) -> Result<Tensor> {
        let mut tape = Tape::default();
        let parameters = self.leaves(&mut tape);
        let logits = self.record(&mut tape, &parameters, packed)?;
        Ok(tape.tensor(logits).clone())
    }

    /// The parameters on a tape.
    pub fn leaves(&self, tape: &mut Tape) -> Vec<Value> {
        self.parameters.iter().map(|parameter| tape.leaf(&parameter.var)).collect()
    }

    /// The summed loss of a micro-batch times `scale`, in nats, and its gradient by every parameter.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub fn gradients(&self, packed: &Packed, scale: f32) -> Result<(f32, Vec<Tensor>)> {
        let mut tape = Tape::default();
        let parameters = self.leaves(&mut tape);
        let logits = self.record(&mut tape, &parameters, packed)?;
        let loss = tape.one(logits, CrossEntropy::new(packed.targets.clone(), scale))?;
        Ok((tape.tensor(loss).to_scalar()?, tape.gradients(loss, &parameters)?))
    }
}

/// Names and kinds in the order of the parameters, with the elements of a row.
fn plan(shape: &Shape) -> Vec<(String, Kind, usize)> {
    let mut plan = vec![("model.embed_tokens.weight".to_owned(), Kind::Embedding, shape.width)];
    for index in 0..shape.layers {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let matrices = |parts: &[(&str, usize)], inputs: usize| {
            let stacked: Vec<_> = parts.iter().map(|(part, rows)| (name(part), *rows)).collect();
            (stacked[0].0.clone(), Kind::Matrices(stacked), inputs)
        };
        let (query, kv) = (shape.query_width(), shape.kv_width());
        let qkv = [("self_attn.q_proj", query), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)];
        let gate_up = [("mlp.gate_proj", shape.feed_forward), ("mlp.up_proj", shape.feed_forward)];
        plan.extend([
            (name("input_layernorm"), Kind::Norm, shape.width),
            matrices(&qkv, shape.width),
            matrices(&[("self_attn.o_proj", shape.width)], query),
            (name("post_attention_layernorm"), Kind::Norm, shape.width),
            matrices(&gate_up, shape.width),
            matrices(&[("mlp.down_proj", shape.width)], shape.feed_forward),
        ]);
    }
    plan.push(("model.norm.weight".to_owned(), Kind::Norm, shape.width));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::tests::random_corpus;

    fn tiny() -> Shape {
        Shape {
            width: 16,
            layers: 2,
            heads: 2,
            kv_heads: 1,
            head_width: 8,
            feed_forward: 24,
            vocabulary: 50,
            context: 40,
            rope_theta: 10_000.0,
            epsilon: 1e-5,
        }
    }

    #[test]
    fn it_has_the_parameters_that_its_shape_says() {
        let model = Model::new(&tiny(), 1).unwrap();
        let count: usize = model.parameters.iter().map(|parameter| parameter.var.elem_count()).sum();
        assert_eq!(count, tiny().parameters());
    }

    #[test]
    fn chats_do_not_see_each_other() {
        let (model, corpus) = (Model::new(&tiny(), 1).unwrap(), random_corpus(6, 50, 30));
        let together = model.logits(&corpus.pack(&[0, 1, 2, 3, 4, 5])).unwrap().to_vec2::<f32>().unwrap();
        let mut together = together.into_iter();
        for chat in 0..6 {
            for row in model.logits(&corpus.pack(&[chat])).unwrap().to_vec2::<f32>().unwrap() {
                let error = row.iter().zip(together.next().unwrap()).map(|(a, b)| (a - b).abs());
                assert!(error.fold(0.0, f32::max) < 1e-6);
            }
        }
    }

    #[test]
    fn steps_against_the_gradient_lower_the_loss() {
        let (model, corpus) = (Model::new(&tiny(), 1).unwrap(), random_corpus(6, 50, 30));
        let packed = corpus.pack(&[0, 1, 2, 3, 4, 5]);
        let scale = 1.0 / packed.targets.len() as f32;
        let loss = || model.gradients(&packed, scale).unwrap();
        assert!((loss().0 - 50f32.ln()).abs() < 0.1);
        for (index, parameter) in model.parameters.iter().enumerate() {
            let (before, gradients) = loss();
            let gradient = &gradients[index];
            let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            let expected = 1e-3;
            let step = (gradient * f64::from(expected / norm)).unwrap();
            let old = parameter.values().unwrap();
            parameter.var.set(&(parameter.var.as_tensor() - step).unwrap()).unwrap();
            let fall = before - loss().0;
            parameter.set(old).unwrap();
            assert!((fall / expected - 1.0).abs() < 0.1, "{}: {fall} for {expected}", parameter.name);
        }
    }
}
