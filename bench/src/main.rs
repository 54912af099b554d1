//! Measures WasmLinux beside native Linux, in one run: `cargo xtask bench`.
//!
//! One C source is built by clang for this machine and by `wasmlinux-cc` for the guest; runs alternate, and medians are
//! compared. Other work on the machine makes all figures worse; the ratios suffer least.
#![deny(unsafe_code)]
mod builds;
mod measure;
mod table;

use anyhow::Result;
use clap::Parser;
use measure::Bench;
use std::process::ExitCode;
use table::{Row, Table};

/// Measures WasmLinux beside native Linux.
#[derive(Parser)]
struct Options {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure builds too: the kernel after a change of one file, and everything from nothing (minutes)
    #[arg(long)]
    full: bool,
    /// How often each program is run in each world
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// A figure of `calls.c` or `compute.c`: its name there, what it is, and the most it may be.
type Figure = (&'static str, &'static str, Option<f64>);

const CALLS: [Figure; 13] = [
    ("getppid", "getppid", Some(40.0)),
    ("write-null", "write 1 byte to /dev/null", Some(80.0)),
    ("read-zero-1", "read 1 byte of /dev/zero", None),
    ("read-zero-4k", "read 4 KiB of /dev/zero", None),
    ("clock-gettime", "clock_gettime", None),
    ("lseek", "lseek", None),
    ("stat", "stat", None),
    ("open-close", "open and close", None),
    ("pread-4k", "pread 4 KiB, tmpfs", None),
    ("pwrite-4k", "pwrite 4 KiB, tmpfs", None),
    ("pipe-byte", "a byte through a pipe", None),
    ("signal-self", "signal to self, handled", None),
    ("mmap-touch-munmap", "mmap, touch, munmap 64 KiB", None),
];

const COMPUTE: [Figure; 6] = [
    ("sieve", "sieve", None),
    ("matrix", "matrix product", None),
    ("hash", "hash", None),
    ("sort", "sort", None),
    ("recursion", "recursion", None),
    ("interpreter", "interpreter", None),
];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let bench = Bench::new(options.rounds)?;
    let mut table = Table::new(!options.json);
    table.add(bench.start());
    table.add(bench.first_start());
    table.add(bench.resident());
    table.add(bench.size());
    table.add_all(figures(&bench, "calls", &CALLS, "ns"));
    table.add_all(figures(&bench, "compute", &COMPUTE, "ms"));
    table.add(bench.throughput());
    if options.full {
        table.add(builds::kernel_after_a_change());
        table.add(builds::from_nothing());
    }
    if options.json {
        println!("{}", table.json());
    }
    Ok(if table.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The rows of a program that measures itself.
fn figures(bench: &Bench, program: &str, figures: &[Figure], unit: &'static str) -> Vec<Row> {
    match bench.program(program) {
        Ok(measured) => {
            let row = |(name, what, most): &Figure| {
                let (guest, native) = (measured.guest.get(*name).copied(), measured.native.get(*name).copied());
                let row = Row::new(what, unit, *most).native(native);
                match guest {
                    Some(value) => row.guest(value),
                    None => row.failed(format!("{program} says nothing of {name}")),
                }
            };
            figures.iter().map(row).collect()
        }
        Err(error) => {
            figures.iter().map(|(_, what, most)| Row::new(what, unit, *most).failed(format!("{error:#}"))).collect()
        }
    }
}
