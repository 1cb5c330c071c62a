//! Every `--help`, as it was reviewed.

use std::fmt::Write;

use super::{command, end};
use crate::contracts::golden;

#[test]
fn the_help_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(path) = open.pop() {
        let arguments: Vec<_> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let mut command = command(folder.path(), &arguments);
        // Not a terminal: clap then takes 100 columns, unless this says otherwise.
        command.env("COLUMNS", "100");
        let help = end(command).ok();
        write!(text, "$ runlater {}\n\n{help}\n", arguments.join(" ")).unwrap();
        let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap_or(""));
        // Names are indented by two; what goes on from the line above, by more.
        let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let below = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
        let mut below: Vec<_> = below.map(|name| [&path[..], &[name.to_string()]].concat()).collect();
        below.reverse();
        open.extend(below);
    }
    golden::compare("help.txt", &text);
    for word in ["runlater runs reschedule", "runlater token create", "runlater bench", "Exit codes:"] {
        assert!(text.contains(word), "{word}");
    }
}
