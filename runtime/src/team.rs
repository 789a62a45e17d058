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

    /// Products (multiply-adds) below which a piece of work is done by the caller alone, as calling the others takes
    /// longer than they would save.
    fn least_products(&self) -> usize {
        0
    }

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
    #[allow(dead_code, reason = "only some cores' kernels call others on outputs of their own")]
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
pub(crate) struct Pieces<'o, T> {
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

    /// Parts `own` of the slice cut into so many equal ones, as far as they lie within it.
    ///
    /// # Safety
    /// No piece with one of those parts is alive.
    unsafe fn get(&self, own: Range<usize>, parts: usize) -> &'o mut [T] {
        let part = self.length.checked_div(parts).unwrap_or(0);
        let (from, to) = (own.start.min(parts) * part, own.end.min(parts) * part);
        // SAFETY: both ends are within the slice; the caller takes each part once at a time.
        unsafe { core::slice::from_raw_parts_mut(self.start.add(from), to.saturating_sub(from)) }
    }
}

/// The outputs of a matrix, of which every member computes some rows for all tokens.
pub(crate) struct Outputs<'o> {
    pieces: Pieces<'o, f32>,
    rows: usize,
    /// Rows that are stored together, and so computed by one member.
    unit: usize,
}

impl<'o> Outputs<'o> {
    /// All outputs of a matrix with `rows` rows: `out` is T x rows.
    pub(crate) fn new(out: &'o mut [f32], rows: usize, unit: usize) -> Self {
        Self { pieces: Pieces::new(out), rows, unit }
    }

    /// The rows of a member and the place of their outputs; `None` for a member without rows.
    ///
    /// # Safety
    /// No tile of that member and no other number of members is alive.
    unsafe fn tile(&self, member: usize, members: usize) -> Option<(Range<usize>, Tile<'o>)> {
        // SAFETY: the caller's promise.
        unsafe { self.tile_of(0..self.rows, member, members) }
    }

    /// The same of some rows, which begin at a multiple of the unit.
    ///
    /// # Safety
    /// As [`tile`](Self::tile).
    #[inline(always)]
    unsafe fn tile_of(
        &self,
        part: Range<usize>,
        member: usize,
        members: usize,
    ) -> Option<(Range<usize>, Tile<'o>)> {
        let part = part.start..part.end.min(self.rows);
        let units = part.len().div_ceil(self.unit);
        let bound = |member: usize| (part.start + units * member / members * self.unit).min(part.end);
        let own = bound(member)..bound(member + 1);
        let tokens = self.pieces.length.checked_div(self.rows)?;
        if own.is_empty() || tokens == 0 {
            return None;
        }
        // SAFETY: there is a token, and `own.start` is less than the number of its outputs.
        let start = unsafe { self.pieces.start.add(own.start) };
        let tile = Tile { start, tokens, stride: self.rows, rows: own.len(), _out: PhantomData };
        Some((own, tile))
    }
}

/// Shares the rows of several matrices with the same input among the team, in whole units of rows: `job` gets the
/// number of a matrix, rows of it, and the place of their outputs.
pub(crate) fn share_matrices<const N: usize>(
    team: &dyn Team,
    products: usize,
    outputs: [Outputs; N],
    job: impl Fn(usize, Range<usize>, &mut Tile) + Sync,
) {
    share_out(team, products, &|member, members| {
        for (number, outputs) in outputs.iter().enumerate() {
            // SAFETY: each member is called once, and all with the same number of members.
            if let Some((own, mut tile)) = unsafe { outputs.tile(member, members) } {
                job(number, own, &mut tile);
            }
        }
    });
}

/// Shares some rows of one matrix, in whole units of rows, among the team: `job` gets rows of it and the place of their
/// outputs.
#[cfg(feature = "stream")]
pub(crate) fn share_part(
    team: &dyn Team,
    products: usize,
    outputs: &mut Outputs,
    part: Range<usize>,
    job: impl Fn(Range<usize>, &mut Tile) + Sync,
) {
    let outputs = &*outputs;
    share_out(team, products, &|member, members| {
        // SAFETY: the outputs are borrowed exclusively; each member is called once, and all with the same number.
        if let Some((own, mut tile)) = unsafe { outputs.tile_of(part.clone(), member, members) } {
            job(own, &mut tile);
        }
    });
}

/// Calls `job` with the number of each member and the number of members, which is one for a small piece of work.
fn share_out(team: &dyn Team, products: usize, job: &(dyn Fn(usize, usize) + Sync)) {
    let members = team.size();
    if members == 1 || products < team.least_products() {
        return job(0, 1);
    }
    team.run(&|member| job(member, members));
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
    products: usize,
    out: &mut [f32],
    rows: usize,
    unit: usize,
    work: Workspace,
    job: &(dyn Fn(Range<usize>, &mut Tile, Workspace) + Sync),
) {
    let outputs = Outputs::new(out, rows, unit);
    let (floats, bytes) = (Pieces::new(work.floats), Pieces::new(work.bytes));
    share_out(team, products, &|member, members| {
        // SAFETY: each member is called once, and all with the same number of members.
        let Some((own, mut tile)) = (unsafe { outputs.tile(member, members) }) else { return };
        // SAFETY: each member is called once, so each piece is taken once.
        let work = unsafe {
            Workspace {
                floats: floats.get(member..member + 1, members),
                bytes: bytes.get(member..member + 1, members),
            }
        };
        job(own, &mut tile, work);
    });
}

/// Buffers with an equal part for each token, of which a member gets the parts of its own tokens.
pub(crate) trait ByToken: Sized {
    /// The buffers as all members see them.
    type Shared: Sync;

    fn into_shared(self) -> Self::Shared;

    /// The parts of some tokens of so many.
    ///
    /// # Safety
    /// No parts of these tokens are alive.
    unsafe fn parts(shared: &Self::Shared, own: Range<usize>, tokens: usize) -> Self;
}

impl<'o, T: Send> ByToken for &'o mut [T] {
    type Shared = Pieces<'o, T>;

    fn into_shared(self) -> Self::Shared {
        Pieces::new(self)
    }

    unsafe fn parts(shared: &Self::Shared, own: Range<usize>, tokens: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { shared.get(own, tokens) }
    }
}

impl<A: ByToken, B: ByToken> ByToken for (A, B) {
    type Shared = (A::Shared, B::Shared);

    fn into_shared(self) -> Self::Shared {
        (self.0.into_shared(), self.1.into_shared())
    }

    unsafe fn parts(shared: &Self::Shared, own: Range<usize>, tokens: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { (A::parts(&shared.0, own.clone(), tokens), B::parts(&shared.1, own, tokens)) }
    }
}

/// Shares T tokens among the team: `job` gets some tokens and their parts of the buffers.
pub(crate) fn share_tokens<B: ByToken>(
    team: &dyn Team,
    products: usize,
    tokens: usize,
    buffers: B,
    job: impl Fn(Range<usize>, B) + Sync,
) {
    if tokens == 1 {
        return job(0..1, buffers);
    }
    let shared = buffers.into_shared();
    share_out(team, products, &|member, members| {
        let own = tokens * member / members..tokens * (member + 1) / members;
        // SAFETY: each member is called once, and members have different tokens.
        job(own.clone(), unsafe { B::parts(&shared, own, tokens) });
    });
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
            share(&Threads(members), 0, &mut out, rows, unit, work, &|own, tile, work| {
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

    #[test]
    fn several_matrices_are_shared_at_once() {
        for members in [1, 2, 3, 5] {
            let (tokens, rows) = (3, [8, 3, 1]);
            let mut outs = rows.map(|rows| vec![0.0; tokens * rows]);
            let [a, b, c] = &mut outs;
            let outputs = [Outputs::new(a, 8, 4), Outputs::new(b, 3, 1), Outputs::new(c, 1, 4)];
            share_matrices(&Threads(members), 0, outputs, |number, own, tile| {
                for token in 0..tokens {
                    let outputs = tile.token(token).iter_mut().zip(own.clone());
                    outputs.for_each(|(out, row)| *out += (100 * number + 10 * token + row) as f32);
                }
            });
            for (number, (out, rows)) in outs.iter().zip(rows).enumerate() {
                let expected: vec::Vec<f32> = (0..tokens)
                    .flat_map(|t| (0..rows).map(move |row| (100 * number + 10 * t + row) as f32))
                    .collect();
                assert_eq!(out, &expected, "{members} members");
            }
        }
    }

    #[test]
    fn every_token_has_one_owner_and_its_parts_of_every_buffer() {
        for (members, tokens) in [(1, 3), (2, 1), (2, 5), (3, 3), (4, 2)] {
            let (mut wide, mut narrow) = (vec![0; 3 * tokens], vec![0u8; tokens]);
            let buffers = (&mut wide[..], &mut narrow[..]);
            share_tokens(&Threads(members), 0, tokens, buffers, |own, (wide, narrow)| {
                assert_eq!((wide.len(), narrow.len()), (3 * own.len(), own.len()));
                for (index, token) in own.enumerate() {
                    wide[3 * index..][..3].iter_mut().for_each(|x| *x += token);
                    narrow[index] += 1 + token as u8;
                }
            });
            assert!(wide.iter().enumerate().all(|(i, x)| *x == i / 3), "{members} members: {wide:?}");
            assert!(narrow.iter().enumerate().all(|(i, x)| usize::from(*x) == i + 1), "{narrow:?}");
        }
    }

    #[test]
    fn small_pieces_are_not_worth_sharing() {
        struct Picky;
        // SAFETY: each number is called once.
        unsafe impl Team for Picky {
            fn size(&self) -> usize {
                2
            }

            fn least_products(&self) -> usize {
                100
            }

            fn run(&self, job: &(dyn Fn(usize) + Sync)) {
                (0..2).for_each(job);
            }
        }
        for (products, pieces) in [(99, 1), (100, 2)] {
            let calls = core::sync::atomic::AtomicUsize::new(0);
            share_tokens(&Picky, products, 8, &mut [0u8; 8][..], |_, _| {
                calls.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            });
            assert_eq!(calls.into_inner(), pieces, "{products} products");
        }
    }
}
