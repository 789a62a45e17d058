//! A tokenizer while it is being put together: growing tables, written as a section at the end.
//!
//! Importers fill a draft; what trims a vocabulary reads one back from a section ([`Draft::read`]), takes tokens out
//! ([`Draft::trimmed`]) and writes it again. A draft holds everything that the section holds, by id and unsorted:
//!
//! - A token's place in `tokens` is its id. Ids that no token has are `UNUSED` and have no bytes.
//! - BPE by merges holds `merges`: two ids, what they become, and a rank, lower ranks first. Ranks need not be dense.
//! - SentencePiece BPE holds one rank of a score a token in `scores`, [`NONE`] for tokens that nothing merges into;
//!   there the pairs follow from the tokens' bytes.
//! - Unigram holds one score a token in `weights`; that of the unknown token is what an unknown character costs.
//! - `added` tokens are found in text by their pattern, which is not always the token's bytes.
//! - `byte_tokens` leads from a byte to its token; several bytes or none may lead to one token.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use sprat_format::tokenizer::{
    AddedFlags, Classes, MAX_STAGES, Merge, NONE, NormalizationParts, Settings, StageParts, TokenFlags,
    TokenSpec, TokenizerParts, TokenizerTables, sort_added, sort_index, sort_merges,
};

use super::normalization::Form;
use super::split::{Compiled, Split, compile};

/// The largest vocabulary that is believed: four times the largest in use.
const MAX_VOCAB: u32 = 1 << 20;

/// A token that is found in text before anything else is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedEntry {
    /// Its id.
    pub id: u32,
    /// How it is matched.
    pub flags: AddedFlags,
    /// The text that it is found by.
    pub pattern: Vec<u8>,
}

/// All tables, unsorted.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Everything that is not a table.
    pub settings: Settings,
    /// Bytes and flags by id.
    pub tokens: Vec<(Vec<u8>, TokenFlags)>,
    /// BPE by merges: the merges.
    pub merges: Vec<Merge>,
    /// SentencePiece BPE: ranks of scores by id, 0 the best.
    pub scores: Vec<u32>,
    /// Unigram: scores by id.
    pub weights: Vec<f64>,
    /// The added tokens.
    pub added: Vec<AddedEntry>,
    /// The token of each byte.
    pub byte_tokens: [u32; 256],
    /// The pre-tokenizer and what it and added tokens ask of characters.
    pub pieces: Compiled,
    /// The Unicode normalization form.
    pub form: Form,
}

impl Draft {
    /// A tokenizer without tokens.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            tokens: Vec::new(),
            merges: Vec::new(),
            scores: Vec::new(),
            weights: Vec::new(),
            added: Vec::new(),
            byte_tokens: [NONE; 256],
            pieces: Compiled::default(),
            form: Form::default(),
        }
    }

    /// Gives an id its bytes. Ids in between stay unused.
    ///
    /// # Errors
    /// An id beyond belief, or one that has a token already.
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

    /// Compiles the pre-tokenizer. The added tokens must be there.
    ///
    /// # Errors
    /// An expression that does not compile, or too many of them.
    pub fn cut_by(&mut self, splits: &[Split]) -> Result<()> {
        if splits.len() > MAX_STAGES {
            bail!("the pre_tokenizer has {} stages; at most {MAX_STAGES} are supported", splits.len());
        }
        let asks = AddedFlags::LEFT_STRIP.with(AddedFlags::RIGHT_STRIP).with(AddedFlags::SINGLE_WORD);
        self.pieces = compile(splits, self.added.iter().any(|added| added.flags.any(asks)))?;
        Ok(())
    }

    /// Takes a section apart.
    pub fn read(tables: &TokenizerTables<'_>) -> Self {
        let ids = 0..tables.vocab_size();
        let token = |id| (tables.token(id).unwrap_or_default().to_vec(), tables.flags(id));
        let added = (0..tables.added_count()).filter_map(|place| tables.added(place));
        let entry = |added: sprat_format::tokenizer::Added<'_>| AddedEntry {
            id: added.id,
            flags: added.flags,
            pattern: added.bytes.to_vec(),
        };
        let ranks = ids.clone().map(|id| tables.score_rank(id).unwrap_or(NONE));
        let mut byte_tokens = [NONE; 256];
        for (byte, slot) in (0..=255).zip(&mut byte_tokens) {
            *slot = tables.byte_token(byte).unwrap_or(NONE);
        }
        Self {
            settings: tables.settings(),
            tokens: ids.clone().map(token).collect(),
            merges: tables.merges().collect(),
            scores: if tables.has_score_ranks() { ranks.collect() } else { Vec::new() },
            weights: ids.map_while(|id| tables.score(id)).collect(),
            added: added.map(entry).collect(),
            byte_tokens,
            pieces: Compiled::read(tables),
            form: Form::read(tables.normalization()),
        }
    }

    /// The same tokenizer with fewer tokens, renumbered in order, and for each new id the old one.
    ///
    /// The tokens of bytes, special and added tokens and the unknown token stay in any case. A token that only
    /// merges of dropped tokens lead to is dropped with them; whether the merges of the kept ones still reach all of
    /// them is for the caller to choose: a token is reached if both parts of one of its merges are kept.
    pub fn trimmed(&self, keep: &BTreeSet<u32>) -> (Self, Vec<u32>) {
        let forced =
            TokenFlags::SPECIAL.with(TokenFlags::ADDED).with(TokenFlags::BYTE).with(TokenFlags::CONTROL);
        let stays = |id: &u32| {
            let flags = self.tokens.get(*id as usize).map_or(TokenFlags::UNUSED, |(_, flags)| *flags);
            keep.contains(id)
                || flags.any(forced)
                || self.byte_tokens.contains(id)
                || self.settings.unknown == Some(*id)
        };
        let kept: Vec<u32> = (0..self.tokens.len() as u32).filter(stays).collect();
        let fresh: HashMap<u32, u32> = kept.iter().copied().zip(0..).collect();
        let new = |id: u32| fresh.get(&id).copied();
        let by_id = |place: &u32| *place as usize;
        let merge = |merge: &Merge| {
            let (left, right, id) = (new(merge.left)?, new(merge.right)?, new(merge.id)?);
            Some(Merge { left, right, rank: merge.rank, id })
        };
        let added = |entry: &AddedEntry| Some(AddedEntry { id: new(entry.id)?, ..entry.clone() });
        let trimmed = Self {
            settings: Settings { unknown: self.settings.unknown.and_then(new), ..self.settings },
            tokens: kept.iter().filter_map(|id| self.tokens.get(by_id(id)).cloned()).collect(),
            merges: self.merges.iter().filter_map(merge).collect(),
            scores: kept.iter().filter_map(|id| self.scores.get(by_id(id)).copied()).collect(),
            weights: kept.iter().filter_map(|id| self.weights.get(by_id(id)).copied()).collect(),
            added: self.added.iter().filter_map(added).collect(),
            byte_tokens: self.byte_tokens.map(|id| new(id).unwrap_or(NONE)),
            pieces: self.pieces.clone(),
            form: self.form.clone(),
        };
        (trimmed, kept)
    }

    /// Sorts the tables and writes the section.
    ///
    /// # Errors
    /// None in practice: the sink is memory.
    pub fn section(&self) -> Result<Vec<u8>> {
        let tokens = self.tokens.iter().map(|(bytes, flags)| TokenSpec { bytes, flags: *flags });
        let tokens: Vec<TokenSpec<'_>> = tokens.collect();
        let mut index: Vec<u32> = (0..tokens.len() as u32).collect();
        index.retain(|&id| tokens.get(id as usize).is_some_and(|token| !token.bytes.is_empty()));
        sort_index(&tokens, &mut index);
        let mut added: Vec<(u32, AddedFlags, &[u8])> =
            self.added.iter().map(|added| (added.id, added.flags, added.pattern.as_slice())).collect();
        sort_added(&mut added);
        let mut merges = self.merges.clone();
        sort_merges(&mut merges);
        let stages = self.pieces.stages.iter();
        let stages: Vec<StageParts<'_>> =
            stages.map(|(flags, transitions)| StageParts { flags: *flags, transitions }).collect();
        let classes = &self.pieces.classes;
        let parts = TokenizerParts {
            settings: self.settings,
            tokens: &tokens,
            merges: &merges,
            scores: &self.scores,
            weights: &self.weights,
            index: &index,
            byte_tokens: &self.byte_tokens,
            added: &added,
            stages: &stages,
            classes: Classes {
                ascii: &classes.ascii,
                boundaries: &classes.boundaries,
                properties: &classes.properties,
            },
            normalization: NormalizationParts {
                decompositions: &self.form.decompositions,
                characters: &self.form.characters,
                compositions: &self.form.compositions,
                classes: &self.form.classes,
            },
        };
        let mut section = Vec::new();
        parts.write(|bytes| -> Result<()> {
            section.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(section)
    }
}
