//! Questions that configure scripts ask the compiler: `--version`, `-dumpmachine`, `-print-*`.

use std::io::Write;
use std::process::Command;

use anyhow::Result;

use crate::options::Options;
use crate::toolchain::{Toolchain, run};

/// The target's name as configure scripts know it. clang itself knows no Linux for wasm32.
pub(crate) const TARGET: &str = "wasm32-unknown-linux-musl";

const HELP: &str = "\
usage: wasmlinux-cc [OPTIONS] FILE...

clang-19 as a C compiler for WasmLinux; all of clang's options for C mean the same. Besides:
  -mfork=paths|all     which functions of a program that forks can be unwound: those that may reach
                       fork (the default), or all
  -mfork-quiet=FILE    names of functions whose calls through pointers never fork
  -mfork-in-handler    this program forks in signal handlers, in one that it hands to signal or
                       sigaction from a data structure

environment:
  WASMLINUX_SYSROOT    headers and libraries (else ../sysroot from this executable's directory)
  WASMLINUX_WASM_OPT   Binaryen's wasm-opt (else ../lib/binaryen/bin/wasm-opt)
  WASMLINUX_FORK_QUIET as -mfork-quiet
";

/// Prints the answer to `question`.
pub(crate) fn answer(question: &str, options: &Options, toolchain: &Toolchain) -> Result<u8> {
    let lib = |name: &str| toolchain.sysroot.join("lib").join(name);
    let q = question.strip_prefix("--").or(question.strip_prefix('-')).unwrap_or(question);
    let text = match q.split_once('=').map_or((q, ""), |(k, v)| (k, v)) {
        ("help", _) => HELP.to_owned(),
        ("version" | "v" | "V", _) => {
            let out = Command::new(&toolchain.clang).arg("--version").output()?;
            let text = String::from_utf8_lossy(&out.stdout);
            // clang's first line first: scripts look there for the compiler's kind and version.
            let mut lines = text.lines();
            let body = format!(
                "{}\nTarget: {TARGET}\nThread model: posix\nwasmlinux-cc {}\n",
                lines.next().unwrap_or_default(),
                env!("CARGO_PKG_VERSION")
            );
            if q == "v" {
                eprint!("{body}");
                String::new()
            } else {
                body
            }
        }
        ("dumpmachine" | "print-target-triple" | "print-effective-triple", _) => format!("{TARGET}\n"),
        ("print-multiarch", _) => String::new(),
        ("print-sysroot", _) => format!("{}\n", toolchain.sysroot.display()),
        ("print-file-name", name) => {
            let file = lib(name);
            format!("{}\n", if file.exists() { file.display().to_string() } else { name.into() })
        }
        ("print-libgcc-file-name", _) => format!("{}\n", toolchain.builtins()?.display()),
        ("print-prog-name", name) => {
            let tool = toolchain.root.join("bin").join(format!("wasmlinux-{name}"));
            format!("{}\n", if tool.exists() { tool.display().to_string() } else { name.into() })
        }
        ("print-search-dirs", _) => {
            let (programs, libraries) = (toolchain.root.join("bin"), toolchain.sysroot.join("lib"));
            format!("programs: ={}\nlibraries: ={}\n", programs.display(), libraries.display())
        }
        _ => {
            return run(Command::new(&toolchain.clang)
                .arg("--target=wasm32-unknown-unknown")
                .arg(question)
                .args(&options.flags));
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever asked has read enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}
