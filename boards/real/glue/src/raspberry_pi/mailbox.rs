//! Questions to the firmware of the GPU, which has the thermometer and the clocks.
//!
//! A message lies in RAM; the GPU writes its answer over it, beside the caches. Both have an end to their patience: a
//! firmware that does not answer costs a moment, and the answer. (The mailbox property interface of the Raspberry Pi
//! firmware.)

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use super::Generation;
use super::registers::{read, write};

/// Reads a temperature: number of the sensor, thousandths of a degree.
pub(super) const TEMPERATURE: u32 = 0x0003_0006;
/// Reads the rate of a clock: number of the clock, rate in hertz.
pub(super) const CLOCK: u32 = 0x0003_0002;
/// Sets a pin of the expander: number of the pin, level.
pub(super) const SET_PIN: u32 = 0x0003_8041;

/// From the register to read from: its state, and the register to write to with a state of its own.
const STATE_TO_READ: usize = 0x18;
const WRITE: usize = 0x20;
const STATE_TO_WRITE: usize = 0x38;
const FULL: u32 = 1 << 31;
const EMPTY: u32 = 1 << 30;
/// The channel of messages like this one.
const PROPERTIES: u32 = 8;
/// What the GPU writes into a message that it has understood, and into what it has answered.
const UNDERSTOOD: u32 = 1 << 31;
/// Looks at the state before the GPU is given up: a second or so.
const LOOKS: u32 = 10_000_000;

/// Words: length and state of all, a tag with the lengths of its values, two values, the end. Lines of a cache are as long.
#[repr(C, align(64))]
struct Message(UnsafeCell<[u32; 16]>);

// SAFETY: whoever uses it has taken `IS_TAKEN`.
unsafe impl Sync for Message {}

static MESSAGE: Message = Message(UnsafeCell::new([0; 16]));
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Asks for something with two values, and returns them as they are then; `None` when there is no answer.
pub(super) fn call(generation: &Generation, tag: u32, values: [u32; 2]) -> Option<[u32; 2]> {
    if IS_TAKEN.swap(true, Ordering::Acquire) {
        return None;
    }
    let answered = exchange(generation, tag, values);
    // A GPU that has not answered may still write into the message: nobody uses it again.
    if answered.is_ok() {
        IS_TAKEN.store(false, Ordering::Release);
    }
    answered.ok().flatten()
}

/// The GPU did not answer in time.
struct Silent;

fn exchange(
    generation: &Generation,
    tag: u32,
    [first, second]: [u32; 2],
) -> Result<Option<[u32; 2]>, Silent> {
    let words = MESSAGE.0.get().cast::<u32>();
    let address = words.addr();
    let message = [size_of::<Message>() as u32, 0, tag, 8, 0, first, second, 0];
    for (index, word) in message.into_iter().enumerate() {
        // SAFETY: the message has more words, and is this caller's alone.
        unsafe { words.add(index).write_volatile(word) };
    }
    write_back(address);
    let mailbox = generation.mailbox;
    wait(|| read(mailbox + STATE_TO_WRITE) & FULL == 0)?;
    // The image lies in the first gigabyte.
    let sent = generation.bus | address as u32 | PROPERTIES;
    write(mailbox + WRITE, sent);
    wait(|| read(mailbox + STATE_TO_READ) & EMPTY == 0)?;
    let received = read(mailbox);
    // What the cache may have read meanwhile is let go.
    write_back(address);
    // SAFETY: as above; the GPU has written what it had to.
    let word = |index| unsafe { words.add(index).read_volatile() };
    let is_answer = received == sent && word(1) == UNDERSTOOD && word(4) & UNDERSTOOD != 0;
    Ok(is_answer.then(|| [word(5), word(6)]))
}

fn wait(mut is_ready: impl FnMut() -> bool) -> Result<(), Silent> {
    (0..LOOKS).any(|_| is_ready()).then_some(()).ok_or(Silent)
}

/// Writes the message's line of the caches to RAM and lets it go.
fn write_back(address: usize) {
    // SAFETY: writes back what is the program's own; its values stay.
    unsafe { asm!("dsb sy", "dc civac, {address}", "dsb sy", address = in(reg) address, options(nostack)) };
}
