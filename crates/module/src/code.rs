//! A function's instructions, and changes of them in place.
use crate::OffsetMap;
use std::ops::Range;
use wasmparser::{BinaryReaderError, FunctionBody, Operator, OperatorsReader};

/// An instruction, and where its bytes are in the module.
pub struct Instruction<'a> {
    /// What it is.
    pub operator: Operator<'a>,
    /// Offsets in the module, or whatever the function's body was read from.
    pub range: Range<usize>,
}

/// The instructions of a function in their order, the final `end` too.
pub struct Instructions<'a> {
    reader: OperatorsReader<'a>,
    failed: bool,
}

/// Goes through a function's instructions. After an error come no more.
///
/// # Errors
/// If the declarations of locals before them are malformed.
pub fn instructions<'a>(body: &FunctionBody<'a>) -> Result<Instructions<'a>, BinaryReaderError> {
    Ok(Instructions { reader: body.get_operators_reader()?, failed: false })
}

impl Instructions<'_> {
    /// Checks that nothing is open after the last one.
    ///
    /// # Errors
    /// If something is, or not all instructions were read.
    pub fn finish(&self) -> Result<(), BinaryReaderError> {
        self.reader.finish()
    }
}

impl<'a> Iterator for Instructions<'a> {
    type Item = Result<Instruction<'a>, BinaryReaderError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.eof() {
            return None;
        }
        let start = self.reader.original_position();
        let operator = self.reader.read();
        self.failed = operator.is_err();
        Some(operator.map(|operator| Instruction { operator, range: start..self.reader.original_position() }))
    }
}

/// Bytes to put in the place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    range: Range<usize>,
    bytes: Vec<u8>,
}

/// Changes of a function's bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    edits: Vec<Edit>,
}

impl Edits {
    /// Puts `bytes` in the place of those in `range`, offsets in the module. An empty range is a
    /// place between two instructions. Ranges must not overlap; they may come in any order, and
    /// what is put before an instruction stays before what is put in its place.
    pub fn replace(&mut self, range: Range<usize>, bytes: Vec<u8>) {
        self.edits.push(Edit { range, bytes });
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The bytes of `wasm` in `range` with the changes made.
    ///
    /// # Panics
    /// If `range` is not in `wasm`, or a change is not in `range`.
    pub fn apply(self, wasm: &[u8], range: Range<usize>) -> Vec<u8> {
        let mut out = Vec::with_capacity(range.len() + self.edits.len());
        self.write(wasm, range, &mut out, &mut OffsetMap::default());
        out
    }

    /// Appends the bytes of `wasm` in `range` with the changes made, and tells `offsets` where they
    /// are in `out`.
    pub(crate) fn write(mut self, wasm: &[u8], range: Range<usize>, out: &mut Vec<u8>, offsets: &mut OffsetMap) {
        self.edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
        let mut from = range.start;
        for edit in &self.edits {
            offsets.copied(from..edit.range.start, out.len());
            out.extend(&wasm[from..edit.range.start]);
            offsets.replaced(edit.range.start, out.len());
            out.extend(&edit.bytes);
            from = edit.range.end;
        }
        offsets.copied(from..range.end, out.len());
        out.extend(&wasm[from..range.end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_in_order() {
        let mut edits = Edits::default();
        assert!(edits.is_empty());
        edits.replace(6..7, b"six".to_vec());
        edits.replace(3..5, vec![]);
        edits.replace(6..6, b"<".to_vec());
        assert_eq!(edits.apply(b"0123456789", 2..9), b"25<six78");
    }

    #[test]
    fn instructions_have_their_bytes() {
        // No locals; i32.const 300, drop, end.
        let body = [0, 0x41, 0xac, 2, 0x1a, 0x0b];
        let body = FunctionBody::new(wasmparser::BinaryReader::new(&body, 100));
        let mut walk = instructions(&body).unwrap();
        let ranges: Vec<_> = walk.by_ref().map(|instruction| instruction.unwrap().range).collect();
        assert_eq!(ranges, [101..104, 104..105, 105..106]);
        walk.finish().unwrap();
    }

    #[test]
    fn after_an_error_there_is_no_more() {
        let body = [0, 0xff, 0x0b];
        let mut walk = instructions(&FunctionBody::new(wasmparser::BinaryReader::new(&body, 0))).unwrap();
        assert!(walk.next().is_some_and(|instruction| instruction.is_err()));
        assert!(walk.next().is_none());
        assert!(walk.finish().is_err());
    }
}
