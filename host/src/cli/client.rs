//! The client of the HTTP API that all client commands share.
//!
//! It tells failures apart by what the user can do: the server can't be reached, it refused, or it is unknown whether it did
//! what was asked. A request that changes something and whose answer got lost is never repeated by itself.

use std::cell::Cell;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{HeaderValue, Response, header};
use ureq::typestate::{WithBody, WithoutBody};
use ureq::{Agent, Body, RequestBuilder};

use super::failure::{Exit, Failure};
use super::screen::{Screen, clean};
use super::{Global, discovery, moment, tls};
use crate::http::error::{PROBLEM_JSON, Problem};
use crate::http::{NAMESPACE, shapes};
use crate::model::{Name, RunId};

const TIMEOUT: Duration = Duration::from_secs(30);
/// A large component takes a while to arrive, to be checked and to be compiled: on a busy server longer than what each of them may take.
pub(super) const UPLOAD_TIMEOUT: Duration = Duration::from_secs(1_200);
/// How far the clocks of the server and of this machine may differ before the user is told. An answer says its time to the second, and
/// travels for a while.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(60);
/// Bytes of a body from which on the server is asked first whether it wants it. One that refuses without reading closes the connection, and
/// who is still writing then never sees why.
const ASKED_FIRST: usize = 8 << 10;
/// Bytes of an answer. Pages end at 8 MiB of inputs and outputs, which JSON can make six times as long.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A parameter of a query string.
pub(super) type Parameter = (&'static str, String);

/// A server and the token for it.
pub(super) struct Client {
    agent: Agent,
    url: String,
    token: String,
    /// The namespace to act in, where it is not the token's own.
    namespace: Option<String>,
    screen: Screen,
    /// Whether the user was told that the two clocks differ.
    told: Cell<bool>,
}

impl Client {
    /// The server that the user named, or else the one that was started in this folder or a parent.
    pub(super) fn find(global: &Global, screen: &Screen) -> anyhow::Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if global.token.is_some() {
            screen.note("warning: others on this machine can see --token in the list of processes; set RUNLATER_TOKEN instead");
        }
        let server = global.server.clone().or_else(|| variable("RUNLATER_SERVER"));
        let token = global.token.clone().or_else(|| variable("RUNLATER_TOKEN"));
        let (url, token) = match (server, token) {
            (Some(url), Some(token)) => (url, token),
            (server, token) => {
                let folder = std::env::current_dir()?;
                let found = discovery::find(&folder)?;
                match (server, found) {
                    (None, Some(found)) => (found.url, token.unwrap_or(found.token)),
                    // The file's token is for the file's server and is sent to no other.
                    (Some(url), Some(found)) if same_server(&url, &found.url) => (url, found.token),
                    (Some(_), _) => {
                        let message =
                            "there is no token for this server: set RUNLATER_TOKEN; an admin makes one with `runlater token create`";
                        return Err(Failure::new(Exit::Auth, "no-token", message).into());
                    }
                    (None, None) => {
                        let message =
                            "no server was started in this folder or a parent; start one with `runlater dev`, or name one with --server";
                        return Err(Failure::new(Exit::Unreachable, "no-server", message).into());
                    }
                }
            }
        };
        if token.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(Failure::new(Exit::Auth, "invalid-token", "the token has characters that no token has").into());
        }
        if let Some(name) = &global.namespace {
            Name::parse(name, "namespace").map_err(|invalid| Failure::new(Exit::Usage, invalid.code, clean(&format!("--{invalid}"))))?;
        }
        Ok(Self { namespace: global.namespace.clone(), ..Self::new(&url, token, screen)? })
    }

    fn new(url: &str, token: String, screen: &Screen) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/');
        let wrong = |why: &str| Failure::new(Exit::Usage, "invalid-server", format!("the server's address {:?} {why}", clean(url)));
        let uri: ureq::http::Uri = url.parse().map_err(|_| wrong("is not a URL; write for example http://127.0.0.1:7180"))?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(wrong("is not complete; write for example http://127.0.0.1:7180").into());
        };
        let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        match scheme {
            "https" => {}
            "http" if local => {}
            "http" => screen.note("warning: the token is sent unencrypted; use https beyond this machine"),
            _ => return Err(wrong("begins neither with http:// nor with https://").into()),
        }
        let mut config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .timeout_connect(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            // A redirect would take the token to who knows whom.
            .max_redirects(0)
            .user_agent(concat!("runlater/", env!("CARGO_PKG_VERSION")));
        if local {
            // A proxy can't reach this machine's loopback, and need not see the token.
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().new_agent(), url: url.into(), token, namespace: None, screen: *screen, told: Cell::new(false) })
    }

    /// Where the server is.
    #[cfg(feature = "hatchet")]
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Reads something.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[Parameter]) -> anyhow::Result<T> {
        let request = self.agent.get(format!("{}{path}", self.url)).query_pairs(query.iter().map(|(name, value)| (*name, value.as_str())));
        self.answer(self.without_body(request), false)
    }

    /// Deletes something.
    pub(super) fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.answer::<Option<()>>(self.without_body(self.agent.delete(format!("{}{path}", self.url))), true).map(drop)
    }

    /// Deletes something, as these parameters say; or asks what that would delete, if one of them is `dry_run`.
    pub(super) fn delete_with<T: DeserializeOwned>(&self, path: &str, query: &[Parameter]) -> anyhow::Result<T> {
        let changes = !query.iter().any(|(name, _)| *name == "dry_run");
        let query = query.iter().map(|(name, value)| (*name, value.as_str()));
        self.answer(self.without_body(self.agent.delete(format!("{}{path}", self.url)).query_pairs(query)), changes)
    }

    /// Does something.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.answer(self.with_json(self.agent.post(format!("{}{path}", self.url)), body)?, true)
    }

    /// Does something that may take this long.
    pub(super) fn post_slowly<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize, timeout: Duration) -> anyhow::Result<T> {
        self.answer(self.within(timeout, path, body)?, true)
    }

    /// Asks what something would do, which may take this long. If the answer is lost, nothing was changed all the same.
    pub(super) fn post_trial<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize, timeout: Duration) -> anyhow::Result<T> {
        self.answer(self.within(timeout, path, body)?, false)
    }

    /// Changes something.
    pub(super) fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.answer(self.with_json(self.agent.patch(format!("{}{path}", self.url)), body)?, true)
    }

    /// Sends a component.
    pub(super) fn upload<T: DeserializeOwned>(&self, path: &str, query: &[Parameter], wasm: &[u8]) -> anyhow::Result<T> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .query_pairs(query.iter().map(|(name, value)| (*name, value.as_str())))
            .content_type("application/wasm");
        let request = asking_first(self.authorized(request), wasm.len());
        self.answer(request.config().timeout_global(Some(UPLOAD_TIMEOUT)).build().send(wasm), true)
    }

    /// Reads a run.
    pub(super) fn run(&self, run: RunId) -> anyhow::Result<shapes::Run> {
        self.get(&format!("/v1/runs/{run}"), &[])
    }

    fn without_body(&self, request: RequestBuilder<WithoutBody>) -> Result<Response<Body>, ureq::Error> {
        self.authorized(request).call()
    }

    /// With the token, and the namespace to act in.
    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        match &self.namespace {
            Some(name) => request.header(NAMESPACE, name),
            None => request,
        }
    }

    fn within(&self, timeout: Duration, path: &str, body: &impl Serialize) -> anyhow::Result<Result<Response<Body>, ureq::Error>> {
        self.with_json(self.agent.post(format!("{}{path}", self.url)).config().timeout_global(Some(timeout)).build(), body)
    }

    fn with_json(&self, request: RequestBuilder<WithBody>, body: &impl Serialize) -> anyhow::Result<Result<Response<Body>, ureq::Error>> {
        let body = serde_json::to_vec(body)?;
        let request = self.authorized(request).content_type("application/json");
        Ok(asking_first(request, body.len()).send(&body[..]))
    }

    fn answer<T: DeserializeOwned>(&self, sent: Result<Response<Body>, ureq::Error>, changes: bool) -> anyhow::Result<T> {
        let mut response = sent.map_err(|error| self.not_sent(&error, changes))?;
        self.compare_clocks(response.headers().get(header::DATE));
        let status = response.status();
        let is_problem = response.body().mime_type() == Some(PROBLEM_JSON);
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| self.cut(changes, &why(&error)))?;
        if status.is_success() {
            let body = if body.is_empty() { &b"null"[..] } else { &body };
            return serde_json::from_slice(body)
                .map_err(|error| self.cut(changes, &format!("its answer can't be understood: {error}")).into());
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if is_problem => Err(Failure::from_problem(problem).into()),
            _ => {
                let message = format!("what answers at {} is not runlater: status {status}; check the address", clean(&self.url));
                Err(Failure::new(Exit::Unreachable, "not-runlater", message).into())
            }
        }
    }

    /// Times are the server's; how far away they are is told by this machine's clock, which the user must know when the two differ.
    fn compare_clocks(&self, date: Option<&HeaderValue>) {
        let Some(server) = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date.to_str().ok()?).ok()) else { return };
        let apart = moment::now().to_chrono().signed_duration_since(server);
        let far = apart.abs().to_std().unwrap_or(Duration::MAX);
        if far <= CLOCKS_APART_MAX || self.told.replace(true) {
            return;
        }
        let (far, way) = (moment::rough(far), if apart > chrono::TimeDelta::zero() { "ahead of" } else { "behind" });
        self.screen
            .note(format_args!("warning: this machine's clock is {far} {way} the server's; hints such as \"in 5m\" are wrong by as much"));
    }

    fn not_sent(&self, error: &ureq::Error, changes: bool) -> Failure {
        use ureq::Timeout::{Connect, Resolve};
        if let Some(why) = tls::explain(error) {
            let message = format!("there is no safe connection to {}: {}", clean(&self.url), clean(&why));
            return Failure::new(Exit::Unreachable, "tls", message);
        }
        let refused = match error {
            ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            ureq::Error::Timeout(Connect | Resolve) => true,
            ureq::Error::Timeout(_) => false,
            ureq::Error::Protocol(_) => false,
            _ => true,
        };
        if !refused {
            return self.cut(changes, &why(error));
        }
        // `dev` serves without encryption, and on this machine.
        let hint = if self.url.starts_with("https:") { "check the address" } else { "start one with `runlater dev`" };
        let message = format!("no server answers at {}: {}; {hint}", clean(&self.url), clean(&error.to_string()));
        Failure::new(Exit::Unreachable, "unreachable", message)
    }

    /// The request was sent, and no whole answer came back.
    fn cut(&self, changes: bool, why: &str) -> Failure {
        let (url, why) = (clean(&self.url), clean(why));
        if changes {
            let message =
                format!("it is unknown whether {url} did it: {why}; look with `runlater runs list`, or repeat with the same --unique-key");
            return Failure::new(Exit::OutcomeUnknown, "outcome-unknown", message);
        }
        Failure::new(Exit::Unreachable, "unreachable", format!("{url} did not answer as it should: {why}"))
    }
}

/// What went wrong on the way, in words.
fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "its answer took too long".into(),
        other => other.to_string(),
    }
}

fn asking_first(request: RequestBuilder<WithBody>, bytes: usize) -> RequestBuilder<WithBody> {
    if bytes < ASKED_FIRST { request } else { request.header(header::EXPECT, "100-continue") }
}

fn same_server(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(answer: &'static [u8], changes: bool) -> Exit {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        let screen = Screen { json: true, width: None };
        let client = Client::new(&url, "t".into(), &screen).unwrap();
        let failed = match changes {
            true => client.delete("/x").unwrap_err(),
            false => client.get::<serde_json::Value>("/x", &[]).unwrap_err(),
        };
        server.join().unwrap();
        failed.downcast_ref::<Failure>().unwrap().exit()
    }

    #[test]
    fn answers_of_all_kinds() {
        let truncated = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":";
        assert_eq!(exit_of(truncated, false), Exit::Unreachable);
        assert_eq!(exit_of(truncated, true), Exit::OutcomeUnknown);
        assert_eq!(exit_of(b"", true), Exit::OutcomeUnknown);
        assert_eq!(exit_of(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", false), Exit::Unreachable);
        assert_eq!(exit_of(b"HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", false), Exit::Unreachable);
        assert_eq!(exit_of(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n", false), Exit::Unreachable);
        let problem = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: 14\r\n\r\n{\"status\":404}";
        assert_eq!(exit_of(problem, false), Exit::NotFound);
    }

    #[test]
    fn a_server_that_is_not_there() {
        let screen = Screen { json: true, width: None };
        let client = Client::new("http://127.0.0.1:1", "t".into(), &screen).unwrap();
        let failed = client.delete("/x").unwrap_err();
        assert_eq!(failed.downcast_ref::<Failure>().unwrap().exit(), Exit::Unreachable);
        assert!(failed.to_string().contains("runlater dev"));
        for bad in ["", "localhost", "ftp://x", "http://", "x:y:z"] {
            assert!(Client::new(bad, "t".into(), &screen).is_err(), "{bad}");
        }
    }
}
