//! A program: its sections are gone through once, checked and written anew.
use crate::{
    Error, ErrorKind, OffsetMap, allowed, cost,
    error::{At, limit},
    output::Output,
    rewrite,
};
use std::collections::HashSet;
use wasm_encoder::{Encode, EntityType, ExportKind, ExportSection, ImportSection, MemorySection};
use wasmlinux_boundary::program as names;
use wasmparser::{
    CompositeInnerType, ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TypeRef, Validator,
};

/// Limits of the loader, far above what compilers make; those of what compiling costs are in
/// `cost.rs`.
const CODE_MAX: u64 = 96 << 20;
const FUNCTION_MAX: u64 = 4 << 20;
const FUNCTIONS_MAX: u64 = 400_000;
const TABLES_MAX: u64 = 16;
/// Entries of all tables together: they are memory of the host, in each process.
const ENTRIES_MAX: u64 = 1 << 18;
const EXPORTS_MAX: u64 = 10_000;
const TYPES_MAX: u64 = 100_000;
/// Globals and tags of a program: each instance has all of them, and each task a copy.
const GLOBALS_MAX: u64 = 1000;
const TAGS_MAX: u64 = 100;
const IMPORTS_MAX: u64 = 100;

/// Counts the forms that [`check`] has given programs: compiled code of another one is of no use.
/// Whoever changes what it makes of a program counts on.
pub const FORM: u32 = 5;
/// An export of a checked program that has no state but its memory and its exported mutable
/// globals.
pub const REUSABLE: &str = "wasmlinux:reusable";
/// What [`check`] calls the mutable globals that it exports, before the index.
const GLOBAL: &str = "wasmlinux:global:";

/// A program that was checked, in the form that the engine compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Program {
    /// The module: it has no start function (a program begins at `_start`), no active data (the
    /// kernel writes that), a memory of its own in place of the imported one (the machine provides
    /// it as it makes the instance), and exports all its mutable globals. [`REUSABLE`] is among its
    /// exports if an instance with other memory and globals is as good as new. Its accesses to
    /// memory are in the form that `rewrite` describes.
    pub module: Vec<u8>,
    /// Where code of the file is in the module.
    pub offsets: OffsetMap,
}

/// The first check, before anything goes through the bytes: at most 96 MiB.
///
/// # Errors
/// If there are more.
pub fn check_size(bytes: u64) -> Result<(), Error> {
    limit("bytes of the program", bytes, CODE_MAX)
}

/// Checks the file of a program, and makes of it what the engine compiles. Takes time and memory in
/// proportion to the file's size, for any content; never panics.
///
/// # Errors
/// If it is no valid module, uses more of WebAssembly than programs may, does not keep to the
/// contract, or exceeds a limit. Offsets in errors are those in the file, where there is such a
/// place.
pub fn check(wasm: &[u8]) -> Result<Program, Error> {
    check_size(wasm.len() as u64)?;
    let mut state = State::new(wasm);
    for payload in Parser::new(0).parse_all(wasm) {
        state.section(&payload?)?;
    }
    if !state.has_start {
        return Err(ErrorKind::MissingExport(names::START).into());
    }
    let (module, offsets) = state.complete();
    let mut validator = Validator::new_with_features(allowed::features());
    cost::validate(&mut validator, &module).map_err(|error| error.translated(|offset| offsets.to_original(offset)))?;
    Ok(Program { module, offsets })
}

/// What has been seen of a program, and made of it.
struct State<'a> {
    wasm: &'a [u8],
    out: Output<'a>,
    has_start: bool,
    has_memory: bool,
    types: Vec<FuncType>,
    /// Of each global, whether it is mutable.
    globals: Vec<bool>,
    exports: ExportSection,
    exported: HashSet<u32>,
    /// It can drop a segment of data.
    drops: bool,
    /// Of each function of its own, how many parameters it has.
    parameters: Vec<u32>,
    code: Code,
}

/// The code section.
#[derive(Default)]
struct Code {
    /// How many functions it has, and those that were seen.
    functions: u32,
    seen: u32,
    content: Vec<u8>,
    offsets: OffsetMap,
}

impl<'a> State<'a> {
    fn new(wasm: &'a [u8]) -> State<'a> {
        State {
            wasm,
            out: Output::new(wasm),
            has_start: false,
            has_memory: false,
            types: Vec::new(),
            globals: Vec::new(),
            exports: ExportSection::new(),
            exported: HashSet::new(),
            drops: false,
            parameters: Vec::new(),
            code: Code::default(),
        }
    }

    /// Checks a section, or a part of one, and takes it over.
    fn section(&mut self, payload: &Payload<'_>) -> Result<(), Error> {
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(ErrorKind::Component.into());
            }
            Payload::TypeSection(section) => self.types(section)?,
            Payload::ImportSection(section) => return self.imports(section),
            Payload::FunctionSection(section) => self.functions(section)?,
            Payload::TableSection(section) => tables(section)?,
            Payload::MemorySection(section) if section.count() != 0 => {
                return Err(Error::from(ErrorKind::OwnMemory).at(section.range().start));
            }
            Payload::TagSection(section) => self.tags(section)?,
            Payload::GlobalSection(section) => self.globals(section)?,
            Payload::ExportSection(section) => return self.exports(section),
            Payload::ElementSection(section) => {
                for element in section.clone().into_iter_with_offsets() {
                    let (at, element) = element?;
                    allowed::element(&element).at(at)?;
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                count.encode(&mut self.code.content);
                self.code.functions = *count;
                return Ok(());
            }
            Payload::CodeSectionEntry(body) => return self.function(body),
            Payload::StartSection { .. } => return Ok(()),
            Payload::DataSection(section) => {
                self.out.put(&data(section)?);
                return Ok(());
            }
            // Names are kept, for backtraces; debugging information is of no use to the engine.
            Payload::CustomSection(section) if section.name() != names::NAME_SECTION => return Ok(()),
            _ => {}
        }
        self.out.copy(payload)
    }

    fn types(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> Result<(), Error> {
        limit("types", section.count().into(), TYPES_MAX)?;
        for group in section.clone().into_iter_with_offsets() {
            let (at, group) = group?;
            for ty in group.into_types() {
                let function = match ty.composite_type.inner {
                    CompositeInnerType::Func(function) => Some(function),
                    _ => None,
                };
                allowed::function_type(function.as_ref()).at(at)?;
                self.types.extend(function);
            }
        }
        Ok(())
    }

    fn ty(&self, index: u32) -> Result<&FuncType, Error> {
        self.types.get(index as usize).ok_or_else(|| ErrorKind::UnknownType(index).into())
    }

    /// Takes the imports over but for the memory.
    fn imports(&mut self, section: &wasmparser::ImportSectionReader<'_>) -> Result<(), Error> {
        let mut out = ImportSection::new();
        let mut memory = false;
        limit("imports", section.count().into(), IMPORTS_MAX)?;
        for import in section.clone().into_imports() {
            let import = import?;
            match (import.module, import.name, import.ty) {
                (names::MEMORY_MODULE, names::MEMORY, TypeRef::Memory(ty)) if !ty.memory64 && !memory => memory = true,
                (names::SYSCALL_MODULE, names::SYSCALL, TypeRef::Func(index)) => {
                    out.import(import.module, import.name, EntityType::Function(index));
                }
                (module, name, _) => {
                    let kind = ErrorKind::Import { module: module.into(), name: name.into() };
                    return Err(Error::from(kind).at(section.range().start));
                }
            }
        }
        for import in section.clone().into_imports() {
            if let TypeRef::Func(index) = import?.ty {
                allowed::signature(self.ty(index)?).at(section.range().start)?;
            }
        }
        self.has_memory = memory;
        self.out.put(&out);
        Ok(())
    }

    fn functions(&mut self, section: &wasmparser::FunctionSectionReader<'_>) -> Result<(), Error> {
        limit("functions", section.count().into(), FUNCTIONS_MAX)?;
        for index in section.clone().into_iter_with_offsets() {
            let (at, index) = index?;
            let signature = self.ty(index).at(at)?;
            allowed::signature(signature).at(at)?;
            let parameters = signature.params().len() as u32;
            self.parameters.push(parameters);
        }
        Ok(())
    }

    fn tags(&mut self, section: &wasmparser::TagSectionReader<'_>) -> Result<(), Error> {
        limit("tags", section.count().into(), TAGS_MAX)?;
        for tag in section.clone().into_iter_with_offsets() {
            let (at, tag) = tag?;
            allowed::tag(self.ty(tag.func_type_idx).at(at)?).at(at)?;
        }
        Ok(())
    }

    fn globals(&mut self, section: &wasmparser::GlobalSectionReader<'_>) -> Result<(), Error> {
        limit("globals", section.count().into(), GLOBALS_MAX)?;
        for global in section.clone().into_iter_with_offsets() {
            let (at, global) = global?;
            allowed::shared_value(global.ty.content_type).at(at)?;
            allowed::constant(&global.init_expr).at(at)?;
            self.globals.push(global.ty.mutable);
        }
        Ok(())
    }

    fn exports(&mut self, section: &wasmparser::ExportSectionReader<'_>) -> Result<(), Error> {
        limit("exports", section.count().into(), EXPORTS_MAX)?;
        for export in section.clone().into_iter_with_offsets() {
            let (at, export) = export?;
            self.has_start |= export.name == names::START;
            self.export(export).at(at)?;
        }
        Ok(())
    }

    fn export(&mut self, export: wasmparser::Export<'_>) -> Result<(), Error> {
        if export.name.starts_with(names::RESERVED) {
            return Err(ErrorKind::ReservedExport(export.name.into()).into());
        }
        let kind = match export.kind {
            ExternalKind::Func => ExportKind::Func,
            ExternalKind::FuncExact => return allowed::exact_export(),
            ExternalKind::Table => ExportKind::Table,
            ExternalKind::Memory => ExportKind::Memory,
            ExternalKind::Global => ExportKind::Global,
            ExternalKind::Tag => ExportKind::Tag,
        };
        if kind == ExportKind::Global {
            self.exported.insert(export.index);
        }
        self.exports.export(export.name, kind, export.index);
        Ok(())
    }

    fn function(&mut self, body: &FunctionBody<'_>) -> Result<(), Error> {
        limit("bytes of a function", body.range().len() as u64, FUNCTION_MAX).at(body.range().start)?;
        self.look_at(body)?;
        let parameters = self.parameters.get(self.code.seen as usize).copied().unwrap_or(0);
        let (mut new, mut offsets) = (Vec::new(), OffsetMap::default());
        rewrite::accesses::edits(self.wasm, body, parameters)?.write(self.wasm, body.range(), &mut new, &mut offsets);
        let code = &mut self.code;
        new.encode(&mut code.content);
        code.offsets.append(&offsets, code.content.len() - new.len());
        code.seen += 1;
        if code.seen == code.functions {
            self.out.put_code(std::mem::take(&mut code.content), std::mem::take(&mut code.offsets));
        }
        Ok(())
    }

    fn look_at(&mut self, body: &FunctionBody<'_>) -> Result<(), Error> {
        let locals = body.get_locals_reader()?;
        let at = locals.original_position();
        for local in locals {
            allowed::local_value(local?.1).at(at)?;
        }
        for instruction in crate::code::instructions(body)? {
            let crate::code::Instruction { operator, range } = instruction?;
            allowed::operator(&operator).at(range.start)?;
            match operator {
                Operator::DataDrop { .. } => self.drops = true,
                Operator::CallIndirect { type_index, .. } => {
                    let signature = self.ty(type_index).at(range.start)?;
                    allowed::signature(signature).at(range.start)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts memory and exports in, as only now is known what they are.
    fn complete(mut self) -> (Vec<u8>, OffsetMap) {
        for (index, mutable) in self.globals.iter().enumerate() {
            if *mutable && !self.exported.contains(&(index as u32)) {
                self.exports.export(&format!("{GLOBAL}{index}"), ExportKind::Global, index as u32);
            }
        }
        if self.has_memory && !self.drops {
            self.exports.export(REUSABLE, ExportKind::Memory, 0);
        }
        let memory = self.has_memory.then(any_memory);
        self.out.insert(&self.exports, memory.as_ref());
        self.out.finish()
    }
}

fn tables(section: &wasmparser::TableSectionReader<'_>) -> Result<(), Error> {
    limit("tables", section.count().into(), TABLES_MAX)?;
    let mut entries = 0u64;
    for table in section.clone().into_iter_with_offsets() {
        let (at, table) = table?;
        allowed::table(&table).at(at)?;
        entries = entries.saturating_add(table.ty.initial);
    }
    limit("entries of its tables", entries, ENTRIES_MAX)
}

/// A memory whose size the machine tells.
pub(crate) fn any_memory() -> MemorySection {
    let mut section = MemorySection::new();
    section.memory(wasm_encoder::MemoryType {
        minimum: 0,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    section
}

/// Active segments become empty passive ones: `memory.init` on them behaves alike, and the others
/// keep their numbers.
fn data(section: &wasmparser::DataSectionReader<'_>) -> Result<wasm_encoder::DataSection, Error> {
    let mut out = wasm_encoder::DataSection::new();
    for segment in section.clone() {
        let segment = segment?;
        match segment.kind {
            wasmparser::DataKind::Passive => out.passive(segment.data.iter().copied()),
            wasmparser::DataKind::Active { .. } => out.passive([]),
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`check`] says of a program with these fields.
    fn checked(fields: &str) -> Result<Program, Error> {
        check(&wat::parse_str(module(fields)).unwrap())
    }

    fn module(fields: &str) -> String {
        format!(
            r#"(module (import "env" "memory" (memory 2)) (import "linux" "syscall" (func (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
            (func (export "_start") (param i32)) {fields})"#
        )
    }

    /// Names and kinds of the exports of a program's module.
    fn exports(program: &Program) -> Vec<(String, ExternalKind)> {
        let section = Parser::new(0).parse_all(&program.module).find_map(|payload| match payload.unwrap() {
            Payload::ExportSection(section) => Some(section),
            _ => None,
        });
        let exports = section.unwrap().into_iter().map(Result::unwrap);
        exports.map(|export| (export.name.to_string(), export.kind)).collect()
    }

    fn sections(program: &Program) -> Vec<u8> {
        let payloads = Parser::new(0).parse_all(&program.module);
        payloads.filter_map(|payload| Some(payload.unwrap().as_section()?.0)).collect()
    }

    #[test]
    fn a_program_gets_its_form() {
        let program = checked(
            r#"(global $a (mut i32) (i32.const 0)) (global (export "b") (mut i64) (i64.const 0)) (global i32 (i32.const 1))
            (func $f) (start $f) (data (i32.const 65536) "some data") (data "passive")
            (@custom ".debug_info" "x") (@custom "name" "\00\00")"#,
        );
        let program = program.unwrap();
        let exports = exports(&program);
        let names: Vec<_> = exports.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["_start", "b", "wasmlinux:global:0", REUSABLE]);
        assert_eq!(sections(&program), [1, 2, 3, 5, 6, 7, 10, 11, 0], "a memory, no start, one custom section");
        let has = |text: &[u8]| program.module.windows(text.len()).any(|bytes| bytes == text);
        assert!(!has(b"some data"), "the kernel writes the data");
        assert!(has(b"passive"));
    }

    #[test]
    fn what_can_drop_its_data_is_not_used_again() {
        let program = checked(r#"(func data.drop 0) (data "x")"#).unwrap();
        assert!(exports(&program).iter().all(|(name, _)| name != REUSABLE));
    }

    #[test]
    fn without_memory_or_code_there_is_none() {
        let program = check(&wat::parse_str(r#"(module (func (export "_start")))"#).unwrap()).unwrap();
        assert_eq!(sections(&program), [1, 3, 7, 10]);
    }

    fn kind(fields: &str) -> ErrorKind {
        let error = checked(fields).unwrap_err();
        assert!(error.to_string().len() > 10, "{error}");
        error.into_kind()
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let refused = |text: &str| check(&wat::parse_str(text).unwrap()).unwrap_err().into_kind();
        assert!(matches!(refused("(module)"), ErrorKind::MissingExport("_start")));
        assert!(matches!(check(b"\0asm\x0d\0\x01\0").unwrap_err().kind(), ErrorKind::Component));
        assert!(matches!(refused("(module (memory 1))"), ErrorKind::OwnMemory));
        let import = |text: &str| match refused(&format!("(module (import {text}))")) {
            ErrorKind::Import { module, name } => format!("{module}.{name}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(import(r#""wasi" "fd_write" (func)"#), "wasi.fd_write");
        assert_eq!(import(r#""linux" "syscall" (memory 1)"#), "linux.syscall");
        assert_eq!(import(r#""env" "memory" (memory i64 1)"#), "env.memory");
        assert!(matches!(kind(r#"(func (export "wasmlinux:reusable"))"#), ErrorKind::ReservedExport(_)));
        assert!(matches!(check(b"#!/bin/sh\n").unwrap_err().kind(), ErrorKind::Malformed(_)));
    }

    #[test]
    fn too_much_is_refused() {
        let what = |fields: &str| match kind(fields) {
            ErrorKind::Limit { what, .. } => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(what(&"(table 1 funcref)".repeat(17)), "tables");
        assert_eq!(what("(table 262145 funcref)"), "entries of its tables");
        assert_eq!(what(&"(global i32 (i32.const 0))".repeat(1001)), "globals");
        assert_eq!(what(&"(tag)".repeat(101)), "tags");
        let exports: String = (0..10_000).map(|n| format!("(export \"{n}\" (func 0))")).collect();
        assert_eq!(what(&exports), "exports");
        assert!(checked(&exports.replace("(export \"9999\" (func 0))", "")).is_ok());
        assert_eq!(what(&format!("(func {})", "i32.const 0 drop ".repeat(1_500_000))), "bytes of a function");
        let large = vec![0; (CODE_MAX + 1) as usize];
        assert!(matches!(check(&large).unwrap_err().kind(), ErrorKind::Limit { .. }));
    }

    #[test]
    fn errors_say_where() {
        let wasm = wat::parse_str(module("(func i32.const 1 return_call 0)")).unwrap();
        let at = wasm.windows(2).rposition(|bytes| bytes == [0x12, 0]).unwrap();
        let error = check(&wasm).unwrap_err();
        assert_eq!(error.offset(), Some(at), "{error}");
        assert!(error.to_string().ends_with(&format!("(at offset 0x{at:x})")));
        // What the validator finds in the new module is told as a place of the file.
        let fields = "(func loop i32.const 8 i32.load drop br 0 end i32.const 8 i64.const 1 i32.store)";
        let wasm = wat::parse_str(module(fields)).unwrap();
        let at = wasm.windows(3).rposition(|bytes| bytes == [0x36, 2, 0]).unwrap();
        let error = check(&wasm).unwrap_err();
        assert_eq!(error.offset(), Some(at), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn sections_that_are_written_anew_come_once() {
        let section = |id: u8, content: &[u8]| [&[id, content.len() as u8], content].concat();
        let sections = |more: &[Vec<u8>]| {
            let ty = section(1, &[1, 0x60, 0, 0]);
            let parts = [ty, section(3, &[1, 0]), section(7, b"\x01\x06_start\0\0"), section(10, &[1, 2, 0, 0x0b])];
            [b"\0asm\x01\0\0\0".to_vec(), parts.concat(), more.concat()].concat()
        };
        assert!(check(&sections(&[])).is_ok());
        let error = check(&sections(&[section(10, &[1, 2, 0, 0x0b])])).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
        let error = check(&sections(&[section(7, b"\x01\x01x\0\0")])).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
    }

    #[test]
    fn instructions_are_found_again() {
        let fields = r#"(func (local i32 i64)
            loop local.get 0 i32.load drop br_if 0 (i32.const 1) end
            local.get 0 i64.load drop local.get 0 i64.load drop
            local.get 0 i32.const 1 i32.atomic.store local.get 0 i32.const 2 i32.store)
            (func i32.const 8 i32.const 1 i32.atomic.store)"#
            .replace("br_if 0 (i32.const 1)", "i32.const 1 br_if 0");
        let wasm = wat::parse_str(module(&fields)).unwrap();
        let program = check(&wasm).unwrap();
        let (mut same, mut replaced) = (0, Vec::new());
        for payload in Parser::new(0).parse_all(&wasm) {
            let Payload::CodeSectionEntry(body) = payload.unwrap() else { continue };
            for instruction in crate::code::instructions(&body).unwrap() {
                let crate::code::Instruction { operator, range } = instruction.unwrap();
                let at = program.offsets.to_engine(range.start).expect("code is there");
                assert_eq!(program.offsets.to_original(at), Some(range.start));
                if program.module[at..].starts_with(&wasm[range.clone()]) {
                    same += 1;
                } else {
                    // All of its place leads back to it.
                    let end = program.offsets.to_engine(range.end).expect("an end follows");
                    assert!((at..end).all(|at| program.offsets.to_original(at) == Some(range.start)));
                    replaced.push(format!("{operator:?}").split(' ').next().unwrap().to_string());
                }
            }
        }
        assert_eq!(replaced, ["I32Load", "I64Load", "I32AtomicStore", "I32AtomicStore"]);
        assert!(same > 20);
        let imports = wasm.windows(7).position(|bytes| bytes == b"syscall").unwrap();
        assert_eq!(program.offsets.to_engine(imports), None, "written anew");
    }

    /// Compiled code is kept by this number: who changes the output counts on.
    #[test]
    fn the_form_has_its_number() {
        let fields = r#"(global (mut i32) (i32.const 0)) (table 2 funcref) (elem (i32.const 0) 0)
            (func (local i32) loop local.get 0 i32.load drop i32.const 1 br_if 0 end
            local.get 0 i64.const 3 i64.atomic.store local.get 0 i64.load drop local.get 0 i64.load drop)
            (data (i32.const 65536) "data")"#;
        let module = checked(fields).unwrap().module;
        // FNV-1a
        let hash = module
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        assert_eq!((FORM, hash), (5, 1_359_148_237_965_784_042), "another output is another form");
    }
}
