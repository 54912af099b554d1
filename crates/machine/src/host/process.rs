//! This process.
use std::io;

pub(crate) use libc::{RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NOFILE};

/// Which limit, an `RLIMIT_*`.
pub(crate) type Resource = libc::__rlimit_resource_t;

/// A limit of this process; u64::MAX if it has none.
pub(crate) fn limit(resource: Resource) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a structure of ours.
    if unsafe { libc::getrlimit(resource, &mut limit) } == 0 { limit.rlim_cur } else { u64::MAX }
}

/// Lowers a limit of this process, for good.
pub(crate) fn lower_limit(resource: Resource, value: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a structure of ours.
    unsafe {
        if libc::getrlimit(resource, &raw mut limit) == 0 {
            limit.rlim_max = limit.rlim_max.min(value);
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(resource, &raw const limit);
        }
    }
}

/// Fills a buffer of at most 256 bytes with bytes of the host's generator.
pub(crate) fn random(buffer: &mut [u8]) -> io::Result<()> {
    // SAFETY: a buffer of ours and its length; so few bytes are never given in part.
    let got = unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    if got == buffer.len() as isize { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The number of the user in whose name this process acts.
pub(crate) fn user() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::geteuid() }
}

/// This process is a compiler from now on: leaves what came from the one that started it, has
/// another name and is less urgent by `nice`.
///
/// # Safety
/// It has just begun, and descriptors from 3 on are nobody's.
pub(crate) unsafe fn be_compiler(nice: i32) {
    // SAFETY: system calls without pointers, but for a constant string. The descriptors, by this
    // function's contract.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
        libc::prctl(libc::PR_SET_NAME, c"wasmlinux-comp".as_ptr());
        libc::setpriority(libc::PRIO_PROCESS, 0, libc::getpriority(libc::PRIO_PROCESS, 0) + nice);
        libc::signal(libc::SIGXCPU, libc::SIG_DFL);
    }
}

/// Ends this process at once: nothing is written or cleaned up.
pub(crate) fn end() -> ! {
    // SAFETY: no other thread or destructor runs any more.
    unsafe { libc::_exit(0) }
}
