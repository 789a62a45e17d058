//! A board that runs until it is let go of, and whose serial line leads here.
//!
//! The emulator connects to a socket of this machine that listens already, so nobody has to wait for anybody. Logs and
//! complaints are gathered for the moment at which the line breaks.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sprat_board_support::protocol::Exit;
use tempfile::TempDir;

use crate::{logs, machine};

/// How long an emulator may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that makes no sound.
const PAUSE: Duration = Duration::from_millis(5);

/// A board at work.
#[derive(Debug)]
pub struct Console {
    child: Child,
    line: TcpStream,
    said: Arc<Mutex<Vec<String>>>,
    // Where the emulator works, so that it finds nobody's files.
    _folder: TempDir,
}

impl Console {
    /// Boots a firmware that was built to be spoken to. Its file name begins with its board's name.
    ///
    /// # Errors
    /// What keeps the emulator from starting, or ends it at once, with what was logged.
    pub fn boot(elf: &Path) -> Result<Self> {
        let elf = elf.canonicalize().with_context(|| format!("no firmware {}", elf.display()))?;
        let image = std::fs::read(&elf).with_context(|| format!("cannot read {}", elf.display()))?;
        let table = logs::table(&image)?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on this machine")?;
        listener.set_nonblocking(true).context("cannot listen without waiting")?;
        let serial = format!("tcp:{},nodelay=on", listener.local_addr().context("no address")?);
        let mut command = machine::command(machine::board_of(&elf)?, &elf, &[], &serial)?;
        // An interruption from the terminal is for whoever speaks with the board, and not for the emulator.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = machine::spawn(command.current_dir(folder.path()))?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(stream) = child.stdout.take() {
            let said = Arc::clone(&said);
            // An error is the end of the stream.
            thread::spawn(move || {
                _ = logs::decode(stream, table.as_ref(), |log| note(&said, log.to_string()))
            });
        }
        if let Some(mut stream) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                let mut bytes = Vec::new();
                _ = stream.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).lines().for_each(|line| note(&said, line.to_owned()));
            });
        }
        let line = accept(&listener, &mut child);
        if line.is_err() {
            _ = child.kill();
            _ = child.wait();
        }
        let line = line.with_context(|| format!("{} cannot be talked to{}", elf.display(), told(&said)))?;
        line.set_nodelay(true).context("cannot set up the line")?;
        Ok(Self { child, line, said, _folder: folder })
    }

    /// The serial line.
    pub fn line(&self) -> &TcpStream {
        &self.line
    }

    /// Why the board does not answer any more, as far as can be said.
    pub fn why(&mut self) -> String {
        // What is on its way is heard.
        thread::sleep(10 * PAUSE);
        let end = match self.child.try_wait() {
            Ok(Some(status)) => match status.code().and_then(Exit::from_code) {
                Some(exit) => exit.to_string(),
                None => format!("the emulator ended ({status})"),
            },
            Ok(None) => "the firmware runs".to_owned(),
            Err(error) => format!("lost the emulator: {error}"),
        };
        format!("{end}{}", told(&self.said))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // One that has ended already is no matter.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn accept(listener: &TcpListener, child: &mut Child) -> Result<TcpStream> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match listener.accept() {
            Ok((line, _)) => {
                line.set_nonblocking(false).context("cannot set up the line")?;
                return Ok(line);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("the emulator cannot connect"),
        }
        if let Some(status) = child.try_wait().context("lost the emulator")? {
            bail!("the emulator ended at once ({status})");
        }
        thread::sleep(PAUSE);
    }
    bail!("the emulator did not connect its serial line in {} s", PATIENCE.as_secs())
}

fn note(said: &Mutex<Vec<String>>, line: String) {
    said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

fn told(said: &Mutex<Vec<String>>) -> String {
    said.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|line| format!("\n  {line}")).collect()
}
