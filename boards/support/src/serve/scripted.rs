//! A device without sensors, as emulated boards are: what they read is said over the wire.

use heapless::String;
use sprat::tools::{Device, Text, ToolError};

use super::Peripherals;
use crate::ask::Script;
use crate::console::message::TEXT_BYTES;

/// A device whose sensors read what they were told to. Whatever is set is set.
#[derive(Debug)]
pub struct Scripted {
    at_first: &'static str,
    /// What was said over the wire, once something was.
    told: Option<String<TEXT_BYTES>>,
}

impl Scripted {
    /// What sensors read until something else is said, a line each: `temp,kitchen=23.4`.
    pub const fn new(at_first: &'static str) -> Self {
        Self { at_first, told: None }
    }

    fn reads(&self) -> Script<'_> {
        Script { sensors: self.told.as_deref().unwrap_or(self.at_first) }
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
        let told = self.told.get_or_insert_default();
        told.clear();
        // Texts of messages have no more bytes.
        told.push_str(lines).is_ok()
    }
}
