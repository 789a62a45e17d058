//! Several cores at one piece of work.
//!
//! Work is shared by rows of a matrix or by heads, and every output is computed by one member alone in the one
//! order that it always has, so the results are the same for any number of members. The runtime knows only
//! this seam: threads are the host's affair, a second core is the board's.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Range;

/// Cores that work together.
///
/// # Safety
/// [`run`](Self::run) calls the job once for each number below [`size`](Self::size), no number twice, and
/// returns only when all calls have returned. `size` never changes.
pub unsafe trait Team: Sync {
    /// Members, at least one.
    fn size(&self) -> usize;

    /// Calls `job(0)`, `job(1)`, ... up to `job(size - 1)`, at the same time where it can.
    fn run(&self, job: &(dyn Fn(usize) + Sync));
}

/// One core alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

// SAFETY: one member, called once.
unsafe impl Team for Solo {
    fn size(&self) -> usize {
        1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}

/// The outputs of some rows of a matrix, for T tokens: token by token, all rows of a token together. The pieces
/// of several members interleave in memory, which no slice can say.
#[derive(Debug)]
pub(crate) struct Tile<'o> {
    /// The first row's output for the first token.
    start: *mut f32,
    tokens: usize,
    /// Outputs of a token, over all rows of the matrix.
    stride: usize,
    rows: usize,
    _out: PhantomData<&'o mut [f32]>,
}

impl<'o> Tile<'o> {
    /// All outputs of a matrix with `rows` rows: `out` is T x rows.
    pub(crate) fn new(out: &'o mut [f32], rows: usize) -> Self {
        let tokens = out.len().checked_div(rows).unwrap_or(0);
        Self { start: out.as_mut_ptr(), tokens, stride: rows, rows, _out: PhantomData }
    }

    /// Tokens, T.
    #[cfg(test)]
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// The outputs of one token, a number for each row of the tile; empty for a token that is not there.
    #[inline]
    pub(crate) fn token(&mut self, token: usize) -> &mut [f32] {
        if token >= self.tokens {
            return &mut [];
        }
        // SAFETY: `start` points at `tokens` rows of `stride` outputs that live for 'o; this tile alone owns
        // the first `rows` <= `stride` of each, and the borrow of `self` keeps the slice unique.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(token * self.stride), self.rows) }
    }
}

/// A slice of which every member gets a piece.
struct Pieces<'o, T> {
    start: *mut T,
    length: usize,
    _slice: PhantomData<&'o mut [T]>,
}

// SAFETY: members take different pieces (see `get`), and sending a `&mut [T]` needs no more than this.
unsafe impl<T: Send> Sync for Pieces<'_, T> {}

impl<'o, T> Pieces<'o, T> {
    fn new(slice: &'o mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), length: slice.len(), _slice: PhantomData }
    }

    /// The piece of `member` out of `members` equal ones.
    ///
    /// # Safety
    /// No other piece of that member is alive.
    unsafe fn get(&self, member: usize, members: usize) -> &'o mut [T] {
        let piece = self.length / members;
        if member >= members {
            return &mut [];
        }
        // SAFETY: pieces lie one after the other in the slice; the caller takes each once at a time.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(member * piece), piece) }
    }
}

/// Work space of one member: a piece of each buffer that was shared out.
pub(crate) struct Workspace<'w> {
    pub floats: &'w mut [f32],
    pub bytes: &'w mut [i8],
}

/// Shares the rows of `out` (T x rows) among the team, in whole units of rows, and gives each member its rows,
/// their outputs, and its equal piece of the work space.
pub(crate) fn share(
    team: &dyn Team,
    out: &mut [f32],
    rows: usize,
    unit: usize,
    work: Workspace,
    job: &(dyn Fn(Range<usize>, &mut Tile, Workspace) + Sync),
) {
    let members = team.size();
    if members == 1 {
        return job(0..rows, &mut Tile::new(out, rows), work);
    }
    let tokens = out.len().checked_div(rows).unwrap_or(0);
    let units = rows.div_ceil(unit);
    let (outputs, floats, bytes) = (Pieces::new(out), Pieces::new(work.floats), Pieces::new(work.bytes));
    let part = |member: usize| {
        let bound = |member: usize| (units * member / members * unit).min(rows);
        let own = bound(member)..bound(member + 1);
        if own.is_empty() {
            return;
        }
        let outputs = &outputs;
        // SAFETY: `own.start` is less than `rows`, so the pointer is inside the slice (or the slice is empty
        // and the tile has no tokens). Members own different rows, as each number is called once.
        let start = unsafe { outputs.start.add(own.start) };
        let mut tile = Tile { start, tokens, stride: rows, rows: own.len(), _out: PhantomData };
        // SAFETY: each member is called once, so each piece is taken once.
        let work =
            unsafe { Workspace { floats: floats.get(member, members), bytes: bytes.get(member, members) } };
        job(own, &mut tile, work);
    };
    team.run(&|member| outlined(&part, member));
}

/// Apart, since what a trait object calls is compiled twice, for calls by reference and by value.
#[inline(never)]
fn outlined(part: &impl Fn(usize), member: usize) {
    part(member);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::vec;

    /// A thread for each member and call: slow, but it needs nothing.
    pub(crate) struct Threads(pub usize);

    // SAFETY: the scope ends when every thread has ended, and each number is spawned once.
    unsafe impl Team for Threads {
        fn size(&self) -> usize {
            self.0
        }

        fn run(&self, job: &(dyn Fn(usize) + Sync)) {
            std::thread::scope(|scope| {
                (0..self.0).for_each(|member| {
                    scope.spawn(move || job(member));
                });
            });
        }
    }

    #[test]
    fn every_row_of_every_token_has_one_owner() {
        for (members, tokens, rows, unit) in
            [(1, 1, 5, 4), (2, 3, 5, 4), (3, 2, 16, 4), (4, 2, 9, 3), (4, 1, 3, 4)]
        {
            let mut out = vec![0.0; tokens * rows];
            let (mut floats, mut bytes) = (vec![0.0; 2 * members], vec![0; members]);
            let work = Workspace { floats: &mut floats, bytes: &mut bytes };
            share(&Threads(members), &mut out, rows, unit, work, &|own, tile, work| {
                assert!(own.start.is_multiple_of(unit));
                assert_eq!((work.floats.len(), work.bytes.len(), tile.tokens()), (2, 1, tokens));
                for token in 0..tokens {
                    let outputs = tile.token(token);
                    assert_eq!(outputs.len(), own.len());
                    outputs
                        .iter_mut()
                        .zip(own.clone())
                        .for_each(|(out, row)| *out += (100 * token + row) as f32);
                }
                assert!(tile.token(tokens).is_empty());
            });
            let expected: vec::Vec<f32> =
                (0..tokens).flat_map(|t| (0..rows).map(move |row| (100 * t + row) as f32)).collect();
            assert_eq!(out, expected, "{members} members");
        }
    }
}
