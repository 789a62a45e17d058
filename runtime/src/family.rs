//! Which parts of a transformer this build computes: those of plain models, or every one.
//!
//! A microcontroller's flash is small and its model is one, so the parts that most models lack are left out unless
//! the feature `every-family` asks for them. They are left out by this constant alone: what it guards is compiled for
//! nobody, checked for everybody, and no other place asks for the feature.

use sprat_format::Config;
use sprat_format::tokenizer::TokenizerTables;

/// Whether the parts that plain models lack are there.
pub(crate) const EVERY_FAMILY: bool = cfg!(any(test, feature = "every-family"));

/// A part of the tokenizer that this build leaves out.
pub(crate) fn missing_tokenizer_part(tables: &TokenizerTables<'_>) -> Option<&'static str> {
    tables.uncommon_part().filter(|_| !EVERY_FAMILY)
}

/// A part of the model that this build leaves out.
pub(crate) fn missing_part(config: &Config) -> Option<&'static str> {
    config.uncommon_part().filter(|_| !EVERY_FAMILY)
}
