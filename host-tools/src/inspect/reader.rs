//! A packed file or a checkpoint, open for reading its tensors one at a time.
//!
//! Both give the same roles in the same order, and numbers row by row, so whatever looks at tensors need not know which
//! of the two it has.

use std::path::Path;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use sprat::Image;
use sprat_format::Role;

use super::{Inspection, inspect_checkpoint, inspect_image, sections_text};
use crate::import::{Checkpoint, OpenOptions};
use crate::model::{Model, is_packed};
use crate::quantize::decode;

/// An open file of either kind.
pub enum Opened {
    /// A packed file.
    Packed(Model),
    /// A checkpoint.
    Checkpoint(Box<Checkpoint>),
}

impl Opened {
    /// Opens a file or directory.
    ///
    /// # Errors
    /// It is neither, or damaged.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self> {
        if is_packed(path) {
            return Ok(Self::Packed(Model::open(path, options, &ProgressBar::hidden())?));
        }
        Ok(Self::Checkpoint(Box::new(Checkpoint::open(path, options)?)))
    }

    /// Checks it, and gives access to its tensors.
    ///
    /// # Errors
    /// A damaged packed file, with the sections that it has.
    pub fn reader(&self) -> Result<Reader<'_>> {
        match self {
            // A file with a damaged section still says which sections it has.
            Self::Packed(model) => {
                let image = model.image_without_weights().with_context(|| sections_text(model.bytes()))?;
                Ok(Reader::Packed(Box::new(image)))
            }
            Self::Checkpoint(checkpoint) => Ok(Reader::Checkpoint(checkpoint)),
        }
    }
}

/// Access to the tensors of either kind.
pub enum Reader<'o> {
    /// A packed file's.
    Packed(Box<Image<'o>>),
    /// A checkpoint's.
    Checkpoint(&'o Checkpoint),
}

impl Reader<'_> {
    /// Everything but the numbers.
    pub fn inspection(&self) -> Inspection {
        match self {
            Self::Packed(image) => inspect_image(image),
            Self::Checkpoint(checkpoint) => inspect_checkpoint(checkpoint),
        }
    }

    /// Role and layer of every tensor, in the order of [`Inspection::tensors`].
    pub fn keys(&self) -> Vec<(Role, Option<u16>)> {
        match self {
            Self::Packed(image) => image
                .file()
                .tensors()
                .map(|(role, layer, _)| (role, layer.map(|layer| layer as u16)))
                .collect(),
            Self::Checkpoint(checkpoint) => {
                checkpoint.tensors().map(|tensor| (tensor.role, tensor.layer)).collect()
            }
        }
    }

    /// The numbers of a tensor, row by row; those that a packed tensor stands for.
    ///
    /// # Errors
    /// There is no such tensor, or a number in it is infinite or not a number.
    pub fn read(&self, role: Role, layer: Option<u16>) -> Result<Vec<f32>> {
        match self {
            Self::Packed(image) => {
                let tensor = image.file().tensor(role, usize::from(layer.unwrap_or(0)));
                Ok(decode(&tensor.with_context(|| format!("the model has no tensor {}", role.name()))?))
            }
            Self::Checkpoint(checkpoint) => {
                let numbers = checkpoint.read(role, layer);
                checkpoint.release(role, layer);
                numbers
            }
        }
    }
}
