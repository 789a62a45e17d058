//! Whether the numbers of a configuration can be those of a model.
//!
//! Checked once, so that no later size computation overflows and no step of the forward pass meets a combination that
//! it does not know.

use super::{Block, Config, Layers, NormPlace, Position};
use crate::ConfigError;

/// Whether a number can be a factor or a cap: finite and not negative.
const fn is_size(x: f32) -> bool {
    x >= 0.0 && x < f32::INFINITY
}

impl Config {
    /// Checks that the numbers describe a possible model, so that no later size computation overflows.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        macro_rules! in_range {
            ($field:literal, $found:expr, $least:expr, $most:expr) => {
                let (found, least, most) = ($found as u64, $least as u64, $most as u64);
                if found < least || found > most {
                    return Err(ConfigError { field: $field, found, least, most });
                }
            };
        }
        in_range!("vocab_size", self.vocab_size, 1, 1 << 24);
        in_range!("hidden_size", self.hidden_size, 1, 1 << 16);
        in_range!("layers", self.layers, 1, 1 << 10);
        in_range!("heads", self.heads, 1, 1 << 10);
        in_range!("kv_heads", self.kv_heads, 1, self.heads);
        in_range!("heads modulo kv_heads", self.heads % self.kv_heads, 0, 0);
        in_range!("head_dim", self.head_dim, 1, 1 << 10);
        in_range!("heads * head_dim", self.query_size(), 1, 1 << 16);
        in_range!("ffn_size", self.ffn_size, 1, 1 << 18);
        in_range!("max_positions", self.max_positions, 1, 1 << 24);
        in_range!("group", self.group, 0, 256);
        in_range!("group modulo 4", self.group % 4, 0, 0);
        in_range!("embedding_size", self.embedding_size, 0, self.hidden_size);
        in_range!("period of window_layers", self.window_layers.period, 1, u64::BITS);
        in_range!("period of rotary_layers", self.rotary_layers.period, 1, u64::BITS);
        if let Position::Rotary { dims, .. } = self.position {
            in_range!("rotary dims", dims, 2, self.head_dim);
            in_range!("rotary dims modulo 2", dims % 2, 0, 0);
        } else {
            let all = matches!(self.rotary_layers, Layers::ALL);
            in_range!("rotary_layers without rotary embedding", !all, 0, 0);
        }
        // Blocks side by side have one sum, and so no place for the other norms.
        if !matches!(self.block, Block::Serial) {
            let before = matches!(self.norm_place, NormPlace::Before);
            in_range!("norm_place of a parallel block", !before, 0, 0);
        }
        macro_rules! size {
            ($field:ident) => {
                if !is_size(self.$field) {
                    let (field, found) = (concat!(stringify!($field), " (bits)"), self.$field.to_bits());
                    return Err(ConfigError {
                        field,
                        found: found as u64,
                        least: 0,
                        most: f32::MAX.to_bits() as u64,
                    });
                }
            };
        }
        size!(embedding_scale);
        size!(attention_scale);
        size!(attention_softcap);
        size!(logit_softcap);
        if !(self.norm_eps >= 0.0 && self.norm_eps <= 1.0) {
            return Err(ConfigError {
                field: "norm_eps (bits)",
                found: self.norm_eps.to_bits() as u64,
                least: 0,
                most: 1,
            });
        }
        Ok(())
    }
}
