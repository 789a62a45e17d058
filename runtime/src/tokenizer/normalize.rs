//! Normalization before the second pass of added tokens: SentencePiece's spaces, and Unicode's forms.
//!
//! The result lies in the caller's scratch; text that is already as it should be is used where it is.

use sprat_format::tokenizer::{Prefix, Settings};

/// What SentencePiece writes for a space.
const SPACE_MARK: char = '\u{2581}';

/// Spaces as the settings want them: a prefix, the mark taken for a space, superfluous ones dropped. `None` if the
/// scratch is too small, else the new text and the rest of the scratch.
pub(super) fn spaces<'s>(
    settings: &Settings,
    text: &str,
    at_start: bool,
    scratch: &'s mut [u32],
) -> Option<(&'s str, &'s mut [u32])> {
    let (buffer, rest) = scratch.split_at_mut_checked(words(text.len() + 1))?;
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(buffer);
    let prefixed = match settings.prefix {
        Prefix::Segments => true,
        Prefix::Text => at_start,
        _ => false,
    };
    let trim = settings.trim_spaces;
    let text = if trim { text.trim_start_matches(' ') } else { text };
    let prefix = if prefixed && !text.is_empty() { " " } else { "" };
    let (mut len, mut after_space) = (0, false);
    for character in prefix.chars().chain(text.chars()) {
        if trim && after_space && character == ' ' {
            continue;
        }
        after_space = character == ' ' && len >= prefix.len();
        let meant = if settings.space_mark && character == SPACE_MARK { ' ' } else { character };
        len += meant.encode_utf8(bytes.get_mut(len..)?).len();
    }
    let bytes: &'s [u8] = bytes;
    let text = core::str::from_utf8(bytes.get(..len)?).ok()?;
    Some((if trim { text.trim_end_matches(' ') } else { text }, rest))
}

/// Words that hold so many bytes.
pub(super) const fn words(bytes: usize) -> usize {
    bytes.div_ceil(size_of::<u32>())
}
