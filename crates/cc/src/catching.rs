//! Functions that call setjmp, compiled so that a signal's handler can longjmp to them from any of
//! their own instructions.
//!
//! longjmp is an exception, and a function catches exceptions at its calls only. A handler may
//! begin anywhere else: at an access that faults, or in a loop. So in the functions that call
//! setjmp each access is first tried by a function of libc, and each block begins with a call of an
//! empty one (`guest/libc/musl/src/setjmp/wasm32/catching.c`): faults happen there, and the machine
//! puts off other handlers until it meets such a call. clang's instrumentation for coverage puts
//! these calls in; `trapping.rs` sees to other instructions that trap.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use wasmparser::{Linking, Parser, Payload, RelocSectionReader, SymbolInfo};

/// What clang calls at each place where a setjmp returns.
const SETJMP: &str = "__wasm_setjmp";

/// The functions of an object that call setjmp; none if it is no object.
pub(crate) fn functions(object: &Path) -> Result<BTreeSet<String>> {
    let bytes = fs::read(object).with_context(|| object.display().to_string())?;
    if !bytes.starts_with(b"\0asm") || !bytes.windows(SETJMP.len()).any(|name| name == SETJMP.as_bytes()) {
        return Ok(BTreeSet::new());
    }
    find(&bytes).with_context(|| format!("{}: not an object as clang writes them", object.display()))
}

fn find(object: &[u8]) -> Result<BTreeSet<String>> {
    let mut setjmp = None;
    let (mut imported, mut code_start, mut section, mut code_section) = (0, 0, 0, 0);
    let mut bodies: Vec<Range<usize>> = Vec::new();
    let (mut symbols, mut relocations) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(object) {
        let payload = payload?;
        match &payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let import = import?;
                    if matches!(import.ty, wasmparser::TypeRef::Func(_)) {
                        setjmp = setjmp.or((import.name == SETJMP).then_some(imported));
                        imported += 1;
                    }
                }
            }
            Payload::CodeSectionStart { range, .. } => (code_start, code_section) = (range.start, section),
            Payload::CodeSectionEntry(body) => {
                bodies.push(body.range());
                continue;
            }
            Payload::CustomSection(custom) if custom.name() == "linking" => {
                if let wasmparser::KnownCustom::Linking(linking) = custom.as_known() {
                    for part in linking.subsections() {
                        if let Linking::SymbolTable(table) = part? {
                            symbols = table.into_iter().collect::<Result<_, _>>()?;
                        }
                    }
                }
            }
            Payload::CustomSection(custom) => {
                if let wasmparser::KnownCustom::Reloc(reader) = custom.as_known() {
                    relocations.push(reader);
                }
            }
            _ => {}
        }
        section += u32::from(payload.as_section().is_some() || matches!(payload, Payload::CodeSectionStart { .. }));
    }
    let mut names: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for symbol in &symbols {
        if let SymbolInfo::Func { index, name: Some(name), .. } = symbol
            && *index >= imported
        {
            names.entry(*index).or_default().push(name);
        }
    }
    let calls_setjmp = |symbol: u32| {
        matches!(symbols.get(symbol as usize), Some(SymbolInfo::Func { index, name, .. })
            if *name == Some(SETJMP) || Some(*index) == setjmp)
    };
    let mut found = BTreeSet::new();
    for reader in relocations.iter().filter(|reader: &&RelocSectionReader<'_>| reader.section_index() == code_section) {
        for entry in reader.entries() {
            let entry = entry?;
            if !calls_setjmp(entry.index) {
                continue;
            }
            let at = code_start + entry.offset as usize;
            let body =
                bodies.iter().position(|body| body.contains(&at)).context("a relocation outside of functions")?;
            let name = names.get(&(imported + body as u32)).context("a function without a symbol")?;
            found.extend(name.iter().map(|name| (*name).to_owned()));
            // As it is called when clang puts the calls in.
            if name.contains(&"__original_main") {
                found.insert("main".into());
            }
        }
    }
    Ok(found)
}

/// Adds to a clang command that it puts the calls into these functions. `list` is a file for their
/// names.
pub(crate) fn instrument(clang: &mut Command, functions: &BTreeSet<String>, list: &Path) -> Result<()> {
    let lines: String = functions.iter().map(|name| format!("fun:{name}\n")).collect();
    fs::write(list, format!("src:*\n{lines}")).with_context(|| list.display().to_string())?;
    // These would be single instructions, on which there is no call to be caught at.
    clang.args(["-fno-builtin-memset", "-fno-builtin-memcpy", "-fno-builtin-memmove"]);
    clang.arg("-fsanitize-coverage=bb,trace-pc,trace-loads,trace-stores");
    clang.arg(format!("-fsanitize-coverage-allowlist={}", list.display()));
    // A division by zero calls a function first; in the whole file, for there is no list for that.
    let divisions = [
        "-fsanitize=integer-divide-by-zero",
        "-fsanitize-recover=integer-divide-by-zero",
        "-fsanitize-minimal-runtime",
    ];
    clang.args(divisions.iter().flat_map(|option| ["-Xclang", option]));
    // It is a call, to a function that clang does not know.
    clang.arg("-D__builtin_trap()=__extension__({extern __attribute__((noreturn))void __catching_unreachable(void);__catching_unreachable();})");
    Ok(())
}
