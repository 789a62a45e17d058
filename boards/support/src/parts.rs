//! A board's light and its thermometer, as the tools that a model calls.

use sprat::tools::{Device, Text, ToolError};

/// One light and one thermometer.
#[derive(Debug)]
pub struct Parts<L, T> {
    /// Switches the light on or off.
    pub light: L,
    /// Reads the temperature, in hundredths of a degree Celsius; `None` when the sensor does not answer.
    pub thermometer: T,
}

impl<L: FnMut(bool), T: FnMut() -> Option<i32>> Device for Parts<L, T> {
    /// `temp`, wherever it is asked for: the board is in one place.
    fn read(&mut self, sensor: &str, _: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        if sensor != "temp" {
            return Err(ToolError(""));
        }
        write_tenths((self.thermometer)().ok_or(ToolError(""))?, out);
        Ok(())
    }

    /// `led` and `lamp` are the one light that there is, whatever place or colour is named before `on`, `off` or a level.
    fn set(&mut self, actuator: &str, value: &str, _: &mut Text<'_>) -> Result<(), ToolError> {
        if !["led", "lamp"].contains(&actuator) {
            return Err(ToolError(""));
        }
        let on = match value.rsplit(',').next().unwrap_or(value).trim() {
            "on" => true,
            "off" => false,
            level => level.parse::<u32>().map_err(|_| ToolError(""))? > 0,
        };
        (self.light)(on);
        Ok(())
    }
}

#[cfg(feature = "console")]
impl<L: FnMut(bool), T: FnMut() -> Option<i32>> crate::serve::Peripherals for Parts<L, T> {}

/// Writes hundredths as a number with one decimal, cut.
fn write_tenths(hundredths: i32, out: &mut Text<'_>) {
    let tenths = hundredths / 10;
    let mut digits = itoa::Buffer::new();
    if tenths < 0 {
        out.push("-");
    }
    out.push(digits.format(tenths.unsigned_abs() / 10));
    out.push(".");
    out.push(digits.format(tenths.unsigned_abs() % 10));
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    fn read(sensor: &str, hundredths: Option<i32>) -> Result<[u8; 8], ToolError> {
        let mut bytes = [b' '; 8];
        let mut parts = Parts { light: |_: bool| {}, thermometer: || hundredths };
        parts.read(sensor, "kitchen", &mut Text::new(&mut bytes)).map(|()| bytes)
    }

    #[test]
    fn the_thermometer_has_one_decimal() {
        assert_eq!(read("temp", Some(2375)), Ok(*b"23.7    "));
        assert_eq!(read("temp", Some(-150)), Ok(*b"-1.5    "));
        assert_eq!(read("temp", Some(-9)), Ok(*b"0.0     "));
        assert_eq!(read("temp", Some(100_000)), Ok(*b"1000.0  "));
        assert_eq!(read("temp", None), Err(ToolError("")));
        assert_eq!(read("soil", Some(2375)), Err(ToolError("")));
    }

    #[test]
    fn the_light_follows_the_last_word() {
        let shines = Cell::new(None);
        let mut parts = Parts { light: |on: bool| shines.set(Some(on)), thermometer: || None };
        let mut nothing = [0; 8];
        for (actuator, value, expected) in [
            ("led", "on", Some(true)),
            ("led", "red, off", Some(false)),
            ("lamp", "kitchen,on", Some(true)),
            ("lamp", "0", Some(false)),
            ("lamp", "50", Some(true)),
            ("led", "blink", None),
            ("led", "", None),
            ("fan", "on", None),
        ] {
            shines.set(None);
            let result = parts.set(actuator, value, &mut Text::new(&mut nothing));
            assert_eq!(shines.get(), expected, "{actuator} {value}");
            assert_eq!(result.is_ok(), expected.is_some(), "{actuator} {value}");
        }
    }
}
