//! What object files say of their symbols and segments, and the little that is changed there: bits
//! of flags, in place.
//!
//! The section `linking` is described in `Linking.md` of WebAssembly's tool conventions.

use std::ops::Range;

use anyhow::{Context, Result};
use wasmparser::{BinaryReader, Parser, Payload};

const WEAK: u32 = 0x01;
const LOCAL: u32 = 0x02;
const UNDEFINED: u32 = 0x10;
const EXPLICIT_NAME: u32 = 0x40;
const NO_STRIP: u32 = 0x80;
/// Of a segment: it stays though nothing refers to it.
const RETAIN: u32 = 0x04;

const DATA: u8 = 1;
const SECTION: u8 = 3;
const SEGMENT_INFO: u8 = 5;
const SYMBOL_TABLE: u8 = 8;

/// A symbol of a function or of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a str,
    is_data: bool,
    flags: u32,
    /// Where the flags are in the file.
    at: usize,
    /// Of data that is defined: the segment, and how many bytes.
    segment: u32,
    pub(crate) size: u32,
}

impl Symbol<'_> {
    fn is_global(&self) -> bool {
        self.flags & (LOCAL | UNDEFINED) == 0
    }
}

/// The symbols of an object, and where the flags of each segment are.
#[derive(Debug, Default)]
struct Linking<'a> {
    symbols: Vec<Symbol<'a>>,
    segments: Vec<usize>,
}

/// Reads an object; of what is no object, nothing.
fn read(object: &[u8]) -> Result<Linking<'_>> {
    let mut linking = Linking::default();
    if !object.starts_with(b"\0asm") {
        return Ok(linking);
    }
    for payload in Parser::new(0).parse_all(object) {
        if let Payload::CustomSection(section) = payload?
            && section.name() == "linking"
        {
            let Range { end, .. } = section.range();
            let mut reader = BinaryReader::new(section.data(), end - section.data().len());
            reader.read_var_u32()?;
            while !reader.eof() {
                let (kind, size) = (reader.read_u8()?, reader.read_var_u32()?);
                let start = reader.original_position();
                let mut part = BinaryReader::new(reader.read_bytes(size as usize)?, start);
                match kind {
                    SYMBOL_TABLE => read_symbols(&mut part, &mut linking.symbols)?,
                    SEGMENT_INFO => {
                        for _ in 0..part.read_var_u32()? {
                            part.read_string()?;
                            part.read_var_u32()?;
                            linking.segments.push(part.original_position());
                            part.read_var_u32()?;
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(linking)
}

fn read_symbols<'a>(reader: &mut BinaryReader<'a>, symbols: &mut Vec<Symbol<'a>>) -> Result<()> {
    for _ in 0..reader.read_var_u32()? {
        let kind = reader.read_u8()?;
        let at = reader.original_position();
        let flags = reader.read_var_u32()?;
        let defined = flags & UNDEFINED == 0;
        let mut symbol = Symbol { name: "", is_data: kind == DATA, flags, at, segment: 0, size: 0 };
        match kind {
            DATA => {
                symbol.name = reader.read_string()?;
                if defined {
                    symbol.segment = reader.read_var_u32()?;
                    reader.read_var_u32()?;
                    symbol.size = reader.read_var_u32()?;
                }
            }
            SECTION => {
                reader.read_var_u32()?;
                continue;
            }
            _ => {
                reader.read_var_u32()?;
                if defined || flags & EXPLICIT_NAME != 0 {
                    symbol.name = reader.read_string()?;
                }
            }
        }
        symbols.push(symbol);
    }
    Ok(())
}

/// Sets bits of the flags at a place: of the first byte, whose seven lowest bits are theirs.
fn set(object: &mut [u8], at: usize, bits: u32) -> Result<()> {
    *object.get_mut(at).context("flags outside of the object")? |= bits as u8;
    Ok(())
}

/// The names of data that an object refers to and does not define.
pub(crate) fn undefined_data(object: &[u8]) -> Result<Vec<String>> {
    let symbols = read(object)?.symbols;
    Ok(symbols.iter().filter(|s| s.is_data && s.flags & UNDEFINED != 0).map(|s| s.name.to_owned()).collect())
}

/// The data that an object defines weakly, as `-fcommon` has it: names and sizes in bytes.
pub(crate) fn weak_data(object: &[u8]) -> Result<Vec<(String, u32)>> {
    let symbols = read(object)?.symbols;
    let weak = symbols.iter().filter(|s| s.is_data && s.is_global() && s.flags & WEAK != 0);
    Ok(weak.map(|s| (s.name.to_owned(), s.size)).collect())
}

/// Makes those definitions of functions and data weak that `which` picks by name: of several the
/// linker takes the first.
pub(crate) fn weaken(object: &mut [u8], which: impl Fn(&str) -> bool) -> Result<()> {
    let places: Vec<usize> =
        read(object)?.symbols.iter().filter(|s| s.is_global() && which(s.name)).map(|s| s.at).collect();
    places.into_iter().try_for_each(|at| set(object, at, WEAK))
}

/// Says again what `wasm-ld -r` leaves out: segments with data that is declared as used stay though
/// nothing refers to them.
pub(crate) fn retain(object: &mut [u8]) -> Result<()> {
    let linking = read(object)?;
    let used = linking.symbols.iter().filter(|s| s.is_data && s.flags & (UNDEFINED | NO_STRIP) == NO_STRIP);
    let places: Vec<usize> = used.filter_map(|s| linking.segments.get(s.segment as usize).copied()).collect();
    places.into_iter().try_for_each(|at| set(object, at, RETAIN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{DataSymbolDefinition, LinkingSection, Module, SymbolTable};

    fn object() -> Vec<u8> {
        let mut symbols = SymbolTable::new();
        let data = |index, size| DataSymbolDefinition { index, offset: 0, size };
        symbols.function(0, 0, Some("code"));
        symbols.data(0, "shared", Some(data(0, 4)));
        symbols.data(LOCAL | NO_STRIP, "entry", Some(data(1, 8)));
        symbols.data(UNDEFINED, "elsewhere", None);
        let mut linking = LinkingSection::new();
        linking.symbol_table(&symbols);
        let mut module = Module::new();
        module.section(&linking);
        // Segments: names, alignments, flags; the encoder has no such part.
        let mut data = module.finish();
        let segments = [&[SEGMENT_INFO, 15, 2, 4][..], b".bss", &[2, 0, 4], b"mods", &[2, 0]].concat();
        // One section at the end: its size is behind the eight bytes of the header and its number.
        data[9] += segments.len() as u8;
        data.extend(segments);
        data
    }

    #[test]
    fn tells_symbols() {
        let object = object();
        assert_eq!(undefined_data(&object).unwrap(), ["elsewhere"]);
        assert_eq!(weak_data(&object).unwrap(), []);
        assert_eq!(undefined_data(b"!<arch>\n").unwrap(), [""; 0]);
    }

    #[test]
    fn weakens_what_is_picked() {
        let mut object = object();
        weaken(&mut object, |name| name == "shared").unwrap();
        assert_eq!(weak_data(&object).unwrap(), [("shared".to_owned(), 4)]);
        let weak: Vec<_> = read(&object).unwrap().symbols.iter().map(|s| s.flags & WEAK).collect();
        assert_eq!(weak, [0, 1, 0, 0]);
    }

    #[test]
    fn retains_segments_of_used_data() {
        let mut object = object();
        retain(&mut object).unwrap();
        let flags: Vec<_> = read(&object).unwrap().segments.iter().map(|at| object[*at]).collect();
        assert_eq!(flags, [0, RETAIN as u8]);
    }
}
