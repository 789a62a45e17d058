//! Firmware as a file: built by cargo around a packed model, and measured.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SectionKind};
use sprat_board_support::memory::{Board, MODEL_SYMBOL, Region};
use sprat_format::PackedFile;
use sprat_format::tokenizer::TokenizerTables;
use tempfile::TempDir;

/// What to build. Holds what a firmware depends on beside the sources.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The board to build for.
    pub board: &'static Board,
    /// The packed model to link in.
    pub model: &'a Path,
    /// A context in place of the packed one, in tokens.
    pub context: Option<u32>,
    /// Kernels in place of the best ones for the board's core.
    pub kernels: Option<&'a str>,
    /// What it is to do.
    pub form: Form,
    /// Whether it takes the model from slots of its own; the one here is what its memory is planned for.
    pub slots: bool,
    /// Bytes of the window through which it reads the model, if it is to be streamed.
    pub window: Option<u32>,
    /// What is seen of the building.
    pub progress: Progress,
}

/// What a firmware does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// It continues one text.
    #[default]
    Prompt,
    /// It answers one question with tools, too.
    Ask,
    /// It holds conversations over a serial line.
    Console,
}

/// What is seen while cargo builds, which takes minutes the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Cargo shows its progress and its errors on the terminal.
    Shown,
    /// Nothing; errors are part of the error that is returned.
    Silent,
}

/// A firmware in a folder of its own, which goes with this value: another build does not replace it.
#[derive(Debug)]
pub struct Built {
    folder: TempDir,
    name: &'static str,
}

impl Built {
    /// Path of an ELF of the board: `""` for the firmware itself, `"-drill"` for the one that fails on purpose.
    pub fn elf(&self, suffix: &str) -> PathBuf {
        self.folder.path().join(format!("{}{suffix}", self.name))
    }
}

/// Builds the firmware of a board around a packed model.
///
/// # Errors
/// What cargo says: a model that the runtime refuses or a context that does not fit fails the build.
pub fn build(source: &Source<'_>) -> Result<Built> {
    let Source { board, model, context, kernels, form, slots, window, progress } = *source;
    let model =
        model.canonicalize().with_context(|| format!("cannot find the packed model {}", model.display()))?;
    let workspace = workspace()?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&workspace).env("SPRAT_MODEL", &model);
    cargo.args(["build", "--profile", board.profile, "--package", board.package()]);
    cargo.args(["--target", board.target, "--message-format", "json-render-diagnostics"]);
    if !board.cpu.is_empty() {
        cargo.env("RUSTFLAGS", format!("-C target-cpu={}", board.cpu));
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    if !board.feature.is_empty() {
        cargo.args(["--features", board.feature]);
    }
    for feature in needed_features(&model)? {
        cargo.args(["--features", feature]);
    }
    match form {
        Form::Prompt => {}
        Form::Ask => _ = cargo.args(["--features", "ask"]),
        Form::Console => _ = cargo.args(["--features", "console"]),
    }
    if slots {
        cargo.args(["--features", "slots"]);
    }
    match window {
        Some(bytes) => cargo.args(["--features", "stream"]).env("SPRAT_WINDOW", bytes.to_string()),
        None => cargo.env_remove("SPRAT_WINDOW"),
    };
    match context {
        Some(tokens) => cargo.env("SPRAT_CONTEXT", tokens.to_string()),
        None => cargo.env_remove("SPRAT_CONTEXT"),
    };
    if let Some(name) = kernels {
        cargo.env("SPRAT_ISA", name);
    }
    match progress {
        Progress::Shown => cargo.stderr(Stdio::inherit()),
        Progress::Silent => cargo.arg("--quiet"),
    };
    // Builds around different models write the same file, so one is done and copied before the next begins.
    let _turn = lock(&workspace)?;
    let output = cargo.stdin(Stdio::null()).output().context("cannot start cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = if progress == Progress::Shown { "see above" } else { said.trim_end() };
        bail!("cannot build the firmware of {} around {}: {said}", board.name, model.display());
    }
    let built = Built { folder: tempfile::tempdir()?, name: board.package() };
    for elf in executables(&output.stdout) {
        let name = elf.file_name().context("cargo named a program without a name")?;
        fs::copy(&elf, built.folder.path().join(name))
            .with_context(|| format!("cannot copy {}", elf.display()))?;
    }
    if !built.elf("").exists() {
        bail!("cargo built no program called {}", board.name);
    }
    Ok(built)
}

/// What a model needs and firmware for plain models leaves out. What is no packed file is for the build to refuse.
fn needed_features(model: &Path) -> Result<Vec<&'static str>> {
    let bytes = fs::read(model).with_context(|| format!("cannot read {}", model.display()))?;
    let Ok(file) = PackedFile::parse(&bytes) else { return Ok(Vec::new()) };
    let tokenizer = TokenizerTables::parse(file.tokenizer_section());
    let is_uncommon = file.meta().config.uncommon_part().is_some()
        || tokenizer.is_ok_and(|tables| tables.uncommon_part().is_some());
    let features = [(is_uncommon, "every-family"), (file.prefix_section().is_some(), "prefix")];
    Ok(features.into_iter().filter(|(needed, _)| *needed).map(|(_, feature)| feature).collect())
}

/// The programs that cargo's messages say it built.
pub fn executables(messages: &[u8]) -> Vec<PathBuf> {
    let stream = serde_json::Deserializer::from_slice(messages).into_iter::<serde_json::Value>();
    stream.flatten().filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?))).collect()
}

/// The checkout that has the boards: the one around the current folder, or the one this program is built from.
///
/// # Errors
/// There is none.
pub fn workspace() -> Result<PathBuf> {
    let is_workspace = |folder: &&Path| folder.join("boards/support/Cargo.toml").exists();
    let here = env::current_dir().context("no current folder")?;
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().chain(built_from.ancestors()).find(is_workspace);
    found.map(Path::to_path_buf).with_context(|| {
        format!(
            "the boards' sources are neither around {} nor around {}; run this in a checkout of Sprat",
            here.display(),
            built_from.display()
        )
    })
}

fn lock(workspace: &Path) -> Result<File> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let target = workspace.join(target);
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let file = File::create(target.join("sprat-firmware.lock")).context("cannot make the lock file")?;
    file.lock().context("cannot wait for another build")?;
    Ok(file)
}

/// Where the bytes of a firmware go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Flash for code and constants, bytes.
    pub firmware_flash: u64,
    /// Flash for the packed model, bytes.
    pub model_flash: u64,
    /// Of the firmware's, initial values of variables that are not zero, bytes.
    pub initial_values: u64,
    /// RAM for statics, the arena included, bytes; the stack is not a section.
    pub statics_ram: u64,
}

/// Adds up an ELF's sections by the board's regions.
///
/// # Errors
/// Bytes that are no ELF.
pub fn sizes(board: &Board, elf: &[u8]) -> Result<Sizes> {
    let file = object::File::parse(elf).context("the firmware is not an ELF")?;
    let mut sizes = Sizes::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        if sh_flags & u64::from(object::elf::SHF_ALLOC) == 0 {
            continue;
        }
        let (address, bytes) = (section.address(), section.size());
        if section.name() == Ok(".data") {
            sizes.initial_values += bytes;
        }
        let within = |region: &Region| region.contains(address);
        let is_loaded = section.kind() != SectionKind::UninitializedData;
        if within(&board.model) {
            sizes.model_flash += bytes;
        } else if within(&board.firmware) || board.windows.iter().any(within) {
            sizes.firmware_flash += if is_loaded { bytes } else { 0 };
        } else if within(&board.ram) && section.name() != Ok(".stack") {
            sizes.statics_ram += bytes;
            // Initial values of variables are kept in flash.
            sizes.firmware_flash += if is_loaded { bytes } else { 0 };
        }
    }
    // Where it is one of the constants.
    if sizes.model_flash == 0 {
        let model = file.symbols().find(|symbol| symbol.name() == Ok(MODEL_SYMBOL));
        sizes.model_flash = model.map_or(0, |symbol| symbol.size());
        sizes.firmware_flash = sizes.firmware_flash.saturating_sub(sizes.model_flash);
    }
    Ok(sizes)
}

/// Symbols of a memory allocator in an ELF; none are meant to be there.
///
/// # Errors
/// Bytes that are no ELF, or one without symbols, in which nothing could be found.
pub fn allocator_symbols(elf: &[u8]) -> Result<Vec<String>> {
    // What rustc makes of a global allocator, and C's own.
    const MARKS: &[&str] =
        &["__rust_alloc", "__rust_dealloc", "__rust_realloc", "__rg_", "__rdl_", "alloc_error", "malloc"];
    let file = object::File::parse(elf).context("the firmware is not an ELF")?;
    let mut names = file.symbols().filter_map(|symbol| symbol.name().ok()).peekable();
    names.peek().context("the firmware has no symbols, so nothing can be said of them")?;
    Ok(names.filter(|name| MARKS.iter().any(|mark| name.contains(mark))).map(str::to_string).collect())
}
