//! Small tokenizers for tests, and a merge loop that is obviously right.
//!
//! They are written and parsed like real ones, so that each test also runs through the format.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use sprat_format::tokenizer::{
    AddedFlags, Classes, Merge, NONE, NormalizationParts, Prefix, Properties, Settings, StageFlags,
    StageParts, TokenFlags, TokenSpec, TokenizerKind, TokenizerParts, TokenizerTables, sort_added,
    sort_index, sort_merges,
};

use super::super::pieces::Pieces;
use super::super::{EncodeError, Special, Tokenizer, scratch_words};

pub const BYTE_LEVEL: Settings = Settings::plain(TokenizerKind::ByteLevelBpe);
pub const SENTENCE_PIECE: Settings = Settings {
    prefix: Prefix::Text,
    byte_fallback: true,
    strip_first_space: true,
    ..Settings::plain(TokenizerKind::SentencePieceBpe)
};

/// Settings and stages.
pub type Shape<'a> = (Settings, &'a [StageParts<'a>]);

/// The text is one piece.
pub const WHOLE: Shape<'static> = (BYTE_LEVEL, &[]);
/// Words and the space before them.
pub const WORDS: Shape<'static> = (BYTE_LEVEL, &[WORD_STAGE]);

/// The properties of the classes of all fixtures: other, letter, space, digit.
const PROPERTIES: [Properties; 4] = [Properties(0), Properties::WORD, Properties::SPACE, Properties::WORD];

/// ` ?[letter]+| ?[other, digit]+| +`: states dead, start, one space, letters, others, spaces.
pub const WORD_STAGE: StageParts<'static> = StageParts {
    flags: StageFlags(0),
    #[rustfmt::skip]
    transitions: &[
        0, 0, 0, 0, 0,
        4 << 1, 3 << 1, 2 << 1, 4 << 1, 0,
        4 << 1 | 1, 3 << 1 | 1, 5 << 1 | 1, 4 << 1 | 1, 1,
        1, 3 << 1 | 1, 1, 1, 1,
        4 << 1 | 1, 1, 1, 4 << 1 | 1, 1,
        1, 1, 5 << 1 | 1, 1, 1,
    ],
};

/// `[digit]`.
pub const DIGIT_STAGE: StageParts<'static> =
    StageParts { flags: StageFlags(0), transitions: &[0, 0, 0, 0, 0, 0, 0, 0, 2 << 1, 0, 1, 1, 1, 1, 1] };

/// The class of an ASCII character.
fn ascii(character: u8) -> u8 {
    match character {
        b'a'..=b'z' | b'A'..=b'Z' => 1,
        b' ' | b'\n' => 2,
        b'0'..=b'9' => 3,
        _ => 0,
    }
}

/// Some letters and spaces beyond ASCII.
const BOUNDARIES: [u32; 6] =
    [(0xC0 << 8) | 1, 0x250 << 8, (0x3000 << 8) | 2, 0x3001 << 8, (0x4E00 << 8) | 1, 0xA000 << 8];

/// Unicode's canonical form, as far as the tests need it: e with acute, dots below and above, an excluded composite.
const FORM: NormalizationParts<'static> = NormalizationParts {
    decompositions: &[(0xE9, 2), (0x958, 4), (0x1E63, 6), (0x1E69, 9), (0x212B, 11)],
    characters: &[0x65, 0x301, 0x915, 0x93C, 0x73, 0x323, 0x73, 0x323, 0x307, 0x41, 0x30A],
    compositions: &[(0x41, 0x30A, 0xC5), (0x65, 0x301, 0xE9), (0x73, 0x323, 0x1E63), (0x1E63, 0x307, 0x1E69)],
    classes: &[
        (0x300 << 8) | 230,
        (0x323 << 8) | 220,
        (0x324 << 8) | 230,
        0x340 << 8,
        (0x93C << 8) | 7,
        0x93D << 8,
    ],
};

struct Draft {
    texts: Vec<Vec<u8>>,
    flags: Vec<TokenFlags>,
    merges: Vec<Merge>,
    scores: Vec<u32>,
    weights: Vec<f64>,
    added: Vec<(u32, AddedFlags)>,
    form: NormalizationParts<'static>,
    byte_tokens: [u32; 256],
}

impl Draft {
    fn write(mut self, (settings, stages): Shape<'_>) -> Vec<u8> {
        let tokens = self.texts.iter().zip(&self.flags);
        let tokens: Vec<TokenSpec<'_>> = tokens.map(|(bytes, &flags)| TokenSpec { bytes, flags }).collect();
        let mut index: Vec<u32> = (0..tokens.len() as u32).collect();
        sort_index(&tokens, &mut index);
        let pattern = |id: u32| tokens[id as usize].bytes;
        let mut added: Vec<_> = self.added.iter().map(|&(id, flags)| (id, flags, pattern(id))).collect();
        sort_added(&mut added);
        sort_merges(&mut self.merges);
        let parts = TokenizerParts {
            settings,
            tokens: &tokens,
            merges: &self.merges,
            scores: &self.scores,
            weights: &self.weights,
            index: &index,
            byte_tokens: &self.byte_tokens,
            added: &added,
            stages,
            classes: Classes {
                ascii: &core::array::from_fn::<u8, 128, _>(|byte| ascii(byte as u8)),
                boundaries: &BOUNDARIES,
                properties: &PROPERTIES,
            },
            normalization: self.form,
        };
        let mut section = Vec::new();
        let written: Result<(), ()> = parts.write(|bytes| {
            section.extend_from_slice(bytes);
            Ok(())
        });
        assert_eq!(written, Ok(()));
        section
    }
}

fn special_by_name(text: &str) -> TokenFlags {
    if text.starts_with('<') && text.len() > 1 && text.contains('>') {
        TokenFlags::SPECIAL
    } else {
        TokenFlags::NORMAL
    }
}

/// Ids 0 to 255 are the bytes; then the words, in the order of their ranks, each merged from every pair of
/// earlier tokens that makes it; then the added tokens.
pub fn byte_level(shape: Shape<'_>, words: &[&str], added: &[&str]) -> Vec<u8> {
    byte_level_with(shape, words, added, NormalizationParts::default())
}

/// The same, which composes characters first.
pub fn composing(shape: Shape<'_>, words: &[&str], added: &[&str]) -> Vec<u8> {
    byte_level_with(shape, words, added, FORM)
}

fn byte_level_with(
    shape: Shape<'_>,
    words: &[&str],
    added: &[&str],
    form: NormalizationParts<'static>,
) -> Vec<u8> {
    let mut draft = Draft {
        texts: (0..=255u8).map(|byte| vec![byte]).collect(),
        flags: vec![TokenFlags::NORMAL; 256],
        merges: Vec::new(),
        scores: Vec::new(),
        weights: Vec::new(),
        form,
        added: Vec::new(),
        byte_tokens: core::array::from_fn(|byte| byte as u32),
    };
    for word in words {
        let find = |part: &[u8]| draft.texts.iter().position(|text| text == part);
        let pairs = (1..word.len()).map(|cut| word.as_bytes().split_at(cut));
        let pairs: Vec<_> = pairs.filter_map(|(left, right)| Some((find(left)?, find(right)?))).collect();
        for (left, right) in pairs {
            let rank = draft.merges.len() as u32;
            draft.merges.push(Merge {
                left: left as u32,
                right: right as u32,
                rank,
                id: draft.texts.len() as u32,
            });
        }
        draft.texts.push(word.as_bytes().to_vec());
        draft.flags.push(special_by_name(word));
    }
    for token in added {
        draft.added.push((draft.texts.len() as u32, AddedFlags::default()));
        draft.texts.push(token.as_bytes().to_vec());
        draft.flags.push(special_by_name(token).with(TokenFlags::ADDED).with(TokenFlags::OUTSIDE));
    }
    draft.write(shape)
}

/// Ids as in llama2.c's files: unknown, BOS, EOS, 256 bytes, then the pieces with their scores.
pub fn sentence_piece(settings: Settings, pieces: &[(&str, f32)]) -> Vec<u8> {
    let control = TokenFlags::SPECIAL.with(TokenFlags::CONTROL);
    let mut draft = Draft {
        texts: ["<unk>", "<s>", "</s>"].map(|text| text.as_bytes().to_vec()).to_vec(),
        flags: vec![control; 3],
        merges: Vec::new(),
        scores: vec![NONE; 259],
        weights: Vec::new(),
        form: NormalizationParts::default(),
        added: Vec::new(),
        byte_tokens: core::array::from_fn(|byte| byte as u32 + 3),
    };
    draft.texts.extend((0..=255u8).map(|byte| vec![byte]));
    draft.flags.resize(259, TokenFlags::BYTE);
    for &(text, score) in pieces {
        draft.texts.push(text.as_bytes().to_vec());
        draft.flags.push(TokenFlags::NORMAL);
        draft.scores.push(pieces.iter().filter(|(_, other)| *other > score).count() as u32);
    }
    if settings.kind == TokenizerKind::Unigram {
        let lowest = pieces.iter().map(|&(_, score)| f64::from(score)).fold(0.0, f64::min);
        draft.weights = vec![lowest - 10.0; 259];
        draft.weights.extend(pieces.iter().map(|&(_, score)| f64::from(score)));
        draft.scores.clear();
    }
    draft.write((settings, &[]))
}

pub fn encode(section: &[u8], text: &str, special: Special) -> Vec<u32> {
    let tokenizer = Tokenizer::new(TokenizerTables::parse(section).unwrap());
    let (mut scratch, mut out) = (vec![0; scratch_words(text.len())], vec![0; 3 * text.len() + 1]);
    let mut result = tokenizer.encode(text, special, &mut scratch, &mut out);
    if let Err(EncodeError::Scratch { need, .. }) = result {
        scratch.resize(need, 0);
        result = tokenizer.encode(text, special, &mut scratch, &mut out);
    }
    out.truncate(result.unwrap());
    out
}

/// The text of tokens that stand directly after BOS.
pub fn decode(section: &[u8], tokens: &[u32]) -> String {
    let tokenizer = Tokenizer::new(TokenizerTables::parse(section).unwrap());
    let mut decoder = tokenizer.stream_decoder(true);
    let mut text = String::new();
    for &id in tokens {
        decoder.push(tokenizer.token_bytes(id), |part| text.push_str(part));
    }
    decoder.finish(|part| text.push_str(part));
    text
}

/// The pieces that a pre-tokenizer cuts a text into, prefix spaces included.
pub fn pieces(shape: Shape<'_>, text: &str) -> Vec<String> {
    let section = byte_level(shape, &[], &[]);
    let tables = TokenizerTables::parse(&section).unwrap();
    let pieces = Pieces::new(&tables, text, shape.0.prefix == Prefix::Pieces);
    let text = |bytes| core::str::from_utf8(bytes).unwrap();
    pieces
        .map(|piece| if piece.led { " ".to_string() + text(piece.bytes) } else { text(piece.bytes).into() })
        .collect()
}

/// Byte-pair merges by looking at all pairs each time: O(n^2).
pub fn naive_merges(section: &[u8], text: &str) -> Vec<u32> {
    let tables = TokenizerTables::parse(section).unwrap();
    let mut ids: Vec<u32> = text.bytes().filter_map(|byte| tables.byte_token(byte)).collect();
    loop {
        let pairs = ids.windows(2).enumerate();
        let best = pairs.filter_map(|(at, pair)| Some((tables.merge(pair[0], pair[1])?.rank, at))).min();
        let Some((_, at)) = best else { return ids };
        let merged = tables.merge(ids[at], ids[at + 1]).unwrap().id;
        ids.splice(at..at + 2, [merged]);
    }
}
