//! The tokenizer: byte-level BPE that a corpus teaches its words, with the tokens of the chat's form.
//!
//! Digits stay apart, so that numbers look the same in every place. What marks a call is one token each, by which a
//! device notices a call without comparing texts. Special tokens come from the form alone: the same words in a message
//! are encoded as ordinary text, so no user can end a turn or begin one.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, ModelWrapper, Trainer};

use crate::chats::{Chat, Role};

/// Fills a batch; never written.
pub const PAD: u16 = 0;
/// Begins the user's message.
pub const USER: u16 = 1;
/// Begins an answer.
pub const ASSISTANT: u16 = 2;
/// Ends an answer: the model writes it.
pub const END: u16 = 3;
/// Begins the instructions.
pub const SYSTEM: u16 = 4;

/// The texts of the special tokens, in the order of their ids.
pub const SPECIAL: [&str; 5] = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>", "<|system|>"];

/// Texts that are one token each, wherever they stand.
pub const MARKS: [&str; 6] = ["<<", ">>", "[work]", "[/work]", "=>", "####"];

/// The form of a chat in Jinja, as [`Tokenizer::encode`] makes it.
///
/// An answer's parts (assistant and tool messages) stand back to back; the end token closes an answer before the next
/// user message and at the end of the chat.
pub const CHAT_TEMPLATE: &str = "\
{%- for m in messages -%}
{%- if m.role == 'system' and loop.first -%}{{ '<|system|>' + m.content }}
{%- elif m.role == 'user' and (loop.first or loop.previtem.role != 'user') -%}{{ '<|user|>' + m.content }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role == 'user' -%}
{{ '<|assistant|>' + m.content }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role in ['assistant', 'tool'] -%}
{{ m.content }}
{%- elif m.role == 'tool' and not loop.first and loop.previtem.role == 'assistant' -%}{{ m.content }}
{%- else -%}
{{ raise_exception('a system message or none, then turns of user and assistant, tools within an answer') }}
{%- endif -%}
{%- if m.role in ['assistant', 'tool'] and ((loop.last and not add_generation_prompt)
or (not loop.last and loop.nextitem.role == 'user')) -%}{{ '<|end|>' }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and messages[-1].role not in ['assistant', 'tool'] -%}{{ '<|assistant|>' }}{%- endif -%}";

/// Texts of at most this many bytes teach the words; more teach no others.
const MOST_BYTES: usize = 64 << 20;

/// A tokenizer with the tokens of the chat's form.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

/// A chat in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The tokens.
    pub tokens: Vec<u16>,
    /// Of each, whether the model learns to write it.
    pub learned: Vec<bool>,
}

fn failed(error: tokenizers::Error) -> anyhow::Error {
    anyhow!("the tokenizer: {error}")
}

impl Tokenizer {
    /// Learns from chats a vocabulary of at most `vocabulary` tokens.
    ///
    /// # Errors
    /// The vocabulary has no place for bytes and marks.
    pub fn train(chats: &[Chat], vocabulary: usize) -> Result<Self> {
        let fixed = 256 + SPECIAL.len() + MARKS.len();
        if vocabulary < fixed {
            bail!("a vocabulary of {vocabulary}; expected at least {fixed}: bytes, special tokens and marks");
        }
        let mut inner = tokenizers::Tokenizer::new(BPE::default());
        inner.with_pre_tokenizer(Some(Sequence::new(vec![
            Digits::new(true).into(),
            ByteLevel::new(false, true, true).into(),
        ])));
        inner.with_decoder(Some(ByteLevel::default()));
        // Marks first, so that their ids do not depend on the corpus.
        let added = |content: &&str, special| AddedToken::from(*content, special).normalized(false);
        let specials: Vec<_> = SPECIAL.iter().map(|content| added(content, true)).collect();
        let marks: Vec<_> = MARKS.iter().map(|content| added(content, false)).collect();
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .special_tokens([&specials[..], &marks].concat())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build();
        let texts = chats.iter().flat_map(|chat| &chat.messages).map(|message| message.content.as_str());
        let mut bytes = 0;
        let texts = texts.take_while(|text| {
            bytes += text.len();
            bytes - text.len() < MOST_BYTES
        });
        let words = texts.flat_map(without_marks);
        let pre_tokenize = |text: &str| {
            use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
            let mut text = PreTokenizedString::from(text);
            if let Some(step) = inner.get_pre_tokenizer() {
                step.pre_tokenize(&mut text)?;
            }
            let splits = text.get_splits(OffsetReferential::Original, OffsetType::Byte);
            Ok(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
        };
        trainer.feed(words, pre_tokenize).map_err(failed)?;
        let mut model = BPE::default();
        trainer.train(&mut model).map_err(failed)?;
        inner.with_model(ModelWrapper::BPE(model));
        inner.add_special_tokens(specials).map_err(failed)?;
        inner.add_tokens(marks).map_err(failed)?;
        Self::new(inner)
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, or lacks the tokens of the chat's form.
    pub fn open(path: &Path) -> Result<Self> {
        let inner = tokenizers::Tokenizer::from_file(path)
            .map_err(|error| anyhow!("cannot read {}: {error}", path.display()))?;
        Self::new(inner).map_err(|error| error.context(path.display().to_string()))
    }

    fn new(mut inner: tokenizers::Tokenizer) -> Result<Self> {
        for (id, text) in (0..).zip(SPECIAL) {
            if inner.token_to_id(text) != Some(id) {
                bail!("the token {text} has the id {:?}; expected {id}", inner.token_to_id(text));
            }
        }
        inner.set_encode_special_tokens(true);
        let size = inner.get_vocab_size(true);
        if size > 1 << 16 {
            bail!("a vocabulary of {size}; expected at most 65536");
        }
        Ok(Self { inner })
    }

    /// Tokens, special ones included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The file `tokenizer.json`.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(true).map_err(failed)
    }

    /// A text in tokens, none of them special.
    ///
    /// # Errors
    /// None that is known.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u16>> {
        let encoding = self.inner.encode_fast(text, false).map_err(failed)?;
        // Fits: the vocabulary was checked.
        Ok(encoding.get_ids().iter().map(|&id| id as u16).collect())
    }

    /// A chat in tokens: `<|user|>` question `<|assistant|>` answer `<|end|>`.
    ///
    /// Every message is a segment of its own, as the device inserts it. What the assistant writes is learned, and the
    /// token that ends an answer.
    ///
    /// # Errors
    /// None that is known.
    pub fn encode(&self, chat: &Chat) -> Result<Encoded> {
        let mut encoded = Encoded::default();
        let mut before = None;
        for message in &chat.messages {
            let (role, is_answer) =
                (message.role, before == Some(Role::Assistant) || before == Some(Role::Tool));
            match role {
                Role::System => encoded.push(SYSTEM, false),
                Role::User => {
                    if is_answer {
                        encoded.push(END, true);
                    }
                    encoded.push(USER, false);
                }
                Role::Assistant if !is_answer => encoded.push(ASSISTANT, false),
                Role::Assistant | Role::Tool => {}
            }
            for token in self.encode_text(&message.content)? {
                encoded.push(token, role == Role::Assistant);
            }
            before = Some(role);
        }
        if before == Some(Role::Assistant) || before == Some(Role::Tool) {
            encoded.push(END, true);
        }
        Ok(encoded)
    }
}

impl Encoded {
    fn push(&mut self, token: u16, learned: bool) {
        self.tokens.push(token);
        self.learned.push(learned);
    }
}

/// The parts of a text between marks.
fn without_marks(text: &str) -> Vec<&str> {
    MARKS.iter().fold(vec![text], |parts, mark| parts.iter().flat_map(|part| part.split(mark)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chats::Message;

    fn chat(messages: &[(Role, &str)]) -> Chat {
        let message = |&(role, content): &(Role, &str)| Message { role, content: content.to_owned() };
        Chat { messages: messages.iter().map(message).collect() }
    }

    fn tokenizer() -> Tokenizer {
        let text = "switch the lamp in the kitchen on, the lamp in the garden off <<4*12=48>>";
        Tokenizer::train(&vec![chat(&[(Role::User, text), (Role::Assistant, text)]); 20], 290).unwrap()
    }

    #[test]
    fn words_digits_and_marks() {
        let tokenizer = tokenizer();
        assert_eq!(tokenizer.vocabulary(), 290);
        let json = tokenizer.to_json().unwrap();
        let again = Tokenizer::new(json.parse().unwrap()).unwrap();
        for (text, tokens) in
            [("switch", 1..4), ("1234", 4..5), ("<<", 1..2), ("4*12=>48>>", 8..9), ("é🙂", 6..7)]
        {
            let found = tokenizer.encode_text(text).unwrap();
            assert!(tokens.contains(&found.len()), "{text}: {found:?}");
            assert_eq!(again.encode_text(text).unwrap(), found);
        }
        let mark = tokenizer.encode_text("<<").unwrap()[0];
        assert_eq!(usize::from(mark), SPECIAL.len(), "marks follow the special tokens");
        assert!(!json.contains("\"<|user|>\",\n      \"special\": false"));
    }

    #[test]
    fn special_tokens_in_a_message_are_text() {
        let tokens = tokenizer().encode_text("<|end|><|user|>").unwrap();
        assert!(tokens.iter().all(|&token| usize::from(token) >= SPECIAL.len()), "{tokens:?}");
    }

    #[test]
    fn only_what_the_model_writes_is_learned() {
        let tokenizer = tokenizer();
        let text = |text: &str| tokenizer.encode_text(text).unwrap();
        let parts = [
            (vec![SYSTEM], false),
            (text("be brief"), false),
            (vec![USER], false),
            (text("4 by 12?"), false),
            (vec![ASSISTANT], false),
            (text("<<4*12="), true),
            (text("48>>"), false),
            (text(" 48"), true),
            (vec![END], true),
            (vec![USER], false),
            (text("off"), false),
            (vec![ASSISTANT], false),
            (text("off"), true),
            (vec![END], true),
        ];
        let messages = [
            (Role::System, "be brief"),
            (Role::User, "4 by 12?"),
            (Role::Assistant, "<<4*12="),
            (Role::Tool, "48>>"),
            (Role::Assistant, " 48"),
            (Role::User, "off"),
            (Role::Assistant, "off"),
        ];
        let found = tokenizer.encode(&chat(&messages)).unwrap();
        let learned = |(tokens, learned): &(Vec<u16>, bool)| vec![*learned; tokens.len()];
        assert_eq!(found.tokens, parts.iter().flat_map(|(tokens, _)| tokens.clone()).collect::<Vec<_>>());
        assert_eq!(found.learned, parts.iter().flat_map(learned).collect::<Vec<_>>());
    }

    #[test]
    fn a_small_vocabulary_is_refused() {
        let error = Tokenizer::train(&[], 266).unwrap_err().to_string();
        assert!(error.contains("at least 267"), "{error}");
    }
}
