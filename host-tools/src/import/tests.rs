//! Importers on made-up checkpoints: what they read, and what they refuse by name.

use std::fs;

use serde_json::json;
use sprat_format::{Activation, FeedForward, Layers, Norm, Pairing, Position, Role};
use tempfile::TempDir;

use super::*;
use crate::fixture::{self, HuggingFace, VOCAB_SIZE};

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(path: &Path) -> Result<Checkpoint> {
    Checkpoint::open(path, &OpenOptions::default())
}

/// The whole chain of causes.
fn refusal(path: &Path) -> String {
    format!("{:#}", open(path).unwrap_err())
}

#[track_caller]
fn assert_refused(model: &HuggingFace, parts: &[&str]) {
    let directory = temp();
    let message = refusal(&model.write(directory.path(), "model", Dtype::F32).unwrap());
    for part in parts {
        assert!(message.contains(part), "expected {part:?} in: {message}");
    }
}

#[test]
fn llama_directories_are_read_in_all_precisions_and_in_shards() {
    let model = HuggingFace::llama(1);
    let directory = temp();
    let exact = &model.tensors["model.layers.1.mlp.down_proj.weight"].1;
    for (dtype, error) in [(Dtype::F32, 0.0), (Dtype::F16, 2e-4), (Dtype::Bf16, 2e-3)] {
        let path = model.write(directory.path(), dtype.name(), dtype).unwrap();
        let checkpoint = open(&path).unwrap();
        let read = checkpoint.read(Role::Down, Some(1)).unwrap();
        assert!(read.iter().zip(exact).all(|(a, b)| (a - b).abs() <= error), "{dtype:?}");
        assert_eq!(checkpoint.name, dtype.name());
    }
    let path = model.write_sharded(directory.path(), "sharded").unwrap();
    let checkpoint = open(&path).unwrap();
    for (name, role, layer) in [
        ("model.embed_tokens.weight", Role::TokenEmbedding, None),
        ("model.layers.0.self_attn.k_proj.weight", Role::Key, Some(0)),
        ("model.layers.1.post_attention_layernorm.weight", Role::FeedForwardNorm, Some(1)),
    ] {
        assert_eq!(checkpoint.read(role, layer).unwrap(), model.tensors[name].1, "{name}");
    }
    assert_eq!(checkpoint.config.norm, Norm::RmsNorm);
    assert_eq!(checkpoint.config.position, Position::Rotary { dims: 4, pairing: Pairing::Half });
    assert_eq!(checkpoint.end_tokens, [2]);
    assert_eq!(checkpoint.read(Role::RotaryFrequencies, None).unwrap(), [1.0, 0.01]);
    assert!(checkpoint.read(Role::Head, None).is_err());
}

#[test]
fn names_without_prefix_and_recomputable_buffers_are_fine() {
    let mut model = HuggingFace::gpt2(2);
    model.tensors =
        model.tensors.into_iter().map(|(name, t)| (name.replace("transformer.", ""), t)).collect();
    model.tensors.insert("h.0.attn.bias".into(), (vec![1, 1, 2, 2], vec![1.0; 4]));
    model.tensors.insert("h.1.attn.masked_bias".into(), (vec![1], vec![-1e4]));
    let directory = temp();
    let checkpoint = open(&model.write(directory.path(), "m", Dtype::F32).unwrap()).unwrap();
    assert_eq!(checkpoint.config.feed_forward, FeedForward::Plain(Activation::GeluTanh));
    assert_eq!(checkpoint.read(Role::PositionEmbedding, None).unwrap(), model.tensors["wpe.weight"].1);
}

#[test]
fn gpt2_matrices_are_transposed_and_split() {
    let model = HuggingFace::gpt2(3);
    let directory = temp();
    let checkpoint = open(&model.write(directory.path(), "m", Dtype::F32).unwrap()).unwrap();
    let fused = &model.tensors["transformer.h.1.attn.c_attn.weight"].1;
    let bias = &model.tensors["transformer.h.1.attn.c_attn.bias"].1;
    for (part, (weight_role, bias_role)) in
        [(Role::Query, Role::QueryBias), (Role::Key, Role::KeyBias), (Role::Value, Role::ValueBias)]
            .into_iter()
            .enumerate()
    {
        let weight = checkpoint.read(weight_role, Some(1)).unwrap();
        for (output, input) in [(0, 0), (3, 7), (15, 15)] {
            assert_eq!(weight[output * 16 + input], fused[input * 48 + part * 16 + output]);
        }
        assert_eq!(checkpoint.read(bias_role, Some(1)).unwrap(), bias[part * 16..part * 16 + 16]);
    }
}

#[test]
fn an_untied_head_is_used_and_a_contradictory_one_refused() {
    let mut model = HuggingFace::gpt2(4);
    let head = (vec![VOCAB_SIZE, 16], fixture::Numbers(9).weights(VOCAB_SIZE * 16));
    model.tensors.insert("lm_head.weight".into(), head.clone());
    let directory = temp();
    let checkpoint = open(&model.write(directory.path(), "silent", Dtype::F32).unwrap()).unwrap();
    assert_eq!(checkpoint.read(Role::Head, None).unwrap(), head.1);

    model.set("tie_word_embeddings", json!(true));
    assert_refused(
        &model,
        &["tie_word_embeddings = true", "lm_head.weight differs from transformer.wte.weight"],
    );
    let embedding = model.tensors["transformer.wte.weight"].clone();
    model.tensors.insert("lm_head.weight".into(), embedding);
    for tie in [json!(true), json!(null)] {
        model.set("tie_word_embeddings", tie);
        let checkpoint = open(&model.write(directory.path(), "copied", Dtype::F32).unwrap()).unwrap();
        assert!(checkpoint.read(Role::Head, None).is_err());
    }

    let mut model = HuggingFace::llama(4);
    model.set("tie_word_embeddings", json!(false));
    assert_refused(&model, &["lacks tensor lm_head.weight"]);
}

#[test]
fn biases_come_with_the_family_or_the_setting() {
    let directory = temp();
    let qwen = HuggingFace::qwen2(5);
    let checkpoint = open(&qwen.write(directory.path(), "qwen", Dtype::F32).unwrap()).unwrap();
    let bias = &qwen.tensors["model.layers.0.self_attn.v_proj.bias"].1;
    assert_eq!(&checkpoint.read(Role::ValueBias, Some(0)).unwrap(), bias);
    assert!(checkpoint.read(Role::AttentionOutputBias, Some(0)).is_err());

    let mut llama = HuggingFace::llama(5);
    llama.set("attention_bias", json!(true));
    assert_refused(&llama, &["lacks 8 tensors", "model.layers.0.self_attn.q_proj.bias", "and 2 more"]);
}

#[test]
fn rotary_scaling_is_read_in_both_spellings() {
    let directory = temp();
    let frequencies = |model: &HuggingFace, name: &str| {
        let checkpoint = open(&model.write(directory.path(), name, Dtype::F32).unwrap()).unwrap();
        checkpoint.read(Role::RotaryFrequencies, None).unwrap()
    };
    let mut old = HuggingFace::llama(6);
    old.set("rope_scaling", json!({ "type": "linear", "factor": 4.0 }));
    assert_eq!(frequencies(&old, "old"), [0.25, 0.0025]);
    let mut new = HuggingFace::llama(6);
    new.config.remove("rope_theta");
    new.set("rope_parameters", json!({ "rope_type": "default", "rope_theta": 1e6 }));
    assert_eq!(frequencies(&new, "new"), [1.0, 0.001]);
    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32, "rope_theta": 10000.0,
    });
    new.set("rope_parameters", llama3);
    assert_eq!(frequencies(&new, "llama3"), [1.0, 0.01 / 8.0]);
}

#[test]
fn settings_that_change_the_numbers_are_refused_by_name_and_value() {
    type Change = (&'static str, serde_json::Value);
    let llama: [(Change, &str); 8] = [
        (("model_type", json!("grok")), "model_type \"grok\" is not supported; supported: bloom"),
        (("hidden_act", json!("tanh")), "hidden_act = \"tanh\""),
        (("rope_scaling", json!({ "rope_type": "yarn", "factor": 2 })), "rope_type = \"yarn\""),
        (("rope_scaling", json!({ "type": "linear", "factor": 2, "mystery": 1 })), "mystery = 1"),
        (("partial_rotary_factor", json!(0.5)), "partial_rotary_factor = 0.5"),
        (("quantization_config", json!({ "bits": 4 })), "quantization_config = {\"bits\":4}"),
        (("layer_types", json!(["sliding_attention"])), "layer_types = [\"sliding_attention\"]"),
        (("num_key_value_heads", json!(3)), "heads modulo kv_heads is 1"),
    ];
    for ((key, value), expected) in llama {
        let mut model = HuggingFace::llama(7);
        model.set(key, value);
        assert_refused(&model, &["cannot import", expected]);
    }
    let gpt2: [(Change, &str); 5] = [
        (("scale_attn_weights", json!(false)), "scale_attn_weights = false"),
        (("scale_attn_by_inverse_layer_idx", json!(true)), "scale_attn_by_inverse_layer_idx = true"),
        (("reorder_and_upcast_attn", json!(true)), "reorder_and_upcast_attn = true"),
        (("add_cross_attention", json!(true)), "add_cross_attention = true"),
        (("activation_function", json!("quick_gelu")), "activation_function = \"quick_gelu\""),
    ];
    for ((key, value), expected) in gpt2 {
        let mut model = HuggingFace::gpt2(7);
        model.set(key, value);
        assert_refused(&model, &["config.json (gpt2)", expected]);
    }
    let others: [(&str, Change, &str); 9] = [
        (
            "bert",
            ("hidden_act", json!("gelu")),
            "model_type \"bert\" is an encoder, which is not supported yet",
        ),
        ("bloom", ("apply_residual_connection_post_layernorm", json!(true)), "post_layernorm = true"),
        ("gpt_neo", ("attention_types", json!([[["far"], 2]])), "attention_types = [[[\"far\"],2]]"),
        ("mpt", ("attn_config", json!({ "clip_qkv": 6 })), "attn_config: clip_qkv = 6"),
        ("opt", ("layer_norm_elementwise_affine", json!(false)), "layer_norm_elementwise_affine = false"),
        ("phi3", ("rope_scaling", json!({ "type": "longrope" })), "rope_type = \"longrope\""),
        ("qwen2", ("layer_types", json!(["full_attention"])), "layer_types = [\"full_attention\"]"),
        ("smollm3", ("no_rope_layers", json!([1, 2])), "no_rope_layers = [1,2]"),
        ("stablelm", ("qk_layernorm", json!(true)), "qk_layernorm = true"),
    ];
    for (family, (key, value), expected) in others {
        let mut model = HuggingFace::llama(7);
        model.set("model_type", json!(family));
        // What each of these reads before it comes to the setting.
        for (key, value) in
            [("n_head", 4), ("num_heads", 4), ("num_layers", 2), ("d_model", 16), ("n_heads", 4)]
        {
            model.set(key, json!(value));
        }
        model.set(key, value);
        assert_refused(&model, &[family, expected]);
    }
}

#[test]
fn windows_and_layers_without_rotary_embedding_are_read() {
    let directory = temp();
    let config =
        |model: &HuggingFace| open(&model.write(directory.path(), "m", Dtype::F32).unwrap()).unwrap().config;
    let mut mistral = HuggingFace::llama(7);
    mistral.set("model_type", json!("mistral"));
    // What the family takes when nothing is said is more than the model has positions.
    assert_eq!(config(&mistral).window, 0);
    mistral.set("sliding_window", json!(8));
    assert_eq!((config(&mistral).window, config(&mistral).window_layers), (8, Layers::ALL));
    mistral.set("sliding_window", json!(null));
    assert_eq!(config(&mistral).window, 0);

    let mut qwen = HuggingFace::qwen2(7);
    qwen.set("use_sliding_window", json!(true));
    assert_eq!(config(&qwen).window, 0, "the first 28 layers have none");
    qwen.set("max_window_layers", json!(1));
    assert_eq!((config(&qwen).window, config(&qwen).window_layers), (8, Layers { period: 2, bits: 2 }));
    qwen.set("layer_types", json!(["sliding_attention", "full_attention"]));
    assert_eq!(config(&qwen).window_layers, Layers { period: 2, bits: 1 });

    let mut smol = HuggingFace::llama(7);
    smol.set("model_type", json!("smollm3"));
    assert_eq!(config(&smol).rotary_layers, Layers::ALL, "every fourth has none, and there are two");
    smol.set("no_rope_layers", json!([0, 1]));
    assert_eq!(config(&smol).rotary_layers, Layers { period: 2, bits: 2 });
}

#[test]
fn a_setting_that_the_user_vouches_for_is_ignored() {
    let mut model = HuggingFace::llama(8);
    model.set("flux_capacitor", json!(1.21));
    assert_refused(&model, &["flux_capacitor = 1.21", "--ignore-setting flux_capacitor"]);
    let directory = temp();
    let path = model.write(directory.path(), "m", Dtype::F32).unwrap();
    let options = OpenOptions { ignored_settings: vec!["flux_capacitor".into()], ..OpenOptions::default() };
    Checkpoint::open(&path, &options).unwrap();
}

#[test]
fn missing_extra_and_misshapen_tensors_are_named() {
    let mut model = HuggingFace::llama(9);
    model.tensors.remove("model.layers.1.mlp.up_proj.weight");
    assert_refused(&model, &["lacks tensor model.layers.1.mlp.up_proj.weight"]);

    let mut model = HuggingFace::llama(9);
    model.tensors.insert("model.layers.0.self_attn.q_norm.weight".into(), (vec![4], vec![1.0; 4]));
    assert_refused(&model, &["has tensor model.layers.0.self_attn.q_norm.weight"]);

    let mut model = HuggingFace::llama(9);
    model.tensors.insert("model.layers.0.self_attn.k_proj.weight".into(), (vec![16, 8], vec![0.0; 128]));
    assert_refused(
        &model,
        &["model.layers.0.self_attn.k_proj.weight has the shape [16, 8]", "asks for [8, 16]"],
    );
}

#[test]
fn weights_that_are_no_numbers_are_named_with_their_place() {
    let mut model = HuggingFace::llama(10);
    model.tensors.get_mut("model.layers.1.mlp.gate_proj.weight").unwrap().1[16 * 2 + 5] = f32::NAN;
    let directory = temp();
    let checkpoint = open(&model.write(directory.path(), "m", Dtype::F32).unwrap()).unwrap();
    let message = checkpoint.read(Role::Gate, Some(1)).unwrap_err().to_string();
    assert!(
        message.contains("tensor model.layers.1.mlp.gate_proj.weight holds NaN (as gate: row 2, column 5)"),
        "{message}"
    );
}

#[test]
fn llama2c_files_are_read_with_and_without_a_head() {
    let directory = temp();
    for shared in [true, false] {
        let path = fixture::write_llama2c(directory.path(), 11, shared).unwrap();
        let checkpoint = open(&path).unwrap();
        assert_eq!(checkpoint.config.vocab_size as usize, VOCAB_SIZE);
        assert_eq!(checkpoint.config.position, Position::Rotary { dims: 4, pairing: Pairing::Interleaved });
        assert_eq!(checkpoint.read(Role::Head, None).is_err(), shared);
        assert_eq!((checkpoint.bos, checkpoint.add_bos), (Some(1), true));
        assert_eq!(checkpoint.end_tokens, [1, 2]);
        let mut numbers = fixture::Numbers(11);
        assert_eq!(checkpoint.read(Role::TokenEmbedding, None).unwrap(), numbers.weights(VOCAB_SIZE * 16));
        let norms = numbers.norm(32);
        assert_eq!(checkpoint.read(Role::AttentionNorm, Some(1)).unwrap(), norms[16..]);
    }
}

#[test]
fn llama2c_files_of_newer_versions_hold_the_same_model() {
    let directory = temp();
    for shared in [true, false] {
        let oldest = open(&fixture::write_llama2c(directory.path(), 11, shared).unwrap()).unwrap();
        for group in [None, Some(8)] {
            let path = fixture::write_newer_llama2c(directory.path(), 11, shared, group).unwrap();
            let newer = open(&path).unwrap();
            let version = if group.is_none() { 1 } else { 2 };
            assert_eq!(newer.source, format!("llama2.c version {version}"));
            assert_eq!((newer.config, &newer.end_tokens), (oldest.config, &oldest.end_tokens));
            assert_eq!(newer.tensors().count(), oldest.tensors().count());
            for tensor in oldest.tensors() {
                let expected = oldest.read(tensor.role, tensor.layer).unwrap();
                let found = newer.read(tensor.role, tensor.layer).unwrap();
                let quantized = group.is_some() && tensor.role.is_matrix();
                let tolerance = if quantized { 0.3 / 127.0 / 2.0 * 1.001 } else { 0.0 };
                let close = expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= tolerance);
                assert!(close && expected.len() == found.len(), "{} {:?}", tensor.name, group);
            }
        }
    }
}

#[test]
fn damaged_llama2c_files_of_newer_versions_are_refused() {
    let directory = temp();
    let path = fixture::write_newer_llama2c(directory.path(), 11, true, Some(8)).unwrap();
    let whole = fs::read(&path).unwrap();
    let check = |at: usize, bytes: &[u8], expected: &str| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(&path, changed).unwrap();
        let message = refusal(&path);
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
    };
    check(36, &[2], "flag for a shared head is 2");
    check(37, &0i32.to_le_bytes(), "group size is 0");
    check(37, &(-8i32).to_le_bytes(), "group size is -8");
    check(37, &24i32.to_le_bytes(), "group size is 24");
    check(37, &4i32.to_le_bytes(), "it is cut short, or of another format");
    check(28, &(-272i32).to_le_bytes(), "-272, 32], which no model has");
}

#[test]
fn damaged_and_foreign_files_are_refused_with_what_they_are() {
    let directory = temp();
    let path = fixture::write_llama2c(directory.path(), 12, true).unwrap();
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8], expected: &str| {
        fs::write(&path, bytes).unwrap();
        let message = refusal(&path);
        assert!(message.contains(expected), "expected {expected:?} in: {message}");
    };
    check(&whole[..whole.len() - 4], &format!("has {} bytes", whole.len() - 4));
    check(&whole[..20], "no checkpoint that is known here");
    check(b"", "is empty");
    check(b"MZ\x90\x00 some other program, long enough for a header", "no checkpoint that is known here");
    check(b"GGUF\x03\x00\x00\x00", "the number of tensors at byte 8 needs 8 bytes");
    check(b"PK\x03\x04 archive", "zip archive");
    check(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer");
    check(b"\x89SPRAT\r\n", "packed file already");
    check(b"24ka\x01\x00\x00\x00 more of it, not long enough", "its header alone has 256");
    check(&[b"24ka\x03\x00\x00\x00", &[0; 248][..]].concat(), "its version is 3; supported: 0, 1 and 2");
    check(&[b"24ka\x01\x00\x00\x00", &[0; 248][..]].concat(), "[0, 0, 0, 0, 0, 0, 0], which no model has");
    fs::remove_file(&path).unwrap();
    assert!(refusal(&path).contains("cannot read"));

    let model = HuggingFace::llama(12).write(directory.path(), "m", Dtype::F32).unwrap();
    let tensors = model.join("model.safetensors");
    let whole = fs::read(&tensors).unwrap();
    // The safetensors file itself leads to its directory.
    open(&tensors).unwrap();
    fs::write(&tensors, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(&model).contains("not a whole safetensors file"));
    fs::remove_file(&tensors).unwrap();
    assert!(refusal(&model).contains("neither model.safetensors nor"));
    fs::write(model.join("config.json"), "{ not json").unwrap();
    assert!(refusal(&model).contains("config.json is not JSON"));
    fs::remove_file(model.join("config.json")).unwrap();
    assert!(refusal(&model).contains("has no config.json"));
}

#[test]
fn special_tokens_follow_generation_config_and_stay_inside_the_vocabulary() {
    let directory = temp();
    let mut model = HuggingFace::llama(13);
    model.set("eos_token_id", json!([2, 5, 50256]));
    let path = model.write(directory.path(), "m", Dtype::F32).unwrap();
    let checkpoint = open(&path).unwrap();
    assert_eq!(checkpoint.end_tokens, [2, 5]);
    assert!(checkpoint.notes[0].contains("50256"), "{:?}", checkpoint.notes);
    fs::write(path.join("generation_config.json"), r#"{"eos_token_id": 7, "bos_token_id": null}"#).unwrap();
    assert_eq!(open(&path).unwrap().end_tokens, [7]);
}

#[test]
fn a_tokenizer_comes_along_and_one_of_another_model_is_refused() {
    let directory = temp();
    let path = fixture::write_llama2c(directory.path(), 14, true).unwrap();
    let without = open(&path).unwrap();
    assert!(without.tokenizer.is_none() && without.notes[0].contains("no tokenizer.bin"));

    fixture::write_tokenizer_bin(directory.path(), VOCAB_SIZE).unwrap();
    let beside = open(&path).unwrap();
    assert!(beside.tokenizer.is_some() && beside.notes.is_empty());

    let elsewhere = temp();
    let large = fixture::write_tokenizer_bin(elsewhere.path(), VOCAB_SIZE + 3).unwrap();
    let options = OpenOptions { tokenizer: Some(large), ..OpenOptions::default() };
    let message = format!("{:#}", Checkpoint::open(&path, &options).unwrap_err());
    assert!(message.contains("275 tokens") && message.contains("272"), "{message}");
    // An embedding may be larger than the vocabulary: padded rows.
    let small = fixture::write_tokenizer_bin(elsewhere.path(), VOCAB_SIZE - 3).unwrap();
    let options = OpenOptions { tokenizer: Some(small), ..OpenOptions::default() };
    assert!(Checkpoint::open(&path, &options).unwrap().tokenizer.is_some());
}
