//! The wire as a person sees it: commands in words, answers in lines.
//!
//! Numbers are written out here, since `core::fmt` would take more flash than the rest of the console.

use super::message::{Done, How, Last, MOST_VOTES, Piece, Refusal, Totals};
use super::port::Command;

/// What a line begins with that is a person's turn.
pub(super) const PROMPT: &[u8] = b"> ";
/// What can be typed beside questions.
const HELP: &str = "a question, or /reset /stats /tools /bench /info /votes K /history on|off";

/// What a person chose for all questions to come.
// All zero at first, as the memory of a wire has to be.
#[derive(Debug)]
pub(super) struct Habits {
    votes: u32,
    history: bool,
}

impl Habits {
    /// As [`How::DEFAULT`].
    pub const fn new() -> Self {
        Self { votes: How::DEFAULT.votes, history: How::DEFAULT.history }
    }

    const fn how(&self) -> How {
        How { votes: self.votes, history: self.history, ..How::DEFAULT }
    }
}

/// What a line asks for; `None` for one that is dealt with. `habits` is how this person's questions are answered.
pub(super) fn command(
    line: &str,
    habits: &mut Habits,
    write: &mut impl FnMut(&[u8]),
) -> Result<Option<Command>, Refusal> {
    let Some(words) = line.strip_prefix('/') else { return Ok(Some(Command::Ask(habits.how()))) };
    let (name, argument) = words.split_once(' ').unwrap_or((words, ""));
    Ok(Some(match (name, argument.trim()) {
        ("reset", "") => Command::Reset,
        ("stats", "") => Command::Totals,
        ("tools", "") => Command::Tools,
        ("bench", "") => Command::Bench,
        ("info", "") => Command::Info,
        ("votes", number) => {
            let votes = number.parse().map_err(|_| Refusal::Unknown)?;
            if votes > MOST_VOTES {
                return Err(Refusal::Votes { most: MOST_VOTES });
            }
            habits.votes = votes;
            return Ok(None);
        }
        ("history", "on") => {
            habits.history = true;
            return Ok(None);
        }
        ("history", "off") => {
            habits.history = false;
            return Ok(None);
        }
        ("help", _) => {
            line_of(HELP, write);
            return Ok(None);
        }
        _ => return Err(Refusal::Unknown),
    }))
}

/// Text, with line ends as terminals want them.
pub(super) fn text(text: &str, write: &mut impl FnMut(&[u8])) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            write(b"\r\n");
        }
        write(line.as_bytes());
    }
}

fn line_of(text: &str, write: &mut impl FnMut(&[u8])) {
    write(text.as_bytes());
    write(b"\r\n");
}

/// A part of an answer.
pub(super) fn piece(piece: &Piece<'_>, write: &mut impl FnMut(&[u8])) {
    match *piece {
        Piece::Text(written) | Piece::Result { inserted: written, .. } => text(written, write),
        // Their text is shown already.
        Piece::Call { .. } | Piece::Abandoned | Piece::Working => {}
        Piece::Chain(chain) => {
            write(if chain == 0 { b"[" } else { b"\r\n[" });
            number((chain + 1).into(), write);
            write(b"] ");
        }
        Piece::Verdict { answer, votes, chains } => {
            write(b"\r\n= ");
            write(answer.as_bytes());
            labelled(&[("", votes.into()), (" votes of ", chains.into())], write);
        }
        Piece::Tool(name) => {
            write(name.as_bytes());
            write(b" ");
        }
        Piece::Board(board) => {
            for name in [board.board, ", ", board.model, ", ", board.kernel] {
                write(name.as_bytes());
            }
            labelled(&[(" kernels, context ", board.context_tokens.into())], write);
        }
        Piece::Stage { name, reading, writing } => {
            write(b"\r\n");
            write(name.as_bytes());
            labelled(&[(": read ", reading), (", written ", writing)], write);
        }
    }
}

/// The end of an answer.
pub(super) fn last(last: &Last, write: &mut impl FnMut(&[u8])) {
    write(b"\r\n");
    match last {
        Last::Ok => {}
        Last::Done(Done { stop, read_tokens, written_tokens, calls, reading, writing, .. }) => {
            write(b"[");
            write(stop.text().as_bytes());
            let numbers = [
                (": read ", u64::from(*read_tokens)),
                (" in ", *reading),
                (", written ", u64::from(*written_tokens)),
                (" in ", *writing),
                (", calls ", u64::from(*calls)),
            ];
            labelled(&numbers, write);
            line_of("]", write);
        }
        Last::Totals(Totals {
            turns, position, context_tokens, read_tokens, written_tokens, calls, ..
        }) => {
            let numbers = [
                ("turns ", *turns),
                (", context ", *position),
                (" of ", *context_tokens),
                (", read ", *read_tokens),
                (", written ", *written_tokens),
                (", calls ", *calls),
            ];
            labelled(&numbers.map(|(label, number)| (label, number.into())), write);
            write(b"\r\n");
        }
        Last::Bench(bench) => {
            let read = |count: u64| count / u64::from(bench.read_tokens.max(1));
            let written = |count: u64| count / u64::from(bench.written_tokens.max(1));
            let numbers = [
                ("a token read: ", read(bench.reading)),
                (", products ", read(bench.read_products)),
                (", bytes of weights ", read(bench.read_bytes)),
                ("\r\na token written: ", written(bench.writing)),
                (", products ", written(bench.written_products)),
                (", bytes of weights ", written(bench.written_bytes)),
            ];
            labelled(&numbers, write);
            write(b"\r\n");
        }
        Last::Refused(refusal) => line_of(refusal.text(), write),
    }
}

fn labelled(numbers: &[(&str, u64)], write: &mut impl FnMut(&[u8])) {
    for (label, value) in numbers {
        write(label.as_bytes());
        number(*value, write);
    }
}

/// A number in decimal digits.
fn number(value: u64, write: &mut impl FnMut(&[u8])) {
    let (mut digits, mut rest) = ([0; 20], value);
    let mut first = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        (first, rest) = (index, rest / 10);
        if rest == 0 {
            break;
        }
    }
    write(&digits[first..]);
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::String;
    use std::vec::Vec;

    use super::super::message::Bench;
    use super::*;

    fn shown(render: impl FnOnce(&mut dyn FnMut(&[u8]))) -> String {
        let mut bytes = Vec::new();
        render(&mut |part| bytes.extend_from_slice(part));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_are_whole() {
        for value in [0, 7, 10, 1_234_567, u64::MAX] {
            assert_eq!(shown(|mut write| number(value, &mut write)), std::format!("{value}"));
        }
    }

    #[test]
    fn line_ends_are_a_terminals() {
        assert_eq!(shown(|mut write| text("a\nb\n", &mut write)), "a\r\nb\r\n");
    }

    #[test]
    fn measurements_are_told_a_token() {
        let stage = Piece::Stage { name: "norm", reading: 7, writing: 9 };
        assert_eq!(shown(|mut write| piece(&stage, &mut write)), "\r\nnorm: read 7, written 9");
        let bench = Bench {
            read_tokens: 2,
            reading: 20,
            read_products: 10,
            written_tokens: 3,
            writing: 60,
            written_products: 33,
            counts_per_second: 0,
            read_bytes: 9,
            written_bytes: 300,
        };
        assert_eq!(
            shown(|mut write| last(&Last::Bench(bench), &mut write)),
            "\r\na token read: 10, products 5, bytes of weights 4\r\n\
             a token written: 20, products 11, bytes of weights 100\r\n"
        );
    }

    #[test]
    fn a_line_is_a_question_or_a_command() {
        let mut habits = Habits::new();
        let mut typed = |line: &str| command(line, &mut habits, &mut |_| {});
        assert_eq!(typed("/reset"), Ok(Some(Command::Reset)));
        assert_eq!(typed("/votes 9"), Err(Refusal::Votes { most: MOST_VOTES }));
        assert_eq!(typed("/votes 5"), Ok(None));
        assert_eq!(typed("/reset all"), Err(Refusal::Unknown));
        assert_eq!(typed("1/2?"), Ok(Some(Command::Ask(How { votes: 5, ..How::DEFAULT }))));
        assert_eq!(typed("/history"), Err(Refusal::Unknown));
        assert_eq!(typed("/history on"), Ok(None));
        assert_eq!(typed("and?"), Ok(Some(Command::Ask(How { votes: 5, history: true, ..How::DEFAULT }))));
    }
}
