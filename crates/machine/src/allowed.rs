//! What a program may use of WebAssembly: an allow-list of what compilers make of C, C++ and Rust.
//!
//! Everything else is refused, whether or not the engine could run it. What is allowed has been
//! thought through for this machine: interrupts come between any two instructions (`trap.rs`), and
//! instances are used again (`instance.rs`). Not allowed, with the reasons:
//! - tail calls: between the two functions the frame pointer is that of no frame;
//! - structures, arrays, external and typed function references: state of an instance, and
//!   references, that neither of the two files above knows how to find;
//! - changes of tables at run time: a table is as it was made;
//! - references to exceptions but in locals and on the stack, where `exceptions.rs` finds them.
use crate::ProgramError;
use wasmparser::{BlockType, ConstExpr, Operator, RefType, ValType, WasmFeatures};

/// Parameters of an exception, at most. They are 16 bytes at most: an exception fits into a chunk
/// of the heap (`exceptions.rs`) many times.
const TAG_PARAMETERS_MAX: usize = 64;

/// What the validator accepts. It knows no finer distinctions: the other functions here do.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::FLOATS
        | WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::SIMD
        | WasmFeatures::THREADS
        | WasmFeatures::EXCEPTIONS
}

fn refuse(what: &str) -> Result<(), ProgramError> {
    Err(ProgramError::NotAllowed(what.into()))
}

/// A number or a vector.
fn is_plain(ty: ValType) -> bool {
    !matches!(ty, ValType::Ref(_))
}

/// A value that lives outside of functions, or goes from one to another.
pub(crate) fn shared_value(ty: ValType) -> Result<(), ProgramError> {
    if is_plain(ty) { Ok(()) } else { refuse("a reference in a global or as a function's parameter") }
}

/// A value in a local, or on the stack of operands.
pub(crate) fn local_value(ty: ValType) -> Result<(), ProgramError> {
    if is_plain(ty) || ty == ValType::EXNREF { Ok(()) } else { refuse("a reference to other than an exception") }
}

/// A type of the type section; None if it is no function's.
pub(crate) fn function_type(ty: Option<&wasmparser::FuncType>) -> Result<(), ProgramError> {
    let Some(ty) = ty else { return refuse("a type other than a function's") };
    ty.params().iter().chain(ty.results()).try_for_each(|ty| local_value(*ty))
}

/// A function's own type, as opposed to a block's.
pub(crate) fn signature(ty: &wasmparser::FuncType) -> Result<(), ProgramError> {
    ty.params().iter().chain(ty.results()).try_for_each(|ty| shared_value(*ty))
}

/// The type of an exception's tag.
pub(crate) fn tag(ty: &wasmparser::FuncType) -> Result<(), ProgramError> {
    if ty.params().len() > TAG_PARAMETERS_MAX {
        return refuse("an exception of so many values");
    }
    signature(ty)
}

/// An export of a function by its exact type.
pub(crate) fn exact_export() -> Result<(), ProgramError> {
    refuse("an export by an exact type")
}

/// A table. Its entries come from segments alone.
pub(crate) fn table(table: &wasmparser::Table<'_>) -> Result<(), ProgramError> {
    let plain = matches!(table.init, wasmparser::TableInit::RefNull);
    if table.ty.element_type == RefType::FUNCREF && plain && !table.ty.table64 && !table.ty.shared {
        Ok(())
    } else {
        refuse("a table of other than functions")
    }
}

/// A segment of a table.
pub(crate) fn element(element: &wasmparser::Element<'_>) -> Result<(), ProgramError> {
    match &element.kind {
        wasmparser::ElementKind::Passive => return refuse("a passive segment of a table"),
        wasmparser::ElementKind::Active { offset_expr, .. } => constant(offset_expr)?,
        wasmparser::ElementKind::Declared => {}
    }
    match &element.items {
        wasmparser::ElementItems::Functions(_) => Ok(()),
        wasmparser::ElementItems::Expressions(RefType::FUNCREF, items) => {
            items.clone().into_iter().try_for_each(|item| constant(&item?))
        }
        wasmparser::ElementItems::Expressions(..) => refuse("a table of other than functions"),
    }
}

/// A constant expression.
pub(crate) fn constant(expression: &ConstExpr<'_>) -> Result<(), ProgramError> {
    for operator in expression.get_operators_reader() {
        match operator? {
            Operator::I32Const { .. }
            | Operator::I64Const { .. }
            | Operator::F32Const { .. }
            | Operator::F64Const { .. }
            | Operator::V128Const { .. }
            | Operator::GlobalGet { .. }
            | Operator::RefFunc { .. }
            | Operator::RefNull { .. }
            | Operator::I32Add
            | Operator::I32Sub
            | Operator::I32Mul
            | Operator::I64Add
            | Operator::I64Sub
            | Operator::I64Mul
            | Operator::End => {}
            other => return refuse(&format!("{other:?} in a constant")),
        }
    }
    Ok(())
}

/// Of the proposals as the parser groups instructions by them, those that are allowed as a whole.
macro_rules! whole {
    (mvp) => {
        true
    };
    (sign_extension) => {
        true
    };
    (saturating_float_to_int) => {
        true
    };
    (threads) => {
        true
    };
    (simd) => {
        true
    };
    (exceptions) => {
        true
    };
    ($other:ident) => {
        false
    };
}

/// Whether all of an instruction's proposal is allowed.
fn is_whole(operator: &Operator<'_>) -> bool {
    macro_rules! table {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            match operator {
                $(Operator::$op { .. } => whole!($proposal),)*
                _ => false,
            }
        };
    }
    wasmparser::for_each_operator!(table)
}

/// An instruction.
pub(crate) fn operator(operator: &Operator<'_>) -> Result<(), ProgramError> {
    match operator {
        Operator::Block { blockty }
        | Operator::Loop { blockty }
        | Operator::If { blockty }
        | Operator::TryTable { try_table: wasmparser::TryTable { ty: blockty, .. } } => match blockty {
            BlockType::Type(ty) => local_value(*ty),
            // A type of the type section.
            BlockType::Empty | BlockType::FuncType(_) => Ok(()),
        },
        Operator::MemoryInit { .. }
        | Operator::MemoryCopy { .. }
        | Operator::MemoryFill { .. }
        | Operator::DataDrop { .. }
        // To see whether a pointer is a function's (libc, `catching.c`).
        | Operator::TableSize { .. }
        | Operator::TableGet { .. }
        | Operator::RefIsNull => Ok(()),
        Operator::TypedSelect { ty } => shared_value(*ty),
        operator if is_whole(operator) => Ok(()),
        other => {
            let name = format!("{other:?}");
            let name = name.split([' ', '{', '(']).next().unwrap_or_default();
            refuse(&format!("the instruction {name}"))
        }
    }
}
