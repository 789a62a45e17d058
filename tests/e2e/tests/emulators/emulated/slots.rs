//! Models in flash of their own: whenever power fails in an update, the board boots with a whole model and answers as the
//! laptop does with the same one.

use std::collections::hash_map::{DefaultHasher, Entry, HashMap};
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use sprat::SamplerConfig;
use sprat_board_support::protocol::{Exit, Request};
use sprat_board_support::slots::simulated::{SimulatedFlash, Torn};
use sprat_board_support::slots::{MODEL_OFFSET, MappedFlash, Room, Slot, UpdateError, Updater};
use sprat_e2e::repository;
use sprat_emulator::{Boot, End, Input, Outcome, boot};
use sprat_tools::emulate::{Emulated, Wanted};
use sprat_tools::model::Model;
use sprat_tools::run::{RunOptions, run};
use tempfile::TempDir;

use super::{BOARD, can_emulate, logged};

type Nor = SimulatedFlash<4, 4096>;

const REQUEST: Request<'static> = Request {
    prompt: "a",
    special: false,
    max_tokens: 4,
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    seed: 0,
    hash_logits: true,
    ask: None,
};

/// A model, and what the laptop answers with it.
struct Known {
    path: PathBuf,
    packed: Vec<u8>,
    text: String,
    logits_hash: u64,
}

impl Known {
    /// One of the tiny models that fuzzing begins with: about 3 KiB.
    fn new(name: &str) -> Self {
        let path = repository().join("tests/fuzz/corpus/packed_file").join(name);
        let model = Model::open_packed(&path).unwrap();
        let options = RunOptions {
            prompt: REQUEST.prompt.into(),
            special: REQUEST.special,
            chat: None,
            max_tokens: REQUEST.max_tokens as usize,
            sampler: SamplerConfig::greedy(),
            seed: REQUEST.seed,
            kernels: None,
            context: None,
            threads: 1,
        };
        let report = run(&model, &options, |_| {}).unwrap();
        let logits_hash = u64::from_str_radix(&report.logits_hash, 16).unwrap();
        Self { packed: fs::read(&path).unwrap(), path, text: report.text, logits_hash }
    }
}

/// Two models of one shape, and a firmware that has neither.
struct Bench {
    folder: TempDir,
    old: Known,
    new: Known,
    firmware: Emulated,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let [old, new] = ["q8", "f16"].map(Known::new);
        assert_ne!(old.logits_hash, new.logits_hash);
        let wanted = Wanted { slots: true, ..Wanted::new(BOARD.name, &old.path) };
        let firmware = Emulated::build(&wanted).unwrap();
        Bench { folder: tempfile::tempdir().unwrap(), old, new, firmware }
    })
}

impl Bench {
    /// Boots the firmware with flash of this content.
    fn boot(&self, name: &str, flash: &[u8]) -> Outcome {
        let file = self.folder.path().join(name);
        fs::write(&file, flash).unwrap();
        let elf = self.firmware.elf("");
        let what = Boot {
            elf: &elf,
            memory: &[(&file, BOARD.model.origin)],
            input: Input::Request(&REQUEST),
            time_limit: Duration::from_secs(60),
        };
        boot(&what, &mut |_| {}).unwrap()
    }

    /// Whose answer it is.
    #[track_caller]
    fn model_of(&self, outcome: &Outcome) -> &Known {
        let report = outcome.report().unwrap();
        assert_eq!((report.board, report.kernel), (BOARD.name, "dsp"));
        assert!(report.stack_used_bytes <= report.stack_reserved_bytes, "{report:?}");
        let hash = report.logits_hash.unwrap();
        let known = [&self.old, &self.new].into_iter().find(|known| known.logits_hash == hash);
        let known = known.expect("the answer of one of the models");
        assert_eq!(outcome.text, known.text);
        known
    }
}

/// What the emulated board has for a model is planned by its build script; this is no less.
const ROOM: Room = Room { context_tokens: 8, arena_bytes: 1 << 20, cores: 1 };

fn update(flash: &mut Nor, keep: Option<Slot>, model: &[u8]) -> Result<Slot, UpdateError> {
    let mut updater = Updater::<_, 256>::begin(flash, BOARD.slots(), keep, model.len() as u32)?;
    model.chunks(99).try_for_each(|piece| updater.write(piece))?;
    updater.finish(&ROOM).map(|written| written.slot)
}

#[test]
fn whenever_power_fails_in_an_update_the_board_boots_with_a_whole_model() {
    if !can_emulate("whenever_power_fails_in_an_update_the_board_boots_with_a_whole_model") {
        return;
    }
    let bench = bench();
    let mut before = Nor::new(BOARD.model.bytes as usize);
    update(&mut before, None, &bench.old.packed).unwrap();
    let mut whole = Nor::holding(before.mapped());
    assert_eq!(update(&mut whole, Some(Slot::A), &bench.new.packed), Ok(Slot::B));
    let operations = whole.operations();

    // Every state once: an operation that was not begun is one that came after the last one was done.
    let mut states: HashMap<u64, (Vec<u8>, bool, String)> = HashMap::new();
    let used =
        (BOARD.slots().slot_bytes + MODEL_OFFSET) as usize + bench.new.packed.len().next_multiple_of(4096);
    let mut count = 0;
    let mut keep = |flash: &Nor, at_header: bool, what: String| {
        let content = &flash.mapped()[..used];
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        count += 1;
        if let Entry::Vacant(place) = states.entry(hasher.finish()) {
            place.insert((content.to_vec(), at_header, what));
        }
    };
    for (cut, torn) in (0..operations).flat_map(|cut| Torn::ALL.map(|torn| (cut, torn))) {
        let mut flash = Nor::holding(before.mapped());
        flash.cut(cut, torn);
        update(&mut flash, Some(Slot::A), &bench.new.packed).unwrap_err();
        // The header is the last operation; before it is begun, the model is not there.
        let at_header = cut + 1 == operations && torn != Torn::NotBegun;
        keep(&flash, at_header, format!("operation {cut} of {operations}, {torn:?}"));
    }
    keep(&whole, true, "whole".into());

    let begun = Instant::now();
    let states: Vec<_> = states.into_values().collect();
    let boot_all = |states: &[(Vec<u8>, bool, String)], name: &str| {
        let mut new = 0;
        for (flash, at_header, what) in states {
            let outcome = bench.boot(name, flash);
            let is_new = bench.model_of(&outcome).logits_hash == bench.new.logits_hash;
            assert!(*at_header || !is_new, "{what}: {}", logged(&outcome));
            new += u32::from(is_new);
        }
        new
    };
    let (first, second) = states.split_at(states.len() / 2);
    let new = thread::scope(|scope| {
        let other = scope.spawn(|| boot_all(first, "first.bin"));
        boot_all(second, "second.bin") + other.join().unwrap()
    });
    println!(
        "{operations} operations, {count} power cuts, {} states of the flash booted in {} s, {new} with the new model",
        states.len(),
        begun.elapsed().as_secs()
    );
    assert!(operations as usize > bench.new.packed.len() / 256 && states.len() > 2 * operations as usize);
    assert!(new >= 1 && (new as usize) < states.len() / 4);
    assert_eq!(bench.model_of(&bench.boot("whole.bin", whole.mapped())).path, bench.new.path);
}

#[test]
fn a_board_without_a_whole_model_says_what_is_wrong_with_each_slot() {
    if !can_emulate("a_board_without_a_whole_model_says_what_is_wrong_with_each_slot") {
        return;
    }
    let bench = bench();
    let mut flash = Nor::new(BOARD.model.bytes as usize);
    update(&mut flash, None, &bench.old.packed).unwrap();
    let mut content = flash.mapped().to_vec();
    let last = MODEL_OFFSET as usize + bench.old.packed.len() - 1;
    content[last] ^= 1;
    let outcome = bench.boot("broken.bin", &content);
    assert_eq!(outcome.end, End::Firmware(Exit::ModelRefused), "{}", logged(&outcome));
    let said = logged(&outcome);
    assert!(said.contains("slot a: section DATA is damaged"), "{said}");
    assert!(said.contains("slot b: no model was written") && said.contains("sprat flash --model"), "{said}");

    // One whole slot is enough, and the other is said to be passed over.
    let mut flash = Nor::holding(&content);
    update(&mut flash, Some(Slot::A), &bench.new.packed).unwrap();
    content = flash.mapped().to_vec();
    let outcome = bench.boot("one.bin", &content);
    assert_eq!(bench.model_of(&outcome).path, bench.new.path);
    assert!(logged(&outcome).contains("number 2, in slot b"), "{}", logged(&outcome));
    content[(BOARD.slots().start(Slot::B) + MODEL_OFFSET) as usize + bench.new.packed.len() - 1] ^= 1;
    content[last] ^= 1;
    let outcome = bench.boot("other.bin", &content);
    assert_eq!(bench.model_of(&outcome).path, bench.old.path);
    assert!(logged(&outcome).contains("slot b is passed over"), "{}", logged(&outcome));
}
