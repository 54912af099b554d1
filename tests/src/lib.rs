//! The harness of the tests: programs in C are built twice, for this machine and for WasmLinux, and
//! must say the same.
//!
//! The native run is the oracle. A [`Program`] is one such source of `programs/` with its
//! arguments, environment and input; [`Program::agree`] runs it in both worlds and compares.
//! [`guest`] runs any command line of `wasmlinux`. Everything that runs has a time limit, after
//! which its whole process group is killed and the test fails.
mod build;
pub mod hostile;
pub mod module;
pub mod random;
mod run;
mod telnet;
mod terminal;

pub use build::{Built, sources};
pub use run::{LIMIT, Output, Run};
pub use telnet::Telnet;
pub use terminal::Terminal;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The workspace that these tests belong to.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a folder of the workspace").to_path_buf()
}

/// A file of the product, which `variable` of the environment may name instead. Panics if there is
/// none.
fn product(variable: &str, path: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| workspace().join("target").join(path), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask build` first, or set {variable}", path.display());
    path
}

/// The product's executable.
pub fn wasmlinux() -> PathBuf {
    product("WASMLINUX", "release/wasmlinux")
}

/// The product's C compiler.
pub fn wasmlinux_cc() -> PathBuf {
    product("WASMLINUX_CC", "guest/bin/wasmlinux-cc")
}

/// Runs `wasmlinux` with these arguments.
pub fn wasmlinux_with<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    Run::new(&wasmlinux()).args(args)
}

/// Runs a command of the base root file system in a machine of its own.
pub fn guest<S: AsRef<OsStr>>(command: impl IntoIterator<Item = S>) -> Run {
    wasmlinux_with(["run", "--"]).args(command)
}

/// The option that puts `file` into the guest as `/bin/NAME`.
pub fn add(file: &Path, name: &str) -> [OsString; 2] {
    let mut pair = file.as_os_str().to_os_string();
    pair.push(":/bin/");
    pair.push(name);
    ["--add".into(), pair]
}

/// An empty directory of this test's own, removed when dropped. On tmpfs where there is one, as in
/// the guest.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let shm = Path::new("/dev/shm");
        let base = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = base.join(format!("wasmlinux-tests-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder for scratch files");
        Self(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, with these bytes.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("a scratch file");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A program of `programs/` and how to call it.
pub struct Program {
    name: String,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    companions: Vec<String>,
}

impl Program {
    /// The program of `programs/NAME.c`.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), args: vec![], env: vec![], stdin: vec![], companions: vec![] }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_os_string()));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.into(), value.as_ref().into()));
        self
    }

    /// What it reads.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Another program of `programs/` that this one starts. Both worlds find it in `PATH`.
    pub fn with(mut self, name: &str) -> Self {
        self.companions.push(name.into());
        self
    }

    /// Runs it on this machine, in an empty directory.
    pub fn native(&self) -> Output {
        let scratch = Scratch::new();
        let bin = Scratch::new();
        for name in self.companions.iter().chain([&self.name]) {
            std::os::unix::fs::symlink(build::native(name), bin.path().join(name)).expect("a link to a program");
        }
        let mut run = Run::new(&bin.path().join(&self.name)).env_clear().env("PATH", bin.path());
        for (key, value) in &self.env {
            run = run.env(key, value);
        }
        run.args(&self.args).dir(scratch.path()).stdin(self.stdin.clone()).output()
    }

    /// Runs it in a machine of its own, in `/tmp`.
    pub fn guest(&self) -> Output {
        self.guest_with(&[] as &[&str])
    }

    /// As [`guest`](Self::guest), with more options for `wasmlinux run`.
    pub fn guest_with<S: AsRef<OsStr>>(&self, options: &[S]) -> Output {
        let mut run = wasmlinux_with(["run", "-w", "/tmp"]).args(options);
        for name in self.companions.iter().chain([&self.name]) {
            run = run.args(add(&build::guest(name), name));
        }
        for (key, value) in &self.env {
            let mut pair = key.clone();
            pair.push("=");
            pair.push(value);
            run = run.args([OsString::from("-e"), pair]);
        }
        run.arg("--").arg(&self.name).args(&self.args).stdin(self.stdin.clone()).output()
    }

    /// Runs it in both worlds; panics unless output, errors and exit status are equal. Returns the
    /// guest's.
    pub fn agree(&self) -> Output {
        let (native, guest) = (self.native(), self.guest());
        guest.expect_same(&native, &self.name);
        guest
    }
}
