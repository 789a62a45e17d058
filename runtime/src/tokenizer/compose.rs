//! Unicode normalization (Standard Annex 15) in the caller's scratch: decompose, order, compose.
//!
//! The tables are the section's; which form they make is the host's choice. Text that cannot change is found by
//! a look at each character and stays where it is. O(n) lookups; marks are ordered class by class, of which there
//! are 55, so a row of any number of marks is no trap.

use sprat_format::tokenizer::Normalization;

use super::normalize::words;

/// Hangul syllables are composed by arithmetic (The Unicode Standard, 3.12).
const SYLLABLES: core::ops::Range<u32> = 0xAC00..0xAC00 + 19 * 21 * 28;
const LEADING: u32 = 0x1100;
const VOWEL: u32 = 0x1161;
/// One before the first trailing consonant: 0 stands for none.
const TRAILING: u32 = 0x11A7;

/// Scratch words: a character in the low bits, its combining class above.
const CLASS_SHIFT: u32 = 24;

/// The text in the form of the tables and the rest of the scratch; `None` if the scratch is too small.
pub(super) fn normalized<'s>(
    form: &Normalization<'_>,
    text: &'s str,
    scratch: &'s mut [u32],
) -> Option<(&'s str, &'s mut [u32])> {
    if !form.is_some() || text.chars().all(|character| is_stable(form, character)) {
        return Some((text, scratch));
    }
    let mut count = 0;
    for character in text.chars() {
        let mut push = |code: u32| {
            let class = u32::from(class(form, code));
            *scratch.get_mut(count)? = code | class << CLASS_SHIFT;
            count += 1;
            Some(())
        };
        decompose(form, character.into(), &mut push)?;
    }
    order(scratch, count)?;
    let count = compose(form, scratch.get_mut(..count)?);
    let len = encode(scratch.get_mut(..count)?);
    let (buffer, rest) = scratch.split_at_mut_checked(words(len))?;
    let bytes: &'s [u8] = bytemuck::cast_slice(buffer);
    Some((core::str::from_utf8(bytes.get(..len)?).ok()?, rest))
}

/// Whether a character stays as it is, whatever stands beside it.
fn is_stable(form: &Normalization<'_>, character: char) -> bool {
    let code = u32::from(character);
    let joins = (VOWEL..VOWEL + 21).contains(&code) || (TRAILING + 1..TRAILING + 28).contains(&code);
    code < 0x80 || !joins && form.combining_class(code) == 0 && form.decomposition(code).next().is_none()
}

/// The combining class of the standard.
fn class(form: &Normalization<'_>, code: u32) -> u8 {
    match form.combining_class(code) {
        u8::MAX => 0,
        class => class,
    }
}

fn decompose(form: &Normalization<'_>, code: u32, push: &mut dyn FnMut(u32) -> Option<()>) -> Option<()> {
    if SYLLABLES.contains(&code) {
        let index = code - SYLLABLES.start;
        push(LEADING + index / (21 * 28))?;
        push(VOWEL + index / 28 % 21)?;
        return if !index.is_multiple_of(28) { push(TRAILING + index % 28) } else { Some(()) };
    }
    let mut parts = form.decomposition(code).peekable();
    if parts.peek().is_none() {
        return push(code);
    }
    parts.try_for_each(push)
}

/// Sorts each row of marks by their classes; equal classes stay in their order. `None` if the scratch behind the
/// characters is too small for the longest row that is not in order.
fn order(scratch: &mut [u32], count: usize) -> Option<()> {
    let (text, spare) = scratch.split_at_mut_checked(count)?;
    let mut rest = text;
    while let Some(start) = rest.iter().position(|&word| word >> CLASS_SHIFT != 0) {
        rest = rest.get_mut(start..)?;
        let end = rest.iter().position(|&word| word >> CLASS_SHIFT == 0).unwrap_or(rest.len());
        let (row, after) = rest.split_at_mut_checked(end)?;
        rest = after;
        if row.is_sorted_by_key(|word| word >> CLASS_SHIFT) {
            continue;
        }
        let sorted = spare.get_mut(..row.len())?;
        let (mut filled, mut class) = (0, 0);
        while filled < row.len() {
            let above = row.iter().map(|word| word >> CLASS_SHIFT).filter(|&other| other > class);
            class = above.min()?;
            for &word in row.iter().filter(|&word| word >> CLASS_SHIFT == class) {
                *sorted.get_mut(filled)? = word;
                filled += 1;
            }
        }
        row.copy_from_slice(sorted);
    }
    Some(())
}

/// Joins what composes, and takes the classes away; the number of characters left.
fn compose(form: &Normalization<'_>, text: &mut [u32]) -> usize {
    let (mut out, mut starter, mut class_before) = (0, None, 0);
    for at in 0..text.len() {
        let (code, class) = (text[at] & ((1 << CLASS_SHIFT) - 1), text[at] >> CLASS_SHIFT);
        if let Some(starter) = starter
            && (out == starter + 1 || class_before < class)
            && let Some(both) = pair(form, text[starter], code)
        {
            text[starter] = both;
            continue;
        }
        if class == 0 {
            starter = Some(out);
        }
        class_before = class;
        text[out] = code;
        out += 1;
    }
    out
}

fn pair(form: &Normalization<'_>, first: u32, second: u32) -> Option<u32> {
    let (leading, vowel) = (first.wrapping_sub(LEADING), second.wrapping_sub(VOWEL));
    if leading < 19 && vowel < 21 {
        return Some(SYLLABLES.start + (leading * 21 + vowel) * 28);
    }
    let trailing = second.wrapping_sub(TRAILING);
    if SYLLABLES.contains(&first)
        && (first - SYLLABLES.start).is_multiple_of(28)
        && (1..28).contains(&trailing)
    {
        return Some(first + trailing);
    }
    form.composition(first, second)
}

/// Characters into UTF-8, in place: it never needs more bytes than the words before have. The number of bytes.
fn encode(text: &mut [u32]) -> usize {
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(text);
    let mut len = 0;
    for at in (0..bytes.len()).step_by(size_of::<u32>()) {
        let word =
            bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word));
        let character = char::from_u32(word).unwrap_or(char::REPLACEMENT_CHARACTER);
        if let Some(place) = bytes.get_mut(len..) {
            len += character.encode_utf8(place).len();
        }
    }
    len
}
