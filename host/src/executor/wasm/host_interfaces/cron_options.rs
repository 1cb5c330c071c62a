//! The resource `cron-options` of the interface `definition`: what is said of a cron, by a component that declares one and by a guest that makes one.

use wasmtime::component::Resource;

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{definition, types};
use crate::model::{CronSettings, Invalid, Metadata, MissedPolicy, Payload};

use super::definition::catch_up;
use super::types::{CallFailure, duration, timestamp};

impl AttemptState {
    /// What these options say beside the expression.
    pub(super) fn settings(&mut self, expression: Option<String>, options: Option<Options>) -> Result<CronSettings, CallFailure> {
        let settings = match options {
            Some(handle) => self.table.get(&handle)?.clone(),
            None => CronSettings::default(),
        };
        Ok(CronSettings { expression, ..settings })
    }

    fn set_cron(
        &mut self,
        options: &Resource<CronSettings>,
        set: impl FnOnce(&mut CronSettings) -> Result<(), Invalid>,
    ) -> Result<(), CallFailure> {
        self.count_call()?;
        let refused: Result<(), Invalid> = self.change(options, |settings| {
            let mut changed = settings.clone();
            set(&mut changed)?;
            changed.check()?;
            *settings = changed;
            Ok(())
        })?;
        if let Err(invalid) = &refused {
            self.note_refusal(invalid.clone().within("crons"));
        }
        Ok(refused?)
    }

    fn lift_of_cron(&mut self, options: &Resource<CronSettings>, lift: impl FnOnce(&mut CronSettings)) -> wasmtime::Result<()> {
        self.count_call()?;
        self.change(options, lift)
    }
}

type Options = Resource<CronSettings>;

impl definition::HostCronOptions for AttemptState {
    fn new(&mut self) -> wasmtime::Result<Options> {
        self.count_call()?;
        self.keep(CronSettings::default())
    }

    fn set_timezone(&mut self, options: Options, name: String) -> Result<(), CallFailure> {
        let zones = self.host.zones.current();
        self.set_cron(&options, |settings| {
            zones.zone(&name)?;
            settings.timezone = Some(name);
            Ok(())
        })
    }

    fn set_start(&mut self, options: Options, at: types::Instant) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            settings.start = Some(timestamp(at, "start")?);
            Ok(())
        })
    }

    fn set_end(&mut self, options: Options, at: types::Instant) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            settings.end = Some(Some(timestamp(at, "end")?));
            Ok(())
        })
    }

    fn set_max_count(&mut self, options: Options, count: u32) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            settings.max_count = Some(Some(count));
            Ok(())
        })
    }

    fn set_jitter(&mut self, options: Options, jitter: u64) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            settings.jitter = Some(duration(jitter, "jitter")?);
            Ok(())
        })
    }

    fn set_input(&mut self, options: Options, input: types::Payload) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            settings.input = Some(Payload::new(&input.media_type, &input.bytes, "input")?);
            Ok(())
        })
    }

    fn set_metadata(&mut self, options: Options, key: String, value: String) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| settings.metadata.get_or_insert_with(Metadata::default).set(&key, &value))
    }

    fn set_priority(&mut self, options: Options, priority: u8) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            settings.priority = Some(Some(priority));
            Ok(())
        })
    }

    fn set_missed(
        &mut self,
        options: Options,
        which: definition::CatchUp,
        window: Option<u64>,
        max: Option<u32>,
    ) -> Result<(), CallFailure> {
        self.set_cron(&options, |settings| {
            let default = MissedPolicy::default();
            let window = window.map(|window| duration(window, "missed-window")).transpose()?.unwrap_or(default.window);
            let policy = MissedPolicy { catch_up: catch_up(which)?, window, max: max.unwrap_or(default.max) };
            settings.missed = Some(Some(policy.checked()?));
            Ok(())
        })
    }

    fn lift_end(&mut self, options: Options) -> wasmtime::Result<()> {
        self.lift_of_cron(&options, |settings| settings.end = Some(None))
    }

    fn lift_max_count(&mut self, options: Options) -> wasmtime::Result<()> {
        self.lift_of_cron(&options, |settings| settings.max_count = Some(None))
    }

    fn lift_metadata(&mut self, options: Options) -> wasmtime::Result<()> {
        self.lift_of_cron(&options, |settings| settings.metadata = Some(Metadata::default()))
    }

    fn lift_priority(&mut self, options: Options) -> wasmtime::Result<()> {
        self.lift_of_cron(&options, |settings| settings.priority = Some(None))
    }

    fn lift_missed(&mut self, options: Options) -> wasmtime::Result<()> {
        self.lift_of_cron(&options, |settings| settings.missed = Some(None))
    }

    fn drop(&mut self, options: Options) -> wasmtime::Result<()> {
        self.release(options).map(drop)
    }
}
