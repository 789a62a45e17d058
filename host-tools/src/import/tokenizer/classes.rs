//! Classes of characters: the coarsest ones that every expression and every added token can be said in.
//!
//! A regular expression asks of a character only which of its sets it is in. Characters that are in the same sets
//! are one class, so that an automaton has one column for all of them and the device one look-up. The Unicode
//! tables are regex-syntax's; the section carries the boundaries of the classes and the firmware no tables at all.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use regex_syntax::hir::{Class, ClassUnicode, HirKind};
use sprat_format::tokenizer::{MAX_CLASSES, Properties};

/// A set of classes, one bit each; the end of the text is the bit behind the last class.
pub type Mask = u128;

/// The partition of all characters by some sets.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// The class of each character below U+0080.
    pub ascii: Vec<u8>,
    /// Code point << 8 | class for each place where the class changes, from U+0080 on, ascending.
    pub boundaries: Vec<u32>,
    /// Properties of each class.
    pub properties: Vec<Properties>,
    /// The classes that each set consists of.
    masks: HashMap<Vec<(char, char)>, Mask>,
}

impl Partition {
    /// The partition by sets, and by the properties that added tokens ask for. Without sets and properties it is
    /// empty.
    ///
    /// # Errors
    /// More classes than the format has room for.
    pub fn new(sets: &[ClassUnicode], with_properties: bool) -> Result<Self> {
        let (space, word) = (class(r"\s")?, class(r"\w")?);
        let mut sets: Vec<&ClassUnicode> = sets.iter().collect();
        if with_properties {
            sets.extend([&space, &word]);
        }
        if sets.is_empty() {
            return Ok(Self::default());
        }
        let mut edges: Vec<u32> = vec![0, 0x80];
        for set in &sets {
            edges.extend(set.iter().flat_map(|range| [u32::from(range.start()), u32::from(range.end()) + 1]));
        }
        edges.sort_unstable();
        edges.dedup();
        edges.retain(|&edge| edge <= u32::from(char::MAX));
        let mut membership = vec![Vec::new(); edges.len()];
        for (number, set) in sets.iter().enumerate() {
            for range in set.iter() {
                let from = edges.partition_point(|&edge| edge < u32::from(range.start()));
                let to = edges.partition_point(|&edge| edge <= u32::from(range.end()));
                let members = membership.get_mut(from..to).context("edges of a set")?;
                members.iter_mut().for_each(|member| member.push(number));
            }
        }
        let mut partition = Self::default();
        let mut known: HashMap<&[usize], u8> = HashMap::new();
        let mut of_edge = Vec::with_capacity(edges.len());
        for member in &membership {
            let fresh = known.len();
            // One less than the format has: a mask holds the end of the text too.
            if fresh >= MAX_CLASSES - 1 && !known.contains_key(member.as_slice()) {
                bail!("the expressions distinguish more than {} classes of characters", MAX_CLASSES - 1);
            }
            of_edge.push(*known.entry(member).or_insert(fresh as u8));
        }
        partition.properties = vec![Properties::default(); known.len()];
        for (members, &class) in &known {
            let has = |set: &ClassUnicode| {
                members.iter().any(|&number| sets.get(number).is_some_and(|member| *member == set))
            };
            let bits = [(has(&space), Properties::SPACE), (has(&word), Properties::WORD)];
            let bits =
                bits.iter().filter(|(set, _)| with_properties && *set).fold(0, |sum, (_, bit)| sum | bit.0);
            if let Some(slot) = partition.properties.get_mut(usize::from(class)) {
                *slot = Properties(bits);
            }
        }
        for (number, set) in sets.iter().enumerate() {
            let classes = known.iter().filter(|(members, _)| members.contains(&number));
            let mask = classes.fold(0, |mask, (_, &class)| mask | 1 << class);
            partition.masks.insert(ranges(set), mask);
        }
        for (place, &edge) in edges.iter().enumerate() {
            let class = of_edge.get(place).copied().unwrap_or_default();
            if edge < 0x80 {
                let next = edges.get(place + 1).map_or(0x80, |&next| next.min(0x80));
                partition.ascii.resize(next as usize, class);
            } else if partition.boundaries.last().is_none_or(|last| *last as u8 != class) {
                partition.boundaries.push(edge << 8 | u32::from(class));
            }
        }
        Ok(partition)
    }

    /// A partition that automata were compiled for already.
    pub fn of_tables(ascii: Vec<u8>, boundaries: Vec<u32>, properties: Vec<Properties>) -> Self {
        Self { ascii, boundaries, properties, masks: HashMap::new() }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.properties.len()
    }

    /// The classes of one of the sets that the partition was made for.
    pub fn mask(&self, set: &ClassUnicode) -> Option<Mask> {
        self.masks.get(&ranges(set)).copied()
    }
}

fn ranges(set: &ClassUnicode) -> Vec<(char, char)> {
    set.iter().map(|range| (range.start(), range.end())).collect()
}

/// The characters of a class written as a regular expression.
pub fn class(pattern: &str) -> Result<ClassUnicode> {
    let parsed = regex_syntax::parse(pattern).with_context(|| format!("the class {pattern}"))?;
    match parsed.kind() {
        HirKind::Class(Class::Unicode(unicode)) => Ok(unicode.clone()),
        HirKind::Class(Class::Bytes(bytes)) => {
            bytes.to_unicode_class().with_context(|| format!("{pattern} is a class of bytes"))
        }
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).unwrap_or_default();
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(only), None) => Ok(single(only)),
                _ => bail!("{pattern} is not one class of characters"),
            }
        }
        _ => bail!("{pattern} is not one class of characters"),
    }
}

/// The set of one character.
pub fn single(character: char) -> ClassUnicode {
    ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(character, character)])
}
