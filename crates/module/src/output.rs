//! The module that is made of another: its sections in their order, and what came from where.
use crate::{Error, OffsetMap, sections};
use std::borrow::Cow;
use wasm_encoder::{Module, RawSection, Section, SectionId};
use wasmparser::Payload;

/// A module under construction.
pub(crate) struct Output<'a> {
    wasm: &'a [u8],
    sections: Vec<Part<'a>>,
}

struct Part<'a> {
    id: u8,
    content: Cow<'a, [u8]>,
    /// From the file to the content.
    offsets: OffsetMap,
}

impl Part<'_> {
    fn new(section: &impl Section) -> Part<'static> {
        Part { id: section.id(), content: sections::encoded(section).into(), offsets: OffsetMap::default() }
    }
}

impl<'a> Output<'a> {
    /// Nothing yet of what is made of `wasm`.
    pub(crate) fn new(wasm: &'a [u8]) -> Output<'a> {
        Output { wasm, sections: Vec::new() }
    }

    /// Takes the section of a payload over as it is.
    pub(crate) fn copy(&mut self, payload: &Payload<'_>) -> Result<(), Error> {
        if let Some((id, content)) = sections::content(self.wasm, payload)? {
            let mut offsets = OffsetMap::default();
            offsets.copied(payload.as_section().unwrap_or_default().1, 0);
            self.sections.push(Part { id, content: content.into(), offsets });
        }
        Ok(())
    }

    /// Appends a section.
    pub(crate) fn put(&mut self, section: &impl Section) {
        self.sections.push(Part::new(section));
    }

    /// Appends the code, a section's content.
    pub(crate) fn put_code(&mut self, content: Vec<u8>, offsets: OffsetMap) {
        self.sections.push(Part { id: SectionId::Code.into(), content: content.into(), offsets });
    }

    /// Puts in what is known only when all has been seen: the exports, and a memory.
    pub(crate) fn insert(&mut self, exports: &impl Section, memory: Option<&impl Section>) {
        // Before these come custom sections, type, import, function and table; then tag and global.
        const BEFORE_MEMORY: [u8; 5] = [0, 1, 2, 3, 4];
        const BEFORE_EXPORTS: [u8; 7] = [0, 1, 2, 3, 4, 13, 6];
        let place = |before: &[u8]| {
            let place = self.sections.iter().position(|part| !before.contains(&part.id));
            place.unwrap_or(self.sections.len())
        };
        let (at_memory, at_exports) = (place(&BEFORE_MEMORY), place(&BEFORE_EXPORTS));
        self.sections.insert(at_exports, Part::new(exports));
        if let Some(memory) = memory {
            self.sections.insert(at_memory, Part::new(memory));
        }
    }

    /// The module, and what in it came from where.
    pub(crate) fn finish(self) -> (Vec<u8>, OffsetMap) {
        let mut out = Module::new();
        let mut offsets = OffsetMap::default();
        for Part { id, content, offsets: of_section } in self.sections {
            out.section(&RawSection { id, data: &content });
            offsets.append(&of_section, out.len() - content.len());
        }
        (out.finish(), offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{ExportSection, MemorySection};
    use wasmparser::Parser;

    /// The sections' numbers after memory and exports were put in.
    fn order(text: &str) -> Vec<u8> {
        let wasm = wat::parse_str(text).unwrap();
        let mut out = Output::new(&wasm);
        for payload in Parser::new(0).parse_all(&wasm) {
            out.copy(&payload.unwrap()).unwrap();
        }
        out.insert(&ExportSection::new(), Some(&MemorySection::new()));
        out.sections.iter().map(|part| part.id).collect()
    }

    #[test]
    fn memory_and_exports_have_their_places() {
        assert_eq!(order("(module)"), [5, 7]);
        assert_eq!(order("(module (func))"), [1, 3, 5, 7, 10]);
        assert_eq!(order("(module (table 1 funcref) (tag) (global i32 (i32.const 0)))"), [1, 4, 5, 13, 6, 7]);
        assert_eq!(order("(module (func) (start 0) (data \"x\"))"), [1, 3, 5, 7, 8, 10, 11]);
    }

    #[test]
    fn offsets_are_those_of_the_bytes() {
        let wasm = wat::parse_str("(module (func i32.const 7 drop) (func nop))").unwrap();
        let mut out = Output::new(&wasm);
        for payload in Parser::new(0).parse_all(&wasm) {
            out.copy(&payload.unwrap()).unwrap();
        }
        out.insert(&ExportSection::new(), Some(&MemorySection::new()));
        let (new, offsets) = out.finish();
        let moved = (0..wasm.len()).filter_map(|at| Some((wasm[at], new[offsets.to_engine(at)?])));
        let moved: Vec<_> = moved.collect();
        assert!(moved.len() > 10 && moved.iter().all(|(old, new)| old == new), "{moved:?}");
    }
}
