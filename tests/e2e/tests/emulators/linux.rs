//! The laptop's tool as a static program for AArch64 Linux, as a Raspberry Pi runs it: the same text and the same bits, with
//! the kernels of each core and any number of threads.

use std::path::Path;

use indicatif::ProgressBar;
use sprat::Kernels;
use sprat_e2e::{missing, reference, repository};
use sprat_emulator::firmware::Progress;
use sprat_format::Layout;
use sprat_tools::emulate::linux::{self, LinuxBoard};
use sprat_tools::import::{Checkpoint, OpenOptions};
use sprat_tools::model::Model;
use sprat_tools::pack::{self, PackOptions};
use sprat_tools::run::{RunOptions, run};

const STEPS: usize = 16;

/// Boards with different cores, and the kernels that each is to choose.
const BOARDS: [(&str, &str); 2] = [("raspberry-pi-3", "neon"), ("raspberry-pi-5", "dotprod")];

/// Asks the emulated program, with each number of threads, and this machine, with each of its kernels.
fn compare(program: &Path, packed: &Path, prompt: &str, special: bool) {
    let model = Model::open(packed, &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
    let host = Kernels::available().map(|kernels| {
        let options = RunOptions {
            prompt: prompt.to_owned(),
            special,
            max_tokens: STEPS,
            kernels: Some(kernels.name().to_owned()),
            ..RunOptions::default()
        };
        run(&model, &options, |_| {}).unwrap()
    });
    let host: Vec<_> = host.collect();
    for (board, kernels) in BOARDS {
        for threads in ["1", "4"] {
            let found = ask(linux::find(board).unwrap(), program, packed, prompt, special, threads);
            assert_eq!(found["kernels"], kernels, "{board}");
            for host in &host {
                assert_eq!(found["text"], *host.text, "{board} with {threads} threads and {}", host.kernels);
                assert_eq!(found["logits_hash"], *host.logits_hash, "{board} with {threads} threads");
            }
        }
    }
}

/// What `sprat run --json` says on an emulated core.
fn ask(
    board: &LinuxBoard,
    program: &Path,
    packed: &Path,
    prompt: &str,
    special: bool,
    threads: &str,
) -> serde_json::Value {
    let mut command = board.command(program);
    command.arg("run").arg(packed).args(["--prompt", prompt, "--json", "--threads", threads]);
    command.args(["--max-tokens", &STEPS.to_string()]).args(special.then_some("--special"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", board.name);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_static_program_computes_the_bits_of_the_laptop() {
    let test = "the_static_program_computes_the_bits_of_the_laptop";
    if let Some(missing) = missing(linux::EMULATOR, linux::TARGET) {
        println!("SKIP {test}: {missing}");
        return;
    }
    // The kernels are optimized in this profile too.
    let program = linux::build("dev", Progress::Silent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("model.sprat");
    let pack = |source: &Path, open: &OpenOptions| {
        let options = PackOptions { layout: Layout::Interleaved, ..PackOptions::default() };
        let checkpoint = Checkpoint::open(source, open).unwrap();
        pack::to_file(&checkpoint, &options, &packed, &ProgressBar::hidden(), |_| Ok(())).unwrap();
    };
    pack(&repository().join("models/assistant"), &OpenOptions::default());
    compare(&program, &packed, "<|user|>What is the capital of France?<|assistant|>", true);
    let Some(stories) = reference(test, "data/stories260K") else { return };
    let open = OpenOptions { tokenizer: Some(stories.join("tok512.bin")), ..OpenOptions::default() };
    pack(&stories.join("stories260K.bin"), &open);
    compare(&program, &packed, "Once upon a time", false);
}
