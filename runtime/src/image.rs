//! A packed model, checked once and then used in place.
//!
//! The image is where the format meets the runtime: besides the format's own checks it makes sure that the
//! bytes can be read in place (alignment) and that tokenizer and model speak of the same vocabulary.

use sprat_format::tokenizer::{TokenizerError, TokenizerTables};
use sprat_format::{Config, FormatError, Limits, Meta, PackedFile, messages};

use crate::family::{missing_part, missing_tokenizer_part};
use crate::plan::{ARENA_ALIGNMENT, Plan, PlanError};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// A model in flash.
///
/// Holding one guarantees: the file is whole, its tensors are there with the right shapes and can be read in
/// place, its tokenizer can be used and has no token beyond the model's vocabulary, and a plan for the packed
/// limits exists.
#[derive(Clone, Debug)]
pub struct Image<'m> {
    file: PackedFile<'m>,
    tokenizer: Option<Tokenizer<'m>>,
}

/// Why a byte string is not a model that this runtime can run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ImageError {
    /// The bytes do not begin at a multiple of 16, so that weights cannot be read in place.
    Misaligned {
        /// Bytes beyond the last multiple of the alignment.
        by: usize,
    },
    /// The file itself.
    Format(FormatError),
    /// The tokenizer's section.
    Tokenizer(TokenizerError),
    /// The tokenizer has more tokens than the model.
    Vocabulary {
        /// Tokens of the tokenizer.
        tokenizer: u32,
        /// Tokens of the model.
        model: u32,
    },
    /// The model has a part that this build leaves out.
    Part {
        /// The part.
        part: &'static str,
    },
    /// The packed limits.
    Plan(PlanError),
}

messages!(ImageError {
    Self::Misaligned { by } => (
        "the model begins {} bytes behind a multiple of {}: align it",
        by,
        ARENA_ALIGNMENT,
    ),
    Self::Format(error) => ("{}", error),
    Self::Tokenizer(error) => ("section TOKN: {}", error),
    Self::Vocabulary { tokenizer, model } => (
        "the tokenizer has {} tokens, the model only {}",
        tokenizer,
        model,
    ),
    Self::Part { part } => (
        "the model has {}, which this build leaves out: build with the feature every-family",
        part,
    ),
    Self::Plan(error) => ("packed limits: {}", error),
});

impl core::error::Error for ImageError {}

impl<'m> Image<'m> {
    /// Checks `bytes`, which may be longer than the packed file.
    ///
    /// # Errors
    /// The first thing found wrong.
    // A stack frame of its own, which ends before the model runs.
    #[inline(never)]
    pub fn new(bytes: &'m [u8]) -> Result<Self, ImageError> {
        Self::check(bytes, PackedFile::parse)
    }

    /// The same with the caller's way of computing a section's CRC-32, for who reads files larger than memory.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "std")]
    pub fn with_checksum(bytes: &'m [u8], checksum_of: impl Fn(&'m [u8]) -> u32) -> Result<Self, ImageError> {
        Self::check(bytes, |bytes| PackedFile::parse_with(bytes, checksum_of))
    }

    pub(crate) fn check(
        bytes: &'m [u8],
        parse: impl FnOnce(&'m [u8]) -> Result<PackedFile<'m>, FormatError>,
    ) -> Result<Self, ImageError> {
        let by = bytes.as_ptr().addr() % ARENA_ALIGNMENT;
        if by != 0 {
            return Err(ImageError::Misaligned { by });
        }
        let file = parse(bytes).map_err(ImageError::Format)?;
        if let Some(part) = missing_part(&file.meta().config) {
            return Err(ImageError::Part { part });
        }
        let section = file.tokenizer_section();
        let tokenizer = match section.is_empty() {
            true => None,
            false => {
                let tables = TokenizerTables::parse(section).map_err(ImageError::Tokenizer)?;
                if let Some(part) = missing_tokenizer_part(&tables) {
                    return Err(ImageError::Part { part });
                }
                Some(Tokenizer::new(tables))
            }
        };
        let model = file.meta().config.vocab_size;
        if let Some(tokenizer) = tokenizer.as_ref().map(Tokenizer::vocab_size).filter(|&size| size > model) {
            return Err(ImageError::Vocabulary { tokenizer, model });
        }
        Plan::new(&file.meta().config, &file.meta().limits).map_err(ImageError::Plan)?;
        Ok(Self { file, tokenizer })
    }

    /// The model's blueprint.
    pub fn config(&self) -> &Config {
        &self.file.meta().config
    }

    /// What the model was packed for.
    pub fn limits(&self) -> &Limits {
        &self.file.meta().limits
    }

    /// All that the file says of its model.
    pub fn meta(&self) -> &Meta<'m> {
        self.file.meta()
    }

    /// The packed file.
    pub fn file(&self) -> &PackedFile<'m> {
        &self.file
    }

    /// The tokenizer; `None` for a model that was packed without one and takes token ids only.
    pub fn tokenizer(&self) -> Option<&Tokenizer<'m>> {
        self.tokenizer.as_ref()
    }

    /// Whether a token ends a generation.
    pub fn is_end(&self, token: u32) -> bool {
        self.meta().end_tokens.contains(&token)
    }

    pub(crate) fn weights(&self) -> Option<Weights<'_, 'm>> {
        Weights::new(&self.file)
    }
}
