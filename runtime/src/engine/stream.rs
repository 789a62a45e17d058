//! An engine whose model is fetched while it is multiplied.

use sprat_format::Limits;

use super::{Engine, EngineError};
use crate::kernels::Kernels;
use crate::stream::{StreamedImage, WeightSource};
use crate::team::Team;

impl<'i, 'a> Engine<'i, 'i, 'a> {
    /// Sets a model up whose matrices come from a source, in an arena, for a team of cores. The arena follows
    /// [`Plan::for_team`](crate::Plan::for_team), and is besides what the model was opened with.
    ///
    /// A source that fails while tokens are fed is [`EngineError::Source`]; the tokens of the chunk at which it failed
    /// and those behind are not in the cache then, see [`position`](Self::position), and can be fed again.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn streamed<'w, S: WeightSource<'w>>(
        model: &'i StreamedImage<'i, 'w, S>,
        limits: Limits,
        arena: &'a mut [u8],
        kernels: &'static Kernels,
        team: &'a dyn Team,
    ) -> Result<Self, EngineError> {
        let engine = Self::set_up(model.image(), limits, arena, kernels, team)?;
        Ok(Self { stream: Some(model), ..engine })
    }
}
