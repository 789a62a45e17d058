//! Sensors and actuators as tools.
//!
//! A board says how a sensor is read and an actuator is set, in the two methods of [`Device`]; the tools around it take
//! the calls of a model apart. They share the device by a [`RefCell`], since each of them may be called.

use core::cell::RefCell;

use super::{Text, Tool, ToolError};

/// What a board can do. Names and values are a model's text, whatever it looks like.
pub trait Device {
    /// Reads a sensor at a place, which is empty if the call named none, and writes the value to `out`.
    ///
    /// # Errors
    /// No such sensor, or it does not answer.
    fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError>;

    /// Sets an actuator, to all that stands behind its name in the call. `ok` is the result, unless something was
    /// written to `out`.
    ///
    /// # Errors
    /// No such actuator or value, or it does not work.
    fn set(&mut self, actuator: &str, value: &str, out: &mut Text<'_>) -> Result<(), ToolError>;
}

const BUSY: ToolError = ToolError("busy");

/// `read(sensor)` and `read(sensor,place)`.
#[derive(Debug)]
pub struct Read<'d, D>(pub &'d RefCell<D>);

impl<D: Device> Tool for Read<'_, D> {
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        let (sensor, place) = arguments.split_once(',').unwrap_or((arguments, ""));
        self.0.try_borrow_mut().map_err(|_| BUSY)?.read(sensor.trim(), place.trim(), out)
    }
}

/// `set(actuator,value)`.
#[derive(Debug)]
pub struct Set<'d, D>(pub &'d RefCell<D>);

impl<D: Device> Tool for Set<'_, D> {
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        let (actuator, value) = arguments.split_once(',').unwrap_or((arguments, ""));
        set(self.0, actuator.trim(), value.trim(), out)
    }
}

/// A tool that is an actuator: `fan(3)` sets `fan` to `3`, `led(red,on)` sets `led` to `red,on`.
#[derive(Debug)]
pub struct Actuator<'d, D> {
    /// The device that has it.
    pub device: &'d RefCell<D>,
    /// Its name.
    pub name: &'d str,
}

impl<D: Device> Tool for Actuator<'_, D> {
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        set(self.device, self.name, arguments, out)
    }
}

fn set(
    device: &RefCell<impl Device>,
    actuator: &str,
    value: &str,
    out: &mut Text<'_>,
) -> Result<(), ToolError> {
    device.try_borrow_mut().map_err(|_| BUSY)?.set(actuator, value, out)?;
    if out.as_str().is_empty() {
        out.push("ok");
    }
    Ok(())
}
