//! The command line. One file per subcommand.
//!
//! `dev` and `serve` are hosts: they put a scheduler and its doors together. All other commands are clients of a running host
//! and know nothing but its HTTP API. [`run`] is called by `main` only.

mod audit;
mod backup;
mod bench;
mod client;
mod confirm;
mod crons;
mod dev;
mod discovery;
mod explain;
mod failure;
mod file;
mod filter;
mod forecast;
mod health;
mod log;
mod moment;
mod namespaces;
mod new;
mod pause;
mod register;
mod runs;
mod schedule;
mod screen;
mod serve;
mod table;
mod tasks;
mod time_zones;
mod tls;
mod token;
mod version;
mod waiting;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::Exit;
use screen::Screen;

/// Runs sandboxed WebAssembly tasks at the time you asked for, and never loses one.
#[derive(Parser)]
#[command(name = "runlater", disable_version_flag = true, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// Show the versions of runlater, SQLite, wasmtime and the time zone database.
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  runlater dev                                     build and run the tasks in ./guest-tasks
  runlater schedule reminder --after 2s --wait     in a second terminal in the same folder
  runlater runs list --status failed

Exit codes: 0 ok, 1 the run did not succeed, 2 usage, 3 refused, 4 not found, 5 token or role, 6 no server,
7 outcome unknown (repeat with the same --unique-key), 65 database damaged, 78 database or settings unusable, 74 input or output.";

/// What every command takes.
#[derive(Args)]
struct Global {
    /// Write JSON: results on stdout, errors on stderr.
    #[arg(long, global = true)]
    json: bool,
    /// The server's address [env: RUNLATER_SERVER] [default: the one that `dev` or `serve` started in this folder or a parent].
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// The token to send; visible to others on this machine, so prefer the environment [env: RUNLATER_TOKEN].
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Act in this namespace instead of the token's own; needs a token with the role `operator`.
    #[arg(long, global = true, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    New(new::New),
    Register(register::Register),
    Tasks(tasks::Tasks),
    Schedule(schedule::Schedule),
    Runs(runs::Runs),
    Explain(explain::Explain),
    Crons(crons::Crons),
    Forecast(forecast::Forecast),
    Token(token::Tokens),
    Namespaces(namespaces::Namespaces),
    Health(health::Health),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Bench(bench::Bench),
}

/// Does what the arguments say, and tells the caller with which code to exit.
pub fn run() -> ExitCode {
    // Not one of clap's commands: it must limit itself before anything else happens, and is nobody's to type.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == serve::COMPILE_COMMAND) {
        return crate::executor::wasm::compile_child_main();
    }
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && wants_json => {
            // clap's text without its colours.
            let refused = failure::Failure::new(Exit::Usage, "usage", screen::clean_lines(&error.render().to_string()));
            return failure::report(&refused.into(), true);
        }
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage as u8 } else { 0 };
            // clap quotes the arguments as they are: with control characters in one, its text goes out without colours. A closed pipe is no reason
            // to complain.
            let harmless = |argument: std::ffi::OsString| argument.to_str().is_some_and(|text| screen::clean(text) == text);
            let _ = match std::env::args_os().all(harmless) {
                true => error.print(),
                false => io::stderr().write_all(screen::clean_lines(&error.render().to_string()).as_bytes()),
            };
            return ExitCode::from(code);
        }
    };
    let screen = Screen::new(cli.global.json);
    let done = match cli.command {
        _ if cli.version => version::show(&screen),
        None => Err(failure::usage("say what to do; `runlater --help` lists the commands")),
        Some(command) => command.run(&cli.global, &screen),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error, screen.json),
    }
}

impl Command {
    fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        match self {
            Self::Dev(command) => command.run(screen),
            Self::Serve(command) => command.run(screen),
            Self::New(command) => command.run(screen),
            Self::Register(command) => command.run(global, screen),
            Self::Tasks(command) => command.run(global, screen),
            Self::Schedule(command) => command.run(global, screen),
            Self::Runs(command) => command.run(global, screen),
            Self::Explain(command) => command.run(global, screen),
            Self::Crons(command) => command.run(global, screen),
            Self::Forecast(command) => command.run(global, screen),
            Self::Token(command) => command.run(global, screen),
            Self::Namespaces(command) => command.run(global, screen),
            Self::Health(command) => command.run(global, screen),
            Self::Audit(command) => command.run(global, screen),
            Self::Backup(command) => command.run(global, screen),
            Self::Bench(command) => command.run(screen),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_well_formed_and_have_examples() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                assert!(sub.get_about().is_some(), "{} has no description", sub.get_name());
                assert!(sub.get_after_help().is_some() || sub.has_subcommands(), "{} has no examples", sub.get_name());
                check(sub);
            }
        }
        check(&cli);
    }

    #[test]
    fn unknown_commands_suggest_the_nearest() {
        let refused = Cli::try_parse_from(["runlater", "shcedule"]).err().unwrap().to_string();
        assert!(refused.contains("schedule"), "{refused}");
    }
}
