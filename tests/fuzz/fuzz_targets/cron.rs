#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runlater::fuzzing::run("cron", bytes));
