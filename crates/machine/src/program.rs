//! What a program may be. Everything here is hostile input: it is checked before the engine sees it.
use crate::ProgramError;
use std::ops::Range;
use wasm_encoder::{EntityType, ImportSection, RawSection};
use wasmparser::{BinaryReaderError, Parser, Payload, TypeRef, Validator, WasmFeatures};

/// Limits of the loader. They are far above what compilers make, and keep compilation within minutes and memory.
const CODE_MAX: u64 = 96 << 20;
const FUNCTION_MAX: u64 = 4 << 20;
const FUNCTIONS_MAX: u64 = 400_000;
const TABLE_MAX: u64 = 1 << 20;
const EXPORTS_MAX: u64 = 10_000;

impl From<BinaryReaderError> for ProgramError {
    fn from(error: BinaryReaderError) -> ProgramError {
        ProgramError::Invalid(error.to_string())
    }
}

fn limit(what: &'static str, value: u64, limit: u64) -> Result<(), ProgramError> {
    if value > limit { Err(ProgramError::Limit { what, value, limit }) } else { Ok(()) }
}

/// What a program may use of WebAssembly.
fn features() -> WasmFeatures {
    let mut features = WasmFeatures::default();
    features.insert(WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS);
    features.remove(WasmFeatures::MEMORY64 | WasmFeatures::MULTI_MEMORY | WasmFeatures::COMPONENT_MODEL);
    features
}

/// Checks a program and makes of it what the engine compiles: no start function (a program begins at `_start`), no active
/// data (the kernel writes that), and a memory that is not shared in Wasm's sense.
pub(crate) fn prepare(wasm: &[u8]) -> Result<Vec<u8>, ProgramError> {
    limit("bytes of the program", wasm.len() as u64, CODE_MAX)?;
    let mut out = wasm_encoder::Module::new();
    let mut has_start = false;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } => {
                return Err(ProgramError::Invalid("a component, not a module".into()));
            }
            Payload::ImportSection(section) => {
                out.section(&imports(section)?);
                continue;
            }
            Payload::TableSection(section) => {
                limit("tables", section.count().into(), 16)?;
                for table in section.clone() {
                    limit("entries of a table", table?.ty.initial, TABLE_MAX)?;
                }
            }
            Payload::MemorySection(section) if section.count() != 0 => {
                return Err(ProgramError::Invalid(
                    "it has a memory of its own, where it must import env.memory".into(),
                ));
            }
            Payload::ExportSection(section) => {
                limit("exports", section.count().into(), EXPORTS_MAX)?;
                for export in section.clone() {
                    has_start |= export?.name == "_start";
                }
            }
            Payload::FunctionSection(section) => limit("functions", section.count().into(), FUNCTIONS_MAX)?,
            Payload::CodeSectionEntry(body) => {
                limit("bytes of a function", body.range().len() as u64, FUNCTION_MAX)?;
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
    if !has_start {
        return Err(ProgramError::Export("_start"));
    }
    let out = out.finish();
    Validator::new_with_features(features()).validate_all(&out)?;
    Ok(out)
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

fn imports(section: &wasmparser::ImportSectionReader<'_>) -> Result<ImportSection, ProgramError> {
    let mut out = ImportSection::new();
    for import in section.clone().into_imports() {
        let import = import?;
        let entity = match (import.module, import.name, import.ty) {
            ("env", "memory", TypeRef::Memory(memory)) if !memory.memory64 => {
                EntityType::Memory(wasm_encoder::MemoryType {
                    minimum: memory.initial,
                    maximum: None,
                    memory64: false,
                    shared: false,
                    page_size_log2: None,
                })
            }
            ("linux", "syscall", TypeRef::Func(index)) => EntityType::Function(index),
            (module, name, _) => return Err(ProgramError::Import { module: module.into(), name: name.into() }),
        };
        out.import(import.module, import.name, entity);
    }
    Ok(out)
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
    let (mut globals, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::StartSection { .. } | Payload::DataCountSection { .. } | Payload::CodeSectionEntry(_) => continue,
            Payload::CustomSection(section) if section.name() != "name" => continue,
            Payload::GlobalSection(section) => {
                for global in section.clone() {
                    let global = global?;
                    globals.push(if global.ty.mutable { None } else { constant(&global.init_expr)? });
                }
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if export.kind == wasmparser::ExternalKind::Global {
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
    parts.symbols = exports.into_iter().filter_map(|(name, index)| Some((name, (*globals.get(index)?)?))).collect();
    parts.module = out.finish();
    Ok(parts)
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
