//! `sprat flash` and `sprat monitor` with programs in place of the real ones that write down how they were called, and with
//! a folder in place of a board's drive.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sprat_board_support::slots::{Header, MODEL_OFFSET};
use sprat_tools::fixture::{VOCAB_SIZE, write_llama2c, write_tokenizer_bin};
use tempfile::TempDir;

/// A packed file, and a folder of programs.
struct Workshop {
    directory: TempDir,
}

/// Writes down its arguments and keeps what it is to write. When it is to read, it says what lies in a file of the name
/// of the address.
const PROBE_RS: &str = r#"#!/bin/sh
echo "probe-rs $*" >> "$LOG"
if [ "$1" = read ]; then cat "$FLASH/$5"; exit; fi
for last; do :; done
if [ "$1 $4" = "download --binary-format" ]; then cp "$last" "$FLASH/written-$7"; fi
exit "${PROBE_RS_FAILS:-0}"
"#;

/// The same; what it reads goes to the file that is named last.
const ESPFLASH: &str = r#"#!/bin/sh
echo "espflash $*" >> "$LOG"
for last; do :; done
if [ "$1" = read-flash ]; then head -c 32 /dev/zero > "$last"; fi
if [ "$1" = write-bin ]; then cp "$last" "$FLASH/written-$4"; fi
"#;

/// The same.
const STM32_PROGRAMMER: &str = r#"#!/bin/sh
echo "STM32_Programmer_CLI $*" >> "$LOG"
while [ $# -gt 0 ]; do
  case "$1" in
    -u) head -c "$3" /dev/zero > "$4" ;;
    -w) case "$3" in 0x*) cp "$2" "$FLASH/written-$3" ;; esac ;;
  esac
  shift
done
"#;

const NRF_A: &str = "0x24000";
const NRF_B: &str = "0x92000";
const ERASED: &str =
    "ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff\n";

impl Workshop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        write_llama2c(directory.path(), 1, true).unwrap();
        write_tokenizer_bin(directory.path(), VOCAB_SIZE).unwrap();
        let shop = Self { directory };
        for folder in ["programs", "flash", "empty", "drive"] {
            fs::create_dir(shop.path(folder)).unwrap();
        }
        for (name, script) in
            [("probe-rs", PROBE_RS), ("espflash", ESPFLASH), ("STM32_Programmer_CLI", STM32_PROGRAMMER)]
        {
            let program = shop.path("programs").join(name);
            fs::write(&program, script).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(shop.run(&["pack", "tiny.bin", "-o", "tiny.sprat"]).status.success());
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str], programs: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
        command.args(arguments).current_dir(self.directory.path());
        // The scripts need a shell and its friends, which lie where probe-rs does not on a machine that tests.
        let system = if programs == "empty" { "" } else { ":/usr/bin:/bin" };
        command.env("PATH", format!("{}{system}", self.path(programs).display()));
        command.env("LOG", self.path("log")).env("FLASH", self.path("flash"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments, "programs").output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn fail(&self, arguments: &[&str], parts: &[&str]) {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        let message = errors.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(parts.iter().all(|part| message.contains(part)), "{arguments:?}: {errors}");
    }

    /// What the programs were called with, with the temporary folder of the files left out; forgets it.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        _ = fs::remove_file(self.path("log"));
        let name = |word: &str| match word.starts_with('/') {
            true => Path::new(word).file_name().unwrap().to_string_lossy().into_owned(),
            false => word.to_owned(),
        };
        log.lines().map(|line| line.split(' ').map(name).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Lets the board's flash have a slot with a header.
    fn has_header(&self, address: &str, header: Option<Header>) {
        let hexadecimal = |header: Header| -> String {
            let bytes = header.to_bytes();
            // In the form of a table, as newer versions of probe-rs write it.
            let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
            bytes.chunks(8).map(|bytes| format!("00000000: {}\n", line(bytes))).collect()
        };
        fs::write(self.path("flash").join(address), header.map_or(ERASED.into(), hexadecimal)).unwrap();
    }

    fn written(&self, address: &str) -> Vec<u8> {
        fs::read(self.path("flash").join(format!("written-{address}"))).unwrap()
    }
}

fn read(address: &str) -> String {
    format!("probe-rs read --chip nRF52840_xxAA b8 {address} 32")
}

fn download(address: &str, file: &str) -> String {
    format!(
        "probe-rs download --chip nRF52840_xxAA --binary-format bin --base-address {address} --verify {file}"
    )
}

#[test]
fn a_model_goes_to_the_slot_that_is_not_in_use_and_its_header_comes_last() {
    let shop = Workshop::new();
    let packed = fs::read(shop.path("tiny.sprat")).unwrap();
    assert!(packed.len() > 8192, "more than a sector");
    shop.has_header(NRF_A, Some(Header { sequence: 41, model_bytes: 9, model_checksum: 9 }));
    shop.has_header(NRF_B, Some(Header { sequence: 40, model_bytes: 9, model_checksum: 9 }));
    shop.succeed(&["flash", "nrf52840", "--model", "tiny.sprat"]);
    assert_eq!(
        shop.log(),
        [
            read(NRF_A),
            read(NRF_B),
            download("0x93000", "model-rest.bin"),
            download("0x92000", "model-first.bin"),
            "probe-rs reset --chip nRF52840_xxAA".into(),
        ]
    );
    let (first, rest) = (shop.written("0x92000"), shop.written("0x93000"));
    let header = Header::of(&packed, 42).unwrap();
    assert_eq!(first[..32], header.to_bytes());
    assert_eq!(first.len(), 4096);
    let content = [&first[MODEL_OFFSET as usize..], &rest].concat();
    assert_eq!(content[..packed.len()], packed);
    assert!(content[packed.len()..].iter().all(|byte| *byte == 0xff));

    shop.has_header(NRF_A, None);
    shop.has_header(NRF_B, None);
    shop.succeed(&["flash", "nrf52840", "--model", "tiny.sprat"]);
    assert!(shop.log().contains(&download(NRF_A, "model-first.bin")));
    assert_eq!(shop.written(NRF_A)[..32], Header::of(&packed, 1).unwrap().to_bytes());
    shop.succeed(&["flash", "nrf52840", "--model", "tiny.sprat", "--slot", "b"]);
    assert!(shop.log().contains(&download(NRF_B, "model-first.bin")));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let shop = Workshop::new();
    let arguments =
        ["flash", "nrf52840", "--model", "tiny.sprat", "--slot", "b", "--dry-run", "--files", "out"];
    let said = shop.succeed(&arguments);
    assert_eq!(shop.log(), Vec::<String>::new());
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            read(NRF_A),
            read(NRF_B),
            download("0x93000", "out/model-rest.bin"),
            download("0x92000", "out/model-first.bin"),
            "probe-rs reset --chip nRF52840_xxAA".into(),
        ]
    );
    assert_eq!(fs::read(shop.path("out/model-first.bin")).unwrap().len(), 4096);
    let said = shop.succeed(&["flash", "rp2350", "--model", "tiny.sprat", "--slot", "b", "--dry-run"]);
    assert!(said.contains("DRIVE/model.uf2"), "{said}");
}

/// The firmware of a made-up board: one segment of 16 bytes.
fn write_elf(path: &Path) {
    let mut elf = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0".to_vec();
    let words =
        |elf: &mut Vec<u8>, words: &[u32]| words.iter().for_each(|word| elf.extend(word.to_le_bytes()));
    words(&mut elf, &[1, 0, 52, 0, 0]);
    elf.extend([52u16, 32, 1, 40, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    words(&mut elf, &[1, 84, 0x1000_0000, 0x1000_0000, 16, 16, 5, 4]);
    elf.extend([7; 16]);
    fs::write(path, elf).unwrap();
}

#[test]
fn a_firmware_comes_before_its_model_and_is_watched_with_its_elf() {
    let shop = Workshop::new();
    write_elf(&shop.path("firmware.elf"));
    let both = ["flash", "esp32-c3", "--firmware", "firmware.elf", "--model", "tiny.sprat"];
    shop.succeed(&both);
    let log = shop.log();
    assert_eq!(
        log,
        [
            "espflash read-flash --chip esp32c3 0x110000 32 header.bin",
            "espflash read-flash --chip esp32c3 0x288000 32 header.bin",
            "espflash flash --chip esp32c3 firmware.elf",
            "espflash write-bin --chip esp32c3 0x111000 model-rest.bin",
            "espflash write-bin --chip esp32c3 0x110000 model-first.bin",
            "espflash reset --chip esp32c3",
        ]
    );
    shop.succeed(&["flash", "stm32h743", "--firmware", "firmware.elf"]);
    assert_eq!(
        shop.log(),
        [
            "probe-rs download --chip STM32H743ZITx --verify firmware.elf",
            "probe-rs reset --chip STM32H743ZITx"
        ]
    );
    shop.succeed(&["monitor", "rp2350", "--firmware", "firmware.elf"]);
    assert_eq!(shop.log(), ["probe-rs attach --chip RP235x firmware.elf"]);
    let said = shop.succeed(&["monitor", "esp32-c6", "--firmware", "firmware.elf", "--dry-run"]);
    assert_eq!(said, "espflash monitor --chip esp32c6 --log-format defmt --elf firmware.elf\n");
    shop.fail(&["monitor", "nrf52840", "--firmware", "no.elf"], &["there is no no.elf", "texts of its log"]);
}

#[test]
fn flash_outside_of_the_chip_is_written_with_a_loader() {
    let shop = Workshop::new();
    write_elf(&shop.path("firmware.elf"));
    let board = ["flash", "stm32f746-qspi"];
    let both = [&board[..], &["--firmware", "firmware.elf", "--model", "tiny.sprat"]].concat();
    shop.succeed(&both);
    let call = |rest: &str| {
        format!("STM32_Programmer_CLI -c port=SWD mode=UR -q -el N25Q128A_STM32F746G-DISCO.stldr {rest}")
    };
    assert_eq!(
        shop.log(),
        [
            call("-u 0x90000000 32 header.bin"),
            call("-u 0x90800000 32 header.bin"),
            call("-w firmware.elf -v"),
            call("-w model-first.bin 0x90000000 -v"),
            call("-rst"),
        ]
    );
    let packed = fs::read(shop.path("tiny.sprat")).unwrap();
    let written = shop.written("0x90000000");
    assert_eq!(written[..32], Header::of(&packed, 1).unwrap().to_bytes());
    assert_eq!(written[MODEL_OFFSET as usize..][..packed.len()], packed);
}

/// The blocks of a file in UF2 form: family, address, content.
fn blocks(file: &[u8]) -> Vec<(u32, u32, &[u8])> {
    let word = |block: &[u8], at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
    file.chunks(512).map(|block| (word(block, 28), word(block, 12), &block[32..288])).collect()
}

#[test]
fn a_pico_gets_a_file_on_its_drive() {
    let shop = Workshop::new();
    write_elf(&shop.path("firmware.elf"));
    let flash = ["flash", "rp2350", "--drive", "drive", "--model", "tiny.sprat"];
    shop.fail(&flash, &["--slot a or --slot b", "--tool probe-rs"]);
    let flash = [&flash[..], &["--slot", "b"]].concat();
    shop.fail(&flash, &["drive is not the drive of an RP2350", "INFO_UF2.TXT"]);
    fs::write(shop.path("drive/INFO_UF2.TXT"), "UF2 Bootloader v1.0\nBoard-ID: RP2350\n").unwrap();
    shop.succeed(&flash);
    let file = fs::read(shop.path("drive/model.uf2")).unwrap();
    let blocks_of_model = blocks(&file);
    let packed = fs::read(shop.path("tiny.sprat")).unwrap();
    // Slot B lies 1,920 KiB behind the beginning of the memory for models; its first sector is the file's end.
    let begin = 0x1004_0000 + 1920 * 1024;
    let (rest, first) = blocks_of_model.split_at(blocks_of_model.len() - 16);
    assert!(blocks_of_model.iter().all(|(family, ..)| *family == 0xe48b_ff57));
    assert!(first.iter().map(|(_, at, _)| *at).eq((begin..begin + 4096).step_by(256)));
    assert!(rest.iter().map(|(_, at, _)| *at).eq((begin + 4096..).step_by(256).take(rest.len())));
    let content: Vec<u8> = first.iter().chain(rest).flat_map(|(_, _, bytes)| bytes.to_vec()).collect();
    assert_eq!(content[MODEL_OFFSET as usize..][..packed.len()], packed);
    let header = Header::read(content.first_chunk().unwrap()).unwrap();
    assert!(header.sequence > 100_000_000 && header.model_bytes as usize == packed.len());
    shop.succeed(&["flash", "rp2350", "--drive", "drive", "--firmware", "firmware.elf"]);
    let file = fs::read(shop.path("drive/firmware.uf2")).unwrap();
    assert_eq!(blocks(&file), [(0xe48b_ff59, 0x1000_0000, &[&[7; 16][..], &[255; 240]].concat()[..])]);
    assert_eq!(shop.log(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_flashed_is_refused_with_what_to_do() {
    let shop = Workshop::new();
    shop.fail(&["flash", "nrf52840"], &["nothing to flash", "--model", "--firmware"]);
    shop.fail(&["flash", "qemu-mps2-an386", "--model", "tiny.sprat"], &["emulated", "sprat emulate"]);
    shop.fail(&["flash", "blinky", "--model", "tiny.sprat"], &["no board \"blinky\""]);
    shop.fail(&["flash", "nrf52840", "--model", "tiny.bin"], &["tiny.bin is no packed file", "sprat pack"]);
    shop.fail(&["flash", "nrf52840", "--firmware", "tiny.bin"], &["tiny.bin is no firmware", "no ELF"]);
    shop.fail(&["flash", "nrf52840", "--model", "tiny.sprat", "--drive", "drive"], &["probe-rs"]);
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assistant/assistant-q8.sprat");
    shop.has_header(NRF_A, None);
    shop.has_header(NRF_B, None);
    shop.fail(&["flash", "nrf52840", "--model", model], &["a slot has room for 450,304"]);
    let mut damaged = fs::read(shop.path("tiny.sprat")).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(shop.path("damaged.sprat"), damaged).unwrap();
    shop.fail(&["flash", "nrf52840", "--model", "damaged.sprat"], &["damaged.sprat", "section DATA"]);
    _ = shop.log();

    for (board, program, line) in [
        ("nrf52840", "probe-rs", "cargo install probe-rs-tools --locked"),
        ("esp32-c3", "espflash", "cargo install espflash --locked"),
        ("stm32f746-qspi", "STM32_Programmer_CLI", "installer of STM32CubeProgrammer"),
    ] {
        let mut command = shop.command(&["flash", board, "--model", "tiny.sprat"], "empty");
        let errors = String::from_utf8(command.output().unwrap().stderr).unwrap();
        assert!(errors.contains(&format!("{program} is not installed")) && errors.contains(line), "{errors}");
    }
    let mut command = shop.command(&["flash", "nrf52840", "--model", "tiny.sprat"], "programs");
    let output = command.env("PROBE_RS_FAILS", "1").output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && errors.contains("failed (exit status: 1)"), "{errors}");
    // The first failure ends it: the header is not written.
    assert_eq!(shop.log().last(), Some(&download("0x25000", "model-rest.bin")));
}
