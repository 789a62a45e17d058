use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use sprat_format::chat::{ChatParts, Trim};

use super::*;

fn section() -> Vec<u8> {
    let mut parts = ChatParts { name: "test", trims: [[Trim::Both; 4]; 5], ..ChatParts::default() };
    parts.between[0] = [Some("<s>"), Some("<s>[U]"), None, None];
    parts.between[1][1] = Some("\n[U]");
    parts.between[2][2] = Some("[A] ");
    parts.between[3][1] = Some("</s>[U]");
    parts.open[1] = Some("[A]");
    parts.close[2] = Some("</s>");
    parts.empty_system_is_none = true;
    let mut buffer = std::vec![0; parts.most_bytes()];
    parts.write(&mut buffer).unwrap().to_vec()
}

fn text_of<'t>(pieces: impl IntoIterator<Item = Piece<'t>>) -> String {
    let text = |piece| match piece {
        Piece::Template(text) | Piece::Content(text) => text,
    };
    pieces.into_iter().map(text).collect()
}

#[test]
fn a_conversation_is_its_pieces_and_continues() {
    let section = section();
    let mut chat = Chat::new(ChatTemplate::parse(&section).unwrap());
    assert_eq!(chat.open_answer(), Err(ChatError::Order { after: "nothing", role: "assistant" }));
    assert_eq!(text_of(chat.say(Role::System, " \n").unwrap()), "", "an empty system message is left out");
    let pieces: Vec<_> = chat.say(Role::System, " be kind ").unwrap().collect();
    assert_eq!(pieces, [Piece::Template("<s>"), Piece::Content("be kind")]);
    assert_eq!(text_of(chat.say(Role::User, "hi").unwrap()), "\n[U]hi");
    let refused = chat.say(Role::User, "again").err();
    assert_eq!(refused, Some(ChatError::Order { after: "user", role: "user" }));
    assert_eq!(text_of([chat.open_answer().unwrap()]), "[A]");
    assert_eq!(chat.open_answer(), Err(ChatError::Opened));
    // A given answer continues behind the opening; a generated one needs nothing.
    let mut given = chat;
    assert_eq!(text_of(given.say(Role::Assistant, "yes").unwrap()), " yes");
    assert_eq!(given.close(), Ok(Piece::Template("</s>")));
    chat.answered();
    assert_eq!(text_of(chat.say(Role::User, "more").unwrap()), "</s>[U]more");
    assert_eq!(chat.close(), Err(ChatError::NoClose));
}

#[test]
fn a_transcript_knows_what_was_said() {
    let mut buffer = [0; 8];
    let mut transcript = Transcript::new(&mut buffer);
    transcript.push(Piece::Template("U: ")).unwrap();
    transcript.push(Piece::Content("né")).unwrap();
    assert_eq!((transcript.text(), transcript.contents()), ("U: né", core::slice::from_ref(&(3..6))));
    assert_eq!(transcript.push(Piece::Template("abc")), Err(ChatError::Buffer { need: 9, have: 8 }));
    assert_eq!(transcript.text(), "U: né");
    transcript.clear();
    assert!(transcript.text().is_empty() && transcript.contents().is_empty());
    for _ in 0..MOST_CONTENTS {
        transcript.push(Piece::Content("")).unwrap();
    }
    assert_eq!(transcript.push(Piece::Content("")), Err(ChatError::Contents { most: MOST_CONTENTS }));
}

proptest! {
    #[test]
    fn a_stop_text_ends_a_stream_where_it_first_stands(
        stop in "[ab#é]{0,5}", parts in proptest::collection::vec("[ab#é]{0,4}", 0..12)
    ) {
        let whole = parts.concat();
        let expected = whole.find(&stop).filter(|_| !stop.is_empty());
        let (mut found, mut shown) = (StopText::new(&stop), String::new());
        for part in &parts {
            found.push(part, |text| shown += text);
            // Nothing is held back that cannot be the beginning of the stop text.
            prop_assert!(stop.is_char_boundary(found.matched));
        }
        found.finish(|text| shown += text);
        prop_assert_eq!(found.found(), expected.is_some());
        prop_assert_eq!(shown, whole[..expected.unwrap_or(whole.len())].to_string());
    }
}
