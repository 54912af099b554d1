//! Lets libc ask of which type a function is that a pointer points to: signals' handlers, threads'
//! functions and other callbacks are often defined in another way than libc calls them
//! (`void handler()`), which no other machine minds.
//!
//! libc's `__function_type` (`function_type.s`) becomes a call of a function made here, which looks
//! the table's slot up. Its own code keeps its length, as debugging information counts in bytes of
//! code.

use anyhow::{Context, Result, bail};
use wasm_encoder::{BlockType, Encode, Function, FunctionSection, Instruction, Module, RawSection};
use wasmlinux_module::sections::{copy, number_length};
use wasmparser::{ElementItems, ElementKind, FuncType, Operator, Parser, Payload, TypeRef, ValType};

/// The number in the code of libc's function: `local.get 0; i32.const MARK; i32.and`.
const MARK: i32 = -1_526_726_656;
/// The most arguments and results that have a number.
const ARGUMENTS: usize = 4;
const RESULTS: usize = 1;
const KINDS: u32 = 1 + 2 * (ARGUMENTS as u32 + 1);

/// What libc's header `callback.h` calls a type; 0 for those that it does not know.
fn kind(ty: &FuncType) -> u32 {
    let words = |types: &[ValType]| types.iter().all(|ty| *ty == ValType::I32);
    let (arguments, results) = (ty.params(), ty.results());
    let known = arguments.len() <= ARGUMENTS && results.len() <= RESULTS && words(arguments) && words(results);
    if known { 1 + 2 * arguments.len() as u32 + results.len() as u32 } else { 0 }
}

/// What has to be known of a module.
#[derive(Default)]
struct Parts {
    types: Vec<FuncType>,
    /// Of all functions, imported ones first: indices of types.
    functions: Vec<u32>,
    imported: u32,
    /// First slot of the table, and functions from there on.
    elements: Vec<(u32, Vec<u32>)>,
    /// Where the marked function lies, and its place among those defined.
    marked: Option<(usize, u32)>,
}

/// The code of libc's function, as the assembler makes it.
fn marked_body() -> Vec<u8> {
    let mut body = vec![0, 0x20, 0, 0x41];
    MARK.encode(&mut body);
    body.extend([0x71, 0x0b]);
    body
}

fn parts(wasm: &[u8]) -> Result<Parts> {
    let body = marked_body();
    let mut parts = Parts::default();
    let mut defined = 0;
    for p in Parser::new(0).parse_all(wasm) {
        match p? {
            Payload::TypeSection(s) => {
                for ty in s.into_iter_err_on_gc_types() {
                    parts.types.push(ty?);
                }
            }
            Payload::ImportSection(s) => {
                for i in s.into_imports() {
                    if let TypeRef::Func(ty) = i?.ty {
                        parts.functions.push(ty);
                        parts.imported += 1;
                    }
                }
            }
            Payload::FunctionSection(s) => {
                for ty in s {
                    parts.functions.push(ty?);
                }
            }
            Payload::ElementSection(s) => {
                for e in s {
                    let e = e?;
                    let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(items)) = (e.kind, e.items)
                    else {
                        continue;
                    };
                    let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else { continue };
                    parts.elements.push((value as u32, items.into_iter().collect::<Result<_, _>>()?));
                }
            }
            Payload::CodeSectionEntry(code) => {
                if wasm[code.range().start..code.range().end] == body {
                    if parts.marked.is_some() {
                        bail!("libc's __function_type is there twice");
                    }
                    parts.marked = Some((code.range().start, defined));
                }
                defined += 1;
            }
            _ => {}
        }
    }
    Ok(parts)
}

/// The function that is made: takes a slot of the table.
fn lookup(parts: &Parts) -> Result<Function> {
    let first = parts.elements.iter().map(|(at, _)| *at).min().unwrap_or(0);
    let end = parts.elements.iter().map(|(at, items)| *at as usize + items.len()).max().unwrap_or(0);
    let mut kinds = vec![0; end.saturating_sub(first as usize)];
    for (at, items) in &parts.elements {
        for (slot, function) in (*at - first..).zip(items) {
            let ty = parts.functions.get(*function as usize).and_then(|ty| parts.types.get(*ty as usize));
            kinds[slot as usize] = kind(ty.context("the table names a function that does not exist")?);
        }
    }
    let mut code = Function::new([]);
    for _ in 0..KINDS {
        code.instruction(&Instruction::Block(BlockType::Empty));
    }
    code.instruction(&Instruction::LocalGet(0));
    code.instruction(&Instruction::I32Const(first as i32));
    code.instruction(&Instruction::I32Sub);
    code.instruction(&Instruction::BrTable(kinds.into(), 0));
    for kind in 0..KINDS {
        code.instruction(&Instruction::End);
        code.instruction(&Instruction::I32Const(kind as i32));
        code.instruction(&Instruction::Return);
    }
    code.instruction(&Instruction::Unreachable);
    code.instruction(&Instruction::End);
    Ok(code)
}

/// A number in five bytes.
fn padded(value: u32) -> [u8; 5] {
    std::array::from_fn(|i| ((value >> (7 * i)) & 0x7f) as u8 | if i < 4 { 0x80 } else { 0 })
}

/// A section's content with one more entry, its count in as many bytes as before if it fits.
fn with_one_more(content: &[u8], count: u32, entry: &[u8]) -> Vec<u8> {
    let len = number_length(content);
    let mut out = Vec::new();
    (count + 1).encode(&mut out);
    while out.len() < len {
        if let Some(last) = out.last_mut() {
            *last |= 0x80;
        }
        out.push(0);
    }
    out.extend(&content[len..]);
    out.extend(entry);
    out
}

/// Gives libc's function its answers; a module without it stays as it is.
pub(crate) fn resolve(linked: &[u8]) -> Result<Vec<u8>> {
    let parts = parts(linked)?;
    let Some((at, place)) = parts.marked else { return Ok(linked.to_vec()) };
    let own_type = *parts.functions.get((parts.imported + place) as usize).context("a function without a type")?;
    let mut wasm = linked.to_vec();
    // local.get 0; call; nop: as long as before
    let call = [&[0, 0x20, 0, 0x10][..], &padded(parts.functions.len() as u32), &[0x01, 0x0b]].concat();
    wasm[at..at + call.len()].copy_from_slice(&call);

    let mut added = Vec::new();
    lookup(&parts)?.encode(&mut added);
    let mut out = Module::new();
    for p in Parser::new(0).parse_all(&wasm) {
        let p = p?;
        match &p {
            Payload::FunctionSection(_) => {
                let mut functions = FunctionSection::new();
                for ty in parts.functions[parts.imported as usize..].iter().chain([&own_type]) {
                    functions.function(*ty);
                }
                out.section(&functions);
            }
            Payload::CodeSectionStart { count, range, .. } => {
                let data = with_one_more(&wasm[range.start..range.end], *count, &added);
                out.section(&RawSection { id: 10, data: &data });
            }
            Payload::CodeSectionEntry(_) => {}
            _ => copy(&mut out, &wasm, &p)?,
        }
    }
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{
        CodeSection, ConstExpr, ElementSection, Elements, RefType, TableSection, TableType, TypeSection, ValType as Val,
    };

    /// Functions of three types in a table from slot 16 on, and libc's own.
    fn module() -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([Val::I32, Val::I32, Val::I32], [Val::I32]);
        types.ty().function([Val::I64], []);
        types.ty().function([Val::I32], [Val::I32]);
        let mut functions = FunctionSection::new();
        let mut code = CodeSection::new();
        for ty in 0..3 {
            functions.function(ty);
            let mut body = Function::new([]);
            body.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
            code.function(&body);
        }
        functions.function(3);
        let mut body = Function::new([]);
        body.instruction(&Instruction::LocalGet(0)).instruction(&Instruction::I32Const(MARK));
        body.instruction(&Instruction::I32And).instruction(&Instruction::End);
        code.function(&body);
        let mut tables = TableSection::new();
        let element_type = RefType::FUNCREF;
        tables.table(TableType { element_type, table64: false, minimum: 20, maximum: None, shared: false });
        let mut elements = ElementSection::new();
        elements.active(None, &ConstExpr::i32_const(16), Elements::Functions(vec![0, 1, 2].into()));
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&tables).section(&elements).section(&code);
        module.finish()
    }

    #[test]
    fn the_function_says_what_the_table_has() {
        let wasm = resolve(&module()).unwrap();
        let bodies: Vec<_> = Parser::new(0)
            .parse_all(&wasm)
            .filter_map(|p| if let Payload::CodeSectionEntry(body) = p.unwrap() { Some(body) } else { None })
            .collect();
        assert_eq!(bodies.len(), 5);
        let operators = |i: usize| bodies[i].get_operators_reader().unwrap().into_iter().map(Result::unwrap);
        assert!(operators(3).any(|op| matches!(op, Operator::Call { function_index: 4 })));
        let targets =
            operators(4).find_map(|op| if let Operator::BrTable { targets } = op { Some(targets) } else { None });
        let targets: Vec<_> = targets.unwrap().targets().map(Result::unwrap).collect();
        assert_eq!(targets, [1, 8, 0]);
    }

    #[test]
    fn a_module_without_it_stays() {
        assert_eq!(resolve(&resolve(&module()).unwrap()).unwrap(), resolve(&module()).unwrap());
    }
}
