//! The kernel's compiled code, as signal handlers know it.
use crate::{KernelError, engine::code::section};
use std::{ops::Range, sync::OnceLock};
use wasmtime::Module;
use wasmtime_environ::{CompiledTrap, iterate_traps, obj::ELF_WASMTIME_TRAPS};

/// The kernel's code, as the handlers know it.
pub(crate) struct KernelCode {
    module: Module,
    /// An instruction of it that traps.
    pub(crate) trap: usize,
    /// Sorted by address. Made when somebody wants to know: it takes longer than all else that is
    /// done before a boot.
    functions: OnceLock<Vec<Range<usize>>>,
}

impl KernelCode {
    pub(crate) fn new(module: &Module) -> Result<KernelCode, KernelError> {
        let traps = iterate_traps(section(module, ELF_WASMTIME_TRAPS));
        let known = traps.and_then(|mut traps| traps.find(|(_, trap)| matches!(trap, CompiledTrap::Normal(_))));
        let (offset, _) = known.ok_or(KernelError::NoTrap)?;
        let trap = module.text().as_ptr() as usize + offset as usize;
        Ok(KernelCode { module: module.clone(), trap, functions: OnceLock::new() })
    }

    /// From now on [`KernelCode::contains`] knows.
    pub(crate) fn prepare(&self) {
        self.functions.get_or_init(|| {
            let text = self.module.text().as_ptr() as usize;
            let of = |f: wasmtime::ModuleFunction| text + f.offset..text + f.offset + f.len;
            let mut functions: Vec<_> = self.module.functions().map(of).collect();
            functions.sort_unstable_by_key(|function| function.start);
            functions
        });
    }

    /// Whether this is an instruction of a function of the kernel; the engine's glue between it and
    /// the host is none. False before [`KernelCode::prepare`]. Async-signal-safe.
    pub(crate) fn contains(&self, pc: usize) -> bool {
        let functions = self.functions.get().map_or(&[][..], Vec::as_slice);
        let index = functions.partition_point(|function| function.start <= pc);
        index.checked_sub(1).is_some_and(|index| functions[index].contains(&pc))
    }
}
