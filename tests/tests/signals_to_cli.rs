//! Signals to `wasmlinux run`: they go on to the command.
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use wasmlinux_tests::{LIMIT, wasmlinux};

/// A command line that runs, killed when it is dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// With a shell that runs this script, before `exec`, and a command of the guest that has said
    /// "ready".
    fn new(before: &str, options: &str, script: &str) -> Running {
        let line = format!("{before} exec \"$W\" run {options} sh -c \"$S\"");
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .env("W", wasmlinux())
            .env("S", script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let lines = lines(child.stdout.take().expect("stdout"));
        let running = Running { child, lines };
        assert_eq!(running.line(), "ready");
        // The handlers are there as soon as the command runs, or a moment later.
        std::thread::sleep(Duration::from_millis(100));
        running
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("a line of the command")
    }

    fn send(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// Its exit status as a shell gives it, and how long it took.
    fn end(mut self) -> (i32, Duration) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return (status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)), begin.elapsed());
            }
            assert!(begin.elapsed() < LIMIT, "hung");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    lines
}

/// Those that a fault of a program's makes, sent by somebody: they are for us.
#[test]
fn faults_that_are_sent_end_it() {
    for (signal, status) in [("SEGV", 139), ("BUS", 135), ("FPE", 136), ("ILL", 132), ("TRAP", 133)] {
        let running = Running::new("ulimit -c 0;", "", "echo ready; sleep 60");
        running.send(signal);
        let (end, time) = running.end();
        assert_eq!(end, status, "{signal}");
        assert!(time < Duration::from_secs(5), "{signal}: {time:?}");
    }
}

/// A shell's loop ends with what a person interrupts in it.
#[test]
fn the_shell_sees_the_signal() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let mut running = Running::new("", "", "echo ready; sleep 60");
        running.send(signal);
        assert_eq!(running.child.wait().expect("its status").signal(), Some(number), "{signal}");
    }
}

const SIGNALS: [&str; 10] = ["HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM", "CONT", "TSTP", "WINCH"];

#[test]
fn every_signal_reaches_the_command() {
    let traps: String = SIGNALS.iter().map(|name| format!("trap 'echo {name}' {name};")).collect();
    let running = Running::new("", "", &format!("{traps} echo ready; while :; do sleep 0.02; done"));
    for name in SIGNALS {
        running.send(name);
        assert_eq!(running.line(), name);
    }
}

#[test]
fn no_timer_but_after_term() {
    let script = "trap 'echo again' HUP USR1 INT TERM; echo ready; while :; do sleep 0.02; done";
    let mut other = Running::new("", "", script);
    for name in ["HUP", "USR1", "INT", "INT"] {
        other.send(name);
        assert_eq!(other.line(), "again");
    }
    let running = Running::new("", "", script);
    running.send("TERM");
    assert_eq!(running.line(), "again");
    let (status, time) = running.end();
    assert_eq!(status, 137);
    assert!(time > Duration::from_secs(9) && time < Duration::from_secs(20), "{time:?}");
    // Longer ago than the other one's end.
    assert!(other.child.try_wait().expect("its status").is_none(), "killed without SIGTERM");
    // A person who presses Ctrl-C again and again.
    for _ in 0..3 {
        other.send("INT");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(other.end().0, 137);
}

#[test]
fn by_default_a_signal_ends_the_command() {
    for (name, number) in [("TERM", 15), ("HUP", 1), ("USR1", 10), ("INT", 2)] {
        let running = Running::new("", "", "echo ready; while :; do sleep 0.02; done");
        running.send(name);
        assert_eq!(running.end().0, 128 + number, "{name}");
    }
}

#[test]
fn what_was_ignored_stays_ignored() {
    // As nohup and the background jobs of a script have it.
    let running = Running::new("trap '' HUP INT QUIT;", "", "echo ready; sleep 1; echo survived");
    for name in ["HUP", "INT", "QUIT"] {
        running.send(name);
    }
    assert_eq!(running.line(), "survived");
    assert_eq!(running.end().0, 0);
}

#[test]
fn not_passed_on() {
    let script = "trap 'echo got' USR1 TERM; echo ready; while :; do sleep 0.02; done";
    let running = Running::new("", "--sig-proxy=false", script);
    running.send("USR1");
    assert_eq!(running.end().0, 128 + 10);
}
