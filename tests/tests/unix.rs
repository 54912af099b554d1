//! Memory, processes, threads, signals and limits of a Unix: programs that must say natively and in
//! the guest the same.
use wasmlinux_tests::{Built, Program, add, guest, wasmlinux_with};

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

    /// Read from a pipe, and from the machine's standard input.
    #[test]
    fn grown() {
        Program::new("grown").args(["input"]).stdin("67890vwxyz").agree();
    }

    #[test]
    fn the_largest_machine() {
        let count = "i=0; mkdir /a /tmp/a; while [ $i -lt 5000 ]; do : >/a/$i; : >/tmp/a/$i; i=$((i + 1)); done; \
                     ls /a /tmp/a | grep -c .; df -P -k / | awk 'END { print $6, ($2 > 1900000) }'; \
                     df -P -i / | awk 'END { print ($2 > 400000) }'";
        let output = wasmlinux_with(["run", "-m", "4g", "--", "sh", "-c", count]).output();
        output.expect("10002\n/ 1\n1\n");
    }
}

mod processes {
    use super::*;
    agree!(datagrams fork_deep clone_number callbacks wait exec sessions rlimits sysv seccomp configured);
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
    fn files_of_dev() {
        let script = "ls -l /dev/net/tun | cut -c 1-10; tunctl -t t0 >/dev/null && [ -s /sys/class/net/t0/tun_flags ] && echo made; \
                      for f in stdin stdout stderr; do readlink /dev/$f; done; echo x | cat /dev/stdin; \
                      readlink -f /dev/stdin </etc/passwd; echo y > /dev/stderr";
        let output = guest(["sh", "-c", script]).output();
        assert_eq!(output.errors(), "y\n");
        let links = "/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n";
        assert_eq!(output.text(), format!("crw-rw-rw-\nmade\n{links}x\n/etc/passwd\n"));
    }

    #[test]
    fn the_root_is_a_file_system_like_others() {
        let script = "df | awk '{ print $1, $6 }'; awk '$2 == \"/\" { print $1, $3 }' /proc/mounts";
        let output = guest(["sh", "-c", script]).output();
        let text = output.expect_status(0).text();
        assert!(text.contains("\ntmpfs /\n") && text.ends_with("\ntmpfs tmpfs\n"), "{text}");
    }

    /// The kernel knows by the versions of inodes which programs it has loaded: also after the
    /// limits of the root file system have been set.
    #[test]
    fn a_program_is_loaded_once() {
        let program = Built::new("hello").guest;
        let bytes = std::fs::metadata(&program).expect("the program").len();
        let loads = |script: &str| {
            let run = wasmlinux_with(["run", "--verbose"]).args(add(&program, "p"));
            let output = run.args(["--", "sh", "-c", script]).output();
            output.expect_status(0);
            output
                .errors()
                .lines()
                .filter(|line| line.ends_with(&format!("the kernel loads a program bytes={bytes}")))
                .count()
        };
        assert_eq!(loads("p; p; p"), 1);
        assert_eq!(loads("cp /bin/p /tmp; p; /tmp/p; p; /tmp/p"), 2);
        // One that has changed is another.
        assert_eq!(loads("p; dd if=/bin/p of=/q 2>/dev/null; cat /q >/bin/p; p; p"), 2);
    }

    #[test]
    fn files_of_proc() {
        let script = "head -1 /proc/swaps | tr -s '\\t' ' '; cat /proc/diskstats; grep -c . /proc/self/io; \
                      mkdir /tmp/c && mount -t cgroup2 none /tmp/c && cat /tmp/c/cgroup.controllers";
        let output = guest(["sh", "-c", script]).output();
        output.expect_status(0).expect("Filename Type Size Used Priority\n7\ncpu memory pids\n");
    }
}
