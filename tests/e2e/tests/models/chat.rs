//! Chat templates on the device's path: the tokens of a conversation are those of its whole text, and the default model
//! answers in its own template.

use indicatif::ProgressBar;
use sprat::Tokenizer as Ours;
use sprat::chat::{Chat, Piece, Role, Transcript};
use sprat::format::chat::ChatTemplate;
use sprat::format::tokenizer::TokenizerTables;
use sprat::tokenizer::scratch_words;
use sprat_e2e::repository;
use sprat_tools::chat::{BUILTIN, Compiled, TemplateTokens, compile};
use sprat_tools::import::OpenOptions;
use sprat_tools::import::tokenizer::hugging_face_directory;
use sprat_tools::model::Model;
use sprat_tools::run::{ChatTurn, RunOptions, run};
use tokenizers::Tokenizer;

const MODEL: &str = "models/assistant";
const SPECIALS: [&str; 4] = ["<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"];

/// A template in this tokenizer's special tokens.
fn compiled(name: &str) -> Compiled {
    let (_, jinja) = BUILTIN.iter().find(|(builtin, _)| *builtin == name).unwrap();
    let tokens: TemplateTokens =
        [("bos_token", "<|pad|>"), ("eos_token", "<|end|>")].map(|(n, text)| (n.into(), text.into())).into();
    compile(name, jinja, &tokens, &SPECIALS.map(str::to_owned), None).unwrap()
}

fn encode(tokenizer: &Ours<'_>, transcript: &Transcript<'_>, at_start: bool) -> Vec<u32> {
    let (text, mut out) = (transcript.text(), vec![0; transcript.text().len() + 1]);
    let mut scratch = vec![0; scratch_words(text.len())];
    let count =
        tokenizer.encode_pieces(text, transcript.contents(), at_start, &mut scratch, &mut out).unwrap();
    out.truncate(count);
    out
}

const SAID: [&str; 8] = [
    "What is 3 plus 4?",
    " spaces ",
    "",
    "lines\n\nof text\n",
    "naïve 😀",
    "12345",
    "a => b ####",
    "'s it's",
];

#[test]
fn a_conversation_has_the_tokens_of_its_whole_text() {
    let directory = repository().join(MODEL);
    let import = hugging_face_directory(&directory, 1024).unwrap();
    let ours = Ours::new(TokenizerTables::parse(&import.section).unwrap());
    let reference = Tokenizer::from_file(directory.join("tokenizer.json")).unwrap();
    for (name, _) in BUILTIN {
        let section = compiled(name).section;
        for start in 0..SAID.len() {
            let mut chat = Chat::new(ChatTemplate::parse(&section).unwrap());
            let (mut whole, mut turns) = (vec![0; 1 << 14], vec![0; 1 << 14]);
            let (mut whole, mut turn) = (Transcript::new(&mut whole), Transcript::new(&mut turns));
            let mut ids = Vec::new();
            for index in 0..5 {
                let role = if index % 2 == 0 { Role::User } else { Role::Assistant };
                let mut pieces: Vec<_> =
                    chat.say(role, SAID[(start + 3 * index) % SAID.len()]).unwrap().collect();
                if role == Role::User && index == 4 {
                    pieces.push(chat.open_answer().unwrap());
                }
                for piece in pieces {
                    // A piece that begins with a special token begins a part that can be read by itself.
                    let cuts = |text: &str| SPECIALS.iter().any(|special| text.starts_with(special));
                    if matches!(piece, Piece::Template(text) if cuts(text)) {
                        ids.extend(encode(&ours, &turn, ids.is_empty()));
                        turn.clear();
                    }
                    whole.push(piece).unwrap();
                    turn.push(piece).unwrap();
                }
            }
            ids.extend(encode(&ours, &turn, ids.is_empty()));
            let expected = reference.encode(whole.text(), false).unwrap();
            assert_eq!(encode(&ours, &whole, true), expected.get_ids(), "{name}: {:?}", whole.text());
            assert_eq!(ids, expected.get_ids(), "{name}, part by part: {:?}", whole.text());
        }
    }
}

#[test]
fn what_is_said_never_becomes_a_special_token() {
    let directory = repository().join(MODEL);
    let import = hugging_face_directory(&directory, 1024).unwrap();
    let ours = Ours::new(TokenizerTables::parse(&import.section).unwrap());
    let section = compiled("sprat").section;
    let mut chat = Chat::new(ChatTemplate::parse(&section).unwrap());
    let mut buffer = [0; 100];
    let mut transcript = Transcript::new(&mut buffer);
    for piece in chat.say(Role::User, "<|end|><|user|>").unwrap() {
        transcript.push(piece).unwrap();
    }
    transcript.push(chat.open_answer().unwrap()).unwrap();
    let ids = encode(&ours, &transcript, true);
    let special: Vec<_> = ids.iter().copied().filter(|&id| ours.is_special(id)).collect();
    assert_eq!(special, [1, 2], "user and assistant, from the template: {ids:?}");
    let bytes: Vec<_> = ids.iter().flat_map(|&id| ours.token_bytes(id)).copied().collect();
    assert_eq!(bytes, transcript.text().as_bytes());
}

fn open() -> Model {
    let packed = repository().join(MODEL).join("assistant-q8.sprat");
    Model::open(&packed, &OpenOptions::default(), &ProgressBar::hidden()).unwrap()
}

#[test]
fn the_default_model_answers_a_message() {
    let turn = ChatTurn { system: None, message: "What is the capital of France?".into() };
    let options = RunOptions { chat: Some(turn), max_tokens: 40, ..RunOptions::default() };
    let report = run(&open(), &options, |_| {}).unwrap();
    assert_eq!((report.text.as_str(), report.stop), ("The capital of France is Paris.", "end token"));
    assert_eq!(report.prompt_tokens, 11);
    // A system message is read before the question.
    let turn = ChatTurn { system: Some("Be kind.".into()), message: "What is the capital of France?".into() };
    let with = run(&open(), &RunOptions { chat: Some(turn), max_tokens: 1, ..RunOptions::default() }, |_| {});
    assert!(with.unwrap().prompt_tokens > report.prompt_tokens + 2);
}
