//! Decides which imports a component may have, and words the refusal.
//!
//! Called at registration. Pure: names in, verdict out. What is not granted is also not linked (`linkers`), so this check only
//! says early and clearly what would fail anyway.

use crate::model::{Grant, Grants, Invalid};

use super::precheck::Outline;
use super::toolchain::{EXPORT_HINT, LIBRARY_HINT, TARGET_HINT};

/// The version of our WIT package.
const VERSION: &str = "0.1.0";
/// The export that makes a component one of tasks.
pub(super) const TASK_EXPORT: &str = "runlater:scheduler/task@0.1.0";
/// Our interfaces that every guest may import.
const OURS: [&str; 3] = ["types", "context", "definition"];
/// Our interfaces that need a grant of their name.
const GRANTED: [&str; 3] = ["runs", "crons", "pauses"];
/// What the standard libraries of languages need. There is nothing in it: no environment, arguments, files or input.
/// Sockets are refused to attempts that were granted no address, when they ask for one.
const WASI: [&str; 6] = ["cli", "io", "clocks", "filesystem", "random", "sockets"];
/// Imports that one refusal names.
const NAMED_MAX: usize = 10;
/// Letters in which a name may differ from the one that was meant.
const TYPOS_MAX: usize = 2;

/// Which of the interfaces that need a grant are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkSet {
    pub(super) runs: bool,
    pub(super) crons: bool,
    pub(super) pauses: bool,
}

impl LinkSet {
    pub(super) const COUNT: usize = 8;
    pub(super) const ALL: [Self; Self::COUNT] = {
        let mut all = [Self { runs: false, crons: false, pauses: false }; Self::COUNT];
        let mut index = 0;
        while index < Self::COUNT {
            all[index] = Self { runs: index & 1 != 0, crons: index & 2 != 0, pauses: index & 4 != 0 };
            index += 1;
        }
        all
    };

    pub(super) fn of(grants: &Grants) -> Self {
        Self { runs: grants.runs(), crons: grants.crons(), pauses: grants.pauses() }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self.runs as usize | (self.crons as usize) << 1 | (self.pauses as usize) << 2
    }
}

/// Refuses a component that lacks the export, or imports what it may not. Returns the imports that only an embedder's own
/// functions can satisfy: whether they do is for the linker to say.
pub(super) fn check(outline: &Outline, grants: &Grants) -> Result<Vec<String>, Invalid> {
    check_exports(&outline.exports)?;
    let (mut foreign, mut missing) = (Vec::new(), Vec::new());
    for import in &outline.imports {
        match verdict(import, LinkSet::of(grants)) {
            Verdict::Linked => {}
            Verdict::Foreign => foreign.push(import.clone()),
            Verdict::NotGranted(grant) => missing.push((import.as_str(), grant)),
            Verdict::Refused(code, reason) => return Err(Invalid::new(code, "component", format!("imports {import}: {reason}"))),
        }
    }
    if missing.is_empty() { Ok(foreign) } else { Err(not_granted(&missing, grants)) }
}

/// Names all grants that are missing, and the command that gives them with those that were given already: each registration says all of them.
fn not_granted(missing: &[(&str, Grant)], given: &Grants) -> Invalid {
    let mut imports = missing.iter().take(NAMED_MAX).map(|(import, _)| *import).collect::<Vec<_>>().join(", ");
    if missing.len() > NAMED_MAX {
        imports.push_str(", …");
    }
    let all: Grants = given.iter().cloned().chain(missing.iter().map(|(_, grant)| grant.clone())).collect();
    let flags: String = all.iter().map(|grant| format!(" --grant {grant}")).collect();
    let needs = if missing.len() == 1 { "needs a grant" } else { "need grants" };
    Invalid::new("import-not-granted", "component", format!("imports {imports}: {needs}; register with `runlater register FILE{flags}`"))
}

/// The refusal of an import that neither we nor the embedder know.
pub(super) fn unknown(import: &str) -> Invalid {
    let reason = if import.starts_with("wasi:http/") {
        "no grant offers it: there is no outgoing HTTP; `--grant tcp=HOST:PORT` allows TCP connections to one host. With componentize-js, build with \
         `--disable http --disable fetch-event`"
            .into()
    } else if let Some(nearest) = nearest(import) {
        format!("no grant offers it; did you mean {nearest}?")
    } else {
        "no grant offers it; build without what needs it".into()
    };
    Invalid::new("import-not-granted", "component", format!("imports {import}: {reason}"))
}

enum Verdict {
    Linked,
    Foreign,
    /// This grant links it.
    NotGranted(Grant),
    Refused(&'static str, String),
}

fn verdict(import: &str, linked: LinkSet) -> Verdict {
    let (name, version) = import.split_once('@').map_or((import, None), |(name, version)| (name, Some(version)));
    let Some((package, interface)) = name.split_once('/') else {
        return Verdict::Foreign;
    };
    let refused = |reason: &str| Verdict::Refused("import-not-granted", reason.to_owned());
    match package {
        "runlater:scheduler" if interface == "runs" && !linked.runs => Verdict::NotGranted(Grant::Runs),
        "runlater:scheduler" if interface == "crons" && !linked.crons => Verdict::NotGranted(Grant::Crons),
        "runlater:scheduler" if interface == "pauses" && !linked.pauses => Verdict::NotGranted(Grant::Pauses),
        "runlater:scheduler" if version != Some(VERSION) && (OURS.contains(&interface) || GRANTED.contains(&interface)) => {
            let reason = format!("this host offers version {VERSION}, that is {package}/{interface}@{VERSION}; build against its wit/");
            Verdict::Refused("unsupported-version", reason)
        }
        "runlater:scheduler" if OURS.contains(&interface) || GRANTED.contains(&interface) => Verdict::Linked,
        "runlater:scheduler" => match nearest(import) {
            Some(nearest) => refused(&format!("there is no such interface; did you mean {nearest}?")),
            None => refused("there is no such interface; build against the host's wit/"),
        },
        _ => match package.strip_prefix("wasi:") {
            Some(wasi) if WASI.contains(&wasi) && version.is_some_and(|version| version.starts_with("0.2.")) => Verdict::Linked,
            Some(wasi) if WASI.contains(&wasi) => {
                Verdict::Refused("unsupported-version", format!("this host offers WASI 0.2; {TARGET_HINT}"))
            }
            _ => Verdict::Foreign,
        },
    }
}

/// Our interface whose name is so like this one that it may be meant.
fn nearest(import: &str) -> Option<String> {
    let ours = OURS.iter().chain(&GRANTED).map(|interface| format!("runlater:scheduler/{interface}@{VERSION}"));
    ours.map(|known| (typos(import, &known), known)).filter(|(typos, _)| *typos <= TYPOS_MAX).min().map(|(_, known)| known)
}

/// In how many letters two names differ, whatever their versions.
fn typos(one: &str, other: &str) -> usize {
    let name = |text: &str| text.split('@').next().unwrap_or(text).chars().take(128).collect::<String>();
    strsim::osa_distance(&name(one), &name(other))
}

fn check_exports(exports: &[String]) -> Result<(), Invalid> {
    if exports.iter().any(|export| export == TASK_EXPORT) {
        return Ok(());
    }
    let missing = |reason: String| Err(Invalid::new("missing-export", "component", format!("does not export {TASK_EXPORT}: {reason}")));
    let other_version = TASK_EXPORT.split_once('@').map_or(TASK_EXPORT, |(name, _)| name);
    if let Some(export) = exports.iter().find(|export| export.split('@').next() == Some(other_version)) {
        return missing(format!("it exports {export}; this host speaks version {VERSION}: build against its wit/"));
    }
    if exports.iter().any(|export| export.starts_with("wasi:cli/run@")) {
        return missing(format!("it is a command with a `main`; {LIBRARY_HINT}"));
    }
    if exports.is_empty() {
        return missing(format!("it exports nothing; {EXPORT_HINT}"));
    }
    if let Some(near) = exports.iter().find(|export| typos(export, TASK_EXPORT) <= TYPOS_MAX) {
        return missing(format!("it exports {near}; did you mean {TASK_EXPORT}? Build against the host's wit/"));
    }
    let mut names = exports.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if exports.len() > 5 {
        names.push_str(", …");
    }
    missing(format!("it exports {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on one import, as `code reason`, `linked` or `foreign`.
    fn of(import: &str, grants: &[&str]) -> String {
        let grants = grants.iter().map(|grant| Grant::parse(grant).unwrap()).collect();
        let outline = Outline { imports: vec![import.into()], exports: vec![TASK_EXPORT.into()] };
        match check(&outline, &grants) {
            Ok(foreign) if foreign.is_empty() => "linked".into(),
            Ok(_) => "foreign".into(),
            Err(invalid) => format!("{}: {}", invalid.code, invalid.reason),
        }
    }

    #[test]
    fn imports() {
        for linked in [
            "runlater:scheduler/context@0.1.0",
            "runlater:scheduler/types@0.1.0",
            "wasi:cli/environment@0.2.3",
            "wasi:io/streams@0.2.0",
            "wasi:filesystem/preopens@0.2.6",
        ] {
            assert_eq!(of(linked, &[]), "linked");
        }
        assert_eq!(of("runlater:scheduler/runs@0.1.0", &["runs"]), "linked");
        assert_eq!(of("runlater:scheduler/crons@0.1.0", &["crons"]), "linked");
        assert_eq!(of("runlater:scheduler/pauses@0.1.0", &["pauses"]), "linked");
        assert_eq!(of("wasi:sockets/tcp@0.2.3", &[]), "linked", "what it may do is decided by the attempt");
        for foreign in ["acme:billing/api@1.0.0", "wasi:http/outgoing-handler@0.2.3", "log", "wasi:keyvalue/store@0.2.0"] {
            assert_eq!(of(foreign, &["runs"]), "foreign");
        }
        for (import, grants, words) in [
            (
                "runlater:scheduler/runs@0.1.0",
                &["tcp=192.0.2.7:80"][..],
                "import-not-granted: imports runlater:scheduler/runs@0.1.0: needs a grant; \
                 register with `runlater register FILE --grant runs --grant tcp=192.0.2.7:80`",
            ),
            ("wasi:sockets/tcp@0.3.0", &["runs"], "unsupported-version"),
            (
                "runlater:scheduler/types@0.2.0",
                &[],
                "unsupported-version: imports runlater:scheduler/types@0.2.0: this host offers version 0.1.0",
            ),
            ("runlater:scheduler/crons@0.1.0", &["runs"], "FILE --grant runs --grant crons`"),
            ("runlater:scheduler/pauses@0.1.0", &["runs", "crons"], "FILE --grant runs --grant crons --grant pauses`"),
            ("runlater:scheduler/state@0.1.0", &[], "there is no such interface; build against the host's wit/"),
            ("runlater:scheduler/run@0.1.0", &[], "there is no such interface; did you mean runlater:scheduler/runs@0.1.0?"),
            ("runlater:scheduler/contxet", &[], "there is no such interface; did you mean runlater:scheduler/context@0.1.0?"),
            ("runlater:scheduler/cron@0.9.0", &["crons"], "there is no such interface; did you mean runlater:scheduler/crons@0.1.0?"),
            ("runlater:scheduler/runs@0.2.0", &["runs"], "this host offers version 0.1.0, that is runlater:scheduler/runs@0.1.0"),
            ("runlater:scheduler/runs", &["runs"], "unsupported-version"),
            ("wasi:io/streams@0.3.0", &[], "unsupported-version"),
        ] {
            let seen = of(import, grants);
            assert!(seen.contains(words), "{seen}");
        }
        assert!(unknown("wasi:http/outgoing-handler@0.2.3").reason.contains("no outgoing HTTP"));
        assert!(unknown("acme:x/y").reason.contains("no grant offers it; build without"));
        assert!(
            unknown("runlatr:scheduler/runs@0.1.0").reason.ends_with("no grant offers it; did you mean runlater:scheduler/runs@0.1.0?")
        );
        assert!(unknown("runlater:schedule/context@0.1.0").reason.ends_with("did you mean runlater:scheduler/context@0.1.0?"));
        assert!(unknown(&"é".repeat(1 << 20)).reason.contains("build without"));
    }

    #[test]
    fn all_missing_grants_are_named_at_once() {
        let imports = ["runs", "types", "pauses", "crons"].map(|name| format!("runlater:scheduler/{name}@0.1.0")).to_vec();
        let outline = Outline { imports, exports: vec![TASK_EXPORT.into()] };
        let refused = check(&outline, &[Grant::parse("tcp=db.example.com:5432").unwrap()].into_iter().collect()).unwrap_err();
        assert_eq!(
            refused.reason,
            "imports runlater:scheduler/runs@0.1.0, runlater:scheduler/pauses@0.1.0, runlater:scheduler/crons@0.1.0: need grants; \
             register with `runlater register FILE --grant runs --grant crons --grant pauses --grant tcp=db.example.com:5432`"
        );
    }

    #[test]
    fn exports() {
        for (exports, words) in [
            (&[][..], "exports nothing"),
            (&["runlater:scheduler/task@0.2.0"], "it exports runlater:scheduler/task@0.2.0; this host speaks version 0.1.0"),
            (&["runlater:scheduler/tasks@0.1.0"], "it exports runlater:scheduler/tasks@0.1.0; did you mean runlater:scheduler/task@0.1.0?"),
            (&["runlater:scheduler/handler@0.1.0"], "it exports runlater:scheduler/handler@0.1.0"),
            (&["wasi:cli/run@0.2.3"], "a command"),
            (&["a:b/c", "d"], "it exports a:b/c, d"),
        ] {
            let exports = exports.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            let refused = check_exports(&exports).unwrap_err();
            assert_eq!(refused.code, "missing-export");
            assert!(refused.reason.contains(words), "{refused}");
        }
    }

    #[test]
    fn every_link_set_knows_its_place() {
        for (index, set) in LinkSet::ALL.into_iter().enumerate() {
            assert_eq!(set.index(), index);
        }
    }
}
