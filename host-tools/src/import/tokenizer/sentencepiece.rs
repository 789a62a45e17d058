//! SentencePiece's `tokenizer.model`: a protobuf message with pieces, their scores and the trainer's settings.
//!
//! The format is `sentencepiece_model.proto` of the SentencePiece project. Of it are read the pieces (text, score,
//! type), the kind of model, byte fallback, the dummy prefix and the treatment of white space. Models whose text is
//! normalized by a table are refused: only `identity` has none.

mod message;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sprat_format::tokenizer::{AddedFlags, NONE, Prefix, Settings, TokenFlags, TokenizerKind};

use self::message::{Field, fields};
use super::TokenizerImport;
use super::draft::{AddedEntry, Draft};
use super::gpt2::SPACE_MARK;
use super::llama2c::{byte_of, ranks};

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// A piece of text.
    Normal,
    /// What an unknown character becomes.
    Unknown,
    /// Steers the model; no text becomes it.
    Control,
    /// Found in text before all else.
    UserDefined,
    /// One byte.
    Byte,
    /// No token.
    Unused,
}

impl PieceKind {
    /// The kind with the number that `sentencepiece_model.proto` and GGUF give it.
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

/// One piece, with U+2581 for a space.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// Its score.
    pub score: f32,
    /// What it is.
    pub kind: PieceKind,
}

/// Where user-defined and other special pieces are sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// User-defined pieces in normalized text, as SentencePiece does it.
    NormalizedText,
    /// All of them, and the unknown piece, in the text as it comes, as llama.cpp does it.
    RawText,
}

/// What the messages of a model say.
#[derive(Debug)]
struct Model {
    pieces: Vec<Piece>,
    /// 1 Unigram, 2 BPE.
    kind: u64,
    whitespace_as_suffix: bool,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    normalizer: String,
    has_charsmap: bool,
    denormalizes: bool,
    bos: i64,
    eos: i64,
}

/// Imports a `tokenizer.model`.
///
/// # Errors
/// A file that cannot be read or is damaged, a kind of model or normalization that is not supported (by name), a
/// vocabulary larger than `model_vocab`.
pub fn tokenizer_model(file: &Path, model_vocab: u32) -> Result<TokenizerImport> {
    let name = file.display();
    let content = fs::read(file).with_context(|| format!("{name}"))?;
    let model = read(&content).with_context(|| format!("{name}: not a tokenizer.model of SentencePiece"))?;
    let draft = convert(file, &model).with_context(|| format!("{name}"))?;
    let mut import = TokenizerImport::new(file, &draft, model_vocab)?;
    let id = |id: i64| u32::try_from(id).ok().filter(|&id| id < import.vocab_size);
    let (bos, eos) = (id(model.bos), id(model.eos));
    (import.bos, import.add_bos) = (bos, bos.is_some());
    import.add_eos(eos);
    Ok(import)
}

fn read(content: &[u8]) -> Result<Model> {
    let mut model = Model {
        pieces: Vec::new(),
        kind: 1,
        whitespace_as_suffix: false,
        add_dummy_prefix: true,
        remove_extra_whitespaces: true,
        escape_whitespaces: true,
        normalizer: String::new(),
        has_charsmap: false,
        denormalizes: false,
        bos: 1,
        eos: 2,
    };
    for field in fields(content) {
        match field? {
            (1, Field::Bytes(bytes)) => {
                let piece = piece(bytes).with_context(|| format!("piece {}", model.pieces.len()))?;
                model.pieces.push(piece);
            }
            (2, Field::Bytes(trainer)) => {
                for field in fields(trainer) {
                    match field.context("trainer_spec")? {
                        (3, Field::Number(kind)) => model.kind = kind,
                        (24, Field::Number(flag)) => model.whitespace_as_suffix = flag != 0,
                        (41, Field::Number(id)) => model.bos = i64::from(id as i32),
                        (42, Field::Number(id)) => model.eos = i64::from(id as i32),
                        _ => {}
                    }
                }
            }
            (3, Field::Bytes(normalizer)) => {
                for field in fields(normalizer) {
                    match field.context("normalizer_spec")? {
                        (1, Field::Bytes(name)) => {
                            model.normalizer = String::from_utf8_lossy(name).into_owned();
                        }
                        (2, Field::Bytes(map)) => model.has_charsmap = !map.is_empty(),
                        (3, Field::Number(flag)) => model.add_dummy_prefix = flag != 0,
                        (4, Field::Number(flag)) => model.remove_extra_whitespaces = flag != 0,
                        (5, Field::Number(flag)) => model.escape_whitespaces = flag != 0,
                        _ => {}
                    }
                }
            }
            (5, Field::Bytes(denormalizer)) => {
                for field in fields(denormalizer) {
                    model.denormalizes |= matches!(field?, (2, Field::Bytes(map)) if !map.is_empty());
                }
            }
            _ => {}
        }
    }
    ensure!(!model.pieces.is_empty(), "it has no pieces");
    Ok(model)
}

fn piece(message: &[u8]) -> Result<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    for field in fields(message) {
        match field? {
            (1, Field::Bytes(text)) => piece.text = std::str::from_utf8(text).context("no UTF-8")?.to_owned(),
            (2, Field::Float(score)) => piece.score = score,
            (3, Field::Number(kind)) => {
                let known = i64::try_from(kind).ok().and_then(PieceKind::from_number);
                piece.kind = known.with_context(|| format!("it is of type {kind}; expected 1 to 6"))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

fn convert(file: &Path, model: &Model) -> Result<Draft> {
    if model.has_charsmap {
        bail!(
            "normalizer {:?} is not supported; expected identity, which leaves text as it is: use the tokenizer.json \
             of the model, if it has one",
            model.normalizer
        );
    }
    ensure!(!model.denormalizes, "a denormalizer is not supported; expected none");
    ensure!(model.escape_whitespaces, "escape_whitespaces false is not supported; expected true");
    ensure!(!model.whitespace_as_suffix, "treat_whitespace_as_suffix is not supported; expected false");
    let settings = Settings {
        prefix: if model.add_dummy_prefix { Prefix::Text } else { Prefix::None },
        strip_first_space: model.add_dummy_prefix,
        trim_spaces: model.remove_extra_whitespaces,
        ..Settings::plain(match model.kind {
            1 => TokenizerKind::Unigram,
            2 => TokenizerKind::SentencePieceBpe,
            3 => bail!("model WORD is not supported; expected BPE or UNIGRAM"),
            4 => bail!("model CHAR is not supported; expected BPE or UNIGRAM"),
            other => bail!("model type {other}; expected 1 (UNIGRAM) or 2 (BPE)"),
        })
    };
    pieces(file, settings, &model.pieces, Matching::NormalizedText)
}

/// A tokenizer of SentencePiece pieces.
///
/// # Errors
/// Pieces that SentencePiece's algorithms treat in a way that the runtime does not.
pub fn pieces(file: &Path, settings: Settings, pieces: &[Piece], matching: Matching) -> Result<Draft> {
    let settings = Settings { space_mark: true, fuse_unknown: true, single_precision: true, ..settings };
    let is_unigram = settings.kind == TokenizerKind::Unigram;
    let mut draft = Draft::new(settings);
    for (id, piece) in (0..).zip(pieces) {
        let Piece { text, score, kind } = piece;
        ensure!(score.is_finite(), "piece {text:?} has the score {score}; expected a finite number");
        let plain = text.replace(SPACE_MARK, " ").into_bytes();
        let special = TokenFlags::SPECIAL.with(TokenFlags::CONTROL);
        let mut add = |flags, pattern: &[u8]| {
            if !pattern.is_empty() {
                draft.added.push(AddedEntry { id, flags, pattern: pattern.to_vec() });
            }
        };
        let (bytes, flags) = match kind {
            PieceKind::Normal => (plain, TokenFlags::NORMAL),
            PieceKind::Unknown => {
                let is_first = draft.settings.unknown.is_none();
                // llama.cpp's files call some that are special unknown as well; the first is what they all become.
                ensure!(is_first || matching == Matching::RawText, "two unknown pieces; expected one");
                draft.settings.unknown = draft.settings.unknown.or(Some(id));
                if matching == Matching::RawText {
                    add(AddedFlags::default(), text.as_bytes());
                }
                (plain, special)
            }
            PieceKind::Control => {
                // Text never becomes it, unless a chat template wrote that text.
                add(AddedFlags::default(), text.as_bytes());
                (plain, special.with(TokenFlags::ADDED))
            }
            PieceKind::UserDefined => {
                ensure!(!is_unigram, "user-defined piece {text:?} of a UNIGRAM model is not supported");
                match matching {
                    Matching::NormalizedText => add(AddedFlags::SECOND_PASS, &plain),
                    Matching::RawText => add(AddedFlags::default(), text.as_bytes()),
                }
                (plain, TokenFlags::ADDED.with(TokenFlags::OUTSIDE))
            }
            PieceKind::Byte => {
                let byte = byte_of(text.as_bytes())
                    .with_context(|| format!("byte piece {text:?}; expected one like <0x0A>"))?;
                if let Some(slot) = draft.byte_tokens.get_mut(usize::from(byte)) {
                    *slot = id;
                }
                (vec![byte], TokenFlags::BYTE)
            }
            PieceKind::Unused => {
                ensure!(text.is_empty(), "unused piece {text:?} is not supported: it can be cut apart again");
                continue;
            }
        };
        draft.set(file, id, bytes, if text.is_empty() { TokenFlags::OUTSIDE } else { flags })?;
    }
    draft.tokens.resize(pieces.len(), (Vec::new(), TokenFlags::UNUSED));
    let missing = draft.byte_tokens.iter().filter(|&&id| id == NONE).count();
    ensure!(matches!(missing, 0 | 256), "{missing} of the 256 bytes have no piece; expected all or none");
    draft.settings.byte_fallback = missing == 0;
    let normal = pieces.iter().filter(|piece| piece.kind == PieceKind::Normal);
    if is_unigram {
        ensure!(draft.settings.unknown.is_some(), "no unknown piece; expected one");
        draft.weights = pieces.iter().map(|piece| f64::from(piece.score)).collect();
        let lowest = normal.map(|piece| piece.score).fold(f32::MAX, f32::min);
        let unknown = draft.settings.unknown.and_then(|id| draft.weights.get_mut(id as usize));
        // What an unknown character costs in `unigram_model.cc`.
        unknown.into_iter().for_each(|score| *score = f64::from(lowest - 10.0));
    } else {
        characters_are_pieces(pieces)?;
        draft.scores = ranks(pieces.iter().map(|piece| piece.score).collect(), f32::MIN);
    }
    draft.cut_by(&[])?;
    Ok(draft)
}

/// SentencePiece merges characters that are no pieces too, if what they make is one; the runtime merges tokens. They
/// are the same where each character of a piece is one, which SentencePiece's trainer makes sure of.
fn characters_are_pieces(pieces: &[Piece]) -> Result<()> {
    let normal = || pieces.iter().filter(|piece| piece.kind == PieceKind::Normal);
    let known: HashSet<&str> = normal().map(|piece| piece.text.as_str()).collect();
    for Piece { text, .. } in normal() {
        let mut utf8 = [0; 4];
        let lacking = text.chars().find(|character| !known.contains(&*character.encode_utf8(&mut utf8)));
        if let Some(character) = lacking {
            bail!("piece {text:?} has the character {character:?}, which is no piece; expected one for each");
        }
    }
    Ok(())
}
