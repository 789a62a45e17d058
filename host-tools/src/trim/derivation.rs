//! How a token comes about: the tokens that are merged on the way to it.
//!
//! In a text a token is merged from the symbols that it covers and from nothing else, in the order of their ranks; a
//! merge across its ends would have taken a symbol away. So the text of the token alone goes through the same merges,
//! and these are followed here, one after the other, as the runtime does it for whole texts.

use sprat_format::tokenizer::{TokenFlags, TokenizerKind, TokenizerTables};

/// The ids of all symbols that occur while a token's own text is encoded, the token among them if text becomes it.
pub(super) fn derivation(tables: &TokenizerTables<'_>, id: u32) -> Vec<u32> {
    if tables.settings().kind == TokenizerKind::Unigram {
        // The best way to cut a text is still the best when others are not there any more.
        return Vec::new();
    }
    let mut symbols = first_symbols(tables, tables.token(id).unwrap_or_default());
    let mut seen = symbols.clone();
    loop {
        let pairs = symbols.windows(2).enumerate();
        let merges = pairs.filter_map(|(at, pair)| Some((merge(tables, pair[0], pair[1])?, at)));
        // The best rank, the leftmost of equals.
        let Some(((_, merged), at)) = merges.min_by_key(|&((rank, _), at)| (rank, at)) else { return seen };
        symbols[at] = merged;
        symbols.remove(at + 1);
        seen.push(merged);
    }
}

/// What the bytes of a token are before anything is merged; nothing where no text has these bytes.
fn first_symbols(tables: &TokenizerTables<'_>, bytes: &[u8]) -> Vec<u32> {
    let of_bytes =
        |bytes: &[u8]| bytes.iter().filter_map(|&byte| tables.byte_token(byte)).collect::<Vec<_>>();
    if tables.settings().kind == TokenizerKind::ByteLevelBpe {
        return of_bytes(bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let symbol = |character: char| {
        let mut utf8 = [0; 4];
        let bytes = character.encode_utf8(&mut utf8).as_bytes();
        tables.text_token(bytes, &[]).map_or_else(|| of_bytes(bytes), |id| vec![id])
    };
    text.chars().flat_map(symbol).collect()
}

/// The rank of a pair and what it becomes.
fn merge(tables: &TokenizerTables<'_>, left: u32, right: u32) -> Option<(u32, u32)> {
    match tables.settings().kind {
        TokenizerKind::SentencePieceBpe => {
            let is_byte = |id| tables.flags(id).any(TokenFlags::BYTE);
            if is_byte(left) || is_byte(right) {
                return None;
            }
            let id = tables.text_token(tables.token(left)?, tables.token(right)?)?;
            Some((tables.score_rank(id)?, id))
        }
        _ => tables.merge(left, right).map(|merge| (merge.rank, merge.id)),
    }
}
