//! Tests of the tokenizer section: what is written is read, and no byte string panics the reader.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A byte-level tokenizer with the merges a b -> ab, ab c -> abc, and a special token.
fn section(wide: bool) -> Vec<u8> {
    let mut texts: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
    texts.extend([b"ab".to_vec(), b"abc".to_vec(), b"<end>".to_vec(), Vec::new(), b"ab".to_vec()]);
    if wide {
        texts.resize(65_536, Vec::new());
    }
    let flags = |id| match id {
        258 => TokenFlags::SPECIAL.with(TokenFlags::ADDED),
        260 => TokenFlags::OUTSIDE.with(TokenFlags::ADDED),
        259 | 261.. => TokenFlags::UNUSED,
        _ => TokenFlags::NORMAL,
    };
    let tokens: Vec<TokenSpec<'_>> =
        texts.iter().enumerate().map(|(id, bytes)| TokenSpec { bytes, flags: flags(id) }).collect();
    let (a, b, c) = (u32::from(b'a'), u32::from(b'b'), u32::from(b'c'));
    let mut merges =
        [Merge { left: 256, right: c, rank: 1, id: 257 }, Merge { left: a, right: b, rank: 0, id: 256 }];
    sort_merges(&mut merges);
    let mut index: Vec<u32> = (0..261).filter(|&id| id != 259).collect();
    sort_index(&tokens, &mut index);
    let mut added: [(u32, AddedFlags, &[u8]); 2] =
        [(260, AddedFlags::SECOND_PASS, b"ab"), (258, AddedFlags::SINGLE_WORD, b"<end>")];
    sort_added(&mut added);
    // Classes: 0 other, 1 letter, 2 space. The stage is letter+(?!space).
    let ascii: [u8; 128] = core::array::from_fn(|byte| match byte as u8 {
        b'a'..=b'z' => 1,
        b' ' => 2,
        _ => 0,
    });
    let transitions = [0, 0, 0, 0, 0, 2 << 1, 0, 0, 1, 2 << 1 | 1, 0, 1];
    let parts = TokenizerParts {
        settings: Settings {
            prefix: Prefix::Pieces,
            ignore_merges: true,
            unknown: Some(258),
            ..Settings::plain(TokenizerKind::ByteLevelBpe)
        },
        tokens: &tokens,
        merges: &merges,
        scores: &[],
        weights: &[],
        index: &index,
        byte_tokens: &core::array::from_fn(|byte| byte as u32),
        added: &added,
        stages: &[StageParts { flags: StageFlags::REMOVE, transitions: &transitions }],
        classes: Classes {
            ascii: &ascii,
            boundaries: &[(0xAA << 8) | 1, 0xAB << 8, (0x3000 << 8) | 2, 0x3001 << 8],
            properties: &[Properties::default(), Properties::WORD, Properties::SPACE],
        },
        normalization: NormalizationParts {
            decompositions: &[(0xE9, 2), (0x212B, 4)],
            characters: &[0x65, 0x301, 0x41, 0x30A],
            compositions: &[(0x41, 0x30A, 0xC5), (0x65, 0x301, 0xE9)],
            classes: &[(0x300 << 8) | 230, 0x316 << 8],
        },
    };
    let mut section = Vec::new();
    let written: Result<(), ()> = parts.write(|bytes| {
        section.extend_from_slice(bytes);
        Ok(())
    });
    assert_eq!(written, Ok(()));
    section
}

#[test]
fn what_is_written_is_read() {
    for wide in [false, true] {
        let section = section(wide);
        let tables = TokenizerTables::parse(&section).unwrap();
        assert_eq!(tables.vocab_size(), if wide { 65_536 } else { 261 });
        assert_eq!(tables.settings().prefix, Prefix::Pieces);
        assert_eq!(tables.settings().unknown, Some(258));
        assert!(tables.settings().ignore_merges && !tables.settings().space_mark);
        assert_eq!(tables.token(257), Some(&b"abc"[..]));
        assert_eq!(tables.token(259), Some(&b""[..]));
        assert_eq!(tables.token(70_000), None);
        assert_eq!(tables.text_token(b"a", b"bc"), Some(257));
        assert_eq!(tables.text_token(b"abc", b""), Some(257));
        assert_eq!(tables.text_token(b"ab", b"cd"), None);
        assert_eq!(tables.text_token(b"<end>", b""), None, "a special token is no text");
        assert_eq!(tables.id_of(b"<end>"), Some(258));
        assert_eq!(tables.id_of(b"ab"), Some(256), "of equal bytes, the one that text becomes");
        assert_eq!(tables.id_of(b""), None);
        assert_eq!(tables.merge(256, 99).map(|merge| (merge.rank, merge.id)), Some((1, 257)));
        assert_eq!(tables.merge(97, 97), None);
        assert_eq!(tables.byte_token(7), Some(7));
        assert_eq!(tables.score_rank(7), None);
        let added: Vec<_> = (0..tables.added_count()).filter_map(|place| tables.added(place)).collect();
        assert_eq!(added[0], Added { id: 258, bytes: b"<end>", flags: AddedFlags::SINGLE_WORD });
        assert_eq!((added[1].bytes, added[1].flags), (&b"ab"[..], AddedFlags::SECOND_PASS));
        let classes = ['a', '5', ' ', 'ª', '«', '\u{3000}', '\u{3001}'].map(|c| tables.class(c));
        assert_eq!(classes, [1, 0, 2, 1, 0, 2, 0]);
        assert!(
            tables.properties('ª').any(Properties::WORD) && tables.properties(' ').any(Properties::SPACE)
        );
        let [stage] = tables.stages() else { panic!("{} stages", tables.stages().len()) };
        assert_eq!((stage.flags, stage.end()), (StageFlags::REMOVE, 3));
        assert_eq!(
            [stage.step(START, 1), stage.step(2, 1), stage.step(2, 2)],
            [(2, false), (2, true), (0, false)]
        );
        assert_eq!([stage.step(2, stage.end()), stage.step(9999, 0)], [(DEAD, true), (DEAD, false)]);
        let form = tables.normalization();
        assert_eq!(form.decomposition(0xE9).collect::<Vec<_>>(), [0x65, 0x301]);
        assert_eq!(form.decomposition(0x212B).collect::<Vec<_>>(), [0x41, 0x30A]);
        assert_eq!(form.decomposition(0x41).count(), 0);
        assert_eq!((form.composition(0x65, 0x301), form.composition(0x65, 0x30A)), (Some(0xE9), None));
        let combining = [0x2FF, 0x300, 0x315, 0x316, 0x10FFFF].map(|code| form.combining_class(code));
        assert_eq!(combining, [0, 230, 230, 0, 0]);
        let mut found = Vec::new();
        tables.tokens_at_start(b"a", b"bcd", |length, id| found.push((length, id)));
        assert_eq!(found, [(1, 97), (2, 256), (3, 257)]);
    }
}

#[test]
fn damaged_sections_are_refused_with_what_was_found() {
    let good = section(false);
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut section = good.clone();
        change(&mut section);
        TokenizerTables::parse(&section).unwrap_err()
    };
    let length = good.len();
    assert_eq!(refused(&|s| s.push(0)), TokenizerError::Length { need: length, have: length + 1 });
    assert!(matches!(refused(&|s| s.truncate(55)), TokenizerError::Length { need: 56, have: 55 }));
    assert_eq!(refused(&|s| s[0] = 4), TokenizerError::Header { offset: 0, found: 4 });
    assert_eq!(refused(&|s| s[1] = 5), TokenizerError::Header { offset: 1, found: 5 });
    assert_eq!(refused(&|s| s[3] |= 0x80), TokenizerError::Header { offset: 2, found: 0x8004 });
    assert_eq!(refused(&|s| s[9] = 2), TokenizerError::Header { offset: 8, found: 514 });
    assert_eq!(refused(&|s| s[33] = 7), TokenizerError::Header { offset: 32, found: 0x703 });
    let patterns = HEADER_BYTES + 4 * 262;
    let value = |table, entry, found| TokenizerError::Value { table, entry, found };
    assert_eq!(refused(&|s| s[patterns] = 1), value(Table::Patterns, 0, 1));
    let boundaries = patterns + 4 * 3;
    assert_eq!(refused(&|s| s[boundaries] = 3), value(Table::Classes, 0, 3));
    let merges = boundaries + 4 * 4;
    assert_eq!(refused(&|s| s[merges + 7] = 9), value(Table::Merges, 0, 0x900));
    let equal_pairs = |s: &mut Vec<u8>| s.copy_within(merges..merges + 8, merges + 8);
    assert_eq!(refused(&equal_pairs), TokenizerError::Order { table: Table::Merges, entry: 1 });
    let swapped = |s: &mut Vec<u8>| s.swap(merges + 16, merges + 18);
    assert_eq!(refused(&swapped), TokenizerError::Order { table: Table::Index, entry: 1 });
    let decompositions = merges + 16 + 2 * (260 + 256 + 2);
    assert_eq!(refused(&|s| s[decompositions + 12] = 5), value(Table::Decompositions, 1, 5));
    assert_eq!(
        refused(&|s| s[decompositions + 9] = 0),
        TokenizerError::Order { table: Table::Decompositions, entry: 1 }
    );
    let stage = decompositions + 16 + 16 + 24 + 8;
    assert_eq!(refused(&|s| s[stage + 4] = 6), value(Table::Stages, 0, 6));
    assert_eq!(refused(&|s| s[stage + 2] = 4), value(Table::Stages, 0, 4));
    assert_eq!(refused(&|s| s[stage + 28 + 128] = 4), value(Table::Properties, 0, 4));
}

#[test]
fn every_truncation_and_every_bit_flip_is_read_without_a_panic() {
    let good = section(false);
    for length in 0..good.len() {
        assert!(TokenizerTables::parse(&good[..length]).is_err());
    }
    let mut flipped = good.clone();
    for bit in 0..8 * good.len() {
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(tables) = TokenizerTables::parse(&flipped) {
            walk(&tables);
        }
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Calls every lookup and checks what holding the tables guarantees.
fn walk(tables: &TokenizerTables<'_>) {
    let known = |id: u32| assert!(id < tables.vocab_size());
    for id in (0..tables.vocab_size()).chain([NONE]) {
        let token = tables.token(id).unwrap_or_default();
        tables.id_of(token).map(known);
        tables.text_token(b"a", token).map(known);
        tables.merge(id, id.wrapping_add(1)).map(|merge| merge.id).map(known);
        let _ = (tables.score_rank(id), tables.score(id), tables.flags(id));
        tables.tokens_at_start(token, b"", |length, id| {
            assert!(length <= token.len());
            known(id);
        });
    }
    for code in 0..0x400 {
        assert!(tables.normalization().decomposition(code).all(|code| char::from_u32(code).is_some()));
        let _ =
            (tables.normalization().combining_class(code), tables.normalization().composition(code, 0x301));
    }
    for stage in tables.stages() {
        for state in 0..4 {
            let (next, _) = stage.step(state, 0);
            let _ = stage.step(next, stage.end());
        }
    }
    for place in 0..=tables.added_count() {
        tables.added(place).map(|added| added.id).map(known);
    }
    for byte in 0..=255 {
        tables.byte_token(byte).map(known);
        let _ = tables.class(char::from(byte));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(tables) = TokenizerTables::parse(&bytes) {
            walk(&tables);
        }
    }

    #[test]
    fn random_headers_never_panic(words in prop::array::uniform13(prop_oneof![0..9u32, any::<u32>()]), tail in 0..3000usize) {
        let mut bytes = vec![(words[0] & 1) as u8, (words[0] & 7) as u8, (words[0] & 255) as u8, 0];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.resize(bytes.len() + tail, 0);
        if let Ok(tables) = TokenizerTables::parse(&bytes) {
            walk(&tables);
        }
    }
}
