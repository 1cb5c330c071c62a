//! The API over a real scheduler with real guests: who may do what, what is refused and how, and what two callers at once get.

mod access;
mod audit;
mod bad_input;
mod bulk_states;
mod cron_refusals;
mod crons;
mod cursors;
mod explain;
mod forecast;
mod framing;
mod grants;
mod namespaces;
mod rates;
mod registration;
mod requests;
mod selections;
mod unique;
mod versions;

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use runlater::http::Rates;
use runlater::scheduler::{NewToken, Role};
use runlater::{Grant, ManualClock, RunId, Scheduler, SchedulerBuilder, Timestamp};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::built;

/// A scheduler with the tasks of `behaviours`, its API, and a token for each role.
struct World {
    _folder: tempfile::TempDir,
    scheduler: Scheduler,
    router: Router,
    tokens: Vec<(Role, String)>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
    /// The body as it came.
    text: String,
}

impl World {
    async fn new() -> Self {
        Self::built(|builder| builder).await
    }

    /// The same, at this moment, by a clock that only the test moves.
    async fn at(moment: &str) -> (Self, ManualClock) {
        let clock = ManualClock::new(Timestamp::parse(moment, "moment").expect("a moment"));
        (Self::built(|builder| builder.clock(clock.clone())).await, clock)
    }

    async fn built(build: impl FnOnce(SchedulerBuilder) -> SchedulerBuilder) -> Self {
        static CODE: OnceLock<tempfile::TempDir> = OnceLock::new();
        let code = CODE.get_or_init(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"));
        let folder = tempfile::tempdir().expect("a folder");
        let builder = Scheduler::builder().sqlite(folder.path().join("runs.db")).threads(1).code_cache(code.path(), [7; 32]);
        let scheduler = build(builder).build().await.expect("it starts");
        let wasm = tokio::task::spawn_blocking(|| std::fs::read(built::guest("behaviours")).expect("it was built")).await.expect("read");
        scheduler.register(wasm).grant(Grant::Runs).send().await.expect("it is registered");
        let mut tokens = Vec::new();
        for role in Role::ALL {
            tokens.push((role, token(&scheduler, role).await));
        }
        // Some tests send more components in a minute than anybody should.
        let rates = Rates { uploads: None, ..Rates::default() };
        Self { _folder: folder, router: runlater::http::router(scheduler.clone(), rates), scheduler, tokens }
    }

    fn token(&self, role: Role) -> &str {
        &self.tokens.iter().find(|(own, _)| *own == role).expect("there is one for each").1
    }

    /// Sends a request as it is.
    async fn send(&self, request: Request<Body>) -> Answer {
        let answer = self.router.clone().oneshot(request).await.expect("the router always answers");
        let (head, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("the body is whole");
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("the body is JSON") };
        assert!(head.headers.contains_key("x-request-id") && head.headers["cache-control"] == "no-store");
        if !head.status.is_success() {
            assert_eq!(head.headers["content-type"], "application/problem+json");
            assert_eq!(body["status"], head.status.as_u16());
            assert_eq!(body["request_id"], head.headers["x-request-id"].to_str().expect("ASCII"));
        }
        assert!(!head.status.is_server_error(), "{body}");
        let text = String::from_utf8(bytes.into()).expect("JSON is UTF-8");
        Answer { status: head.status, headers: head.headers, body, text }
    }

    /// Sends JSON as an operator.
    async fn ask(&self, method: &str, path: &str, body: impl Into<Option<Value>>) -> Answer {
        let request = request(method, path, self.token(Role::Operator));
        self.send(match body.into() {
            Some(body) => request.header("content-type", "application/json").body(body.to_string().into()).expect("well-formed"),
            None => request.body(Body::empty()).expect("well-formed"),
        })
        .await
    }

    /// A run of `touch` that is due tomorrow.
    async fn scheduled(&self) -> RunId {
        self.scheduler.schedule("touch").after(std::time::Duration::from_secs(86_400)).send().await.expect("it is stored")
    }
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    /// All that the caller sees, byte for byte, but for the id of the request.
    fn seen(&self) -> (StatusCode, Vec<(String, String)>, String) {
        let id = self.headers["x-request-id"].to_str().expect("ASCII");
        let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).replace(id, "ID");
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        (self.status, headers, self.text.replace(id, "ID"))
    }

    /// The problem without what differs from request to request.
    fn problem(&self) -> Value {
        let mut problem = self.body.clone();
        problem.as_object_mut().expect("an object").remove("request_id").expect("it has one");
        problem
    }
}

async fn token(scheduler: &Scheduler, role: Role) -> String {
    scheduler.create_token(NewToken { role, note: String::new(), expires: None }).await.expect("it is stored").0.secret().into()
}

fn request(method: &str, path: &str, token: &str) -> axum::http::request::Builder {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"))
}

/// A request to schedule `touch` with these fields.
fn touch(fields: Value) -> Value {
    let mut body = json!({ "task": "touch" });
    body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    body
}
