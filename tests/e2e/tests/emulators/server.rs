//! The server of a Raspberry Pi under Linux, as a static program on the emulated cores of its boards: over HTTP it answers
//! what the laptop answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::{Value, json};
use sprat_e2e::{missing, repository};
use sprat_emulator::firmware::Progress;
use sprat_tools::ask::{AskOptions, ask};
use sprat_tools::emulate::linux::{self, build_program};
use sprat_tools::import::OpenOptions;
use sprat_tools::model::Model;

/// Boards with different cores, and the kernels that each is to choose.
const BOARDS: [(&str, &str); 2] = [("raspberry-pi-3", "neon"), ("raspberry-pi-5", "dotprod")];
const QUESTIONS: [&str; 3] =
    ["What is 17 times 23?", "What is the temperature?", "What is the capital of France?"];
const SENSOR: &str = "temp=21.5";

/// A server on an emulated core, until it is dropped.
struct Server {
    child: Child,
    address: String,
    /// What it said about itself.
    said: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().rsplit("http://").next().unwrap().to_owned();
        Self { child, address, said }
    }

    /// The body of what is answered with status 200.
    fn post(&self, body: &Value) -> String {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The older version has no pieces with their lengths.
        let head = "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length:";
        write!(stream, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK"), "{reply}");
        body.to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn the_static_server_answers_as_the_laptop() {
    let test = "the_static_server_answers_as_the_laptop";
    if let Some(missing) = missing(linux::EMULATOR, linux::TARGET) {
        println!("SKIP {test}: {missing}");
        return;
    }
    let program = build_program("raspberry-pi-linux", "sprat-serve", &[], "dev", Progress::Silent).unwrap();
    let path = repository().join("models/assistant/assistant-q8.sprat");
    let model = Model::open(&path, &OpenOptions::default(), &ProgressBar::hidden()).unwrap();
    let expected = QUESTIONS.map(|question| {
        let options = AskOptions {
            question: question.to_owned(),
            sensors: vec![SENSOR.to_owned()],
            max_tokens: 256,
            ..AskOptions::default()
        };
        ask(&model, &options, &mut |_| {}).unwrap().chain
    });
    for ((board, kernels), threads) in BOARDS.into_iter().zip(["1", "2"]) {
        let mut command = linux::find(board).unwrap().command(&program);
        command.arg("--model").arg(&path).args(["--listen", "127.0.0.1:0", "--threads", threads]);
        let mut server = Server::start({
            command.args(["--sensor", SENSOR]);
            command
        });
        assert!(server.said.contains(&format!("kernels {kernels}, {threads} threads")), "{}", server.said);
        for (question, expected) in QUESTIONS.into_iter().zip(&expected) {
            let messages = json!([{"role": "user", "content": question}]);
            let whole: Value = serde_json::from_str(&server.post(&json!({"messages": messages}))).unwrap();
            assert_eq!(whole["choices"][0]["message"]["content"], **expected, "{board}");
            let pieces = server.post(&json!({"messages": messages, "stream": true}));
            let events = pieces.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
            let (mut text, mut last) = (String::new(), "");
            for event in events {
                let piece: Option<Value> = serde_json::from_str(event).ok();
                let piece = piece.map(|piece| piece["choices"][0]["delta"]["content"].clone());
                text += piece.as_ref().and_then(Value::as_str).unwrap_or_default();
                last = event;
            }
            assert_eq!((&text, last), (expected, "[DONE]"), "{board}");
        }
        // As systemd ends it.
        let number = server.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &number]).status().unwrap().success());
        assert!(server.child.wait().unwrap().success(), "{board}");
    }
}
