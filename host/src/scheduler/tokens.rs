//! API tokens: who may call, for which namespace, and how much.
//!
//! Called by the HTTP door and the command line. Knows nothing of headers: it is handed the text of a token and answers with a
//! scheduler that is bound to the token's namespace. The secret itself is never stored, only its SHA-256: a random secret of
//! 256 bits needs no slow hash.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use rustc_hash::{FxHashMap, FxHashSet};
use sha2::Digest as _;
use subtle::ConstantTimeEq;

use super::{Error, Scheduler};
use crate::model::{Invalid, Namespace, NamespaceId, Timestamp};
use crate::storage::{Storage, StorageError, TokenRecord, TokenRefused};

/// Bytes of a token's note.
const NOTE_BYTES_MAX: usize = 256;
/// Tokens in memory up to which those that have expired stay there.
const SWEEP_MIN: usize = 1_024;
const PREFIX: &str = "rl_api_";
const ID_CHARS: usize = 8;
/// 62⁴³ is just above 2²⁵⁶.
const SECRET_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a token may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See tasks and runs.
    Read,
    /// Schedule runs, and make them due at once.
    Trigger,
    /// Move, delete and cancel runs.
    Write,
    /// Register components, and grant them what the operator allowed.
    Deploy,
    /// Make and revoke tokens of the namespace, and read its audit trail.
    Admin,
    /// Act on the whole host: make, change and delete namespaces, act in each of them, grant anything, and copy the database.
    Operator,
}

impl Role {
    /// All of them, from the least to the most.
    pub const ALL: [Self; 6] = [Self::Read, Self::Trigger, Self::Write, Self::Deploy, Self::Admin, Self::Operator];

    /// The word for it on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trigger => "trigger",
            Self::Write => "write",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    /// Parses that word.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| Invalid::new("invalid-role", "role", "one of read, trigger, write, deploy, admin, operator").seen(text))
    }

    /// Whether this role is enough where `needed` is asked for.
    pub fn allows(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token about to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What it may do.
    pub role: Role,
    /// What it is for, in words: at most 256 bytes.
    pub note: String,
    /// When it stops working; `None`: when it is revoked.
    pub expires: Option<Timestamp>,
}

/// The text of a token: `rl_api_`, a public id, `_`, the secret and a checksum. Shown once; whoever has it may use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// What every token begins with.
    pub const PREFIX: &str = PREFIX;

    /// Draws a token at random.
    fn draw() -> Result<Self, Error> {
        let mut random = [0; 32 + 8];
        // Without the system's randomness every token could be guessed: better none.
        getrandom::fill(&mut random).map_err(|error| Error::Start(format!("the system gives no random numbers: {error}")))?;
        let (secret, id) = random.split_at(32);
        let mut text = format!("{PREFIX}{}_{}", base62(id, ID_CHARS), base62(secret, SECRET_CHARS));
        text += &checksum(&text);
        Ok(Self(text))
    }

    /// Recognises the text of a token, and tells a mistyped one apart from one that was never made.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // What was seen is not repeated: it may be most of a secret.
        let wrong = |reason: &str| Err(Invalid::new("invalid-token", "token", reason));
        if text.len() != PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS || !text.is_ascii() || !text.starts_with(PREFIX) {
            return wrong("a token looks like rl_api_, 8 characters, _, and 49 more");
        }
        let (body, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
        let (id, rest) = body[PREFIX.len()..].split_at(ID_CHARS);
        let well_formed = rest.starts_with('_') && id.bytes().chain(rest[1..].bytes()).all(|c| c.is_ascii_alphanumeric());
        if !well_formed || checksum(body) != sum {
            return wrong("the token's checksum does not fit: a character was lost or changed when it was copied");
        }
        Ok(Self(text.into()))
    }

    /// The secret text.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// The public part, by which it is listed and revoked.
    pub fn id(&self) -> &str {
        &self.0[PREFIX.len()..PREFIX.len() + ID_CHARS]
    }

    fn hash(&self) -> [u8; 32] {
        sha2::Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({PREFIX}{}_…)", self.id())
    }
}

/// The tokens in force of all namespaces, kept in memory so that a request costs no query. Only this process changes them, and each change is made
/// here once it is durable: a revoked token is refused from then on.
#[derive(Default)]
pub(super) struct TokenCache {
    /// Locked for a look or one change only, and never while the database is read or written.
    known: RwLock<KnownTokens>,
    /// Held while tokens are read from the database: before the first request, and after a change of which it is unknown whether it was stored.
    reading: Mutex<()>,
}

#[derive(Default)]
struct KnownTokens {
    /// By id; `None` if they must be read.
    by_id: Option<FxHashMap<String, Arc<Known>>>,
    /// Tokens that were revoked and were not here.
    revoked_early: FxHashSet<String>,
    /// Changes so far. What was read before the last one is not used.
    changes: u64,
    /// At so many tokens, those that have expired are taken out.
    sweep_at: usize,
}

/// A token, and what it opens.
struct Known {
    record: TokenRecord,
    role: Role,
    namespace: Namespace,
    changes: Arc<dyn Storage>,
}

impl Known {
    fn is_in_force(&self, now: Timestamp) -> bool {
        self.record.revoked_at.is_none() && self.record.expires_at.is_none_or(|expires| expires > now)
    }
}

impl TokenCache {
    fn read(&self) -> RwLockReadGuard<'_, KnownTokens> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one change. What is being read meanwhile is not used.
    fn change<T>(&self, change: impl FnOnce(&mut KnownTokens) -> T) -> T {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        change(&mut known)
    }
}

impl KnownTokens {
    fn insert(&mut self, known: Known, now: Timestamp) {
        let Some(by_id) = &mut self.by_id else { return };
        if self.revoked_early.remove(&known.record.id) {
            return;
        }
        if by_id.len() >= self.sweep_at {
            by_id.retain(|_, known| known.is_in_force(now));
            self.sweep_at = SWEEP_MIN.max(2 * by_id.len());
        }
        by_id.insert(known.record.id.clone(), Arc::new(known));
    }

    /// Whether it was there.
    fn remove(&mut self, id: &str, namespace: NamespaceId) -> bool {
        let Some(by_id) = &mut self.by_id else { return false };
        by_id.get(id).is_some_and(|known| known.namespace.id == namespace) && by_id.remove(id).is_some()
    }

    /// A token was revoked that is not here: perhaps it is stored, and about to be inserted.
    fn remember_revoked(&mut self, id: &str) {
        if self.revoked_early.len() >= SWEEP_MIN {
            self.revoked_early.clear();
            self.by_id = None;
        }
        self.revoked_early.insert(id.into());
    }
}

impl Scheduler {
    /// Makes a token for this namespace. Its text is not stored and can't be shown again.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] if this scheduler acts on behalf of a token with a lower role than the new one's.
    pub async fn create_token(&self, new: NewToken) -> Result<(Token, TokenRecord), Error> {
        if new.note.len() > NOTE_BYTES_MAX {
            return Err(Invalid::new("invalid-note", "note", format!("a note has at most {NOTE_BYTES_MAX} bytes")).seen(new.note).into());
        }
        self.require(new.role)?;
        let now = self.now();
        if let Some(expires) = new.expires.filter(|expires| *expires <= now) {
            return Err(Invalid::new("invalid-time", "expires", "lies in the past").seen(expires.to_string()).into());
        }
        let token = Token::draw()?;
        let record = TokenRecord {
            id: token.id().into(),
            hash: token.hash(),
            namespace: self.namespace.id,
            role: new.role.as_str().into(),
            note: new.note,
            created_at: now,
            expires_at: new.expires,
            revoked_at: None,
        };
        match self.changes.create_token(record.clone()).await? {
            Ok(()) => {}
            Err(TokenRefused::Namespace(refused)) => return Err(refused.into()),
            Err(full @ TokenRefused::Full(_)) => {
                return Err(Error::Quota(format!("{full}; revoke one that nobody uses, or ask the operator for more")));
            }
        }
        let known = self.known(record.clone(), self.namespace.clone());
        self.core.tokens.change(|tokens| known.into_iter().for_each(|known| tokens.insert(known, now)));
        // The deletion of the namespace may have begun meanwhile, and have had the tokens forgotten before this one was inserted.
        if !self.core.storage.namespaces().iter().any(|served| served.id == self.namespace.id) {
            self.reload_tokens();
        }
        Ok((token, record))
    }

    /// The tokens of this namespace, revoked and expired ones too, in order of creation.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, Error> {
        self.read(|storage, namespace, _| storage.tokens_of(namespace)).await
    }

    /// Revokes a token of this namespace: it is refused from now on. False if there is none of this id. Idempotent.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] if this scheduler acts on behalf of a token with a lower role than that one's.
    pub async fn revoke_token(&self, id: &str) -> Result<bool, Error> {
        // Whoever acts on behalf of no token may revoke each.
        if self.role.is_some() {
            // The record of another namespace's token must look as if there were none.
            let tokens = self.tokens().await?;
            let Some(record) = tokens.iter().find(|token| token.id == id) else { return Ok(false) };
            // A token whose role this version does not know opens nothing, so nothing is lost with it.
            if let Ok(role) = Role::parse(&record.role) {
                self.require(role)?;
            }
        }
        // Refused from here on, also if the caller goes away and this is dropped while the revocation is being stored.
        let was_known = self.core.tokens.change(|tokens| tokens.remove(id, self.namespace.id));
        let revoked = self.changes.revoke_token(self.namespace.id, id, self.now()).await;
        match &revoked {
            Ok(false) => {}
            // Once more: somebody may have read it as one in force meanwhile.
            Ok(true) => self.core.tokens.change(|tokens| {
                if !tokens.remove(id, self.namespace.id) && !was_known {
                    tokens.remember_revoked(id);
                }
            }),
            // The next look-up reads from the database whether it is revoked.
            Err(_) => self.reload_tokens(),
        }
        Ok(revoked?)
    }

    /// Opens the namespace of a token on behalf of whoever holds it, and says what the token may do there. `None` for every text that is not a
    /// token in force, whatever the reason.
    pub fn authenticate(&self, text: &str) -> Result<Option<(Self, Role)>, Error> {
        self.read_token(text).map_or(Ok(None), |token| self.open(&token))
    }

    /// The same, for a token that was read already.
    pub(crate) fn open(&self, token: &Token) -> Result<Option<(Self, Role)>, Error> {
        let Some(known) = self.known_token(token.id())? else { return Ok(None) };
        if !bool::from(token.hash().ct_eq(&known.record.hash)) || !known.is_in_force(self.now()) {
            return Ok(None);
        }
        let opened =
            Self { core: self.core.clone(), namespace: known.namespace.clone(), changes: known.changes.clone(), role: Some(known.role) };
        Ok(Some((opened, known.role)))
    }

    /// Refuses what needs a higher role than that of the token on whose behalf this scheduler acts.
    pub(super) fn require(&self, needed: Role) -> Result<(), Error> {
        match self.role {
            Some(held) if !held.allows(needed) => Err(Error::Forbidden { held, needed }),
            _ => Ok(()),
        }
    }

    /// Has the tokens read from the database before the next one is looked up.
    pub(super) fn reload_tokens(&self) {
        self.core.tokens.change(|tokens| tokens.by_id = None);
    }

    fn known_token(&self, id: &str) -> Result<Option<Arc<Known>>, StorageError> {
        loop {
            if let Some(by_id) = &self.core.tokens.read().by_id {
                return Ok(by_id.get(id).cloned());
            }
            self.read_tokens()?;
        }
    }

    /// Reads the tokens from the database, unless somebody else just did.
    fn read_tokens(&self) -> Result<(), StorageError> {
        let _reading = self.core.tokens.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = {
            let known = self.core.tokens.read();
            if known.by_id.is_some() {
                return Ok(());
            }
            known.changes
        };
        let (read, now) = (self.core.storage.tokens()?, self.now());
        let namespaces: HashMap<_, _> = self.core.storage.namespaces().into_iter().map(|found| (found.id, found)).collect();
        let known = read.into_iter().filter_map(|record| {
            let namespace = namespaces.get(&record.namespace)?.clone();
            self.known(record, namespace).filter(|known| known.is_in_force(now))
        });
        let by_id: FxHashMap<_, _> = known.map(|known| (known.record.id.clone(), Arc::new(known))).collect();
        let mut known = self.core.tokens.known.write().unwrap_or_else(PoisonError::into_inner);
        // A token that was revoked since may have been read as one in force: then all are read again.
        if known.changes == before {
            known.sweep_at = SWEEP_MIN.max(2 * by_id.len());
            known.by_id = Some(by_id);
        }
        Ok(())
    }

    /// `None` if it says what this version does not know: then it opens nothing.
    fn known(&self, record: TokenRecord, namespace: Namespace) -> Option<Known> {
        let role = Role::parse(&record.role).ok()?;
        let changes = self.core.storage.on_behalf_of(&record.id);
        Some(Known { record, role, namespace, changes })
    }
}

/// The lowest `digits` digits to the base 62 of a big-endian number.
fn base62(number: &[u8], digits: usize) -> String {
    let mut number = number.to_vec();
    let mut text = vec![0; digits];
    for digit in text.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).expect("a remainder below 62 leaves a quotient below 256");
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    String::from_utf8(text).expect("the alphabet is ASCII")
}

/// CRC-32 (IEEE 802.3) in six digits to the base 62: tells a typing error from a stranger, proves nothing.
fn checksum(text: &str) -> String {
    base62(&crc32fast::hash(text.as_bytes()).to_be_bytes(), CHECKSUM_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_revoked_before_it_is_known_is_never_known() {
        let clock = crate::clock::SystemClock::new();
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scheduler = Scheduler::builder().sqlite(folder.path().join("runs.db")).clock(clock).paused().build().await.unwrap();
            let new = || NewToken { role: Role::Read, note: String::new(), expires: None };
            let (token, record) = scheduler.create_token(new()).await.unwrap();
            let opens = || scheduler.open(&token).unwrap().is_some();
            assert!(opens());
            // As if it had not been inserted yet when it was revoked.
            let known = scheduler.core.tokens.change(|tokens| tokens.by_id.as_mut().unwrap().remove(&record.id).unwrap());
            assert!(scheduler.revoke_token(&record.id).await.unwrap());
            let known = Known { record, role: known.role, namespace: known.namespace.clone(), changes: known.changes.clone() };
            scheduler.core.tokens.change(|tokens| tokens.insert(known, Timestamp::MIN));
            assert!(!opens());
            // A revocation that is given up before it is stored: refused all the same.
            let (token, record) = scheduler.create_token(new()).await.unwrap();
            assert!(scheduler.open(&token).unwrap().is_some());
            drop(futures_util::FutureExt::now_or_never(scheduler.revoke_token(&record.id)));
            assert!(scheduler.open(&token).unwrap().is_none());
            scheduler.shutdown(std::time::Duration::ZERO).await.unwrap();
        });
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        for (i, held) in Role::ALL.into_iter().enumerate() {
            for (j, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(held.allows(needed), i >= j, "{held} where {needed} is needed");
            }
            assert_eq!(Role::parse(held.as_str()).unwrap(), held);
        }
        assert_eq!(Role::parse("Admin").unwrap_err().code, "invalid-role");
    }

    #[test]
    fn tokens_tell_typing_errors() {
        let token = Token::draw().unwrap();
        let text = token.secret();
        assert_eq!(text.len(), 65);
        assert_eq!(Token::parse(text).unwrap(), token);
        assert!(!format!("{token:?}").contains(&text[17..]), "a debug form must not leak the secret");
        for place in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[place] = if changed[place] == b'x' { b'y' } else { b'x' };
            let refused = Token::parse(std::str::from_utf8(&changed).unwrap()).unwrap_err();
            assert_eq!((refused.code, refused.seen), ("invalid-token", None), "at {place}");
        }
        for text in ["", "rl_api_", &text[1..], &text.to_uppercase(), &format!("{text} "), &"ü".repeat(40)] {
            assert!(Token::parse(text).is_err());
        }
    }

    #[test]
    fn digits() {
        assert_eq!(base62(&[0, 61], 2), "0z");
        assert_eq!(base62(&[255; 32], 43).len(), 43);
        // The check value of CRC-32 is 0xcbf43926.
        assert_eq!(checksum("123456789"), base62(&0xcbf4_3926u32.to_be_bytes(), 6));
    }
}
