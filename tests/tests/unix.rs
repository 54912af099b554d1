//! Memory, processes, threads, signals and limits of a Unix: programs that must say natively and in the guest the same.
use wasmlinux_tests::{Program, guest};

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
    agree!(fork_deep clone_number callbacks wait exec sessions rlimits sysv seccomp configured);
}

mod threads {
    use super::*;
    agree!(threads thread_sync thread_cancel futex);
}

mod signals {
    use super::*;
    agree!(signals altstack timers);
}

/// Signals to code that makes no system call.
mod asynchronous {
    use super::*;
    agree!(access_order access_order_beside access_order_forks signal_async signal_edges signal_fault signal_order volatile_spin traps);
}

/// What programs that look at a system read, and networks of its own.
mod system {
    use super::*;
    agree!(links);

    #[test]
    fn encryption_by_the_kernel() {
        let output = Program::new("links").args(["tls"]).guest();
        output.expect_status(0);
        assert!(output.text().ends_with("connects(8, 1) = 0\n"), "{}", output.text());
    }

    #[test]
    fn files_of_proc() {
        let script = "head -1 /proc/swaps | tr -s '\\t' ' '; cat /proc/diskstats; grep -c . /proc/self/io; \
                      mkdir /tmp/c && mount -t cgroup2 none /tmp/c && cat /tmp/c/cgroup.controllers";
        let output = guest(["sh", "-c", script]).output();
        output.expect_status(0).expect("Filename Type Size Used Priority\n7\ncpu memory pids\n");
    }
}
