//! Trimmed vocabularies of real models: the domain's text and its logits stay what they were.

use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use sprat::tokenizer::{Tokenizer, scratch_words};
use sprat::{Image, Special};
use sprat_e2e::{reference, repository};
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::logits::{Feeding, logits};
use sprat_tools::map::PageBuffer;
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions};
use sprat_tools::trim::{TrimOptions, TrimReport, trim};

fn open(path: &Path, tokenizer: Option<&Path>) -> Checkpoint {
    let options = OpenOptions { tokenizer: tokenizer.map(Path::to_owned), ..OpenOptions::default() };
    Checkpoint::open(path, &options).unwrap()
}

fn packed(checkpoint: &Checkpoint) -> PageBuffer {
    pack::to_memory(checkpoint, &PackOptions::exact(), &ProgressBar::hidden()).unwrap()
}

fn encode(tokenizer: &Tokenizer<'_>, text: &str) -> Vec<u32> {
    let (mut scratch, mut ids) = (vec![0; scratch_words(text.len())], vec![0; text.len() + 2]);
    let count = tokenizer.encode(text, Special::Parse, &mut scratch, &mut ids).unwrap();
    ids.truncate(count);
    ids
}

/// Trims the vocabulary of a checkpoint and compares texts and logits with the whole one's.
fn check(path: &Path, tokenizer: Option<&Path>, domain: &str, other: &str) -> TrimReport {
    let (whole, mut trimmed) = (open(path, tokenizer), open(path, tokenizer));
    let report = trim(&mut trimmed, domain, &TrimOptions::default()).unwrap();
    println!("{}: {}", path.display(), report.to_text());
    let kept = trimmed.kept().unwrap().to_vec();
    let (whole, trimmed) = (packed(&whole), packed(&trimmed));
    let (before, after) = (Image::new(&whole).unwrap(), Image::new(&trimmed).unwrap());
    let (old, new) = (before.tokenizer().unwrap(), after.tokenizer().unwrap());
    let back = |ids: &[u32]| ids.iter().map(|&id| kept[id as usize]).collect::<Vec<_>>();
    for text in [domain].into_iter().chain(domain.lines()) {
        assert_eq!(back(&encode(new, text)), encode(old, text), "{text:?}");
    }
    let bytes = |tokenizer: &Tokenizer<'_>| -> Vec<u8> {
        encode(tokenizer, other).iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect()
    };
    assert_eq!(String::from_utf8(bytes(new)), String::from_utf8(bytes(old)));

    let ids = encode(new, domain)[..48].to_vec();
    let run = |bytes: &[u8], ids: &[u32]| {
        let model = Model::from_memory(PageBuffer::copy_of(bytes).unwrap(), "in memory");
        logits(&model, ids, Feeding::Prefill, None, 2).unwrap().values
    };
    let rows = run(&whole, &back(&ids));
    let rows = rows.chunks_exact(before.config().vocab_size as usize);
    let expected: Vec<u32> = rows.flat_map(|row| kept.iter().map(|&id| row[id as usize].to_bits())).collect();
    let found: Vec<u32> = run(&trimmed, &ids).iter().map(|logit| logit.to_bits()).collect();
    assert!(found == expected, "the logits of kept tokens are the same bits");
    report
}

#[test]
fn the_default_model_speaks_of_one_thing() {
    let questions = "<|user|>What is the capital of France?<|assistant|>The capital of France is Paris.<|end|>\n\
        <|user|>What is the capital of Japan?<|assistant|>The capital of Japan is Tokyo.<|end|>\n";
    let report = check(&repository().join("models/assistant"), None, questions, "Once, a fox — 你好.");
    assert_eq!(report.tokens_before, 832);
    assert!(report.tokens_kept < 400, "{report:?}");
    assert_eq!(report.text.before, report.text.after);
}

#[test]
fn stories_keep_their_words() {
    let directory = reference("stories_keep_their_words", "data/stories260K");
    let text = reference("stories_keep_their_words", "data/tinystories_text/tinystories_sample_2MiB.txt");
    let (Some(directory), Some(text)) = (directory, text) else { return };
    let text = fs::read_to_string(text).unwrap();
    let (domain, other) = (&text[..4096], &text[100_000..104_096]);
    let (model, tokenizer) = (directory.join("stories260K.bin"), directory.join("tok512.bin"));
    let report = check(&model, Some(&tokenizer), domain, other);
    assert!(report.tokens_kept < 512 && report.held_out.after >= report.held_out.before, "{report:?}");
}
