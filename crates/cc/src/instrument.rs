//! `-finstrument-functions`: calls of `__cyg_profile_func_enter` and `__cyg_profile_func_exit`,
//! with the function and where it was called.
//!
//! For the latter clang asks for the return address, which it cannot give for wasm32: code has no
//! addresses. So the compilation stops at LLVM's intermediate language, and goes on with null
//! there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::options::Options;

/// Whether the command line asks for it.
pub(crate) fn is_on(options: &Options) -> bool {
    let on = ["-finstrument-functions", "-finstrument-functions-after-inlining"];
    options.flags.iter().any(|flag| on.contains(&flag.as_str()))
}

/// Makes a clang command stop at a file of that language.
pub(crate) fn stop(clang: &mut Command, ir: &Path) {
    clang.args(["-S", "-emit-llvm", "-o"]).arg(ir);
}

/// Makes another one go on with it. The user's flags but for those that name files.
pub(crate) fn go_on(clang: &mut Command, ir: &Path, object: &Path, options: &Options) -> Result<()> {
    let text = std::fs::read_to_string(ir).with_context(|| ir.display().to_string())?;
    std::fs::write(ir, without_return_addresses(&text)).with_context(|| ir.display().to_string())?;
    let mut flags = options.flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "-MF" | "-MT" | "-MQ" | "-MJ" | "-include" | "-imacros" => _ = flags.next(),
            f if f.starts_with("-M") => {}
            f => _ = clang.arg(f),
        }
    }
    clang.args(["-x", "ir", "-c"]).arg(ir).arg("-o").arg(object);
    Ok(())
}

/// The text of a module with null for each return address.
fn without_return_addresses(ir: &str) -> String {
    let mut out = String::with_capacity(ir.len());
    for line in ir.lines() {
        match line.split_once(" = ") {
            Some((name, call)) if call.contains("call ptr @llvm.returnaddress(") => {
                let debug = call.find(", !").map_or("", |at| &call[at..]);
                out += &format!("{name} = inttoptr i32 0 to ptr{debug}");
            }
            _ => out += line,
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_addresses_become_null() {
        let ir = "  %1 = tail call ptr @llvm.returnaddress(i32 0) #2, !dbg !8\n  call void @f(ptr %1)\n";
        let new = "  %1 = inttoptr i32 0 to ptr, !dbg !8\n  call void @f(ptr %1)\n";
        assert_eq!(without_return_addresses(ir), new);
    }
}
