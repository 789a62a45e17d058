//! The arguments of every command, and their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sprat::SamplerConfig;
use sprat_format::Role;

use super::values::{Kv, MatrixLayout, Weights, exception};
use crate::import::OpenOptions;
use crate::pack::{PackOptions, WeightType};
use crate::threads::Threads;

mod ask;
mod bench;
mod calibrate;
mod chat;
mod console;
mod eval;
mod flash;
mod inspect;
mod plan;
mod prefix;
#[cfg(feature = "train")]
mod train;
mod trim;

pub(super) use ask::AskArguments;
pub(super) use bench::BenchArguments;
use calibrate::CalibrateArguments;
use chat::{TemplateArguments, TurnArguments};
pub(super) use console::ChatArguments;
pub(super) use eval::EvalArguments;
pub(super) use flash::{FlashArguments, MonitorArguments};
pub(super) use inspect::InspectArguments;
pub(super) use plan::{BoardsArguments, PlanArguments};
use prefix::PrefixArguments;
#[cfg(feature = "train")]
pub(super) use train::TrainArguments;
pub(super) use trim::TrimArguments;

/// A GPT in flash: pack a checkpoint, see whether it fits, run it as the device runs it.
#[derive(Debug, Parser)]
#[command(name = "sprat", version, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Import a checkpoint, quantize it and pack it into one file
    #[command(after_help = "Examples:\n  sprat pack models/assistant -o assistant.sprat\n  \
        sprat pack stories260K.bin --tokenizer tok512.bin -o stories.sprat --weights f16\n  \
        sprat pack model/ -o model.sprat --context 512 --board qemu-mps2-an386\n  \
        sprat pack model/ -o model.sprat --calibrate text.txt --max-kl 0.01")]
    Pack(PackArguments),
    /// Show what is in a checkpoint or a packed file, or what two of them differ in
    #[command(after_help = "Examples:\n  sprat inspect assistant.sprat --tensors\n  \
        sprat inspect models/assistant --tensors --sort channel --json\n  \
        sprat inspect models/assistant --diff assistant.sprat")]
    Inspect(InspectArguments),
    /// Show what a model needs on a board, whether it fits, and how long a token is predicted to take
    #[command(after_help = "Examples:\n  sprat plan assistant.sprat --board qemu-mps2-an386\n  \
        sprat plan assistant.sprat --board nrf52840 --context 128 --kv f16 --json\n  \
        sprat plan assistant.sprat --all-boards\n  sprat plan --what-fits rp2350 --tokens-per-second 20\n  \
        sprat plan assistant.sprat --boards mine.toml --board my-board")]
    Plan(PlanArguments),
    /// Run a model on this machine
    #[command(after_help = "Examples:\n  sprat run stories.sprat --prompt \"Once upon a time\"\n  \
        sprat run assistant.sprat --chat \"What is the capital of France?\"\n  \
        sprat run stories260K.bin --tokenizer tok512.bin --temperature 0.8 --top-p 0.9 --seed 7")]
    Run(RunArguments),
    /// Ask a model a question, and answer the calls that it makes: a calculator, programs, a device's sensors
    #[command(
        after_help = "Examples:\n  sprat ask assistant.sprat \"Tom has 12 apples and buys 30 more. How many has \
        he?\"\n  sprat ask assistant.sprat \"How warm is it in the kitchen?\" --sensor temp,kitchen=23.4\n  \
        sprat ask assistant.sprat \"What is 17 times 23?\" --board qemu-mps2-an386 --json\n  \
        sprat ask assistant.sprat \"What is 17 times 23?\" --chains 8\n  \
        sprat ask assistant.sprat --questions held-out/*.jsonl --chains 8"
    )]
    Ask(AskArguments),
    /// Talk to a model: on this machine, on an emulated board, or on the board at a serial port
    #[command(after_help = "Examples:\n  sprat chat assistant.sprat\n  \
        sprat chat assistant.sprat --board qemu-mps2-an386 --sensor temp,kitchen=23.4\n  \
        sprat chat --port /dev/ttyACM0\n  \
        echo 'What is 17 times 23?' | sprat chat assistant.sprat --json\n\n\
        Lines of a script are those that a person types; /help lists the commands.")]
    Chat(ChatArguments),
    /// Run a model on an emulated board, and count instructions and bytes
    #[command(after_help = "Example:\n  sprat emulate assistant.sprat --board qemu-mps2-an386 --special \
        --prompt \"<|user|>What is 3 plus 4?<|assistant|>\"")]
    Emulate(EmulateArguments),
    /// Bring a model, a firmware or both onto a real board
    #[command(
        after_help = "Examples:\n  sprat flash stm32h743 --firmware firmware.elf --model assistant.sprat\n  \
        sprat flash nrf52840 --model small.sprat\n  sprat flash rp2350 --model assistant.sprat --slot b\n  \
        sprat flash stm32h743 --model assistant.sprat --dry-run --files out"
    )]
    Flash(FlashArguments),
    /// Show what a real board logs
    #[command(after_help = "Example:\n  sprat monitor nrf52840 --firmware firmware.elf")]
    Monitor(MonitorArguments),
    /// Write the logits at every position of a sequence
    #[command(
        after_help = "Example:\n  sprat logits model.sprat --ids 1,2,3 -o logits.safetensors --prefill"
    )]
    Logits(LogitsArguments),
    /// Measure packed models against their checkpoint on a text
    #[command(
        after_help = "Example:\n  sprat eval q8.sprat f16.sprat --against stories260K.bin --tokenizer tok512.bin \
        --text stories.txt --html loss.html"
    )]
    Eval(EvalArguments),
    /// Measure how fast a model runs on this machine: tokens, bytes and products a second, by stage
    #[command(after_help = "Examples:\n  sprat bench model.sprat --threads 1,2\n  \
        sprat bench --shape 135m --kernels all --json\n  \
        sprat bench --shape 288/6/768/32000/6/6 --weights f16\n  sprat bench --growth growth.svg")]
    Bench(BenchArguments),
    /// Train a small assistant on chats
    #[cfg(feature = "train")]
    #[command(
        after_help = "Examples:\n  sprat train --new my-device\n  sprat train chats.jsonl -o assistant --minutes 60\n  \
        sprat train chats.jsonl --preset 260k -o small --tokens 5M --eval held-out.jsonl --json\n  \
        sprat train chats.jsonl -o assistant --minutes 60 --resume\n  \
        sprat train --assistant-corpus corpus"
    )]
    Train(Box<TrainArguments>),
}

/// How a checkpoint is opened.
#[derive(Debug, Args)]
pub(super) struct OpenArguments {
    /// The tokenizer, if it is not beside the checkpoint or in it: tokenizer.json, SentencePiece's
    /// tokenizer.model, a GGUF file, llama2.c's tokenizer.bin, or a directory
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// A setting of config.json that is known to change no number (may be repeated)
    #[arg(long = "ignore-setting", value_name = "KEY")]
    ignored_settings: Vec<String>,
}

impl OpenArguments {
    pub fn options(&self) -> OpenOptions {
        OpenOptions { tokenizer: self.tokenizer.clone(), ignored_settings: self.ignored_settings.clone() }
    }
}

/// Who computes.
#[derive(Debug, Args)]
pub(super) struct TeamArguments {
    /// Threads; the results do not depend on their number [default: the machine's cores, at most 8]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl TeamArguments {
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(Threads::sensible)
    }
}

#[derive(Debug, Args)]
pub(super) struct PackArguments {
    /// The checkpoint: a Hugging Face directory, a GGUF file or a llama2.c file; its content says which
    #[arg(value_name = "SRC")]
    pub source: PathBuf,
    /// The packed file to write
    #[arg(short, long, value_name = "OUT.sprat")]
    pub output: PathBuf,
    /// Type of the weights
    #[arg(long, value_enum, default_value = "q8")]
    weights: Weights,
    /// Another type for one kind of matrix, as in token_embedding=f16 (may be repeated)
    #[arg(long = "tensor", value_name = "TENSOR=TYPE", value_parser = exception)]
    exceptions: Vec<(Role, WeightType)>,
    /// Inputs that share a scale in q8: 4 to 256, a multiple of 4
    #[arg(long, default_value_t = PackOptions::default().group)]
    group: u16,
    /// How q8 matrices are arranged; the numbers are the same
    #[arg(long, value_enum, default_value = "biased")]
    layout: MatrixLayout,
    /// Type of the keys and values on the device
    #[arg(long, value_enum, default_value = "q8")]
    kv: Kv,
    /// Tokens of context [default: the model's positions, at most 2048]
    #[arg(long, value_name = "TOKENS")]
    context: Option<u32>,
    /// Tokens that one pass over the weights processes while reading a prompt
    #[arg(long, value_name = "TOKENS", default_value_t = PackOptions::default().prefill_chunk)]
    prefill_chunk: u32,
    /// Bytes of text that can be tokenized at once [default: 4 for each token of the context]
    #[arg(long, value_name = "BYTES")]
    prompt_bytes: Option<u32>,
    /// Rows of the output head whose logits are in memory at once, a multiple of 4; 0 for all. With fewer, tokens are
    /// chosen greedily or among a top-k of 1 to 64
    #[arg(long, value_name = "ROWS", default_value_t = PackOptions::default().logits_rows)]
    logits_rows: u32,
    /// Name of the model [default: that of the checkpoint]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    template: TemplateArguments,
    #[command(flatten)]
    pub prefix: PrefixArguments,
    #[command(flatten)]
    pub trim: TrimArguments,
    /// Refuse to pack what does not fit this board
    #[arg(long)]
    pub board: Option<String>,
    #[command(flatten)]
    pub boards: BoardsArguments,
    /// Print what was packed as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub calibration: CalibrateArguments,
    #[command(flatten)]
    pub open: OpenArguments,
}

impl PackArguments {
    pub fn options(&self) -> PackOptions {
        PackOptions {
            weights: self.weights.into(),
            exceptions: self.exceptions.clone(),
            group: self.group,
            layout: self.layout.into(),
            kv: self.kv.into(),
            context: self.context,
            prefill_chunk: self.prefill_chunk,
            prompt_bytes: self.prompt_bytes,
            logits_rows: self.logits_rows,
            name: self.name.clone(),
            chat: self.template.options(),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// A packed file, or a checkpoint, which is then run in f32
    #[arg(value_name = "F")]
    pub file: PathBuf,
    /// The text to continue
    #[arg(long, default_value = "")]
    pub prompt: String,
    /// Special tokens in the prompt become special tokens
    #[arg(long)]
    pub special: bool,
    #[command(flatten)]
    pub chat: TurnArguments,
    /// Tokens to write at most
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub max_tokens: usize,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Tokens of context [default: as packed]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    /// Kernels to compute with [default: the best ones of this machine]
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    #[command(flatten)]
    pub team: TeamArguments,
    /// Print text, tokens and statistics as JSON at the end instead of the text as it comes
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub open: OpenArguments,
}

#[derive(Debug, Args)]
pub(super) struct EmulateArguments {
    /// A packed file
    #[arg(value_name = "F")]
    pub file: PathBuf,
    /// The board: an emulated one, or one that runs Linux, whose core is emulated
    #[arg(long, default_value = "qemu-mps2-an386")]
    pub board: String,
    /// The text to continue
    #[arg(long, default_value = "")]
    pub prompt: String,
    /// Special tokens in the prompt become special tokens
    #[arg(long)]
    pub special: bool,
    /// Tokens to write at most
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub max_tokens: u32,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Tokens of context [default: as packed]
    #[arg(long, value_name = "TOKENS")]
    pub context: Option<u32>,
    /// Kernels to compute with [default: the best ones of the board's core]
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    /// Stream the model through a window of so many KiB, as from flash that is not mapped (qemu-mps2-an386)
    #[arg(long, value_name = "KIB")]
    pub stream: Option<u32>,
    /// Also hash all logits, to compare with `sprat run`
    #[arg(long)]
    pub hash: bool,
    /// Print text and statistics as JSON at the end instead of the text as it comes
    #[arg(long)]
    pub json: bool,
}

/// How tokens are chosen.
#[derive(Debug, Args)]
pub(super) struct SamplingArguments {
    /// 0 takes the most likely token, always
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    /// Choose among the k most likely tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: u32,
    /// Choose among the most likely tokens with this share of the probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Choose among tokens with this share of the most likely one's probability
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    min_p: f32,
    /// Makes the last 64 tokens less likely; 1 for no penalty
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Start of the random stream: the same seed gives the same text on every device
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl SamplingArguments {
    pub fn config(&self) -> SamplerConfig {
        let Self { temperature, top_k, top_p, min_p, repetition_penalty, .. } = *self;
        SamplerConfig { repetition_penalty, temperature, top_k, top_p, min_p }
    }

    /// The same as arguments of another `sprat`.
    pub fn to_arguments(&self) -> [String; 6] {
        let Self { temperature, top_k, top_p, min_p, repetition_penalty, seed } = self;
        [
            format!("--temperature={temperature}"),
            format!("--top-k={top_k}"),
            format!("--top-p={top_p}"),
            format!("--min-p={min_p}"),
            format!("--repetition-penalty={repetition_penalty}"),
            format!("--seed={seed}"),
        ]
    }
}

#[derive(Debug, Args)]
pub(super) struct LogitsArguments {
    /// A packed file, or a checkpoint, which is then run in f32
    #[arg(value_name = "F")]
    pub file: PathBuf,
    /// Token ids, separated by commas
    #[arg(long, value_delimiter = ',', required = true)]
    pub ids: Vec<u32>,
    /// The safetensors file to write: tensor `logits`, positions x vocabulary, f32
    #[arg(short, long, value_name = "OUT.safetensors")]
    pub output: PathBuf,
    /// Feed the ids in chunks, as a prompt is, instead of one at a time
    #[arg(long)]
    pub prefill: bool,
    /// Kernels to compute with [default: the best ones of this machine]
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    #[command(flatten)]
    pub team: TeamArguments,
    #[command(flatten)]
    pub open: OpenArguments,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
