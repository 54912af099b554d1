//! A machine under load: acts at random without a wrong result or a complaint of the kernel, and
//! nothing kept of what has ended.
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wasmlinux_tests::hostile::COMPLAINTS;
use wasmlinux_tests::{Built, add, wasmlinux, wasmlinux_with};

/// A number of the environment, or a default.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn at_random() {
    // `cargo xtask test --stress` sets both.
    let seconds = setting("WASMLINUX_STRESS_SECONDS", 10);
    let seed = setting("WASMLINUX_STRESS_SEED", 1);
    let program = Built::new("stress").guest;
    let run = wasmlinux_with(["run", "--kernel-log=5", "-w", "/tmp"]).args(add(&program, "stress"));
    let run = run.args(["--", "stress", &seconds.to_string(), &seed.to_string()]);
    let output = run.limit(Duration::from_secs(seconds + 120)).output();
    let errors = output.errors();
    let complaints: Vec<&str> =
        errors.lines().filter(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint))).collect();
    assert!(complaints.is_empty(), "seed {seed}: the kernel complains:\n{}", complaints.join("\n"));
    assert!(output.status == 0, "seed {seed}: status {}\n{}\n{errors}", output.status, output.text());
    assert!(output.text().contains(" acts, 0 failures"), "seed {seed}: {}", output.text());
    println!("{}", output.text());
}

/// What a process of this machine holds.
#[derive(Debug)]
struct Holdings {
    /// Resident memory, KiB.
    resident: u64,
    mappings: u64,
    threads: u64,
    descriptors: u64,
}

impl Holdings {
    fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the status of a process");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of the status");
            line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
        };
        let count = |path: String| std::fs::read_dir(path).expect("a folder of /proc").count() as u64;
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).expect("the mappings of a process");
        Self {
            resident: field("VmRSS:"),
            mappings: maps.lines().count() as u64,
            threads: field("Threads:"),
            descriptors: count(format!("/proc/{process}/fd")),
        }
    }
}

/// Ends the process whatever happens.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_ends_is_given_back() {
    let program = Built::new("spawns").guest;
    let mut command = Command::new(wasmlinux());
    command.arg("run").args(add(&program, "spawns")).args(["--", "spawns"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("wasmlinux runs");
    let mut child = Guarded(child);
    let process = child.0.id();
    let mut input = child.0.stdin.take().expect("its input is a pipe");
    let mut output = BufReader::new(child.0.stdout.take().expect("its output is a pipe")).lines();
    let mut after = |count: u32| {
        writeln!(input, "{count}").expect("a line to the program");
        let line = output.next().expect("a line of the program").expect("a line of text");
        assert_eq!(line, "done");
        // What the kernel frees later (RCU) is freed by then.
        std::thread::sleep(Duration::from_millis(300));
        Holdings::of(process)
    };
    let before = after(2000);
    let now = after(10_000);
    let grown = |a: u64, b: u64, slack: u64| b > a + a / 50 + slack;
    assert!(
        !grown(before.resident, now.resident, 0)
            && !grown(before.mappings, now.mappings, 2)
            && !grown(before.threads, now.threads, 0)
            && !grown(before.descriptors, now.descriptors, 0),
        "before {before:?}, after 10,000 more {now:?}"
    );
}
