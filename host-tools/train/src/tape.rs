//! A recording of operations, and the way back along it.
//!
//! The operations, tensors and variables are candle's; only `Tensor::backward` is not used. It adds every gradient to
//! zeros that it made for it, and adds on threads that it shares with all callers, which wait for each other: half of the
//! time of a training went there.

use anyhow::{Context, Result, bail};
use candle_core::{CustomOp1, CustomOp2, Tensor};

use crate::ops::Add;

/// A value on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

/// Operations in the order in which they were done.
#[derive(Default)]
pub struct Tape {
    steps: Vec<(Step, Tensor)>,
}

/// Where a value comes from.
enum Step {
    Leaf,
    One(Box<dyn CustomOp1>, Value),
    Two(Box<dyn CustomOp2>, Value, Value),
}

impl Tape {
    fn push(&mut self, step: Step, value: Tensor) -> Value {
        self.steps.push((step, value));
        Value(self.steps.len() - 1)
    }

    /// The tensor of a value.
    pub fn tensor(&self, value: Value) -> &Tensor {
        &self.steps[value.0].1
    }

    /// A value that something else made: a parameter.
    pub fn leaf(&mut self, tensor: &Tensor) -> Value {
        self.push(Step::Leaf, tensor.clone())
    }

    /// An operation on one value.
    ///
    /// # Errors
    /// The operation's.
    pub fn one(&mut self, x: Value, operation: impl CustomOp1 + 'static) -> Result<Value> {
        let value = self.tensor(x).apply_op1_no_bwd(&operation)?;
        Ok(self.push(Step::One(Box::new(operation), x), value))
    }

    /// An operation on two values.
    ///
    /// # Errors
    /// The operation's.
    pub fn two(&mut self, a: Value, b: Value, operation: impl CustomOp2 + 'static) -> Result<Value> {
        let value = self.tensor(a).apply_op2_no_bwd(self.tensor(b), &operation)?;
        Ok(self.push(Step::Two(Box::new(operation), a, b), value))
    }

    /// The gradients of `value`, a single number, by `leaves`.
    ///
    /// # Errors
    /// An operation has no way back, or a leaf does not lead to the value.
    pub fn gradients(mut self, value: Value, leaves: &[Value]) -> Result<Vec<Tensor>> {
        let mut gradients = vec![None; self.steps.len()];
        gradients[value.0] = Some(self.tensor(value).ones_like()?);
        // What has been gone back over is dropped at once: its memory is that of what is behind it.
        while let Some((step, result)) = self.steps.pop() {
            let index = self.steps.len();
            if matches!(step, Step::Leaf) {
                continue;
            }
            let Some(gradient) = gradients[index].take() else { continue };
            let found = match &step {
                Step::Leaf => continue,
                Step::One(operation, x) => {
                    [(*x, operation.bwd(self.tensor(*x), &result, &gradient)?)].to_vec()
                }
                Step::Two(operation, a, b) => {
                    let (da, db) = operation.bwd(self.tensor(*a), self.tensor(*b), &result, &gradient)?;
                    [(*a, da), (*b, db)].to_vec()
                }
            };
            for (value, gradient) in found {
                let Some(gradient) = gradient else { bail!("an operation has no way back") };
                let place: &mut Option<Tensor> = &mut gradients[value.0];
                *place = Some(match place.take() {
                    Some(sum) => sum.apply_op2_no_bwd(&gradient, &Add)?,
                    None => gradient,
                });
            }
        }
        let mut take =
            |leaf: &Value| gradients[leaf.0].take().context("a leaf that does not lead to the value");
        leaves.iter().map(&mut take).collect()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::{CrossEntropy, Linear, Rows};

    #[test]
    fn it_finds_the_gradients_that_candle_finds() {
        let element = |i: usize| ((i * 31) % 17) as f32 / 8.0 - 1.0;
        let table = Tensor::from_vec((0..20).map(element).collect(), (5, 4), &Device::Cpu).unwrap();
        let weight = Tensor::from_vec((3..19).map(element).collect(), (4, 4), &Device::Cpu).unwrap();
        let (table, weight) = (Var::from_tensor(&table).unwrap(), Var::from_tensor(&weight).unwrap());
        let rows = || Rows([4, 0, 4].into());
        let entropy = || CrossEntropy::new([1, 0, 4].into(), 0.5);

        // Values that are used twice: x, and the table.
        let x = table.apply_op1(rows()).unwrap();
        let y = x.add(&x.apply_op2(&weight, Linear).unwrap()).unwrap();
        let loss = y.apply_op2(&table, Linear).unwrap().apply_op1(entropy()).unwrap();
        let expected = loss.backward().unwrap();

        let mut tape = Tape::default();
        let (table_leaf, weight_leaf) = (tape.leaf(&table), tape.leaf(&weight));
        let x = tape.one(table_leaf, rows()).unwrap();
        let product = tape.two(x, weight_leaf, Linear).unwrap();
        let y = tape.two(x, product, Add).unwrap();
        let logits = tape.two(y, table_leaf, Linear).unwrap();
        let value = tape.one(logits, entropy()).unwrap();
        assert_eq!(tape.tensor(value).to_scalar::<f32>().unwrap(), loss.to_scalar::<f32>().unwrap());
        let found = tape.gradients(value, &[table_leaf, weight_leaf]).unwrap();
        for (found, var) in found.iter().zip([&table, &weight]) {
            let difference = (found - expected.get(var).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-6);
        }
    }

    #[test]
    fn a_leaf_apart_is_refused() {
        let mut tape = Tape::default();
        let one = Tensor::ones((), candle_core::DType::F32, &Device::Cpu).unwrap();
        let (value, apart) = (tape.leaf(&one), tape.leaf(&one));
        assert!(tape.gradients(value, &[apart]).is_err());
    }
}
