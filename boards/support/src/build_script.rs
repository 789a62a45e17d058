//! The build script of every board: from a packed model to a linker script and constants.
//!
//! It runs the runtime's own checks and plan on the host, so that a model which the device would refuse, or a
//! context which it could not hold, is a message while building and not a crash in the field.

extern crate std;

use std::format;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::{env, fs, println, vec};

use sprat::Image;
use sprat::format::Limits;

use crate::memory::{
    ASK_STACK_BYTES, ASK_STATICS_BYTES, Board, CONSOLE_STACK_BYTES, CONSOLE_STATICS_BYTES, DEFAULT_MODEL,
    Fit, MODEL_SYMBOL, STREAM_STACK_BYTES, limits_for_context,
};

/// Alignment of the model in flash.
const MODEL_ALIGNMENT: usize = 64;

/// Writes `memory.x` and `model.rs` for `board` into `OUT_DIR`, from the packed model that the environment
/// variable `SPRAT_MODEL` names (relative to the workspace) and the context that `SPRAT_CONTEXT` sets in
/// place of the packed one. A model that does not fit fails the build with what is missing.
pub fn run(board: &Board) {
    if let Err(message) = try_run(board) {
        println!("cargo::error={message}");
    }
}

fn try_run(board: &Board) -> Result<(), String> {
    let board = &with_features(board);
    println!("cargo::rerun-if-env-changed=SPRAT_MODEL");
    println!("cargo::rerun-if-env-changed=SPRAT_CONTEXT");
    let path = model_path()?;
    println!("cargo::rerun-if-changed={}", path.display());
    let bytes = fs::read(&path).map_err(|error| {
        format!("cannot read the packed model {}: {error}; set SPRAT_MODEL to one", path.display())
    })?;
    let refused = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
    // A file read into memory begins anywhere; the runtime reads it in place, as from flash.
    let mut padded = vec![0; bytes.len() + MODEL_ALIGNMENT];
    let start = padded.as_ptr().align_offset(MODEL_ALIGNMENT);
    let flash = &mut padded[start..start + bytes.len()];
    flash.copy_from_slice(&bytes);
    let image = Image::new(flash).map_err(|error| refused(&error))?;
    let mut limits = *image.limits();
    if let Ok(context) = env::var("SPRAT_CONTEXT") {
        let tokens = context.parse().map_err(|_| format!("SPRAT_CONTEXT is {context:?}, expected tokens"))?;
        limits = limits_for_context(&limits, tokens);
    }
    let streamed = streamed(&image).map_err(|error| refused(&error))?;
    let board = &Board { statics_bytes: board.statics_bytes + streamed.bytes(), ..*board };
    let fit = board.fit(bytes.len() as u64, image.config(), &limits).map_err(|error| refused(&error))?;
    // Models in slots are written by themselves: this one is what the memory is planned for.
    let in_slots = env::var_os("CARGO_FEATURE_SLOTS").is_some();
    let linked = (!in_slots).then_some((path.as_path(), bytes.len()));

    let out = PathBuf::from(variable("OUT_DIR")?);
    write(&out.join("model.rs"), &constants(board, linked, &limits, &fit, &streamed))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-env=SPRAT_TARGET={}", variable("TARGET")?);
    if !board.hal_script.is_empty() {
        write(&out.join("sprat.x"), &checks(board, &fit))?;
        for script in [board.hal_script, "sprat.x", "defmt.x"] {
            println!("cargo::rustc-link-arg-bins=-T{script}");
        }
        return core_is_named(board);
    }
    write(&out.join("memory.x"), &linker_script(board, &fit))?;
    if board.target.starts_with("aarch64") {
        write(&out.join("link.x"), include_str!("aarch64/link.x"))?;
    }
    // The scripts are arguments of the package, so that building from any folder links the same. Regions start where
    // the script says, not where a page of an operating system would.
    // The start-up code of RISC-V leaves it to the board to name its memory; that of the others includes it.
    let memory = board.target.starts_with("riscv").then_some("-Tmemory.x");
    for argument in memory.into_iter().chain(["--nmagic", "-Tlink.x", "-Tdefmt.x"]) {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    core_is_named(board)
}

/// The kernels follow from the core, which the target alone does not tell for every board.
fn core_is_named(board: &Board) -> Result<(), String> {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cpu = format!("target-cpu={}", board.cpu);
    if board.cpu.is_empty() || flags.split('\x1f').any(|flag| flag.ends_with(&cpu)) {
        return Ok(());
    }
    Err(format!(
        "{} is built for {} and has to be told its core: set RUSTFLAGS=\"-C {cpu}\"",
        board.name, board.target
    ))
}

fn model_path() -> Result<PathBuf, String> {
    // Relative to the checkout, in which this package lies two folders down.
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let model = env::var("SPRAT_MODEL").unwrap_or_else(|_| DEFAULT_MODEL.to_string());
    let path = workspace.join(&model);
    path.canonicalize().map_err(|error| {
        format!(
            "cannot find the packed model {model}: {error}; set SPRAT_MODEL to one (`sprat pack` makes it)"
        )
    })
}

/// What a streamed model has in RAM, in bytes; nothing of one that is used where it lies.
#[derive(Clone, Copy, Default)]
struct Streamed {
    window: u64,
    resident: u64,
}

impl Streamed {
    fn bytes(&self) -> u64 {
        self.window + self.resident
    }
}

#[cfg(not(feature = "stream"))]
fn streamed(_: &Image<'_>) -> Result<Streamed, String> {
    Ok(Streamed::default())
}

/// Through a window of `SPRAT_WINDOW` bytes.
#[cfg(feature = "stream")]
fn streamed(image: &Image<'_>) -> Result<Streamed, String> {
    println!("cargo::rerun-if-env-changed=SPRAT_WINDOW");
    let window = match env::var("SPRAT_WINDOW") {
        Ok(bytes) => bytes.parse().map_err(|_| format!("SPRAT_WINDOW is {bytes:?}, expected bytes"))?,
        Err(_) => crate::stream::WINDOW_BYTES,
    };
    let plan = sprat::stream::StreamPlan::new(image.file(), window).map_err(|error| error.to_string())?;
    Ok(Streamed {
        window: (window as u64).next_multiple_of(16),
        resident: plan.resident_bytes.next_multiple_of(16),
    })
}

/// The board with what features of its own crate take of its RAM.
fn with_features(board: &Board) -> Board {
    let features = [
        ("CARGO_FEATURE_ASK", ASK_STACK_BYTES, ASK_STATICS_BYTES),
        ("CARGO_FEATURE_CONSOLE", CONSOLE_STACK_BYTES, CONSOLE_STATICS_BYTES),
        ("CARGO_FEATURE_STREAM", STREAM_STACK_BYTES, 0),
    ];
    let chosen = features.into_iter().filter(|(name, ..)| env::var_os(name).is_some());
    chosen.fold(*board, |board, (_, stack, statics)| Board {
        stack_bytes: board.stack_bytes + stack,
        statics_bytes: board.statics_bytes + statics,
        ..board
    })
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The stack lies below everything else in RAM: growing past its end, it leaves the RAM and faults instead of
/// overwriting the arena.
fn linker_script(board: &Board, fit: &Fit) -> String {
    let Board { firmware, model, ram, .. } = board;
    let stack = fit.stack_bytes;
    let (stack_origin, in_ram) = match board.stack {
        Some(own) => (own.origin, 0),
        None => (ram.origin, stack),
    };
    format!(
        "/* Generated for {name} from the packed model's memory plan. */
MEMORY
{{
  FLASH : ORIGIN = {:#x}, LENGTH = {:#x}
  MODEL : ORIGIN = {:#x}, LENGTH = {:#x}
  STACK : ORIGIN = {:#x}, LENGTH = {stack:#x}
  RAM   : ORIGIN = {:#x}, LENGTH = {:#x}
}}
_stack_end = ORIGIN(STACK);
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
__model_region_start = ORIGIN(MODEL);
__model_region_end = ORIGIN(MODEL) + LENGTH(MODEL);
SECTIONS
{{
  .model : ALIGN(64) {{ KEEP(*(.model .model.*)); }} > MODEL
}}
INSERT AFTER .rodata;
/* What the start-up code of RISC-V calls the same memory. */
REGION_ALIAS(REGION_TEXT, FLASH);
REGION_ALIAS(REGION_RODATA, FLASH);
REGION_ALIAS(REGION_DATA, RAM);
REGION_ALIAS(REGION_BSS, RAM);
REGION_ALIAS(REGION_HEAP, RAM);
REGION_ALIAS(REGION_STACK, STACK);
ASSERT(__euninit - ORIGIN(RAM) <= {statics:#x}, \"
ERROR({name}): arena and statics are larger than planned; raise statics_bytes of the board\");
{boot}",
        firmware.origin,
        firmware.bytes,
        model.origin,
        model.bytes,
        stack_origin,
        ram.origin + in_ram,
        ram.bytes - in_ram,
        boot = board.boot_script,
        name = board.name,
        statics = board.variables_bytes(fit),
    )
}

/// What a linker script of somebody else's has to leave: the stack, and the flash.
fn checks(board: &Board, fit: &Fit) -> String {
    let Board { name, firmware, model, .. } = board;
    format!(
        "/* Generated for {name} from the packed model's memory plan. */
ASSERT(_stack_start - _stack_end >= {stack:#x}, \"
ERROR({name}): the variables leave less than the {stack} bytes of stack that are planned\");
ASSERT(SIZEOF(.rodata) + SIZEOF(.text) <= {flash:#x}, \"
ERROR({name}): firmware and model are larger than the flash for them\");
",
        stack = fit.stack_bytes,
        flash = firmware.bytes + model.bytes,
    )
}

fn constants(
    board: &Board,
    linked: Option<(&Path, usize)>,
    limits: &Limits,
    fit: &Fit,
    streamed: &Streamed,
) -> String {
    // A section of its own, so that the linker places the model in the memory that the board sets aside for it.
    let section = if board.hal_script.is_empty() { ".model" } else { ".rodata.model" };
    let (model, model_bytes) = match linked {
        Some((path, bytes)) => (format!("*include_bytes!({path:?})"), bytes),
        None => ("[]".to_string(), 0),
    };
    format!(
        "/// Bytes of the packed model that is linked in; 0 for none.
pub const MODEL_BYTES: usize = {model_bytes};
/// Tokens of context that the arena is planned for.
pub const CONTEXT_TOKENS: u32 = {};
/// Bytes of the arena that the plan asks for.
pub const ARENA_BYTES: usize = {arena};
/// Bytes of the window through which the model is streamed.
pub const WINDOW_BYTES: usize = {};
/// Bytes of the arena that is linked in, with what a streamed model has behind it.
pub const STATIC_ARENA_BYTES: usize = {};
/// Bytes of stack that the linker reserves.
pub const STACK_BYTES: u32 = {};
/// Bytes of the largest request.
pub const REQUEST_BYTES: usize = {};
/// The packed file promises its sections an alignment, relative to its own start.
#[repr(C, align({MODEL_ALIGNMENT}))]
pub struct Model(pub [u8; MODEL_BYTES]);
/// The packed model.
#[allow(unsafe_code)]
#[unsafe(export_name = {MODEL_SYMBOL:?})]
#[unsafe(link_section = {section:?})]
pub static MODEL: Model = Model({model});
",
        limits.context,
        streamed.window,
        match board.external_ram {
            Some(_) => 0,
            None if streamed.window == 0 => fit.arena_bytes,
            None => fit.arena_bytes.next_multiple_of(16) + streamed.bytes(),
        },
        fit.stack_bytes,
        fit.request_bytes,
        arena = fit.arena_bytes,
    )
}
