//! The text of an expression, as a syntax tree in which looks ahead are characters of their own.
//!
//! regex-syntax knows everything that the expressions of tokenizers use, except looks ahead and possessive
//! repetitions. A look ahead at one character is replaced by a character that no expression has; a possessive
//! repetition is refused, since regex-syntax would read it as another one.

use anyhow::{Context, Result, bail, ensure};
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};

use crate::import::tokenizer::classes;

/// The first of the characters that stand for looks ahead: private use, plane 16.
const FIRST_MARK: u32 = 0x10_0000;

/// An expression.
pub struct Syntax {
    pub tree: Hir,
    /// For each look ahead the characters of which one must not follow.
    pub forbidden: Vec<ClassUnicode>,
}

impl Syntax {
    /// The look ahead that a character stands for.
    pub fn look_ahead(&self, character: char) -> Option<&ClassUnicode> {
        let place = u32::from(character).checked_sub(FIRST_MARK)?;
        self.forbidden.get(place as usize)
    }

    /// All sets of characters that the expression distinguishes.
    pub fn sets(&self) -> Result<Vec<ClassUnicode>> {
        let mut sets = self.forbidden.clone();
        let mut trees = vec![&self.tree];
        while let Some(tree) = trees.pop() {
            match tree.kind() {
                HirKind::Literal(literal) => {
                    let text = std::str::from_utf8(&literal.0).context("a literal that is not UTF-8")?;
                    let characters = text.chars().filter(|&character| self.look_ahead(character).is_none());
                    sets.extend(characters.map(classes::single));
                }
                HirKind::Class(class) => sets.push(unicode(class)?),
                HirKind::Repetition(repetition) => trees.push(&repetition.sub),
                HirKind::Capture(capture) => trees.push(&capture.sub),
                HirKind::Concat(parts) | HirKind::Alternation(parts) => trees.extend(parts),
                HirKind::Empty | HirKind::Look(_) => {}
            }
        }
        Ok(sets)
    }
}

/// The characters of a class.
pub fn unicode(class: &Class) -> Result<ClassUnicode> {
    match class {
        Class::Unicode(unicode) => Ok(unicode.clone()),
        Class::Bytes(bytes) => bytes.to_unicode_class().context("a class of bytes"),
    }
}

/// Parses an expression.
pub fn parse(expression: &str) -> Result<Syntax> {
    let (mut text, mut forbidden) = (String::new(), Vec::new());
    let (mut depth, mut after_repetition) = (0usize, false);
    let mut rest = expression;
    while let Some(character) = rest.chars().next() {
        let taken = match character {
            '\\' => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            _ => character.len_utf8(),
        };
        ensure!(u32::from(character) < FIRST_MARK, "it has a character of plane 16");
        if depth == 0 && rest.starts_with("(?!") {
            let (inner, after) =
                rest.get(3..).and_then(|rest| rest.split_once(')')).context("an open (?!")?;
            let mark = char::from_u32(FIRST_MARK + forbidden.len() as u32).context("too many looks ahead")?;
            forbidden.push(classes::class(inner)?);
            text.push(mark);
            (rest, after_repetition) = (after, false);
            continue;
        }
        ensure!(!rest.starts_with("[:"), "it has a POSIX class");
        if depth == 0 {
            for look in ["(?=", "(?<=", "(?<!", "(?>"] {
                ensure!(!rest.starts_with(look), "it has {look}");
            }
            ensure!(!(after_repetition && character == '+'), "it has a possessive repetition");
        }
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        after_repetition = depth == 0 && matches!(character, '?' | '*' | '+');
        let (head, after) = rest.split_at_checked(taken).context("it ends in the middle")?;
        text.push_str(head);
        rest = after;
    }
    match regex_syntax::parse(&text) {
        Ok(tree) => Ok(Syntax { tree, forbidden }),
        Err(error) => bail!("{error}"),
    }
}
