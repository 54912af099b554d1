//! Memory, processes, threads, signals and limits of a Unix: programs that must say natively and in the guest the same.
use wasmlinux_tests::Program;

/// A test for each program of that name.
macro_rules! agree {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                Program::new(stringify!($name)).agree();
            }
        )*
    };
}

mod memory {
    use super::*;
    agree!(mmap_anonymous mmap_file cow fork_leftovers mprotect mremap heap memfd proc_memory);
}

mod processes {
    use super::*;
    agree!(fork_deep clone_number callbacks wait exec sessions rlimits sysv);
}

mod threads {
    use super::*;
    agree!(threads thread_sync thread_cancel futex);
}

mod signals {
    use super::*;
    agree!(signals timers);
}

/// Signals to code that makes no system call.
mod asynchronous {
    use super::*;
    agree!(access_order access_order_beside access_order_forks signal_async signal_edges signal_fault signal_order volatile_spin traps);
}
