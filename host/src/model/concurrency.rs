//! How the runs of a task share its slots: lanes, and what becomes of a run whose lane is full.
//!
//! Asked by storage when a run becomes due; counts are those of the moment.

use super::limits::LANE_BYTES_MAX;
use super::{Invalid, Metadata, Payload, RunId, Timestamp};

/// How many attempts of a task may be in flight at a time. The default sets no limit: a run starts although others of its task run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Concurrency {
    /// In each lane; `None`: as many as there are slots.
    pub per_lane: Option<u32>,
    /// In all lanes of the task together.
    pub per_task: Option<u32>,
    /// What becomes of a run whose lane is full.
    pub overlap: Overlap,
}

/// What becomes of a run that is due while its lane is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It waits. In a lane of one, the next run starts when the one before has its outcome, retries included: order is kept.
    #[default]
    Queue,
    /// It is missed: the lane is busy.
    SkipNew,
    /// The oldest running one is cancelled, and the new one waits for its end.
    CancelRunning,
    /// One waits; a further one is missed.
    BufferOne,
}

impl Overlap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queue, Self::SkipNew, Self::CancelRunning, Self::BufferOne];

    /// The word for it on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::SkipNew => "skip-new",
            Self::CancelRunning => "cancel-running",
            Self::BufferOne => "buffer-one",
        }
    }

    /// Parses that word.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|overlap| overlap.as_str() == text);
        found.ok_or_else(|| Invalid::new("invalid-overlap", field, "one of queue, skip-new, cancel-running, buffer-one").seen(text))
    }
}

/// What to do with a run that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Start it.
    Start,
    /// Let it wait for a slot of its lane.
    Wait,
    /// Cancel the oldest running attempt of its lane, and let it wait.
    CancelOldestAndWait,
    /// Mark it as missed, because its lane is busy.
    Skip,
}

impl Concurrency {
    /// Decides about a run when it becomes due, `running` being the slots of its lane that are taken and `waiting` the others that wait in it.
    ///
    /// Only a lane that is full by its own limit makes runs overlap: one that waits for anything else (a rate, a pause, the limit of the
    /// whole task) is followed by others that wait behind it.
    pub fn admit(&self, running: usize, waiting: usize) -> Admission {
        let free = self.per_lane.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(running));
        if waiting < free {
            return if waiting == 0 { Admission::Start } else { Admission::Wait };
        }
        match self.overlap {
            Overlap::Queue => Admission::Wait,
            Overlap::SkipNew => Admission::Skip,
            Overlap::CancelRunning => Admission::CancelOldestAndWait,
            Overlap::BufferOne if waiting == free => Admission::Wait,
            Overlap::BufferOne => Admission::Skip,
        }
    }

    /// Why a run was missed whose lane was full, in words: `holder` had been in it since then.
    pub fn why_missed(&self, lane: Option<&str>, holder: RunId, since: Timestamp) -> String {
        let lane = lane.map_or("its task was busy".into(), |lane| format!("its lane {lane:?} was busy"));
        let limit = self.per_lane.map_or(String::new(), |limit| format!("concurrency = {limit}, "));
        format!(
            "{lane}: run {holder} had been there since {since}, and the task's policy does not let it wait ({limit}overlap = {})",
            self.overlap.as_str()
        )
    }

    /// Why an attempt was asked to end, in words: `newcomer` became due in its lane.
    pub fn why_cancelled(&self, newcomer: RunId) -> String {
        format!(
            "run {newcomer} became due in the same lane, and the task's policy is to make way for it (overlap = {})",
            self.overlap.as_str()
        )
    }

    /// Whether a run keeps its slot while it waits for its next attempt, so that a lane of one keeps its order.
    pub fn keeps_order(&self) -> bool {
        self.per_lane == Some(1) && self.overlap == Overlap::Queue
    }
}

/// Where the lane of a run comes from. Concurrency and rate are counted for each lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneKey {
    /// All runs of the task share one lane.
    #[default]
    Constant,
    /// A field of the JSON input: the names on the way to it.
    Input(Vec<String>),
    /// An entry of the metadata.
    Metadata(String),
}

impl LaneKey {
    /// Parses `constant`, `input.customer.id` or `metadata.customer`.
    pub fn parse(text: &str, field: &str) -> Result<Self, Invalid> {
        let refused = || {
            Invalid::new("invalid-lane", field, "constant, or a path such as input.customer.id or metadata.customer, of at most 128 bytes")
                .seen(text)
        };
        if text.len() > 128 {
            return Err(refused());
        }
        match text.split_once('.') {
            None if text == "constant" => Ok(Self::Constant),
            Some(("metadata", key)) if !key.is_empty() => Ok(Self::Metadata(key.into())),
            Some(("input", path)) if path.split('.').all(|name| !name.is_empty()) => {
                Ok(Self::Input(path.split('.').map(Into::into).collect()))
            }
            _ => Err(refused()),
        }
    }

    /// The lane of a run: `None` for [`LaneKey::Constant`]. A field that is not there is the empty lane.
    pub fn lane(&self, input: &Payload, metadata: &Metadata) -> Result<Option<String>, Invalid> {
        match self.text(input, metadata) {
            None => Ok(None),
            Some(lane) if lane.len() <= LANE_BYTES_MAX => Ok(Some(lane)),
            Some(lane) => {
                let reason = format!("the task counts its runs by this field, so it may have at most {LANE_BYTES_MAX} bytes");
                Err(Invalid::new("invalid-lane", self.to_string(), reason).seen(lane))
            }
        }
    }

    /// The lane that a stored run is counted in; empty for [`LaneKey::Constant`]. If its field is longer than a lane may be, because the policy
    /// changed after it was scheduled, it shares the lane of what its field begins with.
    pub fn lane_of_stored(&self, input: &Payload, metadata: &Metadata) -> String {
        let mut lane = self.text(input, metadata).unwrap_or_default();
        lane.truncate(lane.floor_char_boundary(LANE_BYTES_MAX));
        lane
    }

    fn text(&self, input: &Payload, metadata: &Metadata) -> Option<String> {
        match self {
            Self::Constant => None,
            Self::Metadata(key) => Some(metadata.get(key).unwrap_or_default().to_owned()),
            Self::Input(path) => Some(at(input, path)),
        }
    }
}

impl std::fmt::Display for LaneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Input(path) => write!(f, "input.{}", path.join(".")),
            Self::Metadata(key) => write!(f, "metadata.{key}"),
        }
    }
}

/// The value at `path` in a JSON input: a string as it is, anything else as its JSON text.
fn at(input: &Payload, path: &[String]) -> String {
    if input.stored_media_type().is_some() {
        return String::new();
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(input.bytes()) else { return String::new() };
    match path.iter().try_fold(&value, |value, name| value.get(name)) {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_in_every_situation() {
        use Admission::*;
        let situations = [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1)];
        for (overlap, expected) in [
            (Overlap::Queue, [Start, Start, Wait, Wait, Wait]),
            (Overlap::SkipNew, [Start, Start, Skip, Skip, Skip]),
            (Overlap::CancelRunning, [Start, Start, CancelOldestAndWait, CancelOldestAndWait, CancelOldestAndWait]),
            (Overlap::BufferOne, [Start, Start, Wait, Skip, Wait]),
        ] {
            let concurrency = Concurrency { per_lane: Some(2), per_task: None, overlap };
            assert_eq!(situations.map(|(running, waiting)| concurrency.admit(running, waiting)), expected, "{overlap:?}");
        }
        assert_eq!(Concurrency::default().admit(1_000_000, 0), Start, "without a limit");
        let skip = Concurrency { per_lane: Some(3), per_task: Some(1), overlap: Overlap::SkipNew };
        assert_eq!(
            (skip.admit(1, 1), skip.admit(1, 2)),
            (Wait, Skip),
            "what waits for the task's limit leaves room for others of the lane"
        );
        assert_eq!(Concurrency { per_lane: None, ..skip }.admit(9, 9), Wait, "a lane without a limit is never full");
        let tightened = Concurrency { per_lane: Some(1), per_task: None, overlap: Overlap::BufferOne };
        assert_eq!((tightened.admit(3, 0), tightened.admit(3, 1)), (Wait, Skip), "more run than may by now");
    }

    #[test]
    fn lanes() {
        let input = Payload::json(br#"{"customer":{"id":7,"name":"a.b"},"list":[1]}"#, "input").unwrap();
        let metadata = Metadata::from_entries([("tier", "gold")]).unwrap();
        for (key, lane) in [
            ("constant", None),
            ("input.customer.id", Some("7")),
            ("input.customer.name", Some("a.b")),
            ("input.list", Some("[1]")),
            ("input.customer.nothing.there", Some("")),
            ("metadata.tier", Some("gold")),
            ("metadata.other", Some("")),
        ] {
            let parsed = LaneKey::parse(key, "lane").unwrap();
            assert_eq!(parsed.to_string(), key);
            assert_eq!(parsed.lane(&input, &metadata).unwrap().as_deref(), lane, "{key}");
        }
        for bad in ["", "input", "input.", "input..a", "output.a", "metadata."] {
            assert!(LaneKey::parse(bad, "lane").is_err(), "{bad}");
        }
    }
}
