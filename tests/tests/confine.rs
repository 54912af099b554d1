//! A machine is a process of its own, which can do nothing to the host but compute and use what it
//! was given.
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wasmlinux_tests::{Scratch, wasmlinux, wasmlinux_with};

/// What the machine's process must not be able to do: `attempts` of
/// `crates/machine/src/host/confine.rs`.
const ATTEMPTS: [&str; 27] = [
    "open a file",
    "open a file, the old way",
    "make a file",
    "make a directory",
    "remove a file",
    "make a socket",
    "make a local socket",
    "connect",
    "bind",
    "send to an address",
    "send a descriptor",
    "execute",
    "fork",
    "clone a process",
    "trace",
    "read a process",
    "signal a process",
    "signal a thread",
    "limit a process",
    "type into a terminal",
    "live without its parent",
    "enter a namespace",
    "mount",
    "load into the kernel",
    "use an io_uring",
    "watch the processor",
    "make memory to execute",
];

const REFUSED: &str = "Operation not permitted (os error 1)";

#[test]
fn nothing_of_the_host_can_be_had() {
    let output = wasmlinux_with(["run", "--confine=strict", "--try-to-escape", "echo", "went on"]).output();
    assert_eq!((output.status, output.text()), (0, "went on\n".into()), "{}", output.errors());
    let expected: String = ATTEMPTS.map(|what| format!("wasmlinux: {what}: {REFUSED}\n")).concat();
    assert_eq!(output.errors(), expected);
}

#[test]
fn without_confinement_it_could() {
    // The attempts are real: without the filter those succeed that need no rights.
    let output = wasmlinux_with(["run", "--no-confine", "--try-to-escape", "true"]).output();
    let errors = output.errors();
    assert!(errors.starts_with("wasmlinux: the machine's process is not confined: "), "{errors}");
    for what in ["open a file", "make a file", "make a directory", "make a socket", "fork", "signal a process"] {
        assert!(errors.contains(&format!("\nwasmlinux: {what}: it could\n")), "{what}: {errors}");
    }
    let _ = (fs::remove_file("/tmp/wasmlinux-escaped"), fs::remove_dir("/tmp/wasmlinux-escaped.d"));
}

/// A machine that does nothing for long, and its process.
struct Idle {
    command: Child,
    machine: u32,
}

impl Idle {
    fn start(options: &[&str]) -> Idle {
        let mut command = Command::new(wasmlinux());
        command.arg("run").args(options).args(["sh", "-c", "echo up; sleep 60"]);
        let mut command = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut up = [0; 3];
        std::io::Read::read_exact(command.stdout.as_mut().unwrap(), &mut up).unwrap();
        let machine = children(command.id()).into_iter().find(|child| name(*child) == "wasmlinux-mach");
        Idle { machine: machine.expect("a process of the machine's own"), command }
    }

    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.machine)).unwrap();
        status.lines().find_map(|line| line.strip_prefix(field)).expect(field).trim().to_owned()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().into()
}

fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of_thread = |thread: PathBuf| fs::read_to_string(thread.join("children")).unwrap_or_default();
    let all: String = threads.map(|thread| of_thread(thread.unwrap().path())).collect();
    all.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Whether it is gone, or will be in a moment.
fn ends(pid: u32) -> bool {
    let gone = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z") || rest.starts_with(" X"))
    };
    let end = Instant::now() + Duration::from_secs(10);
    while !gone() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    gone()
}

#[test]
fn its_rights_are_gone() {
    let idle = Idle::start(&["--confine=strict"]);
    assert_eq!((idle.status("NoNewPrivs:"), idle.status("Seccomp:")), ("1".into(), "2".into()));
    for set in ["CapInh:", "CapPrm:", "CapEff:"] {
        assert_eq!(idle.status(set), "0000000000000000", "{set}");
    }
    // Each thread, not only the first.
    for thread in fs::read_dir(format!("/proc/{}/task", idle.machine)).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
    let environment = fs::read(format!("/proc/{}/environ", idle.machine)).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&environment), "");
    let limits = fs::read_to_string(format!("/proc/{}/limits", idle.machine)).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
}

#[test]
fn it_has_no_descriptors_but_its_own() {
    // One that the shell gave the command line for itself is not the machine's.
    let scratch = Scratch::new();
    let secret = scratch.file("secret", b"secret");
    let script = format!("exec 7<{}; exec {} run sh -c 'echo up; sleep 60'", secret.display(), wasmlinux().display());
    let mut command = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut up = [0; 3];
    std::io::Read::read_exact(command.stdout.as_mut().unwrap(), &mut up).unwrap();
    let idle = Idle { machine: children(command.id())[0], command };
    for file in fs::read_dir(format!("/proc/{}/fd", idle.machine)).unwrap() {
        let target = fs::read_link(file.unwrap().path()).unwrap_or_default();
        assert_ne!(target, secret);
    }
}

#[test]
fn it_ends_with_the_command_line() {
    for stopped in [false, true] {
        let mut idle = Idle::start(&[]);
        if stopped {
            assert!(Command::new("kill").args(["-STOP", &idle.machine.to_string()]).status().unwrap().success());
        }
        idle.command.kill().unwrap();
        idle.command.wait().unwrap();
        assert!(ends(idle.machine), "a process was left behind (stopped: {stopped})");
    }
}

#[test]
fn its_end_is_told() {
    for (signal, number) in [("KILL", 9), ("SEGV", 11)] {
        let mut command = Command::new(wasmlinux());
        command.args(["run", "sh", "-c", "echo up; sleep 60"]);
        let mut command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut up = [0; 3];
        std::io::Read::read_exact(command.stdout.as_mut().unwrap(), &mut up).unwrap();
        let machine = children(command.id())[0].to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &machine]).status().unwrap().success());
        let output = command.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!("wasmlinux: the machine failed: its process was ended by signal {number}\n");
        assert_eq!((output.status.code(), errors), (Some(125), expected), "{signal}");
    }
}

#[test]
fn a_machines_process_is_not_for_users() {
    let output = Command::new(wasmlinux()).arg("be-a-machine").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}

/// Runs `wasmlinux` on a host that has neither seccomp nor Landlock, as it seems to it.
fn without_the_hosts_help(args: &'static [&'static str]) -> (i32, String, String) {
    let run = move || {
        // This thread's filter is that of what it starts.
        let calls = [
            (libc::SYS_landlock_create_ruleset, vec![]),
            (libc::SYS_landlock_restrict_self, vec![]),
            (libc::SYS_seccomp, vec![]),
        ];
        let refuse = SeccompAction::Errno(libc::ENOSYS as u32);
        let filter = SeccompFilter::new(calls.into(), SeccompAction::Allow, refuse, TargetArch::x86_64).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        let output = wasmlinux_with(args).output();
        (output.status, output.text(), output.errors())
    };
    std::thread::spawn(run).join().unwrap()
}

#[test]
fn what_the_host_does_not_have_is_said_once() {
    let (status, text, errors) = without_the_hosts_help(&["run", "echo", "it runs"]);
    assert_eq!((status, text), (0, "it runs\n".into()), "{errors}");
    assert!(errors.starts_with("wasmlinux: this host confines the machine's process in part only: "), "{errors}");
    assert!(errors.contains("Landlock") && errors.contains("seccomp") && errors.lines().count() == 1, "{errors}");
    let (status, text, errors) = without_the_hosts_help(&["run", "--confine=strict", "echo", "it runs"]);
    assert_eq!((status, text), (125, String::new()), "{errors}");
    assert!(errors.contains("cannot be confined") && errors.lines().count() == 1, "{errors}");
}
