//! Frames: messages of programs on a wire that people type on and that loses bytes.
//!
//! | on the wire | what it is |
//! | --- | --- |
//! | `00` | the end of whatever was before |
//! | `01` ... | the content in consistent overhead byte stuffing (COBS), without a zero byte |
//! | `00` | the end of the frame |
//!
//! | content | what it is |
//! | --- | --- |
//! | `00` | makes the first stuffed byte `01`, which nobody types |
//! | number, part | postcard varints: the message that it is or answers, and which part of the answer |
//! | body | postcard |
//! | 4 bytes | CRC-32/ISO-HDLC of all before, little endian |
//!
//! Whatever is lost, changed or added costs the frames that it hits: the next zero byte is a beginning again, and two of
//! them stand between frames, so that one may be lost. What does not begin with `01` behind a zero byte is text.
//! (COBS: Cheshire and Baker, 1999.)

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// No table: frames are short, and flash is dearer than the time for them.
const CHECKSUM: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);
const CHECKSUM_BYTES: usize = 4;

/// What frames are separated by.
pub const DELIMITER: u8 = 0;
/// The first byte of the content.
const MARK: u8 = 0;
/// The same, stuffed.
const STUFFED_MARK: u8 = 1;

/// Bytes of a frame's content at most, for messages to a board and for answers alike.
pub const CONTENT_BYTES: usize = 768;
/// Bytes of the same between its delimiters: one more, and one for every 254.
pub const STUFFED_BYTES: usize = cobs::max_encoding_length(CONTENT_BYTES);
/// Bytes of a whole frame at most.
pub const FRAME_BYTES: usize = STUFFED_BYTES + 2;

/// What a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The number of the message: the sender's choice, another one than that of the message before.
    pub number: u32,
    /// The parts of the answer before this one; 0 in a message.
    pub part: u32,
}

/// What came in a frame, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'f> {
    /// What it belongs to.
    pub header: Header,
    /// A message or an answer in postcard's wire format.
    pub body: &'f [u8],
}

/// What a byte brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'f> {
    /// A byte that is in no frame.
    Byte(u8),
    /// The end of a frame.
    Frame(Frame<'f>),
    /// The end of something that is no whole frame.
    Damaged,
}

/// Where in the stream the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In text.
    Outside,
    /// Behind a delimiter.
    Behind,
    /// In a frame.
    Inside,
}

/// Finds frames in a stream of bytes, one byte at a time, in bounded memory.
#[derive(Debug)]
pub struct Decoder {
    bytes: Vec<u8, STUFFED_BYTES>,
    place: Place,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the beginning of a stream.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), place: Place::Outside }
    }

    /// Takes the next byte of the stream in; what that brought, if anything.
    pub fn push(&mut self, byte: u8) -> Option<Heard<'_>> {
        if byte == DELIMITER {
            let was_inside = self.place == Place::Inside;
            self.place = Place::Behind;
            return was_inside.then(|| self.heard());
        }
        match self.place {
            Place::Behind if byte == STUFFED_MARK => {
                self.place = Place::Inside;
                self.bytes.clear();
                // There is room for the first byte.
                _ = self.bytes.push(byte);
                None
            }
            Place::Behind | Place::Outside => {
                self.place = Place::Outside;
                Some(Heard::Byte(byte))
            }
            Place::Inside => match self.bytes.push(byte) {
                Ok(()) => None,
                // No frame is so long. A person who types must not be taken for one for ever.
                Err(_) => {
                    self.place = Place::Outside;
                    Some(Heard::Damaged)
                }
            },
        }
    }

    /// What the gathered bytes are.
    fn heard(&mut self) -> Heard<'_> {
        let length = cobs::decode_in_place(&mut self.bytes).unwrap_or_default();
        self.bytes.get(..length).and_then(content).map_or(Heard::Damaged, Heard::Frame)
    }
}

/// A frame's content, if it is whole.
fn content(bytes: &[u8]) -> Option<Frame<'_>> {
    let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if u32::from_le_bytes(*checksum) != CHECKSUM.checksum(bytes) {
        return None;
    }
    let (header, body) = postcard::take_from_bytes(bytes.strip_prefix(&[MARK])?).ok()?;
    Some(Frame { header, body })
}

/// The memory in which frames are made.
#[derive(Debug)]
pub struct Encoder {
    content: [u8; CONTENT_BYTES],
    frame: [u8; FRAME_BYTES],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Empty.
    pub const fn new() -> Self {
        Self { content: [MARK; CONTENT_BYTES], frame: [DELIMITER; FRAME_BYTES] }
    }

    /// A body as a frame, its delimiters included; `None` for one that is longer than frames are.
    pub fn encode(&mut self, header: Header, body: &impl Serialize) -> Option<&[u8]> {
        let most = CONTENT_BYTES - CHECKSUM_BYTES;
        let used = postcard::to_slice(&(MARK, header, body), &mut self.content[..most]).ok()?.len();
        let checksum = CHECKSUM.checksum(&self.content[..used]);
        let content = used + CHECKSUM_BYTES;
        self.content[used..content].copy_from_slice(&checksum.to_le_bytes());
        let stuffed = cobs::try_encode(&self.content[..content], &mut self.frame[1..=STUFFED_BYTES]).ok()?;
        self.frame[1 + stuffed] = DELIMITER;
        Some(&self.frame[..stuffed + 2])
    }
}
