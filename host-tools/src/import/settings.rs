//! A checkpoint's `config.json`, read so that no setting is passed over.
//!
//! A setting that changes the numbers and is silently ignored gives a model that runs and is wrong. So every
//! key is either understood by the family's importer, or on the list of keys that change no number, or refused
//! by name.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Map, Value};

/// Keys that say how a model was trained, stored or served, not what it computes.
const HARMLESS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "activation_dropout",
    "architectures",
    "attention_dropout",
    "attention_softmax_in_fp32",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bias_dropout_fusion",
    "bos_token_id",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "cross_attention_hidden_size",
    "custom_pipelines",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "emb_pdrop",
    "embd_pdrop",
    "embed_dropout",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "init_std",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "layerdrop",
    "length_penalty",
    "masked_softmax_fusion",
    "max_length",
    "max_window_layers",
    "min_length",
    "model_type",
    "n_ctx",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "offset_alibi",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_dropout",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "skip_bias_add",
    "skip_bias_add_qkv",
    "slow_but_exact",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// The settings of one family of models, each of which is used up by reading it.
pub(crate) struct Settings<'a> {
    /// Where they come from, for messages: `config.json (llama)`.
    place: String,
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Settings<'a> {
    pub fn new(place: String, map: &'a Map<String, Value>) -> Self {
        Self { place, map, read: RefCell::default() }
    }

    /// Where the settings come from, for messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether a key is there, be it null.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The value of a key; absent and null are the same.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The settings within a key, to be closed like these.
    pub fn object(&self, key: &str) -> Result<Option<Settings<'a>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| self.not(key, value, "an object"))?;
        Ok(Some(Settings::new(format!("{}: {key}", self.place), map)))
    }

    fn not(&self, key: &str, value: &Value, expected: &str) -> anyhow::Error {
        anyhow!("{}: {key} = {value}, expected {expected}", self.place)
    }

    /// The refusal of a value, with what is supported.
    pub fn unsupported(&self, key: &str, value: &Value, supported: &str) -> anyhow::Error {
        anyhow!(
            "{}: {key} = {value} is not supported; supported: {supported}: take a model that has one of these",
            self.place
        )
    }

    /// A count that the importer cannot do without.
    pub fn count(&self, key: &str) -> Result<u32> {
        self.optional_count(key)?.ok_or_else(|| {
            anyhow!(
                "{}: {key} is missing, expected a number: take the config.json that belongs to the model",
                self.place
            )
        })
    }

    pub fn optional_count(&self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let count = value.as_u64().and_then(|n| u32::try_from(n).ok());
        count.map(Some).ok_or_else(|| self.not(key, value, "a whole number of at most 4294967295"))
    }

    pub fn optional_number(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.not(key, value, "a number"))
    }

    pub fn number(&self, key: &str) -> Result<f64> {
        self.optional_number(key)?.ok_or_else(|| {
            anyhow!(
                "{}: {key} is missing, expected a number: take the config.json that belongs to the model",
                self.place
            )
        })
    }

    pub fn optional_flag(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.not(key, value, "true or false"))
    }

    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.not(key, value, "a string"))
    }

    /// A setting of which only one value is supported, which is also its default.
    pub fn only(&self, key: &str, supported: &Value) -> Result<()> {
        // 1 and 1.0 are the same number, but not the same JSON value.
        let same = |value: &Value| {
            value == supported || value.as_f64().is_some_and(|number| supported.as_f64() == Some(number))
        };
        match self.value(key) {
            Some(value) if !same(value) => Err(self.unsupported(key, value, &supported.to_string())),
            _ => Ok(()),
        }
    }

    /// Refuses what was not read and is not known to change no number. `ignored` are keys that the user has
    /// looked at and declared harmless.
    pub fn close(self, ignored: &[String]) -> Result<()> {
        let read = self.read.borrow();
        let unknown = |key: &&String| {
            !read.contains(*key) && !HARMLESS.contains(&key.as_str()) && !ignored.contains(key)
        };
        let unknown: Vec<_> =
            self.map.keys().filter(unknown).filter(|key| !self.map[*key].is_null()).collect();
        let Some(first) = unknown.first() else { return Ok(()) };
        let others = match unknown.len() {
            1 => String::new(),
            _ => format!(" (and {:?})", &unknown[1..]),
        };
        bail!(
            "{}: {first} = {} is a setting that this importer does not know{others}, and only known ones are \
             expected; if it changes no number, say --ignore-setting {first}",
            self.place,
            self.map[*first],
        )
    }
}

/// Parses a JSON object.
pub(crate) fn parse_object(place: &str, bytes: &[u8]) -> Result<Map<String, Value>> {
    let value: Value =
        serde_json::from_slice(bytes).with_context(|| format!("{place} is not JSON: download it again"))?;
    ensure!(value.is_object(), "{place}: expected an object");
    match value {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The token ids under a key: a number, a list of numbers, or null.
pub(crate) fn token_ids(place: &str, map: &Map<String, Value>, key: &str) -> Result<Option<Vec<u32>>> {
    let id = |value: &Value| {
        let id = value.as_u64().and_then(|n| u32::try_from(n).ok());
        id.ok_or_else(|| anyhow!("{place}: {key} = {value}, expected a token id"))
    };
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(list)) => list.iter().map(id).collect::<Result<_>>().map(Some),
        Some(value) => Ok(Some(vec![id(value)?])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Map<String, Value> {
        parse_object("config.json", text.as_bytes()).unwrap()
    }

    #[test]
    fn an_unread_setting_is_refused_by_name_and_value() {
        let map = object(r#"{"hidden_size": 8, "use_cache": true, "flux": 1.21, "odd": null}"#);
        let settings = Settings::new("config.json (llama)".into(), &map);
        assert_eq!(settings.count("hidden_size").unwrap(), 8);
        let error = settings.close(&[]).unwrap_err().to_string();
        assert!(error.contains("flux = 1.21") && error.contains("config.json (llama)"), "{error}");
        let settings = Settings::new("config.json (llama)".into(), &map);
        settings.count("hidden_size").unwrap();
        settings.close(&["flux".to_owned()]).unwrap();
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let map = object(r#"{"hidden_size": -8, "rms_norm_eps": "small", "tie": 1, "alibi": true}"#);
        let settings = Settings::new("config.json".into(), &map);
        let message = |error: Result<()>| error.unwrap_err().to_string();
        assert!(message(settings.count("hidden_size").map(drop)).contains("hidden_size = -8"));
        assert!(message(settings.count("layers").map(drop)).contains("layers is missing"));
        assert!(message(settings.number("rms_norm_eps").map(drop)).contains("rms_norm_eps = \"small\""));
        assert!(message(settings.optional_flag("tie").map(drop)).contains("tie = 1"));
        assert!(
            message(settings.only("alibi", &Value::Bool(false))).contains("alibi = true is not supported")
        );
    }

    #[test]
    fn token_ids_come_alone_or_in_a_list() {
        let map = object(r#"{"one": 3, "two": [3, 4], "none": null, "odd": -1}"#);
        assert_eq!(token_ids("f", &map, "one").unwrap(), Some(vec![3]));
        assert_eq!(token_ids("f", &map, "two").unwrap(), Some(vec![3, 4]));
        assert_eq!(token_ids("f", &map, "none").unwrap(), None);
        assert!(token_ids("f", &map, "odd").unwrap_err().to_string().contains("odd = -1"));
    }
}
