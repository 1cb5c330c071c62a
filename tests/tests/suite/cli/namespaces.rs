//! `namespaces …`, `--namespace`, and what an operator's token is for, against the program itself.

use serde_json::{Value, json};

use super::{Ran, Server, command, end};
use runlater::scheduler::{NewToken, Role};
use runlater::{Grant, Scheduler};

/// A command with this token from the environment, in a folder where there is no other.
fn as_holder(server: &Server, token: &str, arguments: &[&str]) -> Ran {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = command(elsewhere.path(), arguments);
    command.env("RUNLATER_SERVER", &server.url).env("RUNLATER_TOKEN", token);
    end(command)
}

#[test]
fn a_tenant_gets_a_namespace_and_loses_it() {
    let server = Server::with(&["hello"]);
    let made = server.run(&["namespaces", "create", "acme", "--live-runs", "2", "--component-bytes", "64MiB"]);
    assert!(made.err.contains("runlater token create --namespace acme --role admin"), "{made:?}");
    made.ok();
    let admin = server.run(&["token", "create", "--namespace", "acme", "--role", "admin"]).ok().trim().to_string();
    assert_eq!(as_holder(&server, &admin, &["tasks", "--json"]).ok().trim(), r#"{"tasks":[]}"#, "it sees nothing of the others");
    let hello = crate::built::guest("hello").to_string_lossy().into_owned();
    as_holder(&server, &admin, &["register", &hello]).ok();
    for _ in 0..2 {
        as_holder(&server, &admin, &["schedule", "hello", "--after", "1h"]).ok();
    }
    as_holder(&server, &admin, &["schedule", "hello", "--after", "1h"]).fails(3, &["2 runs wait"]);
    for arguments in [&["namespaces", "list"][..], &["backup", "/tmp/no-such-copy.db"], &["tasks", "--namespace", "acme"]] {
        as_holder(&server, &admin, arguments).fails(5, &["`operator`", "`admin`"]);
    }
    let health = as_holder(&server, &admin, &["health"]).ok();
    assert!(health.contains("Namespace acme:") && !health.contains("The whole host"), "{health}");
    assert!(server.run(&["health"]).ok().contains("The whole host"));

    let shown = server.run(&["namespaces", "show", "acme"]).ok();
    for line in
        ["holds           2 runs (2 of them wait), 1 tasks, 0 crons, 1 tokens", "  live-runs       2\n", "  crons           default\n"]
    {
        assert!(shown.contains(line), "`{line}` is not in {shown}");
    }
    server.run(&["namespaces", "set", "acme", "--live-runs", "default", "--guest-creates", "5/s"]).ok();
    let listed = server.run(&["namespaces", "list"]).ok();
    assert!(listed.contains("guest-creates 5/s") && !listed.contains("live-runs"), "{listed}");
    let runs = server.json(&["runs", "list", "--namespace", "acme"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 2, "an operator sees into it");
    for (arguments, code, words) in [
        (&["namespaces", "set", "acme"][..], 2, "--live-runs"),
        (&["namespaces", "set", "acme", "--live-runs", "many"], 2, "default"),
        (&["namespaces", "set", "acme", "--guest-creates", "fast"], 3, "10/s"),
        (&["namespaces", "set", "nobody", "--crons", "1"], 4, "no namespace nobody"),
        (&["namespaces", "create", "acme"], 3, "already"),
        (&["namespaces", "show", "../v1"], 2, "a-z"),
        (&["tasks", "--namespace", "Acme"], 2, "a-z"),
        (&["tasks", "--namespace", "nobody"], 4, "no namespace nobody"),
        (&["namespaces", "delete", "default", "--yes"], 3, "always there"),
        (&["namespaces", "delete", "acme"], 2, "2 runs (2 of them wait), 1 tasks, 0 crons, 1 tokens and 1 components"),
    ] {
        server.run(arguments).fails(code, &[words]);
    }
    let planned = server.json(&["namespaces", "delete", "acme", "--dry-run"]);
    assert_eq!((&planned["dry_run"], &planned["deletes"]["runs"]), (&json!(true), &json!(2)));
    as_holder(&server, &admin, &["tasks"]).ok();
    let deleted = server.run(&["namespaces", "delete", "acme", "--yes", "--wait"]).ok();
    assert!(deleted.starts_with("deleted namespace acme with 2 runs"), "{deleted}");
    as_holder(&server, &admin, &["tasks"]).fails(5, &["token"]);
    server.run(&["namespaces", "show", "acme"]).fails(4, &["acme"]);
    assert_eq!(server.json(&["tasks"])["tasks"].as_array().unwrap().len(), 1, "the others are as they were");
}

#[test]
fn servers_of_earlier_versions_give_the_folder_an_operators_token() {
    let server = Server::start();
    let file = server.path(".runlater/server.json");
    let admin = server.run(&["token", "create", "--role", "admin"]).ok().trim().to_string();
    let mut content: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    content["token"] = admin.clone().into();
    std::fs::write(&file, content.to_string()).unwrap();
    let (_, folder) = {
        std::process::Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
        server.ended()
    };
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]);
    let server = Server::of(folder, serve);
    assert_ne!(server.token(), admin, "the file has a new token");
    server.run(&["namespaces", "list"]).ok();
    as_holder(&server, &admin, &["token", "list"]).ok();
    as_holder(&server, &admin, &["namespaces", "list"]).fails(5, &["`operator`"]);
}

/// Enough for a kill to come in between.
const RUNS: usize = 4_000;

/// A namespace with many runs, and a token of its own.
async fn fill_acme(folder: &std::path::Path) -> String {
    let scheduler = Scheduler::builder().sqlite(folder.join("runs.db")).paused().build().await.unwrap();
    let acme = scheduler.in_namespace("acme").await.unwrap();
    acme.register(std::fs::read(crate::built::guest("behaviours")).unwrap()).grant(Grant::Runs).send().await.unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let runs = (0..RUNS).map(|_| acme.schedule("touch").after(day).metadata("customer", "acme").send());
    futures_util::future::try_join_all(runs).await.unwrap();
    let token = acme.create_token(NewToken { role: Role::Admin, note: String::new(), expires: None }).await.unwrap().0;
    scheduler.shutdown(std::time::Duration::ZERO).await.unwrap();
    token.secret().into()
}

#[test]
fn a_deletion_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let admin = tokio::runtime::Runtime::new().unwrap().block_on(fill_acme(folder.path()));
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]);
    let server = Server::of(folder, serve);
    server.register("hello");
    as_holder(&server, &admin, &["tasks"]).ok();
    let begun = server.json(&["namespaces", "delete", "acme", "--yes"]);
    assert_eq!(begun["deletes"]["runs"], RUNS);
    std::process::Command::new("kill").args(["-KILL", &server.child.id().to_string()]).status().unwrap();
    let (_, folder) = server.ended();
    let left = |folder: &std::path::Path| {
        let conn = rusqlite::Connection::open_with_flags(folder.join("runs.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        conn.query_row("SELECT count(*) FROM runlater_runs", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = left(folder.path());
    println!("{before} of {RUNS} runs were left when the host was killed");
    let serve = command(folder.path(), &["serve", "--db", "runs.db", "--listen", "127.0.0.1:0", "--json"]);
    let server = Server::of(folder, serve);
    as_holder(&server, &admin, &["tasks"]).fails(5, &["token"]);
    // Whatever was left goes; that it is gone is what the loop waits for.
    while server.run(&["namespaces", "show", "acme"]).code == Some(0) {}
    server.run(&["namespaces", "show", "acme"]).fails(4, &["acme"]);
    assert_eq!(left(server.folder.path()), 0);
    server.run(&["namespaces", "create", "acme"]).ok();
    server.run(&["schedule", "hello", "--input", r#"{"name":"x"}"#, "--wait"]).ok();
}

#[test]
fn network_grants_are_allowed_where_the_host_is_started() {
    let server = Server::told(&["--allow-grant", "tcp=192.0.2.0/24:5432", "--allow-grant", "tcp=*.example.com:443"]);
    let deploy = server.run(&["token", "create", "--role", "deploy"]).ok().trim().to_string();
    let hello = crate::built::guest("hello").to_string_lossy().into_owned();
    as_holder(&server, &deploy, &["register", &hello, "--grant", "tcp=192.0.2.7:5432"]).ok();
    as_holder(&server, &deploy, &["register", &hello, "--grant", "tcp=127.0.0.1:5432"]).fails(5, &["--allow-grant", "tcp=127.0.0.1:5432"]);
    server.run(&["register", &hello, "--grant", "tcp=127.0.0.1:5432"]).ok();
    let own = server.url.strip_prefix("http://").unwrap();
    server.run(&["register", &hello, "--grant", &format!("tcp={own}")]).fails(5, &["the host itself"]);
    let folder = tempfile::tempdir().unwrap();
    for pattern in ["tcp=10.0.0.1/8:5432", "5432", "tcp=1.2.3:4"] {
        let told = super::run_in(folder.path(), &["serve", "--db", "runs.db", "--allow-grant", pattern]);
        told.fails(2, &["--allow-grant", "tcp="]);
    }
}
