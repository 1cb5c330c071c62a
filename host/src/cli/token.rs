//! `runlater token create|list|revoke`.

use clap::{Args, Subcommand};

use super::client::Client;
use super::confirm::{self, Sure};
use super::screen::{Screen, clean};
use super::{Global, moment, table};
use crate::http::shapes;

/// Make, list and revoke API tokens
#[derive(Args)]
pub(super) struct Tokens {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token; it is shown this once
    #[command(after_help = "Roles, each with what those before it may do:
  read     see tasks and runs
  trigger  schedule runs and make them due at once
  write    move, delete and cancel runs
  deploy   register components, and grant them what the operator allowed (`serve --allow-grant`)
  admin    make and revoke tokens of the namespace, read its audit trail
  operator make and delete namespaces, act in each (--namespace), grant anything, copy the database

Examples:
  runlater token create --role trigger --note 'web shop' --expires 90d
  runlater token create --role admin --namespace acme                # by an operator
  export RUNLATER_TOKEN=$(runlater token create --role read)
  eval \"$(runlater token create --role write --hatchet)\"    # for the SDKs of Hatchet")]
    Create {
        /// What it may do
        #[arg(long, value_parser = ["read", "trigger", "write", "deploy", "admin", "operator"])]
        role: String,
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
        /// Stops working after this long, for example 90d
        #[arg(long, value_name = "DURATION")]
        expires: Option<String>,
        /// Print it for the SDKs of Hatchet, as the environment variables to set
        #[cfg(feature = "hatchet")]
        #[arg(long)]
        hatchet: bool,
    },
    /// List the tokens, without their secrets
    #[command(after_help = "Example:\n  runlater token list")]
    List,
    /// Revoke a token: it is refused from then on
    #[command(after_help = "Examples:\n  runlater token revoke Vq3xT0aZ\n  runlater token revoke Vq3xT0aZ --yes")]
    Revoke {
        /// The token's id, as `list` shows it
        #[arg(value_parser = parse_token_id)]
        id: String,
        #[command(flatten)]
        sure: Sure,
    },
}

impl Tokens {
    pub(super) fn run(self, global: &Global, screen: &Screen) -> anyhow::Result<()> {
        let client = Client::find(global, screen)?;
        match self.command {
            #[cfg(feature = "hatchet")]
            TokenCommand::Create { role, note, expires, hatchet: true } => {
                let token = shapes::CreateToken { role, note, expires_at: None, expires_after: expires };
                for_hatchet(&client, token, screen)
            }
            TokenCommand::Create { role, note, expires, .. } => {
                let request = shapes::CreateToken { role, note, expires_at: None, expires_after: expires };
                let created: shapes::NewToken = client.post("/v1/tokens", &request)?;
                if screen.json {
                    return Ok(screen.value(&created)?);
                }
                screen.note(format!(
                    "token {} with the role {}; keep it now, it is not shown again:",
                    clean(&created.record.id),
                    clean(&created.record.role)
                ));
                // Alone on stdout, so that a script can keep it.
                Ok(screen.line(clean(&created.token))?)
            }
            TokenCommand::List => {
                let tokens: shapes::Tokens = client.get("/v1/tokens", &[])?;
                if screen.json { Ok(screen.value(&tokens)?) } else { show_list(screen, &tokens.tokens) }
            }
            TokenCommand::Revoke { id, sure } => {
                if !sure.yes {
                    let tokens: shapes::Tokens = client.get("/v1/tokens", &[])?;
                    // One that is not there is for the server to refuse.
                    if let Some(token) = tokens.tokens.iter().find(|token| token.id == id) {
                        let note = if token.note.is_empty() { String::new() } else { format!(" \"{}\"", clean(&token.note)) };
                        let what = format!("token {id}{note} with the role {}", clean(&token.role));
                        confirm::ask(&format!("Revoke {what}, so that whoever uses it is refused from then on?"), "")?;
                    }
                }
                client.delete(&format!("/v1/tokens/{id}"))?;
                if screen.json {
                    return Ok(screen.value(&serde_json::json!({ "revoked": id }))?);
                }
                Ok(screen.line(format!("revoked {id}"))?)
            }
        }
    }
}

/// Makes a token for the SDKs of Hatchet, who are told where this client found the server.
#[cfg(feature = "hatchet")]
fn for_hatchet(client: &Client, token: shapes::CreateToken, screen: &Screen) -> anyhow::Result<()> {
    use crate::hatchet::token::{CreateClientToken, NewClientToken, PATH};
    let created: NewClientToken = client.post(PATH, &CreateClientToken { token, server_url: client.url().into() })?;
    if screen.json {
        return Ok(screen.value(&created)?);
    }
    let (id, role) = (clean(&created.record.id), clean(&created.record.role));
    screen.note(format!("token {id} with the role {role} for the SDKs of Hatchet; keep it now, it is not shown again:"));
    // Alone on stdout, for `eval` or a file.
    screen.line(format!("export HATCHET_CLIENT_TOKEN={}", clean(&created.token)))?;
    // Else they would speak TLS.
    if !created.tls {
        screen.line("export HATCHET_CLIENT_TLS_STRATEGY=none")?;
    }
    Ok(())
}

fn parse_token_id(text: &str) -> Result<String, String> {
    let well_formed = (1..=32).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric());
    // Whoever pastes a whole token here should not find it in the error.
    if well_formed { Ok(text.into()) } else { Err("a token's id has 8 letters and digits; see `runlater token list`".into()) }
}

fn show_list(screen: &Screen, tokens: &[shapes::Token]) -> anyhow::Result<()> {
    let now = moment::now();
    let row = |token: &shapes::Token| {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(revoked), _) => format!("revoked {}", moment::with_hint(revoked, now)),
            (None, Some(expires)) if expires <= now => format!("expired {}", moment::with_hint(expires, now)),
            (None, Some(expires)) => format!("expires {}", moment::with_hint(expires, now)),
            (None, None) => "in force".into(),
        };
        vec![clean(&token.id), clean(&token.role), state, moment::in_utc(token.created_at), clean(&token.note)]
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    for line in table::lay_out(&["ID", "ROLE", "STATE", "CREATED", "NOTE"], &rows, screen.width) {
        screen.line(line)?;
    }
    Ok(())
}
