//! The arguments of `sprat train`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sprat_train::job::Job;
use sprat_train::optimizer::{Method, Settings};
use sprat_train::schedule::{Budget, Decay, Schedule};
use sprat_train::shape::{Preset, Shape};
use sprat_train::trainer::Plan;

use super::TeamArguments;

#[derive(Debug, Args)]
pub(in super::super) struct TrainArguments {
    /// Chats to learn from, one a line: {"messages": [{"role": "user", "content": "..."}, ...]}
    #[arg(value_name = "DATA.jsonl", required_unless_present_any = ["new", "assistant_corpus"])]
    chats: Vec<PathBuf>,
    /// The directory to write: a checkpoint that `sprat pack` takes
    #[arg(short, long, value_name = "OUT", required_unless_present_any = ["new", "assistant_corpus"])]
    output: Option<PathBuf>,
    /// Instead of training: write a folder with the chats of a device to begin with, and how to go on
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["chats", "output"])]
    pub new: Option<PathBuf>,
    /// Instead of training: write the generated chats of the default assistant and its held-out questions
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["chats", "output", "new"])]
    pub assistant_corpus: Option<PathBuf>,
    /// Chats of the default assistant's corpus
    #[arg(long, value_name = "CHATS", default_value_t = 700_000, requires = "assistant_corpus")]
    pub examples: usize,
    /// Questions of each of its held-out sets
    #[arg(long, value_name = "QUESTIONS", default_value_t = 500, requires = "assistant_corpus")]
    pub questions: usize,
    /// Chats to measure on, which are not learned from
    #[arg(long = "eval", value_name = "HELD.jsonl", num_args = 1..)]
    held_out: Vec<PathBuf>,
    /// Size of the model: 260k, 1m or 3m parameters
    #[arg(long, default_value = "1m")]
    preset: Preset,
    #[command(flatten)]
    shape: ShapeArguments,
    /// A tokenizer.json to use, with the special tokens of such a training [default: one is trained on the chats]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// The directory of a model that this trained, of the same shape, to teach more: its weights and its tokenizer
    #[arg(long, value_name = "MODEL", conflicts_with = "tokenizer")]
    from: Option<PathBuf>,
    /// How long: tokens to read, repetitions included (K and M mean thousands and millions)
    #[arg(long, value_name = "TOKENS", default_value = "20M", value_parser = token_count)]
    tokens: u64,
    /// How long instead: minutes of training
    #[arg(long, conflicts_with = "tokens", value_parser = positive)]
    minutes: Option<f64>,
    /// Optimizer: muon (for matrices, with AdamW for the rest) or adamw
    #[arg(long, default_value = "muon")]
    optimizer: Method,
    /// Highest rate of Muon
    #[arg(long, value_name = "RATE", default_value_t = Settings::default().muon_rate)]
    muon_rate: f32,
    /// Highest rate of AdamW
    #[arg(long, value_name = "RATE", default_value_t = Settings::default().adam_rate)]
    rate: f32,
    /// Decay of matrices
    #[arg(long, value_name = "SHARE", default_value_t = Settings::default().weight_decay)]
    weight_decay: f32,
    /// The length that AdamW's gradients are cut to
    #[arg(long, value_name = "LENGTH", default_value_t = Settings::default().clip)]
    clip: f32,
    /// How rates fall: cosine, or linear from the middle on
    #[arg(long, default_value = "cosine")]
    schedule: Decay,
    /// Steps in which rates rise
    #[arg(long, value_name = "STEPS", default_value_t = Schedule::default().warm_up)]
    warm_up: u64,
    /// Tokens of a step
    #[arg(long, value_name = "TOKENS", default_value_t = 8192)]
    batch_tokens: usize,
    /// Tokens of a step's parts, which threads share out; the result depends on it in the last bits
    #[arg(long, value_name = "TOKENS", default_value_t = 1024)]
    micro_tokens: usize,
    /// Train the last share of the budget with weights and matrix inputs as int8 leaves them
    #[arg(long, value_name = "SHARE", num_args = 0..=1, default_missing_value = "0.2", value_parser = share)]
    qat: Option<f64>,
    /// Of the first weights and the order of the chats: the same seed gives the same model
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    team: TeamArguments,
    /// Minutes between checkpoints
    #[arg(long, value_name = "MINUTES", default_value = "5", value_parser = positive)]
    save_every: f64,
    /// Go on with the unfinished training in the directory, exactly where its last checkpoint was
    #[arg(long)]
    resume: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Other numbers than the preset's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shape")]
struct ShapeArguments {
    /// Elements of the residual stream
    #[arg(long, value_name = "N")]
    width: Option<usize>,
    /// Layers
    #[arg(long, value_name = "N")]
    layers: Option<usize>,
    /// Heads of queries
    #[arg(long, value_name = "N")]
    heads: Option<usize>,
    /// Heads of keys and values
    #[arg(long, value_name = "N")]
    kv_heads: Option<usize>,
    /// Elements of a head
    #[arg(long, value_name = "N")]
    head_width: Option<usize>,
    /// Elements between the feed-forward matrices
    #[arg(long, value_name = "N")]
    feed_forward: Option<usize>,
    /// Tokens of the vocabulary, at most
    #[arg(long, value_name = "N")]
    vocabulary: Option<usize>,
    /// Tokens of a chat, at most
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
}

impl ShapeArguments {
    fn over(&self, preset: Shape) -> Shape {
        Shape {
            width: self.width.unwrap_or(preset.width),
            layers: self.layers.unwrap_or(preset.layers),
            heads: self.heads.unwrap_or(preset.heads),
            kv_heads: self.kv_heads.unwrap_or(preset.kv_heads),
            head_width: self.head_width.unwrap_or(preset.head_width),
            feed_forward: self.feed_forward.unwrap_or(preset.feed_forward),
            vocabulary: self.vocabulary.unwrap_or(preset.vocabulary),
            context: self.context.unwrap_or(preset.context),
            ..preset
        }
    }
}

impl TrainArguments {
    /// What is to be done.
    pub fn job(&self) -> Job {
        let plan = Plan {
            shape: self.shape.over(self.preset.shape()),
            optimizer: Settings {
                method: self.optimizer,
                muon_rate: self.muon_rate,
                adam_rate: self.rate,
                weight_decay: self.weight_decay,
                clip: self.clip,
            },
            schedule: Schedule { warm_up: self.warm_up, decay: self.schedule },
            budget: self
                .minutes
                .map_or(Budget::Tokens(self.tokens), |minutes| Budget::Seconds(60.0 * minutes)),
            batch_tokens: self.batch_tokens,
            micro_tokens: self.micro_tokens,
            quantize_from: 1.0 - self.qat.unwrap_or(0.0),
            seed: self.seed,
        };
        Job {
            chats: self.chats.clone(),
            held_out: self.held_out.clone(),
            output: self.output.clone().unwrap_or_default(),
            tokenizer: self.tokenizer.clone(),
            from: self.from.clone(),
            plan,
            threads: self.team.threads(),
            save_every: Duration::from_secs_f64(60.0 * self.save_every),
            resume: self.resume,
        }
    }
}

/// A number of tokens with an optional unit.
fn token_count(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let number = digits.parse::<f64>().ok().map(|number| number * unit);
    let number = number.filter(|number| (1.0..1e15).contains(number)).map(|number| number as u64);
    number.ok_or_else(|| "expected a number such as 500000, 500K or 2.5M".to_owned())
}

/// A number of minutes.
fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (1e-9..1e9).contains(number));
    number.ok_or_else(|| "expected a number above 0, such as 30".to_owned())
}

/// A part of the whole.
fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "expected a number from 0 to 1, such as 0.2".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_counts_have_units() {
        assert_eq!(token_count("2.5M"), Ok(2_500_000));
        assert_eq!(token_count("64k"), Ok(64_000));
        assert_eq!(token_count("77"), Ok(77));
        assert_eq!(share("0.25"), Ok(0.25));
        assert!(share("1.1").is_err() && positive("0").is_err() && positive("x").is_err());
        assert!(token_count("0").is_err() && token_count("M").is_err() && token_count("-1").is_err());
    }

    #[test]
    fn numbers_take_the_place_of_the_presets() {
        let none = ShapeArguments {
            width: None,
            layers: Some(7),
            heads: None,
            kv_heads: None,
            head_width: None,
            feed_forward: None,
            vocabulary: None,
            context: None,
        };
        let shape = none.over(Preset::M1.shape());
        assert_eq!(shape, Shape { layers: 7, ..Preset::M1.shape() });
    }
}
