//! Boards that a plan can be made for: how much flash and RAM they have and how fast they compute.
//!
//! A data table and nothing else. Emulated boards come first; the others can be planned for before there is
//! firmware for them.

/// A board as the planner sees it; bytes count what firmware and model can use.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Name on the command line.
    pub name: &'static str,
    /// Processor core.
    pub core: &'static str,
    /// Flash that is mapped into the address space.
    pub flash_bytes: u64,
    /// Of it, what is kept for the firmware.
    pub firmware_bytes: u64,
    /// Contiguous RAM.
    pub ram_bytes: u64,
    /// Of it, what the firmware's own variables take.
    pub static_bytes: u64,
    /// Instructions a second, at one instruction a cycle.
    pub clock_hz: u64,
    /// Instructions for one product of a quantized matrix, everything else included.
    pub instructions_per_product: f64,
    /// Whether there is firmware for it here.
    pub firmware: bool,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Firmware beside the model: what the emulated board's layout keeps for code.
const FIRMWARE_BYTES: u64 = 256 * KIB;
/// Vectors, buffers of the console and the like.
const STATIC_BYTES: u64 = 8 * KIB;
/// What a plain int8 loop takes on a Cortex-M4 (gcc -O3, counted under emulation).
const PORTABLE_INSTRUCTIONS: f64 = 5.42;

/// Every board.
pub const BOARDS: &[Board] = &[
    Board {
        name: "qemu-mps2-an386",
        core: "Cortex-M4F (emulated)",
        flash_bytes: 4 * MIB,
        firmware_bytes: FIRMWARE_BYTES,
        ram_bytes: 4 * MIB,
        static_bytes: STATIC_BYTES,
        clock_hz: 25_000_000,
        instructions_per_product: PORTABLE_INSTRUCTIONS,
        firmware: true,
    },
    Board {
        name: "nrf52840",
        core: "Cortex-M4F",
        flash_bytes: MIB,
        firmware_bytes: 64 * KIB,
        ram_bytes: 256 * KIB,
        static_bytes: STATIC_BYTES,
        clock_hz: 64_000_000,
        instructions_per_product: PORTABLE_INSTRUCTIONS,
        firmware: false,
    },
    Board {
        name: "rp2350",
        core: "Cortex-M33",
        flash_bytes: 4 * MIB,
        firmware_bytes: 64 * KIB,
        ram_bytes: 520 * KIB,
        static_bytes: STATIC_BYTES,
        clock_hz: 150_000_000,
        instructions_per_product: PORTABLE_INSTRUCTIONS,
        firmware: false,
    },
    Board {
        name: "stm32h743",
        core: "Cortex-M7",
        flash_bytes: 2 * MIB,
        firmware_bytes: 64 * KIB,
        // Of its 1 MiB, what is contiguous (AXI SRAM).
        ram_bytes: 512 * KIB,
        static_bytes: STATIC_BYTES,
        clock_hz: 480_000_000,
        instructions_per_product: PORTABLE_INSTRUCTIONS,
        firmware: false,
    },
];

impl Board {
    /// The board of a name.
    ///
    /// # Errors
    /// No such board, with those that there are.
    pub fn by_name(name: &str) -> anyhow::Result<&'static Self> {
        BOARDS.iter().find(|board| board.name == name).ok_or_else(|| {
            let all: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
            anyhow::anyhow!("there is no board {name:?}; known boards: {}", all.join(", "))
        })
    }
}
