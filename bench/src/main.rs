//! Measures WasmLinux beside native Linux, in one run: `cargo xtask bench`.
//!
//! One C source is built by clang for this machine and by `wasmlinux-cc` for the guest; runs
//! alternate, and medians are compared. Other work on the machine makes all figures worse; the
//! ratios suffer least.
#![deny(unsafe_code)]
mod against;
mod builds;
mod live;
mod measure;
mod processes;
mod table;
mod terminal;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use measure::{Bench, Measured};
use std::path::PathBuf;
use std::process::ExitCode;
use table::{Row, Table, Target};

/// Measures WasmLinux beside native Linux.
#[derive(Parser)]
struct Options {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure builds too: the kernel after a change of one file, and everything from nothing
    /// (minutes)
    #[arg(long)]
    full: bool,
    /// Measure this system too; its Debian package has to be installed
    #[arg(long, value_enum)]
    against: Vec<against::System>,
    /// Measure this build of wasmlinux too, by turns
    #[arg(long, value_name = "EXECUTABLE", conflicts_with = "against")]
    before: Option<PathBuf>,
    /// Measure these parts only
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How often each program is run in each world
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// A part of the table.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// From the start to the exit of a program
    Start,
    /// System calls and processes
    Calls,
    /// Memory, files, pipes
    Memory,
    /// Programs that compute
    Compute,
    /// The prompt, an idle shell, scripts
    Session,
    /// TCP and a web server
    Network,
}

/// A figure that a program prints: its name there, what it is, and what it has to be.
type Figure = (&'static str, &'static str, Option<Target>);

const fn most(value: f64) -> Option<Target> {
    Some(Target::Most(value))
}

const fn ratio(value: f64) -> Option<Target> {
    Some(Target::Ratio(value))
}

/// `calls.c`, in nanoseconds.
const CALLS: [Figure; 13] = [
    ("getppid", "getppid", most(40.0)),
    ("write-null", "write 1 byte to /dev/null", most(80.0)),
    ("read-zero-1", "read 1 byte of /dev/zero", None),
    ("read-zero-4k", "read 4 KiB of /dev/zero", None),
    ("clock-gettime", "clock_gettime", most(60.0)),
    ("lseek", "lseek", None),
    ("stat", "stat", ratio(1.0)),
    ("open-close", "open and close", ratio(1.0)),
    ("pread-4k", "pread 4 KiB, tmpfs", None),
    ("pwrite-4k", "pwrite 4 KiB, tmpfs", None),
    ("pipe-byte", "a byte through a pipe", None),
    ("signal-self", "signal to self, handled", ratio(1.0)),
    ("mmap-touch-munmap", "mmap, touch, munmap 64 KiB", ratio(2.0)),
];

/// `processes.c`, in nanoseconds.
const PROCESSES: [Figure; 9] = [
    ("fork-exit", "fork, exit, wait", ratio(1.5)),
    ("fork-exec", "fork, exec, wait", ratio(1.0)),
    ("spawn", "posix_spawn, wait", None),
    ("shell", "sh -c true", ratio(1.0)),
    ("thread", "thread create, join", ratio(2.0)),
    ("condvar", "condition variable, round trip", ratio(1.0)),
    ("pipe-round-trip", "pipe, round trip", ratio(1.0)),
    ("switch-2", "switch among 2 processes", None),
    ("switch-1000", "switch among 1,000 processes", None),
];

/// `memory.c`, in megabytes a second.
const MEMORY: [Figure; 5] = [
    ("first-touch", "first touch", ratio(0.5)),
    ("fault", "page faults; native: mmap, populated", ratio(1.0 / 1.3)),
    ("pipe", "through a pipe", ratio(0.7)),
    ("file-write", "write to tmpfs", ratio(0.7)),
    ("file-read", "read from tmpfs", ratio(0.7)),
];

/// `compute.c`, in milliseconds.
const COMPUTE: [Figure; 6] = [
    ("sieve", "sieve", ratio(1.25)),
    ("matrix", "matrix product", ratio(1.25)),
    ("hash", "hash", ratio(1.25)),
    ("sort", "sort", ratio(1.25)),
    ("recursion", "recursion", ratio(1.25)),
    ("interpreter", "interpreter", ratio(1.25)),
];

/// `network.c`.
const LOOPBACK: [Figure; 1] = [("loopback", "TCP inside, loopback", ratio(0.5))];
const LOOPBACK_TIMES: [Figure; 1] = [("loopback-round-trip", "TCP inside, there and back", ratio(1.0))];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let bench = Bench::new(options.rounds, options.against.clone())?;
    let before = options.before.as_deref().map(|path| bench.of(path));
    let others: Vec<&str> = match &before {
        None => options.against.iter().map(|system| system.name()).collect(),
        Some(_) => vec!["before", "to before"],
    };
    let mut table = Table::new(!options.json, others.into_iter().map(String::from).collect());
    for part in Part::value_variants() {
        if options.only.is_empty() || options.only.contains(part) {
            match &before {
                None => part.measure(&bench, &mut |row| table.add(row)),
                Some(before) => by_turns(*part, &bench, before).into_iter().for_each(|row| table.add(row)),
            }
        }
    }
    if options.full {
        table.add(builds::kernel_after_a_change());
        table.add(builds::from_nothing());
    }
    if options.json {
        println!("{}", table.json());
    }
    Ok(if table.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rows of a part for two builds: each is measured twice, the new one in between, so that a
/// machine that gets slower or faster does not speak for one of them.
fn by_turns(part: Part, new: &Bench, before: &Bench) -> Vec<Row> {
    let rows = |bench| {
        let mut rows = Vec::new();
        part.measure(bench, &mut |row| rows.push(row));
        rows
    };
    let [first, second, third, fourth] = [before, new, new, before].map(rows);
    let both = |one: Vec<Row>, other: Vec<Row>| one.into_iter().zip(other).map(|(one, other)| one.mean(&other));
    both(second, third).zip(both(first, fourth)).map(|(new, before)| new.beside(&before)).collect()
}

impl Part {
    /// Measures it, and hands out each row as soon as it is known.
    fn measure(self, bench: &Bench, add: &mut dyn FnMut(Row)) {
        let mut add_all = |rows: Vec<Row>| rows.into_iter().for_each(&mut *add);
        match self {
            Part::Start => {
                add(bench.start());
                add(bench.first_start());
                add(bench.resident());
                add(bench.size());
            }
            Part::Calls => {
                add_all(figures(bench, "calls", &CALLS, "ns"));
                add_all(figures(bench, "processes", &PROCESSES, "ns"));
            }
            Part::Memory => {
                add_all(figures(bench, "memory", &MEMORY, "MB/s"));
                add(bench.throughput());
            }
            Part::Compute => add_all(figures(bench, "compute", &COMPUTE, "ms")),
            Part::Session => {
                add_all(live::session(bench));
                add_all(live::scripts(bench));
            }
            Part::Network => {
                let loopback = bench.program("network");
                add_all(rows(&loopback, "network", &LOOPBACK, "MB/s"));
                add_all(rows(&loopback, "network", &LOOPBACK_TIMES, "ns"));
                add_all(live::network(bench));
            }
        }
    }
}

/// The rows of a program that measures itself.
fn figures(bench: &Bench, program: &str, figures: &[Figure], unit: &'static str) -> Vec<Row> {
    rows(&bench.program(program), program, figures, unit)
}

fn rows(measured: &Result<Measured>, program: &str, figures: &[Figure], unit: &'static str) -> Vec<Row> {
    match measured {
        Ok(measured) => {
            let row = |(name, what, target): &Figure| {
                let (guest, native) = (measured.guest.get(*name).copied(), measured.native.get(*name).copied());
                let others = measured.others.iter().map(|figures| figures.get(*name).copied()).collect();
                let row = row_of(what, unit, *target).native(native).others(others);
                match guest {
                    Some(value) => row.guest(value),
                    None => row.failed(format!("{program} says nothing of {name}")),
                }
            };
            figures.iter().map(row).collect()
        }
        Err(error) => {
            figures.iter().map(|(_, what, target)| row_of(what, unit, *target).failed(format!("{error:#}"))).collect()
        }
    }
}

fn row_of(what: &str, unit: &'static str, target: Option<Target>) -> Row {
    let row = Row::new(what, unit, target);
    if unit == "MB/s" { row.more() } else { row }
}
