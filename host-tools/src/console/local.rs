//! The board's application in a thread of this process.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use sprat_board_support::console::{Counter, Serial};
use sprat_board_support::memory::limits_for_context;
use sprat_board_support::serve::{Peripherals as _, Scripted, ServeMemory, Site, serve};

use super::Wire;
use crate::model::{Model, arena_for};
use crate::threads::Threads;

/// How the application is run here.
#[derive(Clone, Copy, Debug)]
pub struct LocalOptions {
    /// Tokens of context; those that the model was packed for by default.
    pub context: Option<u32>,
    /// Threads that compute.
    pub threads: usize,
}

/// What a thermometer reads that nobody told anything else, as on an emulated board.
const SENSORS: &str = "temp=21.5";

/// Frames that the application can be ahead of whoever listens, as on a serial line.
const AHEAD: usize = 4;

/// A channel with a board's application at its other end.
struct Channel {
    to_board: Option<Sender<Vec<u8>>>,
    from_board: Option<Receiver<Vec<u8>>>,
    come: VecDeque<u8>,
    board: Option<JoinHandle<Result<()>>>,
}

/// Runs the application with a model until the wire is dropped.
///
/// # Errors
/// The system has no thread for it. What is wrong with the model is said over the wire.
pub fn local(model: Model, options: LocalOptions) -> Result<Box<dyn Wire>> {
    let (to_board, coming) = mpsc::channel();
    let (going, from_board) = mpsc::sync_channel(AHEAD);
    let serial = BoardSide { coming, going, come: VecDeque::new() };
    let board = thread::Builder::new().spawn(move || run(&model, options, serial))?;
    Ok(Box::new(Channel {
        to_board: Some(to_board),
        from_board: Some(from_board),
        come: VecDeque::new(),
        board: Some(board),
    }))
}

fn run(model: &Model, options: LocalOptions, mut serial: BoardSide) -> Result<()> {
    let image = model.image()?;
    let context = options.context.unwrap_or(image.limits().context);
    let team = Threads::new(options.threads)?;
    let mut arena = arena_for(&image, &limits_for_context(image.limits(), context), &team)?;
    let site = Site {
        board: "this machine",
        model: model.bytes(),
        context_tokens: context,
        team: &team,
        counts_per_second: 1_000_000_000,
        stack_used_bytes: || 0,
    };
    let device = RefCell::new(Scripted::new());
    device.borrow_mut().script(SENSORS);
    let mut memory = Box::new(ServeMemory::new());
    serve(&site, &mut arena, &mut memory, &device, &mut serial, &mut Nanoseconds(Instant::now()))
        .map_err(|error| anyhow!("{}: {error}", model.path()))
}

struct Nanoseconds(Instant);

impl Counter for Nanoseconds {
    fn now(&mut self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// The application's end of the channel.
struct BoardSide {
    coming: Receiver<Vec<u8>>,
    going: SyncSender<Vec<u8>>,
    come: VecDeque<u8>,
}

impl Serial for BoardSide {
    fn read(&mut self) -> Option<u8> {
        if self.come.is_empty() {
            self.come.extend(self.coming.try_recv().into_iter().flatten());
        }
        self.come.pop_front()
    }

    fn write(&mut self, bytes: &[u8]) {
        // Nobody listens when the wire is gone; that is noticed where it is waited for more.
        _ = self.going.send(bytes.to_vec());
    }

    fn wait(&mut self) -> ControlFlow<()> {
        match self.coming.recv() {
            Ok(bytes) => {
                self.come.extend(bytes);
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }
}

impl Channel {
    /// Why the application has ended.
    fn end(&mut self) -> anyhow::Error {
        let ended = self.board.take().map(JoinHandle::join);
        match ended {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(()))) | None => anyhow!("the conversation is over"),
            Some(Err(_)) => anyhow!("the application panicked"),
        }
    }
}

impl Wire for Channel {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.to_board.as_ref().map(|to_board| to_board.send(bytes.to_vec()));
        if !matches!(sent, Some(Ok(()))) {
            bail!(self.end());
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize> {
        if self.come.is_empty() {
            let come = self.from_board.as_ref().map(|from_board| from_board.recv_timeout(patience));
            match come.unwrap_or(Err(RecvTimeoutError::Disconnected)) {
                Ok(bytes) => self.come.extend(bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!(self.end()),
            }
        }
        let count = self.come.len().min(buffer.len());
        buffer.iter_mut().zip(self.come.drain(..count)).for_each(|(place, byte)| *place = byte);
        Ok(count)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // It neither waits for more nor for a listener then.
        (self.to_board, self.from_board) = (None, None);
        // It ends when its end of the wire does; what it has to say then, nobody hears.
        _ = self.board.take().map(JoinHandle::join);
    }
}
