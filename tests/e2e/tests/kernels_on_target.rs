//! The kernels of the Cortex-M cores, on those cores as QEMU emulates them: every one gives the bits of the portable
//! kernel, and the q8 product costs no more instructions than it should.
//!
//! Instructions under `-icount` are exactly repeatable, so the bounds have no slack for noise.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sprat_e2e::repository;

/// A core: QEMU's machines that have it, how its firmware is built, and what it should do.
struct Core {
    /// The machine that the firmware's memory is for, and others with the same memory.
    machines: &'static [&'static str],
    target: &'static str,
    cpu: &'static str,
    kernels: &'static str,
    /// Most instructions for a product of a q8 matrix of 128 x 512 in groups of 64, in hundredths.
    bound: u64,
}

/// M4F and M7 run the same firmware.
const M4_AND_M7: Core = Core {
    machines: &["mps2-an386", "mps2-an500"],
    target: "thumbv7em-none-eabihf",
    cpu: "cortex-m4",
    kernels: "dsp",
    bound: 112,
};

const M33: Core = Core {
    machines: &["mps2-an505"],
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m33",
    kernels: "dsp",
    bound: 112,
};

const M55: Core = Core {
    machines: &["mps3-an547"],
    target: "thumbv8m.main-none-eabihf",
    cpu: "cortex-m55",
    kernels: "mve",
    bound: 20,
};

impl Core {
    /// The compiler vectorizes what has no kernel of its own, where there are vectors.
    fn profile(&self) -> &'static str {
        if self.kernels == "mve" { "firmware-vectors" } else { "firmware" }
    }
}

/// Whether the emulator and the target are there; says so when not.
fn can_run(test: &str, core: &Core) -> bool {
    let emulator = Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).status();
    let library = Command::new("rustc").args(["--print", "target-libdir", "--target", core.target]).output();
    let target = library.is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir());
    let works = emulator.is_ok_and(|status| status.success()) && target;
    if !works {
        println!("SKIP {test}: qemu-system-arm or the target {} is missing (cargo xtask setup)", core.target);
    }
    works
}

/// Builds the firmware for the core's first machine and returns what it prints on each machine.
fn outputs(core: &Core) -> Vec<String> {
    let folder = repository().join("target/on-target").join(core.cpu);
    let built = Command::new("cargo")
        .current_dir(repository())
        .args([
            "build",
            "--quiet",
            "--profile",
            core.profile(),
            "--package",
            "sprat-on-target",
            "--target",
            core.target,
        ])
        .arg("--target-dir")
        .arg(&folder)
        .env("SPRAT_MACHINE", core.machines[0])
        .env("RUSTFLAGS", format!("-C target-cpu={}", core.cpu))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .unwrap();
    assert!(built.success(), "the firmware for {} does not build", core.cpu);
    let elf = folder.join(core.target).join(core.profile()).join("sprat-on-target");
    core.machines.iter().map(|machine| run(machine, &elf)).collect()
}

/// Boots the firmware, stops an emulator that hangs, and returns what was printed.
fn run(machine: &str, elf: &Path) -> String {
    let mut emulator = Command::new("qemu-system-arm")
        .args([
            "-M",
            machine,
            "-nographic",
            "-icount",
            "shift=0",
            "-semihosting-config",
            "enable=on,target=native",
        ])
        .arg("-kernel")
        .arg(elf)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while emulator.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            emulator.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = emulator.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{machine} ended with {}: {printed}", output.status);
    printed
}

fn check(test: &str, core: &Core) {
    if !can_run(test, core) {
        return;
    }
    for (machine, printed) in core.machines.iter().zip(outputs(core)) {
        println!("{machine}:\n{printed}");
        assert!(printed.starts_with(&format!("machine {} kernels {}\n", core.machines[0], core.kernels)));
        let cases =
            printed.lines().find_map(|line| line.strip_prefix("battery ")?.strip_suffix(" cases equal"));
        assert!(cases.unwrap().parse::<u32>().unwrap() > 3000);
        let product =
            printed.lines().find(|line| line.contains("rows: 128, cols: 512, group: 64, tokens: 1")).unwrap();
        let mut numbers = product.split(' ').skip(2).map(|word| word.parse::<u64>());
        let (products, instructions) = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
        assert_eq!(products, 128 * 512);
        assert!(instructions * 100 <= products * core.bound, "{instructions} for {products} products");
        assert!(instructions * 100 > products * core.bound / 4, "{instructions} cannot be right");
    }
}

#[test]
fn m4_and_m7_give_the_portable_bits_within_their_instructions() {
    check("m4_and_m7", &M4_AND_M7);
}

#[test]
fn m33_gives_the_portable_bits_within_its_instructions() {
    check("m33", &M33);
}

#[test]
fn m55_gives_the_portable_bits_within_its_instructions() {
    check("m55", &M55);
}
