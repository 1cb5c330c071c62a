//! Components and files of compiled code of arbitrary bytes.

use super::code_dir::CodeDir;
use super::precheck::precheck;
use crate::model::limits::Limits;

/// Checks a component as before it is compiled. What it says of itself goes into the refusal only.
pub(crate) fn fuzz_component(bytes: &[u8]) {
    if let Err(refused) = precheck(bytes, &Limits::default()) {
        assert!(refused.to_string().len() < 16 << 10, "a refusal is short, whatever it quotes");
    }
}

/// Reads a file of compiled code that the host did not write.
pub(crate) fn fuzz_cached_code(bytes: &[u8]) {
    thread_local! {
        static FOLDER: (std::path::PathBuf, CodeDir) = folder();
    }
    FOLDER.with(|(path, dir)| {
        std::fs::write(path.join("forged.cwasm"), bytes).expect("the folder can be written");
        assert!(dir.read("forged.cwasm").is_none(), "nobody else has the key");
    });
}

fn folder() -> (std::path::PathBuf, CodeDir) {
    let path = std::env::temp_dir().join(format!("runlater-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()));
    let dir = CodeDir::open(&path, [7; 32]).expect("a folder can be made");
    (path, dir)
}
