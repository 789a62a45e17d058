//! `sprat-serve`: a packed model over HTTP, in the form of OpenAI's chat completions.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use raspberry_pi_linux::server::{Bounds, serve};
use raspberry_pi_linux::{Assistant, Options, Pi, Told};
use tokio::net::TcpListener;
use tokio::runtime;

/// Answers questions with a packed model over HTTP, in the form of OpenAI's chat completions.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// The packed model.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where to listen; port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Threads that compute; one for each core by default, at most 8.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tokens of context; those that the model was packed for by default.
    #[arg(long, value_name = "N")]
    context: Option<u32>,
    /// Questions that may wait while one is answered.
    #[arg(long, value_name = "N", default_value_t = Options::default().waiting)]
    waiting: usize,
    /// Lets the system move the threads from core to core.
    #[arg(long)]
    unpinned: bool,
    /// What a sensor reads, `temp,kitchen=23.4`, in place of the board's own; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    sensor: Vec<String>,
    /// The light that the model sets, a folder as in /sys/class/leds, in place of the board's own.
    #[arg(long, value_name = "FOLDER", conflicts_with = "sensor")]
    light: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sprat-serve: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let options = Options {
        context: arguments.context,
        threads: arguments.threads.unwrap_or(Options::default().threads),
        pinned: !arguments.unpinned,
        waiting: arguments.waiting,
    };
    let assistant = if arguments.sensor.is_empty() {
        let pi = Pi::found();
        let pi = arguments.light.map_or_else(|| pi.clone(), |light| pi.clone().with_light(light));
        Assistant::open(&arguments.model, options, pi)?
    } else {
        Assistant::open(&arguments.model, options, Told(arguments.sensor.join("\n")))?
    };
    // One thread for all connections: the others are the assistant's.
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the system has no event queue for connections")?;
    runtime.block_on(async {
        let stop = stop().context("cannot listen for signals")?;
        let listener = TcpListener::bind(arguments.listen).await;
        let listener = listener.with_context(|| {
            format!("cannot listen to {}: choose another with --listen", arguments.listen)
        })?;
        let about = assistant.about();
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{}: {} tokens of context, kernels {}, {} threads; listening on http://{}",
            about.model,
            about.context_tokens,
            about.kernels,
            about.threads,
            listener.local_addr().context("cannot tell the address")?
        )
        .context("cannot write to the standard output")?;
        drop(out);
        serve(listener, assistant, Bounds::default(), stop).await
    })
}

/// Ends when somebody wants the program to end: systemd, or a person at the keyboard.
#[cfg(unix)]
fn stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The same where there is only the keyboard.
#[cfg(not(unix))]
fn stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nobody can say it then.
            std::future::pending::<()>().await;
        }
    })
}
