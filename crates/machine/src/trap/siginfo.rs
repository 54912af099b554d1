//! What a program is told of an instruction that trapped.
use wasmtime::Trap;

/// The signal and its code (`si_code`) for an instruction that trapped: what Linux gives on
/// hardware. None if the program's frames have to go.
pub(crate) fn siginfo(trap: Trap) -> Option<(i32, i32)> {
    Some(match trap {
        Trap::IntegerDivisionByZero | Trap::IntegerOverflow => (libc::SIGFPE, FPE_INTDIV),
        Trap::BadConversionToInteger => (libc::SIGFPE, FPE_FLTINV),
        Trap::HeapMisaligned => (libc::SIGBUS, BUS_ADRALN),
        // A wild jump.
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::IndirectCallToNull | Trap::BadSignature => {
            (libc::SIGSEGV, SEGV_MAPERR)
        }
        Trap::StackOverflow => return None,
        _ => (libc::SIGILL, ILL_ILLOPN),
    })
}

pub(crate) const SEGV_MAPERR: i32 = 1;
const FPE_INTDIV: i32 = 1;
const FPE_FLTINV: i32 = 7;
const ILL_ILLOPN: i32 = 2;
const BUS_ADRALN: i32 = 1;
pub(crate) const BUS_ADRERR: i32 = 2;
