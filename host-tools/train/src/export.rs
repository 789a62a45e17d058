//! The result: a Hugging Face directory, which `sprat pack` and transformers take as it is.

use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::tensor::{TensorView, serialize};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

use crate::model::{Kind, Model};
use crate::tokenizer::{CHAT_TEMPLATE, END, PAD, SPECIAL, Tokenizer};

/// Writes a file whole: under another name first, or not at all.
pub type WriteFile<'w> = &'w dyn Fn(&Path, &[u8]) -> Result<()>;

/// Writes `tokenizer.json` and the files that tell how text becomes tokens and when generation ends.
///
/// # Errors
/// A file cannot be written.
pub fn write_tokenizer(
    directory: &Path,
    tokenizer: &Tokenizer,
    context: usize,
    write: WriteFile<'_>,
) -> Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    write(&directory.join("tokenizer.json"), tokenizer.to_json()?.as_bytes())?;
    let special = |token: u16| SPECIAL[usize::from(token)];
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "eos_token": special(END),
        "pad_token": special(PAD),
        "clean_up_tokenization_spaces": false,
        "chat_template": CHAT_TEMPLATE,
    });
    write_json(&directory.join("tokenizer_config.json"), &config, write)?;
    let generation = json!({ "eos_token_id": END, "pad_token_id": PAD });
    write_json(&directory.join("generation_config.json"), &generation, write)
}

/// Writes `config.json` and the weights in f32.
///
/// # Errors
/// A file cannot be written.
pub fn write_model(directory: &Path, model: &Model, write: WriteFile<'_>) -> Result<()> {
    let shape = &model.shape;
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_width,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.rope_theta,
        "hidden_act": "silu",
        "tie_word_embeddings": true,
        "attention_bias": false,
        "mlp_bias": false,
        "bos_token_id": null,
        "eos_token_id": END,
        "pad_token_id": PAD,
        "torch_dtype": "float32",
    });
    write_json(&directory.join("config.json"), &config, write)?;
    let mut tensors = Vec::new();
    for parameter in &model.parameters {
        let bytes = to_bytes(&parameter.values()?);
        let columns = parameter.var.dims().last().copied().unwrap_or(1);
        match &parameter.kind {
            Kind::Matrices(stacked) => {
                let mut rest = &bytes[..];
                for (name, rows) in stacked {
                    let (part, after) = rest.split_at(rows * columns * 4);
                    tensors.push((name.clone(), vec![*rows, columns], part.to_vec()));
                    rest = after;
                }
            }
            _ => tensors.push((parameter.name.clone(), parameter.var.dims().to_vec(), bytes)),
        }
    }
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    write(&directory.join("model.safetensors"), &to_safetensors(&tensors, metadata)?)
}

/// Gives a model the weights of a directory that [`write_model`] wrote, to train it further on other chats.
///
/// # Errors
/// There is no `model.safetensors`, or it holds another shape's tensors or another type than f32.
pub fn read_model(directory: &Path, model: &Model) -> Result<()> {
    let path = directory.join("model.safetensors");
    let shown = path.display();
    let bytes =
        std::fs::read(&path).with_context(|| format!("cannot read {shown}: expected a trained model"))?;
    let tensors = SafeTensors::deserialize(&bytes).with_context(|| format!("{shown}: not safetensors"))?;
    for parameter in &model.parameters {
        let columns = parameter.var.dims().last().copied().unwrap_or(1);
        let parts = match &parameter.kind {
            Kind::Matrices(stacked) => {
                stacked.iter().map(|(name, rows)| (name.as_str(), vec![*rows, columns])).collect()
            }
            _ => vec![(parameter.name.as_str(), parameter.var.dims().to_vec())],
        };
        let mut values = Vec::with_capacity(parameter.var.elem_count());
        for (name, expected) in parts {
            let tensor = tensors.tensor(name).with_context(|| format!("{shown}: {name}"))?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != expected {
                bail!(
                    "{shown}: {name} is {:?} of {:?}; expected F32 of {expected:?}: give the preset and the shape that the \
                     model was trained with",
                    tensor.dtype(),
                    tensor.shape()
                );
            }
            values.extend(tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        }
        parameter.set(values)?;
    }
    Ok(())
}

/// Tensors by name, shape and bytes of f32 as a file.
pub(crate) fn to_safetensors(
    tensors: &[(String, Vec<usize>, Vec<u8>)],
    metadata: std::collections::HashMap<String, String>,
) -> Result<Vec<u8>> {
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    Ok(serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))?)
}

/// As they are in a file.
pub(crate) fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn write_json(path: &Path, value: &serde_json::Value, write: WriteFile<'_>) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    write(path, text.as_bytes())
}
