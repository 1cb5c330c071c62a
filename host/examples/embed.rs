//! The scheduler inside another program, as `docs/embedding.md` explains it.
//!
//! `cargo run --example embed -- TASK.wasm [JSON]` runs the component's first task: soon, then from a transaction of the program's own.

use std::time::Duration;

use runlater::executor::wasm::AttemptState;
use runlater::{Grant, ManualClock, Run, Scheduler, Status, Timestamp};
use rusqlite::TransactionBehavior;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let wasm = std::fs::read(arguments.next().ok_or("name a component: cargo run --example embed -- TASK.wasm [JSON]")?)?;
    let input: serde_json::Value = serde_json::from_str(&arguments.next().unwrap_or("{}".into()))?;
    let folder = tempfile::tempdir()?;
    let db = folder.path().join("app.db");

    // The program's clock and a function of its own; both can be left out.
    let clock = ManualClock::new(Timestamp::parse("2027-03-14T15:09:26Z", "now")?);
    let scheduler = Scheduler::builder().sqlite(&db).clock(clock.clone()).extend_linker(mail).build().await?;
    let registered = scheduler.register(wasm).grant(Grant::Runs).send().await?;
    let task = registered.tasks[0].name.as_str();

    let id = scheduler.schedule(task).after(Duration::from_secs(2)).input(&input)?.send().await?;
    assert_eq!(scheduler.get(id).await?.status, Status::Scheduled);
    clock.advance(Duration::from_secs(2));
    show("after 2 s of the program's time", &scheduler.wait(id).await?);

    // A run and a row of the program's own: both or none.
    let mut own = rusqlite::Connection::open(&db)?;
    own.busy_timeout(Duration::from_secs(5))?;
    own.execute("CREATE TABLE orders (id INTEGER)", [])?;
    for commits in [false, true] {
        let transaction = own.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("INSERT INTO orders VALUES (7)", [])?;
        let scheduled = scheduler.schedule(task).input(&input)?.unique_key("order-7").send_in(&transaction)?;
        if commits {
            transaction.commit()?;
            show("with its order", &scheduler.wait(scheduled.id).await?);
        } else {
            transaction.rollback()?;
            println!("without its order: {}", scheduler.get(scheduled.id).await.is_err());
        }
    }

    // Another namespace has nothing of this one.
    println!("tasks of customer-7: {}", scheduler.in_namespace("customer-7").await?.tasks().len());
    scheduler.shutdown(Duration::from_secs(25)).await?;
    Ok(())
}

/// What a guest gets that imports `app:mail/outbox`.
fn mail(linker: &mut Linker<AttemptState>) -> wasmtime::Result<()> {
    linker.instance("app:mail/outbox@0.1.0")?.func_wrap(
        "send",
        |mut store: StoreContextMut<'_, AttemptState>, (to, text): (String, String)| {
            let attempt = store.data_mut();
            attempt.write_log(format!("mail to {to}\n").as_bytes());
            Ok((format!("sent {text:?} for attempt {}", attempt.attempt()),))
        },
    )
}

fn show(when: &str, run: &Run) {
    let output = run.output.as_ref().map(|output| String::from_utf8_lossy(output.bytes()));
    println!("{when}: {} {} {}", run.task, run.status.as_str(), output.unwrap_or_default());
}
