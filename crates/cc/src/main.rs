//! `wasmlinux-cc`: clang-19 and wasm-ld-19 as a C compiler for WasmLinux programs, for use as `CC`.
//!
//! One executable is also `wasmlinux-ld`, `-ar`, `-ranlib`, `-nm`, `-strip`, … by the name it is
//! called by. A program passes through these modules: [`options`] reads the command line,
//! [`compile`] runs clang, [`link`] runs wasm-ld, [`data`] gives the result the form that the
//! kernel's loader maps, and, only if needed, [`fork_paths`] and [`binaryen`] make it able to fork
//! and to throw. `docs/abi.md` describes the result.
#![forbid(unsafe_code)]

mod binaryen;
mod callbacks;
mod catching;
mod compile;
mod data;
mod fork_paths;
mod hidden;
mod instrument;
mod link;
mod linker_flags;
mod objects;
mod options;
mod order;
mod query;
mod toolchain;
mod tools;
mod trapping;

use std::process::ExitCode;

use options::{Mode, Options};
use toolchain::Toolchain;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    let name = std::path::Path::new(&called)
        .file_name()
        .map_or_else(|| "wasmlinux-cc".into(), |n| n.to_string_lossy().into_owned());
    let args: Result<Vec<String>, _> = args.map(|a| a.into_string()).collect();
    let result = match args {
        Ok(args) => dispatch(&name, args),
        Err(a) => Err(anyhow::anyhow!("the argument '{}' is not UTF-8", a.to_string_lossy())),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            eprintln!("{name}: error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what `name` stands for; the value is the exit status.
fn dispatch(name: &str, args: Vec<String>) -> anyhow::Result<u8> {
    match name.strip_prefix("wasmlinux-").unwrap_or(name) {
        "ld" => tools::ld(name, &options::expand(args)?),
        "strip" => tools::strip(&args),
        "ranlib" if args.iter().any(|a| a == "-t") => Ok(0),
        tool @ ("ar" | "ranlib" | "nm" | "objcopy" | "objdump" | "size" | "strings") => tools::llvm(tool, &args),
        _ => cc(name, options::expand(args)?),
    }
}

fn cc(name: &str, args: Vec<String>) -> anyhow::Result<u8> {
    let options = Options::parse(&args)?;
    let toolchain = Toolchain::find(options.sysroot.as_deref())?;
    if options.verbose {
        for note in &options.notes {
            eprintln!("{name}: note: {note}");
        }
    }
    match &options.mode {
        Mode::Query(q) => query::answer(q, &options, &toolchain),
        Mode::Compile => compile::only(&options, &toolchain),
        Mode::Link => link::program(name, &options, &toolchain),
    }
}
