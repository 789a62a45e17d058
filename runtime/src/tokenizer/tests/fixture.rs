//! Small tokenizers for tests, and a merge loop that is obviously right.
//!
//! They are written and parsed like real ones, so that each test also runs through the format.

use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use sprat_format::tokenizer::{
    AddedFlags, Merge, NONE, Settings, TokenFlags, TokenSpec, TokenizerKind, TokenizerParts, TokenizerTables,
    sort_added, sort_index, sort_merges,
};

use super::super::{Special, Tokenizer, pieces as scan, scratch_words};

pub const BYTE_LEVEL: Settings = Settings::plain(TokenizerKind::ByteLevelBpe);
pub const SENTENCE_PIECE: Settings =
    Settings { dummy_prefix: true, byte_fallback: true, ..Settings::plain(TokenizerKind::SentencePieceBpe) };

/// Letters, digits and spaces of the tests.
const CLASSES: [u32; 10] = [
    (0xAA << 2) | 1,
    0xAB << 2,
    (0xC0 << 2) | 1,
    0x250 << 2,
    (0x660 << 2) | 2,
    0x66A << 2,
    (0x3000 << 2) | 3,
    0x3001 << 2,
    (0x4E00 << 2) | 1,
    0xA000 << 2,
];

struct Draft {
    texts: Vec<Vec<u8>>,
    flags: Vec<TokenFlags>,
    merges: Vec<Merge>,
    scores: Vec<u32>,
    added: Vec<(u32, AddedFlags)>,
    byte_tokens: [u32; 256],
}

impl Draft {
    fn write(mut self, settings: Settings) -> Vec<u8> {
        let tokens = self.texts.iter().zip(&self.flags);
        let tokens: Vec<TokenSpec<'_>> = tokens.map(|(bytes, &flags)| TokenSpec { bytes, flags }).collect();
        let mut index: Vec<u32> = (0..tokens.len() as u32).collect();
        sort_index(&tokens, &mut index);
        sort_added(&tokens, &mut self.added);
        sort_merges(&mut self.merges);
        let parts = TokenizerParts {
            settings,
            tokens: &tokens,
            merges: &self.merges,
            scores: &self.scores,
            index: &index,
            byte_tokens: &self.byte_tokens,
            added: &self.added,
            classes: &CLASSES,
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
pub fn byte_level(settings: Settings, words: &[&str], added: &[&str]) -> Vec<u8> {
    let mut draft = Draft {
        texts: (0..=255u8).map(|byte| vec![byte]).collect(),
        flags: vec![TokenFlags::NORMAL; 256],
        merges: Vec::new(),
        scores: Vec::new(),
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
    draft.write(settings)
}

/// Ids as in llama2.c's files: unknown, BOS, EOS, 256 bytes, then the pieces with their scores.
pub fn sentence_piece(settings: Settings, pieces: &[(&str, f32)]) -> Vec<u8> {
    let control = TokenFlags::SPECIAL.with(TokenFlags::CONTROL);
    let mut draft = Draft {
        texts: ["<unk>", "<s>", "</s>"].map(|text| text.as_bytes().to_vec()).to_vec(),
        flags: vec![control; 3],
        merges: Vec::new(),
        scores: vec![NONE; 259],
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
    draft.write(settings)
}

pub fn encode(section: &[u8], text: &str, special: Special) -> Vec<u32> {
    let tokenizer = Tokenizer::new(TokenizerTables::parse(section).unwrap());
    let mut scratch = vec![0; scratch_words(text.len())];
    let mut out = vec![0; text.len() + 1];
    let count = tokenizer.encode(text, special, &mut scratch, &mut out).unwrap();
    out.truncate(count);
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
pub fn pieces(settings: Settings, text: &str) -> Vec<String> {
    let section = byte_level(settings, &[], &[]);
    let tables = TokenizerTables::parse(&section).unwrap();
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let bytes = if settings.individual_digits { scan::digit_or_other(&tables, rest) } else { rest.len() };
        let (mut part, after) = rest.split_at(bytes);
        rest = after;
        let mut led = settings.add_prefix_space && !part.starts_with(' ');
        while led || !part.is_empty() {
            let (piece, after) = part.split_at(scan::piece(&tables, settings.pre_tokenizer, part, led));
            pieces.push(if led { " ".to_string() + piece } else { piece.to_string() });
            (part, led) = (after, false);
        }
    }
    pieces
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
