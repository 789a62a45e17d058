//! Finding an answer in a chain's text, and bringing it into the form in which answers are compared.

/// What stands behind the last `marker` of a text, up to the end of the line: `None` without the marker or where
/// nothing stands behind it.
pub fn after<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    let (_, rest) = text.rsplit_once(marker)?;
    rest.trim_start_matches([' ', '\t']).lines().next().map(str::trim).filter(|answer| !answer.is_empty())
}

/// Writes the form of an answer that is the same for all that mean the same, and returns its bytes; `None` if it is
/// longer than `out`.
///
/// A number is digits with at most one point, with or without a sign, a dollar sign and commas between its digits: of
/// it stay a minus sign and the digits that count. Of other texts, the words stay, in lower case, one space apart.
pub(super) fn normalize(answer: &str, out: &mut [u8]) -> Option<usize> {
    let answer = answer.trim().trim_end_matches(['.', '!', '?', ',', ';', ' ']);
    let mut out = Out { buffer: out, used: 0 };
    match Number::of(answer) {
        Some(number) => {
            let is_zero = number.whole().next().is_none() && number.fraction.is_empty();
            if number.is_negative && !is_zero {
                out.put(b"-")?;
            }
            if number.whole().next().is_none() {
                out.put(b"0")?;
            }
            for digit in number.whole() {
                out.put(&[digit])?;
            }
            if !number.fraction.is_empty() {
                out.put(b".")?;
                out.put(number.fraction.as_bytes())?;
            }
        }
        None => {
            for (index, word) in answer.split_whitespace().enumerate() {
                if index > 0 {
                    out.put(b" ")?;
                }
                for character in word.chars().map(lower_case) {
                    out.put(character.encode_utf8(&mut [0; 4]).as_bytes())?;
                }
            }
        }
    }
    Some(out.used)
}

/// The small letter of a capital one, of the Latin letters of Western Europe, the Greek and the Cyrillic ones. The table of
/// all others would be 12 KiB of a device's flash.
const fn lower_case(character: char) -> char {
    let small = match character {
        'A'..='Z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{de}' => character as u32 + 0x20,
        // Without an accent; U+03A2 is no letter.
        '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3ab}' => character as u32 + 0x20,
        '\u{410}'..='\u{42f}' => character as u32 + 0x20,
        '\u{400}'..='\u{40f}' => character as u32 + 0x50,
        other => other as u32,
    };
    match char::from_u32(small) {
        Some(small) => small,
        None => character,
    }
}

/// The parts of a decimal number.
struct Number<'t> {
    is_negative: bool,
    /// Digits and commas.
    whole: &'t str,
    /// Digits, without zeros at the end.
    fraction: &'t str,
}

impl<'t> Number<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let (text, is_negative) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text.strip_prefix('+').unwrap_or(text), false),
        };
        let text = text.trim_start();
        let text = text.strip_prefix('$').unwrap_or(text);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        // A comma stands between two digits.
        let has_place = whole.split(',').all(|digits| !digits.is_empty() && is_digits(digits));
        let is_number = is_digits(fraction) && (has_place || whole.is_empty() && !fraction.is_empty());
        is_number.then_some(Self { is_negative, whole, fraction: fraction.trim_end_matches('0') })
    }

    /// The digits before the point that count.
    fn whole(&self) -> impl Iterator<Item = u8> + 't {
        self.whole.bytes().filter(|&byte| byte != b',').skip_while(|&byte| byte == b'0')
    }
}

struct Out<'b> {
    buffer: &'b mut [u8],
    used: usize,
}

impl Out<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used + bytes.len();
        self.buffer.get_mut(self.used..end)?.copy_from_slice(bytes);
        self.used = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::lower_case;

    #[test]
    fn small_letters_are_those_of_unicode() {
        let mut changed = 0;
        for character in '\0'..=char::MAX {
            let small = lower_case(character);
            changed += usize::from(small != character);
            let unicode = character.to_lowercase();
            assert!(small == character || unicode.eq([small]), "{character} became {small}");
        }
        // Of Latin 26 and 30, of Greek 17 and 9, of Cyrillic 32 and 16.
        assert_eq!(changed, 130);
    }
}
