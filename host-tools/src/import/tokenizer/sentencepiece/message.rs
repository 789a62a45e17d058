//! The wire format of protobuf messages, read in place: field numbers with their values, nothing allocated.
//!
//! A message is a row of fields that name their own number and kind; who does not know a number skips it. Groups,
//! which nobody writes any more, are refused.

use anyhow::{Context, Result, bail};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'a> {
    /// A whole number or a truth value.
    Number(u64),
    /// A number of four bytes.
    Float(f32),
    /// A string, or a message.
    Bytes(&'a [u8]),
    /// A number of eight bytes, which SentencePiece has none of.
    Wide,
}

/// The fields of a message. After an error there is nothing more.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u64, Field<'_>)>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = message.len() - rest.len();
        let field =
            field(&mut rest).with_context(|| format!("damaged or cut short in the field at byte {at}"));
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Field<'a>)> {
    let tag = number(rest)?;
    let field = match tag & 7 {
        0 => Field::Number(number(rest)?),
        1 => {
            take(rest, 8)?;
            Field::Wide
        }
        2 => {
            let length = usize::try_from(number(rest)?)?;
            Field::Bytes(take(rest, length)?)
        }
        5 => Field::Float(f32::from_le_bytes(take(rest, 4)?.try_into()?)),
        other => bail!("wire type {other}; expected 0, 1, 2 or 5"),
    };
    Ok((tag >> 3, field))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let lacking = || format!("it needs {length} bytes, there are {}", rest.len());
    let (taken, after) = rest.split_at_checked(length).with_context(lacking)?;
    *rest = after;
    Ok(taken)
}

/// A number of seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let &[byte] = take(rest, 1)? else { bail!("a byte") };
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a number of more than 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_and_damage_is_found() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1D, 0, 0, 0x80, 0x3F];
        let found: Vec<_> = fields(&message).collect::<Result<_>>().unwrap();
        assert_eq!(found, [(1, Field::Number(150)), (2, Field::Bytes(b"hi")), (3, Field::Float(1.0))]);
        for length in (0..message.len()).filter(|length| ![0, 3, 7].contains(length)) {
            assert!(fields(&message[..length]).any(|field| field.is_err()), "{length}");
        }
        assert!(fields(&[0x0B]).next().unwrap().is_err(), "a group");
        assert!(
            fields(&[0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1])
                .next()
                .unwrap()
                .is_err()
        );
        assert!(
            fields(&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]).next().unwrap().is_err(),
            "a length beyond the end"
        );
    }
}
