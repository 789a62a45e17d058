//! What the test programs of all cores do, and the lines that they print of it.
//!
//! The program for bare cores and the one for Linux share this file, so that the host reads one form of output:
//!
//! ```text
//! kernels NAME                                              what this core chose
//! battery NAME CASES                                        all of them equal to the portable kernels
//! count UNITS INSTRUCTIONS WORKLOAD                         0 where they are counted from outside
//! text HEXADECIMAL                                          a piece of an answer
//! answer PROMPT_TOKENS TOKENS HASH LOAD PREFILL DECODE      tokens, logits' hash, instructions
//! ```

use core::fmt::{self, Write};

use sprat::format::Layout;
use sprat::{Kernels, Mismatch, Team, Workload, battery};
use sprat_board_support::app::{self, AppError};
use sprat_board_support::console::{Console, Counter};
use sprat_board_support::protocol::Request;

/// Bytes before the model in what the host hands over: the request, padded.
pub const REQUEST_BYTES: usize = 4096;

/// Why a job was not done.
#[derive(Debug)]
#[expect(dead_code, reason = "a person reads them as text")]
pub enum Failure {
    /// A kernel differs from the portable one.
    Kernel(Mismatch),
    /// What was handed over is no request and model.
    Request,
    /// The application failed.
    App(AppError),
    /// The host does not listen.
    Output(fmt::Error),
}

impl From<fmt::Error> for Failure {
    fn from(error: fmt::Error) -> Self {
        Self::Output(error)
    }
}

/// Compares every kernel of a table with the portable one.
pub fn compare(kernels: &'static Kernels, work: &mut [u8], out: &mut dyn Write) -> Result<(), Failure> {
    let cases = battery(kernels, work).map_err(Failure::Kernel)?;
    Ok(writeln!(out, "battery {} {cases}", kernels.name())?)
}

/// Runs every tracked workload `calls` times; the counter, which counts `scale` for an instruction, is read right
/// before and right after each call.
pub fn count(
    kernels: &'static Kernels,
    work: &mut [u8],
    calls: u64,
    counter: &mut dyn Counter,
    scale: u64,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let layout = match kernels.name() {
        "dsp" => Layout::InterleavedBiased,
        _ => Layout::Interleaved,
    };
    for workload in &Workload::tracked(layout) {
        let sum: u64 = (0..calls).map(|_| workload.run(kernels, work, &mut || counter.now())).sum();
        writeln!(out, "count {} {} {workload:?}", workload.units(), sum / (calls * scale))?;
    }
    Ok(())
}

/// Text in a form that survives every stream: two digits a byte.
struct Hexadecimal<'o>(&'o mut dyn Write, fmt::Result);

impl Console for Hexadecimal<'_> {
    fn write(&mut self, text: &str) {
        let mut line = || {
            write!(self.0, "text ")?;
            text.bytes().try_for_each(|byte| write!(self.0, "{byte:02x}"))?;
            writeln!(self.0)
        };
        self.1 = self.1.and(line());
    }
}

/// Answers a request as the boards do. `input` is the request in [`REQUEST_BYTES`] and the packed model after it; the
/// counter counts `scale` for an instruction.
pub fn answer(
    input: &[u8],
    context_tokens: u32,
    arena: &mut [u8],
    team: &dyn Team,
    counter: &mut impl Counter,
    scale: u64,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let (request, model) = input.split_at_checked(REQUEST_BYTES).ok_or(Failure::Request)?;
    let request: Request<'_> = postcard::from_bytes(request).map_err(|_| Failure::Request)?;
    let mut console = Hexadecimal(out, Ok(()));
    let answer = app::answer(model, arena, context_tokens, team, &request, &mut console, counter)
        .map_err(Failure::App)?;
    console.1?;
    let app::Answer { prompt_tokens, answer_tokens, .. } = answer;
    let [load, prefill, decode] = [answer.load, answer.prefill, answer.decode].map(|count| count / scale);
    let hash = answer.logits_hash.unwrap_or_default();
    writeln!(out, "answer {prompt_tokens} {answer_tokens} {hash:016x} {load} {prefill} {decode}")?;
    Ok(())
}
