//! Every backward pass against differences of the forward pass.

use candle_core::{Device, Tensor, Var};

use super::*;

fn random(shape: impl Into<candle_core::Shape>, seed: u32) -> Var {
    let shape = shape.into();
    let element = |i: usize| {
        let hash = (i as u32).wrapping_mul(747_796_405).wrapping_add(seed.wrapping_mul(2_891_336_453));
        let hash = ((hash >> ((hash >> 28) + 4)) ^ hash).wrapping_mul(277_803_737);
        (((hash >> 22) ^ hash) >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let elements = (0..shape.elem_count()).map(element).collect();
    Var::from_tensor(&Tensor::from_vec(elements, shape, &Device::Cpu).unwrap()).unwrap()
}

/// Compares the gradients of `sum(out * weights)` with differences.
fn check(name: &str, arguments: &[&Var], forward: impl Fn() -> Tensor) {
    let weights = random(forward().shape(), 99);
    let loss = || (forward() * weights.as_tensor()).unwrap().sum_all().unwrap();
    let gradients = loss().backward().unwrap();
    for (index, argument) in arguments.iter().enumerate() {
        let gradient = gradients.get(argument).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let elements = argument.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let step = 1e-2;
        for element in (0..elements.len()).step_by(1 + elements.len() / 64) {
            let moved = |by: f32| {
                let mut elements = elements.clone();
                elements[element] += by;
                argument.set(&Tensor::from_vec(elements, argument.shape(), &Device::Cpu).unwrap()).unwrap();
                f64::from(loss().to_scalar::<f32>().unwrap())
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            moved(0.0);
            let found = f64::from(gradient[element]);
            let error = (found - difference).abs() / (0.1 + difference.abs());
            assert!(error < 1e-2, "{name}, argument {index}, element {element}: {found} for {difference}");
        }
    }
}

#[test]
fn linear() {
    let (x, weight) = (random((5, 7), 1), random((3, 7), 2));
    check("linear", &[&x, &weight], || x.apply_op2(&weight, Linear).unwrap());
    let expected = x.matmul(&weight.t().unwrap()).unwrap();
    let error = (x.apply_op2(&weight, Linear).unwrap() - expected).unwrap().abs().unwrap().max_all().unwrap();
    assert!(error.to_scalar::<f32>().unwrap() < 1e-6);
}

#[test]
fn add() {
    let (a, b) = (random((3, 20), 10), random((3, 20), 11));
    check("add", &[&a, &b], || a.apply_op2(&b, Add).unwrap());
    assert!(a.apply_op2(&random((20, 3), 11), Add).is_err());
}

#[test]
fn norm() {
    let (x, weight) = (random((4, 20), 3), random(20, 4));
    check("norm", &[&x, &weight], || x.apply_op2(&weight, RmsNorm { epsilon: 1e-5 }).unwrap());
}

#[test]
fn fake_quant() {
    let x = random((3, 10), 12);
    let op = FakeQuant { group: 4, halves: true };
    let found = x.apply_op1(op).unwrap();
    for (row, found) in x.to_vec2::<f32>().unwrap().iter().zip(found.to_vec2::<f32>().unwrap()) {
        for (group, found) in row.chunks(4).zip(found.chunks(4)) {
            let largest = group.iter().fold(0f32, |max, x| max.max(x.abs()));
            let scale = half::f16::from_f32(largest / 127.0).to_f32();
            for (x, found) in group.iter().zip(found) {
                let steps = found / scale;
                assert!((steps - steps.round()).abs() < 1e-3 && steps.abs() < 127.01, "{steps}");
                assert!((x - found).abs() <= 0.51 * scale, "{x} {found}");
            }
        }
    }
    let gradients = (found * 3.0).unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.0; 30]);
    assert_eq!(random((0, 8), 1).apply_op1(op).unwrap().elem_count(), 0);
}

#[test]
fn swiglu() {
    let x = random((3, 38), 5);
    check("swiglu", &[&x], || x.apply_op1(SwiGlu).unwrap());
}

#[test]
fn rows() {
    let table = random((6, 5), 6);
    check("rows", &[&table], || table.apply_op1(Rows([4, 0, 4, 5].into())).unwrap());
    assert!(table.apply_op1(Rows([6].into())).is_err());
}

#[test]
fn cross_entropy() {
    let logits = random((4, 37), 7);
    let op = || CrossEntropy::new([3, 0, 36, 3].into(), 0.5);
    check("cross-entropy", &[&logits], || logits.apply_op1(op()).unwrap());
    let equal = Tensor::zeros((2, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
    let loss = equal.apply_op1(CrossEntropy::new([1, 7].into(), 0.5)).unwrap();
    assert!((loss.to_scalar::<f32>().unwrap() - 8f32.ln()).abs() < 1e-6);
}

fn attention(bounds: &[usize]) -> Attention {
    Attention::new(4, 2, 6, Rotation::new(80, 6, 100.0).into(), bounds.into())
}

#[test]
fn attention_has_the_gradient_of_its_forward_pass() {
    // Sequences of one token, of less than a block, and of several blocks.
    let qkv = random((80, 48), 8);
    check("attention", &[&qkv], || qkv.apply_op1(attention(&[0, 1, 8, 80])).unwrap());
}

/// The definition, one score at a time.
fn naive_attention(qkv: &[Vec<f32>], token: usize) -> Vec<f32> {
    let (width, heads, kv_heads) = (6, 4, 2);
    let turned = |position: usize, at: usize| {
        let head = &qkv[position][at..][..width];
        (0..width).map(move |i| {
            let angle = position as f64 * 100f64.powf(-((i % 3) as f64) / 3.0);
            let (a, b) = (f64::from(head[i]), f64::from(head[(i + 3) % 6]));
            a * angle.cos() + if i < 3 { -b } else { b } * angle.sin()
        })
    };
    let mut out = Vec::new();
    for head in 0..heads {
        let kv = head / (heads / kv_heads);
        let score = |past: usize| -> f64 {
            let products = turned(token, head * width).zip(turned(past, (heads + kv) * width));
            (products.map(|(q, k)| q * k).sum::<f64>() / (width as f64).sqrt()).exp()
        };
        let scores: Vec<f64> = (0..=token).map(score).collect();
        let total: f64 = scores.iter().sum();
        for i in 0..width {
            let value = |past: usize| f64::from(qkv[past][(heads + kv_heads + kv) * width + i]);
            let mixed: f64 = scores.iter().enumerate().map(|(past, score)| score * value(past)).sum();
            out.push((mixed / total) as f32);
        }
    }
    out
}

#[test]
fn attention_is_that_of_each_sequence_alone() {
    let qkv = random((80, 48), 8);
    let rows = qkv.to_vec2::<f32>().unwrap();
    let bounds = [0, 1, 8, 80];
    let found = qkv.apply_op1(attention(&bounds)).unwrap().to_vec2::<f32>().unwrap();
    for ends in bounds.windows(2) {
        for token in ends[0]..ends[1] {
            let expected = naive_attention(&rows[ends[0]..ends[1]], token - ends[0]);
            for (found, expected) in found[token].iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "{token}: {found} for {expected}");
            }
        }
    }
}
