//! What a program may be. Everything here is hostile input: it is checked before the engine sees it.
use crate::{ProgramError, accesses, allowed, cost};
use std::{collections::HashSet, ops::Range};
use wasm_encoder::{EntityType, ExportKind, ExportSection, ImportSection, MemorySection, RawSection};
use wasmparser::{BinaryReaderError, CompositeInnerType, FuncType, Parser, Payload, TypeRef, Validator};

/// Limits of the loader, far above what compilers make; those of what compiling costs are in `cost.rs`.
const CODE_MAX: u64 = 96 << 20;
const FUNCTION_MAX: u64 = 4 << 20;
const FUNCTIONS_MAX: u64 = 400_000;
/// Entries of all tables together: they are memory of the host, in each process.
const TABLES_MAX: u64 = 1 << 18;
const EXPORTS_MAX: u64 = 10_000;
const TYPES_MAX: u64 = 100_000;
/// Globals and tags of a program: each instance has all of them, and each task a copy.
const GLOBALS_MAX: u64 = 1000;
const TAGS_MAX: u64 = 100;
const IMPORTS_MAX: u64 = 100;

impl From<BinaryReaderError> for ProgramError {
    fn from(error: BinaryReaderError) -> ProgramError {
        ProgramError::Invalid(error.to_string())
    }
}

/// An error that names what there is too much of.
pub(crate) fn limit(what: &'static str, value: u64, limit: u64) -> Result<(), ProgramError> {
    if value > limit { Err(ProgramError::Limit { what, value, limit }) } else { Ok(()) }
}

/// The first check, before anything goes through the bytes.
pub(crate) fn check_size(wasm: &[u8]) -> Result<(), ProgramError> {
    limit("bytes of the program", wasm.len() as u64, CODE_MAX)
}

/// Counts the forms that [`prepare`] has given programs: compiled code of another one is of no use.
pub(crate) const FORM: u32 = 5;
/// An export of a prepared program that has no state but its memory and its exported mutable globals.
pub(crate) const REUSABLE: &str = "wasmlinux:reusable";
/// What [`prepare`] calls the mutable globals that it exports, before the index.
const GLOBAL: &str = "wasmlinux:global:";

/// Checks a program and makes of it what the engine compiles: no start function (a program begins at `_start`), no active
/// data (the kernel writes that), a memory of its own in place of the imported one (the machine provides it as it makes the
/// instance), all mutable globals exported, and its accesses to memory as [`accesses`] has them.
pub(crate) fn prepare(wasm: &[u8]) -> Result<Vec<u8>, ProgramError> {
    check_size(wasm)?;
    let mut out = wasm_encoder::Module::new();
    let mut state = State::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(ProgramError::Invalid("a component, not a module".into()));
            }
            Payload::TypeSection(section) => state.types(section)?,
            Payload::ImportSection(section) => {
                let imports;
                (imports, state.has_memory) = self::imports(section)?;
                for import in section.clone().into_imports() {
                    if let TypeRef::Func(index) = import?.ty {
                        allowed::signature(state.ty(index)?)?;
                    }
                }
                out.section(&imports);
                continue;
            }
            Payload::TableSection(section) => {
                limit("tables", section.count().into(), 16)?;
                let mut entries = 0u64;
                for table in section.clone() {
                    let table = table?;
                    allowed::table(&table)?;
                    entries = entries.saturating_add(table.ty.initial);
                }
                limit("entries of its tables", entries, TABLES_MAX)?;
            }
            Payload::MemorySection(section) if section.count() != 0 => {
                return Err(ProgramError::Invalid(
                    "it has a memory of its own, where it must import env.memory".into(),
                ));
            }
            Payload::TagSection(section) => {
                limit("tags", section.count().into(), TAGS_MAX)?;
                for tag in section.clone() {
                    allowed::tag(state.ty(tag?.func_type_idx)?)?;
                }
            }
            Payload::GlobalSection(section) => {
                limit("globals", section.count().into(), GLOBALS_MAX)?;
                for global in section.clone() {
                    let global = global?;
                    allowed::shared_value(global.ty.content_type)?;
                    allowed::constant(&global.init_expr)?;
                    state.globals.push(global.ty.mutable);
                }
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    allowed::element(&element?)?;
                }
            }
            Payload::ExportSection(section) => {
                limit("exports", section.count().into(), EXPORTS_MAX)?;
                for export in section.clone() {
                    let export = export?;
                    state.has_start |= export.name == "_start";
                    state.export(export)?;
                }
                continue;
            }
            Payload::FunctionSection(section) => {
                limit("functions", section.count().into(), FUNCTIONS_MAX)?;
                for index in section.clone() {
                    let signature = state.ty(index?)?;
                    allowed::signature(signature)?;
                    let parameters = signature.params().len() as u32;
                    state.parameters.push(parameters);
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                state.functions = *count;
                continue;
            }
            Payload::CodeSectionEntry(body) => {
                limit("bytes of a function", body.range().len() as u64, FUNCTION_MAX)?;
                state.look_at(body)?;
                state.code.raw(&accesses::rewrite(wasm, body, state.parameters())?);
                if state.code.len() == state.functions {
                    out.section(&state.code);
                }
                continue;
            }
            Payload::StartSection { .. } => continue,
            Payload::DataSection(section) => {
                out.section(&data(section)?);
                continue;
            }
            // Names are kept, for backtraces; debugging information is of no use to the engine.
            Payload::CustomSection(section) if section.name() != "name" => continue,
            _ => {}
        }
        copy(&mut out, wasm, &payload)?;
    }
    if !state.has_start {
        return Err(ProgramError::Export("_start"));
    }
    let out = state.complete(&out.finish())?;
    cost::validate(&mut Validator::new_with_features(allowed::features()), &out)?;
    Ok(out)
}

/// What [`prepare`] has seen of a program.
#[derive(Default)]
struct State {
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
    /// How many functions it has, and those that were seen.
    functions: u32,
    code: wasm_encoder::CodeSection,
}

impl State {
    fn types(&mut self, section: &wasmparser::TypeSectionReader<'_>) -> Result<(), ProgramError> {
        limit("types", section.count().into(), TYPES_MAX)?;
        for group in section.clone() {
            for ty in group?.into_types() {
                let function = match ty.composite_type.inner {
                    CompositeInnerType::Func(function) => Some(function),
                    _ => None,
                };
                allowed::function_type(function.as_ref())?;
                self.types.extend(function);
            }
        }
        Ok(())
    }

    fn ty(&self, index: u32) -> Result<&FuncType, ProgramError> {
        self.types.get(index as usize).ok_or_else(|| ProgramError::Invalid(format!("it has no type {index}")))
    }

    fn export(&mut self, export: wasmparser::Export<'_>) -> Result<(), ProgramError> {
        if export.name.starts_with("wasmlinux:") {
            return Err(ProgramError::Invalid(format!("it exports {}, which is the machine's", export.name)));
        }
        let kind = match export.kind {
            wasmparser::ExternalKind::Func => ExportKind::Func,
            wasmparser::ExternalKind::FuncExact => return allowed::exact_export(),
            wasmparser::ExternalKind::Table => ExportKind::Table,
            wasmparser::ExternalKind::Memory => ExportKind::Memory,
            wasmparser::ExternalKind::Global => ExportKind::Global,
            wasmparser::ExternalKind::Tag => ExportKind::Tag,
        };
        if kind == ExportKind::Global {
            self.exported.insert(export.index);
        }
        self.exports.export(export.name, kind, export.index);
        Ok(())
    }

    fn look_at(&mut self, body: &wasmparser::FunctionBody<'_>) -> Result<(), ProgramError> {
        for local in body.get_locals_reader()? {
            allowed::local_value(local?.1)?;
        }
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            allowed::operator(&operator)?;
            match operator {
                wasmparser::Operator::DataDrop { .. } => self.drops = true,
                wasmparser::Operator::CallIndirect { type_index, .. } => allowed::signature(self.ty(type_index)?)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// How many parameters the next function has.
    fn parameters(&self) -> u32 {
        self.parameters.get(self.code.len() as usize).copied().unwrap_or(0)
    }

    /// Puts memory and exports in. Only here is known what they are; sections have an order.
    fn complete(mut self, wasm: &[u8]) -> Result<Vec<u8>, ProgramError> {
        for (index, mutable) in self.globals.iter().enumerate() {
            if *mutable && !self.exported.contains(&(index as u32)) {
                self.exports.export(&format!("{GLOBAL}{index}"), ExportKind::Global, index as u32);
            }
        }
        if self.has_memory && !self.drops {
            self.exports.export(REUSABLE, ExportKind::Memory, 0);
        }
        let mut out = wasm_encoder::Module::new();
        let (mut memory, mut exports) = (self.has_memory.then(any_memory), Some(self.exports));
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            let Some((id, _)) = payload.as_section() else { continue };
            // Custom, type, import, function and table come before memory; then that, tag, global, export.
            if id > 4
                && let Some(memory) = memory.take()
            {
                out.section(&memory);
            }
            if ![0, 1, 2, 3, 4, 13, 6].contains(&id)
                && let Some(exports) = exports.take()
            {
                out.section(&exports);
            }
            copy(&mut out, wasm, &payload)?;
        }
        // Nothing came after.
        if let Some(memory) = memory {
            out.section(&memory);
        }
        if let Some(exports) = exports {
            out.section(&exports);
        }
        Ok(out.finish())
    }
}

/// A memory whose size the machine tells.
fn any_memory() -> MemorySection {
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

/// Takes a section over as it is. The parser tells where it ends before it has seen that much.
fn copy(out: &mut wasm_encoder::Module, wasm: &[u8], payload: &Payload<'_>) -> Result<(), ProgramError> {
    if let Some((id, range)) = payload.as_section() {
        let data = wasm.get(range.start..range.end);
        let data = data.ok_or_else(|| ProgramError::Invalid("it is cut off".into()))?;
        out.section(&RawSection { id, data });
    }
    Ok(())
}

/// The imports but for the memory, and whether there was one.
fn imports(section: &wasmparser::ImportSectionReader<'_>) -> Result<(ImportSection, bool), ProgramError> {
    let mut out = ImportSection::new();
    let mut memory = false;
    limit("imports", section.count().into(), IMPORTS_MAX)?;
    for import in section.clone().into_imports() {
        let import = import?;
        match (import.module, import.name, import.ty) {
            ("env", "memory", TypeRef::Memory(ty)) if !ty.memory64 && !memory => memory = true,
            ("linux", "syscall", TypeRef::Func(index)) => {
                out.import(import.module, import.name, EntityType::Function(index));
            }
            (module, name, _) => return Err(ProgramError::Import { module: module.into(), name: name.into() }),
        }
    }
    Ok((out, memory))
}

/// Active segments become empty passive ones: `memory.init` on them behaves alike, and the others keep their numbers.
fn data(section: &wasmparser::DataSectionReader<'_>) -> Result<wasm_encoder::DataSection, ProgramError> {
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

/// The one variable global of a kernel.
const STACK_POINTER: &str = "__stack_pointer";

/// The kernel's module, taken apart.
pub(crate) struct KernelParts {
    /// The module without start function and data.
    pub(crate) module: Vec<u8>,
    /// The active data segments: address, and where their bytes lie in the original.
    pub(crate) data: Vec<(u32, Range<usize>)>,
    /// The exported constants.
    pub(crate) symbols: Vec<(String, u32)>,
}

/// Takes the kernel apart as a boot loader needs it.
pub(crate) fn split_kernel(wasm: &[u8]) -> Result<KernelParts, ProgramError> {
    let mut out = wasm_encoder::Module::new();
    let mut parts = KernelParts { module: vec![], data: vec![], symbols: vec![] };
    let (mut globals, mut exports, mut has_memory, mut has_pointer) = (Vec::new(), Vec::new(), false, false);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::StartSection { .. } | Payload::DataCountSection { .. } => continue,
            Payload::CustomSection(section) if section.name() != "name" => continue,
            Payload::ImportSection(section) => {
                let mut imports = ImportSection::new();
                for import in section.clone().into_imports() {
                    let import = import?;
                    match import.ty {
                        TypeRef::Memory(_) => {}
                        TypeRef::Func(index) => {
                            imports.import(import.module, import.name, EntityType::Function(index));
                        }
                        _ => {
                            return Err(ProgramError::Import {
                                module: import.module.into(),
                                name: import.name.into(),
                            });
                        }
                    }
                }
                out.section(&imports);
                continue;
            }
            // In place of the imported one.
            Payload::TagSection(_) | Payload::GlobalSection(_) if !has_memory => {
                has_memory = true;
                out.section(&any_memory());
                if let Payload::GlobalSection(section) = &payload {
                    note_globals(section, &mut globals)?;
                }
            }
            Payload::GlobalSection(section) => note_globals(section, &mut globals)?,
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader()? {
                    allowed::operator(&operator?)?;
                }
                continue;
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if export.kind == wasmparser::ExternalKind::Global {
                        has_pointer |= export.name == STACK_POINTER;
                        exports.push((export.name.to_string(), export.index as usize));
                    }
                }
            }
            Payload::DataSection(section) => {
                for segment in section.clone() {
                    let segment = segment?;
                    let wasmparser::DataKind::Active { memory_index: 0, offset_expr } = segment.kind else {
                        return Err(ProgramError::Invalid("a kernel has active data segments only".into()));
                    };
                    let at = constant(&offset_expr)?
                        .ok_or_else(|| ProgramError::Invalid("data at no constant address".into()))?;
                    let end = segment.range.end;
                    parts.data.push((at, end - segment.data.len()..end));
                }
                continue;
            }
            _ => {}
        }
        copy(&mut out, wasm, &payload)?;
    }
    // All that tells one instance from another: any task can have any (`instance.rs`).
    if !has_pointer || globals.iter().filter(|value| value.is_none()).count() != 1 {
        return Err(ProgramError::Invalid(format!("a kernel has one variable global, its exported {STACK_POINTER}")));
    }
    parts.symbols = exports.into_iter().filter_map(|(name, index)| Some((name, (*globals.get(index)?)?))).collect();
    parts.module = out.finish();
    Ok(parts)
}

/// The values of globals that are constants.
fn note_globals(
    section: &wasmparser::GlobalSectionReader<'_>,
    globals: &mut Vec<Option<u32>>,
) -> Result<(), ProgramError> {
    for global in section.clone() {
        let global = global?;
        globals.push(if global.ty.mutable { None } else { constant(&global.init_expr)? });
    }
    Ok(())
}

/// The value of an expression that is one i32.const.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<Option<u32>, ProgramError> {
    let mut operators = expression.get_operators_reader();
    Ok(match operators.read()? {
        wasmparser::Operator::I32Const { value } => Some(value as u32),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module with `_start`, the imports of a program, and a segment of data.
    fn program() -> Vec<u8> {
        use wasm_encoder as w;
        let mut module = w::Module::new();
        let mut types = w::TypeSection::new();
        types.ty().function([w::ValType::I32], []);
        let mut imports = w::ImportSection::new();
        let memory =
            w::MemoryType { minimum: 2, maximum: Some(65536), memory64: false, shared: true, page_size_log2: None };
        imports.import("env", "memory", memory);
        let mut functions = w::FunctionSection::new();
        functions.function(0);
        let mut exports = w::ExportSection::new();
        exports.export("_start", w::ExportKind::Func, 0);
        let mut code = w::CodeSection::new();
        let mut start = w::Function::new([]);
        start.instructions().end();
        code.function(&start);
        let mut data = w::DataSection::new();
        data.active(0, &w::ConstExpr::i32_const(65536), *b"some data");
        module.section(&types).section(&imports).section(&functions).section(&exports).section(&code).section(&data);
        module.finish()
    }

    #[test]
    fn a_program_is_prepared() {
        let out = prepare(&program()).unwrap();
        let exports = Parser::new(0).parse_all(&out).find_map(|payload| match payload.unwrap() {
            Payload::ExportSection(section) => Some(section),
            _ => None,
        });
        let exports: Vec<_> = exports.unwrap().into_iter().map(|export| export.unwrap().name.to_string()).collect();
        assert_eq!(exports, ["_start", REUSABLE]);
        assert!(!out.windows(9).any(|bytes| bytes == b"some data"), "the kernel writes the data");
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let whole = program();
        let taken: Vec<_> = (0..whole.len()).filter(|length| prepare(&whole[..*length]).is_ok()).collect();
        // Without its last section, the data, it is a module all the same.
        assert_eq!(taken.len(), 1, "{taken:?} of {} bytes", whole.len());
    }

    #[test]
    fn damage_never_makes_it_panic() {
        let whole = program();
        for at in 8..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _ = prepare(&damaged);
                let _ = split_kernel(&damaged);
            }
        }
    }
}
