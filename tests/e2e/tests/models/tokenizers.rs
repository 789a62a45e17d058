//! Real tokenizers against their references: ids equal, text comes back, no special token from plain text.
//!
//! References are the `tokenizers` crate (an independent implementation, regular expressions by Oniguruma),
//! llama.cpp's published ids for GPT-2, and llama2.c's algorithm written down once more, naively.

mod data;
mod kinds;
mod llama2c_oracle;
mod mixed_text;
mod synthetic;
mod vocabularies;

use std::fs;
use std::path::Path;

use ::tokenizers::Tokenizer as Reference;
use ::tokenizers::utils::SysRegex;
use sprat::tokenizer::Special;
use sprat_e2e::reference as shared_data;
use sprat_tools::import::tokenizer::{
    TokenizerImport, gpt2_files, hugging_face_directory, llama2c, tokenizer_json,
};

use self::data::Loaded;
use self::llama2c_oracle::Llama2c;
use self::mixed_text::{MEGABYTE, mixed_text};

/// Ids of the reference, with special tokens parsed or as text.
fn reference_ids(reference: &mut Reference, text: &str, special: Special) -> Vec<u32> {
    reference.set_encode_special_tokens(special == Special::AsText);
    reference.encode_fast(text, false).unwrap().get_ids().to_vec()
}

/// Compares ids line by line first, so that a difference is shown where it is, then on the whole text.
fn assert_equal_ids(import: TokenizerImport, reference: &mut Reference, text: &str) {
    let ours = Loaded::new(import);
    for special in [Special::Parse, Special::AsText] {
        for line in text.split_inclusive('\n') {
            let (found, expected) = (ours.encode(line, special), reference_ids(reference, line, special));
            assert_eq!(found, expected, "{special:?}: {line:?}");
        }
        let (found, expected) = (ours.encode(text, special), reference_ids(reference, text, special));
        assert!(found == expected, "{special:?}: the lines are equal, the whole text is not");
        assert!(ours.decode(&found) == text, "{special:?}: the text does not come back");
        if special == Special::AsText {
            assert!(found.iter().all(|&id| !ours.is_special(id)), "a special token from plain text");
        }
    }
}

#[test]
fn gpt2_equals_llama_cpp() {
    let Some(directory) = shared_data("gpt2_equals_llama_cpp", "data/gpt2_tokenizer") else { return };
    let Some(cases) = shared_data("gpt2_equals_llama_cpp", "data/llamacpp_vocab/ggml-vocab-gpt-2.gguf.inp")
    else {
        return;
    };
    let texts = fs::read_to_string(&cases).unwrap();
    let expected = fs::read_to_string(cases.with_extension("out")).unwrap();
    let tokenizer = Loaded::new(hugging_face_directory(&directory, 50_257).unwrap());
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let lines: Vec<&str> = expected.lines().collect();
    let mut compared = 0;
    for (text, line) in texts.iter().zip(&lines) {
        let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(tokenizer.encode(text, Special::AsText), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids), **text);
        compared += 1;
    }
    assert!(compared >= 40 && lines.len() == compared, "{compared} cases of {}", lines.len());
}

#[test]
fn gpt2_equals_the_tokenizers_crate_on_five_megabytes() {
    let Some(directory) = shared_data("gpt2_equals_the_tokenizers_crate", "data/gpt2_tokenizer") else {
        return;
    };
    let file = directory.join("tokenizer.json");
    let import = hugging_face_directory(&directory, 50_257).unwrap();
    println!("GPT-2: section of {} bytes, {}", import.section.len(), Loaded::new(import.clone()).summary());
    assert_eq!((import.vocab_size, import.add_bos), (50_257, false));
    let mut reference = Reference::from_file(&file).unwrap();
    assert_equal_ids(import, &mut reference, &mixed_text(1, 5 * MEGABYTE, &["<|endoftext|>", "<|endof"]));
}

#[test]
fn gpt2_files_make_the_same_section_as_its_tokenizer_json() {
    let Some(directory) = shared_data("gpt2_files", "data/gpt2_tokenizer") else { return };
    let file = |name: &str| directory.join(name);
    let files = gpt2_files(&file("vocab.json"), &file("merges.txt"), 50_257).unwrap();
    assert_eq!((files.bos, &files.eos[..]), (Some(50_256), &[50_256][..]));
    let json = tokenizer_json(&file("tokenizer.json"), 50_257).unwrap();
    // They differ in the pass of <|endoftext|>, which tokenizer.json calls normalized: one byte.
    let differing = files.section.iter().zip(&json.section).filter(|(a, b)| a != b).count();
    assert_eq!((files.section.len(), differing), (json.section.len(), 1));
    let error = gpt2_files(&file("vocab.json"), &file("merges.txt"), 50_000).unwrap_err().to_string();
    assert!(error.contains("50257") && error.contains("50000"), "{error}");
}

#[test]
fn the_assistant_equals_the_tokenizers_crate_on_a_megabyte() {
    let Some(directory) = shared_data("the_assistant", "models/assistant-0.9m") else { return };
    let import = hugging_face_directory(&directory, 1024).unwrap();
    println!(
        "assistant: section of {} bytes, {}",
        import.section.len(),
        Loaded::new(import.clone()).summary()
    );
    assert_eq!((import.vocab_size, import.bos, &import.eos[..]), (1024, None, &[3][..]));
    assert!(import.chat_template.as_deref().is_some_and(|template| template.contains("<|assistant|>")));
    let mut reference = Reference::from_file(directory.join("tokenizer.json")).unwrap();
    let added =
        ["<|user|>", "<|assistant|>", "<|end|>", "<<", ">>", "[work]", "[/work]", "=>", "####", "<|us"];
    assert_equal_ids(import, &mut reference, &mixed_text(2, MEGABYTE, &added));
}

#[test]
fn synthetic_tokenizers_equal_the_tokenizers_crate() {
    let text = mixed_text(3, MEGABYTE / 4, &["<|begin_of_text|>", "<|eot|>", "<|eot|>x", "==>", " pad "]);
    for (name, reference) in synthetic::tokenizers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tokenizer.json");
        reference.save(&file, false).unwrap();
        let import = tokenizer_json(&file, 4096).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        println!("{name}: {} tokens, section of {} bytes", import.vocab_size, import.section.len());
        let ours = Loaded::new(import);
        let mut reference = reference;
        for special in [Special::Parse, Special::AsText] {
            for part in text.split_inclusive('\n').chain([&text[..]]) {
                let expected = reference_ids(&mut reference, part, special);
                assert!(ours.encode(part, special) == expected, "{name}, {special:?}: {:?}", part.get(..200));
            }
        }
    }
}

/// Contractions fold case by Unicode, which reaches beyond ASCII: try every character after an apostrophe.
#[test]
fn contractions_of_every_character_are_those_of_the_regular_expression() {
    let (name, mut reference) = synthetic::tokenizers().remove(0);
    assert!(name.starts_with("Llama-3"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokenizer.json");
    reference.save(&file, false).unwrap();
    let ours = Loaded::new(tokenizer_json(&file, 4096).unwrap());
    // What is unassigned in Oniguruma's tables may be a letter in newer ones.
    let unassigned = SysRegex::new(r"\p{Cn}").unwrap();
    for block in 0..0x300u32 {
        let mut text = String::new();
        for character in (block << 8..(block + 1) << 8).filter_map(char::from_u32) {
            if unassigned.find_iter(character.encode_utf8(&mut [0; 4])).next().is_none() {
                text += &format!("'{character}ab 'Re'l{character}'r{character}");
            }
        }
        let expected = reference_ids(&mut reference, &text, Special::AsText);
        assert_eq!(ours.encode(&text, Special::AsText), expected, "block {block:#x}");
    }
}

/// The classes of all characters against Oniguruma's: characters of one class must be alike in letters, numbers and
/// spaces, as far as it has them assigned.
#[test]
fn classes_equal_those_of_the_regular_expressions() {
    let (_, reference) = synthetic::tokenizers().remove(0);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokenizer.json");
    reference.save(&file, false).unwrap();
    let import = tokenizer_json(&file, 4096).unwrap();
    let tables = sprat_format::tokenizer::TokenizerTables::parse(&import.section).unwrap();
    let expressions =
        [r"\p{L}", r"\p{N}", r"\s", r"\p{Cn}"].map(|expression| SysRegex::new(expression).unwrap());
    let mut classes = std::collections::HashMap::new();
    for character in '\0'..=char::MAX {
        let mut utf8 = [0; 4];
        let text: &str = character.encode_utf8(&mut utf8);
        let [letter, number, space, unassigned] =
            expressions.each_ref().map(|expression| expression.find_iter(text).next().is_some());
        if !unassigned {
            let first = *classes.entry(tables.class(character)).or_insert((letter, number, space));
            assert_eq!(first, (letter, number, space), "{character:?}");
        }
    }
    let kinds: std::collections::HashSet<_> = classes.values().collect();
    assert_eq!(kinds.len(), 4, "letters, numbers, spaces and the rest: {classes:?}");
}

#[test]
fn tok512_equals_llama2c() {
    let Some(file) = shared_data("tok512_equals_llama2c", "data/stories260K/tok512.bin") else { return };
    let import = llama2c(&file, 512).unwrap();
    println!("tok512: section of {} bytes, {}", import.section.len(), Loaded::new(import.clone()).summary());
    assert_eq!((import.vocab_size, import.bos, import.add_bos), (512, Some(1), true));
    let oracle = Llama2c::read(&fs::read(&file).unwrap(), 512);
    let ours = Loaded::new(import);
    let by_hand: [(&str, &[u32]); 4] = [
        ("", &[]),
        // llama2.c's own prompt test of the stories models: BOS is added by the engine.
        ("Once upon a time", &[403, 407, 261, 378]),
        ("Ω", &[410, 3 + 0xCE, 3 + 0xA9]),
        ("🦀", &[410, 3 + 0xF0, 3 + 0x9F, 3 + 0xA6, 3 + 0x80]),
    ];
    for (text, ids) in by_hand {
        assert_eq!(ours.encode(text, Special::AsText), ids, "{text:?}");
    }
    let mixed = mixed_text(4, 40_000, &["<s>", "</s>", "<unk>", "<0x41>", "\n<s>\n"]).replace('\0', "0");
    let stories = shared_data("tok512 on stories", "data/tinystories_text/tinystories_sample_2MiB.txt");
    let stories = stories.map(|file| fs::read_to_string(file).unwrap()).unwrap_or_default();
    let mut compared = 0;
    for text in mixed.split_inclusive('\n').chain(stories.lines().take(2000)) {
        let ids = ours.encode(text, Special::AsText);
        assert_eq!(ids, oracle.encode(text), "{text:?}");
        assert_eq!(ours.decode(&ids), text);
        compared += text.len();
    }
    // One long text: merges reach over everything that the lines separate.
    let long: String = stories.chars().take(1500).chain(mixed.chars().take(1000)).collect();
    assert!(ours.encode(&long, Special::AsText) == oracle.encode(&long));
    println!("tok512: {compared} bytes compared");
}

#[test]
fn a_long_word_takes_no_longer_than_n_log_n() {
    let Some(directory) = shared_data("a_long_word", "data/gpt2_tokenizer") else { return };
    let ours = Loaded::new(hugging_face_directory(Path::new(&directory), 50_257).unwrap());
    for letter in ["a", "7", " ", "=", "é", "\n"] {
        let time = |bytes: usize| {
            let text = letter.repeat(bytes / letter.len());
            let runs = (0..3).map(|_| {
                let start = std::time::Instant::now();
                assert_eq!(ours.decode(&ours.encode(&text, Special::AsText)), text);
                start.elapsed().as_secs_f64()
            });
            runs.fold(f64::INFINITY, f64::min)
        };
        let (short, long) = (time(64 << 10), time(1 << 20));
        println!("{letter:?}: 64 KiB in {:.1} ms, 1 MiB in {:.1} ms", short * 1e3, long * 1e3);
        // n log n: 20 times as long; the square: 256 times.
        assert!(long < 80.0 * short, "{letter:?}: 16 times the text took {} times the time", long / short);
    }
}
