//! Tests of compiled expressions: the pieces that they cut, what is refused, and how often a character is read.

use super::*;

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";

/// The pieces that one expression cuts a text into, and the transitions that it took.
fn cut<'t>(expression: &str, text: &'t str) -> (Vec<&'t str>, usize) {
    let compiled = compile(&[Split::isolated(expression)], false).unwrap();
    let (_, transitions) = &compiled.stages[0];
    let columns = compiled.classes.len() + 1;
    let class = |character: char| match compiled.classes.ascii.get(character as usize) {
        Some(&class) => usize::from(class),
        None => {
            let boundaries = &compiled.classes.boundaries;
            let end = boundaries.partition_point(|boundary| boundary >> 8 <= u32::from(character));
            boundaries[end - 1] as usize & 0xFF
        }
    };
    let mut steps = 0;
    let mut longest = |from: usize| {
        let (mut state, mut found) = (1, None);
        let ends = text[from..].char_indices().map(|(at, character)| (from + at, class(character)));
        for (at, class) in ends.chain([(text.len(), columns - 1)]) {
            steps += 1;
            let transition = transitions[state * columns + class];
            if transition & 1 != 0 {
                found = Some(at);
            }
            state = usize::from(transition >> 1);
            if state == 0 {
                break;
            }
        }
        found
    };
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let mut end = at;
        let found = longest(at);
        while found.is_none() && (end == at || end < text.len() && longest(end).is_none()) {
            end += text[end..].chars().next().map_or(1, char::len_utf8);
        }
        let end = found.unwrap_or(end);
        pieces.push(&text[at..end]);
        at = end;
    }
    (pieces, steps)
}

fn pieces<'t>(expression: &str, text: &'t str) -> Vec<&'t str> {
    cut(expression, text).0
}

#[test]
fn gpt2_pieces() {
    let cut = |text| pieces(GPT2, text);
    assert_eq!(cut("Hello  world 42!?"), ["Hello", " ", " world", " 42", "!?"]);
    assert_eq!(cut("it's we'll 'Re've"), ["it", "'s", " we", "'ll", " '", "Re", "'ve"]);
    assert_eq!(cut("\n\n\tx  "), ["\n\n", "\t", "x", "  "]);
    assert_eq!(cut("a \u{3000}é٣"), ["a", " ", "\u{3000}", "é", "٣"]);
    assert_eq!(cut("'"), ["'"]);
    assert_eq!(cut(" 's"), [" '", "s"]);
}

#[test]
fn llama3_pieces() {
    let cut = |text| pieces(LLAMA3, text);
    assert_eq!(cut("Hello  world 1234!?"), ["Hello", " ", " world", " ", "123", "4", "!?"]);
    assert_eq!(cut("IT'S we'LL 'ſo"), ["IT", "'S", " we", "'LL", " '", "ſo"]);
    assert_eq!(cut("'ſo"), ["'ſ", "o"]);
    assert_eq!(cut("(x)\r\n\n y"), ["(x", ")\r\n\n", " y"]);
    assert_eq!(cut(" \n \n  z"), [" \n \n", " ", " z"]);
    assert_eq!(cut("\tword\u{3000}é \u{301}"), ["\tword", "\u{3000}é", " \u{301}"]);
    assert_eq!(cut("\nword ."), ["\n", "word", " ."]);
    assert_eq!(cut("   "), ["   "]);
}

#[test]
fn pieces_of_other_families() {
    assert_eq!(pieces(QWEN2, "a 123"), ["a", " ", "1", "2", "3"]);
    assert_eq!(
        pieces(GPT4O, "HelloWorld's HTTPServer ABC/\n"),
        ["Hello", "World's", " HTTPServer", " ABC", "/\n"]
    );
    assert_eq!(
        pieces(BLOOM, "Hello, world.  (x|y) 3.5"),
        ["Hello", ",", " world", ".  (", "x", "|", "y", ")", " 3", ".", "5"]
    );
    assert_eq!(pieces("[0-9][0-9][0-9]", "a12345"), ["a", "123", "45"]);
    assert_eq!(pieces(r"a{2,3}?", "aaaaa"), ["aa", "aa", "a"]);
    assert_eq!(pieces(r"a(?:b|bc)d?", "abcd"), ["ab", "cd"], "the first alternative that matches");
    assert_eq!(pieces(r"a(?!b)", "abaa"), ["ab", "a", "a"]);
}

#[test]
fn what_does_not_compile_is_refused_with_its_text_and_the_reason() {
    let cases = [
        ("a*", "empty text"),
        ("^a", "anchor"),
        (r"a(?=b)", "(?="),
        (r"a++b", "possessive"),
        (r"[[:alpha:]]", "POSIX"),
        (r"(?!ab)c", "not one class"),
        (r"(a)\1", "backreferences"),
        ("a*b", "match nothing, again at each place"),
        ("ab*c|a", "behind what it matches"),
        ("(?:a{60}){80}", "instructions"),
        ("(", "unclosed group"),
    ];
    for (expression, reason) in cases {
        let error = compile(&[Split::isolated(expression)], false).map(|_| ()).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains(reason) && error.contains(&format!("{expression:?}")),
            "{expression}: {error}"
        );
    }
    let only = |expression: &str| Split { only_matches: true, ..Split::isolated(expression) };
    assert!(compile(&[only(LLAMA3)], false).is_ok());
    let error = format!("{:#}", compile(&[only(BLOOM)], false).map(|_| ()).unwrap_err());
    assert!(error.contains("leaves gaps"), "{error}");
}

/// No text makes a character be read more than a few times: the hostile ones that each expression invites.
#[test]
fn every_character_is_read_a_bounded_number_of_times() {
    let hostile = [
        "a",
        "A",
        "Aa",
        " ",
        "\n",
        " \n",
        "\n ",
        "\n  a",
        "'",
        "'l",
        "1",
        "12 ",
        "!",
        " !",
        "!\n ",
        "\u{3000}",
        "\u{301}",
        "é\u{301}",
        "中",
        "\r\n\t",
        "(",
        ". ",
        "_",
        "ſ'",
        "🦀\u{200D}",
    ];
    for expression in [GPT2, LLAMA3, QWEN2, GPT4O, BLOOM, r"\p{N}", "[0-9][0-9][0-9]", "SPL1T-TH1S-Pl3A5E"] {
        for unit in hostile.iter().chain(&["SPL1T-TH1S-Pl3A5", "SSSSPL"]) {
            let text = unit.repeat(3000);
            let characters = text.chars().count();
            let (pieces, steps) = cut(expression, &text);
            assert_eq!(pieces.concat(), text);
            // A literal of 17 characters may be read up to its last one at each place.
            let bound = if expression.starts_with("SPL") { 18 } else { 5 };
            assert!(steps <= bound * characters + 100, "{expression} on {unit:?}: {steps} for {characters}");
        }
    }
}

#[test]
fn automata_are_small() {
    for (expression, bytes) in [(GPT2, 1500), (LLAMA3, 2500), (GPT4O, 6000), (BLOOM, 100)] {
        let compiled = compile(&[Split::isolated(expression)], false).unwrap();
        let found = 2 * compiled.stages[0].1.len();
        assert!(found <= bytes, "{expression}: {found} bytes of transitions");
    }
}
