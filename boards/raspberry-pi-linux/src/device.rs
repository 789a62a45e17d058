//! What a model reads and sets on a Raspberry Pi: the thermometer of the chip and the green light beside the power's.
//!
//! Both are files of the kernel, so nothing is to be installed or connected.

use std::fs;
use std::path::{Path, PathBuf};

use sprat::tools::{Device, Text, ToolError};
use sprat_board_support::ask::Script;
use sprat_board_support::parts::Parts;

/// Names of the board's own light, of newer kernels and of older ones.
const LIGHTS: [&str; 2] = ["ACT", "led0"];

/// The Raspberry Pi itself. What it lacks, or may not be used, is an error that the model reads.
#[derive(Clone, Debug)]
pub struct Pi {
    thermometer: PathBuf,
    light: Option<PathBuf>,
}

impl Pi {
    /// The parts that the kernel knows.
    pub fn found() -> Self {
        Self::under(Path::new("/sys/class"))
    }

    /// The same with the files of the kernel somewhere else.
    fn under(class: &Path) -> Self {
        let lights = LIGHTS.map(|name| class.join("leds").join(name));
        Self {
            thermometer: class.join("thermal/thermal_zone0/temp"),
            light: lights.into_iter().find(|light| light.is_dir()),
        }
    }

    /// Sets another light than the board's own: a folder as in `/sys/class/leds`.
    pub fn with_light(self, folder: impl Into<PathBuf>) -> Self {
        Self { light: Some(folder.into()), ..self }
    }

    /// Hundredths of a degree Celsius; the kernel has thousandths.
    fn temperature(&self) -> Option<i32> {
        let text = fs::read_to_string(&self.thermometer).ok()?;
        text.trim().parse::<i32>().ok().map(|thousandths| thousandths / 10)
    }

    fn shine(&self, on: bool) -> Result<(), ToolError> {
        let light = self.light.as_ref().ok_or(ToolError("no light"))?;
        // Otherwise what blinks for the card would go on with it. Some lights have nothing that triggers them.
        _ = fs::write(light.join("trigger"), "none");
        let most = fs::read_to_string(light.join("max_brightness"));
        let brightness = if on { most.as_deref().map_or("1", str::trim) } else { "0" };
        fs::write(light.join("brightness"), brightness).map_err(|_| ToolError("not allowed"))
    }
}

impl Device for Pi {
    /// `temp`, wherever it is asked for, in degrees Celsius.
    fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        Parts { light: |_| {}, thermometer: || self.temperature() }.read(sensor, place, out)
    }

    /// `led` and `lamp`, as on every board with one light.
    fn set(&mut self, actuator: &str, value: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        let mut shone = Ok(());
        Parts { light: |on| shone = self.shine(on), thermometer: || None }.set(actuator, value, out)?;
        shone
    }
}

/// A device whose sensors read what they were told to: `temp,kitchen=23.4`, a line each. Whatever is set is set.
#[derive(Clone, Debug, Default)]
pub struct Told(pub String);

impl Device for Told {
    fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        Script { sensors: &self.0 }.read(sensor, place, out)
    }

    fn set(&mut self, actuator: &str, value: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        Script { sensors: &self.0 }.set(actuator, value, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pi: &mut Pi, sensor: &str) -> Result<String, ToolError> {
        let mut bytes = [b' '; 16];
        pi.read(sensor, "", &mut Text::new(&mut bytes))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    #[test]
    fn the_kernels_files_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let class = folder.path();
        let (zone, light) = (class.join("thermal/thermal_zone0"), class.join("leds/ACT"));
        let mut nothing = [0; 8];
        let mut out = Text::new(&mut nothing);

        let mut bare = Pi::under(class);
        assert_eq!(read(&mut bare, "temp"), Err(ToolError("")));
        assert_eq!(bare.set("led", "on", &mut out), Err(ToolError("no light")));

        fs::create_dir_all(&zone).unwrap();
        fs::create_dir_all(&light).unwrap();
        fs::write(zone.join("temp"), "48312\n").unwrap();
        fs::write(light.join("max_brightness"), "255\n").unwrap();
        let mut pi = Pi::under(class);
        assert_eq!(read(&mut pi, "temp").as_deref(), Ok("48.3"));
        assert_eq!(read(&mut pi, "soil"), Err(ToolError("")));
        let brightness = || fs::read_to_string(light.join("brightness")).unwrap();
        assert_eq!(pi.set("led", "red,on", &mut out), Ok(()));
        assert_eq!(brightness(), "255");
        assert_eq!(fs::read_to_string(light.join("trigger")).unwrap(), "none");
        assert_eq!(pi.set("lamp", "off", &mut out), Ok(()));
        assert_eq!(brightness(), "0");
        assert_eq!(pi.set("fan", "on", &mut out), Err(ToolError("")));

        let mut gone = pi.with_light(class.join("leds/none"));
        assert_eq!(gone.set("led", "on", &mut out), Err(ToolError("not allowed")));
    }

    #[test]
    fn a_told_device_reads_what_it_was_told() {
        let mut bytes = [b' '; 4];
        let mut told = Told("temp,kitchen=23.4\nsoil=61".to_owned());
        assert_eq!(told.read("temp", "kitchen", &mut Text::new(&mut bytes)), Ok(()));
        assert_eq!(&bytes, b"23.4");
        assert_eq!(told.read("temp", "", &mut Text::new(&mut bytes)), Err(ToolError("")));
        assert_eq!(told.set("lamp", "on", &mut Text::new(&mut bytes)), Ok(()));
    }
}
