//! Too much time, memory, output, or a bad end.

use std::hint::black_box;
use std::io::Write;
use std::sync::Mutex;

use runlater_task::prelude::*;

const MIB: usize = 1 << 20;

/// Computes for ever.
#[task(name = "loop")]
pub(crate) fn endless_loop() -> Result<(), Failure> {
    let mut turn = 0_u64;
    loop {
        turn = black_box(turn).wrapping_add(1);
    }
}

/// Takes memory until there is no more, then touches what it got for ever.
#[task]
pub(crate) fn grow() -> Result<(), Failure> {
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(4096);
    loop {
        let mut block = Vec::new();
        // Refused memory is an error here and not the end, so that the task goes on holding all it could get.
        if blocks.len() < blocks.capacity() && block.try_reserve_exact(MIB).is_ok() {
            block.resize(MIB, 1);
            blocks.push(block);
        }
        for block in &mut blocks {
            block[black_box(0)] ^= 1;
        }
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Hold {
    /// How many MiB to take.
    mib: usize,
    /// How many milliseconds to hold them.
    ms: u64,
}

/// Takes memory, touches all of it, and holds it for a while. Returns how many MiB it had.
#[task]
pub(crate) fn hold(input: Hold) -> Result<usize, Failure> {
    let blocks: Vec<Vec<u8>> = (0..input.mib).map(|_| vec![black_box(1); MIB]).collect();
    if input.ms > 0 {
        std::thread::sleep(milliseconds(input.ms).into());
    }
    Ok(black_box(&blocks).len())
}

/// Calls itself until the stack ends.
#[task]
pub(crate) fn recurse() -> Result<u64, Failure> {
    Ok(deeper(black_box(1)))
}

fn deeper(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    // Small frames: the host's limit on the stack is reached before the guest's own, which lies in its memory.
    black_box(deeper(depth + 1))
}

/// Returns 1 MiB.
#[task(name = "huge-output")]
pub(crate) fn huge_output() -> Result<String, Failure> {
    Ok("x".repeat(MIB))
}

/// Prints 16 MiB.
#[task(name = "huge-log")]
pub(crate) fn huge_log() -> Result<(), Failure> {
    let line = [b"x".repeat(1023), b"\n".to_vec()].concat();
    for _ in 0..16 * 1024 {
        std::io::stdout().write_all(&line)?;
    }
    Ok(())
}

/// Executes `unreachable`.
#[task]
pub(crate) fn trap() -> Result<(), Failure> {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    std::process::abort()
}

/// Panics.
#[task]
pub(crate) fn panic() -> Result<(), Failure> {
    panic!("a panic with a message")
}

/// Exits as if all were well.
#[task]
pub(crate) fn exit() -> Result<(), Failure> {
    std::process::exit(0)
}

/// Asks for 1 GiB of random bytes in one call, and returns how many it got.
#[task(name = "random-1g")]
pub(crate) fn random_1g() -> Result<u64, Failure> {
    Ok(random(1 << 30))
}

#[cfg(target_family = "wasm")]
fn random(bytes: u64) -> u64 {
    // Straight to the interface: the standard library would ask for a few bytes at a time.
    #[link(wasm_import_module = "wasi:random/random@0.2.0")]
    unsafe extern "C" {
        #[link_name = "get-random-bytes"]
        fn get_random_bytes(bytes: u64, returned: *mut [usize; 2]);
    }
    let mut returned = [0; 2];
    // SAFETY: the canonical ABI writes a pointer and a length there.
    unsafe { get_random_bytes(bytes, &mut returned) };
    returned[1] as u64
}

#[cfg(not(target_family = "wasm"))]
fn random(bytes: u64) -> u64 {
    use std::io::Read;
    let read = std::fs::File::open("/dev/urandom").and_then(|random| std::io::copy(&mut random.take(bytes), &mut std::io::sink()));
    read.unwrap_or(0)
}

/// The pattern that must never be seen by another attempt.
const PATTERN: u8 = 0xA5;

static CANARY: Mutex<[u8; MIB]> = Mutex::new([0; MIB]);

/// Counts the bytes that are not zero in fresh memory, then fills it with a pattern. Returns the count: 0.
#[task]
pub(crate) fn canary() -> Result<usize, Failure> {
    let mut fixed = CANARY.lock().expect("an attempt is one thread");
    let mut fresh = vec![0_u8; MIB];
    let seen = black_box(&fixed[..]).iter().chain(black_box(&*fresh)).filter(|byte| **byte != 0).count();
    fixed.fill(PATTERN);
    fresh.fill(PATTERN);
    black_box((&fixed[..], &fresh));
    Ok(seen)
}
