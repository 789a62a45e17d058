//! The tokenizer's section with some of its tokens.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sprat_format::tokenizer::{NONE, TokenizerTables};

use crate::import::tokenizer::Draft;

/// The section of the tokens of `keep`, and for each new id the old one, ascending.
///
/// # Errors
/// Never for tables that were read from a section.
pub(super) fn rebuilt(tables: &TokenizerTables<'_>, keep: &BTreeSet<u32>) -> Result<(Vec<u8>, Vec<u32>)> {
    let (mut draft, kept) = Draft::read(tables).trimmed(keep);
    // A small vocabulary is stored in narrow fields, where ranks of a large one have no room.
    let ranks = dense(draft.merges.iter().map(|merge| merge.rank));
    draft.merges.iter_mut().for_each(|merge| merge.rank = ranks[&merge.rank]);
    let ranks = dense(draft.scores.iter().copied().filter(|&rank| rank != NONE));
    draft.scores.iter_mut().filter(|rank| **rank != NONE).for_each(|rank| *rank = ranks[rank]);
    Ok((draft.section()?, kept))
}

/// Ranks without gaps: equal ones stay equal, and the order is the same.
fn dense(ranks: impl Iterator<Item = u32>) -> BTreeMap<u32, u32> {
    let mut ranks: BTreeMap<u32, u32> = ranks.map(|rank| (rank, 0)).collect();
    ranks.values_mut().zip(0..).for_each(|(rank, place)| *rank = place);
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_lose_their_gaps_and_keep_their_order() {
        let ranks = dense([70_000, 3, 3, 500].into_iter());
        assert_eq!([3, 500, 70_000].map(|rank| ranks[&rank]), [0, 1, 2]);
    }
}
