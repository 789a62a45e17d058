//! What each command does with the library.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use serde::Serialize;
use sprat::Kernels;
use sprat_board_support::protocol::Request;
use sprat_emulator::firmware::{Form, Progress};

use super::arguments::{
    BenchArguments, Command, EmulateArguments, EvalArguments, InspectArguments, LogitsArguments,
    PackArguments, RunArguments, TrimArguments,
};
use crate::bench::{BenchOptions, Shape, bench, growth};
use crate::calibrate::{self, calibrate};
use crate::emulate::linux::{self, LinuxBoard};
use crate::emulate::{Emulated, Wanted};
use crate::eval::{EndlessOptions, endless, evaluate};
use crate::import::Checkpoint;
use crate::inspect::{Opened, Order, add_statistics, diff, inspect_image};
use crate::logits::{Feeding, logits};
use crate::model::{Model, kernels};
use crate::output::{Unfinished, write_whole};
use crate::pack::{self, PackOptions};
use crate::plan::Subject;
use crate::prefix;
use crate::progress::bar;
use crate::run::{RunOptions, run};
use crate::table::grouped;
use crate::threads::Threads;
use crate::trim::{TrimOptions, trim};

mod ask;
mod console;
mod flash;
mod plan;
#[cfg(feature = "train")]
mod train;

pub(super) fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Pack(arguments) => pack(&arguments),
        Command::Inspect(arguments) => inspect_file(&arguments),
        Command::Plan(arguments) => plan::plan_file(&arguments),
        Command::Run(arguments) => run_file(&arguments),
        Command::Ask(arguments) => ask::ask_model(&arguments),
        Command::Chat(arguments) => console::chat(&arguments),
        Command::Emulate(arguments) => emulate_file(&arguments),
        Command::Flash(arguments) => flash::flash_board(&arguments),
        Command::Monitor(arguments) => flash::monitor_board(&arguments),
        Command::Logits(arguments) => logits_file(&arguments),
        Command::Eval(arguments) => eval_files(&arguments),
        Command::Bench(arguments) => bench_model(&arguments),
        #[cfg(feature = "train")]
        Command::Train(arguments) => train::train_model(&arguments),
    }
}

fn print_json(value: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out).context("cannot write to standard output")
}

/// Text that a person reads; a closed pipe (`| head`) is an error and not a panic.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Colours, where they are seen and wanted.
#[derive(Clone, Copy)]
struct Colours(bool);

impl Colours {
    fn of_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn coloured(self, colour: &str, text: &str) -> String {
        match self.0 {
            true => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }

    /// What the machine inserts.
    fn inserted(self, text: &str) -> String {
        self.coloured("32", text)
    }

    /// An answer.
    fn answer(self, text: &str) -> String {
        self.coloured("1", text)
    }

    /// What is said about an answer.
    fn aside(self, text: &str) -> String {
        self.coloured("2", text)
    }
}

fn pack(arguments: &PackArguments) -> Result<()> {
    let checkpoint = Checkpoint::open(&arguments.source, &arguments.open.options())?;
    for note in &checkpoint.notes {
        eprintln!("note: {note}");
    }
    pack_checkpoint(arguments, checkpoint)
        .with_context(|| format!("cannot pack {}", arguments.source.display()))
}

fn pack_checkpoint(arguments: &PackArguments, mut checkpoint: Checkpoint) -> Result<()> {
    let options = arguments.options();
    trim_vocabulary(&mut checkpoint, &options, &arguments.trim)?;
    if let Some(chat) = pack::compile_chat(&checkpoint, &options)? {
        chat.notes.iter().for_each(|note| eprintln!("note: {note}"));
    }
    let layout = pack::layout(&checkpoint, &options)?;
    let boards = arguments.boards.load()?;
    let board = arguments.board.as_deref().map(|name| boards.by_name(name)).transpose()?;
    let check = |file_bytes: u64| match board {
        Some(board) => {
            let tokenizer_bytes = checkpoint.tokenizer.as_ref().map_or(0, Vec::len) as u64;
            let subject = Subject::of_layout(&layout, file_bytes, tokenizer_bytes);
            crate::plan::plan(&subject, &layout.limits, board)?.require_fit()
        }
        None => Ok(()),
    };
    // The RAM is known before anything is written; the flash only when the file is.
    check(0)?;
    let progress = bar("packing");
    // A text can be read once the model is packed: until then the file has another name.
    let prefix = match arguments.prefix.text() {
        Some(text) => Some((text, Unfinished::beside(&arguments.output)?)),
        None => None,
    };
    let output = prefix.as_ref().map_or(arguments.output.as_path(), |(_, file)| file.path());
    let mut length = match &arguments.calibration.calibrate {
        Some(text) => calibrated(&checkpoint, &options, arguments, text, output, &progress, check)?,
        None => pack::to_file(&checkpoint, &options, output, &progress, check)?,
    };
    if let Some((text, file)) = &prefix {
        length = prefix::to_file(&Model::open_packed(file.path())?, text, &arguments.output, check)?;
    }
    progress.finish_and_clear();
    let model = Model::open(&arguments.output, &arguments.open.options(), &progress)?;
    let image =
        model.image_without_weights().context("the file that was just written cannot be read back")?;
    if arguments.json {
        return print_json(&inspect_image(&image));
    }
    eprintln!("{}: {} bytes", arguments.output.display(), grouped(length));
    Ok(())
}

/// Trims the vocabulary if that is wanted, and says what is saved and lost.
fn trim_vocabulary(checkpoint: &mut Checkpoint, options: &PackOptions, wanted: &TrimArguments) -> Result<()> {
    let Some(path) = &wanted.text else { return Ok(()) };
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: a text in UTF-8 is expected", path.display()))
    };
    let bytes = |checkpoint: &Checkpoint| -> Result<u64> {
        let specs = pack::layout(checkpoint, options)?.specs;
        Ok(specs.iter().map(|spec| spec.value_bytes() + spec.scale_bytes()).sum())
    };
    let text = read(path)?;
    let held_out = wanted.held_out.as_ref().map(read).transpose()?;
    let before = bytes(checkpoint)?;
    let trimming = TrimOptions { held_out: held_out.as_deref(), most_tokens: wanted.keep_tokens };
    let report = trim(checkpoint, &text, &trimming)?;
    eprint!("{}", report.to_text());
    let after = bytes(checkpoint)?;
    eprintln!("tensors: {} bytes instead of {}", grouped(after), grouped(before));
    Ok(())
}

/// Packs with a calibration text, and says what that brought.
fn calibrated(
    checkpoint: &Checkpoint,
    options: &PackOptions,
    arguments: &PackArguments,
    text: &Path,
    output: &Path,
    progress: &ProgressBar,
    check: impl FnOnce(u64) -> Result<()>,
) -> Result<u64> {
    let text = std::fs::read_to_string(text)
        .with_context(|| format!("cannot read the calibration text {}", text.display()))?;
    let calibrated = calibrate(checkpoint, options, &text, arguments.calibration.goals(), progress)?;
    progress.suspend(|| eprint!("{}", calibrated.to_text()));
    calibrate::to_file(&calibrated, output, check)
}

fn inspect_file(arguments: &InspectArguments) -> Result<()> {
    let options = arguments.open.options();
    let opened = Opened::open(&arguments.file, &options)?;
    let reader = opened.reader()?;
    let progress = bar("reading");
    if let Some(other) = &arguments.diff {
        let other = Opened::open(other, &options)?;
        let mut difference = diff(&reader, &other.reader()?, &progress)?;
        progress.finish_and_clear();
        if arguments.sort != Order::File {
            difference.sort();
        }
        return match arguments.json {
            true => print_json(&difference),
            false => print(&difference.to_text()),
        };
    }
    let mut inspection = reader.inspection();
    if arguments.tensors {
        add_statistics(&mut inspection, &reader, &progress)?;
        progress.finish_and_clear();
    }
    inspection.sort(arguments.sort);
    match arguments.json {
        true => print_json(&inspection),
        false => print(&inspection.to_text(arguments.tensors)),
    }
}

fn run_file(arguments: &RunArguments) -> Result<()> {
    let progress = bar("packing");
    let model = Model::open(&arguments.file, &arguments.open.options(), &progress)?;
    progress.finish_and_clear();
    let options = RunOptions {
        prompt: arguments.prompt.clone(),
        special: arguments.special,
        chat: arguments.chat.turn(),
        max_tokens: arguments.max_tokens,
        sampler: arguments.sampling.config(),
        seed: arguments.sampling.seed,
        kernels: arguments.kernels.clone(),
        context: arguments.context,
        threads: arguments.team.threads(),
    };
    let mut out = std::io::stdout().lock();
    let mut written = Ok(());
    let report = run(&model, &options, |piece| {
        if !arguments.json && written.is_ok() {
            written = write!(out, "{piece}").and_then(|()| out.flush());
        }
    })?;
    written.context("cannot write to standard output")?;
    drop(out);
    if arguments.json {
        return print_json(&report);
    }
    print("\n")?;
    eprintln!("{}", report.summary());
    Ok(())
}

/// On a board that runs Linux, `sprat run` is what runs there: it gets the same arguments and has the same output.
fn emulate_process(board: &LinuxBoard, arguments: &EmulateArguments, progress: Progress) -> Result<()> {
    eprintln!("building sprat for {}, to run on a {}", linux::TARGET, board.cpu);
    let mut command = board.command(&linux::build("release", progress)?);
    command.arg("run").arg(&arguments.file).arg("--prompt").arg(&arguments.prompt);
    command.args(["--max-tokens", &arguments.max_tokens.to_string()]);
    command.args(arguments.sampling.to_arguments());
    let context = arguments.context.map(|tokens| ["--context".to_owned(), tokens.to_string()]);
    let kernels = arguments.kernels.as_ref().map(|name| ["--kernels".to_owned(), name.clone()]);
    command.args(context.into_iter().chain(kernels).flatten());
    command.args(
        [(arguments.special, "--special"), (arguments.json, "--json")]
            .iter()
            .filter_map(|(given, name)| given.then_some(name)),
    );
    let status = command.status().with_context(|| {
        format!("cannot start {}; `cargo xtask setup` installs what is missing", linux::EMULATOR)
    })?;
    ensure!(status.success(), "sprat on an emulated {} failed ({status})", board.cpu);
    Ok(())
}

fn emulate_file(arguments: &EmulateArguments) -> Result<()> {
    let progress = if std::io::stderr().is_terminal() { Progress::Shown } else { Progress::Silent };
    if let Some(board) = linux::find(&arguments.board) {
        return emulate_process(board, arguments, progress);
    }
    eprintln!("building the firmware of {} around {}", arguments.board, arguments.file.display());
    let emulated = Emulated::build(&Wanted {
        board: &arguments.board,
        model: &arguments.file,
        context: arguments.context,
        kernels: arguments.kernels.as_deref(),
        form: Form::Prompt,
        slots: false,
        window: arguments.stream.map(|kib| kib.saturating_mul(1024)),
        progress,
    })?;
    let sampler = arguments.sampling.config();
    let request = Request {
        prompt: &arguments.prompt,
        special: arguments.special,
        max_tokens: arguments.max_tokens,
        temperature: sampler.temperature,
        top_k: sampler.top_k,
        top_p: sampler.top_p,
        min_p: sampler.min_p,
        repetition_penalty: sampler.repetition_penalty,
        seed: arguments.sampling.seed,
        hash_logits: arguments.hash,
        ask: None,
    };
    let mut written = Ok(());
    let report = emulated.ask(&request, |piece| {
        if !arguments.json && written.is_ok() {
            written = print(piece);
        }
    })?;
    written?;
    match arguments.json {
        true => print_json(&report),
        false => print(&format!("\n\n{report}")),
    }
}

fn logits_file(arguments: &LogitsArguments) -> Result<()> {
    let progress = bar("packing");
    let model = Model::open(&arguments.file, &arguments.open.options(), &progress)?;
    progress.finish_and_clear();
    let feeding = if arguments.prefill { Feeding::Prefill } else { Feeding::TokenByToken };
    let found =
        logits(&model, &arguments.ids, feeding, arguments.kernels.as_deref(), arguments.team.threads())?;
    found.write(&arguments.output)?;
    eprintln!("{}: logits, {} x {}", arguments.output.display(), found.positions, found.vocab_size);
    Ok(())
}

fn eval_files(arguments: &EvalArguments) -> Result<()> {
    let Some(against) = &arguments.against else { return eval_endless(arguments) };
    let open = arguments.open.options();
    let progress = bar("packing");
    let reference = Model::open(against, &open, &progress)?;
    let models = arguments.files.iter().map(|path| Model::open(path, &open, &progress));
    let models = models.collect::<Result<Vec<_>>>()?;
    progress.finish_and_clear();
    let text = read_text(arguments)?;
    let progress = bar("measuring");
    let mut evaluation = evaluate(&models, &reference, &text, arguments.team.threads(), &progress)?;
    progress.finish_and_clear();
    if arguments.json.is_some() || arguments.html.is_some() {
        let files = arguments.files.iter().chain([against, &arguments.text]);
        let files: Vec<_> = files.chain(&open.tokenizer).map(PathBuf::as_path).collect();
        evaluation.attribute(command_line(), &files)?;
    }
    if let Some(path) = &arguments.json {
        write_whole(path, (serde_json::to_string_pretty(&evaluation)? + "\n").as_bytes())?;
    }
    if let Some(path) = &arguments.chart {
        evaluation.write_chart(path)?;
    }
    if let Some(path) = &arguments.html {
        evaluation.write_html(path)?;
    }
    print(&evaluation.to_text())
}

/// What can be done when the context is full, for each model.
fn eval_endless(arguments: &EvalArguments) -> Result<()> {
    let open = arguments.open.options();
    let text = read_text(arguments)?;
    let wanted = &arguments.endless;
    let options = EndlessOptions {
        tokens: wanted.endless.unwrap_or_default(),
        context: wanted.context,
        sinks: wanted.sinks,
        drop: wanted.drop,
        threads: arguments.team.threads(),
    };
    let [file] = &arguments.files[..] else { bail!("one model at a time can read a text without end") };
    let progress = bar("packing");
    let model = Model::open(file, &open, &progress)?;
    progress.finish_and_clear();
    let progress = bar("reading");
    let found = endless(&model, &text, &options, &progress)?;
    progress.finish_and_clear();
    if let Some(path) = &arguments.json {
        write_whole(path, (serde_json::to_string_pretty(&found)? + "\n").as_bytes())?;
    }
    if let Some(path) = &arguments.chart {
        found.write_chart(path)?;
    }
    print(&found.to_text())
}

/// The command as it was given, quoted where a shell needs it.
fn command_line() -> String {
    let quoted = |argument: String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
        match !argument.is_empty() && argument.bytes().all(plain) {
            true => argument,
            false => format!("'{}'", argument.replace('\'', r"'\''")),
        }
    };
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let program = Path::new(&program).file_name().map_or("sprat".into(), |name| name.to_string_lossy());
    let program = std::iter::once(program.into_owned());
    program.chain(arguments).map(quoted).collect::<Vec<_>>().join(" ")
}

/// The shape whose growth is drawn when nothing is said: a GPT-2 so small that the quadratic cost takes a second.
const GROWTH_SHAPE: &str = "gpt2:64/4/256/256/4";
/// Tokens of the text whose growth is drawn.
const GROWTH_TOKENS: usize = 256;

fn bench_model(arguments: &BenchArguments) -> Result<()> {
    let progress = bar("packing");
    let model = match (&arguments.file, arguments.shape, &arguments.growth) {
        (Some(file), _, _) => Model::open(file, &arguments.open.options(), &progress)?,
        (None, Some(shape), _) => shape.model(&arguments.options())?,
        (None, None, Some(_)) => GROWTH_SHAPE.parse::<Shape>()?.model(&arguments.options())?,
        (None, None, None) => bail!("nothing to measure: name a file, or a shape (--shape 135m)"),
    };
    progress.finish_and_clear();
    let threads = match &arguments.threads[..] {
        [] if Threads::sensible() == 1 => vec![1],
        [] => vec![1, Threads::sensible()],
        threads => threads.to_vec(),
    };
    if let Some(path) = &arguments.growth {
        let most = model.image()?.config().max_positions as usize;
        let growth = growth(&model, GROWTH_TOKENS.min(most), threads[threads.len() - 1])?;
        growth.write_chart(path)?;
        return match arguments.json {
            true => print_json(&growth),
            false => print(&growth.summary()),
        };
    }
    let kernels = match &arguments.kernels[..] {
        [] => vec![kernels(None)?],
        [all] if all == "all" => Kernels::available().collect(),
        names => names.iter().map(|name| kernels(Some(name))).collect::<Result<_>>()?,
    };
    let options = BenchOptions {
        prompt_tokens: arguments.prompt_tokens,
        answer_tokens: arguments.answer_tokens,
        rounds: arguments.rounds,
        threads,
        kernels,
        prefill_chunk: arguments.prefill_chunk,
    };
    let progress = bar("measuring");
    let bench = bench(&model, &options, &progress)?;
    progress.finish_and_clear();
    match arguments.json {
        true => print_json(&bench),
        false => print(&bench.to_text()),
    }
}

/// The beginning of the text, up to a whole character.
fn read_text(arguments: &EvalArguments) -> Result<String> {
    let what = || format!("cannot read {}", arguments.text.display());
    let mut bytes = Vec::new();
    let file = File::open(&arguments.text).with_context(what)?;
    file.take(arguments.max_bytes as u64).read_to_end(&mut bytes).with_context(what)?;
    let valid = match std::str::from_utf8(&bytes) {
        Ok(_) => bytes.len(),
        // Only a character that was cut off at the end is left out.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(error) => {
            return Err(error).with_context(|| format!("{} is not UTF-8", arguments.text.display()));
        }
    };
    bytes.truncate(valid);
    String::from_utf8(bytes).with_context(what)
}
