//! Why a module is refused.
use std::fmt;
use wasmparser::BinaryReaderError;

/// Why a module is refused, and where in its file.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    offset: Option<usize>,
}

/// Why a module is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It is damaged, or no WebAssembly.
    #[error("not a valid WebAssembly module: {}", .0.message())]
    Malformed(#[source] BinaryReaderError),
    /// It ends in the middle of a section.
    #[error("not a valid WebAssembly module: it is cut off")]
    Truncated,
    /// It is a component.
    #[error("not a valid WebAssembly module: a component, not a module")]
    Component,
    /// It names a type that it does not have.
    #[error("not a valid WebAssembly module: it has no type {0}")]
    UnknownType(u32),
    /// It defines a memory.
    #[error("not a valid WebAssembly module: it has a memory of its own, where it must import env.memory")]
    OwnMemory,
    /// It exports what only the machine may.
    #[error("not a valid WebAssembly module: it exports {0}, which is the machine's")]
    ReservedExport(String),
    /// It uses of WebAssembly what compilers do not make of C, C++ and Rust.
    #[error("it uses what programs may not: {0}")]
    NotAllowed(Forbidden),
    /// It imports what this system does not have.
    #[error("unknown import {module}.{name}: not a program for WasmLinux (build it with wasmlinux-cc)")]
    Import {
        /// Module name of the import.
        module: String,
        /// Name of the import.
        name: String,
    },
    /// It lacks an export that every program has.
    #[error("no export {0}: not a program for WasmLinux (build it with wasmlinux-cc)")]
    MissingExport(&'static str),
    /// It exceeds a limit.
    #[error("{what}: {value}, of at most {limit}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much the module has.
        value: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// A kernel has data that is not to be written to a constant address when it boots.
    #[error("not a valid WebAssembly module: a kernel has active data segments at constant addresses only")]
    KernelData,
    /// A kernel's instances differ in more than one global, or not in the right one.
    #[error("not a valid WebAssembly module: a kernel has one variable global, its exported {0}")]
    KernelGlobals(&'static str),
}

/// What of WebAssembly programs may not use. `allowed.rs` has the reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// An instruction, by its name in the parser.
    #[error("the instruction {0}")]
    Instruction(String),
    /// An instruction in a constant expression, by its name in the parser.
    #[error("{0} in a constant")]
    Constant(String),
    /// A reference that lives outside of a function.
    #[error("a reference in a global or as a function's parameter")]
    SharedReference,
    /// A reference to a function or to the host's.
    #[error("a reference to other than an exception")]
    Reference,
    /// A structure or an array.
    #[error("a type other than a function's")]
    Type,
    /// An exception with more values than are allowed.
    #[error("an exception of so many values")]
    LargeException,
    /// An export of a function by its exact type.
    #[error("an export by an exact type")]
    ExactExport,
    /// A table of other than functions, or one with 64-bit indices.
    #[error("a table of other than functions")]
    Table,
    /// A segment that would change a table at run time.
    #[error("a passive segment of a table")]
    PassiveElements,
}

impl Error {
    /// Why the module is refused.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The kind alone.
    pub fn into_kind(self) -> ErrorKind {
        self.kind
    }

    /// Where in its file the reason is, in bytes, if it is at one place.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// The same at this place, unless it has one.
    pub(crate) fn at(mut self, offset: usize) -> Error {
        self.offset.get_or_insert(offset);
        self
    }

    /// The same with its place translated.
    pub(crate) fn translated(mut self, translate: impl FnOnce(usize) -> Option<usize>) -> Error {
        self.offset = self.offset.and_then(translate);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.offset {
            Some(offset) => write!(f, " (at offset 0x{offset:x})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error { kind, offset: None }
    }
}

impl From<BinaryReaderError> for Error {
    fn from(error: BinaryReaderError) -> Error {
        let offset = Some(error.offset());
        Error { kind: ErrorKind::Malformed(error), offset }
    }
}

/// Puts a place to an error that has none.
pub(crate) trait At<T> {
    /// The error is at this offset of the file.
    fn at(self, offset: usize) -> Result<T, Error>;
}

impl<T> At<T> for Result<T, Error> {
    fn at(self, offset: usize) -> Result<T, Error> {
        self.map_err(|error| error.at(offset))
    }
}

/// An error that names what there is too much of.
pub(crate) fn limit(what: &'static str, value: u64, limit: u64) -> Result<(), Error> {
    if value > limit { Err(ErrorKind::Limit { what, value, limit }.into()) } else { Ok(()) }
}
