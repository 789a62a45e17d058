//! The pre-tokenizers: hand-written scanners for the regular expressions of GPT-2 and Llama-3.
//!
//! Each takes the text that is left and says how many bytes the next piece has, exactly what the regular
//! expression would match. No backtracking is needed: only runs of white space look one character ahead. Each
//! character is looked at a bounded number of times.

use sprat_format::tokenizer::{Class, PreTokenizer, TokenizerTables};

/// Bytes of `text` in the next piece. `led`: a space that is not in `text` stands before it. The piece has at
/// least one byte, or else is that space alone. `text` is not empty.
pub(super) fn piece(tables: &TokenizerTables<'_>, kind: PreTokenizer, text: &str, led: bool) -> usize {
    let scan = Scan { tables };
    match kind {
        PreTokenizer::None => text.len(),
        PreTokenizer::Gpt2 => scan.gpt2(text, led),
        PreTokenizer::Llama3 => scan.llama3(text),
    }
}

/// Bytes of the next numeric character, or of all characters before it.
pub(super) fn digit_or_other(tables: &TokenizerTables<'_>, text: &str) -> usize {
    match text.chars().next() {
        Some(first) if tables.class(first) == Class::Number => first.len_utf8(),
        _ => run(text, |character| tables.class(character) != Class::Number),
    }
}

/// Bytes of the leading characters that are `inside`.
fn run(text: &str, inside: impl Fn(char) -> bool) -> usize {
    text.find(|character| !inside(character)).unwrap_or(text.len())
}

fn is_line_end(character: char) -> bool {
    matches!(character, '\r' | '\n')
}

struct Scan<'a, 'm> {
    tables: &'a TokenizerTables<'m>,
}

impl Scan<'_, '_> {
    fn run_of(&self, text: &str, class: Class) -> usize {
        run(text, |character| self.tables.class(character) == class)
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    fn gpt2(&self, text: &str, led: bool) -> usize {
        if !led && let Some(bytes) = contraction(text, false) {
            return bytes;
        }
        let space = usize::from(!led && text.starts_with(' '));
        let rest = text.get(space..).unwrap_or_default();
        match rest.chars().next().map(|first| self.tables.class(first)) {
            None | Some(Class::Space) => self.white_space(text, led),
            Some(class) => space + self.run_of(rest, class),
        }
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    fn llama3(&self, text: &str) -> usize {
        if let Some(bytes) = contraction(text, true) {
            return bytes;
        }
        let class = |character: Option<char>| character.map(|character| self.tables.class(character));
        let mut characters = text.chars();
        let first = characters.next();
        let rest = characters.as_str();
        let first_bytes = text.len() - rest.len();
        let next_class = class(rest.chars().next());
        match class(first) {
            Some(Class::Letter) => self.run_of(text, Class::Letter),
            Some(Class::Number) => {
                let digits =
                    text.chars().take(3).take_while(|&digit| class(Some(digit)) == Some(Class::Number));
                digits.map(char::len_utf8).sum()
            }
            _ if next_class == Some(Class::Letter) && !first.is_some_and(is_line_end) => {
                first_bytes + self.run_of(rest, Class::Letter)
            }
            Some(Class::Other) => self.others(text),
            _ if first == Some(' ') && next_class == Some(Class::Other) => 1 + self.others(rest),
            _ => {
                let spaces = text.get(..self.run_of(text, Class::Space)).unwrap_or_default();
                match spaces.rfind(is_line_end) {
                    Some(last) => last + 1,
                    None => self.white_space(text, false),
                }
            }
        }
    }

    /// `[^\s\p{L}\p{N}]+[\r\n]*`
    fn others(&self, text: &str) -> usize {
        let others = self.run_of(text, Class::Other);
        others + run(text.get(others..).unwrap_or_default(), is_line_end)
    }

    /// `\s+(?!\S)|\s+`: a run of white space without its last character, which goes with the word that follows,
    /// unless nothing follows or there is no other character in the run.
    fn white_space(&self, text: &str, led: bool) -> usize {
        let all = self.run_of(text, Class::Space);
        let last = text.get(..all).and_then(|spaces| spaces.chars().next_back()).map_or(0, char::len_utf8);
        match all - last {
            _ if all == text.len() => all,
            0 if !led => all,
            without_last => without_last,
        }
    }
}

/// Bytes of an English contraction at the start of the text.
fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let fold = |character: char| match character {
        // The one letter outside of ASCII that folds to one of these letters.
        'ſ' if any_case => 's',
        _ if any_case => character.to_ascii_lowercase(),
        _ => character,
    };
    let mut characters = text.strip_prefix('\'')?.chars();
    let first = fold(characters.next()?);
    let short = text.len() - characters.as_str().len();
    let second = characters.next().map(fold);
    match (first, second) {
        ('s' | 't' | 'm' | 'd', _) => Some(short),
        ('r' | 'v', Some('e')) | ('l', Some('l')) => Some(short + 1),
        _ => None,
    }
}
