//! The merge loop: a row of symbols in which the best pair merges until no pair may.
//!
//! All BPE tokenizers share it; they differ in how a pair is ranked. The symbols are a linked list in the caller's
//! scratch, and a tournament over the ranks of all pairs has the best pair at its root: a merge changes
//! three ranks, each of which replays log2(n) matches. n symbols cost at most n merges, 4 n lookups of pairs and
//! O(n log n) matches, whatever the text and the tables.

use sprat_format::tokenizer::NONE;

/// In place of the next position: the symbol was merged into another.
const MERGED: u32 = u32::MAX;

/// A row of symbols. All slices have one entry a symbol; positions never move, merged symbols drop out.
pub(super) struct Symbols<'s> {
    /// The token at a position. Of a merged symbol, if it is the last that went into one, where that one begins:
    /// so the symbol before any position is found without a list backwards.
    id: &'s mut [u32],
    /// Position of the symbol after, the number of symbols behind the last one, or `MERGED`.
    next: &'s mut [u32],
    /// Rank of the pair that begins at a position, or `NONE` if that pair does not merge.
    rank: &'s mut [u32],
    /// Inner node k of the tournament, 1 the root: the position with the lower rank of its two children, the
    /// lower position of equals. Child c >= n is the leaf of position c - n.
    winner: &'s mut [u32],
    len: usize,
}

impl<'s> Symbols<'s> {
    /// An empty row with room for `capacity` symbols, `None` if the scratch is too small.
    pub(super) fn new(scratch: &'s mut [u32], capacity: usize) -> Option<Self> {
        let (id, rest) = scratch.split_at_mut_checked(capacity)?;
        let (next, rest) = rest.split_at_mut_checked(capacity)?;
        let (rank, rest) = rest.split_at_mut_checked(capacity)?;
        let (winner, _) = rest.split_at_mut_checked(capacity)?;
        Some(Self { id, next, rank, winner, len: 0 })
    }

    /// Appends a symbol; text without a token leaves none.
    pub(super) fn push(&mut self, id: Option<u32>) {
        if let Some(id) = id
            && let Some(place) = self.id.get_mut(self.len)
        {
            *place = id;
            self.len += 1;
        }
    }

    /// Whether the last symbol is this one.
    pub(super) fn ends_with(&self, id: Option<u32>) -> bool {
        id.is_some() && self.len.checked_sub(1).map(|last| self.id[last]) == id
    }

    /// Merges until nothing merges. `lookup` gives the rank of a pair and what it becomes.
    pub(super) fn merge(&mut self, lookup: &dyn Fn(u32, u32) -> Option<(u32, u32)>) {
        for at in 0..self.len {
            self.next[at] = at as u32 + 1;
        }
        for at in 0..self.len {
            self.rank[at] = self.rank_at(at, lookup);
        }
        for node in (1..self.len).rev() {
            self.play(node);
        }
        while self.len > 1 {
            let at = self.winner[1] as usize;
            let right = self.next[at] as usize;
            if self.rank[at] == NONE || right >= self.len {
                break;
            }
            let Some((_, id)) = lookup(self.id[at], self.id[right]) else { break };
            let after = self.next[right] as usize;
            self.next[right] = MERGED;
            self.id[after - 1] = at as u32;
            (self.id[at], self.next[at]) = (id, after as u32);
            self.set_rank(right, NONE);
            self.set_rank(at, self.rank_at(at, lookup));
            if let Some(last) = at.checked_sub(1) {
                let previous = if self.next[last] == MERGED { self.id[last] as usize } else { last };
                self.set_rank(previous, self.rank_at(previous, lookup));
            }
        }
    }

    /// Visits the symbols that are left, in order.
    pub(super) fn survivors(&self, mut visit: impl FnMut(u32)) {
        let mut at = 0;
        while at < self.len {
            visit(self.id[at]);
            at = self.next[at] as usize;
        }
    }

    fn rank_at(&self, at: usize, lookup: &dyn Fn(u32, u32) -> Option<(u32, u32)>) -> u32 {
        let right = self.next[at] as usize;
        let ids = (right < self.len).then(|| (self.id[at], self.id[right]));
        ids.and_then(|(left, right)| lookup(left, right)).map_or(NONE, |(rank, _)| rank)
    }

    fn set_rank(&mut self, at: usize, rank: u32) {
        self.rank[at] = rank;
        let mut node = (self.len + at) / 2;
        while node > 0 {
            self.play(node);
            node /= 2;
        }
    }

    /// Decides one inner node from its children.
    fn play(&mut self, node: usize) {
        let winner_of =
            |child| if child >= self.len { (child - self.len) as u32 } else { self.winner[child] };
        let (a, b) = (winner_of(2 * node), winner_of(2 * node + 1));
        let key = |at: u32| (self.rank[at as usize], at);
        self.winner[node] = if key(b) < key(a) { b } else { a };
    }
}
