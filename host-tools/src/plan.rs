//! What a board needs for a model: flash, RAM to the byte, the largest context, and an estimate of the time.
//!
//! RAM comes from the same constant function that the device runs, so a plan that fits here fits there.

use std::fmt;

use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use sprat_format::{Config, KvType, Limits, Role};

use crate::boards::Board;
use crate::table::{bytes, grouped};

/// What is planned: a model's blueprint and the size of its file.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The blueprint.
    pub config: Config,
    /// Bytes of the packed file.
    pub file_bytes: u64,
    /// Bytes of its tokenizer.
    pub tokenizer_bytes: u64,
}

/// The plan of a model on a board.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The board.
    pub board: &'static str,
    /// Its core.
    pub core: &'static str,
    /// Tokens of context.
    pub context: u32,
    /// How keys and values are kept.
    pub kv: &'static str,
    /// Tokens that one pass over the weights processes while reading a prompt.
    pub prefill_chunk: u32,
    /// Rows of the output head whose logits are in memory at once; 0 for all.
    pub logits_rows: u32,
    /// Flash.
    pub flash: Flash,
    /// RAM.
    pub ram: Ram,
    /// Whether both fit.
    pub fits: bool,
    /// The largest context whose RAM fits; 0 when none does.
    pub largest_context: u32,
    /// Estimated time for a token, with an empty and with a full context.
    pub time: Time,
}

/// Where the flash goes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Flash {
    /// The packed file.
    pub model: u64,
    /// Of it, the tokenizer.
    pub tokenizer: u64,
    /// Kept for the firmware.
    pub firmware: u64,
    /// Model and firmware.
    pub needed: u64,
    /// What the board has.
    pub available: u64,
    /// What is missing; 0 when it fits.
    pub missing: u64,
}

/// Where the RAM goes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ram {
    /// Keys and values.
    pub kv: u64,
    /// Logits of one position or of a block, and what they are computed from.
    pub logits: u64,
    /// Tokens of a prompt.
    pub tokens: u64,
    /// Activations, or the tokenizer's work space, whichever is larger.
    pub scratch: u64,
    /// All of them: what the device reserves.
    pub arena: u64,
    /// Stack.
    pub stack: u64,
    /// The firmware's own variables.
    pub statics: u64,
    /// Arena, stack and variables.
    pub needed: u64,
    /// What the board has.
    pub available: u64,
    /// What is missing; 0 when it fits.
    pub missing: u64,
}

/// An estimate: (weight products x their instructions + attention products x theirs) / clock. It holds for q8
/// weights and q8 keys and values, and counts an instruction as a cycle.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Time {
    /// Products of weights and activations for one token.
    pub weight_products: u64,
    /// Products of attention for one token at the end of the context.
    pub attention_products: u64,
    /// Instructions for a product of weights on this core, all but attention included.
    pub weight_instructions: f64,
    /// Instructions for a product of attention.
    pub attention_instructions: f64,
    /// Instructions a second.
    pub clock_hz: u64,
    /// Seconds for a token at the start of the context.
    pub seconds_first: f64,
    /// Seconds for a token at its end.
    pub seconds_last: f64,
}

/// Name of a type of keys and values.
pub const fn kv_name(kv: KvType) -> &'static str {
    match kv {
        KvType::Q8 => "q8",
        KvType::F16 => "f16",
        KvType::F32 => "f32",
    }
}

/// Products for one token: of weights, and of attention over `context` tokens.
fn products(subject: &Subject, context: u32) -> (u64, u64) {
    let config = &subject.config;
    let size = |role: Role| {
        let (rows, cols) = role.shape(config);
        u64::from(rows) * u64::from(cols)
    };
    let gate = if Role::Gate.is_needed(config) { size(Role::Gate) } else { 0 };
    let layer = [Role::Query, Role::Key, Role::Value, Role::AttentionOutput, Role::Up, Role::Down];
    let layer = layer.map(size).iter().sum::<u64>() + gate;
    // The head has the shape of the token embedding, whether it is one with it or not.
    let weights = u64::from(config.layers) * layer + size(Role::Head);
    let attention = 2 * u64::from(config.layers) * u64::from(config.query_size()) * u64::from(context);
    (weights, attention)
}

fn ram(board: &Board, config: &Config, limits: &Limits) -> Result<Ram> {
    let fit = board.memory.ram_use(config, limits);
    let fit = fit.map_err(|error| anyhow!("the model cannot be planned: {error}"))?;
    let available = board.memory.ram.bytes;
    Ok(Ram {
        kv: fit.plan.kv_bytes as u64,
        logits: (fit.plan.logits_bytes + fit.plan.last_bytes) as u64,
        tokens: fit.plan.tokens_bytes as u64,
        scratch: fit.plan.scratch_bytes as u64,
        arena: fit.arena_bytes,
        stack: fit.stack_bytes,
        statics: fit.request_bytes + fit.statics_bytes,
        needed: fit.ram_bytes(),
        available,
        missing: fit.ram_bytes().saturating_sub(available),
    })
}

/// Plans a model for a board.
///
/// # Errors
/// Impossible limits.
pub fn plan(subject: &Subject, limits: &Limits, board: &Board) -> Result<Report> {
    let ram = ram(board, &subject.config, limits)?;
    let memory = &board.memory;
    let needed = subject.file_bytes + memory.firmware.bytes;
    let available = memory.firmware.bytes + memory.model.bytes;
    let flash = Flash {
        model: subject.file_bytes,
        tokenizer: subject.tokenizer_bytes,
        firmware: memory.firmware.bytes,
        needed,
        available,
        missing: needed.saturating_sub(available),
    };
    let (weight_products, attention_products) = products(subject, limits.context);
    let Board { weight_instructions, attention_instructions, clock_hz, .. } = *board;
    let seconds = |attention: u64| {
        let instructions =
            weight_products as f64 * weight_instructions + attention as f64 * attention_instructions;
        instructions / clock_hz as f64
    };
    Ok(Report {
        board: memory.name,
        core: board.core,
        context: limits.context,
        kv: kv_name(limits.kv),
        prefill_chunk: limits.prefill_chunk,
        logits_rows: limits.logits_rows,
        flash,
        ram,
        fits: flash.missing == 0 && ram.missing == 0,
        largest_context: memory.largest_context(&subject.config, limits).unwrap_or(0),
        time: Time {
            weight_products,
            attention_products,
            weight_instructions,
            attention_instructions,
            clock_hz,
            seconds_first: seconds(0),
            seconds_last: seconds(attention_products),
        },
    })
}

impl Report {
    /// Refuses a model that does not fit, with the bytes missing and what would fit.
    ///
    /// # Errors
    /// The model does not fit.
    pub fn require_fit(&self) -> Result<()> {
        let Self { flash, ram, .. } = self;
        if flash.missing > 0 {
            bail!(
                "the model does not fit the flash of {}: model {} + firmware {} = {} bytes, {} available: {} bytes \
                 are missing; pack it as q8, or train a smaller one",
                self.board,
                grouped(flash.model),
                grouped(flash.firmware),
                grouped(flash.needed),
                grouped(flash.available),
                grouped(flash.missing)
            );
        }
        if ram.missing > 0 {
            let advice = match self.largest_context {
                0 => "no context fits: a smaller prefill chunk, prompt or vocabulary, or logits in blocks \
                      (--logits-rows), is needed"
                    .to_owned(),
                largest => format!("the largest context that fits is {largest} (--context {largest})"),
            };
            bail!(
                "a context of {} tokens does not fit the RAM of {}: arena {} + stack {} + variables {} = {} bytes, {} \
                 available: {} bytes are missing; {advice}",
                self.context,
                self.board,
                grouped(ram.arena),
                grouped(ram.stack),
                grouped(ram.statics),
                grouped(ram.needed),
                grouped(ram.available),
                grouped(ram.missing)
            );
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash, ram, time, .. } = self;
        writeln!(f, "{} ({}), context {}, kv {}", self.board, self.core, self.context, self.kv)?;
        let verdict = |missing: u64| match missing {
            0 => "fits".to_owned(),
            missing => format!("{} missing", grouped(missing)),
        };
        writeln!(f, "\nflash")?;
        writeln!(f, "  model               {}", bytes(flash.model))?;
        writeln!(f, "    of it, tokenizer  {}", bytes(flash.tokenizer))?;
        writeln!(f, "  kept for firmware   {}", bytes(flash.firmware))?;
        let fits = verdict(flash.missing);
        writeln!(f, "  needed              {} of {}: {fits}", bytes(flash.needed), grouped(flash.available))?;
        writeln!(f, "\nRAM")?;
        writeln!(f, "  keys and values     {}", bytes(ram.kv))?;
        let at_once = match self.logits_rows {
            0 => String::new(),
            rows => format!(", in blocks of {}", grouped(rows.into())),
        };
        writeln!(f, "  logits              {}{at_once}", bytes(ram.logits))?;
        writeln!(f, "  prompt tokens       {}", bytes(ram.tokens))?;
        writeln!(f, "  scratch             {}", bytes(ram.scratch))?;
        writeln!(f, "  arena, all of these {}", bytes(ram.arena))?;
        writeln!(f, "  stack               {}", bytes(ram.stack))?;
        writeln!(f, "  firmware variables  {}", bytes(ram.statics))?;
        let fits = verdict(ram.missing);
        writeln!(f, "  needed              {} of {}: {fits}", bytes(ram.needed), grouped(ram.available))?;
        writeln!(f, "\nlargest context that fits: {}", self.largest_context)?;
        writeln!(
            f,
            "time a token: {:.0} ms at the start of the context, {:.0} ms at its end, an estimate for q8:\n  \
             ({} weight products x {} + {} attention products x {} instructions) / {} MHz",
            time.seconds_first * 1e3,
            time.seconds_last * 1e3,
            grouped(time.weight_products),
            time.weight_instructions,
            grouped(time.attention_products),
            time.attention_instructions,
            time.clock_hz as f64 / 1e6
        )
    }
}

#[cfg(test)]
mod tests {
    use sprat_format::{Activation, FeedForward, Norm, Pairing, Position};

    use super::*;

    fn subject() -> Subject {
        let config = Config {
            vocab_size: 1024,
            hidden_size: 128,
            layers: 5,
            heads: 4,
            kv_heads: 2,
            head_dim: 32,
            ffn_size: 256,
            max_positions: 1 << 20,
            norm: Norm::RmsNorm,
            norm_eps: 1e-5,
            position: Position::Rotary { dims: 32, pairing: Pairing::Half },
            feed_forward: FeedForward::Gated(Activation::Silu),
            group: 32,
            ..Config::PLAIN
        };
        Subject { config, file_bytes: 900_000, tokenizer_bytes: 20_000 }
    }

    fn limits(context: u32) -> Limits {
        Limits { context, prefill_chunk: 8, prompt_bytes: 4 * context, kv: KvType::Q8, logits_rows: 0 }
    }

    #[test]
    fn the_largest_context_fits_and_one_more_does_not() {
        let subject = subject();
        for board in crate::boards::BOARDS {
            let largest = plan(&subject, &limits(256), board).unwrap().largest_context;
            let missing = |context| plan(&subject, &limits(context), board).unwrap().ram.missing;
            assert!(largest > 0);
            assert_eq!(missing(largest), 0, "{}", board.memory.name);
            assert!(missing(largest + 1) > 0, "{}", board.memory.name);
        }
    }

    #[test]
    fn what_is_missing_is_said_in_bytes_with_what_would_fit() {
        let board = Board::by_name("nrf52840").unwrap();
        let report = plan(&subject(), &limits(4096), board).unwrap();
        let message = report.require_fit().unwrap_err().to_string();
        let largest = format!("--context {}", report.largest_context);
        assert!(message.contains(&format!("{} bytes are missing", grouped(report.ram.missing))), "{message}");
        assert!(message.contains(&largest) && message.contains("nrf52840"), "{message}");
        assert!(!report.fits);
        let mut large = subject();
        large.file_bytes = 5 << 20;
        let message = plan(&large, &limits(64), board).unwrap().require_fit().unwrap_err().to_string();
        assert!(message.contains("4,325,376 bytes are missing"), "{message}");
        assert!(Board::by_name("toaster").unwrap_err().to_string().contains("qemu-mps2-an386"));
    }

    #[test]
    fn logits_in_blocks_take_the_memory_of_a_block() {
        let board = Board::by_name("nrf52840").unwrap();
        let whole = plan(&subject(), &limits(64), board).unwrap();
        let blocks = plan(&subject(), &Limits { logits_rows: 64, ..limits(64) }, board).unwrap();
        assert_eq!(whole.ram.arena - blocks.ram.arena, 4 * (1024 - 64));
        assert!(blocks.to_string().contains("768, in blocks of 64"), "{blocks}");
        assert!(!whole.to_string().contains("in blocks"));
    }

    #[test]
    fn the_products_are_those_of_the_matrices() {
        let (weights, attention) = products(&subject(), 256);
        let layer = 128 * 128 * 2 + 2 * 64 * 128 + 3 * 128 * 256;
        assert_eq!(weights, 5 * layer + 1024 * 128);
        assert_eq!(attention, 2 * 5 * 128 * 256);
    }
}
