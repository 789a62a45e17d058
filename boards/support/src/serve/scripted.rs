//! A device without sensors, as emulated boards are: what they read is said over the wire.

use heapless::String;
use sprat::tools::{Device, Text, ToolError};

use super::Peripherals;
use crate::ask::Script;
use crate::console::message::TEXT_BYTES;

/// A device whose sensors read what they were told to, [`Peripherals::script`]. Whatever is set is set.
#[derive(Debug, Default)]
pub struct Scripted {
    told: String<TEXT_BYTES>,
}

impl Scripted {
    /// Without any sensor. All zero, so that flash holds no copy of a static.
    pub const fn new() -> Self {
        Self { told: String::new() }
    }

    fn reads(&self) -> Script<'_> {
        Script { sensors: &self.told }
    }
}

impl Device for Scripted {
    fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        self.reads().read(sensor, place, out)
    }

    fn set(&mut self, actuator: &str, value: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        self.reads().set(actuator, value, out)
    }
}

impl Peripherals for Scripted {
    fn script(&mut self, lines: &str) -> bool {
        self.told.clear();
        // Texts of messages have no more bytes.
        self.told.push_str(lines).is_ok()
    }
}
