//! The server, in this process and over real connections: what it answers, what it refuses, and who waits for whom.
#![cfg(feature = "server")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

mod client;

use client::{CHAT, Reply, Running, bounds, post};

const STORY: &str = "Tell me a story about a dog.";
const SUM: &str = "What is 17 times 23?";

#[test]
fn a_completion_is_the_assistants_answer() {
    let server = Running::new(8, bounds());
    for question in [SUM, "What is the temperature?", "What is the capital of France?", STORY] {
        let expected = server.assistant.ask(question).unwrap();
        let reply = server.ask(json!({"model": "assistant-q8"}), question);
        assert_eq!(reply.content(), expected.text);
        let body = reply.json();
        assert_eq!((&body["object"], &body["model"]), (&json!("chat.completion"), &json!("assistant-q8")));
        let choice = &body["choices"][0];
        assert_eq!(
            (&choice["message"]["role"], &choice["finish_reason"]),
            (&json!("assistant"), &json!("stop"))
        );
        let written = expected.written_tokens + expected.inserted_tokens;
        let read = expected.read_tokens;
        let usage =
            json!({"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written});
        assert_eq!(body["usage"], usage);
        assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
        assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    }
    let short = server.ask(json!({"max_tokens": 4}), STORY).json();
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(short["usage"]["completion_tokens"], 4);
    let seeded = || server.ask(json!({"temperature": 0.9, "seed": 7, "top_p": 0.9}), STORY).content();
    assert_eq!(seeded(), seeded());
    // A conversation is answered as a whole.
    let turns = json!([{"role": "user", "content": SUM}, {"role": "assistant", "content": "391"},
                       {"role": "user", "content": "What is 2 plus 2?"}]);
    let reply = server.post(&json!({"messages": turns}).to_string());
    let alone = server.ask(json!({}), "What is 2 plus 2?").json();
    let read = |body: &Value| body["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(read(&reply.json()) > read(&alone));
}

#[test]
fn a_stream_is_the_same_answer_in_pieces() {
    let server = Running::new(8, bounds());
    for question in [SUM, STORY] {
        let expected = server.ask(json!({}), question);
        let fields = json!({"stream": true, "stream_options": {"include_usage": true}});
        let reply = server.ask(fields, question);
        let mut events = reply.events();
        assert_eq!(events.pop(), Some("[DONE]"));
        let pieces: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
        assert!(pieces.len() > 5, "{pieces:?}");
        let same = |name: &str| pieces.iter().all(|piece| piece[name] == pieces[0][name]);
        assert!(same("id") && same("created") && same("model"));
        assert!(pieces.iter().all(|piece| piece["object"] == "chat.completion.chunk"));
        assert_eq!(pieces[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
        let text: String =
            pieces.iter().filter_map(|piece| piece["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, expected.content());
        let [.., last, usage] = &pieces[..] else { panic!() };
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert_eq!((&usage["usage"], &usage["choices"]), (&expected.json()["usage"], &json!([])));
    }
    let plain = server.ask(json!({"stream": true}), SUM);
    assert!(!plain.body.contains("usage"));
}

#[test]
fn several_at_once_wait_for_each_other() {
    let server = Running::new(8, bounds());
    let expected = [SUM, STORY].map(|question| server.assistant.ask(question).unwrap().text);
    thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|number| {
                let server = &server;
                let streams = number % 4 < 2;
                let ask = move || server.ask(json!({"stream": streams}), [SUM, STORY][number % 2]);
                (number, streams, scope.spawn(ask))
            })
            .collect();
        for (number, streams, reply) in asked {
            let reply = reply.join().unwrap();
            let text = match streams {
                false => reply.content(),
                true => {
                    let events = reply.events();
                    let pieces = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
                    let text = |piece: Value| {
                        piece["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
                    };
                    pieces.map(text).collect()
                }
            };
            assert_eq!(text, expected[number % 2]);
        }
    });
}

/// Keeps the assistant busy until what is returned is dropped.
fn busy(server: &Running) -> std::sync::mpsc::Sender<()> {
    use std::ops::ControlFlow;
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let on = move |_| {
        _ = begun.send(());
        // Until nobody holds it up any more.
        _ = may_go_on.recv();
        ControlFlow::Break(())
    };
    server.assistant.submit(SUM, on).unwrap();
    has_begun.recv().unwrap();
    go_on
}

#[test]
fn whoever_comes_when_all_places_are_taken_is_told_when_to_come_again() {
    let server = Running::new(1, bounds());
    let hold = busy(&server);
    let waits = server.assistant.answer(SUM).unwrap();
    let reply = server.ask(json!({}), SUM);
    let (status, code, message) = reply.error();
    assert_eq!((status, &*code, &*message), (429, "queue_full", "1 questions wait already: ask again later"));
    assert!(reply.head.contains("retry-after: 1"), "{reply:?}");
    drop(hold);
    let expected = waits.finish().unwrap().text;
    assert_eq!(server.ask(json!({}), SUM).content(), expected);
}

#[test]
fn whoever_disconnects_is_not_answered() {
    let server = Running::new(1, bounds());
    for (streams, disconnects) in [(false, true), (true, true), (false, false)] {
        let before = server.reads.load(Ordering::SeqCst);
        let hold = busy(&server);
        let mut stream = server.connect();
        let messages = json!([{"role": "user", "content": "What is the temperature?"}]);
        stream.write_all(&post(&json!({"stream": streams, "messages": messages}).to_string())).unwrap();
        // It has the one place when nobody else gets it.
        let taken = (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            server.ask(json!({"max_tokens": 1}), SUM).status == 429
        });
        assert!(taken);
        if disconnects {
            stream.shutdown(Shutdown::Both).unwrap();
            // Until the server has noticed.
            thread::sleep(Duration::from_millis(500));
        }
        drop(hold);
        let next = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            Some(server.ask(json!({}), SUM)).filter(|reply| reply.status == 200)
        });
        assert_eq!(next.unwrap().content(), server.assistant.ask(SUM).unwrap().text);
        // The thermometer was read for whom was there.
        let read = server.reads.load(Ordering::SeqCst) - before;
        assert_eq!(read, u32::from(!disconnects), "stream: {streams}");
    }
}

#[test]
fn what_is_wrong_is_said_in_openais_form() {
    let server = Running::new(8, bounds());
    let (status, code, message) = server.post("{").error();
    assert_eq!((status, &*code), (400, "invalid_value"));
    assert!(message.contains("EOF while parsing"), "{message}");
    let (status, code, message) = server.ask(json!({"model": "gpt"}), SUM).error();
    assert_eq!((status, &*code), (404, "model_not_found"));
    assert_eq!(message, r#"there is no model "gpt"; the one that is served is "assistant-q8""#);
    for streams in [false, true] {
        let long = server.ask(json!({"stream": streams}), &"word ".repeat(300));
        let (status, code, message) = long.error();
        assert_eq!((status, &*code), (400, "context_length_exceeded"));
        assert!(message.contains("the context has 256"), "{message}");
    }
    let (status, _, message) =
        server.post(r#"{"messages": [{"role": "assistant", "content": "a"}]}"#).error();
    assert_eq!(status, 400);
    assert!(message.contains("no place for a message of assistant"), "{message}");
    assert_eq!(server.ask(json!({}), &"word ".repeat(5000)).error().0, 413);
    // The length is not always said before.
    let chunk = "x".repeat(0x7000);
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\nContent-Type: application/json\r\n"
    );
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n7000\r\n{chunk}\r\n0\r\n\r\n");
    assert_eq!(server.exchange(chunked.as_bytes()).error().0, 413);
    // What a page in a browser may send to anybody.
    let form =
        format!("POST {CHAT} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
    assert_eq!(server.exchange(form.as_bytes()).error().0, 415);
    for (path, allow) in
        [(CHAT, "allow: post"), ("/v1/models", "allow: get, head"), ("/healthz", "allow: get, head")]
    {
        let request =
            format!("PUT {path} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let reply = server.exchange(request.as_bytes());
        assert_eq!(reply.error().0, 405);
        assert!(reply.head.contains(allow), "{reply:?}");
    }
    assert_eq!(server.get("/").error().0, 404);
    assert_eq!(server.get("/v1/models/gpt").error().0, 404);
    // Nothing of this stays.
    assert_eq!(server.ask(json!({}), SUM).content(), server.assistant.ask(SUM).unwrap().text);
}

#[test]
fn the_model_and_the_health_are_told() {
    let server = Running::new(8, bounds());
    let models = server.get("/v1/models").json();
    assert_eq!(models["object"], "list");
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][0]["object"]),
        (&json!("assistant-q8"), &json!("model"))
    );
    assert_eq!(server.get("/v1/models/assistant-q8").json(), models["data"][0]);
    let health = server.get("/healthz");
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    let head = server.exchange(b"HEAD /healthz HTTP/1.1\r\nHost: pi\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, &*head.body), (200, ""));
}

#[test]
fn the_slow_are_not_waited_for() {
    let server = Running::new(8, bounds());
    let begun = Instant::now();
    let mut silent = server.connect();
    silent.write_all(b"POST /v1/chat").unwrap();
    let mut nothing = Vec::new();
    _ = silent.read_to_end(&mut nothing);
    assert!(nothing.is_empty() || Reply::parse(&nothing).status == 408, "{nothing:?}");
    let unfinished = post(&json!({"messages": []}).to_string());
    let reply = server.exchange(&unfinished[..unfinished.len() - 1]);
    assert_eq!(reply.error().0, 408);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_answer_that_has_begun_is_finished_before_the_end() {
    let mut server = Running::new(8, bounds());
    let expected = server.assistant.ask(STORY).unwrap().text;
    let hold = busy(&server);
    let mut stream = server.connect();
    let messages = json!([{"role": "user", "content": STORY}]);
    stream.write_all(&post(&json!({"messages": messages}).to_string())).unwrap();
    thread::sleep(Duration::from_millis(200));
    _ = server.stop.take().map(|stop| stop.send(()));
    thread::sleep(Duration::from_millis(200));
    assert!(TcpStream::connect(server.address).is_err(), "nobody new is let in");
    drop(hold);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(Reply::parse(&bytes).content(), expected);
    assert!(server.stop().unwrap().is_ok());
}

#[test]
fn a_server_whose_assistant_has_stopped_ends_with_an_error() {
    let mut server = Running::new(8, bounds());
    // Whoever is called back runs in the assistant's thread.
    server.assistant.submit(SUM, |_| std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
    let thread = server.thread.take().unwrap();
    let error = thread.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("the assistant has stopped"), "{error}");
    assert!(!server.assistant.is_running());
}
