//! What the host and a board say to each other: the request, the report, and the exit codes.
//!
//! Both sides compile this one file, so neither can misread the other. Messages travel in postcard's wire
//! format; fields are only ever appended, and variants too, because their position is their number.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What a board is asked: a text to continue, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// The text before the answer, in the form that the model was trained on.
    pub prompt: &'a str,
    /// Whether the text of special tokens in `prompt` stands for those tokens.
    pub special: bool,
    /// Tokens after which the answer ends at the latest.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time; other values divide the logits before sampling.
    pub temperature: f32,
    /// Sample among this many of the likeliest tokens; 0 for all.
    pub top_k: u32,
    /// Sample among the likeliest tokens that hold this much of the probability; 1 for all.
    pub top_p: f32,
    /// Leave out tokens less likely than this share of the likeliest; 0 for none.
    pub min_p: f32,
    /// Makes tokens that are in the context less likely; 1 for no change.
    pub repetition_penalty: f32,
    /// Start of the random stream; the same everywhere.
    pub seed: u64,
    /// Whether to hash all logits; costs about ten instructions for each.
    pub hash_logits: bool,
    /// Answer `prompt` as a question in the model's chat template, with tools; only firmware with the feature `ask` does.
    pub ask: Option<Ask<'a>>,
}

/// What a question may use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask<'a> {
    /// Whether calls are answered.
    pub tools: bool,
    /// What sensors read, a line each: `temp,kitchen=23.4`.
    pub sensors: &'a str,
}

/// Bytes that a request needs beside its prompt, at most (postcard's varints included).
pub const REQUEST_OVERHEAD_BYTES: usize = 64;

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            prompt: "",
            special: false,
            max_tokens: 64,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            seed: 0,
            hash_logits: false,
            ask: None,
        }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// The model said so.
    EndToken,
    /// As many tokens as were asked for.
    Limit,
    /// No room for another token in the key-value cache.
    ContextFull,
    /// A text that ends an answer.
    StopText,
    /// Whoever asked wanted no more.
    Cancelled,
}

impl Stop {
    /// The same in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::EndToken => "end token",
            Self::Limit => "limit",
            Self::ContextFull => "context full",
            Self::StopText => "stop text",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a board has to say after an answer; the text itself was streamed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report<'a> {
    /// The board.
    pub board: &'a str,
    /// The target triple that the firmware was built for.
    pub target: &'a str,
    /// The kernels that did the arithmetic.
    pub kernel: &'a str,
    /// Tokens that the key-value cache holds.
    pub context_tokens: u32,
    /// Tokens read before the answer.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub answer_tokens: u32,
    /// Why the answer ended.
    pub stop: Stop,
    /// Hash over the bits of every logit that a token was chosen from, if it was asked for.
    pub logits_hash: Option<u64>,
    /// Instructions for checking the model and laying out the arena.
    pub load_instructions: u64,
    /// Instructions for reading the prompt.
    pub prefill_instructions: u64,
    /// Instructions for choosing and feeding the tokens of the answer.
    pub decode_instructions: u64,
    /// Bytes of the one arena, KV cache and scratch.
    pub arena_bytes: u32,
    /// Bytes of stack reserved.
    pub stack_reserved_bytes: u32,
    /// Bytes of stack that were written at least once.
    pub stack_used_bytes: u32,
    /// Calls that were answered.
    pub calls: u32,
    /// Calls that were given up.
    pub abandoned_calls: u32,
    /// Tokens of results, beside those of prompt and answer.
    pub inserted_tokens: u32,
}

/// Bytes that a report needs at most.
pub const REPORT_BYTES: usize = 256;

/// How a firmware ends. The only place where these numbers are given a meaning.
///
/// The numbers stay clear of those of the tools around: 1 and 2 (an emulator that could not start), 124
/// (a time limit) and 134 (an emulator that aborted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The answer and the report are complete.
    Success = 0,
    /// The packed model in flash was refused: damaged, foreign, or not what the arena was built for.
    ModelRefused = 65,
    /// The request could not be read.
    BadRequest = 66,
    /// The runtime refused the request or failed while answering it.
    EngineFailed = 67,
    /// The report could not be written.
    ReportFailed = 68,
    /// The firmware panicked.
    Panic = 101,
    /// The core took a fault.
    Fault = 139,
    /// The stack grew past its end.
    StackOverflow = 140,
}

impl Exit {
    /// Every way to end.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::ModelRefused,
        Self::BadRequest,
        Self::EngineFailed,
        Self::ReportFailed,
        Self::Panic,
        Self::Fault,
        Self::StackOverflow,
    ];

    /// The number that the emulator hands to the host.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The meaning of a number, `None` for one that no firmware gives.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|exit| i32::from(exit.code()) == code)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::ModelRefused => "the packed model in flash was refused",
            Self::BadRequest => "the request could not be read",
            Self::EngineFailed => "the runtime refused or failed to answer the request",
            Self::ReportFailed => "the report could not be written",
            Self::Panic => "the firmware panicked",
            Self::Fault => "the core took a fault",
            Self::StackOverflow => "the stack grew past its end",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_messages_fit_their_buffers() {
        let mut buffer = [0; REPORT_BYTES];
        let (max, long) = (u32::MAX, "a name that is as long as a name can get");
        let request = Request {
            max_tokens: max,
            temperature: f32::MAX,
            top_k: max,
            top_p: f32::MAX,
            min_p: f32::MAX,
            repetition_penalty: f32::MAX,
            seed: u64::MAX,
            ask: Some(Ask { tools: true, sensors: "" }),
            ..Request::default()
        };
        assert!(postcard::to_slice(&request, &mut buffer).unwrap().len() <= REQUEST_OVERHEAD_BYTES - 4);
        let report = Report {
            board: long,
            target: long,
            kernel: long,
            context_tokens: max,
            prompt_tokens: max,
            answer_tokens: max,
            stop: Stop::ContextFull,
            logits_hash: Some(u64::MAX),
            load_instructions: u64::MAX,
            prefill_instructions: u64::MAX,
            decode_instructions: u64::MAX,
            arena_bytes: max,
            stack_reserved_bytes: max,
            stack_used_bytes: max,
            calls: max,
            abandoned_calls: max,
            inserted_tokens: max,
        };
        let used = postcard::to_slice(&report, &mut buffer).unwrap();
        assert_eq!(postcard::from_bytes::<Report<'_>>(used), Ok(report));
    }

    #[test]
    fn exit_codes_are_distinct_and_only_success_is_zero() {
        for (index, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(Exit::from_code(exit.code().into()), Some(exit), "two meanings for {}", exit.code());
            assert_eq!(exit.code() == 0, index == 0);
        }
        assert_eq!(Exit::from_code(1), None);
    }
}
