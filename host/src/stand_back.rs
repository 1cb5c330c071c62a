//! Lets a thread stand back for those that must be on time.
//!
//! Used where guests compute for long and where components are compiled: below scheduler and executor, as neither knows the other's threads.

/// How far such a thread stands back for the rest of the process, by nice(1): it has a tenth of a core that somebody else wants whole.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// The furthest that there is.
#[cfg(target_os = "linux")]
const NICENESS_MAX: i32 = 19;
/// For how long it may go on, once it has a core, while somebody waits who goes first: the least that Linux grants. Otherwise each of the
/// threads that pass a run on to each other could wait for up to 3 ms.
#[cfg(target_os = "linux")]
const SLICE_NANOS: u64 = 100_000;

/// Lowers the priority of the calling thread, and of those that it starts. If the system refuses, others are merely slower.
#[cfg(target_os = "linux")]
pub(crate) fn stand_back() {
    // SAFETY: the call takes numbers alone; 0 is the calling thread.
    let niceness = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }.saturating_add(NICENESS).min(NICENESS_MAX);
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        // Of an ordinary thread this is its slice, since Linux 6.12; before, it is not looked at.
        sched_runtime: SLICE_NANOS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the attributes are read, say their own size, and outlive the call; 0 is the calling thread. The second call takes numbers alone.
    unsafe {
        if libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, niceness);
        }
    }
}

/// Where a thread has no priority of its own, nothing is changed.
#[cfg(not(target_os = "linux"))]
pub(crate) fn stand_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stands_back_alone() {
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // The name in parentheses may hold anything; niceness is the 17th word after it.
            stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = niceness();
        let there = std::thread::spawn(move || {
            stand_back();
            niceness()
        });
        assert_eq!(there.join().unwrap(), (before + NICENESS).min(NICENESS_MAX));
        assert_eq!(niceness(), before);
    }
}
