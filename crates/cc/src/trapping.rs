//! Instructions that trap, in functions that call setjmp, become calls: a signal's handler can
//! longjmp out of a trap in a call only.
//!
//! `catching.rs` has the reason, and what is done about accesses. The functions called are libc's
//! (`guest/libc/musl/src/setjmp/wasm32/catching.c`).

use std::collections::HashMap;

use anyhow::Result;
use wasm_encoder::{CodeSection, Function, Module};
use wasmlinux_module::{
    code::{Edits, Instruction, instructions},
    sections,
};
use wasmparser::{FunctionBody, KnownCustom, Name, Operator, Parser, Payload, TypeRef};

const SETJMP: &str = "__wasm_setjmp";
const PREFIX: &str = "__catching_";

/// What is called where a single instruction stood.
fn instead(op: &Operator<'_>) -> Option<&'static str> {
    Some(match op {
        Operator::I32DivS => "i32_div_s",
        Operator::I32DivU => "i32_div_u",
        Operator::I32RemS => "i32_rem_s",
        Operator::I32RemU => "i32_rem_u",
        Operator::I64DivS => "i64_div_s",
        Operator::I64DivU => "i64_div_u",
        Operator::I64RemS => "i64_rem_s",
        Operator::I64RemU => "i64_rem_u",
        Operator::MemoryCopy { .. } => "memory_copy",
        Operator::MemoryFill { .. } => "memory_fill",
        _ => return None,
    })
}

/// What is called before an instruction that stays.
fn before(op: &Operator<'_>) -> Option<&'static str> {
    Some(match op {
        Operator::Unreachable => "unreachable",
        Operator::CallIndirect { table_index: 0, .. } => "call",
        _ => return None,
    })
}

/// Replaces them in a linked module that has function names; one without setjmp stays as it is.
pub(crate) fn replace(wasm: &[u8]) -> Result<Vec<u8>> {
    let (setjmp, helpers) = names(wasm)?;
    let Some(setjmp) = setjmp else { return Ok(wasm.to_vec()) };
    let mut bodies = Vec::new();
    for p in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = p? {
            bodies.push(body);
        }
    }
    let mut code = CodeSection::new();
    for body in &bodies {
        code.raw(&edits(body, setjmp, &helpers)?.apply(wasm, body.range()));
    }
    let mut out = Module::new();
    for p in Parser::new(0).parse_all(wasm) {
        let p = p?;
        match &p {
            Payload::CodeSectionStart { .. } => {
                out.section(&code);
            }
            _ => sections::copy(&mut out, wasm, &p)?,
        }
    }
    Ok(out.finish())
}

/// The indices of setjmp's function and of libc's, by their names behind the prefix.
fn names(wasm: &[u8]) -> Result<(Option<u32>, HashMap<String, u32>)> {
    let (mut setjmp, mut helpers) = (None, HashMap::new());
    for p in Parser::new(0).parse_all(wasm) {
        match p? {
            Payload::ImportSection(s) => {
                for (index, i) in
                    (0..).zip(s.into_imports().filter(|i| i.as_ref().is_ok_and(|i| matches!(i.ty, TypeRef::Func(_)))))
                {
                    setjmp = setjmp.or((i?.name == SETJMP).then_some(index));
                }
            }
            Payload::CustomSection(c) => {
                let KnownCustom::Name(names) = c.as_known() else { continue };
                for n in names {
                    let Name::Function(map) = n? else { continue };
                    for n in map {
                        let n = n?;
                        if n.name == SETJMP {
                            setjmp = Some(n.index);
                        } else if let Some(name) = n.name.strip_prefix(PREFIX) {
                            helpers.insert(name.to_owned(), n.index);
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok((setjmp, helpers))
}

/// The calls to put into a body; none if it does not call setjmp.
fn edits(body: &FunctionBody<'_>, setjmp: u32, helpers: &HashMap<String, u32>) -> Result<Edits> {
    let mut edits = Edits::default();
    let mut calls_setjmp = false;
    let call = |index: u32| {
        let mut f = Function::new([]);
        f.instructions().call(index);
        // Behind the count of locals.
        f.into_raw_body().split_off(1)
    };
    for instruction in instructions(body)? {
        let Instruction { operator, range } = instruction?;
        calls_setjmp |= matches!(operator, Operator::Call { function_index } if function_index == setjmp);
        if let Some(index) = instead(&operator).and_then(|name| helpers.get(name)) {
            edits.replace(range, call(*index));
        } else if let Some(index) = before(&operator).and_then(|name| helpers.get(name)) {
            edits.replace(range.start..range.start, call(*index));
        }
    }
    Ok(if calls_setjmp { edits } else { Edits::default() })
}
