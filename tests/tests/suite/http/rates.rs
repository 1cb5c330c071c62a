//! Who asks too often: told so, told when to come back, and nobody else suffers.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, request};
use runlater::http::{Peer, Rates};
use runlater::model::RateLimit;
use runlater::scheduler::Role;
use runlater::{ManualClock, Scheduler, Timestamp};
use tower::ServiceExt;

use super::token;

/// An API whose clock stands still until it is told to move.
struct Counted {
    _folder: tempfile::TempDir,
    clock: ManualClock,
    scheduler: Scheduler,
    router: Router,
}

impl Counted {
    async fn new(rates: Rates) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::parse("2033-05-18T03:33:20Z", "at").unwrap());
        let builder = Scheduler::builder().sqlite(folder.path().join("runs.db")).clock(clock.clone()).paused();
        let scheduler = builder.build().await.unwrap();
        Self { _folder: folder, clock, router: runlater::http::router(scheduler.clone(), rates), scheduler }
    }

    /// The status of a request with this token from there; of a refusal also its code, its words and when to come back.
    async fn ask(&self, token: &str, from: &str) -> (u16, String) {
        self.send(Request::get("/v1/tasks"), token, from, Body::empty()).await
    }

    async fn send(&self, request: request::Builder, token: &str, from: &str, body: Body) -> (u16, String) {
        // What a caller says of where it comes from is not believed: no proxy is trusted.
        let (address, name) = (std::net::Ipv4Addr::from_bits(fastrand::u32(..)), fastrand::u32(..));
        let request = request.header("x-forwarded-for", address.to_string()).header("forwarded", format!("for=_{name}"));
        let request = request.header("x-real-ip", address.to_string());
        let mut request = request.header("authorization", format!("Bearer {token}")).body(body).unwrap();
        request.extensions_mut().insert(Peer(from.parse::<IpAddr>().unwrap()));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (status, after) =
            (answer.status().as_u16(), answer.headers().get("retry-after").map(|after| after.to_str().unwrap().to_string()));
        if status != 429 {
            assert_eq!(after, None);
            return (status, String::new());
        }
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "rate-limited");
        (status, format!("{} after {}", body["detail"].as_str().unwrap(), after.expect("it says when to come back")))
    }
}

fn rate(text: &str) -> Option<RateLimit> {
    Some(RateLimit::parse(text, "rate").unwrap())
}

#[tokio::test]
async fn a_token_has_its_rate() {
    let world = Counted::new(Rates { token: rate("3/m"), address: None, failures: None, uploads: None }).await;
    let (busy, other) = (token(&world.scheduler, Role::Read).await, token(&world.scheduler, Role::Read).await);
    for _ in 0..3 {
        assert_eq!(world.ask(&busy, "192.0.2.1").await.0, 200);
    }
    let (status, said) = world.ask(&busy, "192.0.2.2").await;
    assert_eq!((status, said.as_str()), (429, "more than the token-rate of 3/m; wait 20 s, or ask the operator for more after 20"));
    assert_eq!(world.ask(&other, "192.0.2.1").await.0, 200, "another token has its own");
    // The clock that counts is the one that only passes: setting the time of day gives nobody more.
    world.clock.step_to(Timestamp::parse("2034-01-01T00:00:00Z", "at").unwrap());
    assert_eq!(world.ask(&busy, "192.0.2.1").await.0, 429);
    world.clock.advance(Duration::from_secs(20));
    assert_eq!((world.ask(&busy, "192.0.2.1").await.0, world.ask(&busy, "192.0.2.1").await.0), (200, 429));
}

#[tokio::test]
async fn an_address_has_its_rate_and_a_loopback_has_none() {
    let world = Counted::new(Rates { token: None, address: rate("2/s"), failures: None, uploads: None }).await;
    let (one, other) = (token(&world.scheduler, Role::Read).await, token(&world.scheduler, Role::Read).await);
    assert_eq!((world.ask(&one, "192.0.2.1").await.0, world.ask(&other, "192.0.2.1").await.0), (200, 200));
    let (status, said) = world.ask(&one, "::ffff:192.0.2.1").await;
    assert!(status == 429 && said.starts_with("more than the address-rate of 2/s; wait 1 s"), "{said}");
    assert_eq!(world.ask(&one, "192.0.2.2").await.0, 200);
    for address in ["2001:db8::1", "2001:db8::ffff:1"] {
        assert_eq!(world.ask(&one, address).await.0, 200);
    }
    assert_eq!(world.ask(&one, "2001:db8::2").await.0, 429, "the network counts, of which one has every address");
    for _ in 0..10 {
        assert_eq!((world.ask(&one, "127.0.0.1").await.0, world.ask(&one, "::1").await.0), (200, 200));
    }
}

#[tokio::test]
async fn a_namespace_is_sent_so_many_components() {
    let world = Counted::new(Rates { uploads: rate("2/m"), ..Rates::default() }).await;
    let other = world.scheduler.in_namespace("other").await.unwrap();
    let (one, second, other) =
        (token(&world.scheduler, Role::Deploy).await, token(&world.scheduler, Role::Admin).await, token(&other, Role::Deploy).await);
    let send = async |token: &str, query: &str, body| {
        let request = Request::post(format!("/v1/tasks{query}")).header("content-type", "application/wasm");
        world.send(request, token, "127.0.0.1", body).await
    };
    // One that is refused was sent all the same; what can't be one is not counted.
    assert_eq!((send(&one, "?grant=x", Body::empty()).await.0, send(&one, "", "no".into()).await.0), (422, 422));
    assert_eq!(send(&one, "?dry_run=true", "no".into()).await.0, 422);
    // Which is said before it is sent: this body never comes.
    let said = send(&second, "", Body::from_stream(futures_util::stream::pending::<Result<&[u8], std::io::Error>>())).await;
    assert_eq!(said, (429, "more than the upload-rate of 2/m; wait 30 s, or ask the operator for more after 30".into()));
    assert_eq!((send(&other, "", "no".into()).await.0, world.ask(&one, "127.0.0.1").await.0), (422, 200), "nobody else waits");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!((send(&one, "", "no".into()).await.0, send(&one, "", "no".into()).await.0), (422, 429));
}

#[tokio::test]
async fn who_guesses_tokens_must_wait() {
    let world = Counted::new(Rates { failures: rate("3/m"), ..Rates::default() }).await;
    let good = token(&world.scheduler, Role::Read).await;
    for (failures, of_others) in [(1, 200), (2, 200), (3, 429)] {
        assert_eq!(world.ask("rl_api_guess", "192.0.2.1").await.0, 401, "{failures}");
        assert_eq!(world.ask(&good, "192.0.2.1").await.0, of_others, "once they are used up, nothing is taken from there");
    }
    let said = world.ask("rl_api_guess", "192.0.2.1").await;
    assert!(said.0 == 429 && said.1.contains("failure-rate of 3/m"), "{said:?}");
    assert_eq!(world.ask("rl_api_guess", "192.0.2.2").await.0, 401);
    assert_eq!(world.ask("rl_api_guess", "127.0.0.1").await.0, 401);
    world.clock.advance(Duration::from_secs(20));
    assert_eq!(world.ask(&good, "192.0.2.1").await.0, 200);
}
