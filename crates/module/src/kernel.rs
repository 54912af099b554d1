//! A kernel: trusted to be what it is, and taken apart as a boot loader needs it.
use crate::{
    Error, ErrorKind, OffsetMap, allowed,
    code::{Instruction, instructions},
    error::At,
    output::Output,
    program::any_memory,
};
use std::ops::Range;
use wasm_encoder::{EntityType, ImportSection};
use wasmlinux_boundary::program::{NAME_SECTION, STACK_POINTER};
use wasmparser::{ConstExpr, DataKind, ExternalKind, Operator, Parser, Payload, TypeRef};

/// A kernel's module, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The module without start function and data, with a memory of its own in place of the
    /// imported one.
    pub module: Vec<u8>,
    /// Where code of the file is in the module.
    pub offsets: OffsetMap,
    /// The active data segments: physical address, and where their bytes are in the file.
    pub data: Vec<(u32, Range<usize>)>,
    /// The exported constants, by name.
    pub symbols: Vec<(String, u32)>,
}

/// Takes a kernel's file apart as a boot loader needs it.
///
/// # Errors
/// If it is no valid module, or no kernel: its instances may differ in the exported
/// `__stack_pointer` only, and its data has constant addresses. That it is valid in all else is
/// left to the engine.
pub fn split_kernel(wasm: &[u8]) -> Result<Kernel, Error> {
    let mut out = Output::new(wasm);
    let mut data = Vec::new();
    let (mut globals, mut exports, mut has_memory, mut has_pointer) = (Vec::new(), Vec::new(), false, false);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::StartSection { .. } | Payload::DataCountSection { .. } => continue,
            Payload::CustomSection(section) if section.name() != NAME_SECTION => continue,
            Payload::ImportSection(section) => {
                out.put(&imports(section)?);
                continue;
            }
            // In place of the imported one.
            Payload::TagSection(_) | Payload::GlobalSection(_) if !has_memory => {
                has_memory = true;
                out.put(&any_memory());
                if let Payload::GlobalSection(section) = &payload {
                    note_globals(section, &mut globals)?;
                }
            }
            Payload::GlobalSection(section) => note_globals(section, &mut globals)?,
            Payload::CodeSectionEntry(body) => {
                for instruction in instructions(body)? {
                    let Instruction { operator, range } = instruction?;
                    allowed::operator(&operator).at(range.start)?;
                }
                continue;
            }
            Payload::ExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    if export.kind == ExternalKind::Global {
                        has_pointer |= export.name == STACK_POINTER;
                        exports.push((export.name.to_string(), export.index as usize));
                    }
                }
            }
            Payload::DataSection(section) => {
                for segment in section.clone() {
                    let segment = segment?;
                    let at = match &segment.kind {
                        DataKind::Active { memory_index: 0, offset_expr } => constant(offset_expr)?,
                        _ => None,
                    };
                    let Range { start, end } = segment.range;
                    let at = at.ok_or_else(|| Error::from(ErrorKind::KernelData).at(start))?;
                    data.push((at, end - segment.data.len()..end));
                }
                continue;
            }
            _ => {}
        }
        out.copy(&payload)?;
    }
    // All that tells one instance from another: any task can have any.
    if !has_pointer || globals.iter().filter(|value| value.is_none()).count() != 1 {
        return Err(ErrorKind::KernelGlobals(STACK_POINTER).into());
    }
    let symbols = exports.into_iter().filter_map(|(name, index)| Some((name, (*globals.get(index)?)?))).collect();
    let (module, offsets) = out.finish();
    Ok(Kernel { module, offsets, data, symbols })
}

/// The imports of functions. What they are, the machine knows.
fn imports(section: &wasmparser::ImportSectionReader<'_>) -> Result<ImportSection, Error> {
    let mut imports = ImportSection::new();
    for import in section.clone().into_imports() {
        let import = import?;
        match import.ty {
            TypeRef::Memory(_) => {}
            TypeRef::Func(index) => _ = imports.import(import.module, import.name, EntityType::Function(index)),
            _ => {
                let kind = ErrorKind::Import { module: import.module.into(), name: import.name.into() };
                return Err(Error::from(kind).at(section.range().start));
            }
        }
    }
    Ok(imports)
}

/// The values of globals that are constants.
fn note_globals(section: &wasmparser::GlobalSectionReader<'_>, globals: &mut Vec<Option<u32>>) -> Result<(), Error> {
    for global in section.clone() {
        let global = global?;
        globals.push(if global.ty.mutable { None } else { constant(&global.init_expr)? });
    }
    Ok(())
}

/// The value of an expression that is one i32.const.
fn constant(expression: &ConstExpr<'_>) -> Result<Option<u32>, Error> {
    Ok(match expression.get_operators_reader().read()? {
        Operator::I32Const { value } => Some(value as u32),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(fields: &str) -> Result<Kernel, Error> {
        let imports = r#"(import "env" "memory" (memory 2)) (import "machine" "halt" (func))"#;
        split_kernel(&wat::parse_str(format!("(module {imports} {fields})")).unwrap())
    }

    const POINTER: &str = r#"(global (export "__stack_pointer") (mut i32) (i32.const 0))"#;

    #[test]
    fn a_kernel_comes_apart() {
        let fields = format!(
            r#"{POINTER} (global (export "boot_info") i32 (i32.const 4096)) (func) (start 1)
            (data (i32.const 65536) "first") (data (i32.const 70000) "second")"#
        );
        let kernel = split(&fields).unwrap();
        assert_eq!(kernel.symbols, [("boot_info".to_string(), 4096)]);
        assert_eq!(
            kernel.data.iter().map(|(at, bytes)| (*at, bytes.len())).collect::<Vec<_>>(),
            [(65536, 5), (70000, 6)]
        );
        let sections: Vec<u8> =
            Parser::new(0).parse_all(&kernel.module).filter_map(|p| Some(p.unwrap().as_section()?.0)).collect();
        assert_eq!(sections, [1, 2, 3, 5, 6, 7, 10], "no start function, no data, a memory of its own");
        assert!(kernel.offsets.runs() > 0);
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let kind = |fields: &str| split(fields).unwrap_err().to_string();
        assert!(kind("").contains("one variable global"));
        assert!(kind(&format!("{POINTER} (global (mut i32) (i32.const 0))")).contains("one variable global"));
        assert!(kind(&format!(r#"{POINTER} (data "passive")"#)).contains("active data segments"));
        let table = r#"(module (import "env" "table" (table 1 funcref)))"#;
        let error = split_kernel(&wat::parse_str(table).unwrap()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Import { name, .. } if name == "table"), "{error}");
        let error = split(&format!("{POINTER} (func return_call 0)")).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotAllowed(_)), "{error}");
    }
}
