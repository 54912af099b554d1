//! Finds the bundle (kernel, base root file system, compiled programs) that goes into the library.
//!
//! `WASMLINUX_BUNDLE` names it. Without one the library builds all the same, and says so when a
//! machine is to boot: `cargo check` and the tests of the rest need no guest.
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=WASMLINUX_BUNDLE");
    let bundle = env::var_os("WASMLINUX_BUNDLE").map(PathBuf::from);
    let value = match bundle {
        Some(path) => {
            // Also while it is absent: it may come.
            println!("cargo::rerun-if-changed={}", path.display());
            path.is_file().then(|| fs::canonicalize(&path).unwrap_or(path))
        }
        None => None,
    };
    let text = match value {
        Some(path) => format!("Some(&Aligned(*include_bytes!({:?})))", path.display().to_string()),
        None => "None".to_owned(),
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("bundle.rs");
    fs::write(&out, text).unwrap_or_else(|e| panic!("{}: {e}", out.display()));
}
