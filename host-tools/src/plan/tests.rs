use sprat_format::{Activation, Element, FeedForward, Norm, Pairing, Position, Role};

use super::*;
use crate::boards::Boards;

fn boards() -> Boards {
    Boards::load(None).unwrap()
}

fn subject() -> Subject {
    let config = Config {
        vocab_size: 1024,
        hidden_size: 128,
        layers: 5,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        ffn_size: 256,
        max_positions: 1 << 20,
        norm: Norm::RmsNorm,
        norm_eps: 1e-5,
        position: Position::Rotary { dims: 32, pairing: Pairing::Half },
        feed_forward: FeedForward::Gated(Activation::Silu),
        group: 64,
        ..Config::PLAIN
    };
    let layer =
        [Role::Query, Role::Key, Role::Value, Role::AttentionOutput, Role::Gate, Role::Up, Role::Down];
    let roles = (0..5).flat_map(|_| layer).chain([Role::TokenEmbedding]);
    let tensors = roles.map(|role| {
        let (rows, cols) = role.shape(&config);
        (role, Element::Q8 { group: 64 }, rows, cols)
    });
    Subject { config, weights: Weights::of(tensors), file_bytes: 900_000, tokenizer_bytes: 20_000 }
}

fn limits(context: u32) -> Limits {
    Limits { context, prefill_chunk: 8, prompt_bytes: 4 * context, kv: KvType::Q8, logits_rows: 0 }
}

#[test]
fn the_largest_context_fits_and_one_more_does_not() {
    let subject = subject();
    for board in boards().iter() {
        let largest = plan(&subject, &limits(256), board).unwrap().largest_context;
        let missing = |context| plan(&subject, &limits(context), board).unwrap().ram.missing;
        assert!(largest > 0, "{}", board.name);
        assert_eq!(missing(largest), 0, "{}", board.name);
        assert!(largest == subject.config.max_positions || missing(largest + 1) > 0, "{}", board.name);
    }
}

#[test]
fn what_is_missing_is_said_in_bytes_with_what_would_fit() {
    let boards = boards();
    let board = boards.by_name("nrf52840").unwrap();
    let report = plan(&subject(), &limits(4096), board).unwrap();
    let message = report.require_fit().unwrap_err().to_string();
    let largest = format!("--context {}", report.largest_context);
    assert!(message.contains(&format!("{} bytes are missing", grouped(report.ram.missing))), "{message}");
    assert!(message.contains(&largest) && message.contains("nrf52840"), "{message}");
    assert!(!report.fits);
    let mut large = subject();
    large.file_bytes = 5 << 20;
    let message = plan(&large, &limits(64), board).unwrap().require_fit().unwrap_err().to_string();
    assert!(message.contains("4,341,760 bytes are missing"), "{message}");
    assert!(boards.by_name("toaster").unwrap_err().to_string().contains("qemu-mps2-an386"));
}

#[test]
fn logits_in_blocks_take_the_memory_of_a_block() {
    let boards = boards();
    let board = boards.by_name("nrf52840").unwrap();
    let whole = plan(&subject(), &limits(64), board).unwrap();
    let blocks = plan(&subject(), &Limits { logits_rows: 64, ..limits(64) }, board).unwrap();
    assert_eq!(whole.ram.arena - blocks.ram.arena, 4 * (1024 - 64));
    assert!(blocks.to_string().contains("768, in blocks of 64"), "{blocks}");
    assert!(!whole.to_string().contains("in blocks"));
}

#[test]
fn a_model_goes_where_it_fits() {
    let boards = boards();
    let place = |board: &str, file_bytes, context| {
        let subject = Subject { file_bytes, ..subject() };
        let limits = Limits { prefill_chunk: 2, ..limits(context) };
        plan(&subject, &limits, boards.by_name(board).unwrap()).unwrap()
    };
    // In internal flash while it fits, then in QSPI flash; the arena in the fastest RAM that is large enough.
    let small = place("stm32f746", 800_000, 16);
    assert_eq!(
        (&*small.flash.memory, &*small.ram.memory, &*small.ram.stack_memory),
        ("flash", "DTCM", "DTCM")
    );
    let medium = place("stm32f746", 3_000_000, 128);
    assert_eq!((&*medium.flash.memory, &*medium.ram.memory), ("QSPI flash", "SRAM1 and 2"));
    assert_eq!((medium.flash.firmware, &*medium.ram.stack_memory), (0, "DTCM"));
    assert_eq!(medium.ram.needed, medium.ram.arena);
    let large = place("stm32f746", 3_000_000, 2048);
    assert_eq!((&*large.ram.memory, large.fits), ("SDRAM", true));
    assert!(large.time.last.seconds > medium.time.last.seconds);
    // On a board that loads the model into RAM, model and arena share it.
    let pi = place("raspberry-pi-zero-2", 100_000_000, 256);
    assert_eq!(pi.ram.available, (512 - 128) * 1024 * 1024 - 100_000_000 - 96 * 1024);
}

#[test]
fn the_time_is_the_larger_of_core_and_memory() {
    let boards = boards();
    let plan = |board: &str| plan(&subject(), &limits(256), boards.by_name(board).unwrap()).unwrap();
    let emulated = plan("qemu-mps2-an386").time;
    assert_eq!((emulated.q8_products, emulated.kind), (868_352, "predicted"));
    assert_eq!(emulated.last.attention_products, 2 * 5 * 128 * 256);
    assert_eq!((emulated.last.memory_seconds, emulated.last.bound), (0.0, Bound::Core));
    assert_eq!(emulated.last.seconds, emulated.last.instructions / 25e6);
    let pico = plan("rp2350").time;
    assert_eq!(pico.last.bound, Bound::Memory);
    let bytes = subject().weights.bytes() as f64;
    assert!((pico.first.seconds - bytes / (25e6 * 0.57)).abs() < 1e-9);
    assert!(pico.read.memory_seconds < pico.first.memory_seconds / 7.0, "a chunk shares a pass");
    assert!(pico.to_string().contains("bound by memory") && pico.to_string().contains("assumed"), "{pico}");
}

/// stories260K as `sprat emulate q8.sprat --board qemu-mps2-an386 --prompt "" --max-tokens N` counted it:
/// 6,427,720 instructions for the 15 tokens fed of 16, 118,693,760 for the 199 of 200.
#[test]
fn the_formula_predicts_a_model_that_it_was_not_made_from() {
    let config = Config {
        vocab_size: 512,
        hidden_size: 64,
        layers: 5,
        heads: 8,
        kv_heads: 4,
        head_dim: 8,
        ffn_size: 172,
        position: Position::Rotary { dims: 8, pairing: Pairing::Half },
        group: 64,
        ..subject().config
    };
    let layer =
        [Role::Query, Role::Key, Role::Value, Role::AttentionOutput, Role::Gate, Role::Up, Role::Down];
    let tensors = (0..5).flat_map(|_| layer).chain([Role::TokenEmbedding]).map(|role| {
        let (rows, cols) = role.shape(&config);
        (role, Element::Q8 { group: 64 }, rows, cols)
    });
    let subject = Subject { config, weights: Weights::of(tensors), ..subject() };
    let boards = boards();
    let board = boards.by_name("qemu-mps2-an386").unwrap();
    for (fed, counted) in [(15u32, 6_427_720.0), (199, 118_693_760.0)] {
        // At the mean of the positions seen: the empty prompt is one token.
        let time = plan(&subject, &limits(1 + fed.div_ceil(2)), board).unwrap().time;
        let ratio = time.last.instructions / (counted / f64::from(fed));
        println!(
            "{fed} tokens: predicted {:.0}, counted {:.0}, ratio {ratio:.3}",
            time.last.instructions,
            counted / f64::from(fed)
        );
        assert!((0.9..1.1).contains(&ratio), "{fed}: {ratio}");
    }
}
