//! Wires that lead out of this process: a serial port, and the serial line of an emulated board.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serial2::SerialPort;
use sprat_emulator::console::Console;

use super::Wire;
use crate::emulate::Emulated;

/// What has come within the time of whoever reads: nothing is no error.
fn received(read: std::io::Result<usize>) -> std::io::Result<Option<usize>> {
    match read {
        Ok(count) => Ok(Some(count)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The serial line of a board that is emulated for as long as the wire is held.
struct Line {
    console: Console,
    patience: Option<Duration>,
    // The emulator reads the firmware in its own time.
    _board: Emulated,
}

/// Boots a firmware that was built for conversations.
///
/// # Errors
/// What keeps the emulator from starting, or the firmware from running.
pub fn emulated(board: Emulated) -> Result<Box<dyn Wire>> {
    Ok(Box::new(Line { console: Console::boot(&board.elf(""))?, patience: None, _board: board }))
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut line: &TcpStream = self.console.line();
        line.write_all(bytes).with_context(|| format!("the board is gone: {}", self.console.why()))
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize> {
        let mut line: &TcpStream = self.console.line();
        if self.patience.replace(patience) != Some(patience) {
            line.set_read_timeout(Some(patience)).context("cannot set up the line")?;
        }
        match received(line.read(buffer)) {
            Ok(Some(0)) => bail!("the board is gone: {}", self.console.why()),
            Ok(count) => Ok(count.unwrap_or_default()),
            Err(error) => Err(error).with_context(|| format!("the board is gone: {}", self.console.why())),
        }
    }

    fn why(&mut self) -> String {
        self.console.why()
    }
}

/// A serial port of this machine.
struct Port {
    port: SerialPort,
    name: String,
    patience: Option<Duration>,
}

/// Opens a serial port.
///
/// # Errors
/// There is none of this name, or it is another program's, with those that there are.
pub fn serial_port(name: &str, bits_per_second: u32) -> Result<Box<dyn Wire>> {
    let port = SerialPort::open(name, bits_per_second).with_context(|| {
        let ports = SerialPort::available_ports().unwrap_or_default();
        let ports: Vec<_> = ports.iter().map(|path| path.display().to_string()).collect();
        match ports.is_empty() {
            true => {
                format!("cannot open the serial port {name}, and there is no other: is the board connected?")
            }
            false => format!("cannot open the serial port {name}; there are {}", ports.join(", ")),
        }
    })?;
    Ok(Box::new(Port { port, name: name.to_owned(), patience: None }))
}

impl Wire for Port {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.port.write_all(bytes).with_context(|| format!("the board on {} is gone", self.name))
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize> {
        if self.patience.replace(patience) != Some(patience) {
            self.port.set_read_timeout(patience).context("cannot set up the serial port")?;
        }
        match received(self.port.read(buffer)) {
            // A port that is there may have nothing to say; one that was pulled out says so.
            Ok(count) => Ok(count.unwrap_or_default()),
            Err(error) => Err(error).with_context(|| format!("the board on {} is gone", self.name)),
        }
    }

    fn why(&mut self) -> String {
        format!("does firmware with a console run on the board at {}, at this speed?", self.name)
    }
}
