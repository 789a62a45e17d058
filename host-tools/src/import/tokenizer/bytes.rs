//! GPT-2's alphabet: how byte-level vocabularies write bytes as printable characters.
//!
//! Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order (`bytes_to_unicode` in
//! OpenAI's `encoder.py`). So `Ġ` is a space and `Ċ` a line feed.

/// The character that stands for a byte.
pub fn character(byte: u8) -> char {
    if stands_for_itself(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|&other| !stands_for_itself(other)).count() as u32;
    char::from_u32(0x100 + rank).unwrap_or('\0')
}

/// The byte that a character stands for.
pub fn byte(character: char) -> Option<u8> {
    match u8::try_from(character) {
        Ok(byte) => stands_for_itself(byte).then_some(byte),
        Err(_) => {
            let rank = u32::from(character).checked_sub(0x100)?;
            (0..=255u8).filter(|&byte| !stands_for_itself(byte)).nth(rank as usize)
        }
    }
}

/// The bytes of a token, if every character of it is in the alphabet.
pub fn decode(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte).collect()
}

fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}
