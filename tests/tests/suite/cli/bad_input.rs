//! What is typed wrongly: each time an exit code that says what kind of mistake it is, and words that say how to mend it.

use super::{Server, run_in, run_with_input};

const ID: &str = "019a0c5e-7b3c-7def-8123-456789abcdef";

#[test]
fn mistakes_in_the_command_are_told_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("bad.json"), "{").unwrap();
    std::fs::write(folder.path().join("latin1.json"), b"\"\xe9\"").unwrap();
    std::fs::write(folder.path().join("large.json"), format!("\"{}\"", "x".repeat(256 << 10))).unwrap();
    for (arguments, code, words) in [
        (&["shcedule"][..], 2, &["shcedule", "schedule"][..]),
        (&["runs", "lits"], 2, &["lits", "list"]),
        (&["tasks", "--jsno"], 2, &["--jsno", "--json"]),
        (&["schedule"], 2, &["TASK"]),
        (&["schedule", "touch", "--after"], 2, &["--after", "DURATION"]),
        (&["schedule", "../x"], 2, &["../x", "a-z"]),
        (&["schedule", "x", "--at", "2100-01-01T00:00:00Z", "--after", "1s"], 2, &["--at", "--after"]),
        (&["schedule", "x", "--metadata", "novalue"], 2, &["novalue", "key=value"]),
        (&["schedule", "x", "--input", "{"], 2, &["--input is not JSON", "quotes"]),
        (&["schedule", "x", "--input", "@no.json"], 74, &["no.json"]),
        (&["schedule", "x", "--input", "@folder"], 74, &["folder"]),
        (&["schedule", "x", "--input", "@bad.json"], 2, &["bad.json is not JSON"]),
        (&["schedule", "x", "--input", "@latin1.json"], 2, &["latin1.json is not UTF-8"]),
        (&["schedule", "x", "--input", "@large.json"], 3, &["large.json", "262144"]),
        (&["schedule", "x", "--priority", "300"], 2, &["300"]),
        (&["register", "no.wasm"], 74, &["no.wasm"]),
        (&["register", "folder"], 74, &["folder", "is a folder"]),
        (&["register", "/dev/zero"], 74, &["/dev/zero", "is not a file"]),
        (&["runs", "show", "7"], 2, &["7", "id"]),
        (&["runs", "show", "\u{1b}[31m"], 2, &["id"]),
        (&["runs", "list", "--limit", "0"], 2, &["1..=500"]),
        (&["runs", "list", "--status", "done"], 2, &["done", "succeeded"]),
        (&["runs", "reschedule", ID], 2, &["--at", "--after", "--by"]),
        (&["runs", "wait", ID, "--timeout", "5"], 2, &["--timeout", "5"]),
        (&["token", "create", "--role", "root"], 2, &["root", "admin"]),
        (&["new", "Hello"], 2, &["Hello", "a-z"]),
        (&["dev", "nowhere"], 2, &["nowhere", "runlater new"]),
        (&["dev", "folder"], 2, &["folder", "runlater new"]),
        (&["serve"], 2, &["--db"]),
        (&["serve", "--db", "x.db", "--listen", "here"], 2, &["here"]),
    ] {
        let said = run_in(folder.path(), arguments);
        assert!(said.out.is_empty(), "{arguments:?}: {said:?}");
        said.fails(code, words);
        // The same for programs: one line of JSON with the same code.
        let said = run_in(folder.path(), &[arguments, &["--json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&said.err).unwrap_or_else(|_| panic!("{arguments:?}: {said:?}"));
        assert_eq!((said.code, json["exit"].as_i64()), (Some(code), Some(code.into())), "{arguments:?}: {said:?}");
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{said:?}");
    }
}

#[test]
fn mistakes_that_the_server_sees_name_the_field() {
    let server = Server::with(&["behaviours"]);
    std::fs::write(server.path("letter.wasm"), "Dear scheduler,").unwrap();
    let sockets = crate::built::guest("sockets");
    let sockets = sockets.to_string_lossy();
    for (arguments, code, words) in [
        (&["schedule", "touch", "--at", "tomorrow"][..], 3, &["at:", "RFC 3339", "tomorrow"][..]),
        (&["schedule", "touch", "--at", "2100-02-30T00:00:00Z"], 3, &["at:", "2100-02-30"]),
        (&["schedule", "touch", "--after", "5"], 3, &["after:", "unit"]),
        (&["schedule", "touch", "--after", "-5s"], 2, &["-5"]),
        (&["schedule", "touch", "--unique-key", ""], 3, &["unique_key"]),
        (&["schedule", "touch", "--max-attempts", "0"], 3, &["max_attempts", "100"]),
        (&["schedule", "touch", "--timeout", "25h"], 3, &["timeout"]),
        (&["schedule", "touch", "--priority", "9"], 3, &["priority"]),
        (&["schedule", "touch", "--metadata", "=x"], 3, &["metadata"]),
        (&["register", "letter.wasm"], 3, &["wasm32-wasip2"]),
        (&["register", "letter.wasm", "--grant", "everything"], 3, &["grant", "everything"]),
        (&["register", &sockets, "--grant", "runs"], 3, &["wasi:sockets", "tcp="]),
        (&["runs", "list", "--trigger-from", "now"], 3, &["trigger_from", "now"]),
        (&["runs", "list", "--cursor", "forged"], 3, &["cursor"]),
        (&["runs", "reschedule", ID, "--by", "+1"], 3, &["by", "unit"]),
        (&["token", "create", "--role", "read", "--expires", "soon"], 3, &["expires_after", "soon"]),
        (&["runs", "show", ID], 4, &[ID]),
    ] {
        server.run(arguments).fails(code, words);
        let said = server.run(&[arguments, &["--json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&said.err).unwrap_or_else(|_| panic!("{arguments:?}: {said:?}"));
        assert_eq!(json["exit"], code, "{arguments:?}");
    }
    run_with_input(server.folder.path(), &["schedule", "touch", "--input", "-"], b"\xff").fails(2, &["standard input is not UTF-8"]);
    assert_eq!(server.json(&["runs", "list"])["runs"].as_array().unwrap().len(), 0, "nothing was scheduled by a mistake");
}
