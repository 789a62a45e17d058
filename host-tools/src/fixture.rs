//! Made-up checkpoints: small models of every supported kind, written as files for tests.
//!
//! Tests of importing, packing and running need real files with real shapes, but must not need a download.
//! The weights come from a seeded generator, so that a failure can be repeated.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use half::{bf16, f16};
use safetensors::Dtype as StoredDtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use crate::import::Dtype;

pub mod gguf;

/// Entries of the made-up models' vocabulary: three special tokens, 256 bytes and a few words.
pub const VOCAB_SIZE: usize = 272;

/// A sequence of numbers that depends on the seed alone (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub struct Numbers(pub u64);

impl Numbers {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of at most `scale` in magnitude, evenly distributed.
    pub fn weight(&mut self, scale: f32) -> f32 {
        ((self.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0) * scale
    }

    /// `count` weights of a size that keeps activations near one.
    pub fn weights(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.weight(0.3)).collect()
    }

    /// `count` weights of a norm: near one.
    pub fn norm(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| 1.0 + self.weight(0.1)).collect()
    }
}

/// A tensor: shape and values.
pub type Tensor = (Vec<usize>, Vec<f32>);

/// A Hugging Face directory in the making; tests change it before they write it.
#[derive(Clone, Debug)]
pub struct HuggingFace {
    /// `config.json`.
    pub config: Map<String, Value>,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

const HIDDEN: usize = 16;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const FFN: usize = 24;
const POSITIONS: usize = 32;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl HuggingFace {
    /// A Llama with tied embeddings.
    pub fn llama(seed: u64) -> Self {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB_SIZE,
            "hidden_size": HIDDEN, "intermediate_size": FFN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
            "max_position_embeddings": POSITIONS, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_act": "silu", "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2,
            "torch_dtype": "float32",
        });
        let (mut numbers, mut tensors) = (Numbers(seed), BTreeMap::new());
        let mut matrix = |name: String, rows: usize, cols: usize| {
            tensors.insert(name, (vec![rows, cols], numbers.weights(rows * cols)));
        };
        let kv = HIDDEN / HEADS * KV_HEADS;
        matrix("model.embed_tokens.weight".into(), VOCAB_SIZE, HIDDEN);
        for layer in 0..LAYERS {
            let at = |name: &str| format!("model.layers.{layer}.{name}.weight");
            matrix(at("self_attn.q_proj"), HIDDEN, HIDDEN);
            matrix(at("self_attn.k_proj"), kv, HIDDEN);
            matrix(at("self_attn.v_proj"), kv, HIDDEN);
            matrix(at("self_attn.o_proj"), HIDDEN, HIDDEN);
            matrix(at("mlp.gate_proj"), FFN, HIDDEN);
            matrix(at("mlp.up_proj"), FFN, HIDDEN);
            matrix(at("mlp.down_proj"), HIDDEN, FFN);
        }
        for layer in 0..LAYERS {
            for name in ["input_layernorm", "post_attention_layernorm"] {
                let name = format!("model.layers.{layer}.{name}.weight");
                tensors.insert(name, (vec![HIDDEN], numbers.norm(HIDDEN)));
            }
        }
        tensors.insert("model.norm.weight".into(), (vec![HIDDEN], numbers.norm(HIDDEN)));
        Self { config: object(config), tensors }
    }

    /// A Qwen2: a Llama with biases on queries, keys and values.
    pub fn qwen2(seed: u64) -> Self {
        let mut model = Self::llama(seed);
        model.set("model_type", json!("qwen2"));
        model.set("use_sliding_window", json!(false));
        model.set("sliding_window", json!(8));
        let mut numbers = Numbers(!seed);
        for layer in 0..LAYERS {
            for (name, count) in [("q", HIDDEN), ("k", HIDDEN / 2), ("v", HIDDEN / 2)] {
                let name = format!("model.layers.{layer}.self_attn.{name}_proj.bias");
                model.tensors.insert(name, (vec![count], numbers.weights(count)));
            }
        }
        model
    }

    /// A GPT-2 with tied embeddings.
    pub fn gpt2(seed: u64) -> Self {
        let config = json!({
            "model_type": "gpt2", "vocab_size": VOCAB_SIZE, "n_embd": HIDDEN, "n_layer": LAYERS,
            "n_head": HEADS, "n_positions": POSITIONS, "n_ctx": POSITIONS,
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
            "bos_token_id": 0, "eos_token_id": 0,
        });
        let (mut numbers, mut tensors) = (Numbers(seed), BTreeMap::new());
        let matrices =
            [("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)];
        for layer in 0..LAYERS {
            for (name, inputs, outputs) in matrices {
                let (inputs, outputs) = (inputs * HIDDEN, outputs * HIDDEN);
                let at = |end: &str| format!("transformer.h.{layer}.{name}.{end}");
                tensors.insert(at("weight"), (vec![inputs, outputs], numbers.weights(inputs * outputs)));
                tensors.insert(at("bias"), (vec![outputs], numbers.weights(outputs)));
            }
        }
        let norms = (0..LAYERS).flat_map(|layer| [format!("h.{layer}.ln_1"), format!("h.{layer}.ln_2")]);
        for norm in norms.chain(["ln_f".to_owned()]) {
            let at = |end: &str| format!("transformer.{norm}.{end}");
            tensors.insert(at("weight"), (vec![HIDDEN], numbers.norm(HIDDEN)));
            tensors.insert(at("bias"), (vec![HIDDEN], numbers.weights(HIDDEN)));
        }
        for (name, rows) in [("wte", VOCAB_SIZE), ("wpe", POSITIONS)] {
            let name = format!("transformer.{name}.weight");
            tensors.insert(name, (vec![rows, HIDDEN], numbers.weights(rows * HIDDEN)));
        }
        Self { config: object(config), tensors }
    }

    /// Sets a key of `config.json`.
    pub fn set(&mut self, key: &str, value: Value) {
        self.config.insert(key.to_owned(), value);
    }

    /// Writes `config.json` and `model.safetensors` into a new directory `name` within `parent`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write(&self, parent: &Path, name: &str, dtype: Dtype) -> Result<PathBuf> {
        let directory = self.write_config(parent, name)?;
        write_safetensors(&directory.join("model.safetensors"), &self.tensors, dtype)?;
        Ok(directory)
    }

    /// The same with the tensors dealt out to two files and an index.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write_sharded(&self, parent: &Path, name: &str) -> Result<PathBuf> {
        let directory = self.write_config(parent, name)?;
        let (mut shards, mut weight_map) = ([BTreeMap::new(), BTreeMap::new()], Map::new());
        for (index, (name, tensor)) in self.tensors.iter().enumerate() {
            let shard = index % shards.len();
            weight_map.insert(name.clone(), json!(shard_name(shard)));
            shards[shard].insert(name.clone(), tensor.clone());
        }
        for (index, shard) in shards.iter().enumerate() {
            write_safetensors(&directory.join(shard_name(index)), shard, Dtype::F32)?;
        }
        let index = json!({ "metadata": {}, "weight_map": weight_map });
        fs::write(directory.join("model.safetensors.index.json"), index.to_string())?;
        Ok(directory)
    }

    fn write_config(&self, parent: &Path, name: &str) -> Result<PathBuf> {
        let directory = parent.join(name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let config = Value::Object(self.config.clone());
        fs::write(directory.join("config.json"), serde_json::to_string_pretty(&config)?)?;
        Ok(directory)
    }
}

fn shard_name(index: usize) -> String {
    format!("model-{:05}-of-00002.safetensors", index + 1)
}

/// Writes tensors as a safetensors file.
///
/// # Errors
/// The file cannot be written.
pub fn write_safetensors(path: &Path, tensors: &BTreeMap<String, Tensor>, dtype: Dtype) -> Result<()> {
    let bytes = |values: &[f32]| -> Vec<u8> {
        match dtype {
            Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
            Dtype::Bf16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        }
    };
    let stored = match dtype {
        Dtype::F32 => StoredDtype::F32,
        Dtype::F16 => StoredDtype::F16,
        Dtype::Bf16 => StoredDtype::BF16,
    };
    let data: Vec<_> = tensors.values().map(|(_, values)| bytes(values)).collect();
    let views = tensors.iter().zip(&data).map(|((name, (shape, _)), bytes)| {
        TensorView::new(stored, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let views = views.collect::<std::result::Result<Vec<_>, _>>()?;
    fs::write(path, safetensors::serialize(views, None)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a llama2.c checkpoint of version 0 and returns its path.
///
/// # Errors
/// The file cannot be written.
pub fn write_llama2c(directory: &Path, seed: u64, shared_head: bool) -> Result<PathBuf> {
    let mut numbers = Numbers(seed);
    let kv = HIDDEN / HEADS * KV_HEADS;
    let vocab = VOCAB_SIZE as i32;
    let header = [HIDDEN, FFN, LAYERS, HEADS, KV_HEADS].map(|n| n as i32);
    let header = header.into_iter().chain([if shared_head { vocab } else { -vocab }, POSITIONS as i32]);
    let mut values = numbers.weights(VOCAB_SIZE * HIDDEN);
    values.extend(numbers.norm(LAYERS * HIDDEN));
    values.extend(numbers.weights(LAYERS * (2 * HIDDEN + 2 * kv) * HIDDEN));
    values.extend(numbers.norm(LAYERS * HIDDEN));
    values.extend(numbers.weights(LAYERS * 3 * HIDDEN * FFN));
    values.extend(numbers.norm(HIDDEN));
    values.extend(vec![0.0; POSITIONS * HIDDEN / HEADS]);
    if !shared_head {
        values.extend(numbers.weights(VOCAB_SIZE * HIDDEN));
    }
    let bytes: Vec<u8> =
        header.flat_map(i32::to_le_bytes).chain(values.into_iter().flat_map(f32::to_le_bytes)).collect();
    let path = directory.join("tiny.bin");
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Writes the model of [`write_llama2c`] as a checkpoint of version 1 or, with a group, version 2.
///
/// # Errors
/// The file cannot be written.
pub fn write_newer_llama2c(
    directory: &Path,
    seed: u64,
    shared_head: bool,
    group: Option<usize>,
) -> Result<PathBuf> {
    let mut numbers = Numbers(seed);
    let kv = HIDDEN / HEADS * KV_HEADS;
    // The order of version 0, in which the numbers were drawn.
    let embedding = numbers.weights(VOCAB_SIZE * HIDDEN);
    let attention_norms = numbers.norm(LAYERS * HIDDEN);
    let attention = numbers.weights(LAYERS * (2 * HIDDEN + 2 * kv) * HIDDEN);
    let ffn_norms = numbers.norm(LAYERS * HIDDEN);
    let ffn = numbers.weights(LAYERS * 3 * HIDDEN * FFN);
    let final_norm = numbers.norm(HIDDEN);
    let head = if shared_head { Vec::new() } else { numbers.weights(VOCAB_SIZE * HIDDEN) };

    let mut out = b"24ka".to_vec();
    out.extend(if group.is_some() { 2i32 } else { 1 }.to_le_bytes());
    let header = [HIDDEN, FFN, LAYERS, HEADS, KV_HEADS, VOCAB_SIZE, POSITIONS];
    out.extend(header.into_iter().flat_map(|number| (number as i32).to_le_bytes()));
    out.push(shared_head.into());
    out.extend((group.unwrap_or(0) as i32).to_le_bytes());
    out.resize(256, 0);
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    for norms in [&attention_norms, &ffn_norms, &final_norm] {
        out.extend(floats(norms));
    }
    // Each matrix of version 2 is followed by its scales.
    let (square, narrow, wide) = (HIDDEN * HIDDEN, kv * HIDDEN, FFN * HIDDEN);
    let of_attention = [square, narrow, narrow, square].map(|size| [size; LAYERS]).concat();
    let sizes = [vec![embedding.len()], of_attention, vec![wide; 3 * LAYERS], vec![head.len()]].concat();
    let all = [embedding, attention, ffn, head].concat();
    let mut rest = &all[..];
    for size in sizes {
        let (matrix, others) = rest.split_at(size);
        rest = others;
        let Some(group) = group else {
            out.extend(floats(matrix));
            continue;
        };
        let scales = matrix.chunks(group).map(|group| group.iter().fold(0f32, |m, w| m.max(w.abs())) / 127.0);
        let scales: Vec<f32> = scales.collect();
        let quantized =
            matrix.iter().enumerate().map(|(at, weight)| (weight / scales[at / group]).round() as i8 as u8);
        out.extend(quantized);
        out.extend(floats(&scales));
    }
    let path = directory.join("tiny-newer.bin");
    fs::write(&path, out).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Writes llama2.c's `tokenizer.bin` for the made-up vocabulary, or for another number of tokens.
///
/// # Errors
/// The file cannot be written.
pub fn write_tokenizer_bin(directory: &Path, tokens: usize) -> Result<PathBuf> {
    let words = [" ", "a", "b", "c", " a", "ab", "bc", "abc", " ab", "d", "e", "de", " de"];
    let special = ["<unk>", "\n<s>\n", "\n</s>\n"].map(str::to_owned);
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let filler = (0..).map(|index| format!("w{index}"));
    let all = special.into_iter().chain(bytes).chain(words.map(str::to_owned)).chain(filler).take(tokens);
    let mut out = 16u32.to_le_bytes().to_vec();
    for (index, token) in all.enumerate() {
        out.extend((-(index as f32)).to_le_bytes());
        out.extend((token.len() as u32).to_le_bytes());
        out.extend(token.as_bytes());
    }
    let path = directory.join("tokenizer.bin");
    fs::write(&path, out).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
