//! Sections of a module, as they are taken over into another.
use crate::{Error, ErrorKind};
use wasm_encoder::{Encode, Module, RawSection};
use wasmparser::{BinaryReaderError, ImportSectionReader, Payload, TypeRef};

/// The content of a payload's section, with the section's number. None if the payload is no
/// section, or a part of one.
///
/// # Errors
/// If `wasm`, in which the payload is, ends before the section does: the parser tells where a
/// section ends before it has seen that much.
pub fn content<'a>(wasm: &'a [u8], payload: &Payload<'_>) -> Result<Option<(u8, &'a [u8])>, Error> {
    let Some((id, range)) = payload.as_section() else { return Ok(None) };
    let start = range.start;
    match wasm.get(range) {
        Some(content) => Ok(Some((id, content))),
        None => Err(Error::from(ErrorKind::Truncated).at(start)),
    }
}

/// Appends the section of a payload to a module as it is; payloads that are no section are nothing.
///
/// # Errors
/// As [`content`].
pub fn copy(out: &mut Module, wasm: &[u8], payload: &Payload<'_>) -> Result<(), Error> {
    if let Some((id, data)) = content(wasm, payload)? {
        out.section(&RawSection { id, data });
    }
    Ok(())
}

/// The content of a section that an encoder has made: what follows its length.
pub fn encoded(section: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    bytes.split_off(number_length(&bytes))
}

/// How many bytes the LEB128 number takes with which `bytes` begin.
pub fn number_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| byte & 0x80 == 0).map_or(0, |last| last + 1)
}

/// How many functions are imported: so many come before the module's own.
///
/// # Errors
/// If the section is malformed.
pub fn imported_functions(section: ImportSectionReader<'_>) -> Result<u32, BinaryReaderError> {
    let mut count = 0;
    for import in section.into_imports() {
        count += u32::from(matches!(import?.ty, TypeRef::Func(_)));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::Parser;

    #[test]
    fn what_is_copied_is_the_same() {
        let wasm = wat::parse_str(r#"(module (import "a" "b" (func)) (func nop) (@custom "c" "d"))"#).unwrap();
        let mut out = Module::new();
        for payload in Parser::new(0).parse_all(&wasm) {
            copy(&mut out, &wasm, &payload.unwrap()).unwrap();
        }
        assert_eq!(out.finish(), wasm);
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let wasm = wat::parse_str("(module (func nop))").unwrap();
        let start = Parser::new(0).parse_all(&wasm).find_map(|payload| match payload.unwrap() {
            payload @ Payload::CodeSectionStart { .. } => Some(payload),
            _ => None,
        });
        let error = content(&wasm[..wasm.len() - 1], &start.unwrap()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Truncated), "{error}");
    }

    #[test]
    fn numbers_have_lengths() {
        assert_eq!([&[5][..], &[0x80, 0], &[0xff, 0xff, 3, 9], &[0x80], &[]].map(number_length), [1, 2, 3, 0, 0]);
    }
}
