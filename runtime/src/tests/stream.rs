//! Streamed models: the bits of mapped ones, whatever the window; what is read, and what becomes of a source that fails.

use core::cell::{Cell, RefCell};

use super::*;
use crate::stream::{
    Piece, Read, SourceError, SourceFault, StreamError, StreamPlan, StreamedImage, WeightSource,
};
use crate::team::tests::Threads;

/// A source whose buffer has nothing of use before it is waited for, and which counts.
#[derive(Default)]
struct Slow<'b, 'w> {
    file: &'b [u8],
    begun: RefCell<Option<Read<'w>>>,
    bytes: Cell<u64>,
    readings: Cell<u32>,
    /// The number of the reading that fails.
    fails_at: Cell<Option<u32>>,
}

impl<'b> Slow<'b, '_> {
    fn new(file: &'b [u8]) -> Self {
        Self { file, ..Self::default() }
    }
}

impl<'w> WeightSource<'w> for &Slow<'_, 'w> {
    fn begin(&mut self, read: Read<'w>) {
        read.buffer.fill(0x5a);
        assert!(self.begun.replace(Some(read)).is_none(), "one reading at a time");
    }

    fn wait(&mut self) -> (&'w mut [u8], Result<(), SourceError>) {
        let Some(Read { pieces, buffer }) = self.begun.take() else { return (&mut [], Ok(())) };
        let number = self.readings.replace(self.readings.get() + 1);
        let mut at = 0;
        for Piece { offset, bytes } in pieces {
            let from = offset as usize;
            let fault = match self.file.get(from..from + bytes) {
                Some(piece) if self.fails_at.get() != Some(number) => {
                    buffer[at..at + bytes].copy_from_slice(piece);
                    at += bytes;
                    self.bytes.set(self.bytes.get() + bytes as u64);
                    continue;
                }
                Some(_) => SourceFault::Device,
                None => SourceFault::End,
            };
            return (buffer, Err(SourceError { offset, bytes, fault }));
        }
        (buffer, Ok(()))
    }
}

fn plan_of(file: &Aligned) -> StreamPlan {
    StreamPlan::new(Image::new(file.as_ref()).unwrap().file(), 1 << 20).unwrap()
}

/// Opens a file with exactly the memory that the plan asks for, and calls `then` with an engine and its source.
fn streamed<R>(
    file: &Aligned,
    limits: Limits,
    window_bytes: usize,
    cores: usize,
    then: impl FnOnce(&mut Engine<'_, '_, '_>, &Slow<'_, '_>) -> R,
) -> R {
    let mut memory = Aligned::zeros(plan_of(file).resident_bytes as usize);
    let mut window = Aligned::zeros(window_bytes);
    let source = Slow::new(file.as_ref());
    let model = StreamedImage::open(&source, window.as_mut(), memory.as_mut()).unwrap();
    let plan = Plan::for_team(model.image().config(), &limits, cores).unwrap();
    let mut arena = Aligned::zeros(plan.arena_bytes);
    let team = Threads(cores);
    let mut engine = Engine::streamed(&model, limits, arena.as_mut(), Kernels::detect(), &team).unwrap();
    then(&mut engine, &source)
}

/// The logits after every token: a prompt in chunks, then single tokens.
fn feed_all(engine: &mut Engine<'_, '_, '_>) -> Vec<u32> {
    let mut all = Vec::new();
    engine.feed_each(&TEXT[..8], |_, logits| all.push(logits.to_vec())).unwrap();
    for token in &TEXT[8..] {
        engine.feed(&[*token]).unwrap();
        all.push(engine.logits().unwrap().to_vec());
    }
    bits(&all)
}

fn q8(config: &Config) -> Aligned {
    model_in(config, limits(KvType::Q8), ELEMENTS[2], Layout::InterleavedBiased)
}

#[test]
fn a_streamed_model_computes_the_bits_of_a_mapped_one() {
    let shapes: Vec<Config> = families::unusual().into_iter().chain([llama(), gpt2()]).collect();
    for config in shapes {
        for (element, layout) in [
            (ELEMENTS[2], Layout::Rows),
            (ELEMENTS[2], Layout::Interleaved),
            (ELEMENTS[2], Layout::InterleavedBiased),
            (ELEMENTS[1], Layout::Rows),
            (ELEMENTS[0], Layout::Rows),
        ] {
            let limits = limits(KvType::Q8);
            let file = model_in(&config, limits, element, layout);
            let expected = bits(&run(&file, limits, &[1; 13]));
            let least = plan_of(&file).least_window_bytes;
            // Members of a team are threads here, begun anew for every chunk: few of those.
            for (window, cores) in [(least, 1), (least.next_multiple_of(512), 1), (1 << 13, 3), (1 << 20, 1)]
            {
                let found = streamed(&file, limits, window, cores, |engine, _| feed_all(engine));
                assert!(found == expected, "{config:?} {element:?} {layout:?} {window} {cores}");
            }
        }
    }
}

#[test]
fn a_model_of_many_windows_is_read_once_a_token_and_ahead() {
    for config in [llama(), gpt2(), Config { layers: 5, embedding_size: 12, ..llama() }] {
        let file = q8(&config);
        let plan = plan_of(&file);
        let window = 4096;
        assert!(plan.token_bytes > 2 * window as u64, "{}", plan.token_bytes);
        streamed(&file, limits(KvType::Q8), window, 1, |engine, source| {
            engine.feed(&TEXT[..2]).unwrap();
            for token in &TEXT[2..] {
                let before = source.bytes.get();
                engine.feed(&[*token]).unwrap();
                // Whatever was read before it was asked for was what was asked for.
                assert_eq!(source.bytes.get() - before, plan.token_bytes, "{config:?}");
            }
            let before = source.bytes.get();
            engine.truncate(0);
            engine.feed(&TEXT[..5]).unwrap();
            assert!(source.bytes.get() - before < 2 * plan.token_bytes, "a chunk is one pass");
        });
    }
}

#[test]
fn logits_in_blocks_and_marks_are_those_of_a_mapped_model() {
    let limits = Limits { logits_rows: 8, ..limits(KvType::F16) };
    let file = q8(&gpt2());
    let play = |engine: &mut Engine<'_, '_, '_>| {
        let (mut all, mut buffer) = (Vec::new(), vec![0.0; engine.mark_size()]);
        engine.feed(&TEXT[..6]).unwrap();
        let mark = engine.mark(&mut buffer).unwrap();
        engine.feed(&TEXT[6..]).unwrap();
        engine.return_to(&mark).unwrap();
        engine.each_logits(|_, block| all.push(block.to_vec())).unwrap();
        bits(&all)
    };
    let image = Image::new(file.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &limits).unwrap().arena_bytes);
    let expected = play(&mut Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap());
    for window in [plan_of(&file).least_window_bytes, 1 << 16] {
        assert_eq!(streamed(&file, limits, window, 1, |engine, _| play(engine)), expected);
    }
}

#[test]
fn text_without_end_is_that_of_a_mapped_model() {
    let limits = Limits { context: 12, ..limits(KvType::Q8) };
    let file = q8(&llama());
    let play = |engine: &mut Engine<'_, '_, '_>| {
        engine.slide(2, 3).unwrap();
        let mut all = Vec::new();
        for _ in 0..3 {
            engine.feed_each(&TEXT, |_, logits| all.push(logits.to_vec())).unwrap();
        }
        bits(&all)
    };
    let image = Image::new(file.as_ref()).unwrap();
    let mut arena = Aligned::zeros(Plan::new(image.config(), &limits).unwrap().arena_bytes);
    let expected = play(&mut Engine::new(&image, limits, arena.as_mut(), Kernels::detect()).unwrap());
    assert_eq!(streamed(&file, limits, 1024, 1, |engine, _| play(engine)), expected);
}

#[test]
fn whichever_reading_fails_the_engine_says_so_and_goes_on() {
    let (file, limits) = (q8(&gpt2()), limits(KvType::Q8));
    let (expected, opening, all) = streamed(&file, limits, 2048, 1, |engine, source| {
        let opening = source.readings.get();
        (feed_all(engine), opening, source.readings.get())
    });
    assert!(all - opening > 50, "{opening} {all}");
    let mut failures = 0;
    for fails_at in opening..all {
        streamed(&file, limits, 2048, 1, |engine, source| {
            source.fails_at.set(Some(fails_at));
            let mut found = Vec::new();
            while let Some(token) = TEXT.get(engine.position()) {
                let position = engine.position();
                match engine.feed(&[*token]) {
                    Ok(()) => found.push(engine.logits().unwrap().to_vec()),
                    Err(EngineError::Source(error)) => {
                        assert_eq!((error.fault, engine.position()), (SourceFault::Device, position));
                        failures += 1;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(bits(&found), expected, "{fails_at}");
        });
    }
    // What failed ahead of time is read again, so the others are hidden.
    assert!(failures > 0);
}

#[test]
fn a_sliding_engine_that_fails_while_it_drops_is_empty() {
    let limits = Limits { context: 12, ..limits(KvType::Q8) };
    let file = q8(&llama());
    streamed(&file, limits, 1024, 1, |engine, source| {
        engine.slide(2, 3).unwrap();
        engine.feed(&TEXT[..12]).unwrap();
        // The first reading is ahead, and its failure is mended; the rows of an embedding are read when they are used.
        source.fails_at.set(Some(source.readings.get() + 1));
        assert!(matches!(engine.feed(&TEXT[12..]), Err(EngineError::Source(_))));
        assert_eq!((engine.position(), engine.dropped()), (0, 0));
        engine.feed(&TEXT[..2]).unwrap();
    });
}

#[test]
fn what_cannot_be_streamed_is_refused_with_the_numbers() {
    let file = q8(&llama());
    let plan = plan_of(&file);
    let resident = plan.resident_bytes as usize;
    let open = |bytes: &[u8], window: usize, memory: usize| {
        let (mut window, mut memory) = (Aligned::zeros(window), Aligned::zeros(memory));
        let source = Slow::new(bytes);
        let opened = StreamedImage::open(&source, window.as_mut(), memory.as_mut());
        opened.map(|model| *model.plan()).map_err(|error| format!("{error}"))
    };
    let refused = |bytes: &[u8], window, memory| open(bytes, window, memory).unwrap_err();
    let least = plan.least_window_bytes;
    assert_eq!(open(file.as_ref(), least, resident), Ok(StreamPlan { window_bytes: least, ..plan }));
    for memory in [0, 31, 32, 200, resident - 1] {
        let message = refused(file.as_ref(), least, memory);
        assert!(message.ends_with(&format!("bytes, {memory} were given")), "{message}");
    }
    assert_eq!(
        refused(file.as_ref(), least - 1, resident),
        format!("the window has {} bytes, at least {least} are needed", least - 1)
    );
    let cut = refused(&file.as_ref()[..file.length - 1], least, resident);
    assert!(cut.contains("ends before byte"), "{cut}");
    // Any byte of the head, of vectors and of matrices.
    let sections = PackedFile::sections_of(file.as_ref()).unwrap();
    for section in sections.flatten() {
        for place in [0, section.bytes.len() / 2, section.bytes.len().saturating_sub(1)] {
            if section.bytes.is_empty() {
                continue;
            }
            let mut damaged = file.as_ref().to_vec();
            damaged[section.offset as usize + place] ^= 4;
            let message = refused(&damaged, least, resident + 4096);
            assert!(message.contains("is damaged"), "{message}");
        }
    }
    let (mut window, mut memory) = (Aligned::zeros(4096), Aligned::zeros(resident));
    let source = Slow::new(file.as_ref());
    let mut other = Aligned::zeros(4096);
    let misaligned = StreamedImage::open(&source, &mut other.as_mut()[8..], memory.as_mut()).err();
    assert_eq!(misaligned, Some(StreamError::Misaligned { by: 8 }));
    // And an engine that has no source.
    let mut memory = Aligned::zeros(resident);
    let model = StreamedImage::open(&source, window.as_mut(), memory.as_mut()).unwrap();
    let mut arena = Aligned::zeros(1 << 16);
    let refused = Engine::new(model.image(), limits(KvType::Q8), arena.as_mut(), Kernels::detect()).err();
    assert_eq!(refused, Some(EngineError::NoSource));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_opening_panic(
        bytes in proptest::collection::vec(any::<(u16, u8)>(), 1..6),
        length in 0usize..6000,
    ) {
        let mut file = q8(&llama());
        for (at, byte) in bytes {
            let at = usize::from(at) % file.length.min(2048);
            file.as_mut()[at] = byte;
        }
        let (mut window, mut memory) = (Aligned::zeros(4096), Aligned::zeros(length));
        let source = Slow::new(file.as_ref());
        // Sections lie within the file, or the checksum of the table is wrong: nothing else is promised here.
        let _opened = StreamedImage::open(&source, window.as_mut(), memory.as_mut()).is_ok();
    }
}
