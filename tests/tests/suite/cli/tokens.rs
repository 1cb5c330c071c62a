//! `token …`, and how clients come to a server and a token.

use std::os::unix::fs::PermissionsExt;

use super::{Ran, Server, command, end};

/// A command with this token from the environment, in a folder where there is no other.
fn as_holder(server: &Server, token: &str, arguments: &[&str]) -> Ran {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = command(elsewhere.path(), arguments);
    command.env("RUNLATER_SERVER", &server.url).env("RUNLATER_TOKEN", token);
    end(command)
}

#[test]
fn a_token_does_what_its_role_allows_until_it_is_revoked() {
    let server = Server::with(&["hello"]);
    let made = server.run(&["token", "create", "--role", "read", "--note", "a reader"]);
    assert!(made.err.contains("not shown again"), "{made:?}");
    let token = made.ok().trim().to_string();
    as_holder(&server, &token, &["tasks"]).ok();
    as_holder(&server, &token, &["schedule", "hello"]).fails(5, &["`trigger`", "`read`"]);
    as_holder(&server, &token, &["token", "list"]).fails(5, &["`admin`"]);

    let listed = server.json(&["token", "list"]);
    let listed = listed["tokens"].as_array().unwrap();
    let own = listed.iter().find(|own| own["note"] == "a reader").expect("it is listed");
    let id = own["id"].as_str().unwrap();
    let shown = server.run(&["token", "list"]).ok();
    assert!(shown.contains(id) && shown.contains("in force") && !shown.contains(&token), "{shown}");
    server.run(&["token", "revoke", id]).fails(2, &[&format!("Revoke token {id} \"a reader\" with the role read"), "--yes"]);
    as_holder(&server, &token, &["tasks"]).ok();
    server.run(&["token", "revoke", id, "--yes"]).ok();
    as_holder(&server, &token, &["tasks"]).fails(5, &["token"]);
    server.run(&["token", "revoke", "00000000"]).fails(4, &["no token"]);
    // Whoever pastes the whole token does not find it in the error.
    let pasted = server.run(&["token", "revoke", &token]);
    assert!(!pasted.err.contains("read a token"), "{pasted:?}");
    pasted.fails(2, &["8 letters and digits"]);
}

#[test]
fn a_token_for_hatchets_sdks_is_one_of_ours() {
    let server = Server::with(&["seed"]);
    let made = server.run(&["token", "create", "--role", "read", "--note", "for the SDKs", "--hatchet"]);
    assert!(made.err.contains("not shown again"), "{made:?}");
    let lines = made.ok();
    let (first, second) = lines.trim().split_once('\n').expect("two lines");
    assert_eq!(second, "export HATCHET_CLIENT_TLS_STRATEGY=none");
    let token = first.strip_prefix("export HATCHET_CLIENT_TOKEN=").expect("the variable that the SDKs read");
    let tasks = as_holder(&server, token, &["tasks"]).ok();
    assert!(tasks.contains("simple") && tasks.contains("scheduled"), "{tasks}");
    as_holder(&server, token, &["schedule", "simple"]).fails(5, &["`trigger`", "`read`"]);

    let listed = server.json(&["token", "list"]);
    let own = listed["tokens"].as_array().unwrap().iter().find(|own| own["note"] == "for the SDKs").expect("it is listed");
    server.run(&["token", "revoke", own["id"].as_str().unwrap(), "--yes"]).ok();
    as_holder(&server, token, &["tasks"]).fails(5, &["token"]);
    let json = server.json(&["token", "create", "--role", "read", "--expires", "1h", "--hatchet"]);
    assert!(json["token"].as_str().unwrap().starts_with("ey") && json["tls"] == false, "{json}");
    server.run(&["token", "create", "--role", "king", "--hatchet"]).fails(2, &["king"]);
}

#[test]
fn servers_are_found_or_named() {
    let server = Server::start();
    let below = server.path("a/b");
    std::fs::create_dir_all(&below).unwrap();
    super::run_in(&below, &["tasks"]).ok();

    let token = server.token();
    let elsewhere = tempfile::tempdir().unwrap();
    let named = |arguments: &[&str]| super::run_in(elsewhere.path(), &[&["tasks"], arguments].concat());
    let with_flags = named(&["--server", &server.url, "--token", &token]);
    assert!(with_flags.err.contains("RUNLATER_TOKEN instead"), "{with_flags:?}");
    with_flags.ok();
    as_holder(&server, &token, &["tasks"]).ok();
    named(&[]).fails(6, &["no server", "runlater dev"]);
    named(&["--server", &server.url]).fails(5, &["no token", "RUNLATER_TOKEN"]);
    named(&["--server", "http://127.0.0.1:1", "--token", "x"]).fails(6, &["no server answers", "127.0.0.1:1"]);
    named(&["--server", "nonsense", "--token", "x"]).fails(2, &["nonsense"]);
    named(&["--server", "ftp://localhost", "--token", "x"]).fails(2, &["http://"]);
    named(&["--server", &server.url, "--token", "wr\u{f6}ng"]).fails(5, &["characters"]);
    // The token in the file is for the file's server, and is sent to nobody else.
    server.run(&["tasks", "--server", "http://127.0.0.1:1"]).fails(5, &["no token for this server"]);

    let file = server.path(".runlater/server.json");
    for mode in [0o640, 0o604] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        server.run(&["tasks"]).fails(5, &["server.json", "chmod 600"]);
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (content, words) in [
        (&b"{"[..], ["server.json", "can't be understood"]),
        (b"\xff", ["server.json", "can't be understood"]),
        (&[b' '; (64 << 10) + 1], ["server.json has more than 65536 bytes", "start the host again"]),
    ] {
        std::fs::write(&file, content).unwrap();
        server.run(&["tasks"]).fails(78, &words);
    }
    // Whoever opened a pipe would wait for ever.
    std::fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().unwrap().success());
    server.run(&["tasks"]).fails(74, &["server.json is not a file", "start the host again"]);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
    server.run(&["tasks"]).fails(74, &["server.json is a folder"]);
}

#[test]
fn changes_are_shown_with_who_made_them() {
    let server = Server::with(&["behaviours"]);
    let token = server.run(&["token", "create", "--role", "trigger", "--note", "web shop"]).ok();
    let run = as_holder(&server, token.trim(), &["schedule", "touch", "--after", "1h", "--json"]).ok();
    let run = serde_json::from_str::<serde_json::Value>(&run).unwrap()["id"].as_str().unwrap().to_string();
    server.run(&["runs", "delete", &run, "--yes"]).ok();
    let trail = server.run(&["audit"]).ok();
    let lines: Vec<_> = trail.lines().collect();
    assert!(lines[0].starts_with("NUMBER"), "{trail}");
    assert!(lines[1].contains("delete") && lines[1].contains(&run) && lines[1].contains(&server.token()[7..15]), "{trail}");
    assert!(lines[2].contains("schedule") && lines[2].contains(&run) && lines[2].contains(&token[7..15]), "{trail}");
    let of_run = server.json(&["audit", "--run", &run, "--limit", "1"]);
    assert_eq!((of_run["entries"].as_array().unwrap().len(), &of_run["entries"][0]["action"]), (1, &"delete".into()));
    let more = server.run(&["audit", "--limit", "1"]);
    assert!(more.err.contains("more: --before "), "{more:?}");
    as_holder(&server, token.trim(), &["audit"]).fails(5, &["admin"]);
}

#[test]
fn rates_are_set_where_the_host_is_started() {
    let server = Server::told(&["--token-rate", "2/h", "--guest-creates", "none"]);
    // The commands in the folder share one token.
    server.run(&["tasks"]).ok();
    server.run(&["tasks"]).ok();
    server.run(&["tasks"]).fails(3, &["token-rate", "2/h", "wait 1"]);
}

#[test]
fn a_request_that_was_begun_with_a_token_that_is_revoked_stores_nothing() {
    use std::io::{Read, Write};

    let server = Server::with(&["hello"]);
    let created = server.json(&["token", "create", "--role", "trigger"]);
    let (token, id) = (created["token"].as_str().unwrap(), created["id"].as_str().unwrap());
    let body = r#"{"task":"hello","input":{"name":"Ada"}}"#;
    let mut stream = std::net::TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{}", &body[..5]).as_bytes()).unwrap();
    server.run(&["token", "revoke", id, "--yes"]).ok();
    stream.write_all(&body.as_bytes()[5..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(server.json(&["runs", "list"])["runs"].as_array().unwrap().len(), 0);
}
