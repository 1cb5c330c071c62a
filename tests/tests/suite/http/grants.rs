//! What a token may grant over the network: what the operator allowed, and never the host itself.

use runlater::scheduler::Role;
use runlater::{Grant, GrantPattern};
use serde_json::json;

use super::{Answer, World, request};
use crate::guests;

async fn grant(world: &World, token: &str, grants: &[&str], more: &str) -> Answer {
    let wasm = tokio::task::spawn_blocking(|| guests::component("hello")).await.expect("built");
    let query = grants.iter().map(|grant| format!("grant={}&", grant.replace('=', "%3D").replace('[', "%5B").replace(']', "%5D")));
    let path = format!("/v1/tasks?{}{more}", query.collect::<String>());
    let request = request("POST", &path, token).header("content-type", "application/wasm");
    world.send(request.body(wasm.to_vec().into()).unwrap()).await
}

#[tokio::test]
async fn tokens_grant_what_the_operator_allowed() {
    let pattern = |text| GrantPattern::parse(text).unwrap();
    let world =
        World::built(|builder| builder.allow_grant(pattern("tcp=192.0.2.0/24:5432")).allow_grant(pattern("tcp=[2001:db8::]/32:*"))).await;
    for role in [Role::Deploy, Role::Admin] {
        let token = world.token(role);
        for grants in [&["tcp=192.0.2.7:5432"][..], &["tcp=[2001:db8::5]:80", "runs", "crons", "pauses"]] {
            let answer = grant(&world, token, grants, "").await;
            assert_eq!(answer.status, 201, "{role} {grants:?}: {}", answer.body);
        }
        for (grants, seen) in [
            (&["tcp=192.0.2.7:5433"][..], "tcp=192.0.2.7:5433"),
            (&["runs", "tcp=192.0.2.7:5432", "tcp=169.254.169.254:80"], "tcp=169.254.169.254:80"),
            (&["tcp=127.0.0.1:5432"], "tcp=127.0.0.1:5432"),
        ] {
            for more in ["", "dry_run=true"] {
                let answer = grant(&world, token, grants, more).await;
                assert_eq!((answer.status.as_u16(), answer.code()), (403, "grant-not-allowed"), "{role} {grants:?}");
                assert_eq!((&answer.body["field"], &answer.body["seen"]), (&json!("grant"), &json!(seen)));
                assert!(answer.body["detail"].as_str().unwrap().contains("--allow-grant"), "{}", answer.body);
            }
        }
    }
    let answer = grant(&world, world.token(Role::Operator), &["tcp=198.51.100.7:22"], "").await;
    assert_eq!(answer.status, 201, "an operator may grant anything: {}", answer.body);
    let task = world.ask("GET", "/v1/tasks/hello", None).await.body;
    assert_eq!(task["grants"], json!(["tcp=198.51.100.7:22"]), "what was refused changed nothing");
}

#[tokio::test]
async fn nothing_is_allowed_unless_somebody_said_so() {
    let world = World::new().await;
    assert_eq!(grant(&world, world.token(Role::Deploy), &["tcp=192.0.2.7:5432"], "").await.code(), "grant-not-allowed");
    // Nor to an embedder's own door, which opens the namespace of a token.
    let (opened, _) = world.scheduler.authenticate(world.token(Role::Admin)).unwrap().unwrap();
    let wasm = tokio::task::spawn_blocking(|| guests::component("hello")).await.unwrap();
    let tcp = || Grant::parse("tcp=192.0.2.7:5432").unwrap();
    let refused = opened.register(wasm.to_vec()).grant(tcp()).send().await.unwrap_err();
    assert!(matches!(refused, runlater::Error::Invalid(invalid) if invalid.code == "grant-not-allowed"));
    world.scheduler.register(wasm.to_vec()).grant(tcp()).send().await.expect("the program itself is the operator");
}

#[tokio::test]
async fn the_hosts_own_listeners_are_granted_to_nobody() {
    let world = World::built(|builder| builder.allow_grant(GrantPattern::parse("tcp=*:*").unwrap())).await;
    world.scheduler.guard_listener("127.0.0.1:7180".parse().unwrap());
    for role in [Role::Deploy, Role::Operator] {
        for own in ["127.0.0.1:7180", "127.1.2.3:7180", "0.0.0.0:7180", "[::1]:7180", "[::ffff:127.0.0.1]:7180"] {
            let answer = grant(&world, world.token(role), &[&format!("tcp={own}")], "").await;
            assert_eq!((answer.status.as_u16(), answer.code()), (403, "grant-not-allowed"), "{role} {own}");
            assert!(answer.body["detail"].as_str().unwrap().contains("the host itself"), "{}", answer.body);
        }
        assert_eq!(grant(&world, world.token(role), &["tcp=127.0.0.1:7181"], "").await.status, 201, "another port of the same machine");
    }
}
