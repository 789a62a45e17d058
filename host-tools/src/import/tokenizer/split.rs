//! The expressions of pre-tokenizers, compiled into the automata that the section carries.
//!
//! Any regular expression that looks at most one character ahead compiles, in the meaning that backtracking engines
//! give it: the first alternative that matches wins. One that could make an encoding take longer than linear time
//! is refused (`linear`), as is what these automata cannot say: references backwards, anchors, look-behind.

mod automaton;
mod linear;
mod program;
mod syntax;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use sprat_format::tokenizer::{StageFlags, TokenizerTables};

use super::classes::Partition;

/// The split that GPT-2 introduced, which byte-level pre-tokenizers do by themselves.
pub const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A stage as the tokenizer's file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// What a piece is.
    pub expression: String,
    /// What the stage reads and leaves.
    pub flags: StageFlags,
    /// What does not match is dropped. Only expressions that match everywhere can be compiled so.
    pub only_matches: bool,
}

impl Split {
    /// A stage whose matches and gaps are pieces.
    pub fn isolated(expression: impl Into<String>) -> Self {
        Self { expression: expression.into(), flags: StageFlags::default(), only_matches: false }
    }
}

/// Stages over one partition of all characters.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// Classes of characters.
    pub classes: Partition,
    /// Flags and transitions of each stage.
    pub stages: Vec<(StageFlags, Vec<u16>)>,
}

impl Compiled {
    /// What a section has.
    pub fn read(tables: &TokenizerTables<'_>) -> Self {
        let (ascii, boundaries, properties) = tables.classes();
        let classes = Partition::of_tables(ascii.to_vec(), boundaries.collect(), properties.collect());
        let stages = tables.stages().iter().map(|stage| (stage.flags, stage.transitions().collect()));
        Self { classes, stages: stages.collect() }
    }
}

/// Compiles all stages of a tokenizer. `with_properties`: added tokens ask for white space and words.
///
/// # Errors
/// An expression that does not compile, with its text and the reason.
pub fn compile(splits: &[Split], with_properties: bool) -> Result<Compiled> {
    let (mut parsed, mut sets) = (Vec::new(), Vec::new());
    for split in splits {
        let syntax = syntax::parse(&split.expression).with_context(|| refused(split))?;
        sets.extend(syntax.sets().with_context(|| refused(split))?);
        parsed.push(syntax);
    }
    let classes = Partition::new(&sets, with_properties)?;
    let mut stages = Vec::new();
    for (split, syntax) in splits.iter().zip(&parsed) {
        let compile = || {
            let program = program::Program::new(syntax, &classes)?;
            let automaton = automaton::Automaton::new(&program, classes.len())?;
            linear::check(&automaton)?;
            if split.only_matches {
                linear::check_matches_everywhere(&automaton)?;
            }
            Ok::<_, anyhow::Error>(automaton.transitions())
        };
        stages.push((split.flags, compile().with_context(|| refused(split))?));
    }
    Ok(Compiled { classes, stages })
}

fn refused(split: &Split) -> String {
    format!(
        "pre_tokenizer Split by {:?} is not supported; expected a regular expression that looks at most one character \
         ahead and takes linear time",
        split.expression
    )
}
