//! A server in a thread of this process, and a client that knows as much of HTTP as it needs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raspberry_pi_linux::server::{Bounds, serve};
use raspberry_pi_linux::{Assistant, Device, Options, Told};
use serde_json::{Value, json};
use sprat::tools::{Text, ToolError};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

pub const CHAT: &str = "/v1/chat/completions";

/// A server in a thread, until it is dropped.
pub struct Running {
    pub address: SocketAddr,
    pub assistant: Assistant,
    /// How often the thermometer was read.
    pub reads: Arc<AtomicU32>,
    pub stop: Option<oneshot::Sender<()>>,
    pub thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Counts how often it is read.
struct Thermometer(Arc<AtomicU32>);

impl Device for Thermometer {
    fn read(&mut self, sensor: &str, place: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Told("temp=21.5".to_owned()).read(sensor, place, out)
    }

    fn set(&mut self, _: &str, _: &str, _: &mut Text<'_>) -> Result<(), ToolError> {
        Ok(())
    }
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/assistant/assistant-q8.sprat")
}

/// What tests need no patience for.
pub fn bounds() -> Bounds {
    let patience = Duration::from_millis(500);
    Bounds { body_bytes: 20_000, headers: patience, body: patience, ..Bounds::default() }
}

impl Running {
    pub fn new(waiting: usize, bounds: Bounds) -> Self {
        let options = Options { threads: 1, pinned: false, waiting, ..Options::default() };
        let reads = Arc::new(AtomicU32::new(0));
        let assistant = Assistant::open(model(), options, Thermometer(Arc::clone(&reads))).unwrap();
        let served = assistant.clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, served, bounds, async { _ = stopped.await }).await
            })
        });
        Self { address: told.recv().unwrap(), assistant, reads, stop: Some(stop), thread: Some(thread) }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes and reads until the server closes the connection.
    pub fn exchange(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect();
        // The server may have refused the request before it was sent whole.
        _ = stream.write_all(request);
        let mut bytes = Vec::new();
        _ = stream.read_to_end(&mut bytes);
        Reply::parse(&bytes)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\n\r\n").as_bytes())
    }

    pub fn post(&self, body: &str) -> Reply {
        self.exchange(&post(body))
    }

    pub fn ask(&self, mut fields: Value, question: &str) -> Reply {
        fields["messages"] = json!([{"role": "user", "content": question}]);
        self.post(&fields.to_string())
    }

    /// Ends it, and says how it ended.
    pub fn stop(&mut self) -> Option<anyhow::Result<()>> {
        _ = self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(|thread| thread.join().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.stop();
    }
}

pub fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.contains("transfer-encoding: chunked");
        let body = if is_chunked { dechunked(body) } else { body.to_owned() };
        Self { status, head, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        assert!(["invalid_request_error", "server_error"].contains(&&*text("type")));
        (self.status, text("code"), text("message"))
    }

    /// The text of a whole completion.
    pub fn content(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
    }

    /// The data of server-sent events.
    pub fn events(&self) -> Vec<&str> {
        assert!(self.head.contains("content-type: text/event-stream"), "{self:?}");
        let events = self.body.strip_suffix("\n\n").unwrap().split("\n\n");
        events.map(|event| event.strip_prefix("data: ").unwrap()).collect()
    }
}

fn dechunked(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, chunk)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &chunk[..size];
        rest = chunk[size..].strip_prefix("\r\n").unwrap();
    }
    whole
}
