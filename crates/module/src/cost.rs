//! What compiling a function costs beyond its bytes: programs that would cost far more than
//! compilers make of sources are refused before the compiler sees them. What passes is bounded by
//! the limits of the process that compiles (`docs/compiler.md`).
//!
//! The engine's compiler, Cranelift, takes time and memory that grow faster than a function does in
//! three things (figures of one processor):
//! - *Variables where paths meet.* A variable that lives there may get a value of its own in each
//!   such place: 3,000 variables and as many places, 60 KB, take 4 s and 370 MB; 1,000 and 10,000
//!   take more than 37 s. The interpreter of CPython, one of the largest functions that there are,
//!   has a product of some 10 million, of which it needs little.
//! - *Targets of `br_table`.* Each is an edge with a value for each of those variables; 3.9 million
//!   targets take 2.3 GB without any.
//! - *Values at the same time*, the height of the operand stack: the time grows by its square,
//!   10,000 of them (72 KB) take 5 s.
use crate::{
    Error,
    code::{Instruction, instructions},
    error::{At, limit},
};
use wasmparser::{FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator};
use wasmparser::{Parser, ValidPayload, Validator, ValidatorResources};

/// Values on a function's operand stack. A call has at most 1,000 arguments.
const HEIGHT_MAX: u64 = 4000;
/// Targets of all `br_table` of a function.
const TARGETS_MAX: u64 = 1 << 18;
/// Of a function: parameters and local variables, times the places where paths meet and targets of
/// `br_table`.
const PRODUCT_MAX: u64 = 100_000_000;
/// Clauses of a `try_table` and of those around it. A throw looks at all of them in each frame, in
/// the host, where nothing can be interrupted.
const CLAUSES_MAX: u64 = 256;

/// Validates a program, and refuses one of whose functions one costs too much.
pub(crate) fn validate(validator: &mut Validator, wasm: &[u8]) -> Result<(), Error> {
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        if let ValidPayload::Func(function, body) = validator.payload(&payload?)? {
            allocations = validate_function(function, &body, allocations)?;
        }
    }
    Ok(())
}

fn validate_function(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    allocations: FuncValidatorAllocations,
) -> Result<FuncValidatorAllocations, Error> {
    let mut validator = function.into_validator(allocations);
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let variables = u64::from(validator.len_locals());
    let (mut places, mut targets) = (1_u64, 0_u64);
    // Of each structure that is open, the clauses of it and of those around it.
    let mut clauses = vec![0_u64];
    let mut code = instructions(body)?;
    for instruction in &mut code {
        let Instruction { operator, range } = instruction?;
        let at = range.start;
        let around = clauses.last().copied().unwrap_or(0);
        match &operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::Try { .. } => {
                clauses.push(around);
            }
            Operator::TryTable { try_table } => {
                let within = around + try_table.catches.len() as u64;
                limit("clauses of try_table in each other", within, CLAUSES_MAX).at(at)?;
                clauses.push(within);
            }
            Operator::End => drop(clauses.pop()),
            _ => {}
        }
        match &operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::Try { .. }
            | Operator::TryTable { .. }
            | Operator::BrIf { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. } => places += 1,
            Operator::BrTable { targets: table } => targets += u64::from(table.len()) + 1,
            _ => {}
        }
        validator.op(at, &operator)?;
        limit("values on the stack of a function", validator.operand_stack_height().into(), HEIGHT_MAX).at(at)?;
    }
    code.finish()?;
    let at = body.range().start;
    limit("targets of br_table in a function", targets, TARGETS_MAX).at(at)?;
    limit("variables of a function times its branches", variables * (places + targets), PRODUCT_MAX).at(at)?;
    Ok(validator.into_allocations())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use wasm_encoder as w;

    /// What [`validate`] says of a module with one function of so many variables.
    fn verdict(variables: u32, body: impl Fn(&mut w::InstructionSink<'_>)) -> Result<(), Error> {
        let mut module = w::Module::new();
        let mut types = w::TypeSection::new();
        types.ty().function([], []);
        let mut functions = w::FunctionSection::new();
        functions.function(0);
        let mut function = w::Function::new([(variables, w::ValType::I32)]);
        body(&mut function.instructions());
        function.instructions().end();
        let mut code = w::CodeSection::new();
        code.function(&function);
        module.section(&types).section(&functions).section(&code);
        validate(&mut Validator::new(), &module.finish())
    }

    /// The name of the limit that is exceeded.
    fn exceeded(result: Result<(), Error>) -> &'static str {
        match result.as_ref().map_err(Error::kind) {
            Err(ErrorKind::Limit { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    fn branches(i: &mut w::InstructionSink<'_>, count: u64) {
        for _ in 0..count {
            i.block(w::BlockType::Empty).local_get(0).br_if(0).end();
        }
    }

    #[test]
    fn variables_and_branches() {
        assert!(verdict(1000, |i| branches(i, 20_000)).is_ok());
        assert!(verdict(40_000, |i| branches(i, 100)).is_ok());
        assert!(exceeded(verdict(1000, |i| branches(i, 60_000))).starts_with("variables"));
        assert!(exceeded(verdict(49_000, |i| branches(i, 2000))).starts_with("variables"));
    }

    #[test]
    fn tables_of_branches() {
        let table = |i: &mut w::InstructionSink<'_>| {
            i.local_get(0).br_table(vec![0; 60_000], 0);
        };
        assert!(verdict(10, table).is_ok());
        let many = verdict(10, |i| {
            for _ in 0..5 {
                i.block(w::BlockType::Empty);
                table(i);
                i.end();
            }
        });
        assert!(exceeded(many).starts_with("targets"));
        assert!(exceeded(verdict(2000, table)).starts_with("variables"));
    }

    #[test]
    fn values_at_once() {
        let high = |height: u64| {
            verdict(1, |i| {
                for _ in 0..height {
                    i.local_get(0);
                }
                for _ in 0..height {
                    i.drop();
                }
            })
        };
        assert!(high(HEIGHT_MAX).is_ok());
        assert!(exceeded(high(HEIGHT_MAX + 1)).starts_with("values"));
    }

    #[test]
    fn what_is_not_valid_is_refused() {
        let error = verdict(1, |i| _ = i.i64_const(1).drop().drop()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Malformed(_)), "{error}");
        assert!(validate(&mut Validator::new(), b"\0asm\x01\0\0").is_err());
        assert!(validate(&mut Validator::new(), b"\0asm\x01\0\0\0\x0a\x05\x01").is_err());
    }
}
