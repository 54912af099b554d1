//! The command line: `wasmlinux run …`.
#![deny(unsafe_code)]

mod cli;

fn main() -> ! {
    wasmlinux::compile_if_asked();
    std::process::exit(cli::main().into())
}
