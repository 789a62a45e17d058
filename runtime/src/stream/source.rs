//! Where weights come from: a memory that is read by offset, and not in place.

use sprat_format::messages;

/// A memory that is read by offset: SPI flash, a card, a file.
///
/// A reading has two halves, so that it can go on by itself (DMA) while the last one is multiplied. The buffer belongs
/// to the source in between. There is one reading at a time.
pub trait WeightSource<'w> {
    /// Begins to read. Whatever goes wrong is for [`wait`](Self::wait) to say.
    fn begin(&mut self, read: Read<'w>);

    /// Waits for the end of the reading that was begun and gives its buffer back, or an empty one where none was.
    fn wait(&mut self) -> (&'w mut [u8], Result<(), SourceError>);
}

/// What to read: pieces of the memory, one behind the other into a buffer.
#[derive(Debug)]
pub struct Read<'w> {
    /// Values of some rows, and their scales. The second may be empty.
    pub pieces: [Piece; 2],
    /// At least as long as both together; begins at a multiple of 16.
    pub buffer: &'w mut [u8],
}

/// Consecutive bytes of a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Of the first byte.
    pub offset: u64,
    /// Their number.
    pub bytes: usize,
}

/// Why a source did not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceError {
    /// Of the first byte of the piece.
    pub offset: u64,
    /// Bytes of the piece.
    pub bytes: usize,
    /// What happened.
    pub fault: SourceFault,
}

/// What happens to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// The memory ends before.
    End,
    /// The memory cannot be read from such an offset, or not so many bytes.
    Unaligned,
    /// The device did not answer as it should.
    Device,
}

messages!(SourceError {
    Self { offset, bytes, fault: SourceFault::End } => (
        "the weights' source ends before byte {} and the {} that follow: is the whole model there?",
        offset,
        bytes,
    ),
    Self { offset, bytes, fault: SourceFault::Unaligned } => (
        "the weights' source cannot read {} bytes from byte {}: it takes multiples of more bytes",
        bytes,
        offset,
    ),
    Self { offset, bytes, fault: SourceFault::Device } => (
        "the weights' source failed to read {} bytes from byte {}: see to the device, then feed the tokens again",
        bytes,
        offset,
    ),
});

impl core::error::Error for SourceError {}

/// A source that reads only while it is waited for: a driver without DMA, a file.
#[derive(Debug)]
pub struct Blocking<'w, R> {
    read: R,
    begun: Option<Read<'w>>,
}

impl<R: FnMut(u64, &mut [u8]) -> Result<(), SourceFault>> Blocking<'_, R> {
    /// Of a function that fills a slice with the bytes from an offset on.
    pub fn new(read: R) -> Self {
        Self { read, begun: None }
    }
}

impl<'w, R: FnMut(u64, &mut [u8]) -> Result<(), SourceFault>> WeightSource<'w> for Blocking<'w, R> {
    fn begin(&mut self, read: Read<'w>) {
        self.begun = Some(read);
    }

    fn wait(&mut self) -> (&'w mut [u8], Result<(), SourceError>) {
        let Some(Read { pieces, buffer }) = self.begun.take() else { return (&mut [], Ok(())) };
        let mut rest = &mut *buffer;
        for Piece { offset, bytes } in pieces {
            let failed = |fault| Err(SourceError { offset, bytes, fault });
            let Some((piece, behind)) = rest.split_at_mut_checked(bytes) else {
                return (buffer, failed(SourceFault::Unaligned));
            };
            rest = behind;
            if bytes > 0
                && let Err(fault) = (self.read)(offset, piece)
            {
                return (buffer, failed(fault));
            }
        }
        (buffer, Ok(()))
    }
}
