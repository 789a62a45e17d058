//! What a device can read, and how it is said.
//!
//! Each has wordings of its own, in a group of `wordings/device.txt`.

/// A sensor.
pub struct Sensor {
    /// As an argument of `read`.
    pub name: &'static str,
    /// Its wordings.
    pub group: &'static str,
    /// The answer, with the value and the place.
    pub say: &'static str,
    /// The lowest and the highest value, in tenths of the unit.
    pub tenths: (u64, u64),
    /// Whether values have a decimal.
    pub decimals: bool,
}

/// What `read` takes.
pub const SENSORS: &[Sensor] = &[
    Sensor {
        name: "temp",
        group: "read_temp",
        say: "It is {v} degrees{pl}.",
        tenths: (20, 420),
        decimals: true,
    },
    Sensor {
        name: "humidity",
        group: "read_humidity",
        say: "The humidity{pl} is {v} percent.",
        tenths: (50, 999),
        decimals: false,
    },
    Sensor {
        name: "light",
        group: "read_light",
        say: "The light level{pl} is {v} lux.",
        tenths: (0, 9999),
        decimals: false,
    },
    Sensor {
        name: "soil",
        group: "read_soil",
        say: "The soil moisture{pl} is {v} percent.",
        tenths: (20, 999),
        decimals: false,
    },
    Sensor {
        name: "pressure",
        group: "read_pressure",
        say: "The air pressure{pl} is {v} hPa.",
        tenths: (9500, 10500),
        decimals: false,
    },
    Sensor {
        name: "co2",
        group: "read_co2",
        say: "The CO2 level{pl} is {v} ppm.",
        tenths: (4000, 19999),
        decimals: false,
    },
    Sensor {
        name: "battery",
        group: "read_battery",
        say: "The battery is at {v} percent.",
        tenths: (20, 1009),
        decimals: false,
    },
    Sensor {
        name: "noise",
        group: "read_noise",
        say: "The noise level{pl} is {v} decibels.",
        tenths: (200, 999),
        decimals: false,
    },
    Sensor {
        name: "water",
        group: "read_water",
        say: "The water level{pl} is {v} percent.",
        tenths: (20, 999),
        decimals: false,
    },
];
