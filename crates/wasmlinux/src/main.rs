//! The command line: `wasmlinux run …`.
#![deny(unsafe_code)]

mod cli;

fn main() -> ! {
    wasmlinux::compile_if_asked();
    wasmlinux::machine_if_asked(cli::prepare);
    std::process::exit(cli::main().into())
}
