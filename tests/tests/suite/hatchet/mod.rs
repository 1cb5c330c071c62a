//! The door for Hatchet's SDKs: the SDKs themselves, as they are published (`official`), and over plain connections what they would not send
//! (`rest`, `grpc`, `flood`).

mod flood;
mod grpc;
mod official;
mod rest;
mod sdks;

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use runlater::http::Rates;
use runlater::scheduler::{NewToken, Role};
use runlater::{Clock, Grant, ManualClock, RunId, Scheduler, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::built;

/// A host that serves both doors, with the tasks of `seed` and `behaviours`.
struct World {
    folder: tempfile::TempDir,
    scheduler: Scheduler,
    address: SocketAddr,
    /// A run whose time passed while no host was running.
    missed: RunId,
    /// Held: when it is dropped, the host stops.
    _stop: oneshot::Sender<()>,
    _serving: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        static CODE: OnceLock<tempfile::TempDir> = OnceLock::new();
        let code = CODE.get_or_init(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"));
        let folder = tempfile::tempdir().expect("a folder");
        let builder = || Scheduler::builder().sqlite(folder.path().join("runs.db")).threads(1).code_cache(code.path(), [7; 32]);
        let guests = ["seed", "behaviours"];
        let read = move || guests.map(|guest| std::fs::read(built::guest(guest)).expect("it was built"));
        let wasm = tokio::task::spawn_blocking(read).await.expect("they are read");

        // A host that stopped two hours ago, and a run for an hour ago.
        let now = SystemClock::new().now();
        let clock = ManualClock::new(now.saturating_sub(Duration::from_secs(7_200)));
        let earlier = builder().clock(clock).build().await.expect("it starts");
        register(&earlier, &wasm).await;
        let missed = earlier.schedule("simple").after(Duration::from_secs(3_600)).input(&json!({})).expect("JSON");
        let missed = missed.send().await.expect("it is stored");
        earlier.shutdown(Duration::ZERO).await.expect("it stops");

        let scheduler = builder().build().await.expect("it starts");
        register(&scheduler.in_namespace("other").await.expect("a namespace"), &wasm[..1]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one");
        let (stop, stopped) = oneshot::channel::<()>();
        let mut serving = JoinSet::new();
        let served = runlater::http::serve_with(runlater::hatchet::doors(), scheduler.clone(), Rates::default(), listener, async {
            drop(stopped.await);
        });
        serving.spawn(async { served.await.expect("it serves") });
        Self { folder, scheduler, address, missed, _stop: stop, _serving: serving }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client token as `runlater token create --hatchet` gets it, for the namespace that `scheduler` is bound to.
    async fn client_token(&self, scheduler: &Scheduler, role: Role) -> String {
        let admin = NewToken { role: Role::Admin, note: String::new(), expires: None };
        let admin = scheduler.create_token(admin).await.expect("it is stored").0;
        let body = json!({ "token": { "role": role.as_str() }, "server_url": self.url() }).to_string();
        let (status, answer) = self.ask("POST", runlater::hatchet::token::PATH, admin.secret(), Some(&body)).await;
        assert_eq!(status, 201, "{answer}");
        answer["token"].as_str().expect("a token").into()
    }

    /// Sends a request over a connection of its own, and reads the answer.
    async fn ask(&self, method: &str, path: &str, token: &str, body: Option<&str>) -> (u16, Value) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        if !token.is_empty() {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        if let Some(body) = body {
            request += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.write_all(format!("{request}\r\n{}", body.unwrap_or("")).as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it answers");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") })
    }

    /// The ids of all runs of the default namespace that somebody asked for.
    async fn asked_for(&self) -> u64 {
        let filter = runlater::RunFilter { origins: vec![runlater::model::Origin::Api], ..Default::default() };
        self.scheduler.count(&filter).await.expect("it is counted")
    }
}

async fn register(scheduler: &Scheduler, components: &[Vec<u8>]) {
    for wasm in components {
        scheduler.register(wasm.clone()).grant(Grant::Runs).send().await.expect("it is registered");
    }
}
