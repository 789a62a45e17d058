//! Templates of families in the small form, and what is refused.

mod published;

use sprat_format::chat::{ChatTemplate, Role, Trim};

use super::form::text_of;
use super::*;

const SPECIALS: [&str; 12] = [
    "<s>",
    "</s>",
    "<|im_end|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<start_of_turn>",
    "<|user|>",
    "<|assistant|>",
    "<|start_header_id|>",
];

fn tokens() -> TemplateTokens {
    [("bos_token", "<s>"), ("eos_token", "</s>")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into()
}

fn compiled(jinja: &str) -> Result<Compiled> {
    compile("test", jinja, &tokens(), &SPECIALS.map(str::to_owned), None)
}

fn messages(said: &[(Role, &str)]) -> Vec<Message> {
    said.iter().map(|&(role, content)| Message { role, content: content.to_owned() }).collect()
}

/// What becomes of a template.
struct Expected {
    name: &'static str,
    jinja: &'static str,
    end_token: Option<&'static str>,
    takes_system: bool,
    takes_tools: bool,
    closes: bool,
    /// A first turn, opened, with a system message where there is one.
    turn: &'static str,
}

#[test]
fn published_templates_compile() {
    use published::*;
    let chatml = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n";
    let zephyr = "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\n";
    let all = [
        ("Qwen2", QWEN2, Some("<|im_end|>"), true, true, true, chatml),
        ("SmolLM2", SMOLLM2, Some("<|im_end|>"), true, true, true, chatml),
        ("Qwen3", QWEN3, Some("<|im_end|>"), true, true, false, chatml),
        ("Llama-2", LLAMA2, Some("</s>"), true, false, true, "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST]"),
        (
            "Llama-3",
            LLAMA3,
            Some("<|eot_id|>"),
            true,
            true,
            true,
            "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n\
             U<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            "Llama-3.2",
            LLAMA32,
            Some("<|eot_id|>"),
            true,
            false,
            true,
            "<s><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n\
             Today Date: 26 Jul 2024\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("Mistral", MISTRAL, Some("</s>"), false, false, true, "<s>[INST] U [/INST]"),
        ("Mistral v0.3", MISTRAL_V3, Some("</s>"), false, false, true, "<s>[INST] U[/INST]"),
        (
            "Gemma",
            GEMMA,
            Some("<end_of_turn>"),
            false,
            true,
            true,
            "<s><start_of_turn>user\nU<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            "Gemma 3",
            GEMMA3,
            Some("<end_of_turn>"),
            true,
            true,
            true,
            "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            "Phi-3",
            PHI3,
            Some("<|end|>"),
            true,
            false,
            true,
            "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\n",
        ),
        ("Zephyr", ZEPHYR, Some("</s>"), true, false, true, zephyr),
        ("Vicuna", VICUNA, Some("</s>"), true, false, true, "<s>S USER: U ASSISTANT:"),
        ("Alpaca", ALPACA, None, true, false, true, "<s>S\n\n### Instruction:\nU\n\n### Response:\n"),
    ];
    for (name, jinja, end_token, takes_system, takes_tools, closes, turn) in all {
        check(Expected { name, jinja, end_token, takes_system, takes_tools, closes, turn });
    }
}

fn check(expected: Expected) {
    let Expected { name, jinja, end_token, takes_system, takes_tools, closes, turn } = expected;
    let compiled = compiled(jinja).unwrap_or_else(|error| panic!("{name}: {error:#}"));
    println!("{name}: {} bytes, {:?}", compiled.section.len(), compiled.notes);
    let template = ChatTemplate::parse(&compiled.section).unwrap();
    let takes = |role| {
        [None].into_iter().chain(Role::ALL.map(Some)).any(|after| template.between(after, role).is_some())
    };
    assert_eq!(
        (takes(Role::System), takes(Role::Tool), template.close(Role::Assistant).is_some()),
        (takes_system, takes_tools, closes),
        "{name}: system, tools, closes; {:?}",
        compiled.notes
    );
    assert_eq!(compiled.end_token.as_deref(), end_token, "{name}");
    assert_eq!(template.stop().is_some(), end_token.is_none(), "{name}");
    let system = takes_system.then_some((Role::System, "S"));
    let said: Vec<_> = system.into_iter().chain([(Role::User, "U")]).collect();
    assert_eq!(text_of(&compiled.section, &messages(&said), true).as_deref(), Some(turn), "{name}");
}

#[test]
fn built_in_templates_compile_by_name() {
    for (name, jinja) in BUILTIN {
        let compiled = compiled(jinja).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let said = [(Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c")];
        let text = text_of(&compiled.section, &messages(&said), true).unwrap();
        assert!(text.contains('a') && text.contains('b') && text.contains('c'), "{name}: {text}");
        assert!(compiled.end_token.is_some(), "{name}");
        let notes = compiled.notes.join(" ");
        let expects_note = ["sprat"].contains(&name);
        assert_eq!(notes.contains("takes no system message"), expects_note, "{name}: {notes}");
    }
}

#[test]
fn what_is_said_is_trimmed_as_the_template_does() {
    let trim = |jinja: &str, role| {
        let after = (role == Role::Assistant).then_some(Role::User);
        ChatTemplate::parse(&compiled(jinja).unwrap().section).unwrap().trim(after, role)
    };
    assert_eq!(trim(published::LLAMA2, Role::Assistant), Trim::Both);
    // Llama-2 trims the system text and the user's as one.
    let llama2 = compiled(published::LLAMA2).unwrap();
    let llama2 = ChatTemplate::parse(&llama2.section).unwrap();
    let of_user = |after| llama2.trim(after, Role::User);
    assert_eq!((of_user(None), of_user(Some(Role::System))), (Trim::Both, Trim::End));
    assert_eq!(trim(published::QWEN2, Role::User), Trim::None);
    assert_eq!(trim(published::MISTRAL_V3, Role::Assistant), Trim::Both);
    assert_eq!(trim(published::MISTRAL_V3, Role::User), Trim::None);
    let lines =
        "{% for m in messages %}{{ '[' + m.role + ']' + m.content.lstrip('\n') }}{% endfor %}[assistant]";
    assert_eq!(trim(lines, Role::User), Trim::StartLines);
}

#[test]
fn what_a_template_does_otherwise_for_later_turns_is_noted() {
    let notes = compiled(published::QWEN3).unwrap().notes.join(" ");
    assert!(notes.contains("drops thoughts") && notes.contains("for answering only"), "{notes}");
    let opens = "{% for m in messages %}{{ '[' + m.role + ']' + m.content }}{% endfor %}\
        {% if add_generation_prompt %}[assistant]<think>{% endif %}";
    let compiled = compiled(opens).unwrap();
    assert!(compiled.notes.join(" ").contains("otherwise than it opens it"), "{:?}", compiled.notes);
    assert!(ChatTemplate::parse(&compiled.section).unwrap().rewrites());
}

#[test]
fn a_date_is_the_templates_own_or_a_given_one() {
    let jinja = "{{ 'It is ' + strftime_now('%d %B %Y') + '. ' }}{% for m in messages %}\
        {{ '<|' + m.role + '|>' + m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
    let first = |date| {
        let compiled = compile("test", jinja, &tokens(), &[], date).unwrap();
        let text = text_of(&compiled.section, &messages(&[(Role::User, "U")]), true).unwrap();
        (text.chars().take(22).collect::<String>(), compiled.notes.iter().any(|note| note.contains("date")))
    };
    assert_eq!(first(None), ("It is 26 July 2024. <|".into(), true));
    assert_eq!(first(Some("2031-02-03")), ("It is 03 February 2031".into(), false));
    let error = compile("test", jinja, &tokens(), &[], Some("3.2.2031")).unwrap_err();
    assert!(error.to_string().contains("expected YYYY-MM-DD"), "{error:#}");
    let compiled = compiled(published::SMOLLM3).unwrap();
    let text = text_of(&compiled.section, &messages(&[(Role::User, "U")]), true).unwrap();
    assert!(
        text.contains("Today Date: 26 July 2024\n") && text.ends_with("U<|im_end|>\n<|im_start|>assistant\n")
    );
    // The one that has a default keeps it, unless told otherwise.
    let text = |date| {
        let compiled = compile("test", published::LLAMA32, &tokens(), &[], date).unwrap();
        text_of(&compiled.section, &messages(&[(Role::User, "U")]), true).unwrap()
    };
    assert!(text(None).contains("Today Date: 26 Jul 2024\n"));
    assert!(text(Some("2031-02-03")).contains("Today Date: 03 Feb 2031\n"));
}

#[test]
fn what_is_more_than_texts_between_messages_is_refused_by_showing_it() {
    let refused = |jinja: &str, parts: &[&str]| {
        let error = format!("{:#}", compiled(jinja).unwrap_err());
        for part in parts {
            assert!(error.contains(part), "expected {part:?} in {error}");
        }
    };
    let numbered = "{% for m in messages %}{{ loop.index ~ ': ' ~ m.role ~ m.content }}{% endfor %}";
    refused(numbered, &["more than texts between messages: with the messages", "it gives", "such texts"]);
    refused("{% for m in messages %}", &["it is not Jinja"]);
    refused("hello", &["no message of user is shown"]);
    refused("{{ raise_exception('not today') }}", &["no message of user is shown", "not today"]);
    refused("{% for m in messages %}{{ m.content | upper }}{% endfor %}", &["no message of user is shown"]);
    refused(
        "{% for m in messages %}{{ m.role + m.content | replace(' ', '_') }}{% endfor %}",
        &["more than texts between messages", "such texts"],
    );
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}";
    refused(endless, &["fuel"]);
}

#[test]
fn a_checkpoint_whose_template_is_refused_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = crate::fixture::write_tokenizer_bin(directory.path(), 300).unwrap();
    let tokenizer = crate::import::tokenizer::llama2c(&file, 300).unwrap().section;
    let source = |source| ChatOptions { source, date: None };
    let compile =
        |options: &ChatOptions, jinja: &str| compile_for(options, jinja, &tokens(), Some(&tokenizer));
    let odd = "{% for m in messages %}{{ loop.index ~ m.content }}{% endfor %}";
    let error = format!("{:#}", compile(&source(ChatSource::Checkpoint), odd).unwrap_err());
    for part in ["--chat-template FILE", "chatml", "--no-chat-template", "more than texts"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(compile(&source(ChatSource::IfPossible), odd).unwrap(), None);
    assert_eq!(compile(&source(ChatSource::Without), published::QWEN2).unwrap(), None);
    assert_eq!(compile(&source(ChatSource::Checkpoint), "").unwrap(), None);
    let given = compile(&source(ChatSource::Given("llama2".into())), odd).unwrap().unwrap();
    assert_eq!(ChatTemplate::parse(&given.section).unwrap().name(), "llama2");
    let error = format!("{:#}", compile(&source(ChatSource::Given("lama2".into())), odd).unwrap_err());
    assert!(error.contains("neither a readable file nor one of chatml, llama2"), "{error}");
}
