//! Where the tools and the sysroot are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The tools of one run. Nothing is looked at before it is needed.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// The directory that holds `sysroot/` and `lib/binaryen/`, and `bin/` with this executable.
    pub(crate) root: PathBuf,
    pub(crate) sysroot: PathBuf,
    pub(crate) clang: PathBuf,
    /// clang's own headers and run-time library.
    pub(crate) resource: PathBuf,
}

impl Toolchain {
    /// Finds clang, and the sysroot: the option's, or WASMLINUX_SYSROOT's, or the one beside this
    /// executable's directory.
    pub(crate) fn find(sysroot: Option<&str>) -> Result<Toolchain> {
        let exe = std::env::current_exe().context("the place of this executable")?;
        let mut root = exe.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_path_buf();
        // Where cargo puts the executable, the rest is in a directory beside.
        let guest = root.join("guest");
        if !root.join("sysroot").exists() && guest.join("sysroot").exists() {
            root = guest;
        }
        let sysroot = match sysroot {
            Some(s) => s.into(),
            None => std::env::var_os("WASMLINUX_SYSROOT").map_or_else(|| root.join("sysroot"), PathBuf::from),
        };
        let clang = tool("clang-19", "clang-19")?;
        let resource = std::fs::canonicalize(&clang)
            .ok()
            .and_then(|real| Some(real.parent()?.parent()?.join("lib/clang/19")))
            .filter(|d| d.join("include").is_dir())
            .map_or_else(|| ask_resource_dir(&clang), Ok)?;
        Ok(Toolchain { root, sysroot, clang, resource })
    }

    /// The sysroot, if it is one.
    pub(crate) fn checked_sysroot(&self) -> Result<&Path> {
        if !self.sysroot.join("include/stdio.h").is_file() {
            bail!("no sysroot at {}: set WASMLINUX_SYSROOT, or build it (cargo xtask build)", self.sysroot.display());
        }
        Ok(&self.sysroot)
    }

    /// compiler-rt's builtins.
    pub(crate) fn builtins(&self) -> Result<PathBuf> {
        const NAME: &str = "libclang_rt.builtins-wasm32.a";
        [self.sysroot.join("lib").join(NAME), self.resource.join("lib/wasi").join(NAME)]
            .into_iter()
            .find(|f| f.is_file())
            .with_context(|| format!("no {NAME}: install the package libclang-rt-19-dev-wasm32"))
    }
}

/// The path of an executable on PATH; `package` is the Debian package that has it.
pub(crate) fn tool(name: &str, package: &str) -> Result<PathBuf> {
    std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|d| d.join(name)).find(|f| f.is_file()))
        .with_context(|| format!("no {name} on PATH: install the package {package}"))
}

/// wasm-ld.
pub(crate) fn wasm_ld() -> Result<PathBuf> {
    tool("wasm-ld-19", "lld-19")
}

fn ask_resource_dir(clang: &Path) -> Result<PathBuf> {
    let out = Command::new(clang)
        .arg("-print-resource-dir")
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", clang.display()))?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().into())
}

/// Runs a command to its end; the value is its exit status (128 plus a signal's number if one ended
/// it).
pub(crate) fn run(command: &mut Command) -> Result<u8> {
    let status = command.status().with_context(|| format!("running {}", command.get_program().to_string_lossy()))?;
    Ok(exit_status(status))
}

/// The exit status as a shell has it.
pub(crate) fn exit_status(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|s| 128 + s)).and_then(|c| u8::try_from(c).ok()).unwrap_or(1)
}

/// The command as it would be typed, for `-v` and `-###`.
pub(crate) fn show(command: &Command) {
    let mut line = format!(" \"{}\"", command.get_program().to_string_lossy());
    for a in command.get_args() {
        line += &format!(" \"{}\"", a.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""));
    }
    eprintln!("{line}");
}
