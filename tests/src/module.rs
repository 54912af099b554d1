//! Modules of WebAssembly by the byte: what no compiler would make, for the tests of hostile
//! programs.

/// A module under construction: sections in the order of the binary format.
#[derive(Clone, Default)]
pub struct Module {
    sections: Vec<(u8, Vec<u8>)>,
}

/// Sections' numbers (WebAssembly core specification, 5.5.2).
#[allow(missing_docs, reason = "the specification's names")]
pub mod section {
    pub const TYPE: u8 = 1;
    pub const IMPORT: u8 = 2;
    pub const FUNCTION: u8 = 3;
    pub const TABLE: u8 = 4;
    pub const MEMORY: u8 = 5;
    pub const GLOBAL: u8 = 6;
    pub const EXPORT: u8 = 7;
    pub const START: u8 = 8;
    pub const CODE: u8 = 10;
    pub const DATA: u8 = 11;
}

/// A number in LEB128, without a sign.
pub fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// `i32.const`.
pub fn constant(value: i32) -> Vec<u8> {
    let mut bytes = vec![0x41];
    let mut value = i64::from(value);
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        let sign = byte & 0x40 != 0;
        if (value == 0 && !sign) || (value == -1 && sign) {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// A name: its length and bytes.
pub fn name(text: &str) -> Vec<u8> {
    [number(text.len() as u64), text.as_bytes().to_vec()].concat()
}

/// A function's body, without local variables unless `locals` declares some.
pub fn body(locals: &[u8], code: &[u8]) -> Vec<u8> {
    let inside = [locals, code, &[0x0b]].concat();
    [number(inside.len() as u64), inside].concat()
}

impl Module {
    /// An empty module.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a section to these entries, each encoded.
    pub fn section(mut self, id: u8, entries: &[Vec<u8>]) -> Self {
        let content = [number(entries.len() as u64), entries.concat()].concat();
        self.sections.retain(|(other, _)| *other != id);
        self.sections.push((id, content));
        self
    }

    /// Sets a section to these bytes.
    pub fn raw(mut self, id: u8, content: Vec<u8>) -> Self {
        self.sections.retain(|(other, _)| *other != id);
        self.sections.push((id, content));
        self
    }

    /// The smallest program for WasmLinux: `_start`, function 2 of type 1, is `code`. Function 0 is
    /// the system call, function 1 a spare one, of type 2: `() → ()`, with `spare` as its body.
    pub fn program(code: &[u8], spare: Vec<u8>) -> Self {
        let global = |mutable: u8, value: i32| [&[0x7f, mutable][..], &constant(value), &[0x0b]].concat();
        let export = |text: &str, kind: u8, index: u8| [name(text), vec![kind, index]].concat();
        Self::new()
            .section(
                section::TYPE,
                &[
                    vec![0x60, 7, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f],
                    vec![0x60, 1, 0x7f, 0],
                    vec![0x60, 0, 0],
                ],
            )
            .section(
                section::IMPORT,
                &[
                    [name("env"), name("memory"), vec![2, 1], number(2), number(65536)].concat(),
                    [name("linux"), name("syscall"), vec![0, 0]].concat(),
                ],
            )
            .section(section::FUNCTION, &[vec![2], vec![1]])
            .section(section::TABLE, &[vec![0x70, 0, 1]])
            .section(section::GLOBAL, &[global(1, 0), global(1, 0), global(1, 0), global(0, 131_072)])
            .section(
                section::EXPORT,
                &[
                    export("_start", 0, 2),
                    export("__indirect_function_table", 1, 0),
                    export("__stack_pointer", 3, 0),
                    export("__wasm_tp", 3, 1),
                    export("__tls_base", 3, 2),
                    export("__heap_base", 3, 3),
                ],
            )
            .section(section::CODE, &[spare, body(&[0], code)])
    }

    /// Code that ends the process with this status: `exit_group`, 94 in Linux's generic table.
    pub fn exit(status: i32) -> Vec<u8> {
        let zeros = constant(0).repeat(5);
        [constant(94), constant(status), zeros, vec![0x10, 0, 0x1a]].concat()
    }

    /// The module's bytes.
    pub fn bytes(mut self) -> Vec<u8> {
        self.sections.sort_by_key(|(id, _)| *id);
        let sections = self
            .sections
            .iter()
            .map(|(id, content)| [vec![*id], number(content.len() as u64), content.clone()].concat());
        [b"\0asm\x01\0\0\0".to_vec(), sections.collect::<Vec<_>>().concat()].concat()
    }
}
