//! Finding and running Binaryen's wasm-opt.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::options::{Fork, Options};
use crate::toolchain::{Toolchain, exit_status, show, tool};

/// The features that programs use. Never all: exceptions would come out mixed.
const FEATURES: &[&str] = &[
    "--enable-threads",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-exception-handling",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// wasm-opt, ready for its options.
pub(crate) struct Binaryen<'a> {
    program: PathBuf,
    /// node, unless it is a native executable.
    node: Option<PathBuf>,
    options: &'a Options,
}

impl<'a> Binaryen<'a> {
    /// Finds wasm-opt: WASMLINUX_WASM_OPT, or what lies beside this executable. `why` says what the
    /// program needs it for.
    pub(crate) fn find(toolchain: &Toolchain, options: &'a Options, why: &str) -> Result<Self> {
        let bin = toolchain.root.join("lib/binaryen/bin");
        let named = std::env::var_os("WASMLINUX_WASM_OPT").map(PathBuf::from);
        let places = named.map_or_else(|| vec![bin.join("wasm-opt"), bin.join("wasm-opt.js")], |n| vec![n]);
        let Some(program) = places.iter().find(|p| p.is_file()).cloned() else {
            bail!(
                "this program {why}, which needs Binaryen's wasm-opt, and there is none at {}: set WASMLINUX_WASM_OPT to that of the npm package binaryen 132",
                places[0].display()
            );
        };
        let mut magic = [0; 4];
        use std::io::Read;
        let native =
            std::fs::File::open(&program).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF";
        let node = if native { None } else { Some(tool("node", "nodejs").context("wasm-opt is a node program")?) };
        Ok(Binaryen { program, node, options })
    }

    /// The functions named in `only` (or all) become able to unwind.
    pub(crate) fn asyncify(&self, from: &Path, to: &Path, only: &Path) -> Result<()> {
        let mut c = self.command(from, to);
        c.arg("-g").arg("--pass-arg=asyncify-ignore-imports");
        if self.options.fork == Fork::Paths {
            c.arg(format!("--pass-arg=asyncify-onlylist@@{}", only.display()));
        }
        // Asyncify's code is made to be optimised after.
        c.arg("--asyncify");
        // clang has inlined what is worth it; functions that call setjmp must keep their calls
        // (catching.rs).
        c.args(["-O2", "-aimfs", "0", "-fimfs", "0", "-ocimfs", "0"]);
        self.run(&mut c)
    }

    /// Exceptions in the legacy encoding, which is all that clang writes, become the standard one.
    /// Must come last: Asyncify does not know the latter.
    pub(crate) fn translate_exceptions(&self, from: &Path, to: &Path) -> Result<()> {
        let mut c = self.command(from, to);
        c.args(["-g", "--translate-to-exnref"]);
        self.run(&mut c)
    }

    fn command(&self, from: &Path, to: &Path) -> Command {
        let mut c = match &self.node {
            Some(node) => Command::new(node),
            None => Command::new(&self.program),
        };
        if self.node.is_some() {
            c.arg(&self.program);
        }
        c.args(FEATURES).arg(from).arg("-o").arg(to);
        c
    }

    fn run(&self, c: &mut Command) -> Result<()> {
        if self.options.verbose {
            show(c);
        }
        let out = c.output().with_context(|| format!("running {}", c.get_program().to_string_lossy()))?;
        if !out.status.success() {
            bail!(
                "wasm-opt failed (status {}):\n{}",
                exit_status(out.status),
                String::from_utf8_lossy(&out.stderr).trim_end()
            );
        }
        Ok(())
    }
}
