//! The list of a family's tensors, written as a model's definition is: layer by layer, by name and role.

use sprat_format::{Config, Role};

use super::Wanted;
use crate::import::tensor::View;

/// How the outputs of several roles lie in one tensor.
#[derive(Clone, Copy)]
pub(super) enum Fused {
    /// One role after the other.
    InTurn,
    /// One role after the other, and stored inputs x outputs.
    Transposed,
    /// For each head of keys and values: the queries that share it, then it, then the values.
    ByHead,
}

/// Tensors so far, and where the next ones belong.
pub(super) struct List<'c> {
    config: &'c Config,
    layer: Option<u16>,
    /// What the names begin with: that of the layer, with a dot.
    stem: String,
    wanted: Vec<Wanted>,
}

impl<'c> List<'c> {
    /// An empty list.
    pub fn new(config: &'c Config) -> Self {
        Self { config, layer: None, stem: String::new(), wanted: Vec::new() }
    }

    /// What is in the list.
    pub fn finish(self) -> Vec<Wanted> {
        self.wanted
    }

    /// Adds the tensors of every layer; their names begin with `stem` and the layer's number.
    pub fn layers(&mut self, stem: &str, mut add: impl FnMut(&mut Self)) {
        for layer in 0..self.config.layers as u16 {
            (self.layer, self.stem) = (Some(layer), format!("{stem}.{layer}."));
            add(self);
        }
        (self.layer, self.stem) = (None, String::new());
    }

    fn shape(&self, role: Role) -> (usize, usize) {
        let (rows, cols) = role.shape(self.config);
        (rows as usize, cols as usize)
    }

    fn push(&mut self, name: &str, shape: Vec<usize>, parts: Vec<(Role, View)>) {
        self.wanted.push(Wanted { name: format!("{}{name}", self.stem), shape, parts, layer: self.layer });
    }

    /// A matrix, outputs x inputs, by its whole name.
    pub fn matrix(&mut self, name: &str, role: Role) {
        let (rows, cols) = self.shape(role);
        self.push(name, vec![rows, cols], vec![(role, View::whole(rows, cols))]);
    }

    /// A matrix behind so many rows that are not used.
    pub fn matrix_behind(&mut self, name: &str, role: Role, unused: usize) {
        let (rows, cols) = self.shape(role);
        let view = View { start: unused * cols, ..View::whole(rows, cols) };
        self.push(name, vec![unused + rows, cols], vec![(role, view)]);
    }

    /// A vector by its whole name.
    pub fn vector(&mut self, name: &str, role: Role) {
        self.vector_plus(name, role, 0.0);
    }

    /// A vector to which a number is added.
    pub fn vector_plus(&mut self, name: &str, role: Role, plus: f32) {
        let (_, count) = self.shape(role);
        self.push(name, vec![count], vec![(role, View { plus, ..View::slice(0, count) })]);
    }

    /// `name.weight`, a matrix, and `name.bias`, where there is one.
    pub fn linear(&mut self, name: &str, weight: Role, bias: Option<Role>) {
        self.matrix(&format!("{name}.weight"), weight);
        if let Some(bias) = bias {
            self.vector(&format!("{name}.bias"), bias);
        }
    }

    /// `name.weight`, a vector, and `name.bias`, where there is one.
    pub fn norm(&mut self, name: &str, weight: Role, bias: Option<Role>) {
        self.vector(&format!("{name}.weight"), weight);
        if let Some(bias) = bias {
            self.vector(&format!("{name}.bias"), bias);
        }
    }

    /// `name.weight`, a matrix of several roles' outputs, and `name.bias`, where there are biases.
    pub fn fused(&mut self, name: &str, weights: &[Role], biases: Option<&[Role]>, how: Fused) {
        let inputs = self.shape(weights[0]).1;
        let outputs: Vec<usize> = weights.iter().map(|&role| self.shape(role).0).collect();
        let stored: usize = outputs.iter().sum();
        let runs = if let Fused::ByHead = how { self.config.kv_heads as usize } else { 1 };
        let (mut parts, mut bias_parts, mut first) = (Vec::new(), Vec::new(), 0);
        for (index, (&role, &count)) in weights.iter().zip(&outputs).enumerate() {
            parts.push((
                role,
                match how {
                    Fused::Transposed => View::transposed(inputs, stored, first, count),
                    _ => View::rows_in_runs(count, inputs, first, runs, stored),
                },
            ));
            if let Some(biases) = biases {
                bias_parts.push((biases[index], View::slice_in_runs(count, first, runs, stored)));
            }
            first += count / runs;
        }
        let shape = if let Fused::Transposed = how { vec![inputs, stored] } else { vec![stored, inputs] };
        self.push(&format!("{name}.weight"), shape, parts);
        if biases.is_some() {
            self.push(&format!("{name}.bias"), vec![stored], bias_parts);
        }
    }
}
