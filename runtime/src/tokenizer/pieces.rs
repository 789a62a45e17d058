//! The pre-tokenizer: stages of automata that cut a text into pieces, one piece after the other.
//!
//! The regular expressions of all tokenizers were compiled on the host (`sprat_format::tokenizer`, "Stages"), so
//! this knows none of them: it looks up a class and takes a transition for each character. Each stage cuts the
//! pieces of the one before; nothing is stored but where the current piece of each stage ends.

use sprat_format::tokenizer::{DEAD, MAX_STAGES, START, Stage, StageFlags, TokenizerTables};

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'t> {
    /// Its bytes in the text; whole characters, unless a stage reads bytes.
    pub(super) bytes: &'t [u8],
    /// A space that is not in the text stands before it.
    pub(super) led: bool,
}

/// The pieces of a text, in order.
pub(super) struct Pieces<'a, 'm, 't> {
    tables: &'a TokenizerTables<'m>,
    text: &'t str,
    /// Each input of the last stage is given a space unless it begins with one.
    prefix: bool,
    /// The next piece begins with that space.
    led: bool,
    /// Where the next piece begins.
    at: usize,
    /// Where the input of each stage ends.
    ends: [usize; MAX_STAGES],
    /// Where the input of the last stage ends, 0 before there was one.
    input_end: usize,
}

impl<'a, 'm, 't> Pieces<'a, 'm, 't> {
    pub(super) fn new(tables: &'a TokenizerTables<'m>, text: &'t str, prefix: bool) -> Self {
        let mut ends = [0; MAX_STAGES];
        ends[0] = text.len();
        Self { tables, text, prefix, led: false, at: 0, ends, input_end: 0 }
    }

    /// Finds the next input of the last stage; `None` at the end of the text.
    fn next_input(&mut self) -> Option<()> {
        let earlier = self.tables.stages().split_last().map_or(&[][..], |(_, earlier)| earlier);
        'removed: while self.at < self.text.len() {
            for (level, stage) in earlier.iter().enumerate() {
                if self.at < self.ends[level + 1] {
                    continue;
                }
                let (end, removed) = self.cut(stage, self.ends[level], false);
                self.ends[level + 1] = end;
                if removed {
                    self.at = end;
                    continue 'removed;
                }
            }
            self.input_end = self.ends[earlier.len()];
            self.led = self.prefix && self.text.as_bytes().get(self.at) != Some(&b' ');
            return Some(());
        }
        None
    }

    /// Where the next piece of a stage ends, whose input ends at `end`, and whether the stage drops it.
    fn cut(&self, stage: &Stage<'_>, end: usize, led: bool) -> (usize, bool) {
        if let Some(found) = self.longest(stage, self.at, end, led) {
            return (found, stage.flags.any(StageFlags::REMOVE));
        }
        let mut gap = if led { self.at } else { self.at + self.character(stage, self.at).1 };
        while gap < end && self.longest(stage, gap, end, false).is_none() {
            gap += self.character(stage, gap).1;
        }
        (gap, false)
    }

    /// Where the match of a stage's expression ends that begins at `start`.
    fn longest(&self, stage: &Stage<'_>, start: usize, end: usize, led: bool) -> Option<usize> {
        let (mut state, mut found, mut at) = (START, None, start);
        if led {
            state = stage.step(state, self.tables.class(' ')).0;
        }
        while state != DEAD {
            let (class, bytes) = match at < end {
                true => self.character(stage, at),
                false => (stage.end(), 0),
            };
            let (next, matched) = stage.step(state, class);
            if matched && (at > start || led) {
                found = Some(at);
            }
            state = if at < end { next } else { DEAD };
            at += bytes;
        }
        found
    }

    /// The class and the length of the character at a position.
    fn character(&self, stage: &Stage<'_>, at: usize) -> (u8, usize) {
        let rest = self.text.get(at..).filter(|_| !stage.flags.any(StageFlags::BYTES));
        match rest.and_then(|rest| rest.chars().next()) {
            Some(character) => (self.tables.class(character), character.len_utf8()),
            None => {
                let byte = self.text.as_bytes().get(at).copied().unwrap_or_default();
                (self.tables.class(alphabet(byte)), 1)
            }
        }
    }
}

impl<'t> Iterator for Pieces<'_, '_, 't> {
    type Item = Piece<'t>;

    fn next(&mut self) -> Option<Piece<'t>> {
        loop {
            if self.at >= self.input_end {
                self.next_input()?;
            }
            let (end, removed) = match self.tables.stages().last() {
                Some(stage) => self.cut(stage, self.input_end, self.led),
                None => (self.input_end, false),
            };
            let piece = Piece { bytes: self.text.as_bytes().get(self.at..end)?, led: self.led };
            (self.at, self.led) = (end, false);
            if !removed {
                return Some(piece);
            }
        }
    }
}

/// The character that GPT-2's alphabet writes a byte with.
fn alphabet(byte: u8) -> char {
    let code = match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => u32::from(byte),
        0..=b' ' => 0x100 + u32::from(byte),
        0x7F..=0xA0 => 0x121 + u32::from(byte - 0x7F),
        0xAD => 0x143,
    };
    char::from_u32(code).unwrap_or_default()
}
