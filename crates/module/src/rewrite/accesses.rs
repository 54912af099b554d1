//! Memory accesses of a program, in the form in which the engine's compiler keeps what they mean.
//!
//! By the facts of the module above,
//! - a load in a loop that neither stores nor calls, of an address that stays the same, becomes an
//!   atomic load, which costs the same and is made anew each time;
//! - an atomic store becomes a plain one behind an atomic load of a byte of its address: no other
//!   processor could see stores in another order, and to the compiler memory changes at the load,
//!   so it neither leaves out nor merges accesses on its two sides;
//! - so it is with a load or store of eight bytes of an address that was accessed before, with
//!   nothing between that could change memory (`known.rs`).
//!
//! Instructions are told by their bytes (WebAssembly specification, section 5.4, and the proposal
//! of threads).

use super::{
    known::{Known, Operand},
    scratch::Scratch,
};
use crate::code::{Edits, Instruction, instructions};
use std::{collections::HashSet, ops::Range};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// The operand of a load, as far as the instruction before tells.
type Address = Option<Operand>;

/// A loop that is open; at the bottom of all, the function.
#[derive(Default)]
struct Loop {
    /// It stores, calls, or does what else the compiler takes for a change of memory.
    changes: bool,
    /// Locals that are set in it to what is not a constant.
    sets: HashSet<u32>,
    /// Loads in it, and in no loop within: where they are, and what may take their place.
    loads: Vec<(Address, Range<usize>, Vec<u8>)>,
}

/// What is to be changed of the body of a function of `wasm`, with so many parameters.
pub(crate) fn edits(wasm: &[u8], body: &FunctionBody<'_>, parameters: u32) -> Result<Edits, BinaryReaderError> {
    let mut edits = Edits::default();
    let mut loops = vec![Loop::default()];
    // Of each structure that is open, whether it is a loop.
    let mut structures = Vec::new();
    let mut known = Known::new();
    let mut scratch = Scratch::new(body, parameters)?;
    // What the last instruction left, and the one before it.
    let (mut before, mut earlier) = (None, None);
    for instruction in instructions(body)? {
        let Instruction { operator, range: at } = instruction?;
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
                        edits.replace(at, scratch.load(*opcode, memarg));
                    } else if let Some(bytes) = atomic_load(*opcode, memarg)
                        && address.is_some()
                    {
                        within.loads.push((address, at, bytes));
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
                        edits.replace(at, scratch.store(*opcode, memarg));
                    }
                }
                [0xfe, opcode @ 0x17..=0x1d, memarg @ ..] => {
                    const PLAIN: [u8; 7] = [0x36, 0x37, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e];
                    edits.replace(at, scratch.store(PLAIN[usize::from(opcode - 0x17)], memarg));
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
    scratch.declare(wasm, body, &mut edits)?;
    Ok(edits)
}

/// The offset of a memory operand, which is behind its alignment.
fn offset(memarg: &[u8]) -> u64 {
    memarg.iter().skip(1).rev().fold(0, |offset, byte| offset << 7 | u64::from(byte & 0x7f))
}

/// Decides upon the loads of a loop. One that stays as it is here stays so in the loops around this
/// one, which set and change as much at the least.
fn close(mut ended: Loop, outer: Option<&mut Loop>, edits: &mut Edits) {
    if !ended.changes {
        ended
            .loads
            .retain(|(address, ..)| !matches!(address, Some(Operand::Local(local)) if ended.sets.contains(local)));
        for (_, at, bytes) in ended.loads {
            edits.replace(at, bytes);
        }
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
    /// Of the opcodes from i32.load on: log2 of the alignment, the atomic opcode, and an
    /// instruction that converts its result (0: none).
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

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder as w;

    /// The operators of a function after its [`edits`].
    fn rewritten(body: impl Fn(&mut w::InstructionSink<'_>)) -> Vec<String> {
        let mut function = w::Function::new([(2, w::ValType::I32)]);
        body(&mut function.instructions());
        let wasm = function.into_raw_body();
        let edits = edits(&wasm, &FunctionBody::new(wasmparser::BinaryReader::new(&wasm, 0)), 0).unwrap();
        let new = edits.apply(&wasm, 0..wasm.len());
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
