//! The command line: `wasmlinux run …`.
#![deny(unsafe_code)]

mod cli;

fn main() -> ! {
    std::process::exit(cli::main().into())
}
