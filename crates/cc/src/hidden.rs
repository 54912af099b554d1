//! Memory accesses, hidden from Binaryen, so that it keeps them and their order.
//!
//! To Binaryen an access is a read or a write that may trap, of memory that nobody else has: it
//! moves one read across another, atomic ones too. Here each may fault and run a handler, which
//! changes memory, and so may any two be apart in time. So each access is a call of an import of
//! its own while Binaryen works: a call may do anything, so calls are neither moved across another,
//! nor merged, nor left out, by whatever pass. Afterwards the access is put back. `order.rs` checks
//! the result.
//!
//! `memory.init` stays, as data that no instruction names would be left out. It writes, and no
//! write is moved across a call.

use std::ops::Range;

use anyhow::{Context, Result};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, Encode, EntityType, ImportSection, Instruction, Module, NameMap, NameSection, TypeSection, ValType,
};
use wasmlinux_module::{
    code::{self, instructions},
    sections::imported_functions,
};
use wasmparser::{Operator, Parser, Payload, TypeRef};

/// The module that the imports are of; each one's name is its access's number.
const MODULE: &str = "wasmlinux access";

/// A function's type.
type Signature = (Vec<ValType>, Option<ValType>);

/// A module whose accesses are hidden.
pub(crate) struct Hidden<'a> {
    pub(crate) wasm: Vec<u8>,
    /// The module as it was, and where each access is in it.
    original: &'a [u8],
    accesses: Vec<Range<usize>>,
}

/// Of which type the import is that stands for an instruction; none if the instruction stays. Told
/// by its bytes (WebAssembly specification, section 5.4, and the proposal of threads).
fn signature(instruction: &[u8]) -> Option<Signature> {
    use ValType::{F32, F64, I32, I64};
    /// Of the seven forms of each read-modify-write instruction.
    const FORMS: [ValType; 7] = [I32, I64, I32, I32, I64, I64, I64];
    let form = |first: u8, opcode: u8| FORMS[usize::from((opcode - first) % 7)];
    Some(match *instruction {
        [0x28 | 0x2c..=0x2f, ..] => (vec![I32], Some(I32)),
        [0x29 | 0x30..=0x35, ..] => (vec![I32], Some(I64)),
        [0x2a, ..] => (vec![I32], Some(F32)),
        [0x2b, ..] => (vec![I32], Some(F64)),
        [0x36 | 0x3a | 0x3b, ..] => (vec![I32, I32], None),
        [0x37 | 0x3c..=0x3e, ..] => (vec![I32, I64], None),
        [0x38, ..] => (vec![I32, F32], None),
        [0x39, ..] => (vec![I32, F64], None),
        // memory.copy, memory.fill
        [0xfc, 0x0a | 0x0b, ..] => (vec![I32; 3], None),
        [0xfe, 0x00, ..] => (vec![I32, I32], Some(I32)),
        [0xfe, 0x01, ..] => (vec![I32, I32, I64], Some(I32)),
        [0xfe, 0x02, ..] => (vec![I32, I64, I64], Some(I32)),
        // atomic.fence
        [0xfe, 0x03, ..] => (vec![], None),
        [0xfe, opcode @ 0x10..=0x16, ..] => (vec![I32], Some(form(0x10, opcode))),
        [0xfe, opcode @ 0x17..=0x1d, ..] => (vec![I32, form(0x17, opcode)], None),
        [0xfe, opcode @ 0x1e..=0x47, ..] => (vec![I32, form(0x1e, opcode)], Some(form(0x1e, opcode))),
        [0xfe, opcode @ 0x48..=0x4e, ..] => {
            let word = form(0x48, opcode);
            (vec![I32, word, word], Some(word))
        }
        _ => return None,
    })
}

/// Hides all accesses of a module.
pub(crate) fn hide(wasm: &[u8]) -> Result<Hidden<'_>> {
    let mut hider = Hider::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::TypeSection(section) => hider.types = section.count(),
            Payload::ImportSection(section) => hider.imported += imported_functions(section)?,
            Payload::CodeSectionEntry(body) => {
                for instruction in instructions(&body)? {
                    let access = instruction?.range;
                    let Some(signature) = signature(&wasm[access.clone()]) else { continue };
                    let known = hider.signatures.iter().position(|s| *s == signature).unwrap_or_else(|| {
                        hider.signatures.push(signature);
                        hider.signatures.len() - 1
                    });
                    hider.hidden.push(u32::try_from(known)?);
                    hider.accesses.push(access);
                }
            }
            _ => {}
        }
    }
    let mut module = Module::new();
    hider.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(Hidden { wasm: module.finish(), original: wasm, accesses: hider.accesses })
}

impl Hidden<'_> {
    /// Puts the accesses back into what Binaryen made of the module.
    pub(crate) fn reveal(&self, optimised: &[u8]) -> Result<Vec<u8>> {
        let mut revealer = Revealer { hidden: self, imports: numbers(optimised)?, indices: Vec::new(), removed: 0 };
        for number in &revealer.imports {
            let index = u32::try_from(revealer.indices.len())?;
            revealer.indices.push(index - revealer.removed);
            revealer.removed += u32::from(number.is_some());
        }
        let mut module = Module::new();
        revealer.parse_core_module(&mut module, Parser::new(0), optimised)?;
        Ok(module.finish())
    }
}

/// Of each imported function of a module with hidden accesses, which access it stands for, if any.
pub(crate) fn numbers(wasm: &[u8]) -> Result<Vec<Option<u32>>> {
    let mut numbers = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                if let TypeRef::Func(_) = import.ty {
                    let number = (import.module == MODULE).then(|| import.name.parse()).transpose();
                    numbers.push(number.context("an import that Binaryen has renamed")?);
                }
            }
        }
    }
    Ok(numbers)
}

/// A function's index that means nothing here.
#[derive(Debug)]
struct Misplaced;

impl std::fmt::Display for Misplaced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a hidden access is used otherwise than by a call")
    }
}

impl std::error::Error for Misplaced {}

#[derive(Default)]
struct Hider {
    /// How many types the module has, and how many imported functions.
    types: u32,
    imported: u32,
    /// Types of the new imports, each once.
    signatures: Vec<Signature>,
    /// Of each access its type's place there, and where it is in the module.
    hidden: Vec<u32>,
    accesses: Vec<Range<usize>>,
    /// How many have been replaced.
    done: usize,
}

impl Reencode for Hider {
    type Error = Misplaced;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error<Misplaced>> {
        utils::parse_type_section(self, types, section)?;
        for (parameters, result) in &self.signatures {
            types.ty().function(parameters.iter().copied(), *result);
        }
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error<Misplaced>> {
        utils::parse_import_section(self, imports, section)?;
        for (number, signature) in self.hidden.iter().enumerate() {
            imports.import(MODULE, &number.to_string(), EntityType::Function(self.types + signature));
        }
        Ok(())
    }

    fn function_index(&mut self, index: u32) -> Result<u32, Error<Misplaced>> {
        Ok(if index < self.imported { index } else { index + self.hidden.len() as u32 })
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<Misplaced>> {
        replace(self, code, &body, |hider, instruction| {
            let next = hider.accesses.get(hider.done).is_some_and(|access| *access == instruction.range);
            next.then(|| {
                hider.done += 1;
                let mut call = Vec::new();
                Instruction::Call(hider.imported + hider.done as u32 - 1).encode(&mut call);
                call
            })
        })
    }
}

/// Writes a function anew, with other bytes in the place of some instructions.
fn replace<R: Reencode>(
    reencoder: &mut R,
    code: &mut CodeSection,
    body: &wasmparser::FunctionBody<'_>,
    mut other: impl FnMut(&mut R, &code::Instruction<'_>) -> Option<Vec<u8>>,
) -> Result<(), Error<R::Error>> {
    let mut function = reencoder.new_function_with_parsed_locals(body)?;
    for instruction in instructions(body)? {
        let instruction = instruction?;
        match other(reencoder, &instruction) {
            Some(bytes) => _ = function.raw(bytes),
            None => _ = function.instruction(&reencoder.instruction(instruction.operator)?),
        }
    }
    code.function(&function);
    Ok(())
}

struct Revealer<'a> {
    hidden: &'a Hidden<'a>,
    /// As [`numbers`] has them.
    imports: Vec<Option<u32>>,
    /// Of each imported function its new index.
    indices: Vec<u32>,
    /// How many imports go.
    removed: u32,
}

impl Revealer<'_> {
    /// The instruction that an imported function stands for.
    fn access(&self, index: u32) -> Option<&[u8]> {
        let number = (*self.imports.get(index as usize)?)?;
        Some(&self.hidden.original[self.hidden.accesses.get(number as usize)?.clone()])
    }
}

impl Reencode for Revealer<'_> {
    type Error = Misplaced;

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error<Misplaced>> {
        for import in section.into_imports() {
            let import = import?;
            if import.module != MODULE {
                imports.import(import.module, import.name, self.entity_type(import.ty)?);
            }
        }
        Ok(())
    }

    fn function_index(&mut self, index: u32) -> Result<u32, Error<Misplaced>> {
        if self.access(index).is_some() {
            return Err(Error::UserError(Misplaced));
        }
        Ok(self.indices.get(index as usize).copied().unwrap_or_else(|| index - self.removed))
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<Misplaced>> {
        replace(self, code, &body, |revealer, instruction| match instruction.operator {
            Operator::Call { function_index } => revealer.access(function_index).map(<[u8]>::to_vec),
            _ => None,
        })
    }

    fn parse_custom_name_subsection(
        &mut self,
        names: &mut NameSection,
        section: wasmparser::Name<'_>,
    ) -> Result<(), Error<Misplaced>> {
        let wasmparser::Name::Function(map) = section else {
            return utils::parse_custom_name_subsection(self, names, section);
        };
        let mut kept = NameMap::new();
        for name in map {
            let name = name?;
            if self.access(name.index).is_none() {
                kept.append(self.function_index(name.index)?, name.name);
            }
        }
        names.functions(&kept);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use wasm_encoder::{ExportKind, ExportSection, Function, FunctionSection, InstructionSink, MemArg, MemoryType};

    /// A module whose functions have an import before them, and two locals: a word and a double
    /// one.
    pub(crate) fn module(bodies: &[&dyn Fn(&mut InstructionSink<'_>)]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("linux", "syscall", EntityType::Function(0));
        let memory = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        imports.import("env", "memory", EntityType::Memory(memory));
        let (mut functions, mut code, mut exports) = (FunctionSection::new(), CodeSection::new(), ExportSection::new());
        exports.export("f", ExportKind::Func, 1);
        for body in bodies {
            functions.function(0);
            let mut function = Function::new([(1, ValType::I32), (1, ValType::I64)]);
            body(&mut function.instructions());
            function.instruction(&Instruction::End);
            code.function(&function);
        }
        let mut names = NameSection::new();
        let mut map = NameMap::new();
        map.append(0, "syscall");
        map.append(1, "first");
        names.functions(&map);
        let mut module = Module::new();
        module.section(&types).section(&imports).section(&functions).section(&exports).section(&code).section(&names);
        module.finish()
    }

    pub(crate) fn at(offset: u64) -> MemArg {
        MemArg { offset, align: 2, memory_index: 0 }
    }

    /// Accesses of many forms, and calls around them.
    fn sample() -> Vec<u8> {
        module(&[
            &|i| {
                i.call(0).local_get(0).local_get(0).i32_load(at(4)).i32_store8(MemArg { align: 0, ..at(9) });
                i.local_get(0).i32_const(1).i32_atomic_rmw_add(at(0)).drop().atomic_fence();
                i.local_get(0).local_get(1).local_get(1).i64_atomic_rmw32_cmpxchg_u(at(8)).drop().call(2);
                i.local_get(0).f64_load(at(16)).drop().local_get(0).i32_const(0).i32_const(3).memory_fill(0);
            },
            &|i| {
                i.local_get(0).i64_atomic_load(MemArg { align: 3, ..at(8) }).local_set(1).call(1);
            },
        ])
    }

    #[test]
    fn what_is_hidden_comes_back() {
        let original = sample();
        let hidden = hide(&original).unwrap();
        let operators = |wasm: &[u8]| {
            let mut names = Vec::new();
            bodies_of(wasm, &mut names);
            names
        };
        assert!(!operators(&hidden.wasm).iter().any(|name| name.contains("Load") || name.contains("Atomic")));
        let revealed = hidden.reveal(&hidden.wasm).unwrap();
        assert_eq!(operators(&revealed), operators(&original));
        assert_eq!(numbers(&revealed).unwrap(), [None]);
    }

    impl Hidden<'_> {
        /// Numbers its accesses, which are plain loads, by their offsets instead.
        pub(crate) fn renumber(&mut self) {
            let offset = |access: &Range<usize>| u32::from(self.original[access.end - 1]);
            let offsets: Vec<u32> = self.accesses.iter().map(offset).collect();
            struct Renumber(Vec<u32>);
            impl Reencode for Renumber {
                type Error = Misplaced;
                fn parse_import_section(
                    &mut self,
                    imports: &mut ImportSection,
                    section: wasmparser::ImportSectionReader<'_>,
                ) -> Result<(), Error<Misplaced>> {
                    for import in section.into_imports() {
                        let import = import?;
                        let number = import.name.parse().map(|n: usize| self.0[n].to_string());
                        let name = number.unwrap_or(import.name.into());
                        imports.import(import.module, &name, self.entity_type(import.ty)?);
                    }
                    Ok(())
                }
            }
            let mut out = Module::new();
            Renumber(offsets).parse_core_module(&mut out, Parser::new(0), &self.wasm).unwrap();
            self.wasm = out.finish();
        }
    }

    fn bodies_of(wasm: &[u8], names: &mut Vec<String>) {
        for payload in Parser::new(0).parse_all(wasm) {
            if let Payload::CodeSectionEntry(body) = payload.unwrap() {
                names.extend(body.get_operators_reader().unwrap().into_iter().map(|o| format!("{:?}", o.unwrap())));
            }
        }
    }
}
