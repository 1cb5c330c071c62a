//! Takes from the process that checks and compiles whatever that work does not need.
//!
//! Called by that process before it reads the component. Compiling is outside what wasmtime promises about hostile input: should a component get
//! hold of its validator or compiler, it finds a process with bounds on memory and time, three pipes, and no way to files, sockets or programs.

use std::io;
use std::time::Duration;

use rlimit::{Resource, setrlimit};

/// What one such process may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of address space.
    pub(super) address_space: u64,
    /// Seconds of processor time, of all threads together.
    pub(super) cpu_seconds: u64,
    /// Time after which the host kills it.
    pub(super) wall: Duration,
}

impl Bounds {
    /// For a check. CPython's component of 18 MiB takes 1.2 s of processor time and 50 MiB. The process has a low priority, so on a busy machine its wall
    /// time is many times its processor time.
    pub(super) const CHECK: Self = Self { address_space: 512 << 20, cpu_seconds: 10, wall: Duration::from_secs(120) };
    /// For compiling. CPython's component takes 23 s of processor time, componentize-js's 25 s, each with 360 MiB.
    pub(super) const COMPILE: Self = Self { address_space: 1 << 30, cpu_seconds: 60, wall: Duration::from_secs(900) };
}

/// Confines this process for good, which has one thread so far: those that it starts inherit all of it.
pub(super) fn confine(bounds: Bounds) -> io::Result<()> {
    setrlimit(Resource::AS, bounds.address_space, bounds.address_space)?;
    setrlimit(Resource::CPU, bounds.cpu_seconds, bounds.cpu_seconds)?;
    setrlimit(Resource::CORE, 0, 0)?;
    // Whoever starts guests on time goes first.
    crate::stand_back::stand_back();
    #[cfg(target_os = "linux")]
    die_with_the_host();
    #[cfg(target_os = "linux")]
    leave_files();
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
    calls::allow_few()?;
    Ok(())
}

/// Without the host that asked, there is nobody to compile for.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "it has no safe form")]
fn die_with_the_host() {
    // SAFETY: PR_SET_PDEATHSIG takes a number, and reads and writes no memory. The thread that started this process waits for its end.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
}

/// Closes all but the three pipes. What the host opens is closed already; what whoever started the host left open is not.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "it has no safe form")]
fn leave_files() {
    // SAFETY: nothing in this process owns a file but standard input and output: it has done nothing yet. Kernels before 5.9 don't have
    // the call, and leave them open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}

/// Which calls of the system are answered. On other processors than these three all of them are: the filter knows no others.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
mod calls {
    use std::collections::BTreeMap;
    use std::io;

    use seccompiler::SeccompCmpArgLen::{Dword, Qword};
    use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
    use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule};

    /// Memory, threads that wait for each other, the pipes, chance, time, signals, and an end: what a program needs that computes.
    const NEEDED: [libc::c_long; 36] = [
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getcpu,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_ppoll,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_membarrier,
        libc::SYS_getrusage,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// From now on only those are answered, to this thread and to those that it starts. Also gives up for good what a program could gain
    /// by being executed (`PR_SET_NO_NEW_PRIVS`), without which a filter can't be set.
    pub(super) fn allow_few() -> io::Result<()> {
        seccompiler::apply_filter(&filter().map_err(io::Error::other)?).map_err(io::Error::other)
    }

    fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
        let own = u64::from(std::process::id());
        let mut allowed: BTreeMap<_, _> = NEEDED.into_iter().map(|call| (call, Vec::new())).collect();
        // Threads, not processes. The newer `clone3` hides its flags from the filter; the C library does without it.
        let thread = libc::CLONE_THREAD as u64;
        allowed.insert(libc::SYS_clone, vec![SeccompRule::new(vec![SeccompCondition::new(0, Qword, MaskedEq(thread), thread)?])?]);
        // How a process aborts; nobody else is sent a signal.
        allowed.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![SeccompCondition::new(0, Dword, Eq, own)?])?]);
        // As a system would that is too old to have the call: libraries know another way then, or go without.
        let missing = SeccompAction::Errno(libc::ENOSYS as u32);
        SeccompFilter::new(allowed, missing, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
    }

    #[cfg(test)]
    mod tests {
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::process::Command;
        use std::{fs, io, thread};

        use super::*;

        /// What this thread is told, once it is confined.
        fn confined<T: Send>(work: impl FnOnce() -> T + Send) -> T {
            thread::scope(|scope| {
                let work = scope.spawn(|| {
                    allow_few().unwrap();
                    work()
                });
                work.join().unwrap()
            })
        }

        #[test]
        fn there_is_no_way_out() {
            let folder = tempfile::tempdir().unwrap();
            let (file, made) = (folder.path().join("file"), folder.path().join("made"));
            fs::write(&file, "text").unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let tried: Vec<(_, io::Result<()>)> = confined(|| {
                vec![
                    ("read a file", fs::read(&file).map(drop)),
                    ("make a file", fs::write(&made, "text")),
                    ("delete a file", fs::remove_file(&file)),
                    ("list a folder", fs::read_dir(folder.path()).map(drop)),
                    ("make a folder", fs::create_dir(&made)),
                    ("connect", TcpStream::connect(address).map(drop)),
                    ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
                    ("send", UdpSocket::bind("127.0.0.1:0").map(drop)),
                    ("accept", listener.accept().map(drop)),
                    ("start a program", Command::new("/bin/true").spawn().map(drop)),
                ]
            });
            for (what, answer) in tried {
                assert_eq!(answer.unwrap_err().raw_os_error(), Some(libc::ENOSYS), "{what}");
            }
            assert!(file.exists() && !made.exists());
        }

        #[test]
        #[allow(unsafe_code, reason = "there is no safe form of what must not be possible")]
        fn neither_processes_nor_other_peoples_memory() {
            let parent = std::os::unix::process::parent_id();
            let refused = |call: libc::c_long, arguments: [libc::c_long; 3]| {
                let [a, b, c] = arguments;
                // SAFETY: none of them is carried out.
                (unsafe { libc::syscall(call, a, b, c) }, io::Error::last_os_error().raw_os_error())
            };
            let tried = confined(|| {
                [
                    refused(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0]),
                    refused(libc::SYS_clone3, [0, 0, 0]),
                    refused(libc::SYS_execve, [0, 0, 0]),
                    refused(libc::SYS_execveat, [-1, 0, 0]),
                    refused(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), parent.into(), 0]),
                    refused(libc::SYS_process_vm_readv, [parent.into(), 0, 0]),
                    refused(libc::SYS_kill, [parent.into(), 0, 0]),
                    refused(libc::SYS_tgkill, [parent.into(), parent.into(), 0]),
                    refused(libc::SYS_prlimit64, [0, 0, 0]),
                    refused(libc::SYS_seccomp, [0, 0, 0]),
                    refused(libc::SYS_io_uring_setup, [1, 0, 0]),
                    refused(libc::SYS_bpf, [0, 0, 0]),
                    refused(libc::SYS_unshare, [0, 0, 0]),
                    refused(libc::SYS_memfd_create, [0, 0, 0]),
                ]
            });
            assert_eq!(tried, [(-1, Some(libc::ENOSYS)); 14]);
        }

        #[test]
        fn threads_and_panics_go_on() {
            let ends = confined(|| [thread::spawn(|| 7).join().ok(), thread::spawn(|| panic!("expected: a test of panics")).join().ok()]);
            assert_eq!(ends, [Some(7), None]);
        }
    }
}
