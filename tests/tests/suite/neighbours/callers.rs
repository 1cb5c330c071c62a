//! Attacks by those who have a token of their own namespace, or none.

use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use super::Attack;
use super::host::Host;

/// The name of each attack, which is that of its namespace.
pub(super) const ATTACKS: [(&str, Attack); 8] = [
    ("silent", |host, _| hold(host, 300, b"")),
    ("preface", |host, _| hold(host, 300, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")),
    ("refused", |host, _| hold(host, 300, b"GET /v1/runs HTTP/1.1\r\nHost: localhost\r\n\r\n")),
    ("unread", unread),
    ("lists", |host, name| ask_again(host, name, 4, "GET", "/v1/runs?order=trigger_at&limit=500", "")),
    ("forecasts", forecasts),
    ("uploads", uploads),
    ("tokens", |host, name| ask_again(host, name, 2, "POST", "/v1/tokens", &json!({ "role": "read", "note": "one more" }).to_string())),
];

/// Threads that go on until this is dropped.
#[derive(Default)]
struct UnderWay {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl UnderWay {
    fn add(&mut self, mut step: impl FnMut() + Send + 'static) {
        let over = self.over.clone();
        self.threads.push(std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                step();
            }
        }));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn connect(url: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(url.strip_prefix("http://").expect("a plain URL"))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    Ok(stream)
}

/// So many connections that send this and then nothing; each is replaced when the host closes it.
fn hold(host: &Host, connections: usize, sent: &'static [u8]) -> Box<dyn Any> {
    let (url, mut under_way) = (host.url.clone(), UnderWay::default());
    let mut held: Vec<Option<TcpStream>> = (0..connections).map(|_| None).collect();
    under_way.add(move || {
        for place in &mut held {
            let closed = place.as_mut().is_none_or(|stream| {
                let mut seen = [0; 1 << 10];
                stream.set_nonblocking(true).is_err() || matches!(stream.read(&mut seen), Ok(0)) // What it says is of no interest; whether it hangs up is.
            });
            if closed {
                *place = connect(&url).ok().filter(|stream| (&mut &*stream).write_all(sent).is_ok());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    });
    Box::new(under_way)
}

/// One request after another on each of so many connections, whatever the answer.
fn ask_again(host: &Host, name: &str, connections: usize, method: &'static str, path: &'static str, body: &str) -> Box<dyn Any> {
    let token = host.namespace(name, &["hello"]);
    let mut client = host.client(&token);
    let run = json!({ "task": "hello", "input": { "name": "Ada" }, "after": "1d" }).to_string();
    for _ in 0..2_000 {
        assert_eq!(client.ask("POST", "/v1/runs", &run).expect("the host answers").status, 201);
    }
    let mut under_way = UnderWay::default();
    for _ in 0..connections {
        let (mut client, body) = (host.client(&token), body.to_string());
        under_way.add(move || drop(client.ask(method, path, &body)));
    }
    Box::new(under_way)
}

/// Large answers that nobody reads.
fn unread(host: &Host, name: &str) -> Box<dyn Any> {
    let token = host.namespace(name, &["behaviours"]);
    let mut client = host.client(&token);
    let run = json!({ "task": "touch", "input": "x".repeat(100_000), "after": "1d" }).to_string();
    for _ in 0..100 {
        assert_eq!(client.ask("POST", "/v1/runs", &run).expect("the host answers").status, 201);
    }
    let request = format!("GET /v1/runs?limit=500 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
    let (url, mut held, mut under_way) = (host.url.clone(), Vec::new(), UnderWay::default());
    under_way.add(move || {
        // As many as there may be, and none of them reads.
        match connect(&url) {
            Ok(stream) if held.len() < 200 && (&mut &stream).write_all(request.as_bytes()).is_ok() => held.push(stream),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    });
    Box::new(under_way)
}

/// Forecasts over crons that fire each second.
fn forecasts(host: &Host, name: &str) -> Box<dyn Any> {
    let token = host.namespace(name, &["hello"]);
    let mut client = host.client(&token);
    for number in 0..500 {
        let cron = json!({ "name": format!("c{number}"), "task": "hello", "expression": "* * * * * *", "input": { "name": "Ada" }, "start": "2100-01-01T00:00:00Z" });
        let made = client.ask("POST", "/v1/crons", &cron.to_string()).expect("the host answers");
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let mut under_way = UnderWay::default();
    for _ in 0..4 {
        let mut client = host.client(&token);
        under_way.add(move || drop(client.ask("GET", "/v1/forecast?from=2100-01-01T00:00:00Z&until=2100-12-31T00:00:00Z", "")));
    }
    Box::new(under_way)
}

/// Components that are announced large and sent slowly, and dry runs of what has to be compiled.
fn uploads(host: &Host, name: &str) -> Box<dyn Any> {
    let token = host.namespace(name, &[]);
    let wasm = std::fs::read(crate::built::guest("hostile")).expect("it was built");
    let mut under_way = UnderWay::default();
    for _ in 0..8 {
        let (url, token, wasm) = (host.url.clone(), token.clone(), wasm.clone());
        under_way.add(move || {
            let Ok(mut stream) = connect(&url) else { return };
            let head = format!(
                "POST /v1/tasks?dry_run=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\n\r\n",
                30 << 20
            );
            let _ = stream.write_all(head.as_bytes());
            for _ in 0..30 {
                if stream.write_all(&wasm).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }
    Box::new(under_way)
}
