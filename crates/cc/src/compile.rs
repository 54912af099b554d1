//! Running clang.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::catching;
use crate::options::{Input, Options};
use crate::toolchain::{Toolchain, run, show};

/// What every object needs.
const BASE: &[&str] = &[
    "--target=wasm32-unknown-unknown",
    // Atomics because every program may have threads, and objects with and without do not link.
    "-matomics",
    "-mbulk-memory",
    "-mmutable-globals",
    "-msign-ext",
    "-mnontrapping-fptoint",
    // setjmp and longjmp are exceptions; the lowering must not differ between objects.
    "-mexception-handling",
    "-mllvm",
    "-wasm-enable-sjlj",
    // musl's mathematics never sets errno, so sqrt and the like may be instructions.
    "-fno-math-errno",
    // A volatile access of a word is an atomic one: the host's compiler keeps those as they are.
    "-fms-volatile",
    "-Qunused-arguments",
    // clang knows no Linux for wasm32.
    "-D__linux__=1",
    "-D__linux=1",
    "-D__gnu_linux__=1",
    "-D__unix__=1",
    "-D__unix=1",
];

/// clang with the options that make a WasmLinux object, before those of the user.
pub(crate) fn clang(options: &Options, toolchain: &Toolchain) -> Result<Command> {
    let mut c = Command::new(&toolchain.clang);
    c.args(BASE).arg("-nostdinc");
    // libc's headers come before clang's own: its stdarg.h is ours.
    let mut include = |dir: &Path| {
        for a in ["-Xclang".into(), "-internal-isystem".into(), "-Xclang".into(), OsString::from(dir)] {
            c.arg(a);
        }
    };
    if options.standard_includes {
        include(&toolchain.checked_sysroot()?.join("include"));
    }
    if options.builtin_includes {
        include(&toolchain.resource.join("include"));
    }
    Ok(c)
}

/// The whole command line is one run of clang: `-c`, `-S`, `-E`, `-M`.
pub(crate) fn only(options: &Options, toolchain: &Toolchain) -> Result<u8> {
    let mut c = clang(options, toolchain)?;
    c.args(&options.all);
    if let Some(o) = &options.output {
        c.arg("-o").arg(o);
    }
    let objects = options.inputs.iter().filter_map(|input| match (input, &options.output) {
        (Input::Source(..), Some(output)) => Some(PathBuf::from(output)),
        (Input::Source(source, _), None) => Some(Path::new(Path::new(source).file_name()?).with_extension("o")),
        _ => None,
    });
    let objects = if options.all.iter().any(|a| a == "-c") { objects.collect() } else { Vec::new() };
    execute_catching(c, &objects, options)
}

/// Compiles to these objects; once more, in another way, if functions in them call setjmp.
fn execute_catching(mut c: Command, objects: &[PathBuf], options: &Options) -> Result<u8> {
    let status = execute(&mut c, options)?;
    if status != 0 || options.dry_run {
        return Ok(status);
    }
    let mut functions = BTreeSet::new();
    for object in objects.iter().filter(|object| object.is_file()) {
        functions.append(&mut catching::functions(object)?);
    }
    if functions.is_empty() {
        return Ok(0);
    }
    let list = tempfile::NamedTempFile::new().context("a temporary file")?;
    catching::instrument(&mut c, &functions, list.path())?;
    // Warnings have been said.
    c.arg("-w");
    execute(&mut c, options)
}

/// Compiles one source file of a link to an object.
pub(crate) fn object(
    source: &str,
    language: Option<&str>,
    object: &Path,
    options: &Options,
    toolchain: &Toolchain,
) -> Result<u8> {
    let mut c = clang(options, toolchain)?;
    c.args(&options.flags);
    let has = |names: &[&str]| options.flags.iter().any(|f| names.contains(&f.as_str()));
    // By the name of the object, which is temporary, the dependency file would be lost.
    let stem = Path::new(source).file_stem().unwrap_or_default().to_string_lossy();
    if has(&["-MD", "-MMD"]) && !has(&["-MF"]) {
        c.arg("-MF").arg(format!("{stem}.d"));
    }
    if has(&["-MD", "-MMD"]) && !has(&["-MT", "-MQ"]) {
        c.arg("-MQ").arg(format!("{stem}.o"));
    }
    if let Some(l) = language {
        c.arg("-x").arg(l);
    }
    c.arg("-c").arg(source).arg("-o").arg(object);
    execute_catching(c, &[object.to_path_buf()], options)
}

fn execute(c: &mut Command, options: &Options) -> Result<u8> {
    if options.dry_run || options.verbose {
        show(c);
    }
    if options.dry_run {
        return Ok(0);
    }
    if options.verbose {
        c.arg("-v");
    }
    run(c)
}
