//! Tokenizers trained here by the `tokenizers` crate, one for each path that no file at hand takes.

use std::collections::HashSet;

use ::tokenizers::decoders::byte_level::ByteLevel as Decoder;
use ::tokenizers::models::bpe::{BPE, BpeTrainer};
use ::tokenizers::pre_tokenizers::PreTokenizerWrapper;
use ::tokenizers::pre_tokenizers::byte_level::ByteLevel;
use ::tokenizers::pre_tokenizers::digits::Digits;
use ::tokenizers::pre_tokenizers::sequence::Sequence;
use ::tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use ::tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, SplitDelimiterBehavior, Tokenizer,
    TokenizerImpl,
};

use super::mixed_text::mixed_text;

type Trainable =
    TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Named tokenizers; the first is of the Llama-3 kind.
pub fn tokenizers() -> Vec<(&'static str, Tokenizer)> {
    let split =
        Split::new(SplitPattern::Regex(LLAMA3.to_owned()), SplitDelimiterBehavior::Isolated, false).unwrap();
    let llama3: PreTokenizerWrapper =
        Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into();
    let digits: PreTokenizerWrapper =
        Sequence::new(vec![Digits::new(true).into(), ByteLevel::new(true, true, true).into()]).into();
    vec![
        ("Llama-3 pieces", trained(llama3.clone(), false)),
        ("Llama-3 pieces, ignore_merges", trained(llama3, true)),
        ("GPT-2 pieces, prefix space", trained(ByteLevel::new(true, true, true).into(), false)),
        ("single digits, prefix space", trained(digits, false)),
        ("no pieces", trained(ByteLevel::new(false, true, false).into(), false)),
    ]
}

fn trained(pre_tokenizer: PreTokenizerWrapper, ignore_merges: bool) -> Tokenizer {
    let mut model = BPE::default();
    model.ignore_merges = ignore_merges;
    let mut tokenizer = Trainable::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer)).with_decoder(Some(Decoder::default()));
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    let mut trainer =
        BpeTrainer::builder().vocab_size(1500).show_progress(false).initial_alphabet(alphabet).build();
    let text = mixed_text(7, 100_000, &["pad"]);
    tokenizer.train(&mut trainer, text.split_inclusive('\n')).unwrap();
    let mut tokenizer: Tokenizer = serde_json::from_value(shuffled(&tokenizer, ignore_merges)).unwrap();
    let token = |text: &str, special| AddedToken::from(text, special);
    let special = tokenizer.add_special_tokens([
        token("<|begin_of_text|>", true),
        token("<|eot|>", true),
        token(" pad ", true).lstrip(true),
    ]);
    special.unwrap();
    let added = tokenizer.add_tokens([
        token("<|eot|>x", false),
        token("==>", false).rstrip(true).normalized(true),
        token("==", false).normalized(false),
        token("Zo", false).lstrip(true),
    ]);
    added.unwrap();
    tokenizer
}

/// The tokenizer as JSON, the later half of its merges in reverse order if asked for: then many pieces are tokens
/// that no merges lead to, which is what ignore_merges is about.
fn shuffled(tokenizer: &Trainable, shuffle: bool) -> serde_json::Value {
    let mut json = serde_json::to_value(tokenizer).unwrap();
    let merges = json["model"]["merges"].as_array_mut().unwrap();
    if shuffle {
        let half = merges.len() / 2;
        merges[half..].reverse();
    }
    json
}
