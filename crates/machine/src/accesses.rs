//! Memory accesses of a program, in the form in which the engine's compiler keeps what they mean here.
//!
//! The compiler (Cranelift) takes memory to change by the function's own stores and by calls only. Here a handler or another
//! thread changes it between any two instructions, as one processor runs them all. So
//! - a load in a loop that neither stores nor calls, of an address that stays the same, becomes an atomic load, which costs the
//!   same and is made anew each time;
//! - an atomic store becomes a plain one: no other processor could see stores in another order, and the compiler neither drops
//!   nor moves a store that may trap.
//!
//! Instructions are told by their bytes (WebAssembly specification, section 5.4, and the proposal of threads).

use std::{collections::HashSet, ops::Range};
use wasmparser::{BinaryReaderError, FunctionBody, Operator};

/// An instruction and the bytes to put in its place.
type Edit = (Range<usize>, Vec<u8>);

/// The operand of a load, as far as the instruction before tells.
#[derive(Clone, Copy, PartialEq)]
enum Address {
    Unknown,
    Constant,
    Local(u32),
}

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

/// The body of a function of `wasm` in that form.
pub(crate) fn rewrite(wasm: &[u8], body: &FunctionBody<'_>) -> Result<Vec<u8>, BinaryReaderError> {
    let mut edits = Vec::new();
    let mut loops = vec![Loop::default()];
    // Of each structure that is open, whether it is a loop.
    let mut structures = Vec::new();
    let mut before = Address::Unknown;
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let start = operators.original_position();
        let operator = operators.read()?;
        let at = start..operators.original_position();
        let address = std::mem::replace(&mut before, Address::Unknown);
        let Some(within) = loops.last_mut() else { break };
        match operator {
            Operator::I32Const { .. } => before = Address::Constant,
            Operator::LocalGet { local_index } => before = Address::Local(local_index),
            Operator::LocalSet { local_index } if address != Address::Constant => {
                within.sets.insert(local_index);
            }
            Operator::LocalTee { local_index } => {
                within.sets.insert(local_index);
            }
            Operator::Loop { .. } => {
                structures.push(true);
                loops.push(Loop::default());
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                structures.push(false);
            }
            // The function's own has no beginning.
            Operator::End if structures.pop() == Some(true) => {
                let ended = loops.pop().unwrap_or_default();
                close(ended, loops.last_mut(), &mut edits);
            }
            Operator::End => {}
            _ => match &wasm[at.clone()] {
                [opcode @ 0x28..=0x35, memarg @ ..] => {
                    if let Some(bytes) = atomic_load(*opcode, memarg)
                        && address != Address::Unknown
                    {
                        within.loads.push((address, (at, bytes)));
                    }
                }
                [0xfe, opcode @ 0x17..=0x1d, memarg @ ..] => {
                    const PLAIN: [u8; 7] = [0x36, 0x37, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e];
                    let mut bytes = vec![PLAIN[usize::from(opcode - 0x17)]];
                    bytes.extend(memarg);
                    edits.push((at, bytes));
                    within.changes = true;
                }
                // Calls; stores; memory.grow; bulk memory; vectors (some of which store); atomic ones.
                [0x10..=0x15 | 0x36..=0x3e | 0x40 | 0xfc..=0xfe, ..] => within.changes = true,
                _ => {}
            },
        }
    }
    edits.sort_by_key(|(at, _)| at.start);
    Ok(splice(wasm, body.range(), &edits))
}

/// Decides upon the loads of a loop. One that stays as it is here stays so in the loops around this one, which set and change
/// as much at the least.
fn close(mut ended: Loop, outer: Option<&mut Loop>, edits: &mut Vec<Edit>) {
    if !ended.changes {
        ended.loads.retain(|(address, _)| !matches!(address, Address::Local(local) if ended.sets.contains(local)));
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
        let new = rewrite(&wasm, &FunctionBody::new(wasmparser::BinaryReader::new(&wasm, 0))).unwrap();
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
    fn atomic_stores_become_plain() {
        let out = rewritten(|i| {
            i.local_get(0).i64_const(1).i64_atomic_store32(at(2));
            i.local_get(0).i32_const(1).i32_atomic_store(at(2)).end();
        });
        assert_eq!((&*out[2], &*out[5]), ("I64Store32", "I32Store"));
    }
}
