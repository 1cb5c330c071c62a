//! The interface `crons`: rules that make runs again and again. Linked only with the grant.

use wasmtime::component::Resource;

use crate::executor::wasm::attempt::AttemptState;
use crate::executor::wasm::bindings::{crons, types};
use crate::model::limits::PAGE_SIZE_MAX;
use crate::model::{Cron, CronFilter, CronSettings, Invalid, MissedPolicy, Name};

use super::definition::to_catch_up;
use super::types::{CallFailure, instant, metadata, nanos, origin, payload, timestamp, timestamp_floor};

impl AttemptState {
    fn read_cron<R>(&mut self, cron: &Resource<Cron>, read: impl FnOnce(&Cron) -> R) -> wasmtime::Result<R> {
        self.count_call()?;
        Ok(read(self.table.get(cron)?))
    }
}

fn up_to_a_page(count: u32, code: &'static str, field: &'static str) -> Result<usize, Invalid> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let wrong = || Invalid::new(code, field, format!("1 to {PAGE_SIZE_MAX}")).seen(count.to_string());
    (1..=PAGE_SIZE_MAX).contains(&limit).then_some(limit).ok_or_else(wrong)
}

fn named(name: &str) -> Result<Name, Invalid> {
    Name::parse(name, "name")
}

impl crons::Host for AttemptState {
    async fn create(
        &mut self,
        name: String,
        task: String,
        expression: String,
        options: Option<Resource<CronSettings>>,
    ) -> Result<(), CallFailure> {
        self.count_call()?;
        let settings = self.settings(Some(expression), options)?;
        Ok(self.request.calls.create_cron(named(&name)?, Name::parse(&task, "task")?, settings).await?)
    }

    fn get(&mut self, name: String) -> Result<Resource<Cron>, CallFailure> {
        self.count_call()?;
        let cron = self.request.calls.cron(&named(&name)?)?;
        Ok(self.keep(cron)?)
    }

    async fn list(&mut self, task: Option<String>, size: u32, cursor: Option<String>) -> Result<crons::CronPage, CallFailure> {
        self.count_call()?;
        let limit = up_to_a_page(size, "invalid-page-size", "size")?;
        let task = task.map(|task| Name::parse(&task, "task")).transpose()?;
        let after = cursor.map(|cursor| Name::parse(&cursor, "cursor")).transpose()?;
        let (crons, next) = self.request.calls.crons(&CronFilter { task, paused: None, after, limit }).await?;
        let crons = crons.into_iter().map(|cron| self.keep(cron)).collect::<Result<_, _>>()?;
        Ok(crons::CronPage { crons, next: next.map(|name| name.to_string()) })
    }

    async fn update(
        &mut self,
        name: String,
        expression: Option<String>,
        options: Option<Resource<CronSettings>>,
    ) -> Result<(), CallFailure> {
        self.count_call()?;
        let settings = self.settings(expression, options)?;
        Ok(self.request.calls.update_cron(&named(&name)?, settings).await?)
    }

    fn pause(&mut self, name: String, until: Option<types::Instant>, note: String) -> Result<(), CallFailure> {
        self.count_call()?;
        let until = until.map(|until| timestamp(until, "until")).transpose()?;
        Ok(self.request.calls.pause_cron(&named(&name)?, until, &note)?)
    }

    fn resume(&mut self, name: String) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.resume_cron(&named(&name)?)?)
    }

    fn delete(&mut self, name: String) -> Result<(), CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.delete_cron(&named(&name)?)?)
    }

    async fn next(&mut self, name: String, count: u32) -> Result<Vec<types::Instant>, CallFailure> {
        self.count_call()?;
        let count = up_to_a_page(count, "invalid-count", "count")?;
        let next = self.request.calls.next_of_cron(&named(&name)?, count).await?;
        Ok(next.into_iter().map(|occurrence| instant(occurrence.at)).collect())
    }

    async fn trigger(&mut self, name: String) -> Result<String, CallFailure> {
        self.count_call()?;
        Ok(self.request.calls.trigger_cron(&named(&name)?).await?.to_string())
    }

    async fn backfill(&mut self, name: String, from: types::Instant, until: types::Instant) -> Result<u32, CallFailure> {
        self.count_call()?;
        let (from, until) = (timestamp(from, "from")?, timestamp_floor(until, "until")?);
        Ok(self.request.calls.backfill_cron(&named(&name)?, from, until).await?)
    }
}

impl crons::HostCron for AttemptState {
    fn name(&mut self, cron: Resource<Cron>) -> wasmtime::Result<String> {
        self.read_cron(&cron, |cron| cron.name.to_string())
    }

    fn task(&mut self, cron: Resource<Cron>) -> wasmtime::Result<String> {
        self.read_cron(&cron, |cron| cron.spec.task.to_string())
    }

    fn expression(&mut self, cron: Resource<Cron>) -> wasmtime::Result<String> {
        self.read_cron(&cron, |cron| cron.spec.rule.text().to_owned())
    }

    fn timezone(&mut self, cron: Resource<Cron>) -> wasmtime::Result<String> {
        self.read_cron(&cron, |cron| cron.spec.rule.zone().to_owned())
    }

    fn start(&mut self, cron: Resource<Cron>) -> wasmtime::Result<types::Instant> {
        self.read_cron(&cron, |cron| instant(cron.spec.rule.start()))
    }

    fn end(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<types::Instant>> {
        self.read_cron(&cron, |cron| cron.spec.rule.end().map(instant))
    }

    fn jitter(&mut self, cron: Resource<Cron>) -> wasmtime::Result<types::Duration> {
        self.read_cron(&cron, |cron| nanos(cron.spec.rule.jitter()))
    }

    fn max_count(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<u32>> {
        self.read_cron(&cron, |cron| cron.spec.max_count)
    }

    fn priority(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<u8>> {
        self.read_cron(&cron, |cron| cron.spec.priority)
    }

    fn missed(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<crons::MissedPolicy>> {
        self.read_cron(&cron, |cron| {
            cron.spec.missed.map(|MissedPolicy { catch_up, window, max }| crons::MissedPolicy {
                catch_up: to_catch_up(catch_up),
                window: nanos(window),
                max,
            })
        })
    }

    fn next_at(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<types::Instant>> {
        self.read_cron(&cron, |cron| cron.next_at.map(instant))
    }

    fn fired(&mut self, cron: Resource<Cron>) -> wasmtime::Result<u32> {
        self.read_cron(&cron, |cron| cron.fired)
    }

    fn paused(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<String>> {
        self.read_cron(&cron, |cron| cron.pause.as_ref().map(|pause| pause.note.clone()))
    }

    fn paused_until(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Option<types::Instant>> {
        self.read_cron(&cron, |cron| cron.pause.as_ref().and_then(|pause| pause.until).map(instant))
    }

    fn version(&mut self, cron: Resource<Cron>) -> wasmtime::Result<u32> {
        self.read_cron(&cron, |cron| cron.version)
    }

    fn origin(&mut self, cron: Resource<Cron>) -> wasmtime::Result<types::Origin> {
        self.read_cron(&cron, |cron| origin(cron.origin))
    }

    fn input(&mut self, cron: Resource<Cron>) -> wasmtime::Result<types::Payload> {
        self.read_cron(&cron, |cron| payload(&cron.spec.input))
    }

    fn metadata(&mut self, cron: Resource<Cron>) -> wasmtime::Result<Vec<(String, String)>> {
        self.read_cron(&cron, |cron| metadata(&cron.spec.metadata))
    }

    fn drop(&mut self, cron: Resource<Cron>) -> wasmtime::Result<()> {
        self.release(cron).map(drop)
    }
}
