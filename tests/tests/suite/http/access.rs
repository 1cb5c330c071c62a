//! Who may call what, and what those learn who may not.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use runlater::scheduler::Role;
use serde_json::json;

use super::{World, request, token};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

#[tokio::test]
async fn every_endpoint_asks_for_its_role() {
    let world = World::new().await;
    let mut refusals = Vec::new();
    for endpoint in runlater::http::endpoints() {
        let path = endpoint.path.replace("{id}", NOBODY).replace("{name}", "no-such-task");
        let without = Request::builder().method(&endpoint.method).uri(&path).body(Body::empty()).unwrap();
        let answer = world.send(without).await;
        let Some(needs) = endpoint.needs else {
            assert_eq!(answer.status, StatusCode::OK, "{path} is public");
            continue;
        };
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.headers.contains_key("www-authenticate"));
        refusals.push(answer.problem());
        for (role, token) in &world.tokens {
            let answer = world.send(request(endpoint.method.as_str(), &path, token).body(Body::empty()).unwrap()).await;
            // Whoever may call is refused for another reason, if at all: there is nothing in these requests.
            let may = !matches!(answer.status.as_u16(), 401 | 403 | 405);
            assert_eq!(may, role.allows(needs), "{} {path} as {role}: {}", endpoint.method, answer.body);
            assert!(may || answer.code() == "forbidden");
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "one text for all: {refusals:?}");
}

#[tokio::test]
async fn one_answer_for_every_bad_token() {
    let world = World::new().await;
    let admin = world.token(Role::Admin);
    let revoked = token(&world.scheduler, Role::Read).await;
    let id = world.scheduler.tokens().await.unwrap().last().unwrap().id.clone();
    world.scheduler.revoke_token(&id).await.unwrap();
    let changed = admin.replace("rl_api_", "rl_api_0")[..admin.len()].to_string();
    let headers = [
        vec![],
        vec!["".to_string()],
        vec!["Bearer".into()],
        vec!["Bearer ".into()],
        vec![format!("Basic {admin}")],
        vec![admin.to_string()],
        vec![format!("Bearer {}", admin.to_uppercase())],
        vec![format!("Bearer {admin} ")],
        vec![format!("Bearer\t{admin}")],
        vec![format!("Bearer \u{f6}{admin}")],
        vec![format!("Bearer {}", "x".repeat(10_000))],
        vec![format!("Bearer {changed}")],
        vec![format!("Bearer {revoked}")],
        vec![format!("Bearer {admin}"), format!("Bearer {admin}")],
    ];
    let mut answers = Vec::new();
    // An address that does not exist looks no different from outside.
    for (values, path) in headers.iter().map(|values| (values, "/v1/runs")).chain([(&vec![], "/v1/nothing")]) {
        let request = values.iter().fold(Request::builder().uri(path), |request, value| request.header("authorization", value.as_bytes()));
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{values:?}");
        answers.push(answer.seen());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    for query in [format!("token={admin}"), "access_token=x".into(), format!("task={admin}")] {
        let answer = world.send(Request::builder().uri(format!("/v1/runs?{query}")).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "token-in-url"));
        assert!(!answer.body.to_string().contains(admin));
    }
}

#[tokio::test]
async fn how_a_token_is_written_and_until_when_it_is_one() {
    let world = World::new().await;
    let clock = runlater::ManualClock::new(runlater::Timestamp::parse("2033-05-18T03:33:20Z", "at").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let builder = runlater::Scheduler::builder().sqlite(folder.path().join("runs.db")).clock(clock.clone()).paused();
    let scheduler = builder.build().await.unwrap();
    let expires = Some(scheduler.now().saturating_add(std::time::Duration::from_secs(60)));
    let new = runlater::scheduler::NewToken { role: Role::Read, note: String::new(), expires };
    let token = scheduler.create_token(new).await.unwrap().0.secret().to_string();
    let world = World { router: runlater::http::router(scheduler.clone(), Default::default()), scheduler, ..world };
    let status = async |scheme: &str| {
        let request = Request::builder().uri("/v1/tasks").header("authorization", format!("{scheme} {token}"));
        world.send(request.body(Body::empty()).unwrap()).await
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(status(scheme).await.status, StatusCode::OK, "{scheme}");
    }
    let nobody = world.send(Request::builder().uri("/v1/tasks").body(Body::empty()).unwrap()).await.seen();
    clock.advance(std::time::Duration::from_secs(60));
    let expired = status("Bearer").await;
    assert_eq!((expired.status, expired.seen()), (StatusCode::UNAUTHORIZED, nobody), "that it was one is not told");
}

#[tokio::test]
async fn pages_of_other_origins_get_nothing() {
    let world = World::new().await;
    let foreign = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("origin", "https://evil.example");
        request.header("access-control-request-method", "POST").header("access-control-request-headers", "authorization")
    };
    let preflight = world.send(foreign("OPTIONS", "/v1/runs").body(Body::empty()).unwrap()).await;
    assert_eq!(preflight.status, StatusCode::UNAUTHORIZED);
    // A form sends what cookies there are, and no token: there are no cookies here that anybody looks at.
    let cookie = foreign("POST", "/v1/runs").header("cookie", format!("token={}", world.token(Role::Admin)));
    let form = world.send(cookie.header("content-type", "text/plain").body("{\"task\":\"touch\"}".into()).unwrap()).await;
    assert_eq!((form.status, form.code()), (StatusCode::FORBIDDEN, "csrf"));
    assert!(form.body["detail"].as_str().unwrap().contains("Authorization: Bearer"), "{}", form.body);
    // Who has a token got it from somebody, and may well be a page: what they read is between them and their browser.
    let told = foreign("POST", "/v1/runs").header("authorization", format!("Bearer {}", world.token(Role::Admin)));
    let told = world.send(told.header("content-type", "text/plain").body("{\"task\":\"touch\"}".into()).unwrap()).await;
    assert_eq!(told.code(), "media-type");
    let with_token = foreign("OPTIONS", "/v1/runs").header("authorization", format!("Bearer {}", world.token(Role::Admin)));
    let with_token = world.send(with_token.body(Body::empty()).unwrap()).await;
    assert_eq!(with_token.status, StatusCode::METHOD_NOT_ALLOWED);
    for answer in [preflight, form, told, with_token] {
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{:?}", answer.headers);
    }
    assert_eq!(world.scheduler.count(&Default::default()).await.unwrap(), 0);
}

#[tokio::test]
async fn what_belongs_to_others_does_not_exist() {
    let world = World::new().await;
    let run = world.scheduled().await.to_string();
    let others = world.scheduler.in_namespace("others").await.unwrap();
    let stranger = token(&others, Role::Admin).await;
    let own_token = world.scheduler.tokens().await.unwrap()[0].id.clone();
    let reschedule = json!({ "after": "1h" });
    for (method, path, body) in [
        ("GET", "/v1/runs/{}", None),
        ("GET", "/v1/runs/{}/wait?timeout=1ms", None),
        ("GET", "/v1/runs/{}/attempts", None),
        ("PATCH", "/v1/runs/{}", Some(&reschedule)),
        ("DELETE", "/v1/runs/{}", None),
        ("POST", "/v1/runs/{}/trigger", None),
        ("POST", "/v1/runs/{}/cancel", None),
    ] {
        let mut answers = Vec::new();
        for id in [run.as_str(), NOBODY] {
            let request = request(method, &path.replace("{}", id), &stranger).header("content-type", "application/json");
            let answer = world.send(request.body(body.map_or_else(Body::empty, |body| body.to_string().into())).unwrap()).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.body);
            let (status, headers, text) = answer.seen();
            answers.push((status, headers, text.replace(id, "its id")));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    for (method, path, names) in [
        ("GET", "/v1/tasks/{}", ["touch", "nobody"]),
        ("POST", "/v1/tasks/{}/resume", ["touch", "nobody"]),
        ("DELETE", "/v1/tokens/{}", [&own_token, "00000000"]),
        ("GET", "/v1/audit?run={}", [&run, NOBODY]),
        ("GET", "/v1/runs?parent={}", [&run, NOBODY]),
    ] {
        let mut answers = Vec::new();
        for name in names {
            let answer = world.send(request(method, &path.replace("{}", name), &stranger).body(Body::empty()).unwrap()).await;
            let (status, headers, text) = answer.seen();
            answers.push((status, headers, text.replace(name, "its name")));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    let as_stranger = async |method: &str, path: &str| world.send(request(method, path, &stranger).body(Body::empty()).unwrap()).await;
    assert_eq!(as_stranger("GET", "/v1/runs").await.body["runs"], json!([]));
    assert_eq!(as_stranger("GET", "/v1/tasks").await.body["tasks"], json!([]));
    assert_eq!(as_stranger("GET", "/v1/tasks/touch").await.status, StatusCode::NOT_FOUND);
    assert_eq!(as_stranger("DELETE", &format!("/v1/tokens/{own_token}")).await.status, StatusCode::NOT_FOUND);
    let copy = request("POST", "/v1/backup", &stranger).header("content-type", "application/json");
    assert_eq!(world.send(copy.body(json!({ "path": "/tmp/no-such-copy.db" }).to_string().into()).unwrap()).await.code(), "forbidden");
    // None of that did anything.
    assert_eq!(world.ask("GET", &format!("/v1/runs/{run}"), None).await.body["status"], "scheduled");
}

#[tokio::test]
async fn how_long_an_answer_takes_does_not_tell_what_exists() {
    let world = World::new().await;
    let run = world.scheduled().await.to_string();
    let stranger = token(&world.scheduler.in_namespace("others").await.unwrap(), Role::Admin).await;
    // Both are the same query, which finds no row of that namespace and id; nothing is read before it. What is left is noise, and this would notice
    // a second query, not a cache line.
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..500 {
        for (id, times) in [run.as_str(), NOBODY].into_iter().zip(&mut times) {
            let request = request("GET", &format!("/v1/runs/{id}"), &stranger).body(Body::empty()).unwrap();
            let start = std::time::Instant::now();
            assert_eq!(world.send(request).await.status, StatusCode::NOT_FOUND);
            times.push(start.elapsed());
        }
    }
    let [others, nobodys] = times.map(|mut times| {
        times.sort();
        times[250]
    });
    assert!(others < nobodys * 3 && nobodys < others * 3, "{others:?} and {nobodys:?}");
}

#[tokio::test]
async fn a_namespace_has_so_many_tokens() {
    let world = World::built(|builder| builder.tokens(Role::ALL.len() as u64 + 1)).await;
    let create = async || world.ask("POST", "/v1/tokens", json!({ "role": "read" })).await;
    let created = create().await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    let refused = create().await;
    assert_eq!((refused.status, refused.code()), (StatusCode::TOO_MANY_REQUESTS, "quota-exceeded"));
    // Each change holds for the next request, and for no other token.
    let as_new = async || {
        let token = created.body["token"].as_str().unwrap();
        world.send(request("GET", "/v1/runs", token).body(Body::empty()).unwrap()).await.status
    };
    assert_eq!(as_new().await, StatusCode::OK);
    let id = created.body["id"].as_str().unwrap();
    assert_eq!(world.ask("DELETE", &format!("/v1/tokens/{id}"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(as_new().await, StatusCode::UNAUTHORIZED);
    assert_eq!(create().await.status, StatusCode::CREATED);
}
