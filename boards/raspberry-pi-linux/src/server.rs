//! The assistant over HTTP, in the form of OpenAI's chat completions.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /v1/chat/completions` | a completion, or with `"stream": true` its pieces as server-sent events |
//! | `GET /v1/models`, `GET /v1/models/NAME` | the one model |
//! | `GET /healthz` | `ok` while the assistant can answer |
//!
//! One engine answers one question after the other; so many may wait as the assistant lets, and the next is told when to
//! come again. Who closes the connection cancels the answer. There is no encryption and no key: it listens to this
//! machine unless told otherwise, and whatever makes it public belongs in front of it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{interval, sleep, timeout};

mod body;
mod completion;
mod failure;
mod form;
mod route;

use crate::assistant::Assistant;
use body::Body;

/// What clients may do at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// From the beginning of a wait for a request to the end of its headers.
    pub headers: Duration,
    /// From there to the end of its body.
    pub body: Duration,
    /// Connections at a time; others wait in the system's queue.
    pub connections: usize,
    /// For answers that are being written when the server is to stop.
    pub goodbye: Duration,
}

impl Default for Bounds {
    /// 1 MiB, 10 seconds each, 64 connections, 20 seconds.
    fn default() -> Self {
        let patience = Duration::from_secs(10);
        Self {
            body_bytes: 1 << 20,
            headers: patience,
            body: patience,
            connections: 64,
            goodbye: Duration::from_secs(20),
        }
    }
}

/// Bytes of a request's headers at most.
const HEADER_BYTES: usize = 64 << 10;
/// How often it is looked whether the assistant is well.
const LOOK: Duration = Duration::from_secs(1);

/// What all connections share.
#[derive(Debug)]
struct Shared {
    assistant: Assistant,
    bounds: Bounds,
    /// Seconds since 1970 when the server began, which is when the model came to be there.
    began: u64,
    /// Completions so far.
    completions: AtomicU64,
}

impl Shared {
    /// A name for a completion that no other has, of this server.
    fn next_name(&self) -> String {
        let number = self.completions.fetch_add(1, Ordering::Relaxed);
        format!("chatcmpl-{:x}-{number}", self.began)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Serves until `stop` is there, then lets the answers that are being written come to their end.
///
/// # Errors
/// The assistant has stopped by itself.
pub async fn serve(
    listener: TcpListener,
    assistant: Assistant,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let connections = Arc::new(Semaphore::new(bounds.connections));
    let began = now();
    let shared = Arc::new(Shared { assistant, bounds, began, completions: AtomicU64::new(0) });
    let graceful = GracefulShutdown::new();
    let (mut stop, mut look) = (pin!(stop), interval(LOOK));
    loop {
        tokio::select! {
            (stream, permit) = next(&listener, &connections) => {
                connection(&shared, &graceful, stream, permit);
            }
            _ = look.tick() => {
                if !shared.assistant.is_running() {
                    bail!("the assistant has stopped; what it said stands above");
                }
            }
            () = &mut stop => break,
        }
    }
    drop(listener);
    // Who has not finished by then is cut off with the program.
    _ = timeout(bounds.goodbye, graceful.shutdown()).await;
    Ok(())
}

/// The next connection, once there is room for one.
async fn next(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Nobody closes the semaphore.
    let permit = Arc::clone(connections).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // A client that has gone again, or no more file descriptors: the next one may fare better.
            Err(error) => {
                eprintln!("sprat-serve: cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one connection beside all others.
fn connection(
    shared: &Arc<Shared>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    permit: Option<OwnedSemaphorePermit>,
) {
    // Pieces of an answer are small, and to be seen at once. A system that cannot do that sends them a little later.
    _ = stream.set_nodelay(true);
    let state = Arc::clone(shared);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&state);
        async move { Ok::<Response<Body>, Infallible>(route::respond(&shared, request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(shared.bounds.headers).max_buf_size(HEADER_BYTES);
    let served = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        // What a client did wrong it was told, where it could be; the rest is that it has gone.
        _ = served.await;
        drop(permit);
    });
}
