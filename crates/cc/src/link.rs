//! Compiling what is source, running wasm-ld, and making a program of the result.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use wasmlinux_boundary::program::{HEAP_BASE, STACK_POINTER, THREAD_POINTER, TLS_BASE};

use crate::binaryen::Binaryen;
use crate::data::{self, Keep};
use crate::fork_paths;
use crate::linker_flags::{Linker, sort_out};
use crate::options::{Input, Options};
use crate::toolchain::{Toolchain, exit_status, show, wasm_ld};
use crate::{callbacks, compile, hidden, objects, options, order, trapping};

/// How wasm-ld lays a program out; `docs/abi.md` has the reasons.
const LAYOUT: &[&str] = &[
    "--shared-memory",
    "--import-memory",
    "--max-memory=4294967296",
    // Page 0 is never mapped.
    "--global-base=65536",
    // The stack is a mapping of the kernel's; 0 is refused.
    "-z",
    "stack-size=16",
    "--no-entry",
    "--no-demangle",
    "--export-table",
    // A function pointer must not look like SIG_IGN (1) or SIG_HOLD (2).
    "--table-base=16",
];
/// Longer command lines go through a response file.
const LONG: usize = 64 * 1024;

/// Links a program, or with `-r` an object. `name` is what messages begin with.
pub(crate) fn program(name: &str, options: &Options, toolchain: &Toolchain) -> Result<u8> {
    let linker = sort_out(&options.inputs)?;
    if options.verbose {
        for note in &linker.notes {
            eprintln!("{name}: note: {note}");
        }
    }
    let dir = tempfile::Builder::new().prefix("wasmlinux-cc-").tempdir().context("a directory for temporary files")?;
    let mut args = Vec::new();
    let (mut objects, mut compiled) = (Vec::new(), Vec::new());
    for (i, input) in linker.args.iter().enumerate() {
        match input {
            Input::Source(source, language) => {
                // Each in a directory of its own, under its own name: wasm-ld's messages show that.
                let own = dir.path().join(i.to_string());
                fs::create_dir(&own)?;
                let stem = Path::new(source).file_stem().unwrap_or_default();
                let object = own.join(stem).with_extension("o");
                let named = Path::new(stem).with_extension("o");
                let status = compile::object(source, language.as_deref(), &object, &named, options, toolchain)?;
                if status != 0 {
                    return Ok(status);
                }
                if linker.first_definition && !options.dry_run {
                    weaken(&object, &object)?;
                }
                compiled.push(object.display().to_string());
                args.push(object.display().to_string());
            }
            Input::Object(file) => {
                objects.push(file.as_str());
                let mut file = file.clone();
                if linker.first_definition && is_object(Path::new(&file)) {
                    let own = dir.path().join(i.to_string());
                    fs::create_dir(&own)?;
                    let copy = own.join(Path::new(&file).file_name().unwrap_or_default());
                    weaken(Path::new(&file), &copy)?;
                    file = copy.display().to_string();
                }
                compiled.push(file.clone());
                args.push(file);
            }
            Input::Linker(word) => args.push(word.clone()),
        }
    }
    if options.start_files && !options.relocatable && !linker.query {
        args.push(toolchain.checked_sysroot()?.join("lib/crt1.o").display().to_string());
    }
    args.push(format!("-L{}", toolchain.sysroot.join("lib").display()));
    if options.default_libs && !options.relocatable && !linker.query {
        args.push(toolchain.checked_sysroot()?.join("lib/libc.a").display().to_string());
        args.push(toolchain.builtins()?.display().to_string());
        // Only if they are asked for, and then the last objects of all.
        let ends = ["end", "edata", "etext"].map(|end| toolchain.sysroot.join("lib").join(end).with_extension("o"));
        if ends.iter().all(|end| end.is_file()) {
            args.push("--start-lib".into());
            args.extend(ends.map(|end| end.display().to_string()));
            args.push("--end-lib".into());
        }
    }
    if !(options.relocatable || linker.query || options.dry_run || linker.first_definition) {
        check_common(&compiled)?;
    }

    let output = PathBuf::from(options.output.as_deref().unwrap_or("a.out"));
    let linked = dir.path().join("linked");
    let direct = options.relocatable || linker.query;
    let mut ld = Command::new(wasm_ld()?);
    if options.relocatable {
        ld.arg("-r");
    } else if !linker.query {
        ld.args(LAYOUT);
        ld.args([STACK_POINTER, TLS_BASE, HEAP_BASE].map(|name| format!("--export={name}")));
        ld.arg(format!("--export-if-defined={THREAD_POINTER}"));
    }
    if args.iter().map(|a| a.len() + 1).sum::<usize>() > LONG {
        let file = dir.path().join("arguments");
        fs::write(
            &file,
            args.iter().map(|a| format!("\"{}\"\n", a.replace('\\', "\\\\").replace('"', "\\\""))).collect::<String>(),
        )?;
        ld.arg(format!("@{}", file.display()));
    } else {
        ld.args(&args);
    }
    let mut map = dir.path().join("map");
    if !direct {
        let own = args.iter().rev().find_map(|a| a.strip_prefix("--Map="));
        match own {
            Some(file) => map = file.into(),
            None => _ = ld.arg(format!("--Map={}", map.display())),
        }
    }
    if !linker.query {
        ld.arg("-o").arg(if direct { &output } else { &linked });
    }
    if options.dry_run || options.verbose {
        show(&ld);
    }
    if options.dry_run {
        return Ok(0);
    }
    let result = ld.output().with_context(|| format!("running {}", ld.get_program().to_string_lossy()))?;
    std::io::stdout().write_all(&result.stdout)?;
    eprint!("{}", explain(&String::from_utf8_lossy(&result.stderr), name, dir.path()));
    if !result.status.success() {
        return Ok(exit_status(result.status));
    }
    if options.relocatable {
        let mut object = fs::read(&output).with_context(|| output.display().to_string())?;
        objects::retain(&mut object)?;
        fs::write(&output, object).with_context(|| output.display().to_string())?;
    }
    if !direct {
        let keep = kept(options, &linker, &objects);
        let wasm = finished(name, &fs::read(&linked)?, &map, dir.path(), keep, options, toolchain)?;
        write_program(&output, &wasm)?;
    }
    Ok(0)
}

/// Whether a file is an object, rather than an archive.
fn is_object(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\0asm"))
}

/// Writes an object whose definitions another one's take the place of, if that comes first.
fn weaken(object: &Path, to: &Path) -> Result<()> {
    let mut bytes = fs::read(object).with_context(|| object.display().to_string())?;
    objects::weaken(&mut bytes, |_| true)?;
    fs::write(to, bytes).with_context(|| to.display().to_string())
}

/// Fails if a variable that files share by `-fcommon` is smaller in the first of them, which the
/// linker takes, than in another.
fn check_common(files: &[String]) -> Result<()> {
    let mut first = HashMap::<String, (u32, &str)>::new();
    for file in files.iter().filter(|file| is_object(Path::new(file))) {
        for (name, size) in objects::weak_data(&fs::read(file)?).with_context(|| file.clone())? {
            let (known, other) = *first.entry(name.clone()).or_insert((size, file));
            if known < size {
                let short = |file: &str| Path::new(file).file_name().unwrap_or_default().display().to_string();
                bail!(
                    "'{name}' has {known} bytes in {} and {size} in {}: give it one type, or name the latter file first",
                    short(other),
                    short(file)
                );
            }
        }
    }
    Ok(())
}

/// All that happens to a module after wasm-ld. `map` is the file of wasm-ld's map of it.
fn finished(
    name: &str,
    linked: &[u8],
    map: &Path,
    dir: &Path,
    keep: Keep,
    options: &Options,
    toolchain: &Toolchain,
) -> Result<Vec<u8>> {
    let traits = data::traits(linked)?;
    if !traits.starts {
        eprintln!("{name}: warning: there is no _start: the program cannot be run");
    }
    let linked = callbacks::resolve(linked).context("wasm-ld's output is not as expected")?;
    let mut wasm = data::rewrite(&linked).context("wasm-ld's output is not as expected")?;
    if !traits.forks && !traits.throws {
        return data::finish(&wasm, keep);
    }
    if traits.throws {
        wasm = trapping::replace(&wasm)?;
    }
    let why = if traits.forks { "calls fork" } else { "uses setjmp" };
    let binaryen = Binaryen::find(toolchain, options, why)?;
    let mut file = dir.join("hidden");
    let module;
    let hidden;
    if traits.forks {
        let mut quiet = fork_paths::Quiet::new(options.fork_in_handler);
        for f in &options.fork_quiet {
            quiet.add(&fs::read_to_string(f).with_context(|| f.clone())?);
        }
        let map = String::from_utf8_lossy(&fs::read(map).with_context(|| map.display().to_string())?).into_owned();
        let libc = toolchain.sysroot.join("lib");
        let paths = fork_paths::find(
            &wasm,
            &map,
            |file| {
                file == "<internal>"
                    || ["libc.a(", "crt1.o"].iter().any(|f| file.starts_with(&*libc.join(f).to_string_lossy()))
            },
            quiet,
        )?;
        if options.verbose {
            eprintln!("{name}: note: {} of {} functions may reach fork", paths.names.len(), paths.functions);
        }
        let only = dir.join("fork-paths");
        fs::write(&only, paths.names.join("\n"))?;
        module = paths.named;
        hidden = hidden::hide(&module)?;
        fs::write(&file, &hidden.wasm)?;
        let to = dir.join("asyncified");
        binaryen.asyncify(&file, &to, &only)?;
        file = to;
    } else {
        // Binaryen would try to keep it up to date, and work less and longer for it.
        module = data::finish(&wasm, Keep::Names)?;
        hidden = hidden::hide(&module)?;
        fs::write(&file, &hidden.wasm)?;
    }
    if traits.throws {
        let to = dir.join("translated");
        binaryen.translate_exceptions(&file, &to)?;
        file = to;
    }
    let optimised = fs::read(&file)?;
    order::check(&hidden.wasm, &optimised)?;
    wasm = hidden.reveal(&optimised)?;
    data::finish(&wasm, if keep == Keep::All { Keep::Names } else { keep })
}

/// What of the custom sections the program keeps. Debugging information stays only if some of it is
/// the user's: that of the compiler's library is of no use alone.
fn kept(options: &Options, linker: &Linker, objects: &[&str]) -> Keep {
    let asked = options.flags.iter().any(|f| f.starts_with("-g") && f != "-g0");
    let has_debug = |f: &&str| fs::read(f).is_ok_and(|b| b.windows(11).any(|w| w == b".debug_info"));
    if options.strip || linker.strip {
        Keep::Nothing
    } else if !linker.strip_debug && (asked || objects.iter().any(has_debug)) {
        Keep::All
    } else {
        Keep::Names
    }
}

/// Writes an executable file, or whatever `output` is.
pub(crate) fn write_program(output: &Path, wasm: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // A program that runs keeps its old file.
    if fs::symlink_metadata(output).is_ok_and(|m| m.is_file()) {
        fs::remove_file(output).with_context(|| format!("replacing {}", output.display()))?;
    }
    fs::write(output, wasm).with_context(|| format!("writing {}", output.display()))?;
    let meta = fs::metadata(output)?;
    if meta.is_file() {
        // Whoever may read it may execute it: the umask has seen to the rest.
        let mode = meta.permissions().mode();
        fs::set_permissions(output, fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
    }
    Ok(())
}

/// wasm-ld's messages as ours: without the names of temporary files, and with what to do about
/// them.
fn explain(messages: &str, name: &str, dir: &Path) -> String {
    let dir = format!("{}/", dir.display());
    let mut out = String::new();
    let mut mismatch = false;
    for line in messages.lines() {
        // Temporary objects lie in numbered directories.
        let mut line = line.to_owned();
        while let Some(at) = line.find(&dir) {
            let rest = &line[at + dir.len()..];
            let skip = rest.find('/').map_or(0, |i| i + 1);
            line = format!("{}{}", &line[..at], &rest[skip..]);
        }
        let of_linker = line.strip_prefix("wasm-ld-19: ").or_else(|| line.strip_prefix("wasm-ld: ")).map(str::to_owned);
        if let Some(text) = &of_linker {
            line = format!("{name}: {text}");
        }
        let text = of_linker.unwrap_or_else(|| line.clone());
        if mismatch && !line.starts_with(">>>") {
            mismatch = false;
            out += &format!(
                "{name}: note: a call through the wrong type traps when it is made; declare the function as it is defined\n"
            );
        }
        out += &line;
        out.push('\n');
        mismatch |= text.contains("function signature mismatch");
        if text.contains("undefined symbol: main") {
            out += &format!("{name}: note: the program has no main function\n");
        } else if text.contains("--shared-memory is disallowed by") {
            out += &format!("{name}: note: that object was not compiled by wasmlinux-cc\n");
        } else if text.contains("unknown file type") {
            out += &format!("{name}: note: not a WebAssembly object: was it compiled for another machine?\n");
        } else if text.contains("unable to find library") {
            out += &format!(
                "{name}: note: libraries have to be compiled by wasmlinux-cc, and their directory named with -L\n"
            );
        }
    }
    if mismatch {
        out += &format!(
            "{name}: note: a call through the wrong type traps when it is made; declare the function as it is defined\n"
        );
    }
    out
}

/// The link that `wasmlinux-ld` makes of its own command line: nothing is added to it.
pub(crate) fn bare(name: &str, args: &[String]) -> Result<u8> {
    let mut line = vec!["-nostdlib".to_owned()];
    let mut it = args.iter().peekable();
    while let Some(a) = it.next() {
        match a.as_str() {
            "-o" => line.extend([a.clone(), it.next().cloned().unwrap_or_default()]),
            "-r" | "-relocatable" | "--relocatable" | "-i" => line.push("-r".into()),
            "-nostdlib" => {}
            a if a.starts_with('-') && a != "-" => line.extend(["-Xlinker".into(), a.into()]),
            // The value of the option before it, or a file.
            a => match line.last() {
                Some(l) if line.len() > 1 && line[line.len() - 2] == "-Xlinker" && takes_value(l) => {
                    line.extend(["-Xlinker".into(), a.into()])
                }
                _ => line.push(a.into()),
            },
        }
    }
    let options = options::Options::parse(&line)?;
    let toolchain = Toolchain::find(None)?;
    program(name, &options, &toolchain)
}

fn takes_value(option: &str) -> bool {
    crate::linker_flags::takes_value(option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_ours() {
        let m = "wasm-ld-19: error: /tmp/t/0/x.o: undefined symbol: main\n";
        let e = explain(m, "cc", Path::new("/tmp/t"));
        assert_eq!(e, "cc: error: x.o: undefined symbol: main\ncc: note: the program has no main function\n");
    }

    #[test]
    fn a_mismatch_is_explained_after_its_details() {
        let m = "wasm-ld-19: warning: function signature mismatch: f\n>>> defined as () -> i32 in a.o\n>>> defined as (i32) -> i32 in b.o\n";
        let e = explain(m, "cc", Path::new("/tmp/t"));
        assert!(e.lines().last().unwrap().contains("wrong type traps"));
        assert_eq!(e.lines().count(), 4);
    }
}
