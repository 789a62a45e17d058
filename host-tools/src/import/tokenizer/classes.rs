//! The boundaries of the Unicode classes that pre-tokenizers distinguish, for the section.
//!
//! From regex-syntax's tables (the Unicode version is its own). Only tokenizers that ask for classes carry the
//! boundaries, about 6 KiB, and the firmware carries no Unicode tables at all.

use anyhow::{Context, Result};
use regex_syntax::hir::{Class, HirKind};

/// Code point << 2 | class for each place where the class changes, from U+0080 on, ascending.
///
/// # Errors
/// The Unicode tables of regex-syntax were left out of the build.
pub fn boundaries() -> Result<Vec<u32>> {
    let mut ranges = Vec::new();
    for (pattern, class) in [(r"\p{L}", 1), (r"\p{N}", 2), (r"\s", 3)] {
        let parsed = regex_syntax::parse(pattern).with_context(|| format!("Unicode class {pattern}"))?;
        if let HirKind::Class(Class::Unicode(unicode)) = parsed.kind() {
            let found = unicode.iter().map(|range| (u32::from(range.start()), u32::from(range.end()), class));
            ranges.extend(found.filter(|&(_, end, _)| end >= 0x80));
        }
    }
    ranges.sort_unstable();
    let mut boundaries: Vec<u32> = Vec::new();
    for (start, end, class) in ranges {
        // The end of the range before is no boundary if this one begins there.
        boundaries.pop_if(|last| *last == start << 2);
        boundaries.push(start << 2 | class);
        boundaries.push((end + 1) << 2);
    }
    boundaries.pop_if(|last| *last >> 2 > u32::from(char::MAX));
    Ok(boundaries)
}
