//! Asks for a token, and a token as it is shown.

use serde::{Deserialize, Serialize};

use super::written;
use crate::model::{Invalid, Timestamp, parse_duration};
use crate::scheduler::Role;
use crate::storage::TokenRecord;

/// Asks for a token.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it may do.
    pub role: String,
    /// What it is for.
    #[serde(default)]
    pub note: String,
    /// Stops working at this moment.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Stops working after this span.
    #[serde(default, deserialize_with = "written::optional", skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<String>,
}

impl CreateToken {
    /// Checks it; `now` is what the span counts from.
    pub fn to_new(&self, now: Timestamp) -> Result<crate::scheduler::NewToken, Invalid> {
        let expires = match (&self.expires_at, &self.expires_after) {
            (Some(_), Some(_)) => return Err(Invalid::new("invalid-time", "expires_after", "give either `expires_at` or `expires_after`")),
            (Some(at), None) => Some(Timestamp::parse(at, "expires_at")?),
            (None, Some(after)) => Some(now.saturating_add(parse_duration(after, "expires_after")?)),
            (None, None) => None,
        };
        Ok(crate::scheduler::NewToken { role: Role::parse(&self.role)?, note: self.note.clone(), expires })
    }
}

/// A token, never its secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct Token {
    /// Its public part.
    pub id: String,
    /// What it may do.
    pub role: String,
    /// What it is for.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl From<TokenRecord> for Token {
    fn from(record: TokenRecord) -> Self {
        let TokenRecord { id, role, note, created_at, expires_at, revoked_at, .. } = record;
        Self { id, role, note, created_at, expires_at, revoked_at }
    }
}

/// A token that was just made, with its secret, which is shown this once.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewToken {
    /// The secret text.
    pub token: String,
    /// What else there is to know.
    #[serde(flatten)]
    pub record: Token,
}

/// The tokens of a namespace, in order of creation.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tokens {
    /// The tokens.
    pub tokens: Vec<Token>,
}
