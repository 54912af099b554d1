//! A program's module: taken or refused, and what is taken keeps its promises.
use wasmlinux_module::{ErrorKind, check, split_kernel};

pub(crate) fn run(wasm: &[u8]) {
    if let Ok(program) = check(wasm) {
        for engine in 0..program.module.len() {
            let original = program.offsets.to_original(engine);
            assert!(
                original.is_none_or(|original| original < wasm.len() && program.offsets.to_engine(original).is_some())
            );
        }
        // What is made of it is a program, but for what only the machine may put in.
        if let Err(error) = check(&program.module) {
            let machines = matches!(error.kind(), ErrorKind::OwnMemory | ErrorKind::ReservedExport(_));
            assert!(machines, "{error}");
        }
    }
    let _ = split_kernel(wasm);
}
