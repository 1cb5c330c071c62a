//! Bad input over REST, which no SDK sends: each is told what is wrong in the form that the SDKs read, and changes nothing.

use runlater::scheduler::Role;
use serde_json::{Value, json};

use super::World;

/// The one error of a refusal: its field, and its description.
#[track_caller]
fn refusal(name: &str, body: &Value) -> (String, String) {
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{name}: {body}"));
    assert_eq!(errors.len(), 1, "{name}: {body}");
    let description = errors[0]["description"].as_str().expect("text");
    assert_eq!(body["message"], description, "{name}");
    (errors[0]["field"].as_str().unwrap_or("").into(), description.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_change_nothing() {
    let world = World::new().await;
    let token = world.client_token(&world.scheduler, Role::Write).await;
    let tenant = tenant(&world, &token).await;
    let of = |rest: &str| format!("/api/v1/tenants/{tenant}/workflows{rest}");
    let (create, bulk_delete, bulk_update) = (of("/simple/scheduled"), of("/scheduled/bulk-delete"), of("/scheduled/bulk-update"));
    let (unknown, unknown_id) = (of("/scheduled/9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10"), "9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10");
    let run = world.scheduler.schedule("simple").after(std::time::Duration::from_secs(3_600)).send().await.unwrap();
    let one = of(&format!("/scheduled/{run}"));
    let at = r#""triggerAt":"2040-01-01T00:00:00Z""#;
    let before = world.asked_for().await;
    for (name, method, path, body, status, field) in [
        ("no body", "POST", &create, Some("".into()), 400, ""),
        ("no JSON", "POST", &create, Some("{".into()), 400, ""),
        ("a key twice", "POST", &create, Some(format!("{{{at},{at}}}")), 400, ""),
        ("no time", "POST", &create, Some("{}".into()), 400, "triggerAt"),
        ("no zone", "POST", &create, Some(r#"{"triggerAt":"2040-01-01T00:00:00"}"#.into()), 400, "triggerAt"),
        ("year 1", "POST", &create, Some(r#"{"triggerAt":"0001-01-01T00:00:00Z"}"#.into()), 400, "triggerAt"),
        ("a time that is a number", "POST", &create, Some(r#"{"triggerAt":2000000000}"#.into()), 400, "triggerAt"),
        ("an input that is a list", "POST", &create, Some(format!(r#"{{{at},"input":[1]}}"#)), 400, "input"),
        (
            "an input too deep",
            "POST",
            &create,
            Some(format!(r#"{{{at},"input":{{"a":{}{}}}}}"#, "[".repeat(40), "]".repeat(40))),
            400,
            "input",
        ),
        ("metadata that is text", "POST", &create, Some(format!(r#"{{{at},"additionalMetadata":"x"}}"#)), 400, "additionalMetadata"),
        (
            "metadata too long",
            "POST",
            &create,
            Some(format!(r#"{{{at},"additionalMetadata":{{"k":"{}"}}}}"#, "x".repeat(129))),
            400,
            "additionalMetadata.k",
        ),
        ("priority 0", "POST", &create, Some(format!(r#"{{{at},"priority":0}}"#)), 400, "priority"),
        ("priority 300", "POST", &create, Some(format!(r#"{{{at},"priority":300}}"#)), 400, "priority"),
        ("no such workflow", "POST", &of("/nowhere/scheduled"), Some(format!("{{{at}}}")), 400, "name"),
        ("a workflow that is a path", "POST", &of("/..%2Fx/scheduled"), Some(format!("{{{at}}}")), 400, "name"),
        ("an id that is none", "GET", &of("/scheduled/x'--"), None, 400, "id"),
        ("no such run", "GET", &unknown, None, 404, ""),
        ("no such run to move", "PATCH", &unknown, Some(format!("{{{at}}}")), 404, ""),
        ("no such run to trigger", "POST", &unknown, None, 404, ""),
        ("moved to nowhere", "PATCH", &one, Some("{}".into()), 400, "triggerAt"),
        ("a method that there is not", "PUT", &one, None, 405, ""),
        ("an address that there is not", "GET", &of("/scheduled/a/b"), None, 404, ""),
        ("neither ids nor filter", "POST", &bulk_delete, Some("{}".into()), 400, "scheduledWorkflowRunIds"),
        (
            "ids and filter",
            "POST",
            &bulk_delete,
            Some(format!(r#"{{"scheduledWorkflowRunIds":["{run}"],"filter":{{}}}}"#)),
            400,
            "scheduledWorkflowRunIds",
        ),
        ("no ids", "POST", &bulk_delete, Some(r#"{"scheduledWorkflowRunIds":[]}"#.into()), 400, "scheduledWorkflowRunIds"),
        (
            "an id among many",
            "POST",
            &bulk_delete,
            Some(format!(r#"{{"scheduledWorkflowRunIds":["{run}","7"]}}"#)),
            400,
            "scheduledWorkflowRunIds[1]",
        ),
        (
            "a filter of nothing",
            "POST",
            &bulk_delete,
            Some(r#"{"filter":{"additionalMetadata":["x"]}}"#.into()),
            400,
            "filter.additionalMetadata",
        ),
        ("a workflow by name", "POST", &bulk_delete, Some(r#"{"filter":{"workflowId":"simple"}}"#.into()), 400, "filter.workflowId"),
        ("no updates", "POST", &bulk_update, Some("{}".into()), 400, "updates"),
        (
            "an update without a time",
            "POST",
            &bulk_update,
            Some(format!(r#"{{"updates":[{{"id":"{run}"}}]}}"#)),
            400,
            "updates[0].triggerAt",
        ),
        ("an update without an id", "POST", &bulk_update, Some(format!(r#"{{"updates":[{{{at}}}]}}"#)), 400, "updates[0].id"),
        (
            "too many updates",
            "POST",
            &bulk_update,
            Some(json!({ "updates": vec![json!({ "id": unknown_id, "triggerAt": "2040-01-01T00:00:00Z" }); 501] }).to_string()),
            400,
            "updates",
        ),
        ("an unknown status", "GET", &of("/scheduled?statuses=BACKOFF"), None, 400, "statuses"),
        ("an unknown parameter", "GET", &of("/scheduled?status=FAILED"), None, 400, "query"),
        ("a page too large", "GET", &of("/scheduled?limit=501"), None, 400, "limit"),
        ("a page too far", "GET", &of("/scheduled?offset=100001"), None, 400, "offset"),
        ("a token in the address", "GET", &of("/scheduled?token=x"), None, 400, ""),
    ] {
        let (seen, answer) = world.ask(method, path, &token, body.as_deref()).await;
        assert_eq!(seen, status, "{name}: {answer}");
        assert_eq!(refusal(name, &answer).0, field, "{name}: {answer}");
    }
    assert_eq!(world.asked_for().await, before);
    assert_eq!(world.scheduler.get(run).await.unwrap().status, runlater::Status::Scheduled);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_comes_back_as_it_was_sent_and_is_found_by_its_text() {
    let world = World::new().await;
    let token = world.client_token(&world.scheduler, Role::Write).await;
    let tenant = tenant(&world, &token).await;
    let of = |rest: &str| format!("/api/v1/tenants/{tenant}/workflows{rest}");
    let sent = json!({
        "number": 7, "text": "7", "decimal": 1.5, "yes": true, "none": null, "word": "null", "list": [1, "a b"], "map": { "b": { "a": [] } },
    });
    let body = json!({ "triggerAt": "2040-01-01T00:00:00Z", "additionalMetadata": sent }).to_string();
    let (status, created) = world.ask("POST", &of("/simple/scheduled"), &token, Some(&body)).await;
    assert_eq!((status, &created["additionalMetadata"]), (200, &sent), "{created}");
    let id = created["metadata"]["id"].as_str().unwrap();
    assert_eq!(world.ask("GET", &of(&format!("/scheduled/{id}")), &token, None).await.1["additionalMetadata"], sent);
    for entry in
        ["number:7", "text:7", "decimal:1.5", "yes:True", "yes:true", "none:null", "list:[1,%22a%20b%22]", "map:{%22b%22:{%22a%22:[]}}"]
    {
        let (status, page) = world.ask("GET", &of(&format!("/scheduled?additionalMetadata={entry}")), &token, None).await;
        let rows: Vec<_> = page["rows"].as_array().unwrap_or(&Vec::new()).iter().map(|row| row["metadata"]["id"].clone()).collect();
        assert_eq!((status, rows), (200, vec![json!(id)]), "{entry}: {page}");
        assert_eq!(page["rows"][0]["additionalMetadata"], sent, "{entry}");
    }
    // All other doors see text.
    let (_, run) = world.ask("GET", &format!("/v1/runs/{id}"), &token, None).await;
    let text = json!({
        "number": "7", "text": "7", "decimal": "1.5", "yes": "true", "none": "null", "word": "null", "list": "[1,\"a b\"]",
        "map": "{\"b\":{\"a\":[]}}",
    });
    assert_eq!(run["metadata"], text);
    // What is made elsewhere is text here, too.
    let ours = json!({ "task": "simple", "after": "1d", "input": {}, "metadata": { "number": "7" } }).to_string();
    let (_, made) = world.ask("POST", "/v1/runs", &token, Some(&ours)).await;
    let row = world.ask("GET", &of(&format!("/scheduled/{}", made["id"].as_str().unwrap())), &token, None).await.1;
    assert_eq!(row["additionalMetadata"], json!({ "number": "7" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_a_colon_selects_no_other_run() {
    let world = World::new().await;
    let token = world.client_token(&world.scheduler, Role::Write).await;
    let tenant = tenant(&world, &token).await;
    let of = |rest: &str| format!("/api/v1/tenants/{tenant}/workflows{rest}");
    let create = async |key: &str, value: &str| {
        let body = json!({ "triggerAt": "2040-01-01T00:00:00Z", "additionalMetadata": { key: value } }).to_string();
        world.ask("POST", &of("/simple/scheduled"), &token, Some(&body)).await.1["metadata"]["id"].clone()
    };
    let delete = async |entry: &str| {
        let body = json!({ "filter": { "additionalMetadata": [entry] } }).to_string();
        world.ask("POST", &of("/scheduled/bulk-delete"), &token, Some(&body)).await
    };
    let short = create("at", "12:30").await;
    let (status, page) = world.ask("GET", &of("/scheduled?additionalMetadata=at:12:30"), &token, None).await;
    assert_eq!((status, &page["rows"][0]["metadata"]["id"]), (200, &short), "a value may have colons");
    let long = create("at:12", "30").await;
    // Now the text may mean either: neither is shown, and none is deleted.
    let (status, refused) = world.ask("GET", &of("/scheduled?additionalMetadata=at:12:30"), &token, None).await;
    assert_eq!((status, refusal("a list", &refused).0.as_str()), (400, "additionalMetadata"));
    let (status, refused) = delete("at:12:30").await;
    let (field, description) = refusal("a deletion", &refused);
    assert_eq!((status, field.as_str()), (400, "filter.additionalMetadata"));
    assert!(description.contains("write the key in quotes"), "{description}");
    assert_eq!(delete(r#""at:12":30"#).await.1, json!({ "deletedIds": [long], "errors": [] }));
    assert_eq!(delete("at:12:30").await.1, json!({ "deletedIds": [short], "errors": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let world = World::new().await;
    let mut tokens = Vec::new();
    for role in [Role::Read, Role::Trigger, Role::Write] {
        tokens.push((role, world.client_token(&world.scheduler, role).await));
    }
    let tenant = tenant(&world, &tokens[0].1).await;
    let at = r#"{"triggerAt":"2040-01-01T00:00:00Z"}"#;
    for (needed, method, rest, body, status) in [
        (Role::Read, "GET", "/workflows", None, 200),
        (Role::Read, "GET", "/workflows/scheduled", None, 200),
        (Role::Trigger, "POST", "/workflows/simple/scheduled", Some(at), 200),
        (Role::Trigger, "POST", "/workflows/scheduled/scheduled", Some(at), 200),
        (Role::Write, "POST", "/workflows/scheduled/bulk-delete", Some(r#"{"filter":{}}"#), 200),
        (Role::Write, "POST", "/workflows/scheduled/bulk-update", Some("{}"), 400),
        (Role::Write, "DELETE", "/workflows/scheduled/9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10", None, 404),
        (Role::Write, "PATCH", "/workflows/scheduled/9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10", Some(at), 404),
        (Role::Trigger, "POST", "/workflows/scheduled/9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10", None, 404),
    ] {
        let path = format!("/api/v1/tenants/{tenant}{rest}");
        for (held, token) in &tokens {
            let (seen, answer) = world.ask(method, &path, token, body).await;
            assert_eq!(seen, if held.allows(needed) { status } else { 403 }, "{method} {rest} as {held}: {answer}");
        }
        let (seen, answer) = world.ask(method, &path, "", body).await;
        assert_eq!(seen, 401, "{method} {rest}: {answer}");
        refusal(rest, &answer);
    }
    // Nobody makes tokens but who may.
    let (seen, _) = world.ask("POST", runlater::hatchet::token::PATH, &tokens[2].1, Some("{}")).await;
    assert_eq!(seen, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn client_tokens() {
    let world = World::new().await;
    let other = world.scheduler.in_namespace("other").await.unwrap();
    let (mine, theirs) = (world.client_token(&world.scheduler, Role::Write).await, world.client_token(&other, Role::Write).await);
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (mine_in, theirs_in) = (parts(&mine), parts(&theirs));
    assert!(mine_in.len() == 3 && mine_in[0].starts_with("ey"), "as the SDKs want it: {mine}");
    assert_eq!(tenant(&world, &mine).await, tenant(&world, &mine).await);
    assert_ne!(tenant(&world, &mine).await, tenant(&world, &theirs).await);
    // It opens the API as well; with somebody else's claims it opens nothing.
    assert_eq!(world.ask("GET", "/v1/runs", &mine, None).await.0, 200);
    let last = mine_in[2].clone();
    let flipped = format!("{}{}", if last.starts_with('A') { "B" } else { "A" }, &last[1..]);
    for forged in [
        format!("{}.{}.{}", mine_in[0], theirs_in[1], mine_in[2]),
        format!("{}.{}.{}", mine_in[0], mine_in[1], theirs_in[2]),
        format!("{}.{}.{flipped}", mine_in[0], mine_in[1]),
        format!("{}.{}.", mine_in[0], mine_in[1]),
        format!("{}.{}", mine_in[0], mine_in[1]),
        format!("{mine}."),
        "a.b.c".to_string(),
        format!("{mine}{}", "A".repeat(5_000)),
    ] {
        assert_eq!(world.ask("GET", "/v1/runs", &forged, None).await.0, 401, "{forged}");
    }
    // Revoked as what it is, a token of ours.
    let tokens = world.scheduler.tokens().await.unwrap();
    let id = &tokens.iter().find(|token| token.role == "write").unwrap().id;
    assert!(world.scheduler.revoke_token(id).await.unwrap());
    assert_eq!(world.ask("GET", "/v1/runs", &mine, None).await.0, 401);
    // What is done with one is on record under its id.
    let (_, created) = world
        .ask(
            "POST",
            &format!("/api/v1/tenants/{}/workflows/simple/scheduled", tenant(&world, &theirs).await),
            &theirs,
            Some(r#"{"triggerAt":"2040-01-01T00:00:00Z"}"#),
        )
        .await;
    let entries = other.audit(Default::default()).await.unwrap();
    assert!(entries.iter().any(|entry| entry.run.is_some_and(|run| created["metadata"]["id"] == run.to_string())), "{created} {entries:?}");
}

/// The tenant that a token is for: what the SDKs read from its claims, and here from the refusal of another one.
async fn tenant(world: &World, token: &str) -> String {
    let (status, answer) = world.ask("GET", "/api/v1/tenants/x", token, None).await;
    assert_eq!((status, refusal("tenant", &answer).0.as_str()), (403, "tenant"));
    let description = refusal("tenant", &answer).1;
    description.split([' ', ',']).find(|word| word.len() == 36).unwrap_or_else(|| panic!("{description}")).into()
}
