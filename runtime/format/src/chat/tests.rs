use proptest::prelude::*;
use std::vec::Vec;

use super::*;

fn parts() -> ChatParts<'static> {
    let mut parts = ChatParts { name: "some", stop: Some("###"), ..ChatParts::default() };
    parts.between[0] = [Some("<s>sys "), Some("<s>user "), None, None];
    parts.between[1][1] = Some(" user ");
    parts.between[2][2] = Some("\nassistant é: ");
    parts.between[3][1] = Some("");
    parts.open[1] = Some("\nassistant é:");
    parts.close[2] = Some("</s>");
    parts.trims = [[Trim::Both, Trim::None, Trim::BothLines, Trim::End]; 5];
    parts.trims[4][3] = Trim::Start;
    parts.empty_system_is_none = true;
    parts
}

fn section(parts: &ChatParts<'_>) -> Vec<u8> {
    let mut buffer = std::vec![0; parts.most_bytes()];
    parts.write(&mut buffer).unwrap().to_vec()
}

#[test]
fn what_is_written_is_read() {
    let (parts, bytes) = (parts(), section(&parts()));
    // What opens the answer and the empty text are stored within others.
    assert_eq!(bytes.len(), HEADER_BYTES + [7, 8, 6, 15, 4, 3, 4].iter().sum::<usize>());
    let template = ChatTemplate::parse(&bytes).unwrap();
    for (row, after) in [None].into_iter().chain(Role::ALL.map(Some)).enumerate() {
        for role in Role::ALL {
            assert_eq!(template.between(after, role), parts.between[row][role as usize]);
            assert_eq!(template.trim(after, role), parts.trims[row][role as usize]);
        }
    }
    for role in Role::ALL {
        let place = role as usize;
        assert_eq!((template.open(role), template.close(role)), (parts.open[place], parts.close[place]));
    }
    assert_eq!((template.stop(), template.name()), (Some("###"), "some"));
    assert!(template.empty_system_is_none() && !template.rewrites());
}

#[test]
fn what_cannot_be_is_refused_with_what_was_found() {
    let mut other = parts();
    other.open[1] = Some("\nassistant:");
    let refused = ChatTemplate::parse(&section(&other)).err();
    assert_eq!(refused, Some(ChatFormatError::Opening { after: "user" }));
    other.rewrites = true;
    assert!(ChatTemplate::parse(&section(&other)).unwrap().rewrites());

    let whole = section(&parts());
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        ChatTemplate::parse(&bytes).err()
    };
    assert_eq!(with(0, 4 + 1), Some(ChatFormatError::Field { field: "flags", found: 5 }));
    assert_eq!(with(4 + 2, 6), Some(ChatFormatError::Field { field: "trim", found: 6 }));
    assert_eq!(with(3, 1), Some(ChatFormatError::Field { field: "reserved", found: 1 }));
    assert_eq!(with(24 + 3, 1), Some(ChatFormatError::Text { index: 0 }));
    assert_eq!(with(HEADER_BYTES, 0xFF), Some(ChatFormatError::Utf8));
    let mut buffer = [0; HEADER_BYTES + 8];
    assert_eq!(parts().write(&mut buffer), Err(ChatWriteError::Buffer));
    let long = "x".repeat(70_000);
    let long = ChatParts { name: &long, ..ChatParts::default() };
    let mut buffer = std::vec![0; long.most_bytes()];
    assert_eq!(long.write(&mut buffer), Err(ChatWriteError::TooLong));
}

#[test]
fn every_truncation_and_every_bit_flip_is_read_without_a_panic() {
    let whole = section(&parts());
    for length in 0..whole.len() {
        assert!(ChatTemplate::parse(&whole[..length]).is_err(), "{length}");
    }
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        read_all(&bytes);
    }
}

fn read_all(bytes: &[u8]) {
    let Ok(template) = ChatTemplate::parse(bytes) else { return };
    for after in Role::ALL {
        let texts = Role::ALL.map(|role| template.between(Some(after), role));
        assert!(texts.into_iter().chain([template.open(after), template.close(after)]).count() == 6);
    }
}

#[test]
fn trims_take_what_python_takes() {
    let text = "\u{1F}\n\u{85} a\u{A0}b \u{3000}\u{1C}\n";
    assert_eq!(Trim::Both.of(text), "a\u{A0}b");
    assert_eq!(Trim::Start.of(text), "a\u{A0}b \u{3000}\u{1C}\n");
    assert_eq!(Trim::End.of(text), "\u{1F}\n\u{85} a\u{A0}b");
    assert_eq!(Trim::StartLines.of("\n\n a\n"), " a\n");
    assert_eq!(Trim::BothLines.of("\n\n a\n"), " a");
    assert_eq!(Trim::None.of(text), text);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
        let mut plausible = section(&parts());
        for (at, byte) in bytes.chunks_exact(2).map(|pair| (pair[0] as usize, pair[1])) {
            let length = plausible.len();
            plausible[at % length] = byte;
        }
        read_all(&plausible);
    }
}
