//! In which order a pass reads the matrices: what to fetch while the last rows of one are multiplied.
//!
//! A guess, and no more: what is asked for in another order is fetched when it is asked for.

use sprat_format::streamed::Place;
use sprat_format::{Block, PackedFile, Role};

use super::Rows;

/// A layer's matrices, with blocks one after the other.
const SERIAL: [Role; 7] =
    [Role::Query, Role::Key, Role::Value, Role::AttentionOutput, Role::Up, Role::Gate, Role::Down];
/// The same with both blocks on one residual stream.
const SIDE_BY_SIDE: [Role; 7] =
    [Role::Query, Role::Key, Role::Value, Role::Up, Role::Gate, Role::AttentionOutput, Role::Down];

/// The rows that are read after the last ones of a matrix, of a part of it first.
pub(super) fn following(file: &PackedFile<'_>, rows: &Rows) -> Option<Rows> {
    rows.behind().or_else(|| next_matrix(file, rows.place()).map(Rows::new))
}

/// The matrix that is read after this one.
fn next_matrix(file: &PackedFile<'_>, Place { role, layer, .. }: &Place) -> Option<Place> {
    let config = &file.meta().config;
    let order = if config.block == Block::Serial { &SERIAL } else { &SIDE_BY_SIDE };
    let first_of = |layer| file.place(order[0], layer);
    let head = || file.place(Role::Head, 0).or_else(|| file.place(Role::TokenEmbedding, 0));
    match role {
        Role::EmbeddingProjection => first_of(0),
        Role::HeadProjection => head(),
        Role::Head | Role::TokenEmbedding => file.place(Role::EmbeddingProjection, 0).or_else(|| first_of(0)),
        Role::Down if *layer + 1 == config.layers as usize => {
            file.place(Role::HeadProjection, 0).or_else(head)
        }
        Role::Down => first_of(layer + 1),
        role => {
            let at = order.iter().position(|each| each == role)?;
            order[at + 1..].iter().find_map(|&role| file.place(role, *layer))
        }
    }
}
