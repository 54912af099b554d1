//! What a machine's process of its own gives up before the guest's first instruction.
//!
//! The process has been given all that it needs as descriptors, or asks for it ([`Broker`] for
//! compiled code, the network's sockets likewise). So it may compute, use what it has, and nothing
//! else: `docs/confinement.md` says what that keeps from whom.
//!
//! [`Broker`]: crate::Broker
use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::{collections::BTreeMap, io, mem, ptr};

/// How much of a machine's process is given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Confine {
    /// All that the host lets it give up; what it does not is said once.
    #[default]
    On,
    /// All of it, or the machine does not start.
    Strict,
    /// Nothing: for whoever looks for a fault.
    Off,
}

/// What a process of a machine leaves that it came with: descriptors but the standard streams,
/// signals of the terminal (they are for the command line), life without the thread that started
/// it. To be called before there are threads.
pub fn settle(parent: u32) {
    // SAFETY: system calls without pointers, but to a structure of ours. The descriptors are
    // nobody's in a process that has just begun.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
        libc::prctl(libc::PR_SET_NAME, c"wasmlinux-mach".as_ptr());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() as u32 != parent {
            // It was gone before it could be noticed.
            libc::_exit(0);
        }
        for signal in [
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGQUIT,
            libc::SIGTERM,
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGALRM,
            libc::SIGTSTP,
            libc::SIGPIPE,
        ] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // What the guest has in memory is not for a file of the host.
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
}

/// Lets a fault's signal that somebody sends end this process, as it does any other. The handlers
/// of the standard library and the engine, which tell faults of theirs from others, ignore the
/// first.
pub fn end_by_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
        // SAFETY: no pointers. Nothing of a process that runs no guest counts on these handlers.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Gives up every capability, all files by their names, TCP, and other processes' signals and
/// abstract sockets (Landlock), for this thread and those that it starts. To be called before there
/// are any.
///
/// # Errors
/// What the host does not know, or forbids.
pub fn give_up_names() -> Result<(), String> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    // The third version of the interface, which has two words of each of three sets.
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: structures of ours, as capset(2) has them.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } != 0 {
        return Err(format!("its capabilities: {}", io::Error::last_os_error()));
    }
    let abi = ABI::V6;
    let ruleset = || {
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .restrict_self()
    };
    match ruleset() {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => Err("this kernel has no Landlock".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Landlock: {error}")),
    }
}

/// From now on every thread of this process, and all that they start, may only make the system
/// calls of the list; others fail. Nothing that opens, executes, traces, or makes a socket is among
/// them. `datagrams` is whether the machine answers datagrams of a published port, and so may send
/// to any address from its sockets of UDP.
///
/// # Errors
/// What the host forbids.
pub fn give_up_calls(datagrams: bool) -> Result<(), String> {
    let apply = || -> Result<(), Box<dyn std::error::Error>> {
        // So that the C library starts threads by a call whose flags a filter can see.
        let no_clone3 = [(libc::SYS_clone3, vec![])].into_iter().collect();
        let refuse = SeccompAction::Errno(libc::ENOSYS as u32);
        for (rules, otherwise, then) in [
            (no_clone3, SeccompAction::Allow, refuse),
            (allowed(datagrams)?, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow),
        ] {
            let filter = SeccompFilter::new(rules, otherwise, then, TargetArch::x86_64)?;
            let program: BpfProgram = filter.try_into()?;
            seccompiler::apply_filter_all_threads(&program)?;
        }
        Ok(())
    };
    apply().map_err(|error| format!("seccomp: {error}"))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What needs no look at its arguments: it uses what the process has.
const ALLOWED: [i64; 62] = [
    // Memory.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // Threads. Which of them `clone` makes is looked at.
    libc::SYS_clone3,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Signals and time.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_delete,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    // Descriptors that it has.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    // Sockets that it has.
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    // Its own limits and use of the host.
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
];

/// Of a thread of this process (flags of `clone`, as the C libraries start one).
const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// `PR_SET_VMA`, by which the C library names its memory.
const PR_SET_VMA: u64 = 0x5356_4d41;

fn allowed(datagrams: bool) -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq};
    let mut rules: Rules = ALLOWED.into_iter().map(|call| (call, vec![])).collect();
    let is = |argument, value: u64| SeccompCondition::new(argument, SeccompCmpArgLen::Qword, Eq, value);
    let low = |argument, value: u64| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, Eq, value);
    let mut allow = |call: i64, conditions: Vec<SeccompCondition>| {
        rules.entry(call).or_default().push(SeccompRule::new(conditions)?);
        Ok::<(), seccompiler::BackendError>(())
    };
    // Threads, not processes, nor namespaces. Another C library says one more flag, which means
    // nothing.
    let flags = MaskedEq(!(libc::CLONE_DETACHED as u64));
    allow(libc::SYS_clone, vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, flags, THREAD as u64)?])?;
    // Signals to itself.
    allow(libc::SYS_tgkill, vec![low(0, std::process::id().into())?])?;
    // A limit is asked for, not set, and not another process's.
    allow(libc::SYS_prlimit64, vec![low(0, 0)?, is(2, 0)?])?;
    for option in [libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, PR_SET_VMA] {
        allow(libc::SYS_prctl, vec![low(0, option)?])?;
    }
    // No owner of a descriptor, to whom signals would go.
    for command in [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC] {
        allow(libc::SYS_fcntl, vec![low(1, command as u64)?])?;
    }
    // Nothing is typed into a terminal (TIOCSTI), nor is it set.
    for request in [libc::FIONBIO, libc::FIONREAD, libc::TCGETS] {
        allow(libc::SYS_ioctl, vec![low(1, request)?])?;
    }
    // What a descriptor is, by the way in which the C library asks.
    allow(libc::SYS_newfstatat, vec![low(3, libc::AT_EMPTY_PATH as u64)?])?;
    // To whom a socket is connected, and nobody else.
    match datagrams {
        false => allow(libc::SYS_sendto, vec![is(4, 0)?])?,
        // With this flag it is a `connect` of a socket of TCP, which Landlock does not see.
        true => {
            let without = MaskedEq(libc::MSG_FASTOPEN as u64);
            allow(libc::SYS_sendto, vec![SeccompCondition::new(3, SeccompCmpArgLen::Dword, without, 0)?])?;
        }
    }
    let mut allow = |level: i32, option: i32| {
        let conditions = vec![low(1, level as u64)?, low(2, option as u64)?];
        rules.entry(libc::SYS_setsockopt).or_default().push(SeccompRule::new(conditions)?);
        Ok::<(), seccompiler::BackendError>(())
    };
    for option in [libc::SO_LINGER, libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        allow(libc::SOL_SOCKET, option)?;
    }
    allow(libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    Ok(rules)
}

/// Tries what a machine's process must not be able to do, and says what came of it: for the tests
/// of this confinement, and for who wants to know what a host gives.
pub fn attempts() -> Vec<(&'static str, io::Result<()>)> {
    let call = |number: i64, arguments: [usize; 6]| {
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: arguments are numbers, null, or constant strings and structures of this function
        // that outlive the call, as each call takes them. A child that a `fork` makes ends below.
        match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: the child ends at once, and touches nothing.
            0 if [libc::SYS_fork, libc::SYS_clone].contains(&number) => unsafe { libc::_exit(0) },
            _ => Ok(()),
        }
    };
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as usize;
    // SAFETY: no arguments, cannot fail.
    let parent = unsafe { libc::getppid() } as usize;
    let none = ptr::null::<u8>() as usize;
    // What would do harm where it is let is tried on what is not there: that gives another error.
    let nobody = i32::MAX as usize;
    let (argv, mut word) = ([text(c"null"), none], [0_u8; 8]);
    // SAFETY: zeros are a valid address.
    let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
    (address.sin_family, address.sin_port) = (libc::AF_INET as u16, 53_u16.to_be());
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let address = &raw const address as usize;
    let length = size_of::<libc::sockaddr_in>();
    let vector = [word.as_mut_ptr() as usize, word.len()];
    let vector = vector.as_ptr() as usize;
    let at = libc::AT_FDCWD as usize;
    let (inet, stream, unix) = (libc::AF_INET as usize, libc::SOCK_STREAM as usize, libc::AF_UNIX as usize);
    let tries: [(&str, i64, [usize; 6]); 27] = [
        ("open a file", libc::SYS_openat, [at, text(c"/etc/passwd"), libc::O_RDONLY as usize, 0, 0, 0]),
        ("open a file, the old way", libc::SYS_open, [text(c"/etc/passwd"), libc::O_RDONLY as usize, 0, 0, 0, 0]),
        (
            "make a file",
            libc::SYS_openat,
            [at, text(c"/tmp/wasmlinux-escaped"), (libc::O_CREAT | libc::O_WRONLY) as usize, 0o600, 0, 0],
        ),
        ("make a directory", libc::SYS_mkdirat, [at, text(c"/tmp/wasmlinux-escaped.d"), 0o700, 0, 0, 0]),
        ("remove a file", libc::SYS_unlinkat, [at, text(c"/tmp/wasmlinux-no-such-file"), 0, 0, 0, 0]),
        ("make a socket", libc::SYS_socket, [inet, stream, 0, 0, 0, 0]),
        ("make a local socket", libc::SYS_socket, [unix, stream, 0, 0, 0, 0]),
        ("connect", libc::SYS_connect, [0, address, length, 0, 0, 0]),
        ("bind", libc::SYS_bind, [0, address, length, 0, 0, 0]),
        ("send to an address", libc::SYS_sendto, [usize::MAX, word.as_ptr() as usize, 1, 0, address, length]),
        ("send a descriptor", libc::SYS_sendmsg, [0, none, 0, 0, 0, 0]),
        ("execute", libc::SYS_execve, [text(c"/dev/null"), argv.as_ptr() as usize, none, 0, 0, 0]),
        ("fork", libc::SYS_fork, [0; 6]),
        ("clone a process", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]),
        ("trace", libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, nobody, 0, 0, 0, 0]),
        ("read a process", libc::SYS_process_vm_readv, [parent, vector, 1, vector, 1, 0]),
        ("signal a process", libc::SYS_kill, [parent, 0, 0, 0, 0, 0]),
        ("signal a thread", libc::SYS_tgkill, [parent, parent, 0, 0, 0, 0]),
        ("limit a process", libc::SYS_prlimit64, [nobody, libc::RLIMIT_CORE as usize, vector, 0, 0, 0]),
        ("type into a terminal", libc::SYS_ioctl, [0, libc::TIOCSTI as usize, word.as_ptr() as usize, 0, 0, 0]),
        ("live without its parent", libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0, 0]),
        ("enter a namespace", libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [text(c"none"), text(c"/no-such-directory"), text(c"tmpfs"), 0, none, 0]),
        ("load into the kernel", libc::SYS_bpf, [0; 6]),
        ("use an io_uring", libc::SYS_io_uring_setup, [1, vector, 0, 0, 0, 0]),
        ("watch the processor", libc::SYS_perf_event_open, [vector, 0, 0, 0, 0, 0]),
        ("make memory to execute", libc::SYS_memfd_create, [text(c"x"), 0, 0, 0, 0, 0]),
    ];
    tries.into_iter().map(|(what, number, arguments)| (what, call(number, arguments))).collect()
}
