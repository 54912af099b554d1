//! Running clang.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::options::{Input, Options};
use crate::toolchain::{Toolchain, run, show};
use crate::{catching, instrument, objects};

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
    // Code has no addresses. clang has no answer to it but an error.
    "-D__builtin_return_address(level)=((void *)0)",
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
    let to_objects = options.all.iter().any(|a| a == "-c");
    let sources = options.inputs.iter().filter_map(|input| match (input, &options.output) {
        (Input::Source(source, language), Some(output)) => Some((source, language, PathBuf::from(output))),
        (Input::Source(source, language), None) => {
            Some((source, language, Path::new(Path::new(source).file_name()?).with_extension("o")))
        }
        _ => None,
    });
    if to_objects && in_steps(options) {
        for (source, language, object) in sources {
            let status = self::object(source, language.as_deref(), &object, &object, options, toolchain)?;
            if status != 0 {
                return Ok(status);
            }
        }
        return Ok(0);
    }
    let mut c = clang(options, toolchain)?;
    c.args(&options.all);
    if let Some(o) = &options.output {
        c.arg("-o").arg(o);
    }
    let objects = if to_objects { sources.map(|(_, _, object)| object).collect() } else { Vec::new() };
    execute_catching(&mut c, &objects, options, toolchain)
}

/// Whether `-fcommon` counts: each file that declares a variable without a value defines it, and
/// all are one.
fn common(options: &Options) -> bool {
    options.is_on("-fcommon", "-fno-common")
}

/// Whether a source is in assembly language, or LLVM's own.
fn is_assembly(source: &str, language: Option<&str>) -> bool {
    let extension = Path::new(source).extension().and_then(|e| e.to_str()).unwrap_or_default();
    match language {
        Some(language) => language.starts_with("assembler") || language == "ir",
        None => ["s", "S", "sx", "ll", "bc"].contains(&extension),
    }
}

/// Whether one run of clang does not do.
fn in_steps(options: &Options) -> bool {
    let others = ["-S", "-E", "-M", "-MM", "-emit-llvm", "-fsyntax-only"];
    (common(options) || instrument::is_on(options)) && !options.all.iter().any(|a| others.contains(&a.as_str()))
}

/// Compiles to these objects; once more, in another way, if functions in them call setjmp.
fn execute_catching(c: &mut Command, objects: &[PathBuf], options: &Options, toolchain: &Toolchain) -> Result<u8> {
    let status = execute_whole(c, objects, options, toolchain)?;
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
    catching::instrument(c, &functions, list.path())?;
    // Warnings have been said.
    c.arg("-w");
    execute_whole(c, objects, options, toolchain)
}

/// Runs clang, by way of LLVM's intermediate language if functions are to be instrumented.
fn execute_whole(c: &mut Command, objects: &[PathBuf], options: &Options, toolchain: &Toolchain) -> Result<u8> {
    let [object] = objects else { return execute(c, options) };
    if !in_steps(options) || !instrument::is_on(options) {
        return execute(c, options);
    }
    let ir = tempfile::Builder::new().suffix(".ll").tempfile().context("a temporary file")?;
    instrument::stop(c, ir.path());
    let status = execute(c, options)?;
    if status != 0 || options.dry_run {
        return Ok(status);
    }
    let mut rest = clang(options, toolchain)?;
    instrument::go_on(&mut rest, ir.path(), object, options)?;
    execute(&mut rest, options)
}

/// Makes what `-fcommon` lets several files define weak, so that the linker takes one. clang leaves
/// such variables undefined in an object: those are compared with what is defined without the
/// option.
fn execute_common(c: &mut Command, object: &Path, options: &Options, toolchain: &Toolchain) -> Result<u8> {
    c.arg("-fno-common");
    let status = execute_catching(c, &[object.to_path_buf()], options, toolchain)?;
    if status != 0 || options.dry_run {
        return Ok(status);
    }
    let other = tempfile::Builder::new().suffix(".o").tempfile().context("a temporary file")?;
    c.args(["-fcommon", "-w", "-o"]).arg(other.path());
    let status = execute_whole(c, &[other.path().to_path_buf()], options, toolchain)?;
    if status != 0 {
        return Ok(status);
    }
    let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
    let names = objects::undefined_data(&read(other.path())?)?;
    let mut bytes = read(object)?;
    objects::weaken(&mut bytes, |name| names.iter().any(|n| n == name))?;
    fs::write(object, bytes).with_context(|| object.display().to_string())?;
    Ok(0)
}

/// Compiles one source file to an object. `named` is the object that the dependency file is named
/// after: the one here may be temporary.
pub(crate) fn object(
    source: &str,
    language: Option<&str>,
    object: &Path,
    named: &Path,
    options: &Options,
    toolchain: &Toolchain,
) -> Result<u8> {
    let mut c = clang(options, toolchain)?;
    c.args(&options.flags);
    let has = |names: &[&str]| options.flags.iter().any(|f| names.contains(&f.as_str()));
    if has(&["-MD", "-MMD"]) && !has(&["-MF"]) {
        c.arg("-MF").arg(named.with_extension("d"));
    }
    if has(&["-MD", "-MMD"]) && !has(&["-MT", "-MQ"]) {
        c.arg("-MQ").arg(named);
    }
    if let Some(l) = language {
        c.arg("-x").arg(l);
    }
    c.arg("-c").arg(source).arg("-o").arg(object);
    if is_assembly(source, language) {
        return execute(&mut c, options);
    }
    if common(options) && in_steps(options) {
        return execute_common(&mut c, object, options, toolchain);
    }
    execute_catching(&mut c, &[object.to_path_buf()], options, toolchain)
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
