//! Memory accesses of a program, in the form in which the engine's compiler keeps what they mean here.
//!
//! The compiler (Cranelift) takes memory to change by the function's own stores and by calls only. Here a handler or another
//! thread changes it between any two instructions, as one processor runs them all. So
//! - a load in a loop that neither stores nor calls, of an address that stays the same, becomes an atomic load, which costs the
//!   same and is made anew each time;
//! - an atomic store becomes a plain one behind an atomic load of a byte of its address: no other
//!   processor could see stores in another order, and to the compiler memory changes at the load,
//!   so it neither leaves out nor merges accesses on its two sides;
//! - so it is with a load or store of eight bytes of an address that was accessed before, with
//!   nothing between that could change memory (`known.rs`).
//!
//! The compiler does not move an access across another, nor leave one out that may trap, but for a
//! load that it takes to give what is known, and a store of what is known or that another one
//! overwrites with no access between (`alias_analysis.rs` and `lower.rs` there).
//!
//! Instructions are told by their bytes (WebAssembly specification, section 5.4, and the proposal of threads).

use crate::known::{Known, Operand};
use std::{collections::HashSet, ops::Range};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// An instruction and the bytes to put in its place.
type Edit = (Range<usize>, Vec<u8>);

/// The operand of a load, as far as the instruction before tells.
type Address = Option<Operand>;

/// A loop that is open; at the bottom of all, the function.
#[derive(Default)]
struct Loop {
    /// It stores, calls, or does what else the compiler takes for a change of memory.
    changes: bool,
    /// Locals that are set in it to what is not a constant.
    sets: HashSet<u32>,
    /// Loads in it, and in no loop within.
    loads: Vec<(Address, Edit)>,
}

/// The body of a function of `wasm`, with so many parameters, in that form.
pub(crate) fn rewrite(wasm: &[u8], body: &FunctionBody<'_>, parameters: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let mut edits = Vec::new();
    let mut loops = vec![Loop::default()];
    // Of each structure that is open, whether it is a loop.
    let mut structures = Vec::new();
    let mut known = Known::new();
    let mut scratch = Scratch::new(body, parameters)?;
    // What the last instruction left, and the one before it.
    let (mut before, mut earlier) = (None, None);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let start = operators.original_position();
        let operator = operators.read()?;
        let at = start..operators.original_position();
        let (address, of_store) = (before.take(), earlier);
        earlier = address;
        let Some(within) = loops.last_mut() else { break };
        match operator {
            Operator::I32Const { value } => before = Some(Operand::Constant(value)),
            Operator::LocalGet { local_index } => before = Some(Operand::Local(local_index)),
            Operator::LocalSet { local_index } => {
                if !matches!(address, Some(Operand::Constant(_))) {
                    within.sets.insert(local_index);
                }
                known.set(local_index);
            }
            Operator::LocalTee { local_index } => {
                within.sets.insert(local_index);
                known.set(local_index);
                before = Some(Operand::Local(local_index));
            }
            Operator::Loop { .. } => {
                structures.push(true);
                loops.push(Loop::default());
                known.begin(true, false);
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                structures.push(false);
                known.begin(false, matches!(operator, Operator::If { .. }));
            }
            Operator::Else => known.otherwise(),
            Operator::End => {
                // The function's own has no beginning.
                if structures.pop() == Some(true) {
                    let ended = loops.pop().unwrap_or_default();
                    close(ended, loops.last_mut(), &mut edits);
                }
                known.end();
            }
            Operator::Br { relative_depth } => {
                known.branch(relative_depth);
                known.forget();
            }
            Operator::BrIf { relative_depth } => known.branch(relative_depth),
            Operator::BrTable { targets } => {
                known.branches(targets.len());
                for depth in targets.targets().chain([Ok(targets.default())]) {
                    known.branch(depth?);
                }
                known.forget();
            }
            Operator::Return | Operator::Unreachable => known.forget(),
            _ => match &wasm[at.clone()] {
                [opcode @ 0x28..=0x35, memarg @ ..] => {
                    let wide = matches!(opcode, 0x29 | 0x2b);
                    let merged = wide && address.is_some_and(|address| known.access(address, offset(memarg)));
                    if merged {
                        edits.push((at, scratch.load(*opcode, memarg)));
                    } else if let Some(bytes) = atomic_load(*opcode, memarg)
                        && address.is_some()
                    {
                        within.loads.push((address, (at, bytes)));
                    }
                }
                [opcode @ (0x37 | 0x39), memarg @ ..] => {
                    within.changes = true;
                    let merged = of_store.is_some_and(|address| known.access(address, offset(memarg)));
                    known.forget();
                    if let Some(address) = of_store {
                        known.access(address, offset(memarg));
                    }
                    if merged {
                        edits.push((at, scratch.store(*opcode, memarg)));
                    }
                }
                [0xfe, opcode @ 0x17..=0x1d, memarg @ ..] => {
                    const PLAIN: [u8; 7] = [0x36, 0x37, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e];
                    edits.push((at, scratch.store(PLAIN[usize::from(opcode - 0x17)], memarg)));
                    within.changes = true;
                    known.forget();
                }
                // Exceptions; calls; stores; memory.grow; bulk memory; stores of vectors; atomic
                // ones.
                [0x08 | 0x0a | 0x10..=0x15 | 0x36..=0x3e | 0x40 | 0xfe, ..]
                | [0xfc, 0x08..=0x0b, ..]
                | [0xfd, 0x0b | 0x58..=0x5b, ..] => {
                    within.changes = true;
                    known.forget();
                }
                _ => {}
            },
        }
    }
    edits.extend(scratch.declare(wasm, body)?);
    edits.sort_by_key(|(at, _)| at.start);
    Ok(splice(wasm, body.range(), &edits))
}

/// The offset of a memory operand, which is behind its alignment.
fn offset(memarg: &[u8]) -> u64 {
    memarg.iter().skip(1).rev().fold(0, |offset, byte| offset << 7 | u64::from(byte & 0x7f))
}

/// Locals of our own, behind those of the function.
struct Scratch {
    first: u32,
    /// Those that are used: an address, and a value of four types.
    used: [bool; 5],
}

impl Scratch {
    const TYPES: [u8; 5] = [0x7f, 0x7f, 0x7e, 0x7d, 0x7c];

    fn new(body: &FunctionBody<'_>, parameters: u32) -> Result<Scratch, BinaryReaderError> {
        let mut first = parameters;
        for group in body.get_locals_reader()? {
            first = first.saturating_add(group?.0);
        }
        Ok(Scratch { first, used: [false; 5] })
    }

    /// Appends an instruction that takes one of these locals.
    fn local(&mut self, bytes: &mut Vec<u8>, opcode: u8, local: usize) {
        self.used[local] = true;
        bytes.push(opcode);
        leb(bytes, self.first.saturating_add(local as u32));
    }

    /// A load, behind an atomic one of its address.
    fn load(&mut self, opcode: u8, memarg: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if is_plain(memarg) {
            self.local(&mut bytes, TEE, 0);
            fence(&mut bytes, memarg);
            self.local(&mut bytes, GET, 0);
        }
        bytes.push(opcode);
        bytes.extend(memarg);
        bytes
    }

    /// A plain store, behind an atomic load of its address.
    fn store(&mut self, opcode: u8, memarg: &[u8]) -> Vec<u8> {
        let value = match opcode {
            0x37 | 0x3c..=0x3e => 2,
            0x38 => 3,
            0x39 => 4,
            _ => 1,
        };
        let mut bytes = Vec::new();
        if is_plain(memarg) {
            self.local(&mut bytes, SET, value);
            self.local(&mut bytes, TEE, 0);
            fence(&mut bytes, memarg);
            self.local(&mut bytes, GET, 0);
            self.local(&mut bytes, GET, value);
        }
        bytes.push(opcode);
        bytes.extend(memarg);
        bytes
    }

    /// The edit that declares them, if one is used.
    fn declare(&self, wasm: &[u8], body: &FunctionBody<'_>) -> Result<Option<Edit>, BinaryReaderError> {
        if !self.used.contains(&true) {
            return Ok(None);
        }
        let groups = body.get_locals_reader()?;
        let count = groups.get_count();
        let code = body.get_operators_reader()?.original_position();
        let start = body.range().start;
        // The count's own bytes.
        let old = wasm[start..code].iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1);
        let mut bytes = Vec::new();
        leb(&mut bytes, count.saturating_add(Scratch::TYPES.len() as u32));
        bytes.extend(&wasm[start + old..code]);
        for ty in Scratch::TYPES {
            bytes.extend([1, ty]);
        }
        Ok(Some((start..code, bytes)))
    }
}

/// Whether a memory operand is written as compilers do, its alignment in one byte.
fn is_plain(memarg: &[u8]) -> bool {
    memarg.first().is_some_and(|alignment| *alignment < 0x40)
}

/// Appends an atomic load of the byte at an address, which is always aligned.
fn fence(bytes: &mut Vec<u8>, memarg: &[u8]) {
    bytes.extend([0xfe, 0x12, 0]);
    bytes.extend(&memarg[1..]);
    bytes.push(DROP);
}

const DROP: u8 = 0x1a;
const GET: u8 = 0x20;
const SET: u8 = 0x21;
const TEE: u8 = 0x22;

/// Appends a number as WebAssembly has them.
fn leb(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Decides upon the loads of a loop. One that stays as it is here stays so in the loops around this one, which set and change
/// as much at the least.
fn close(mut ended: Loop, outer: Option<&mut Loop>, edits: &mut Vec<Edit>) {
    if !ended.changes {
        ended
            .loads
            .retain(|(address, _)| !matches!(address, Some(Operand::Local(local)) if ended.sets.contains(local)));
        edits.extend(ended.loads.into_iter().map(|(_, edit)| edit));
    }
    if let Some(outer) = outer {
        outer.changes |= ended.changes;
        if outer.sets.len() < ended.sets.len() {
            std::mem::swap(&mut outer.sets, &mut ended.sets);
        }
        outer.sets.extend(ended.sets);
    }
}

/// The atomic form of a load, if its alignment is known to be the natural one.
fn atomic_load(opcode: u8, memarg: &[u8]) -> Option<Vec<u8>> {
    /// Of the opcodes from i32.load on: log2 of the alignment, the atomic opcode, and an instruction that converts its result (0: none).
    const FORMS: [(u8, u8, u8); 14] = [
        (2, 0x10, 0),
        (3, 0x11, 0),
        (2, 0x10, 0xbe),
        (3, 0x11, 0xbf),
        (0, 0x12, 0xc0),
        (0, 0x12, 0),
        (1, 0x13, 0xc1),
        (1, 0x13, 0),
        (0, 0x14, 0xc2),
        (0, 0x14, 0),
        (1, 0x15, 0xc3),
        (1, 0x15, 0),
        (2, 0x16, 0xc4),
        (2, 0x16, 0),
    ];
    let (alignment, atomic, convert) = FORMS[usize::from(opcode - 0x28)];
    (memarg.first() == Some(&alignment)).then(|| {
        let mut bytes = vec![0xfe, atomic];
        bytes.extend(memarg);
        bytes.extend((convert != 0).then_some(convert));
        bytes
    })
}

/// Bytes of `range` with the edits made, which are in order.
fn splice(wasm: &[u8], range: Range<usize>, edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(range.len() + edits.len());
    let mut from = range.start;
    for (at, bytes) in edits {
        out.extend(&wasm[from..at.start]);
        out.extend(bytes);
        from = at.end;
    }
    out.extend(&wasm[from..range.end]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder as w;

    /// The operators of a function after [`rewrite`].
    fn rewritten(body: impl Fn(&mut w::InstructionSink<'_>)) -> Vec<String> {
        let mut function = w::Function::new([(2, w::ValType::I32)]);
        body(&mut function.instructions());
        let wasm = function.into_raw_body();
        let new = rewrite(&wasm, &FunctionBody::new(wasmparser::BinaryReader::new(&wasm, 0)), 0).unwrap();
        let operators = FunctionBody::new(wasmparser::BinaryReader::new(&new, 0)).get_operators_reader().unwrap();
        let name = |operator| format!("{operator:?}").split(' ').next().unwrap().to_string();
        operators.into_iter().map(|operator| name(operator.unwrap())).collect()
    }

    fn at(align: u32) -> w::MemArg {
        w::MemArg { offset: 1000, align, memory_index: 0 }
    }

    #[test]
    fn a_loop_that_only_reads_reads_each_time() {
        let out = rewritten(|i| {
            i.loop_(w::BlockType::Empty).block(w::BlockType::Empty);
            i.local_get(0).i32_load16_s(at(1)).br_if(1);
            i.i32_const(8).f64_load(at(3)).drop();
            i.end().end().end();
        });
        assert_eq!(out[3..5], ["I32AtomicLoad16U", "I32Extend16S"]);
        assert_eq!(out[7..9], ["I64AtomicLoad", "F64ReinterpretI64"]);
    }

    #[test]
    fn other_loads_stay() {
        let out = rewritten(|i| {
            i.local_get(0).i32_load(at(2)).drop();
            i.loop_(w::BlockType::Empty);
            // Not aligned; an address that changes; one that is not known.
            i.local_get(0).i32_load(at(0)).local_set(1);
            i.local_get(1).i32_load(at(2)).i32_load(at(2)).br_if(0);
            i.end();
            // A loop that stores, around one whose address it sets.
            i.loop_(w::BlockType::Empty).loop_(w::BlockType::Empty);
            i.local_get(0).local_set(1).end().local_get(0).i32_load(at(2)).drop();
            i.local_get(0).local_get(0).i32_store(at(2)).end().end();
        });
        assert!(!out.iter().any(|name| name.contains("Atomic")), "{out:?}");
    }

    #[test]
    fn atomic_stores_become_plain_behind_a_load() {
        let out = rewritten(|i| {
            i.local_get(0).i64_const(1).i64_atomic_store32(at(2));
            i.local_get(0).i32_const(1).i32_atomic_store(at(2)).end();
        });
        let fence = |value, store| ["LocalSet", "LocalTee", "I32AtomicLoad8U", "Drop", "LocalGet", value, store];
        assert_eq!(out[2..9], fence("LocalGet", "I64Store32"));
        assert_eq!(out[11..18], fence("LocalGet", "I32Store"));
    }

    #[test]
    fn wide_accesses_of_one_address_are_not_merged() {
        let out = rewritten(|i| {
            let wide = at(3);
            i.local_get(0).i64_load(wide).drop();
            i.local_get(0).i64_load(wide).drop();
            // What else is known: an arm that ends does not count, one that stores does.
            i.local_get(0).if_(w::BlockType::Empty).local_get(0).local_get(0).i32_store(at(2)).return_().end();
            i.local_get(0).f64_load(wide).drop();
            i.local_get(0).if_(w::BlockType::Empty).local_get(0).local_get(0).i32_store(at(2)).else_().end();
            i.i32_const(8).local_set(0).local_get(0).i64_load(wide).drop();
            // A store of what a store or load has made known.
            i.local_get(1).i64_const(1).i64_store(wide).local_get(1).i64_const(2).i64_store(wide).end();
        });
        let accesses: Vec<_> =
            out.iter().filter(|name| name.contains("Load") || name.starts_with("I64Store")).collect();
        let fence = "I32AtomicLoad8U";
        assert_eq!(accesses, ["I64Load", fence, "I64Load", fence, "F64Load", "I64Load", "I64Store", fence, "I64Store"]);
    }
}
