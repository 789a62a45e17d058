//! A tokenizer while it is being put together: growing tables, written as a section at the end.

use std::path::Path;

use anyhow::{Context, Result, bail};
use sprat_format::tokenizer::{
    AddedFlags, Merge, NONE, PreTokenizer, Settings, TokenFlags, TokenSpec, TokenizerParts, sort_added,
    sort_index, sort_merges,
};

use super::classes;

/// The largest vocabulary that is believed: four times the largest in use.
const MAX_VOCAB: u32 = 1 << 20;

/// All tables, unsorted.
pub struct Draft {
    pub settings: Settings,
    pub tokens: Vec<(Vec<u8>, TokenFlags)>,
    pub merges: Vec<Merge>,
    pub scores: Vec<u32>,
    pub added: Vec<(u32, AddedFlags)>,
    pub byte_tokens: [u32; 256],
}

impl Draft {
    pub fn new(settings: Settings) -> Self {
        let (tokens, merges, scores, added) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { settings, tokens, merges, scores, added, byte_tokens: [NONE; 256] }
    }

    /// Gives an id its bytes. Ids in between stay unused.
    pub fn set(&mut self, file: &Path, id: u32, bytes: Vec<u8>, flags: TokenFlags) -> Result<()> {
        if id >= MAX_VOCAB {
            bail!(
                "{}: token {} has id {id}; at most {MAX_VOCAB} ids are supported",
                file.display(),
                String::from_utf8_lossy(&bytes)
            );
        }
        let place = id as usize;
        if place >= self.tokens.len() {
            self.tokens.resize(place + 1, (Vec::new(), TokenFlags::UNUSED));
        }
        let slot = self.tokens.get_mut(place).context("token slot")?;
        if slot.1 != TokenFlags::UNUSED {
            bail!(
                "{}: id {id} is given to two tokens, {:?} and {:?}; expected one token an id",
                file.display(),
                String::from_utf8_lossy(&slot.0),
                String::from_utf8_lossy(&bytes)
            );
        }
        *slot = (bytes, flags);
        Ok(())
    }

    /// Sorts the tables and writes the section.
    pub fn section(mut self) -> Result<Vec<u8>> {
        let tokens = self.tokens.iter().map(|(bytes, flags)| TokenSpec { bytes, flags: *flags });
        let tokens: Vec<TokenSpec<'_>> = tokens.collect();
        let mut index: Vec<u32> = (0..tokens.len() as u32).collect();
        index.retain(|&id| tokens.get(id as usize).is_some_and(|token| !token.bytes.is_empty()));
        sort_index(&tokens, &mut index);
        sort_added(&tokens, &mut self.added);
        sort_merges(&mut self.merges);
        let strip = AddedFlags::LEFT_STRIP.with(AddedFlags::RIGHT_STRIP);
        let asks_for_classes = self.settings.pre_tokenizer != PreTokenizer::None
            || self.settings.individual_digits
            || self.added.iter().any(|(_, flags)| flags.any(strip));
        let classes = if asks_for_classes { classes::boundaries()? } else { Vec::new() };
        let parts = TokenizerParts {
            settings: self.settings,
            tokens: &tokens,
            merges: &self.merges,
            scores: &self.scores,
            index: &index,
            byte_tokens: &self.byte_tokens,
            added: &self.added,
            classes: &classes,
        };
        let mut section = Vec::new();
        parts.write(|bytes| -> Result<()> {
            section.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(section)
    }
}
