//! One run of a test program on an emulated core.
//!
//! A machine gets request and model in its memory before it starts, a Linux process gets a file. An emulator that
//! does not come to its end is stopped.

use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sprat_board_support::protocol::Request;

use super::{Core, Emulator, Output, trace};

/// What a core is to do.
#[derive(Clone, Copy, Debug)]
pub enum Job<'a> {
    /// Compare every kernel with the portable one.
    Battery,
    /// Count every tracked workload.
    Count,
    /// Answer with a model.
    Model(&'a Question<'a>),
}

/// A question to a model.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The packed file.
    pub model: &'a Path,
    /// Tokens of context.
    pub context: u32,
    /// What is asked.
    pub request: Request<'a>,
    /// Cores that work together; more than one on Linux only.
    pub cores: u32,
    /// Whether to count the instructions of a Linux process, which takes several times as long. A machine always
    /// counts.
    pub counted: bool,
}

/// Bytes before the model in what a program gets, as the programs have it.
const REQUEST_BYTES: usize = 4096;

/// After which an emulator has gone astray: several times what the slowest job takes on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(900);

/// The end of the name of the function that marks where counting begins and ends.
const MARK: &str = "sprat_on_target_linux4mark";

impl Core {
    /// Builds the program with the core's own kernels, runs a job and returns what came of it.
    ///
    /// # Errors
    /// As [`run_with`](Self::run_with).
    pub fn run(&self, job: Job<'_>) -> Result<Output> {
        self.run_with(None, job)
    }

    /// The same with kernels of another name.
    ///
    /// # Errors
    /// A program that does not build, does not end, or ends with an error, with what it printed.
    pub fn run_with(&self, kernels: Option<&str>, job: Job<'_>) -> Result<Output> {
        let program = self.build(kernels)?;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let input = folder.path().join("input");
        let bytes = match job {
            Job::Model(question) => write_input(question, &input)?,
            Job::Battery | Job::Count => 0,
        };
        match self.emulator {
            Emulator::Machine { name, input: address, .. } => {
                let mut command = Command::new(self.program());
                command
                    .args(["-machine", name, "-icount", "shift=0", "-display", "none", "-monitor", "none"]);
                command.args(["-serial", "none"]).arg("-kernel").arg(&program);
                let arguments = match job {
                    Job::Battery => "battery".to_owned(),
                    Job::Count => "count".to_owned(),
                    Job::Model(question) => {
                        let place = format!("loader,file={},addr={address:#x},force-raw=on", input.display());
                        command.args(["-device", &place]);
                        format!("model,arg={address},arg={bytes},arg={}", question.context)
                    }
                };
                let semihosting = format!("enable=on,target=native,arg=sprat,arg={arguments}");
                command.args(["-semihosting-config", &semihosting]).stderr(Stdio::piped());
                Output::parse(&self.printed(command, |_| Ok(()))?)
            }
            Emulator::Process { cpu } => {
                let mut command = Command::new(self.program());
                command.args(["-cpu", cpu]);
                let counted = match job {
                    Job::Battery => false,
                    Job::Count => true,
                    Job::Model(question) => question.counted,
                };
                if counted {
                    command.args(["-d", "in_asm,nochain,exec", "-D", "/dev/stderr"]);
                }
                command.arg(&program);
                match job {
                    Job::Battery => command.arg("battery"),
                    Job::Count => command.arg("count"),
                    Job::Model(Question { context, cores, .. }) => {
                        command.arg("model").arg(&input).args([context.to_string(), cores.to_string()])
                    }
                };
                let mut between = Vec::new();
                command.stderr(Stdio::piped());
                let printed = self.printed(command, |child| {
                    if counted {
                        let log = child.stderr.take().context("no log")?;
                        between = trace::between_marks(BufReader::new(log), MARK)?;
                    }
                    Ok(())
                })?;
                let mut output = Output::parse(&printed)?;
                if counted {
                    output.set_counts(&between)?;
                }
                Ok(output)
            }
        }
    }

    /// Runs an emulator to its end and returns its standard output; `listen` takes what else it says.
    fn printed(&self, mut command: Command, listen: impl FnOnce(&mut Child) -> Result<()>) -> Result<String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program()))?;
        let mut stream = child.stdout.take().context("no standard output")?;
        let reader = thread::spawn(move || std::io::read_to_string(&mut stream));
        let deadline = Instant::now() + TIME_LIMIT;
        listen(&mut child)?;
        let status = loop {
            if let Some(status) = child.try_wait().context("lost the emulator")? {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().context("cannot stop the emulator")?;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let printed = reader.join().ok().context("the reader panicked")?.context("cannot read the output")?;
        let complaint = child.stderr.take().map(std::io::read_to_string).transpose()?.unwrap_or_default();
        ensure!(status.success(), "{} ended with {status}: {printed}{complaint}", self.name);
        Ok(printed)
    }
}

/// Writes request and model as the programs expect them and returns the bytes.
fn write_input(question: &Question<'_>, path: &Path) -> Result<usize> {
    let mut bytes = vec![0; REQUEST_BYTES];
    postcard::to_slice(&question.request, &mut bytes)
        .with_context(|| format!("a request is longer than {REQUEST_BYTES} bytes"))?;
    let model = question.model;
    bytes.extend(fs::read(model).with_context(|| format!("cannot read {}", model.display()))?);
    fs::write(path, &bytes).context("cannot hand over the model")?;
    Ok(bytes.len())
}
