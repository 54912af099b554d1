//! What a program may use of WebAssembly: an allow-list of what compilers make of C, C++ and Rust.
//!
//! Everything else is refused, whether or not the engine could run it. What is allowed has been
//! thought through for this machine (files of `crates/machine`): interrupts come between any two
//! instructions (`trap/`), and instances are used again (`cpu/store.rs`). Not allowed, with the
//! reasons:
//! - tail calls: between the two functions the frame pointer is that of no frame;
//! - structures, arrays, external and typed function references: state of an instance, and
//!   references, that neither of the two files above knows how to find;
//! - changes of tables at run time: a table is as it was made;
//! - references to exceptions but in locals and on the stack, where `exceptions.rs` finds them.
use crate::{Error, ErrorKind, Forbidden};
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

fn refuse(what: Forbidden) -> Result<(), Error> {
    Err(ErrorKind::NotAllowed(what).into())
}

/// An instruction's name in the parser.
fn name(operator: &Operator<'_>) -> String {
    let text = format!("{operator:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().into()
}

/// A number or a vector.
fn is_plain(ty: ValType) -> bool {
    !matches!(ty, ValType::Ref(_))
}

/// A value that lives outside of functions, or goes from one to another.
pub(crate) fn shared_value(ty: ValType) -> Result<(), Error> {
    if is_plain(ty) { Ok(()) } else { refuse(Forbidden::SharedReference) }
}

/// A value in a local, or on the stack of operands.
pub(crate) fn local_value(ty: ValType) -> Result<(), Error> {
    if is_plain(ty) || ty == ValType::EXNREF { Ok(()) } else { refuse(Forbidden::Reference) }
}

/// A type of the type section; None if it is no function's.
pub(crate) fn function_type(ty: Option<&wasmparser::FuncType>) -> Result<(), Error> {
    let Some(ty) = ty else { return refuse(Forbidden::Type) };
    ty.params().iter().chain(ty.results()).try_for_each(|ty| local_value(*ty))
}

/// A function's own type, as opposed to a block's.
pub(crate) fn signature(ty: &wasmparser::FuncType) -> Result<(), Error> {
    ty.params().iter().chain(ty.results()).try_for_each(|ty| shared_value(*ty))
}

/// The type of an exception's tag.
pub(crate) fn tag(ty: &wasmparser::FuncType) -> Result<(), Error> {
    if ty.params().len() > TAG_PARAMETERS_MAX {
        return refuse(Forbidden::LargeException);
    }
    signature(ty)
}

/// An export of a function by its exact type.
pub(crate) fn exact_export() -> Result<(), Error> {
    refuse(Forbidden::ExactExport)
}

/// A table. Its entries come from segments alone.
pub(crate) fn table(table: &wasmparser::Table<'_>) -> Result<(), Error> {
    let plain = matches!(table.init, wasmparser::TableInit::RefNull);
    if table.ty.element_type == RefType::FUNCREF && plain && !table.ty.table64 && !table.ty.shared {
        Ok(())
    } else {
        refuse(Forbidden::Table)
    }
}

/// A segment of a table.
pub(crate) fn element(element: &wasmparser::Element<'_>) -> Result<(), Error> {
    match &element.kind {
        wasmparser::ElementKind::Passive => return refuse(Forbidden::PassiveElements),
        wasmparser::ElementKind::Active { offset_expr, .. } => constant(offset_expr)?,
        wasmparser::ElementKind::Declared => {}
    }
    match &element.items {
        wasmparser::ElementItems::Functions(_) => Ok(()),
        wasmparser::ElementItems::Expressions(RefType::FUNCREF, items) => {
            items.clone().into_iter().try_for_each(|item| constant(&item?))
        }
        wasmparser::ElementItems::Expressions(..) => refuse(Forbidden::Table),
    }
}

/// A constant expression.
pub(crate) fn constant(expression: &ConstExpr<'_>) -> Result<(), Error> {
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
            other => return refuse(Forbidden::Constant(name(&other))),
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
pub(crate) fn operator(operator: &Operator<'_>) -> Result<(), Error> {
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
        other => refuse(Forbidden::Instruction(name(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    /// What a program with these fields uses that it may not; None if it is taken.
    fn forbidden(fields: &str) -> Option<Forbidden> {
        let text =
            format!(r#"(module (import "env" "memory" (memory 1)) (func (export "_start") (param i32)) {fields})"#);
        match check(&wat::parse_str(text).unwrap()).map_err(crate::Error::into_kind) {
            Ok(_) => None,
            Err(ErrorKind::NotAllowed(what)) => Some(what),
            Err(other) => panic!("{fields}: {other}"),
        }
    }

    #[test]
    fn what_compilers_make_is_allowed() {
        for fields in [
            "(func (result i32 i64) i32.const 1 i32.extend8_s i64.const 2)",
            "(func f64.const 1 i32.trunc_sat_f64_s drop)",
            "(func (param v128) local.get 0 i32x4.extract_lane 0 drop)",
            "(func i32.const 0 i32.const 1 i32.atomic.rmw.add drop atomic.fence)",
            "(func i32.const 0 i32.const 0 i32.const 1 memory.copy)",
            "(table 2 funcref) (elem (i32.const 0) 0) (func i32.const 0 table.get ref.is_null drop table.size drop)",
            "(tag $e (param i64)) (func (local exnref) block $h (result exnref) try_table (catch_all_ref $h) end return end throw_ref)",
            "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        ] {
            assert_eq!(forbidden(fields), None, "{fields}");
        }
    }

    #[test]
    fn all_else_is_not() {
        let instruction = |name: &str| Some(Forbidden::Instruction(name.into()));
        for (fields, what) in [
            ("(func return_call 0 )", instruction("ReturnCall")),
            ("(func unreachable ref.null func drop)", instruction("RefNull")),
            ("(func ref.func 0 drop) (elem declare func 0)", instruction("RefFunc")),
            ("(table 1 funcref) (func i32.const 0 i32.const 0 table.get table.set)", instruction("TableSet")),
            ("(func i32.const 0 i32.const 0 i32x4.splat drop drop)", None),
            (
                "(func (local v128) local.get 0 local.get 0 i8x16.relaxed_swizzle drop)",
                instruction("I8x16RelaxedSwizzle"),
            ),
            ("(type (struct (field i32)))", Some(Forbidden::Type)),
            ("(func (local externref))", Some(Forbidden::Reference)),
            ("(func (param exnref))", Some(Forbidden::SharedReference)),
            ("(global funcref (ref.null func))", Some(Forbidden::SharedReference)),
            ("(table 1 externref)", Some(Forbidden::Table)),
            ("(table i64 1 funcref)", Some(Forbidden::Table)),
            ("(elem func 0)", Some(Forbidden::PassiveElements)),
            ("(type (func (param externref)))", Some(Forbidden::Reference)),
        ] {
            assert_eq!(forbidden(fields), what, "{fields}");
        }
        let many = format!("(tag (param {}))", "i32 ".repeat(TAG_PARAMETERS_MAX + 1));
        assert_eq!(forbidden(&many), Some(Forbidden::LargeException));
    }
}
