//! The firmware of a real Raspberry Pi without an operating system, on QEMU's Raspberry Pi 3: over its serial line it
//! answers what the laptop answers, with what the GPU says of the temperature.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use sprat_board_support::memory::RASPBERRY_PI_BARE;
use sprat_e2e::{missing, repository};
use sprat_tools::ask::{AskOptions, ask};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;

const EMULATOR: &str = "qemu-system-aarch64";
const QUESTIONS: [&str; 3] =
    ["What is 17 times 23?", "What is the temperature?", "What is the capital of France?"];
/// What QEMU's GPU says.
const SENSOR: &str = "temp=25.0";
/// For an answer; a laptop that has nothing else to do needs a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// A board that is switched on, until it is dropped.
struct Board {
    child: Child,
    to_board: ChildStdin,
    from_board: Receiver<Vec<u8>>,
}

impl Board {
    /// Builds the firmware without the watchdog, as QEMU's resets at once, and boots it.
    fn boot() -> Self {
        let folder = repository().join("boards/real").join(RASPBERRY_PI_BARE.name);
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&folder).args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--no-default-features",
        ]);
        for foreign in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "SPRAT_MODEL", "SPRAT_CONTEXT", "SPRAT_ISA"] {
            cargo.env_remove(foreign);
        }
        // A folder of its own, or this build and the one whose size is measured would undo each other.
        let target = repository().join("target/raspberry-pi-bare");
        let built = cargo.arg("--target-dir").arg(&target).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let firmware: PathBuf =
            [RASPBERRY_PI_BARE.target, "release", RASPBERRY_PI_BARE.name].iter().collect();
        let mut qemu = Command::new(EMULATOR);
        qemu.args(["-machine", "raspi3b", "-display", "none", "-monitor", "none", "-serial", "stdio"]);
        qemu.arg("-kernel").arg(target.join(firmware)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = qemu.spawn().unwrap();
        let (to_board, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, from_board) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 256];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if tell.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, to_board, from_board }
    }

    /// What comes up to the next prompt.
    fn until_prompt(&mut self) -> String {
        let mut text = Vec::new();
        while text != b"> " && !text.ends_with(b"\n> ") {
            let more = self.from_board.recv_timeout(PATIENCE);
            text.extend(more.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text))));
        }
        String::from_utf8(text).unwrap().replace("\r\n", "\n")
    }

    /// Types a line as a person does, whose bytes come one by one, and returns what stands behind its echo.
    fn say(&mut self, line: &str) -> String {
        for byte in line.bytes().chain([b'\r']) {
            self.to_board.write_all(&[byte]).unwrap();
            self.to_board.flush().unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        let said = self.until_prompt();
        said.strip_prefix(line).unwrap_or_else(|| panic!("no echo of {line:?} in {said:?}")).to_owned()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_bare_raspberry_pi_answers_as_the_laptop() {
    let test = "a_bare_raspberry_pi_answers_as_the_laptop";
    if let Some(missing) = missing(EMULATOR, RASPBERRY_PI_BARE.target) {
        println!("SKIP {test}: {missing}");
        return;
    }
    let path = repository().join("models/assistant/assistant-q8.sprat");
    let model = Model::open(&path, &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
    let mut board = Board::boot();
    assert_eq!(board.until_prompt(), "> ");
    for question in QUESTIONS {
        let options = AskOptions {
            question: question.to_owned(),
            sensors: vec![SENSOR.to_owned()],
            ..AskOptions::default()
        };
        let expected = ask(&model, &options, &mut |_| {}).unwrap().chain;
        let said = board.say(question);
        let (answer, took) = said.rsplit_once("\n[").unwrap_or_else(|| panic!("{said}"));
        assert_eq!(answer.strip_prefix('\n'), Some(&*expected));
        assert!(took.starts_with("end token: read ") && took.contains(", written "), "{took}");
    }
}
