//! Tests of the tokenizer on small vocabularies made here; `tests/e2e` compares real ones with references.

mod fixture;

use std::string::String;
use std::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use sprat_format::tokenizer::{
    AddedFlags, Prefix, Settings, StageFlags, StageParts, TokenizerKind, TokenizerTables,
};

use self::fixture::{
    BYTE_LEVEL, DIGIT_STAGE, SENTENCE_PIECE, WHOLE, WORD_STAGE, WORDS, byte_level, composing, decode, encode,
    naive_merges, pieces, sentence_piece,
};
use super::{EncodeError, Special, StreamDecoder, Tokenizer, scratch_words};

#[test]
fn stages_cut_the_pieces_of_the_stages_before() {
    assert_eq!(pieces(WORDS, "Hello  world 42!?é"), ["Hello", "  ", "world", " 42!?", "é"]);
    assert_eq!(pieces(WORDS, " "), [" "]);
    assert_eq!(pieces(WORDS, ""), [""; 0]);
    assert_eq!(pieces(WHOLE, "a b"), ["a b"]);
    let digits = &[DIGIT_STAGE, WORD_STAGE];
    assert_eq!(pieces((BYTE_LEVEL, digits), "a 12b 3"), ["a", " ", "1", "2", "b", " ", "3"]);
    let removing = StageParts { flags: StageFlags::REMOVE, ..DIGIT_STAGE };
    assert_eq!(pieces((BYTE_LEVEL, &[removing, WORD_STAGE]), "1a2 b12"), ["a", " b"]);
    assert_eq!(pieces((BYTE_LEVEL, &[removing]), "12"), [""; 0]);
    // Bytes as GPT-2 writes them: a space is no space any more, and 0xE9 is the letter é.
    let bytes = StageParts { flags: StageFlags::BYTES, ..WORD_STAGE };
    assert_eq!(pieces((BYTE_LEVEL, &[WORD_STAGE, bytes]), " a!"), [" a", "!"]);
}

#[test]
fn a_prefix_space_goes_before_each_input_of_the_last_stage() {
    let prefix = Settings { prefix: Prefix::Pieces, ..BYTE_LEVEL };
    let cut = |text| pieces((prefix, &[WORD_STAGE]), text);
    assert_eq!(cut("a b"), [" a", " b"]);
    assert_eq!(cut(" a"), [" a"]);
    assert_eq!(cut("\nx"), [" \n", "x"]);
    assert_eq!(cut(""), [""; 0]);
    assert_eq!(pieces((prefix, &[DIGIT_STAGE, WORD_STAGE]), "a1 b"), [" a", " 1", " b"]);
    assert_eq!(pieces((prefix, &[DIGIT_STAGE]), "a1"), [" a", "1"], "a gap takes the space too");
    assert_eq!(pieces((prefix, &[]), "a b"), [" a b"]);
}

#[test]
fn unicode_composes_as_the_tables_say() {
    let section = composing(WHOLE, &[], &["é"]);
    let bytes = |text: &str| decode(&section, &encode(&section, text, Special::Parse));
    assert_eq!(bytes("e\u{301}"), "é");
    assert_eq!(bytes("\u{212B}x"), "\u{C5}x");
    assert_eq!(bytes("s\u{307}\u{323}"), "\u{1E69}", "marks are ordered first");
    assert_eq!(bytes("s\u{307}\u{302}\u{323}"), "\u{1E69}\u{302}");
    assert_eq!(bytes("\u{958}"), "\u{915}\u{93C}", "an excluded composite stays apart");
    assert_eq!(bytes("e\u{300}\u{301}"), "e\u{300}\u{301}", "blocked by an equal class");
    assert_eq!(bytes("\u{1112}\u{1161}\u{11AB}한\u{AC00}\u{11A8}"), "한한각");
    assert_eq!(bytes("\u{301}a"), "\u{301}a");
    assert_eq!(
        encode(&section, "e\u{301}", Special::Parse),
        [0xC3, 0xA9],
        "the added é is of the first pass"
    );
    let marks = String::from("e") + &"\u{307}\u{323}".repeat(2000);
    let mut sorted = String::from("e") + &"\u{323}".repeat(2000) + &"\u{307}".repeat(2000);
    assert_eq!(bytes(&marks), sorted);
    sorted.push('\u{301}');
    assert_eq!(bytes(&sorted), sorted);
}

#[test]
fn text_that_grows_too_much_says_how_much_scratch_does() {
    let section = composing(WHOLE, &[], &[]);
    let tokenizer = Tokenizer::new(TokenizerTables::parse(&section).unwrap());
    let text = "\u{958}".repeat(50);
    let mut out = vec![0; 2 * text.len()];
    let error = tokenizer.encode(&text, Special::Parse, &mut vec![0; scratch_words(text.len())], &mut out);
    let Err(EncodeError::Scratch { need, .. }) = error else { panic!("{error:?}") };
    assert_eq!(tokenizer.encode(&text, Special::Parse, &mut vec![0; need], &mut out), Ok(2 * text.len()));
}

const UNIGRAM: Settings = Settings {
    unknown: Some(0),
    byte_fallback: false,
    prefix: Prefix::None,
    kind: TokenizerKind::Unigram,
    ..SENTENCE_PIECE
};

#[test]
fn unigram_takes_the_best_sum() {
    let pieces = [
        ("a", -1.0),
        ("b", -1.0),
        ("c", -1.0),
        ("d", -1.0),
        ("ab", -1.5),
        ("cd", -1.5),
        ("abc", -1.2),
        (" ", -2.0),
    ];
    let [a, b, _, d, ab, cd, abc, space] = [259, 260, 261, 262, 263, 264, 265, 266];
    let section = sentence_piece(UNIGRAM, &pieces);
    let tokens = |text| encode(&section, text, Special::AsText);
    assert_eq!(tokens("abc"), [abc]);
    assert_eq!(tokens("abcd"), [abc, d], "-2.2 is better than -3.0");
    assert_eq!(tokens("abcdcd"), [abc, d, cd]);
    assert_eq!(tokens("b\u{e9}\u{1f980}a"), [b, 0, a], "unknown characters in a row are one");
    assert_eq!(tokens("\u{e9}"), [0]);
    assert_eq!(tokens(""), [0; 0]);
    assert_eq!(tokens("<s>").len(), 1);
    let falling = Settings { byte_fallback: true, prefix: Prefix::Text, ..UNIGRAM };
    let section = sentence_piece(falling, &pieces);
    let tokens = encode(&section, "ab\u{e9}a", Special::AsText);
    assert_eq!(tokens, [space, ab, 3 + 0xC3, 3 + 0xA9, a]);
    assert_eq!(decode(&section, &tokens), "ab\u{e9}a");
    let mut scratch = vec![0; scratch_words(4)];
    let tokenizer = Tokenizer::new(TokenizerTables::parse(&section).unwrap());
    assert_eq!(tokenizer.encode("abab", Special::AsText, &mut scratch, &mut [0; 3]), Ok(3));
    let lacking = tokenizer.encode("abab", Special::AsText, &mut scratch[..20], &mut [0; 3]);
    assert_eq!(lacking, Err(EncodeError::Scratch { need: 25, have: 20 }));
}

#[test]
fn merges_go_by_rank_and_never_across_pieces() {
    let section = byte_level(WORDS, &["ab", "aa", "aab", " aab"], &[]);
    let tokens = |text| encode(&section, text, Special::Parse);
    assert_eq!(tokens("ab"), [256]);
    assert_eq!(tokens("aaab"), [257, 256], "the lowest rank first: a a ab, then aa");
    assert_eq!(tokens("aaa"), [257, 97], "the leftmost of equals");
    assert_eq!(tokens("a\nab"), [97, 10, 256]);
    assert_eq!(tokens(""), [0; 0]);
    assert_eq!(decode(&section, &tokens("aaab\u{1F980} é")), "aaab\u{1F980} é");
}

#[test]
fn ignore_merges_takes_whole_pieces_first() {
    let plain = byte_level(WORDS, &["ab", "bc", "abc"], &["<s>"]);
    let ignoring = (Settings { ignore_merges: true, ..BYTE_LEVEL }, WORDS.1);
    let ignoring = byte_level(ignoring, &["ab", "bc", "abc", "bcx", "abcd"], &["<s>"]);
    assert_eq!(encode(&plain, "abc", Special::Parse), [258]);
    assert_eq!(encode(&ignoring, "abcd", Special::Parse), [260]);
    assert_eq!(encode(&ignoring, "abcd", Special::AsText), [260]);
}

#[test]
fn added_tokens_are_leftmost_longest_and_special_ones_only_on_demand() {
    let added = ["<|a|>", "<|a|>b", "+=", "+", "ab"];
    let mut section = byte_level(WORDS, &["ab"], &added);
    // Ids: 256 the merge ab; 257 and 258 begin with '<', so the fixture made them special; 261 has the bytes of 256.
    let parse = |text| encode(&section, text, Special::Parse);
    assert_eq!(parse("x<|a|>by"), [u32::from(b'x'), 258, u32::from(b'y')]);
    assert_eq!(parse("<|a|>+=+"), [257, 259, 260]);
    assert_eq!(parse("cab"), [u32::from(b'c'), 261]);
    let as_text = encode(&section, "<|a|>ab+", Special::AsText);
    assert!(as_text.iter().all(|&id| id != 257 && id != 258), "{as_text:?}");
    assert_eq!(as_text.last(), Some(&260), "an added token that is not special still matches");
    assert_eq!(decode(&section, &as_text), "<|a|>ab+");
    let tables = TokenizerTables::parse(&section).unwrap();
    let tokenizer = Tokenizer::new(tables);
    assert!(tokenizer.is_special(257) && !tokenizer.is_special(259) && !tokenizer.is_special(9999));
    assert_eq!(tokenizer.id_of("<|a|>"), Some(257));
    assert_eq!(tokenizer.id_of("ab"), Some(256));
    assert_eq!(tokenizer.token_bytes(9999), b"");
    // Stripping takes the white space on both sides.
    let strip = AddedFlags::LEFT_STRIP.with(AddedFlags::RIGHT_STRIP);
    let blob: usize = (0..262).filter_map(|id| tables.token(id)).map(<[u8]>::len).sum();
    let patterns: usize = added.iter().map(|token| token.len()).sum();
    let first_flag = section.len() - blob - patterns - added.len();
    section[first_flag] |= strip.0; // sorted by bytes, "+" is the first
    assert_eq!(encode(&section, "x \n + y", Special::Parse), [u32::from(b'x'), 260, u32::from(b'y')]);
    assert_eq!(encode(&section, " + + ", Special::Parse), [260, 260]);
}

#[test]
fn no_merge_leads_to_a_special_token_in_plain_text() {
    let section = byte_level(WHOLE, &["<e", "<e>"], &[]);
    // The fixture calls tokens special that begin with '<' and end with '>'.
    assert_eq!(encode(&section, "<e>", Special::Parse), [257]);
    assert_eq!(encode(&section, "<e>", Special::AsText), [256, u32::from(b'>')]);
}

#[test]
fn sentence_pieces_merge_by_score_and_fall_back_to_bytes() {
    let section =
        sentence_piece(SENTENCE_PIECE, &[(" ", -1.0), ("a", -2.0), ("b", -3.0), (" a", -5.0), ("ab", -4.0)]);
    // 0 to 2 are unknown, BOS, EOS; 3 to 258 the bytes; then the pieces.
    let [space, _, b, space_a, ab] = [259, 260, 261, 262, 263];
    let tokens = |text| encode(&section, text, Special::AsText);
    assert_eq!(tokens("ab"), [space, ab], "ab scores better than the prefix with a");
    assert_eq!(tokens("a"), [space_a]);
    assert_eq!(tokens("bé\0"), [space, b, 3 + 0xC3, 3 + 0xA9, 3]);
    assert_eq!(tokens(""), [0; 0]);
    assert_eq!(tokens("<0x41><s>").len(), 1 + "<0x41><s>".len(), "the names of tokens are text");
    let tokenizer = Tokenizer::new(TokenizerTables::parse(&section).unwrap());
    let shown = |after_bos| {
        let mut text = String::new();
        let mut decoder = tokenizer.stream_decoder(after_bos);
        tokens("aé a")
            .iter()
            .for_each(|&id| decoder.push(tokenizer.token_bytes(id), |part| text.push_str(part)));
        text
    };
    assert_eq!(shown(true), "aé a");
    assert_eq!(shown(false), " aé a");
    let no_fallback = Settings { byte_fallback: false, unknown: Some(0), ..SENTENCE_PIECE };
    let section = sentence_piece(no_fallback, &[("a", -2.0)]);
    assert_eq!(encode(&section, "aé", Special::AsText), [0, 259, 0]);
}

#[test]
fn too_little_room_is_an_error_with_numbers() {
    let section = byte_level(WORDS, &["ab"], &[]);
    let tokenizer = Tokenizer::new(TokenizerTables::parse(&section).unwrap());
    let mut scratch = vec![0; scratch_words(7)];
    let mut out = [0; 3];
    let text = "ab abab";
    let too_long = tokenizer.encode(text, Special::Parse, &mut scratch, &mut out);
    assert_eq!(too_long, Err(EncodeError::Output { need: 4, have: 3 }));
    assert_eq!(out, [256, 32, 256], "the beginning is there");
    let mut out = [0; 4];
    // The longest piece has 5 bytes.
    assert_eq!(tokenizer.encode(text, Special::Parse, &mut scratch[..20], &mut out), Ok(4));
    let lacking = tokenizer.encode(text, Special::Parse, &mut scratch[..19], &mut out);
    assert_eq!(lacking, Err(EncodeError::Scratch { need: scratch_words(7), have: 19 }));
    assert_eq!(tokenizer.encode("", Special::Parse, &mut [], &mut []), Ok(0));
    assert_eq!(scratch_words(usize::MAX), usize::MAX);
}

/// The fastest of three runs.
fn fastest(mut run: impl FnMut()) -> Duration {
    let timed = (0..3).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    timed.min().unwrap_or_default()
}

#[test]
fn one_long_word_does_not_cost_the_square_of_its_length() {
    let doublings: Vec<String> = (1..=12).map(|power| "a".repeat(1 << power)).collect();
    let doublings: Vec<&str> = doublings.iter().map(String::as_str).collect();
    let scored: Vec<(&str, f32)> = doublings.iter().map(|&text| (text, -(text.len() as f32))).collect();
    let scored = [&[("a", 0.0)], &scored[..]].concat();
    for section in [byte_level(WORDS, &doublings, &[]), sentence_piece(SENTENCE_PIECE, &scored)] {
        let (short, long) = ("a".repeat(16 << 10), "a".repeat(256 << 10));
        let time = |text: &str| fastest(|| drop(encode(&section, text, Special::AsText)));
        let ratio = time(&long).as_secs_f64() / time(&short).as_secs_f64();
        // 16 times the length: n log n is a ratio of 21, the square 256.
        assert!(ratio < 80.0, "16 times the text took {ratio} times the time");
    }
}

#[test]
fn a_row_of_n_symbols_asks_for_4_n_pairs_at_most() {
    for n in [1usize, 2, 3, 100, 5000] {
        let mut scratch = vec![0; scratch_words(n)];
        let mut symbols = super::merge::Symbols::new(&mut scratch, n).unwrap();
        (0..n).for_each(|_| symbols.push(Some(1)));
        let asked = core::cell::Cell::new(0);
        symbols.merge(&|left, right| {
            asked.set(asked.get() + 1);
            (left == right).then_some((left, left + 1))
        });
        assert!(asked.get() <= 4 * n, "{} lookups for {n} symbols", asked.get());
        let mut survivors = Vec::new();
        symbols.survivors(|id| survivors.push(id));
        let covered: usize = survivors.iter().map(|&id| 1usize << (id - 1)).sum();
        assert_eq!((survivors.len(), covered), (n.count_ones() as usize, n));
    }
}

/// All bytes of a stream through the decoder, cut into tokens at the given places.
fn stream(bytes: &[u8], cuts: &[usize]) -> String {
    let mut decoder = StreamDecoder::default();
    let mut text = String::new();
    let mut start = 0;
    for &cut in cuts.iter().chain([&bytes.len()]) {
        let end = cut.clamp(start, bytes.len());
        decoder.push(&bytes[start..end], |part| text.push_str(part));
        assert!(decoder.pending_bytes() <= 3);
        start = end;
    }
    decoder.finish(|part| text.push_str(part));
    text
}

#[test]
fn streams_are_the_same_for_every_split() {
    let texts: [&[u8]; 6] = [
        "aé€🦀 \u{200D}".as_bytes(),
        b"\xE2\x82A\xF0\x9F\x98",
        b"\xF0\x9F\xE2\x82\xAC\xC3",
        b"\x80\xBF\xFF\xC0\x80",
        b"\xED\xA0\x80\xF4\x90\x80\x80",
        b"\xE0\x80\x80\xF0\x80\x80\x80z",
    ];
    for bytes in texts {
        let expected = String::from_utf8_lossy(bytes);
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                assert_eq!(stream(bytes, &[first, second]), expected, "{bytes:X?} at {first}, {second}");
            }
        }
        assert_eq!(stream(bytes, &(0..bytes.len()).collect::<Vec<_>>()), expected, "byte by byte");
    }
}

proptest! {
    #[test]
    fn streams_equal_the_lossy_text(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..=0xF4u8], 0..40),
        mut cuts in prop::collection::vec(0..40usize, 0..10),
    ) {
        cuts.sort_unstable();
        prop_assert_eq!(stream(&bytes, &cuts), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn merges_equal_the_naive_ones_and_decode_to_the_text(text in "[abc]{0,40}") {
        let words = ["ab", "bc", "ca", "abc", "aa", "aab", "cabc", "bcca"];
        let section = byte_level(WHOLE, &words, &[]);
        let tokens = encode(&section, &text, Special::AsText);
        prop_assert_eq!(&tokens, &naive_merges(&section, &text));
        prop_assert_eq!(decode(&section, &tokens), text);
    }

    #[test]
    fn any_text_comes_back(text in any::<String>(), kind in 0..4usize) {
        let section = match kind {
            0 => byte_level(WORDS, &["th", "the", " t"], &["<a>", "the"]),
            1 => composing(WORDS, &["th", "the", " t"], &["<a>", "the"]),
            2 => byte_level((BYTE_LEVEL, &[DIGIT_STAGE, WORD_STAGE]), &["th"], &[]),
            _ => sentence_piece(SENTENCE_PIECE, &[("a", -1.0), (" ", -1.0), (" a", -1.0)]),
        };
        for special in [Special::AsText, Special::Parse] {
            prop_assert_eq!(decode(&section, &encode(&section, &text, special)), &text[..]);
        }
    }

    #[test]
    fn hostile_tables_neither_panic_nor_hang(
        kind in 0..5usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        text in prop_oneof![any::<String>(), "[ab<>1e\u{301}\u{323} \n]{0,30}"],
    ) {
        let mut section = match kind {
            0 => byte_level((BYTE_LEVEL, &[DIGIT_STAGE, WORD_STAGE]), &["ab", "aba", "  "], &["<a>", "b<"]),
            2 => composing(WORDS, &["ab", "aba"], &["<a>", "e"]),
            3 => sentence_piece(UNIGRAM, &[("a", -1.0), ("b", -1.5), (" a", -2.0), ("ab", -3.0)]),
            1 => byte_level((Settings { ignore_merges: true, ..BYTE_LEVEL }, WORDS.1), &["ab"], &["<a>"]),
            _ => sentence_piece(SENTENCE_PIECE, &[("a", -1.0), ("b", -1.5), (" a", -2.0), ("ab", -3.0)]),
        };
        for (place, value) in flips {
            let place = place.index(section.len());
            section[place] = value;
        }
        if let Ok(tables) = TokenizerTables::parse(&section) {
            let (mut scratch, mut out) = (vec![0; scratch_words(12 * text.len())], vec![0; 36 * text.len() + 1]);
            for special in [Special::AsText, Special::Parse] {
                // Hostile decompositions can ask for more than that, which is an error.
                let count = Tokenizer::new(tables).encode(&text, special, &mut scratch, &mut out).unwrap_or(0);
                prop_assert!(out[..count].iter().all(|&id| id < tables.vocab_size()));
                decode(&section, &out[..count]);
            }
        }
    }
}
