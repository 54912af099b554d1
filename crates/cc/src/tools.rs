//! The binary tools: LLVM's own where they know Wasm well enough, else ours.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasm_encoder::Module;
use wasmlinux_boundary::program::ABI_SECTION;
use wasmlinux_module::sections::copy;
use wasmparser::{Parser, Payload};

use crate::{data, link, toolchain};

/// Becomes LLVM's tool of that name.
pub(crate) fn llvm(name: &str, args: &[String]) -> Result<u8> {
    let program = toolchain::tool(&format!("llvm-{name}-19"), "llvm-19")?;
    let error = Command::new(&program).args(args).exec();
    Err(error).with_context(|| format!("running {}", program.display()))
}

/// `ld` for Makefiles that call the linker themselves.
pub(crate) fn ld(name: &str, args: &[String]) -> Result<u8> {
    link::bare(name, args)
}

/// `strip`: of programs it removes names and debugging information; what can still be linked stays
/// as it is, since its sections refer to each other by number, and llvm-strip breaks it.
pub(crate) fn strip(args: &[String]) -> Result<u8> {
    let (mut files, mut output, mut debug_only) = (Vec::new(), None, false);
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "-o" => output = Some(it.next().context("the option '-o' needs a value")?.as_str()),
            "-g" | "-S" | "-d" | "--strip-debug" => debug_only = true,
            "-R" | "-K" | "-N" | "-F" | "-I" | "-O" => drop(it.next()),
            "--version" | "-V" | "--help" => return llvm("strip", args),
            a if a.starts_with("-o") => output = Some(&a[2..]),
            a if a.starts_with('-') && a != "-" => {}
            a => files.push(a),
        }
    }
    if files.is_empty() {
        bail!("no input files");
    }
    if output.is_some() && files.len() > 1 {
        bail!("'-o' with more than one file");
    }
    for f in files {
        let bytes = fs::read(f).with_context(|| f.to_owned())?;
        let stripped = stripped(&bytes, debug_only).with_context(|| f.to_owned())?;
        link_output(Path::new(output.unwrap_or(f)), Path::new(f), &stripped, &bytes)?;
    }
    Ok(0)
}

fn link_output(to: &Path, from: &Path, stripped: &[u8], original: &[u8]) -> Result<()> {
    if to == from && stripped == original {
        return Ok(());
    }
    let mode = fs::metadata(from)?.permissions();
    link::write_program(to, stripped)?;
    if fs::metadata(to)?.is_file() {
        fs::set_permissions(to, mode)?;
    }
    Ok(())
}

/// The file without what is not needed to run it.
fn stripped(bytes: &[u8], debug_only: bool) -> Result<Vec<u8>> {
    if bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n") {
        return Ok(bytes.to_vec());
    }
    if !bytes.starts_with(b"\0asm") {
        bail!("not a WebAssembly file");
    }
    let mut out = Module::new();
    for p in Parser::new(0).parse_all(bytes) {
        let p = p?;
        if let Payload::CustomSection(c) = &p {
            if c.name() == "linking" {
                return Ok(bytes.to_vec());
            }
            if data::is_debug(c.name()) || !debug_only && c.name() != ABI_SECTION {
                continue;
            }
        }
        copy(&mut out, bytes, &p)?;
    }
    Ok(out.finish())
}
