//! The interface `definition`: what a component says of its tasks.
//!
//! Whatever a setter refuses is also kept, so that a component can't be registered by ignoring it.

use wasmtime::component::Resource;

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{definition, types};
use crate::executor::wasm::held::Held;
use crate::model::limits::{CODE_SCHEDULES_MAX, DESCRIPTION_BYTES_MAX, RETRY_DELAYS_MAX};
use crate::model::{
    CatchUp, CodeCron, CodeSchedule, CronSettings, InputSchema, Invalid, LaneKey, Name, Overlap, PolicySettings, RateLimit, RateUnit,
    TaskDefinition, TaskPolicy, UniqueKey,
};

use super::types::{CallFailure, duration, input, timestamp};
use super::unnamed;

/// Bytes of a lane or a unit that are looked at: more than either may have.
const TEXT_SCANNED: usize = 256;

/// A task definition while the guest makes it.
#[derive(Debug)]
pub struct DefinitionDraft {
    /// An invalid name is reported when `describe` returns, because a constructor can't fail.
    name: Result<Name, Invalid>,
    definition: TaskDefinition,
}

impl DefinitionDraft {
    fn new(name: &str) -> Self {
        Self { name: Name::parse(name, "name"), definition: TaskDefinition::new(unnamed()) }
    }

    /// The definition under its name, if that is sound.
    pub(in crate::executor::wasm) fn finish(self) -> Result<TaskDefinition, Invalid> {
        let name = self.name.map_err(|invalid| invalid.within("tasks"))?;
        Ok(TaskDefinition { name, ..self.definition })
    }

    /// The task's name; something else for one that is refused when `describe` returns.
    fn task(&self) -> Name {
        self.name.clone().unwrap_or_else(|_| unnamed())
    }

    /// Where it is found in an error.
    fn path(&self) -> String {
        format!("tasks.{}", self.name.as_ref().map_or("?", Name::as_str))
    }
}

impl Held for DefinitionDraft {
    fn heap_bytes(&self) -> usize {
        let name = self.name.as_ref().map_or_else(|invalid| invalid.reason.len(), |name| name.as_str().len());
        name + self.definition.heap_bytes()
    }
}

type Handle = Resource<DefinitionDraft>;

impl AttemptState {
    fn define(&mut self, handle: &Handle, set: impl FnOnce(&mut TaskDefinition) -> Result<(), Invalid>) -> Result<(), CallFailure> {
        self.count_call()?;
        let refused = self.change(handle, |draft| set(&mut draft.definition).map_err(|invalid| invalid.within(&draft.path())))?;
        if let Err(invalid) = &refused {
            self.note_refusal(invalid.clone());
        }
        Ok(refused?)
    }

    /// Keeps the first refusal of a setter, so that a component can't be registered by ignoring it.
    pub(super) fn note_refusal(&mut self, refused: Invalid) {
        self.refused_definition.get_or_insert(refused);
    }

    /// Sets a part of the policy, if what has been set by then is sound with it.
    fn define_policy(&mut self, handle: &Handle, set: impl FnOnce(&mut PolicySettings) -> Result<(), Invalid>) -> Result<(), CallFailure> {
        self.define(handle, |definition| {
            let mut settings = definition.policy.clone();
            set(&mut settings)?;
            TaskPolicy::default().with(&settings)?;
            definition.policy = settings;
            Ok(())
        })
    }
}

impl definition::Host for AttemptState {}

impl definition::HostTaskDefinition for AttemptState {
    fn new(&mut self, name: String) -> wasmtime::Result<Handle> {
        self.count_call()?;
        self.keep(DefinitionDraft::new(&name))
    }

    fn set_description(&mut self, handle: Handle, text: String) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            if text.len() > DESCRIPTION_BYTES_MAX {
                let reason = format!("{} bytes, the limit is {DESCRIPTION_BYTES_MAX}; shorten it", text.len());
                return Err(Invalid::new("invalid-description", "description", reason));
            }
            definition.description = Some(text);
            Ok(())
        })
    }

    async fn set_input_schema(&mut self, handle: Handle, schema: String) -> Result<(), CallFailure> {
        // Components describe themselves on a thread that serves requests, and compiling a schema takes up to a tenth of a second.
        let panicked = |_| Err(Invalid::new("invalid-schema", "input-schema", "checking it panicked; it was reported to the host's log"));
        let parsed = tokio::task::spawn_blocking(move || InputSchema::parse(&schema)).await.unwrap_or_else(panicked);
        self.define(&handle, |definition| {
            definition.input_schema = Some(parsed?);
            Ok(())
        })
    }

    fn set_max_attempts(&mut self, handle: Handle, attempts: u32) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.max_attempts = Some(attempts);
            Ok(())
        })
    }

    fn set_retry_delay(&mut self, handle: Handle, base: u64, max: u64) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.retry_delay = Some((duration(base, "retry-delay")?, duration(max, "retry-delay")?));
            policy.retry_delays = None;
            Ok(())
        })
    }

    fn set_retry_delays(&mut self, handle: Handle, delays: Vec<u64>) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            // One more than there may be, so that too many are refused without a copy of them all.
            let delays = delays.into_iter().take(RETRY_DELAYS_MAX + 1).map(|delay| duration(delay, "retry-delays"));
            policy.retry_delays = Some(delays.collect::<Result<_, _>>()?);
            Ok(())
        })
    }

    fn set_timeout(&mut self, handle: Handle, timeout: u64) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.timeout = Some(duration(timeout, "timeout")?);
            Ok(())
        })
    }

    fn set_priority(&mut self, handle: Handle, priority: u8) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.priority = Some(priority);
            Ok(())
        })
    }

    fn set_concurrency(&mut self, handle: Handle, attempts: u32) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.concurrency = Some(attempts);
            Ok(())
        })
    }

    fn set_concurrency_per_task(&mut self, handle: Handle, attempts: u32) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.concurrency_per_task = Some(attempts);
            Ok(())
        })
    }

    fn set_overlap(&mut self, handle: Handle, overlap: definition::Overlap) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.overlap = Some(match overlap {
                definition::Overlap::Queue => Overlap::Queue,
                definition::Overlap::SkipNew => Overlap::SkipNew,
                definition::Overlap::CancelRunning => Overlap::CancelRunning,
                definition::Overlap::BufferOne => Overlap::BufferOne,
                definition::Overlap::Other(word) => Overlap::parse(&word, "overlap")?,
            });
            Ok(())
        })
    }

    fn set_lane(&mut self, handle: Handle, lane: definition::Lane) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            let text = match lane {
                definition::Lane::Constant => "constant".into(),
                definition::Lane::Input(path) => format!("input.{}", start_of(&path)),
                definition::Lane::Metadata(key) => format!("metadata.{}", start_of(&key)),
                definition::Lane::Other(text) => text,
            };
            policy.lane = Some(LaneKey::parse(&text, "lane")?);
            Ok(())
        })
    }

    fn set_rate(&mut self, handle: Handle, count: u32, per: definition::RateUnit) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.rate = Some(match per {
                definition::RateUnit::Second => RateLimit::new(count, RateUnit::Second, "rate")?,
                definition::RateUnit::Minute => RateLimit::new(count, RateUnit::Minute, "rate")?,
                definition::RateUnit::Hour => RateLimit::new(count, RateUnit::Hour, "rate")?,
                definition::RateUnit::Other(unit) => RateLimit::parse(&format!("{count}/{}", start_of(&unit)), "rate")?,
            });
            Ok(())
        })
    }

    fn set_missed(&mut self, handle: Handle, which: definition::CatchUp, window: Option<u64>, max: Option<u32>) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.missed = Some(catch_up(which)?);
            policy.missed_window = window.map(|window| duration(window, "missed-window")).transpose()?;
            policy.missed_max = max;
            Ok(())
        })
    }

    fn set_start_deadline(&mut self, handle: Handle, deadline: u64) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.start_deadline = Some(duration(deadline, "start-deadline")?);
            Ok(())
        })
    }

    fn set_cancel_grace(&mut self, handle: Handle, grace: u64) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.cancel_grace = Some(duration(grace, "cancel-grace")?);
            Ok(())
        })
    }

    fn set_on_failure(&mut self, handle: Handle, task: String) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.on_failure = Some(Name::parse(&task, "on-failure")?);
            Ok(())
        })
    }

    fn set_retention(&mut self, handle: Handle, keep_for: Option<u64>, keep_last: Option<u64>) -> Result<(), CallFailure> {
        self.define_policy(&handle, |policy| {
            policy.keep_for = keep_for.map(|age| duration(age, "keep-for")).transpose()?;
            policy.keep_last = keep_last;
            Ok(())
        })
    }

    fn add_schedule(
        &mut self,
        handle: Handle,
        key: String,
        at: types::Instant,
        payload: Option<types::Payload>,
    ) -> Result<(), CallFailure> {
        self.define(&handle, |definition| {
            let field = "schedules";
            UniqueKey::parse(&key, "key").map_err(|invalid| invalid.within(field))?;
            if definition.schedules.iter().any(|schedule| schedule.key == key) {
                return Err(Invalid::new("duplicate-schedule", field, "two schedules of this key").seen(key));
            }
            if definition.schedules.len() == CODE_SCHEDULES_MAX {
                let reason = format!("more than {CODE_SCHEDULES_MAX}; schedule further runs from a run");
                return Err(Invalid::new("too-many-schedules", field, reason));
            }
            let at = timestamp(at, "at").map_err(|invalid| invalid.within(field))?;
            let input = input(payload).map_err(|invalid| invalid.within(field))?;
            definition.schedules.push(CodeSchedule { key, at, input });
            Ok(())
        })
    }

    fn add_cron(
        &mut self,
        handle: Handle,
        key: String,
        expression: String,
        options: Option<Resource<CronSettings>>,
    ) -> Result<(), CallFailure> {
        let task = self.table.get(&handle)?.task();
        let settings = self.settings(Some(expression), options)?;
        let zones = self.host.zones.current();
        self.define(&handle, |definition| {
            let field = "crons";
            if definition.crons.len() == CODE_SCHEDULES_MAX {
                let reason = format!("more than {CODE_SCHEDULES_MAX}; make further ones at the scheduler");
                return Err(Invalid::new("too-many-crons", field, reason));
            }
            let cron = CodeCron::new(&task, &key, settings, &zones).map_err(|invalid| invalid.within(field))?;
            if definition.crons.iter().any(|other| other.name == cron.name) {
                return Err(Invalid::new("duplicate-cron", field, "two crons of this key").seen(key));
            }
            definition.crons.push(cron);
            Ok(())
        })
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.release(handle).map(drop)
    }
}

/// As much of a guest's text as any valid one has, and enough of an invalid one to refuse it.
fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_SCANNED)]
}

pub(super) fn to_catch_up(which: CatchUp) -> definition::CatchUp {
    match which {
        CatchUp::Skip => definition::CatchUp::Skip,
        CatchUp::Latest => definition::CatchUp::Latest,
        CatchUp::All => definition::CatchUp::All,
    }
}

pub(super) fn catch_up(which: definition::CatchUp) -> Result<CatchUp, Invalid> {
    Ok(match which {
        definition::CatchUp::Skip => CatchUp::Skip,
        definition::CatchUp::Latest => CatchUp::Latest,
        definition::CatchUp::All => CatchUp::All,
        definition::CatchUp::Other(word) => CatchUp::parse(&word, "missed")?,
    })
}
