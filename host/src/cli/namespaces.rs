//! `runlater namespaces create|list|show|set|delete`: for the host's operator.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::Client;
use super::confirm::{self, Sure};
use super::failure::{Exit, Failure};
use super::screen::{Screen, clean};
use super::{Global, moment, table};
use crate::http::shapes;

/// How long to wait between two looks at a namespace that is being deleted.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Create, list, show, change and delete namespaces
#[derive(Args)]
#[command(
    after_help = "Every command here needs a token with the role `operator`. A namespace has tasks, runs, crons and tokens of its own, and sees
nothing of the others. Give a tenant a token of its namespace:

  runlater namespaces create acme
  runlater token create --namespace acme --role admin"
)]
pub(super) struct Namespaces {
    #[command(subcommand)]
    command: NamespacesCommand,
}

#[derive(Subcommand)]
enum NamespacesCommand {
    /// Create a namespace
    #[command(after_help = "Examples:
  runlater namespaces create acme
  runlater namespaces create acme --live-runs 100000 --component-bytes 256MiB --guest-creates 100/s")]
    Create {
        /// Its name: 1 to 128 of a-z 0-9 . _ -
        name: String,
        #[command(flatten)]
        quotas: QuotaArguments,
    },
    /// List the namespaces of the host
    #[command(after_help = "Example:\n  runlater namespaces list")]
    List,
    /// Show what a namespace may have, and what it holds
    #[command(after_help = "Example:\n  runlater namespaces show acme")]
    Show {
        /// Its name
        name: String,
    },
    /// Change what a namespace may have
    #[command(after_help = "Examples:
  runlater namespaces set acme --live-runs 1000000
  runlater namespaces set acme --live-runs default --crons 500

What is not named stays as it is.")]
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        quotas: QuotaArguments,
    },
    /// Delete a namespace with all that it holds
    #[command(after_help = "Examples:
  runlater namespaces delete acme --dry-run
  runlater namespaces delete acme
  runlater namespaces delete acme --yes --wait

At once, nothing of it starts any more, its attempts in flight are asked to end, and its tokens are refused. Its rows are deleted in
the background, also after a restart; until that is done its name is taken. There is no way back but a backup.")]
    Delete {
        /// Its name
        name: String,
        /// Show what would be deleted, and do nothing
        #[arg(long, conflicts_with = "wait")]
        dry_run: bool,
        /// Wait until all of it is gone
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        sure: Sure,
    },
}

/// What a namespace may have. `default` is what the host allows each namespace.
#[derive(Args)]
struct QuotaArguments {
    /// Runs that may wait, or `default`
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    live_runs: Option<Value>,
    /// Bytes that its runs may hold, such as 5000000 or 10GiB, or `default`
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    run_bytes: Option<Value>,
    /// Bytes of all its components, or `default`
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    component_bytes: Option<Value>,
    /// Tokens in force, or `default`
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    tokens: Option<Value>,
    /// Crons, or `default`
    #[arg(long, value_name = "COUNT", value_parser = parse_count)]
    crons: Option<Value>,
    /// Runs that its tasks may create: 100/s, 600/m, 5/h, or `default`
    #[arg(long, value_name = "RATE", value_parser = parse_text)]
    guest_creates: Option<Value>,
}

fn parse_count(text: &str) -> Result<Value, String> {
    match text {
        "default" => Ok(Value::Null),
        _ => text.parse::<u64>().map(Value::from).map_err(|_| "expected a count, or `default`".into()),
    }
}

fn parse_bytes(text: &str) -> Result<Value, String> {
    const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match (text, bytes) {
        ("default", _) => Ok(Value::Null),
        (_, Some(bytes)) => Ok(bytes.into()),
        (_, None) => Err("expected bytes, such as 5000000, 256MiB or 10GiB, or `default`".into()),
    }
}

/// A rate is the server's to check.
fn parse_text(text: &str) -> Result<Value, String> {
    Ok(if text == "default" { Value::Null } else { text.into() })
}

impl QuotaArguments {
    fn into_fields(self) -> BTreeMap<String, Value> {
        let Self { live_runs, run_bytes, component_bytes, tokens, crons, guest_creates } = self;
        let fields = [
            ("live_runs", live_runs),
            ("run_bytes", run_bytes),
            ("component_bytes", component_bytes),
            ("tokens", tokens),
            ("crons", crons),
            ("guest_creates", guest_creates),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Namespaces {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = Client::find(global, screen)?;
        match self.command {
            NamespacesCommand::Create { name, quotas } => {
                let request = shapes::CreateNamespace { name, quotas: quotas.into_fields() };
                let made: shapes::Namespace = client.post("/v1/namespaces", &request)?;
                if screen.json {
                    return Ok(screen.value(&made)?);
                }
                let name = clean(&made.name);
                screen.line(format!("created namespace {name}"))?;
                screen.note(format!("give its people a token: runlater token create --namespace {name} --role admin"));
                Ok(())
            }
            NamespacesCommand::List => {
                let all: shapes::Namespaces = client.get("/v1/namespaces", &[])?;
                if screen.json { Ok(screen.value(&all)?) } else { show_list(screen, &all.namespaces) }
            }
            NamespacesCommand::Show { name } => {
                let namespace: shapes::Namespace = client.get(&path_of(&name)?, &[])?;
                show(screen, &namespace)
            }
            NamespacesCommand::Set { name, quotas } => {
                let quotas = quotas.into_fields();
                if quotas.is_empty() {
                    return Err(super::failure::usage("say what to set, for example --live-runs 100000; `--help` lists it all"));
                }
                let namespace: shapes::Namespace = client.patch(&path_of(&name)?, &shapes::UpdateNamespace { quotas })?;
                show(screen, &namespace)
            }
            NamespacesCommand::Delete { name, dry_run, wait, sure } => delete(&client, screen, &name, dry_run, wait, sure),
        }
    }
}

/// A name that could be none would lead to another address.
fn path_of(name: &str) -> anyhow::Result<String> {
    match crate::model::Name::parse(name, "name") {
        Ok(name) => Ok(format!("/v1/namespaces/{name}")),
        Err(invalid) => Err(Failure::new(Exit::Usage, invalid.code, clean(&invalid.to_string())).into()),
    }
}

fn delete(client: &Client, screen: &Screen, name: &str, dry_run: bool, wait: bool, sure: Sure) -> anyhow::Result<()> {
    let path = path_of(name)?;
    if dry_run || !sure.yes {
        let planned: shapes::NamespaceDeletion = client.delete_with(&path, &[("dry_run", "true".into())])?;
        let what = in_words(&planned.deletes);
        if dry_run {
            let text = format!("would delete namespace {name} with {what}");
            if screen.json {
                return Ok(screen.value(&planned)?);
            }
            return Ok(screen.line(text)?);
        }
        confirm::ask(&format!("Delete namespace {name} with {what}, for good?"), " or --dry-run")?;
    }
    let begun: shapes::NamespaceDeletion = client.delete_with(&path, &[("confirm", name.to_owned())])?;
    if wait {
        let spinner = screen.spinner(format!("deleting namespace {name}"));
        loop {
            match client.get::<shapes::Namespace>(&path, &[]) {
                // Somebody may have made one of this name again.
                Ok(found) if found.deleting_since.is_some() => std::thread::sleep(LOOK_EVERY),
                Ok(_) => break,
                Err(error) if error.downcast_ref::<Failure>().is_some_and(|failure| failure.exit() == Exit::NotFound) => break,
                Err(error) => return Err(error),
            }
        }
        spinner.finish_and_clear();
    }
    if screen.json {
        return Ok(screen.value(&begun)?);
    }
    let what = in_words(&begun.deletes);
    if wait {
        return Ok(screen.line(format!("deleted namespace {name} with {what}"))?);
    }
    screen.line(format!("deleting namespace {name} with {what}"))?;
    screen.note(format!("it goes on in the background; `runlater namespaces show {name}` says what is left"));
    Ok(())
}

fn in_words(holdings: &shapes::Holdings) -> String {
    let shapes::Holdings { runs, live_runs, tasks, crons, tokens, components, component_bytes } = holdings;
    format!(
        "{runs} runs ({live_runs} of them wait), {tasks} tasks, {crons} crons, {tokens} tokens and {components} components of {component_bytes} bytes"
    )
}

fn show_list(screen: &Screen, namespaces: &[shapes::Namespace]) -> anyhow::Result<()> {
    let now = moment::now();
    let row = |namespace: &shapes::Namespace| {
        let state = match namespace.deleting_since {
            Some(since) => format!("being deleted since {}", moment::with_hint(since, now)),
            None => "in force".into(),
        };
        let quotas: Vec<_> = quotas(&namespace.quotas).into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))).collect();
        let created = namespace.created_at.map_or_else(String::new, moment::in_utc);
        vec![clean(&namespace.name), state, created, clean(&quotas.join(", "))]
    };
    let rows: Vec<_> = namespaces.iter().map(row).collect();
    for line in table::lay_out(&["NAME", "STATE", "CREATED", "QUOTAS"], &rows, screen.width) {
        screen.line(line)?;
    }
    Ok(())
}

fn quotas(quotas: &shapes::Quotas) -> [(&'static str, Option<String>); 6] {
    let count = |count: Option<u64>| count.map(|count| count.to_string());
    [
        ("live-runs", count(quotas.live_runs)),
        ("run-bytes", count(quotas.run_bytes)),
        ("component-bytes", count(quotas.component_bytes)),
        ("tokens", count(quotas.tokens)),
        ("crons", count(quotas.crons)),
        ("guest-creates", quotas.guest_creates.clone()),
    ]
}

fn show(screen: &Screen, namespace: &shapes::Namespace) -> anyhow::Result<()> {
    if screen.json {
        return Ok(screen.value(namespace)?);
    }
    screen.line(format!("namespace       {}", clean(&namespace.name)))?;
    if let Some(since) = namespace.deleting_since {
        screen.line(format!("being deleted   since {}", moment::with_hint(since, moment::now())))?;
    }
    if let Some(created) = namespace.created_at {
        screen.line(format!("created         {}", moment::in_utc(created)))?;
    }
    if let Some(holds) = &namespace.holds {
        screen.line(format!("holds           {}", in_words(holds)))?;
    }
    screen.line("quotas")?;
    for (name, value) in quotas(&namespace.quotas) {
        screen.line(format!("  {name:<16}{}", clean(value.as_deref().unwrap_or("default"))))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0u64), ("5000000", 5_000_000), ("1KiB", 1_024), ("256MiB", 256 << 20), ("10GiB", 10 << 30), ("2TiB", 2 << 40)]
        {
            assert_eq!(parse_bytes(text), Ok(Value::from(bytes)));
        }
        assert_eq!(parse_bytes("default"), Ok(Value::Null));
        for bad in ["", "-1", "1GB", "GiB", "1.5GiB", "99999999999999TiB", "1 GiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }
}
