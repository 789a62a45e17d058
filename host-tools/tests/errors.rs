//! What the program says to wrong inputs, word for word.
//!
//! An error is read by someone who is stuck: it names the file and the thing in it, what was found, what was expected
//! and what to do. All messages stand in one snapshot, where a reviewer sees each change of wording. After a
//! wanted change, `INSTA_UPDATE=always cargo test -p sprat-tools --test errors` writes it anew.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use sprat_tools::fixture::{HuggingFace, VOCAB_SIZE, write_llama2c, write_tokenizer_bin};
use sprat_tools::import::Dtype;
use tempfile::TempDir;

/// A directory with good files, from which wrong ones are made.
struct Bench {
    directory: TempDir,
    said: String,
    cases: usize,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_llama2c(directory.path(), 1, true).unwrap();
        write_tokenizer_bin(directory.path(), VOCAB_SIZE).unwrap();
        let bench = Self { directory, said: String::new(), cases: 0 };
        let packed = bench.command(&["pack", "tiny.bin", "-o", "tiny.sprat"]).status().unwrap();
        assert!(packed.success());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
        // Paths are relative to the directory, so that no message depends on where it is.
        command.args(arguments).current_dir(self.directory.path());
        command
    }

    /// Runs what must fail, and keeps its message.
    #[track_caller]
    fn wrong(&mut self, what: &str, arguments: &[&str]) {
        let output = self.command(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {errors}");
        let lines: Vec<_> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{what}: one line with the error, and not {errors}");
        let directory = self.directory.path().to_str().unwrap();
        assert!(!lines[0].contains(directory), "{what}: a path that was not given: {}", lines[0]);
        assert!(!errors.contains("panicked"), "{what}: {errors}");
        let shown = arguments.iter().map(|argument| match argument.len() {
            0..=40 => (*argument).to_owned(),
            length => format!("<{length} bytes>"),
        });
        let command = shown.collect::<Vec<_>>().join(" ");
        self.said += &format!("# {what}\n$ sprat {command}\n{}\n\n", lines[0]);
        self.cases += 1;
    }

    fn llama(&self, name: &str, change: impl FnOnce(&mut HuggingFace)) {
        let mut model = HuggingFace::llama(7);
        change(&mut model);
        model.write(self.directory.path(), name, Dtype::F32).unwrap();
    }

    fn pack_wrong(&mut self, what: &str, name: &str) {
        self.wrong(what, &["pack", name, "-o", "out.sprat"]);
        assert!(!self.path("out.sprat").exists(), "{what}: nothing is written");
    }

    fn change(&self, from: &str, to: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(from)).unwrap();
        change(&mut bytes);
        fs::write(self.path(to), bytes).unwrap();
    }
}

fn files(bench: &mut Bench) {
    bench.pack_wrong("a file that is not there", "missing.bin");
    fs::create_dir(bench.path("empty")).unwrap();
    bench.pack_wrong("a directory that is no checkpoint", "empty");
    fs::write(bench.path("nothing.bin"), b"").unwrap();
    bench.pack_wrong("an empty file", "nothing.bin");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 534194\n";
    bench.llama("lfs", |_| ());
    fs::write(bench.path("lfs/model.safetensors"), pointer).unwrap();
    bench.pack_wrong("a pointer of Git LFS in place of the weights", "lfs");
    fs::write(bench.path("pytorch_model.bin"), b"\x80\x02}q\x00(X and more of a pickle").unwrap();
    bench.pack_wrong("a pickle", "pytorch_model.bin");
    fs::write(bench.path("other.gguf"), b"GGUF\x63\0\0\0 and more").unwrap();
    bench.pack_wrong("a GGUF file of an unknown version", "other.gguf");
    bench.pack_wrong("a packed file where a checkpoint is expected", "tiny.sprat");
}

fn checkpoints(bench: &mut Bench) {
    bench.llama("short", |_| ());
    bench.change("short/model.safetensors", "short/model.safetensors", |bytes| {
        bytes.truncate(bytes.len() - 100)
    });
    bench.pack_wrong("weights that were cut short", "short");
    bench.llama("lacking", |model| {
        model.tensors.remove("model.layers.1.mlp.up_proj.weight");
    });
    bench.pack_wrong("a tensor that is missing", "lacking");
    bench.llama("misshapen", |model| {
        model.tensors.insert("model.layers.0.mlp.down_proj.weight".into(), (vec![24, 16], vec![0.5; 384]));
    });
    bench.pack_wrong("a tensor of another shape", "misshapen");
    bench.llama("nan", |model| {
        model.tensors.get_mut("model.layers.0.self_attn.q_proj.weight").unwrap().1[37] = f32::NAN;
    });
    bench.pack_wrong("a weight that is no number", "nan");
    bench.llama("unknown", |model| model.set("model_type", json!("mamba2")));
    bench.pack_wrong("a family that is not known", "unknown");
    bench.llama("unusual", |model| {
        model.set("rope_scaling", json!({ "rope_type": "elliptic", "factor": 2.0 }))
    });
    bench.pack_wrong("a setting whose value is not supported", "unusual");
    bench.llama("novel", |model| model.set("attention_flux", json!(3)));
    bench.pack_wrong("a setting that is not known", "novel");
    bench.llama("incomplete", |model| {
        model.config.remove("hidden_size");
    });
    bench.pack_wrong("a setting that is missing", "incomplete");
    bench.llama("broken", |_| ());
    fs::write(bench.path("broken/config.json"), "{ \"model_type\": \"llama\", ").unwrap();
    bench.pack_wrong("a config.json that was cut short", "broken");
    bench.llama("silent", |_| ());
    bench.wrong(
        "a tokenizer that is not there",
        &["pack", "silent", "-o", "out.sprat", "--tokenizer", "tok.json"],
    );
}

fn packed_files(bench: &mut Bench) {
    bench.change("tiny.sprat", "damaged.sprat", |bytes| *bytes.last_mut().unwrap() ^= 1);
    bench.wrong("a packed file with a flipped bit", &["run", "damaged.sprat"]);
    bench.change("tiny.sprat", "short.sprat", |bytes| bytes.truncate(bytes.len() - 100));
    bench.wrong("a packed file that was cut short", &["run", "short.sprat"]);
    bench.change("tiny.sprat", "newer.sprat", |bytes| bytes[8] = 99);
    bench.wrong("a packed file of a newer version", &["inspect", "newer.sprat"]);
    fs::write(bench.path("notes.txt"), "Nothing that is a model.").unwrap();
    bench.wrong("a text where a model is expected", &["plan", "notes.txt", "--board", "rp2350"]);
    let packed = bench.command(&["pack", "tiny.bin", "-o", "least.sprat", "--trim-vocab", "notes.txt"]);
    assert!({ packed }.status().unwrap().success());
    let against = ["eval", "least.sprat", "--against", "tiny.bin", "--text", "notes.txt"];
    bench.wrong("a trimmed file against its checkpoint", &against);
    let longer = ["pack", "tiny.bin", "-o", "out.sprat", "--context", "33"];
    bench.wrong("a context of more positions than the model has", &longer);
    let text = "x".repeat(1000);
    bench.wrong("a prompt that is longer than the context", &["run", "tiny.sprat", "--prompt", &text]);
    bench.wrong("an id outside the vocabulary", &["logits", "tiny.sprat", "--ids", "1,9999", "-o", "x"]);
    let packed = bench.command(&["pack", "silent", "-o", "silent.sprat"]).status().unwrap();
    assert!(packed.success());
    bench.wrong("a prompt for a model without a tokenizer", &["run", "silent.sprat", "--prompt", "a"]);
}

fn boards(bench: &mut Bench) {
    bench.wrong("a board that is not known", &["plan", "tiny.sprat", "--board", "toaster"]);
    bench.llama("long", |model| model.set("max_position_embeddings", json!(1 << 20)));
    let long = ["pack", "long", "-o", "long.sprat", "--context", "1000000"];
    bench.wrong("a context that a board has no RAM for", &[&long[..], &["--board", "nrf52840"]].concat());
    bench.llama("wide", |model| {
        model.set("vocab_size", json!(100_000));
        model.tensors.insert("model.embed_tokens.weight".into(), (vec![100_000, 16], vec![0.5; 1_600_000]));
    });
    let wide = ["pack", "wide", "-o", "wide.sprat", "--board", "nrf5340", "--logits-rows", "64"];
    bench.wrong("a model that a board has no flash for", &wide);
    assert!(!bench.path("wide.sprat").exists());
    fs::write(bench.path("mine.toml"), "[[board]]\nname = \"mine\"\nclock = 100\n").unwrap();
    bench.wrong(
        "a file of boards with a word that is none",
        &["plan", "tiny.sprat", "--all-boards", "--boards", "mine.toml"],
    );
    let mine = "[[board]]\nname = \"mine\"\ntitle = \"\"\ncore = \"Z80\"\nclock_mhz = 4\nsource = \"\"\nmemory = []\n";
    fs::write(bench.path("core.toml"), mine).unwrap();
    bench.wrong(
        "a file of boards with a core that is not known",
        &["plan", "tiny.sprat", "--all-boards", "--boards", "core.toml"],
    );
}

#[test]
fn errors_say_what_was_found_what_was_expected_and_what_to_do() {
    let mut bench = Bench::new();
    files(&mut bench);
    checkpoints(&mut bench);
    packed_files(&mut bench);
    boards(&mut bench);
    assert!(bench.cases >= 15);
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("errors", bench.said.trim_end());
    });
}
