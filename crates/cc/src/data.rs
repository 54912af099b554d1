//! The form of a program's file: data at constant addresses, no start section, an unshared memory.
//!
//! wasm-ld is run for shared memory, since only so it supports thread-local data. It then makes
//! every data segment passive, and a start function that copies each to its place once. A process's
//! memory begins in the kernel's loader, which maps data by address before any code runs. So what
//! the start function would do is read from its code: passive segments become active ones at those
//! addresses and `__tls_base` gets its first value. The thread-local segment stays passive besides,
//! for `__wasm_init_tls` to copy when a thread begins. `.bss` needs nothing: new memory is zero.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    ConstExpr, CustomSection, DataCountSection, DataSection, Encode, GlobalSection, ImportSection, Module, RawSection,
};
use wasmlinux_boundary::program::{ABI_SECTION, ABI_VERSION, START};
use wasmlinux_module::sections::{copy, encoded, imported_functions, number_length};
use wasmparser::{DataKind, Operator, Parser, Payload, TypeRef};

/// What of a module's custom sections remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All.
    All,
    /// All but debugging information.
    Names,
    /// None but our own.
    Nothing,
}

/// What a later step has to know of a linked module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// It has exceptions, in the legacy encoding.
    pub(crate) throws: bool,
    /// It calls Asyncify, as fork does.
    pub(crate) forks: bool,
    /// It can be run.
    pub(crate) starts: bool,
}

/// Looks through a linked module.
pub(crate) fn traits(wasm: &[u8]) -> Result<Traits> {
    let mut t = Traits::default();
    for p in Parser::new(0).parse_all(wasm) {
        match p? {
            Payload::TagSection(s) => t.throws |= s.count() > 0,
            Payload::ImportSection(s) => {
                for i in s.into_imports() {
                    t.forks |= i?.module == "asyncify";
                }
            }
            Payload::ExportSection(s) => {
                for e in s {
                    t.starts |= e?.name == START;
                }
            }
            _ => {}
        }
    }
    Ok(t)
}

/// Where the start function puts what.
#[derive(Debug, Default)]
struct Placement {
    /// Segment, address, offset in the segment, length.
    copies: Vec<(u32, i32, i32, i32)>,
    /// `__tls_base`: the global, and the address of the thread-local data.
    tls: Option<(u32, i32)>,
}

/// Gives a module fresh from wasm-ld the form described above.
pub(crate) fn rewrite(linked: &[u8]) -> Result<Vec<u8>> {
    let mut wasm = linked.to_vec();
    let mut segments = Vec::new();
    let mut placement = Placement::default();
    if let Some(body) = start_function(linked)? {
        placement = read_start_function(linked, body.clone())?;
        // Nothing calls it any more. Its length stays: debugging information counts in bytes of
        // code.
        let code = &mut wasm[body];
        let (last, rest) = code.split_last_mut().context("a function without an end")?;
        rest.fill(NOP);
        rest[0] = 0; // no locals
        *last = END;
    }
    for p in Parser::new(0).parse_all(linked) {
        if let Payload::DataSection(s) = p? {
            for d in s {
                segments.push(d?);
            }
        }
    }

    let mut passive = DataSection::new();
    let mut active = DataSection::new();
    let (mut passive_count, mut active_count) = (0, 0);
    for (i, d) in segments.iter().enumerate() {
        let copy = placement.copies.iter().find(|c| c.0 as usize == i);
        let address = match (&d.kind, copy) {
            (DataKind::Passive, Some((_, address, 0, len))) if *len as usize == d.data.len() => {
                ConstExpr::i32_const(*address)
            }
            (DataKind::Passive, _) => bail!("wasm-ld's start function leaves data segment {i} out"),
            (DataKind::Active { offset_expr, .. }, _) => RoundtripReencoder.const_expr(offset_expr.clone())?,
        };
        let is_tls = placement.tls.is_some_and(|(_, tls)| copy.is_some_and(|c| c.1 == tls));
        if is_tls {
            // Code names it by its index, so it must keep that when the host leaves the active ones
            // out.
            if i != 0 {
                bail!("the thread-local data is not the first data segment");
            }
            passive.passive(d.data.iter().copied());
            passive_count += 1;
        }
        active.active(0, &address, d.data.iter().copied());
        active_count += 1;
    }
    // A data section is a count and the segments: the two parts are joined by hand to keep the
    // passive one first.
    let mut data = Vec::new();
    (passive_count + active_count).encode(&mut data);
    data.extend(without_count(&passive));
    data.extend(without_count(&active));

    let mut out = Module::new();
    for p in Parser::new(0).parse_all(&wasm) {
        let p = p?;
        match &p {
            Payload::StartSection { .. } => {}
            Payload::ImportSection(s) => _ = out.section(&unshare(s.clone())?),
            Payload::GlobalSection(s) if placement.tls.is_some() => {
                let (index, tls) = placement.tls.expect("just seen");
                let mut globals = GlobalSection::new();
                for (i, g) in s.clone().into_iter().enumerate() {
                    let g = g?;
                    let init = if i == index as usize {
                        ConstExpr::i32_const(tls)
                    } else {
                        RoundtripReencoder.const_expr(g.init_expr)?
                    };
                    globals.global(RoundtripReencoder.global_type(g.ty)?, &init);
                }
                out.section(&globals);
            }
            Payload::DataCountSection { .. } => {
                out.section(&DataCountSection { count: passive_count + active_count });
            }
            Payload::DataSection(_) => {
                out.section(&RawSection { id: 11, data: &data });
            }
            _ => copy(&mut out, &wasm, &p)?,
        }
    }
    Ok(out.finish())
}

/// The last touch, after every other tool: the version, custom sections as wanted, the memory
/// unshared.
pub(crate) fn finish(wasm: &[u8], keep: Keep) -> Result<Vec<u8>> {
    let mut out = Module::new();
    out.section(&CustomSection { name: ABI_SECTION.into(), data: ABI_VERSION.to_le_bytes().as_slice().into() });
    for p in Parser::new(0).parse_all(wasm) {
        let p = p?;
        match &p {
            Payload::ImportSection(s) => _ = out.section(&unshare(s.clone())?),
            Payload::CustomSection(c) => {
                let name = c.name();
                let wanted = match keep {
                    Keep::All => true,
                    Keep::Names => !is_debug(name),
                    Keep::Nothing => false,
                };
                if wanted && name != ABI_SECTION {
                    copy(&mut out, wasm, &p)?;
                }
            }
            _ => copy(&mut out, wasm, &p)?,
        }
    }
    Ok(out.finish())
}

/// Whether a custom section is debugging information.
pub(crate) fn is_debug(name: &str) -> bool {
    name.starts_with(".debug") || name == "sourceMappingURL" || name == "external_debug_info"
}

const NOP: u8 = 0x01;
const END: u8 = 0x0b;

/// The code of the start function, if there is one: its locals and instructions, without the length
/// before them.
fn start_function(wasm: &[u8]) -> Result<Option<Range<usize>>> {
    let (mut imported, mut start, mut bodies) = (0, None, Vec::new());
    for p in Parser::new(0).parse_all(wasm) {
        match p? {
            Payload::ImportSection(s) => imported += imported_functions(s)?,
            Payload::StartSection { func, .. } => start = Some(func),
            Payload::CodeSectionEntry(body) => bodies.push(body.range()),
            _ => {}
        }
    }
    start
        .map(|s| {
            let at = s.checked_sub(imported).and_then(|i| bodies.get(i as usize));
            Ok(at.context("the start function is an import")?.start..at.context("no such function")?.end)
        })
        .transpose()
}

/// Follows the constants in `__wasm_init_memory` to the instructions that use them.
fn read_start_function(wasm: &[u8], body: Range<usize>) -> Result<Placement> {
    let reader = wasmparser::BinaryReader::new(&wasm[body], 0);
    let function = wasmparser::FunctionBody::new(reader);
    let mut placement = Placement::default();
    let mut stack: Vec<i32> = Vec::new();
    for op in function.get_operators_reader()? {
        match op? {
            Operator::I32Const { value } => stack.push(value),
            Operator::GlobalSet { global_index } => {
                let address = stack.pop().context("wasm-ld's start function sets a global to no constant")?;
                placement.tls = Some((global_index, address));
            }
            Operator::MemoryInit { data_index, .. } => match stack[..] {
                [.., address, offset, len] => {
                    placement.copies.push((data_index, address, offset, len));
                    stack.clear();
                }
                _ => bail!("wasm-ld's start function copies to no constant address"),
            },
            _ => stack.clear(),
        }
    }
    Ok(placement)
}

/// The imports, with the memory not shared.
fn unshare(imports: wasmparser::ImportSectionReader<'_>) -> Result<ImportSection> {
    let mut out = ImportSection::new();
    for i in imports.into_imports() {
        let mut i = i?;
        if let TypeRef::Memory(m) = &mut i.ty {
            m.shared = false;
        }
        out.import(i.module, i.name, RoundtripReencoder.entity_type(i.ty)?);
    }
    Ok(out)
}

/// The content of a data section behind its count.
fn without_count(section: &DataSection) -> Vec<u8> {
    let mut content = encoded(section);
    content.split_off(number_length(&content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, EntityType, Function, FunctionSection, GlobalType, Instruction, MemoryType, StartSection,
        TypeSection, ValType,
    };

    /// A module like wasm-ld's: thread-local data at 65536, other data at 65552.
    fn linked(with_start: bool) -> Vec<u8> {
        let mut m = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        let memory =
            MemoryType { minimum: 2, maximum: Some(65536), memory64: false, shared: true, page_size_log2: None };
        imports.import("env", "memory", EntityType::Memory(memory));
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut globals = GlobalSection::new();
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(0));
        m.section(&types).section(&imports).section(&functions).section(&globals);
        if with_start {
            m.section(&StartSection { function_index: 0 });
        }
        m.section(&DataCountSection { count: 2 });
        let mut f = Function::new([]);
        for i in [
            Instruction::I32Const(65536),
            Instruction::I32Const(65536),
            Instruction::GlobalSet(0),
            Instruction::I32Const(0),
            Instruction::I32Const(4),
            Instruction::MemoryInit { mem: 0, data_index: 0 },
            Instruction::I32Const(65552),
            Instruction::I32Const(0),
            Instruction::I32Const(5),
            Instruction::MemoryInit { mem: 0, data_index: 1 },
            Instruction::DataDrop(1),
            Instruction::End,
        ] {
            f.instruction(&i);
        }
        let mut code = CodeSection::new();
        code.function(&f);
        let mut data = DataSection::new();
        data.passive(*b"tls!").passive(*b"hello");
        m.section(&code).section(&data);
        m.section(&CustomSection { name: ".debug_info".into(), data: b"x".as_slice().into() });
        m.section(&CustomSection { name: "name".into(), data: b"\0\0".as_slice().into() });
        m.finish()
    }

    fn segments(wasm: &[u8]) -> Vec<(Option<i32>, Vec<u8>)> {
        let mut out = Vec::new();
        for p in Parser::new(0).parse_all(wasm) {
            if let Payload::DataSection(s) = p.unwrap() {
                for d in s {
                    let d = d.unwrap();
                    let address = match d.kind {
                        DataKind::Passive => None,
                        DataKind::Active { offset_expr, .. } => {
                            match offset_expr.get_operators_reader().read().unwrap() {
                                Operator::I32Const { value } => Some(value),
                                other => panic!("{other:?}"),
                            }
                        }
                    };
                    out.push((address, d.data.to_vec()));
                }
            }
        }
        out
    }

    fn customs(wasm: &[u8]) -> Vec<String> {
        let customs = Parser::new(0)
            .parse_all(wasm)
            .filter_map(|p| if let Payload::CustomSection(c) = p.unwrap() { Some(c.name().to_owned()) } else { None });
        customs.collect()
    }

    #[test]
    fn data_gets_its_addresses() {
        let out = rewrite(&linked(true)).unwrap();
        let tls = b"tls!".to_vec();
        assert_eq!(segments(&out), [(None, tls.clone()), (Some(65536), tls), (Some(65552), b"hello".to_vec())]);
    }

    #[test]
    fn nothing_starts_by_itself_and_nothing_is_shared() {
        let out = rewrite(&linked(true)).unwrap();
        for p in Parser::new(0).parse_all(&out) {
            match p.unwrap() {
                Payload::StartSection { .. } => panic!("a start section"),
                Payload::DataCountSection { count, .. } => assert_eq!(count, 3),
                Payload::ImportSection(s) => {
                    for i in s.into_imports() {
                        assert!(matches!(i.unwrap().ty, TypeRef::Memory(m) if !m.shared && m.initial == 2));
                    }
                }
                Payload::GlobalSection(s) => {
                    let g = s.into_iter().next().unwrap().unwrap();
                    assert!(matches!(
                        g.init_expr.get_operators_reader().read().unwrap(),
                        Operator::I32Const { value: 65536 }
                    ));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn code_keeps_its_length() {
        let code = |wasm: &[u8]| {
            Parser::new(0)
                .parse_all(wasm)
                .find_map(|p| if let Payload::CodeSectionStart { size, .. } = p.unwrap() { Some(size) } else { None })
        };
        let before = linked(true);
        assert_eq!(code(&before), code(&rewrite(&before).unwrap()));
    }

    #[test]
    fn data_without_an_address_is_refused() {
        assert!(rewrite(&linked(false)).is_err());
    }

    #[test]
    fn the_version_comes_first() {
        let wasm = rewrite(&linked(true)).unwrap();
        assert_eq!(customs(&finish(&wasm, Keep::All).unwrap()), [ABI_SECTION, ".debug_info", "name"]);
        assert_eq!(customs(&finish(&wasm, Keep::Names).unwrap()), [ABI_SECTION, "name"]);
        let stripped = finish(&wasm, Keep::Nothing).unwrap();
        assert_eq!(customs(&stripped), [ABI_SECTION]);
        assert_eq!(customs(&finish(&stripped, Keep::All).unwrap()), [ABI_SECTION]);
    }
}
