//! A text that the model has read before it reaches the device.
//!
//! What a model keeps of a text is the same bits wherever it is computed, so the laptop lets the packed model read the
//! text that every chat begins with and stores the keys and values in the file: a device copies them and starts at no
//! cost of reading.

use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use sprat::chat::{Chat, Transcript};
use sprat::tokenizer::scratch_words;
use sprat::{Image, Kernels, Solo, Special};
use sprat_format::chat::Role;
use sprat_format::kind;

use crate::model::{Model, arena_for, engine, host_limits};
use crate::output::Unfinished;
use crate::pack;

/// What a chat begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixText {
    /// A system message, in the model's chat template.
    System(String),
    /// A text as it stands; what looks like a special token is one.
    Raw(String),
}

impl PrefixText {
    /// Whose message is the last, where it is messages.
    const fn after(&self) -> Option<Role> {
        match self {
            Self::System(_) => Some(Role::System),
            Self::Raw(_) => None,
        }
    }

    /// The tokens, as a device would make them of it at the start of its context.
    fn tokens(&self, image: &Image<'_>) -> Result<Vec<u32>> {
        let tokenizer = image.tokenizer().context("the model has no tokenizer")?;
        let cannot = |error| anyhow!("the text cannot be tokenized: {error}");
        match self {
            Self::Raw(text) => {
                let mut ids = vec![0; text.len() + 2];
                let mut scratch = vec![0; scratch_words(text.len())];
                let count = tokenizer.encode(text, Special::Parse, &mut scratch, &mut ids).map_err(cannot)?;
                let bos = image.meta().bos.filter(|_| image.meta().add_bos);
                Ok(bos.into_iter().chain(ids[..count].iter().copied()).collect())
            }
            Self::System(text) => {
                let mut chat = Chat::of(image).map_err(|error| anyhow!("{error}"))?;
                let template_bytes = image.file().chat_section().map_or(0, <[u8]>::len);
                let mut buffer = vec![0; text.len() + template_bytes];
                let mut transcript = Transcript::new(&mut buffer);
                let pieces = chat.say(Role::System, text).map_err(|error| anyhow!("{error}"));
                let pieces = pieces.context(
                    "the model's chat template has no system message to begin with: give the whole text with \
                     --prefix-text",
                )?;
                for piece in pieces {
                    transcript.push(piece).map_err(|error| anyhow!("{error}"))?;
                }
                let mut ids = vec![0; transcript.text().len() + 2];
                let mut scratch = vec![0; scratch_words(transcript.text().len())];
                let (text, contents) = (transcript.text(), transcript.contents());
                let count =
                    tokenizer.encode_pieces(text, contents, true, &mut scratch, &mut ids).map_err(cannot)?;
                ids.truncate(count);
                Ok(ids)
            }
        }
    }
}

/// Lets a packed model read a text, and returns the section of what it keeps.
///
/// # Errors
/// No tokenizer or template for it; a text without a token, or with more than leave room in the context.
pub fn read(model: &Model, text: &PrefixText) -> Result<Vec<u8>> {
    let image = model.image()?;
    let tokens = text.tokens(&image)?;
    let (found, context) = (tokens.len(), image.limits().context as usize);
    ensure!(found > 0, "the text that the model is to read before has no token: give some text");
    ensure!(
        found < context,
        "the text that the model is to read before has {found} tokens, and the context {context}: shorten it, or \
         give a larger --context if the model has the positions"
    );
    let limits = host_limits(image.limits());
    let mut arena = arena_for(&image, &limits, &Solo)?;
    let mut engine = engine(&image, limits, &mut arena, Kernels::detect(), &Solo)?;
    engine.feed(&tokens).map_err(|error| anyhow!("{error}"))?;
    let mut section = vec![0; engine.prefix_bytes().map_err(|error| anyhow!("{error}"))?];
    engine.save_prefix(&tokens, text.after(), &mut section).map_err(|error| anyhow!("{error}"))?;
    Ok(section)
}

/// Writes a packed model together with what it keeps of a text, and returns the file's length, which `check` sees
/// before the file appears.
///
/// # Errors
/// As [`read`]; a failed write, and whatever `check` refuses.
pub fn to_file(
    model: &Model,
    text: &PrefixText,
    path: &Path,
    check: impl FnOnce(u64) -> Result<()>,
) -> Result<u64> {
    let section = read(model, text)?;
    let file = Unfinished::beside(path)?;
    let out = BufWriter::new(file.as_file());
    let length = pack::with_section(model.bytes(), kind::PREFIX, &section, out)?;
    check(length)?;
    file.finish()?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressBar;
    use serde_json::json;
    use sprat::Engine;

    use super::*;
    use crate::chat::{ChatOptions, ChatSource};
    use crate::fixture::{HuggingFace, VOCAB_SIZE, write_tokenizer_bin};
    use crate::import::{Checkpoint, Dtype, OpenOptions};
    use crate::pack::PackOptions;

    fn packed(directory: &Path, template: &str, context: u32) -> Model {
        let mut model = HuggingFace::llama(3);
        model.set("max_position_embeddings", json!(256));
        let path = model.write(directory, "m", Dtype::F32).unwrap();
        let tokenizer = Some(write_tokenizer_bin(directory, VOCAB_SIZE).unwrap());
        let checkpoint =
            Checkpoint::open(&path, &OpenOptions { tokenizer, ..OpenOptions::default() }).unwrap();
        let chat = ChatOptions { source: ChatSource::Given(template.into()), ..ChatOptions::default() };
        let options = PackOptions { context: Some(context), chat, ..PackOptions::default() };
        let bytes = pack::to_memory(&checkpoint, &options, &ProgressBar::hidden()).unwrap();
        Model::from_memory(bytes, "m")
    }

    fn with_engine<T>(model: &Model, act: impl FnOnce(&mut Engine<'_, '_, '_>) -> T) -> T {
        let image = model.image().unwrap();
        let mut arena = arena_for(&image, image.limits(), &Solo).unwrap();
        act(&mut engine(&image, *image.limits(), &mut arena, Kernels::detect(), &Solo).unwrap())
    }

    #[test]
    fn a_text_that_was_read_before_is_the_text_that_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let model = packed(directory.path(), "chatml", 200);
        let path = directory.path().join("with.sprat");
        let texts = [PrefixText::Raw("some words ".into()), PrefixText::System("be kind".into())];
        for text in texts {
            let length = to_file(&model, &text, &path, |_| Ok(())).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
            let with = Model::open_packed(&path).unwrap();
            let next = |engine: &mut Engine<'_, '_, '_>| {
                let first = engine.logits().unwrap().to_vec();
                engine.feed(&[3, 4]).unwrap();
                (engine.position(), first, engine.logits().unwrap().to_vec())
            };
            let loaded = with_engine(&with, |engine| {
                engine.load_prefix().unwrap();
                next(engine)
            });
            let fed = with_engine(&model, |engine| {
                match &text {
                    PrefixText::Raw(text) => engine.prompt(text, Special::Parse).unwrap(),
                    PrefixText::System(text) => {
                        let mut buffer = [0; 512];
                        let mut transcript = Transcript::new(&mut buffer);
                        let mut chat = Chat::of(engine.image()).unwrap();
                        chat.say(Role::System, text)
                            .unwrap()
                            .for_each(|piece| transcript.push(piece).unwrap());
                        engine.prompt_pieces(&transcript).unwrap()
                    }
                };
                next(engine)
            });
            assert_eq!(loaded, fed, "{text:?}");
        }
    }

    #[test]
    fn a_text_that_cannot_be_read_before_says_why_and_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("with.sprat");
        let message = |template: &str, text: PrefixText| {
            let models = tempfile::tempdir().unwrap();
            let refused = to_file(&packed(models.path(), template, 8), &text, &path, |_| Ok(()));
            assert!(!path.exists());
            format!("{:#}", refused.unwrap_err())
        };
        let long = PrefixText::Raw("words without end ".repeat(9));
        assert!(message("chatml", long).contains("and the context 8: shorten it"));
        let system = message("sprat", PrefixText::System("be kind".into()));
        assert!(system.contains("--prefix-text"), "{system}");
        let model = packed(directory.path(), "chatml", 32);
        let refused = to_file(&model, &PrefixText::Raw("words".into()), &path, |length| {
            assert!(length > model.bytes().len() as u64);
            Err(anyhow!("too large"))
        });
        assert!(refused.is_err() && !path.exists());
    }
}
