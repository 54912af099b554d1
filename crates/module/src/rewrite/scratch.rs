//! Locals that rewritten code needs, and the sequences of instructions that use them.
use crate::{code::Edits, sections::number_length};
use wasm_encoder::Encode;
use wasmparser::{BinaryReaderError, FunctionBody};

/// Locals of our own, behind those of the function.
pub(super) struct Scratch {
    first: u32,
    /// Those that are used: an address, and a value of four types.
    used: [bool; 5],
}

impl Scratch {
    /// i32 for an address; i32, i64, f32 and f64 for a value.
    const TYPES: [u8; 5] = [0x7f, 0x7f, 0x7e, 0x7d, 0x7c];

    /// For a function with so many parameters.
    pub(super) fn new(body: &FunctionBody<'_>, parameters: u32) -> Result<Scratch, BinaryReaderError> {
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
        self.first.saturating_add(local as u32).encode(bytes);
    }

    /// A load, behind an atomic one of its address.
    pub(super) fn load(&mut self, opcode: u8, memarg: &[u8]) -> Vec<u8> {
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
    pub(super) fn store(&mut self, opcode: u8, memarg: &[u8]) -> Vec<u8> {
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

    /// Declares them, if one is used.
    pub(super) fn declare(
        &self,
        wasm: &[u8],
        body: &FunctionBody<'_>,
        edits: &mut Edits,
    ) -> Result<(), BinaryReaderError> {
        if !self.used.contains(&true) {
            return Ok(());
        }
        let count = body.get_locals_reader()?.get_count();
        let code = body.get_operators_reader()?.original_position();
        let start = body.range().start;
        let declared = &wasm[start..code];
        let mut bytes = Vec::new();
        count.saturating_add(Scratch::TYPES.len() as u32).encode(&mut bytes);
        bytes.extend(&declared[number_length(declared)..]);
        for ty in Scratch::TYPES {
            bytes.extend([1, ty]);
        }
        edits.replace(start..code, bytes);
        Ok(())
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
