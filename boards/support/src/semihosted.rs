//! The firmware of a board that an emulator runs, with the host's files and streams for a wire.
//!
//! A request comes from a host file, the report goes to another; both are named in the arguments that the
//! emulator passes. Text streams to standard error, logs go to standard output as `defmt` frames, and the
//! exit code is one of [`Exit`]. Without arguments a built-in prompt is answered and only logged. Built for conversations,
//! it holds them over the board's serial line instead, with a thermometer that reads what it is told to.

#[cfg(feature = "console")]
use core::cell::RefCell;
use core::ffi::CStr;
#[cfg(all(feature = "heap", target_os = "none"))]
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use defmt::{error, info, warn};
// The logger's symbols; nothing of it is called by name.
use defmt_semihosting as _;
use semihosting::experimental::env;
use semihosting::fs::{self, File};
use semihosting::io::{self, Read as _, Stderr, Write as _};
#[cfg(feature = "console")]
use static_cell::ConstStaticCell;

#[cfg(feature = "stream")]
use sprat::stream::StreamedImage;

use crate::app::{self, Answer};
use crate::console::{Console, Counter, Serial};
use crate::firmware::Firmware;
use crate::protocol::{Exit, REPORT_BYTES, Report, Request};
#[cfg(feature = "console")]
use crate::serve::{Peripherals as _, Scripted};
#[cfg(feature = "stream")]
use crate::stream::{Unmapped, nor_flash};

/// Answered when the emulator passes no arguments.
const DEFAULT_REQUEST: Request<'static> = Request {
    prompt: "<|user|>What is the capital of France?<|assistant|>",
    special: true,
    max_tokens: 64,
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    seed: 0,
    hash_logits: false,
    ask: None,
};

/// What sensors read until something else is said.
#[cfg(feature = "console")]
const SENSORS: &str = "temp=21.5";

/// Bytes of all arguments together; the runner passes short relative names.
const ARGUMENTS_BYTES: usize = 256;
/// Bytes of one file name with its terminator.
const NAME_BYTES: usize = 64;

impl Firmware {
    /// The same with the newest whole model of the slots in place of the one that is linked in, which is used when there
    /// is none. Without any the emulator ends.
    #[cfg(all(feature = "slots", target_os = "none"))]
    pub fn with_slots(self) -> Self {
        self.with_newest().unwrap_or_else(|error| {
            error!("{}", error);
            exit(Exit::ModelRefused)
        })
    }

    /// The same in RAM that was found at boot; without any the emulator ends.
    #[cfg(all(feature = "heap", target_os = "none"))]
    pub fn in_found(self, ram: Option<&'static mut [MaybeUninit<u8>]>) -> Self {
        self.in_ram(ram.unwrap_or_default()).unwrap_or_else(|error| {
            error!("{}", error);
            exit(Exit::EngineFailed)
        })
    }

    /// Does what the firmware was built for: [`run`](Self::run), or with the feature `console` `serve`, over the serial
    /// line that `open` switches on.
    pub fn begin<S: Serial>(self, open: impl FnOnce() -> S, counter: &mut (impl Counter + Send)) -> ! {
        #[cfg(feature = "console")]
        self.serve(&mut open(), counter);
        #[cfg(not(feature = "console"))]
        {
            _ = open;
            self.run(counter)
        }
    }

    /// Answers the request that the emulator passes, then ends the emulator.
    pub fn run(self, counter: &mut impl Counter) -> ! {
        self.log();
        exit(self.answer(counter).err().unwrap_or(Exit::Success))
    }

    /// Holds conversations over a wire, for as long as the emulator runs, with a thermometer that reads what it is told.
    #[cfg(feature = "console")]
    pub fn serve(self, serial: &mut impl Serial, counter: &mut (impl Counter + Send)) -> ! {
        static DEVICE: ConstStaticCell<RefCell<Scripted>> =
            ConstStaticCell::new(RefCell::new(Scripted::new()));
        let device = DEVICE.take();
        device.get_mut().script(SENSORS);
        // What it counts are instructions.
        let served = self.converse(0, device, serial, counter);
        exit(served.map_or_else(
            |error| {
                error!("{}", error);
                error.exit()
            },
            |()| Exit::Success,
        ))
    }

    fn answer(self, counter: &mut impl Counter) -> Result<(), Exit> {
        let mut names = [[0; NAME_BYTES]; 2];
        let [request_name, report_name] = &mut names;
        let request = match file_names(request_name, report_name)? {
            0 => DEFAULT_REQUEST,
            _ => read_request(name(request_name)?, self.request)?,
        };
        let mut console = HostConsole(io::stderr().ok());
        let arena_bytes = self.arena_bytes;
        #[cfg(not(feature = "stream"))]
        let answer = app::answer(
            self.model,
            self.arena,
            self.context_tokens,
            self.team,
            &request,
            &mut console,
            counter,
        );
        #[cfg(feature = "stream")]
        let answer = {
            let begun = counter.now();
            let (arena, rest) = self.arena.split_at_mut(arena_bytes.next_multiple_of(16));
            let (window, resident) = rest.split_at_mut(self.window_bytes);
            let model = StreamedImage::open(nor_flash(Unmapped(self.model), 0), window, resident);
            let model = model.map_err(|error| {
                error!("{}", error);
                Exit::ModelRefused
            })?;
            app::answer_streamed(
                &model,
                begun,
                arena,
                self.context_tokens,
                self.team,
                &request,
                &mut console,
                counter,
            )
        };
        let answer = answer.map_err(|error| {
            error!("{}", error);
            error.exit()
        })?;
        let report = Report {
            board: self.board,
            target: self.target,
            kernel: answer.kernel,
            context_tokens: self.context_tokens,
            prompt_tokens: answer.prompt_tokens,
            answer_tokens: answer.answer_tokens,
            stop: answer.stop,
            logits_hash: answer.logits_hash,
            load_instructions: answer.load,
            prefill_instructions: answer.prefill,
            decode_instructions: answer.decode,
            arena_bytes: arena_bytes as u32,
            stack_reserved_bytes: self.stack_reserved_bytes,
            stack_used_bytes: (self.stack_used_bytes)(),
            calls: answer.calls,
            abandoned_calls: answer.abandoned_calls,
            inserted_tokens: answer.inserted_tokens,
        };
        log(&answer, &report);
        match report_name[0] {
            0 => Ok(()),
            _ => write_report(name(report_name)?, &report),
        }
    }
}

/// Copies the names of the request and report files out of the arguments; how many there were, 0 to 2.
#[inline(never)]
fn file_names(request: &mut [u8; NAME_BYTES], report: &mut [u8; NAME_BYTES]) -> Result<usize, Exit> {
    let Ok(arguments) = env::args::<ARGUMENTS_BYTES>() else {
        warn!("arguments longer than {=usize} bytes are ignored", ARGUMENTS_BYTES);
        return Ok(0);
    };
    // The first argument names the program.
    let given = (&arguments).into_iter().skip(1);
    given.zip([request, report]).try_fold(0, |count, (argument, place)| {
        let bytes = argument.map_err(|_| Exit::BadRequest)?.as_bytes();
        // One byte of the place stays zero and ends the name.
        let place = place[..NAME_BYTES - 1].get_mut(..bytes.len()).ok_or_else(|| {
            error!("a file name of {=usize} bytes is longer than {=usize}", bytes.len(), NAME_BYTES - 1);
            Exit::BadRequest
        })?;
        place.copy_from_slice(bytes);
        Ok(count + 1)
    })
}

fn name(bytes: &[u8]) -> Result<&CStr, Exit> {
    CStr::from_bytes_until_nul(bytes).map_err(|_| Exit::BadRequest)
}

#[inline(never)]
fn read_request<'b>(name: &CStr, buffer: &'b mut [u8]) -> Result<Request<'b>, Exit> {
    let mut length = 0;
    let mut file = File::open(name).map_err(|_| {
        error!("the request file cannot be opened");
        Exit::BadRequest
    })?;
    loop {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(_) => {
                error!("the request file cannot be read");
                return Err(Exit::BadRequest);
            }
        }
    }
    if length == buffer.len() {
        error!("the request has {=usize} bytes or more: the model is packed for shorter prompts", length);
        return Err(Exit::BadRequest);
    }
    postcard::from_bytes(&buffer[..length]).map_err(|_| {
        error!("the request ({=usize} bytes) cannot be decoded", length);
        Exit::BadRequest
    })
}

#[inline(never)]
fn write_report(name: &CStr, report: &Report<'_>) -> Result<(), Exit> {
    let mut buffer = [0; REPORT_BYTES];
    let written = postcard::to_slice(report, &mut buffer).is_ok_and(|bytes| fs::write(name, &*bytes).is_ok());
    written.then_some(()).ok_or_else(|| {
        error!("the report cannot be written");
        Exit::ReportFailed
    })
}

#[inline(never)]
fn log(answer: &Answer, report: &Report<'_>) {
    info!(
        "{=str} kernels: {=u32} + {=u32} tokens, stack {=u32} of {=u32} bytes used",
        answer.kernel,
        answer.prompt_tokens,
        answer.answer_tokens,
        report.stack_used_bytes,
        report.stack_reserved_bytes,
    );
}

/// Text to the host's standard error; standard output belongs to the logs. Text that the host does not take
/// is lost, as on a serial line without a listener.
struct HostConsole(Option<Stderr>);

impl Console for HostConsole {
    fn write(&mut self, text: &str) {
        if let Some(stream) = &mut self.0 {
            _ = stream.write_all(text.as_bytes());
        }
    }
}

/// Ends the emulator.
pub fn exit(exit: Exit) -> ! {
    semihosting::process::exit(exit.code().into())
}

/// A panic while a panic is being logged must not go round in circles.
static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // No read-modify-write, which the smallest cores lack; handlers do not interrupt each other here.
    if !PANICKED.load(Ordering::Relaxed) {
        PANICKED.store(true, Ordering::Relaxed);
        // Where it was is enough to find it. The message would keep all of `core::fmt` in flash.
        if let Some(location) = info.location() {
            error!("panic at {=str}:{=u32}", location.file(), location.line());
        }
    }
    exit(Exit::Panic)
}
