//! The keys and values at the head of a GGUF file, by name and of the type that is asked for.
//!
//! Whoever needs a value says of what kind it must be; a value of another kind is an error that names the key, what
//! was found and what was expected. Strings and arrays borrow from the file: a vocabulary of 100,000 tokens is not
//! copied, and a count that lies cannot make this allocate.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, anyhow, bail, ensure};

use super::reader::Reader;

/// Arrays within arrays, at most. No file in use has more than one level.
const MAX_DEPTH: usize = 4;

/// Types of values, by their number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    const ALL: [Self; 13] = {
        use Kind::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64]
    };

    fn from_number(number: u32, key: &str) -> Result<Self> {
        let kind = usize::try_from(number).ok().and_then(|index| Self::ALL.get(index).copied());
        kind.ok_or_else(|| {
            anyhow!("{key} is of type {number}; GGUF has the types 0 to 12: the file is damaged")
        })
    }

    /// Bytes of a value of fixed size.
    const fn bytes(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::Text | Self::Array => None,
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number of any of the eight integer types.
    Integer(i128),
    /// A number of `f32` or `f64`.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A string.
    Text(&'a str),
    /// Values of one type.
    Array(Array<'a>),
}

/// Values of one type, still as the file has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Array<'a> {
    kind: Kind,
    count: usize,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Array<'a> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values. They were checked when the file was opened.
    pub fn values(self) -> impl Iterator<Item = Value<'a>> {
        let mut reader = Reader::new(self.bytes, self.at);
        (0..self.count).map_while(move |_| read_value(&mut reader, self.kind, "a value", 0).ok())
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Flag(value) => write!(f, "{value}"),
            Self::Text(text) if text.chars().count() > SHOWN => {
                write!(f, "{:?}...", text.chars().take(SHOWN).collect::<String>())
            }
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Array(array) => write!(f, "an array of {} values", array.count),
        }
    }
}

/// Reads one value; an array is walked through, so that later readers of it cannot fail.
fn read_value<'a>(reader: &mut Reader<'a>, kind: Kind, key: &str, depth: usize) -> Result<Value<'a>> {
    if let Some(bytes) = kind.bytes() {
        let bytes = reader.bytes(bytes, key)?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        return Ok(match kind {
            Kind::I8 => Value::Integer((word as i8).into()),
            Kind::I16 => Value::Integer((word as i16).into()),
            Kind::I32 => Value::Integer((word as i32).into()),
            Kind::I64 => Value::Integer((word as i64).into()),
            Kind::F32 => Value::Number(f32::from_bits(word as u32).into()),
            Kind::F64 => Value::Number(f64::from_bits(word)),
            Kind::Bool => {
                ensure!(word <= 1, "{key} is the truth value {word}; expected 0 or 1: the file is damaged");
                Value::Flag(word == 1)
            }
            _ => Value::Integer(word.into()),
        });
    }
    if kind == Kind::Text {
        return reader.text(key).map(Value::Text);
    }
    ensure!(depth < MAX_DEPTH, "{key}: arrays within arrays deeper than {MAX_DEPTH} are not supported");
    let kind = Kind::from_number(reader.u32(key)?, key)?;
    let claimed = reader.u64(key)?;
    let (mut from, at) = (*reader, reader.at());
    match kind.bytes() {
        Some(bytes) if kind != Kind::Bool => _ = reader.bytes(claimed.saturating_mul(bytes), key)?,
        _ => {
            for _ in 0..claimed {
                read_value(reader, kind, key, depth + 1)?;
            }
        }
    }
    let bytes = from.bytes((reader.at() - at) as u64, key)?;
    // As many values as were walked through fit a usize.
    Ok(Value::Array(Array { kind, count: claimed as usize, bytes, at }))
}

/// All keys of a file.
#[derive(Clone, Debug, Default)]
pub struct Metadata<'a> {
    entries: BTreeMap<&'a str, Value<'a>>,
}

impl<'a> Metadata<'a> {
    /// Reads `count` keys with their values.
    pub(super) fn read(reader: &mut Reader<'a>, count: u64) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let key = reader.text("a key")?;
            let kind = Kind::from_number(reader.u32(key)?, key)?;
            let value = read_value(reader, kind, key, 0)?;
            ensure!(
                entries.insert(key, value).is_none(),
                "the key {key} is there twice: the file is damaged"
            );
        }
        Ok(Self { entries })
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.entries.keys().copied()
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<Value<'a>> {
        self.entries.get(key).copied()
    }

    fn of_kind<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| anyhow!("GGUF: {key} = {value}, expected {expected}"))
    }

    /// The string of a key.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>> {
        self.of_kind(key, "a string", |value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// The count or token id of a key, of whatever integer type.
    ///
    /// # Errors
    /// It is something else, negative, or above 4294967295.
    pub fn count(&self, key: &str) -> Result<Option<u32>> {
        self.of_kind(key, "a whole number of at most 4294967295", |value| match value {
            Value::Integer(value) => u32::try_from(value).ok(),
            _ => None,
        })
    }

    /// The number of a key, of whatever number type.
    ///
    /// # Errors
    /// It is no number.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.of_kind(key, "a number", Value::as_number)
    }

    /// The truth value of a key.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.of_kind(key, "true or false", |value| match value {
            Value::Flag(value) => Some(value),
            _ => None,
        })
    }

    fn array_of<T>(
        &self,
        key: &str,
        expected: &str,
        convert: impl Fn(Value<'a>) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let Value::Array(array) = value else { bail!("GGUF: {key} = {value}, expected {expected}") };
        let convert = |(index, value)| {
            convert(value).ok_or_else(|| anyhow!("GGUF: {key}[{index}] = {value}, expected {expected}"))
        };
        array.values().enumerate().map(convert).collect::<Result<_>>().map(Some)
    }

    /// The strings of a key.
    ///
    /// # Errors
    /// It is no array, or one of something else.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>> {
        self.array_of(key, "an array of strings", |value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    /// The numbers of a key, of whatever number type, as `f32`.
    ///
    /// # Errors
    /// It is no array, or one of something else.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.array_of(key, "an array of numbers", |value| value.as_number().map(|value| value as f32))
    }

    /// The whole numbers of a key, of whatever integer type.
    ///
    /// # Errors
    /// It is no array, or one of something else, or a number is beyond `i32`.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i32>>> {
        self.array_of(key, "an array of whole numbers of 32 bits", |value| match value {
            Value::Integer(value) => i32::try_from(value).ok(),
            _ => None,
        })
    }
}

impl Value<'_> {
    fn as_number(self) -> Option<f64> {
        match self {
            Value::Number(value) => Some(value),
            Value::Integer(value) => Some(value as f64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::gguf::Entries;

    fn read(entries: &Entries) -> Result<Metadata<'_>> {
        Metadata::read(&mut Reader::new(entries.bytes(), 24), entries.count())
    }

    fn some() -> Entries {
        let mut entries = Entries::default();
        entries.text("name", "tiny");
        entries.u32("count", 7);
        entries.u64("large", 1 << 40);
        entries.i32("negative", -3);
        entries.f32("epsilon", 0.5);
        entries.flag("tied", true);
        entries.texts("tokens", &["a", "", "\u{2581}b"]);
        entries.f32s("scores", &[0.0, -1.5]);
        entries.i32s("types", &[1, -6]);
        entries
    }

    #[test]
    fn values_come_back_by_kind() {
        let entries = some();
        let metadata = read(&entries).unwrap();
        assert_eq!(metadata.keys().count(), 9);
        assert_eq!(metadata.text("name").unwrap(), Some("tiny"));
        assert_eq!(metadata.count("count").unwrap(), Some(7));
        assert_eq!(metadata.number("count").unwrap(), Some(7.0));
        assert_eq!(metadata.number("epsilon").unwrap(), Some(0.5));
        assert_eq!(metadata.flag("tied").unwrap(), Some(true));
        assert_eq!(metadata.texts("tokens").unwrap().unwrap(), ["a", "", "\u{2581}b"]);
        assert_eq!(metadata.numbers("scores").unwrap().unwrap(), [0.0, -1.5]);
        assert_eq!(metadata.integers("types").unwrap().unwrap(), [1, -6]);
        assert_eq!(metadata.text("absent").unwrap(), None);
        assert_eq!(metadata.texts("absent").unwrap(), None);
    }

    #[test]
    fn a_value_of_another_kind_is_named_with_what_was_expected() {
        let entries = some();
        let metadata = read(&entries).unwrap();
        let message = |error: anyhow::Error| error.to_string();
        assert_eq!(message(metadata.text("count").unwrap_err()), "GGUF: count = 7, expected a string");
        assert!(message(metadata.count("negative").unwrap_err()).contains("negative = -3"));
        assert!(message(metadata.count("large").unwrap_err()).contains("1099511627776"));
        assert!(message(metadata.flag("name").unwrap_err()).contains("\"tiny\", expected true or false"));
        assert!(message(metadata.texts("scores").unwrap_err()).contains("scores[0] = 0, expected an array"));
        assert!(message(metadata.integers("tied").unwrap_err()).contains("tied = true, expected an array"));
    }

    #[test]
    fn every_cut_is_refused_with_its_place() {
        let entries = some();
        for end in 0..entries.bytes().len() {
            let mut reader = Reader::new(&entries.bytes()[..end], 0);
            let error = Metadata::read(&mut reader, entries.count()).unwrap_err().to_string();
            assert!(error.contains("cut short or damaged"), "{end}: {error}");
        }
        let error = Metadata::read(&mut Reader::new(entries.bytes(), 24), u64::MAX).unwrap_err();
        assert!(error.to_string().contains("a key at byte"), "{error}");
    }

    #[test]
    fn claims_that_the_bytes_do_not_bear_out_are_refused() {
        let refused = |kind: u32, value: &[u8], expected: &str| {
            let mut entries = Entries::default();
            entries.raw("key", kind, value);
            let error = read(&entries).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(13, &[], "key is of type 13");
        refused(7, &[2], "truth value 2");
        refused(8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff], "not UTF-8");
        let array = |kind: u32, count: u64| [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat();
        refused(9, &array(4, u64::MAX), "needs 18446744073709551615 bytes");
        refused(9, &array(8, 1 << 60), "needs 8 bytes");
        refused(
            9,
            &[array(9, 1), array(9, 1), array(9, 1), array(9, 1), array(9, 0)].concat(),
            "deeper than 4",
        );
        let mut twice = Entries::default();
        twice.u32("key", 1);
        twice.u32("key", 1);
        assert!(read(&twice).unwrap_err().to_string().contains("the key key is there twice"));
    }
}
