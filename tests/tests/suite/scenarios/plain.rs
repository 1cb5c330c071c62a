//! A guest without the SDK: what its page shows is what is built, and it runs.

use std::path::Path;

use runlater::Status;
use serde_json::json;

use super::world::{World, output};

#[tokio::test]
async fn a_guest_without_the_sdk_is_the_one_of_its_page_and_runs() {
    let text = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap();
    let page = text("docs/guest-authoring.md");
    let shown = page.split("## Without the SDK").nth(1).and_then(|rest| rest.split("```rust,ignore\n").nth(1)?.split("```").next());
    assert_eq!(shown, Some(text("guest-tasks/plain/src/lib.rs").as_str()), "the page shows another guest than the one that is tested");

    let world = World::with(&["plain"]).await;
    let input = json!({ "a": [1, "two", null] });
    let ended = world.run("plain", input.clone()).await;
    assert_eq!((ended.status, output(&ended)), (Status::Succeeded, input));
    assert_eq!(world.scheduler.tasks()[0].description.as_deref(), Some("Returns its input as it came."));
}
