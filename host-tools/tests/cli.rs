//! The program as a user runs it: what is printed where, what errors say, exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::SafeTensors;
use serde_json::{Value, json};
use sprat_tools::fixture::{HuggingFace, VOCAB_SIZE, write_llama2c, write_tokenizer_bin};
use sprat_tools::import::Dtype;
use tempfile::TempDir;

/// A directory with a made-up llama2.c checkpoint, its tokenizer and its packed file.
struct Workshop {
    directory: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_llama2c(directory.path(), 1, true).unwrap();
        write_tokenizer_bin(directory.path(), VOCAB_SIZE).unwrap();
        let shop = Self { directory };
        shop.succeed(&["pack", "tiny.bin", "-o", "tiny.sprat"]);
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let program = env!("CARGO_BIN_EXE_sprat");
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        assert!(!errors.contains('\u{1b}'), "a pipe gets no progress bar: {errors:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must fail and checks that the message says all of `parts`.
    #[track_caller]
    fn fail(&self, arguments: &[&str], parts: &[&str]) {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        let message = errors.lines().find(|line| line.starts_with("error: "));
        let message = message.unwrap_or_else(|| panic!("{arguments:?}: no error line in {errors}"));
        for part in parts {
            assert!(message.contains(part), "{arguments:?}: expected {part:?} in {message}");
        }
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(arguments)).unwrap()
    }
}

fn write_model(model: &HuggingFace, directory: &Path, name: &str) {
    model.write(directory, name, Dtype::F32).unwrap();
}

#[test]
fn pack_and_inspect_tell_the_same_of_a_model() {
    let shop = Workshop::new();
    let packed = shop.json(&["inspect", "tiny.sprat", "--json"]);
    let checkpoint = shop.json(&["inspect", "tiny.bin", "--json"]);
    assert_eq!(packed["parameters"], checkpoint["parameters"]);
    assert_eq!(packed["end_tokens"], json!([1, 2]));
    assert_eq!(packed["limits"]["context"], json!(32));
    let kinds: Vec<_> = packed["sections"].as_array().unwrap().iter().map(|s| &s["kind"]).collect();
    assert_eq!(kinds, ["META", "TOKN", "TENS", "DATA"]);
    let text = shop.succeed(&["inspect", "tiny.sprat", "--tensors"]);
    assert!(text.contains("q8/64") && text.contains("feed_forward_norm") && text.contains("crc32"), "{text}");
    let json = shop.json(&["pack", "tiny.bin", "-o", "again.sprat", "--json"]);
    assert_eq!(json, packed);
    assert_eq!(fs::read(shop.path("tiny.sprat")).unwrap(), fs::read(shop.path("again.sprat")).unwrap());
}

#[test]
fn inspect_tells_what_numbers_are_like_and_what_differs() {
    let shop = Workshop::new();
    let found = shop.json(&["inspect", "tiny.bin", "--tensors", "--sort", "largest", "--json"]);
    let tensors = found["tensors"].as_array().unwrap();
    let largest = |tensor: &Value| {
        let of = |name: &str| tensor["statistics"][name].as_f64().unwrap().abs();
        of("min").max(of("max"))
    };
    assert!(tensors.is_sorted_by(|a, b| largest(a) >= largest(b)));
    let embedding = tensors.iter().find(|tensor| tensor["role"] == "token_embedding").unwrap();
    assert!((0.28..=0.3).contains(&largest(embedding)), "{embedding}");
    // Evenly distributed numbers of at most 0.3.
    let rms = embedding["statistics"]["rms"].as_f64().unwrap();
    assert!((rms - 0.3 / 3f64.sqrt()).abs() < 0.005, "{rms}");
    assert_eq!(embedding["statistics"]["outliers"], json!(0.0));
    let packed = shop.json(&["inspect", "tiny.sprat", "--json"]);
    let roles = packed["roles"].as_array().unwrap();
    let sum: u64 = roles.iter().map(|role| role["bytes"].as_u64().unwrap()).sum();
    assert_eq!(sum, packed["file_bytes"].as_u64().unwrap());
    assert_eq!(sum, fs::metadata(shop.path("tiny.sprat")).unwrap().len());
    let text = shop.succeed(&["inspect", "tiny.sprat", "--tensors"]);
    assert!(
        text.contains("6 sigma") && text.contains("of the file") && text.contains("(tokenizer)"),
        "{text}"
    );

    shop.succeed(&["pack", "tiny.bin", "-o", "other.sprat", "--tensor", "up=f16", "--context", "16"]);
    let diff = shop.json(&["inspect", "tiny.sprat", "--diff", "other.sprat", "--sort", "bytes", "--json"]);
    let settings: Vec<_> =
        diff["settings"].as_array().unwrap().iter().map(|one| one["setting"].as_str().unwrap()).collect();
    assert_eq!(settings, ["file_bytes", "limits.context", "limits.prompt_bytes"]);
    let differ = |diff: &Value| {
        let tensors = diff["tensors"].as_array().unwrap().iter();
        let changed = tensors.filter(|one| one["distance"]["changed"] != json!(0));
        changed.map(|one| one["tensor"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(differ(&diff), ["up 0", "up 1"]);
    let relative = diff["tensors"][0]["distance"]["relative"].as_f64().unwrap();
    assert!((1e-4..1e-2).contains(&relative), "{relative}");
    let quantized = shop.json(&["inspect", "tiny.bin", "--diff", "tiny.sprat", "--json"]);
    // Vectors are packed as they are.
    assert!(differ(&quantized).contains(&"token_embedding".into()));
    assert!(!differ(&quantized).iter().any(|name| name.contains("norm")));
    let text = shop.succeed(&["inspect", "tiny.bin", "--diff", "tiny.bin"]);
    assert!(text.starts_with("no setting differs; of ") && text.ends_with(", 0 differ\n"), "{text}");
    write_model(&HuggingFace::gpt2(2), shop.directory.path(), "gpt2");
    let text = shop.succeed(&["inspect", "tiny.bin", "--diff", "gpt2"]);
    assert!(
        text.contains("only in the first: rotary_frequencies, gate 0") && text.contains("position_embedding"),
        "{text}"
    );
}

#[test]
fn pack_trims_the_vocabulary_and_says_what_is_lost() {
    let shop = Workshop::new();
    fs::write(shop.path("domain.txt"), "abc abc ab d\nabc d\n".repeat(10)).unwrap();
    let pack = ["pack", "tiny.bin", "-o", "trimmed.sprat", "--trim-vocab", "domain.txt"];
    let output = shop.run(&pack);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for expected in ["of 272 tokens kept", "tokens a byte instead of", "last tenth", "tensors: "] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let [whole, trimmed] =
        ["tiny.sprat", "trimmed.sprat"].map(|file| shop.json(&["inspect", file, "--json"]));
    let size = |json: &Value| json["config"]["vocab_size"].as_u64().unwrap();
    assert!(size(&trimmed) < size(&whole) && size(&trimmed) >= 259);
    assert!(trimmed["recipe"].as_str().unwrap().starts_with("vocabulary trimmed from 272 to"));
    assert!(trimmed["tokenizer"]["bytes"].as_u64() < whole["tokenizer"]["bytes"].as_u64());
    // The domain's text needs as many tokens as before.
    let text = |file| {
        shop.json(&["run", file, "--prompt", "abc", "--max-tokens", "1", "--json"])["prompt_tokens"].clone()
    };
    assert_eq!(text("tiny.sprat"), text("trimmed.sprat"));
    shop.fail(&[&pack[..], &["--keep-tokens", "9"]].concat(), &["at most 9 tokens", "kept in any case"]);
    shop.fail(&["pack", "tiny.bin", "-o", "x.sprat", "--trim-vocab", "none.txt"], &["cannot read none.txt"]);
    let wrong = ["pack", "tiny.bin", "-o", "x.sprat", "--keep-tokens", "300"];
    assert_eq!(shop.run(&wrong).status.code(), Some(2), "without a text there is nothing to count");
}

#[test]
fn a_damaged_packed_file_is_refused_with_the_section() {
    let shop = Workshop::new();
    let whole = fs::read(shop.path("tiny.sprat")).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    // The last bytes may be padding of the section: it is covered all the same.
    fs::write(shop.path("flipped.sprat"), flipped).unwrap();
    for command in [&["inspect", "flipped.sprat"][..], &["run", "flipped.sprat"]] {
        shop.fail(command, &["section DATA is damaged", "flipped.sprat"]);
    }
    fs::write(shop.path("short.sprat"), &whole[..whole.len() - 100]).unwrap();
    shop.fail(&["run", "short.sprat"], &["cut short", &whole.len().to_string()]);
    shop.fail(&["pack", "tiny.sprat", "-o", "x.sprat"], &["packed file already"]);
    shop.fail(&["inspect", "missing.bin"], &["cannot read missing.bin"]);
    assert!(!shop.path("x.sprat").exists());
}

#[test]
fn run_prints_the_text_alone_and_statistics_apart() {
    let shop = Workshop::new();
    let text = shop.succeed(&["run", "tiny.sprat", "--prompt", "abc", "--max-tokens", "8"]);
    let report = shop.json(&["run", "tiny.sprat", "--prompt", "abc", "--max-tokens", "8", "--json"]);
    assert_eq!(text.strip_suffix('\n').unwrap(), report["text"].as_str().unwrap());
    assert_eq!(report["tokens"].as_array().unwrap().len(), 8);
    assert_eq!(report["stop"], "limit");
    for threads in ["1", "2", "4"] {
        let again =
            ["run", "tiny.sprat", "--prompt", "abc", "--max-tokens", "8", "--json", "--threads", threads];
        let again = shop.json(&again);
        assert_eq!(
            (&again["threads"].to_string(), &again["logits_hash"]),
            (&threads.to_owned(), &report["logits_hash"])
        );
    }
    shop.fail(&["run", "tiny.sprat", "--threads", "0"], &["0 threads", "expected 1 to 256"]);
    let sampled = |seed: &str, kernels: &str| {
        let sampling = ["--temperature", "1", "--top-k", "50", "--top-p", "0.9", "--min-p", "0.01"];
        let arguments = ["run", "tiny.sprat", "--seed", seed, "--kernels", kernels, "--json"];
        let penalty = ["--repetition-penalty", "1.1", "--max-tokens", "20"];
        shop.json(&[&arguments[..], &sampling, &penalty].concat())
    };
    let portable = sampled("5", "portable");
    assert_eq!(portable["kernels"], "portable");
    assert_eq!(portable["tokens"], sampled("5", "portable")["tokens"]);
    assert_ne!(portable["tokens"], sampled("6", "portable")["tokens"]);
    shop.fail(&["run", "tiny.sprat", "--kernels", "abacus"], &["no kernels \"abacus\"", "portable"]);
}

#[test]
fn prompts_meet_the_context() {
    let shop = Workshop::new();
    let long = "d ".repeat(60);
    shop.fail(&["run", "tiny.sprat", "--prompt", &long], &["the prompt (120 bytes)", "room"]);
    let text = "x".repeat(1000);
    shop.fail(&["run", "tiny.sprat", "--prompt", &text], &["the prompt (1000 bytes)"]);
    // The empty prompt is the beginning token alone; a context of one token holds it and yields one more.
    let report = shop.json(&["run", "tiny.sprat", "--context", "1", "--json"]);
    assert_eq!((&report["prompt_tokens"], &report["stop"]), (&json!(1), &json!("context full")));
    assert_eq!(report["tokens"].as_array().unwrap().len(), 1);
    let full = shop.json(&["run", "tiny.sprat", "--max-tokens", "1000", "--json"]);
    assert!(["context full", "end token"].contains(&full["stop"].as_str().unwrap()));
}

#[test]
fn a_model_without_a_tokenizer_takes_ids_only() {
    let shop = Workshop::new();
    write_model(&HuggingFace::qwen2(2), shop.directory.path(), "qwen");
    let output = shop.run(&["pack", "qwen", "-o", "qwen.sprat", "--weights", "f16"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("without a tokenizer"));
    shop.fail(&["run", "qwen.sprat", "--prompt", "a"], &["no tokenizer", "--tokenizer"]);
    shop.fail(&["logits", "qwen.sprat", "--ids", "1,9999", "-o", "x"], &["token 9999", "272"]);
    let floats = |name: &str, more: &[&str]| {
        shop.succeed(&[&["logits", "qwen.sprat", "--ids", "1,2,3,250", "-o", name], more].concat());
        let file = fs::read(shop.path(name)).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let logits = tensors.tensor("logits").unwrap();
        assert_eq!((logits.shape(), logits.dtype()), (&[4, VOCAB_SIZE][..], safetensors::Dtype::F32));
        logits.data().to_vec()
    };
    assert_eq!(floats("stepped", &[]), floats("prefilled", &["--prefill"]));
}

#[test]
fn a_plan_says_what_is_missing() {
    let shop = Workshop::new();
    let text = shop.succeed(&["plan", "tiny.sprat", "--board", "qemu-mps2-an386"]);
    assert!(text.contains("fits") && text.contains("largest context that fits: 32"), "{text}");
    let plan =
        shop.json(&["plan", "tiny.sprat", "--board", "nrf52840", "--context", "16", "--kv", "f16", "--json"]);
    assert_eq!((&plan["fits"], &plan["context"], &plan["kv"]), (&json!(true), &json!(16), &json!("f16")));
    shop.fail(&["plan", "tiny.sprat", "--board", "toaster"], &["\"toaster\"", "qemu-mps2-an386"]);
    // A checkpoint is planned as it would be packed.
    let plan_of = |file| shop.json(&["plan", file, "--board", "nrf52840", "--json"]);
    assert_eq!(plan_of("tiny.bin"), plan_of("tiny.sprat"));

    // Every board at once, a board of one's own, and shapes for it.
    let table = shop.succeed(&["plan", "tiny.sprat", "--all-boards"]);
    let boards = shop.json(&["plan", "tiny.sprat", "--all-boards", "--json"]);
    for name in
        ["nrf52840", "stm32h747", "rp2350", "imxrt1062", "esp32-p4", "raspberry-pi-5", "qemu-mps2-an386"]
    {
        assert!(table.contains(name), "{name}: {table}");
        let board = boards.as_array().unwrap().iter().find(|board| board["board"] == name);
        assert_eq!(board.unwrap()["time"]["kind"], "predicted");
    }
    let own = "[[board]]\nname = \"mine\"\ntitle = \"My board\"\ncore = \"Cortex-M33\"\nclock_mhz = 100\n\
        source = \"measured\"\nmemory = [\n\
        { name = \"flash\", kind = \"flash\", kib = 512, source = \"measured\" },\n\
        { name = \"RAM\", kind = \"ram\", kib = 128, source = \"measured\" },\n]\n";
    fs::write(shop.path("mine.toml"), own).unwrap();
    let mine = shop.json(&["plan", "tiny.sprat", "--boards", "mine.toml", "--board", "mine", "--json"]);
    assert_eq!((&mine["title"], &mine["ram"]["available"]), (&json!("My board"), &json!(128 * 1024)));
    let text = shop.succeed(&["plan", "tiny.sprat", "--board", "rp2350"]);
    assert!(text.contains("predicted") && text.contains("QSPI flash") && text.contains("assumed"), "{text}");
    let shapes =
        ["plan", "--boards", "mine.toml", "--what-fits", "mine", "--json", "--tokens-per-second", "100"];
    let shapes = shop.json(&shapes);
    let shapes = shapes["shapes"].as_array().unwrap();
    assert!(!shapes.is_empty() && shapes.iter().all(|shape| shape["plan"]["fits"] == true), "{shapes:?}");
    assert!(shop.succeed(&["plan", "--what-fits", "rp2350"]).contains("assistant of a domain"));
    assert!(shop.succeed(&["plan", "--list-boards"]).contains("RM0433"));

    let mut long = HuggingFace::llama(3);
    long.set("max_position_embeddings", json!(1 << 20));
    write_model(&long, shop.directory.path(), "long");
    let pack = ["pack", "long", "-o", "long.sprat", "--context", "1000000"];
    let parts = ["a context of 1000000 tokens does not fit", "nrf52840", "bytes are missing", "(--context "];
    shop.fail(&[&pack[..], &["--board", "nrf52840"]].concat(), &parts);
    assert!(!shop.path("long.sprat").exists(), "what was refused is not written");
    shop.succeed(&pack);
    shop.fail(&["plan", "long.sprat", "--board", "nrf52840"], &parts);
    shop.fail(&["pack", "tiny.bin", "-o", "x", "--context", "33"], &["33 tokens", "1 to 32"]);
}

#[test]
fn eval_measures_against_the_checkpoint() {
    let shop = Workshop::new();
    fs::write(shop.path("text.txt"), "abc de ab d abcde ab bc a d é 😀 ".repeat(20)).unwrap();
    shop.succeed(&["pack", "tiny.bin", "-o", "exact.sprat", "--weights", "f32", "--kv", "f32"]);
    let measure = ["eval", "tiny.sprat", "exact.sprat", "--against", "tiny.bin", "--text", "text.txt"];
    let outputs = ["--max-bytes", "301", "--json", "out.json", "--chart", "out.svg", "--html", "out.html"];
    let text = shop.succeed(&[&measure[..], &outputs].concat());
    assert!(text.contains("perplexity") && text.contains("exact.sprat"), "{text}");
    let json: Value = serde_json::from_slice(&fs::read(shop.path("out.json")).unwrap()).unwrap();
    let [eight, exact] = &json["outcomes"].as_array().unwrap()[..] else { panic!("two models") };
    assert_eq!((&exact["kl_max"], &exact["top1_percent"]), (&json!(0.0), &json!(100.0)));
    assert_eq!(exact["perplexity"], json["reference_perplexity"]);
    let divergence = eight["kl_mean"].as_f64().unwrap();
    assert!(divergence > 0.0 && divergence < 0.05, "{divergence}");
    assert!(json["text_bytes"].as_u64().unwrap() <= 301);
    let svg = fs::read_to_string(shop.path("out.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("tiny.sprat") && svg.contains("What packing costs"));

    assert_eq!(json["schema"], json!(1));
    assert!(
        json["command"].as_str().unwrap().starts_with("sprat eval tiny.sprat exact.sprat --against tiny.bin")
    );
    let paths: Vec<_> = json["files"].as_array().unwrap().iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["tiny.sprat", "exact.sprat", "tiny.bin", "text.txt"]);
    assert_eq!(exact["layer_errors"], json!([0.0, 0.0]));
    let errors = eight["layer_errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| (1e-5..0.2).contains(&error.as_f64().unwrap())), "{errors:?}");
    let share = |outcome: &Value| {
        let bins = outcome["kl_histogram"].as_array().unwrap();
        bins.iter().map(|bin| bin["share"].as_f64().unwrap()).sum::<f64>()
    };
    assert!((share(eight) - 1.0).abs() < 1e-9);
    let worst = &eight["worst_tokens"].as_array().unwrap()[0];
    assert_eq!(worst["kl"], eight["kl_max"]);
    assert_eq!(worst["reference"].as_array().unwrap().len(), 5);
    let page = fs::read_to_string(shop.path("out.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 5);
    for expected in
        ["</html>", "Worst tokens", "Error per layer", "SHA-256", "--against tiny.bin", "exact.sprat"]
    {
        assert!(page.contains(expected), "{expected}");
    }
    let addresses = page.matches("http").count();
    assert_eq!(addresses, page.matches("http://www.w3.org/2000/svg").count(), "nothing is fetched");
    // The same whoever computes.
    let alone = ["--max-bytes", "301", "--threads", "1", "--json", "alone.json"];
    shop.succeed(&[&measure[..], &alone].concat());
    let alone: Value = serde_json::from_slice(&fs::read(shop.path("alone.json")).unwrap()).unwrap();
    assert_eq!(alone["outcomes"], json["outcomes"]);

    write_tokenizer_bin(shop.directory.path(), VOCAB_SIZE - 1).unwrap();
    shop.fail(&measure, &["cannot be measured against", "different tokenizers"]);
}

#[test]
fn bench_measures_files_and_shapes_with_every_table() {
    let shop = Workshop::new();
    let short = ["--prompt-tokens", "6", "--answer-tokens", "5", "--rounds", "1", "--threads", "2"];
    let shape = ["bench", "--shape", "48/2/100/70/4/2", "--kernels", "all", "--json"];
    let bench = shop.json(&[&shape[..], &short].concat());
    let runs = bench["runs"].as_array().unwrap();
    let tables: Vec<_> = runs.iter().map(|run| run["kernels"].as_str().unwrap()).collect();
    assert!(tables.len() >= 2 && tables.contains(&"portable"), "{tables:?}");
    // Both layers' matrices for each token, attention over the positions so far, and the head once or for each.
    let (layers, head) = (2 * (2 * 48 * 48 + 2 * 24 * 48 + 3 * 48 * 100), 48 * 70);
    let attention = |tokens: u64| 2 * 2 * 48 * tokens * (tokens + 1) / 2;
    for run in runs {
        let (tokens, heads) = if run["phase"] == "prefill" { (6, 1) } else { (5, 5) };
        assert_eq!((&run["tokens"], &run["threads"]), (&json!(tokens), &json!(2)));
        assert_eq!(run["products"], json!(tokens * layers + attention(tokens) + heads * head));
        assert!(run["tokens_per_second"]["median"].as_f64().unwrap() > 0.0);
        let stages: Vec<_> =
            run["stages"].as_array().unwrap().iter().map(|s| s["stage"].as_str().unwrap()).collect();
        assert!(stages.contains(&"feed-forward") && stages.contains(&"attention"), "{stages:?}");
        assert_eq!(stages.contains(&"sampling"), run["phase"] == "decode");
    }
    assert!(bench["memory"][0]["bytes_per_second"].as_f64().unwrap() > 0.0);
    let text = shop.succeed(&[&["bench", "tiny.sprat"][..], &short].concat());
    assert!(text.contains("tokens/s") && text.contains("decode 5") && text.contains("of memory"), "{text}");
    let growth = shop.succeed(&["bench", "--growth", "growth.svg", "tiny.sprat", "--threads", "1"]);
    assert!(growth.contains("counts equal the formula"), "{growth}");
    assert!(fs::read_to_string(shop.path("growth.svg")).unwrap().contains("What a token costs"));
    shop.fail(&["bench"], &["nothing to measure", "--shape"]);
    shop.fail(&["bench", "tiny.sprat", "--rounds", "0"], &["0 rounds", "at least 1"]);
}

#[test]
fn wrong_use_is_another_exit_code() {
    let shop = Workshop::new();
    for arguments in [&["pack"][..], &["frobnicate"], &["run", "tiny.sprat", "--top-k", "many"], &[]] {
        assert_eq!(shop.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert!(shop.succeed(&["pack", "--help"]).contains("Examples:"));
    assert!(shop.succeed(&["--version"]).starts_with("sprat "));
}

#[test]
fn a_model_without_a_chat_template_cannot_be_asked() {
    let shop = Workshop::new();
    shop.fail(&["ask", "tiny.sprat", "Why?"], &["tiny.sprat cannot be asked", "--chat-template"]);
    let wrong = shop.run(&["ask", "tiny.sprat", "Why?", "--sensor", "23.4"]);
    let errors = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.status.code() == Some(2) && errors.contains("temp,kitchen=23.4"), "{errors}");
}
