//! Running what is measured, natively and in the guest by turns.
use crate::against::System;
use crate::processes;
use crate::table::{Row, Target};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wait4::Wait4;

/// What goes through `cat`, in bytes.
const THROUGH: usize = 256 << 20;

/// The programs, built for both worlds, and where the product is.
pub(crate) struct Bench {
    wasmlinux: PathBuf,
    /// Where what is built lies.
    pub(crate) dir: PathBuf,
    /// How often each program is run in each world.
    pub(crate) rounds: u32,
    against: Vec<System>,
}

/// Medians by name.
pub(crate) struct Measured {
    pub(crate) guest: BTreeMap<String, f64>,
    pub(crate) native: BTreeMap<String, f64>,
    /// Of the systems that are compared; empty where one could not run the program.
    pub(crate) others: Vec<BTreeMap<String, f64>>,
}

/// The workspace.
pub(crate) fn workspace() -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench).to_path_buf()
}

/// A file of the product, or what the environment names instead.
fn product(variable: &str, path: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| workspace().join("target").join(path), PathBuf::from);
    ensure!(path.exists(), "{} is missing: run `cargo xtask build` first, or set {variable}", path.display());
    Ok(path)
}

/// Runs a command to its end; an error says what it wrote.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, errors.trim());
    Ok(output.stdout)
}

/// Lets everybody execute a file.
pub(crate) fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, permissions).with_context(|| path.display().to_string())
}

/// The median; of an even number of values the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Seconds that something took.
pub(crate) fn seconds(what: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    what()?;
    Ok(start.elapsed().as_secs_f64())
}

impl Bench {
    /// Builds the programs for both worlds.
    pub(crate) fn new(rounds: u32, against: Vec<System>) -> Result<Self> {
        let bench = Self {
            wasmlinux: product("WASMLINUX", "release/wasmlinux")?,
            dir: workspace().join("target/bench"),
            rounds,
            against,
        };
        std::fs::create_dir_all(&bench.dir).context("cannot make target/bench")?;
        let guest_cc = product("WASMLINUX_CC", "guest/bin/wasmlinux-cc")?;
        for program in ["hello", "calls", "processes", "memory", "compute", "network", "stopwatch"] {
            let source = workspace().join("bench/programs").join(program).with_extension("c");
            // The guest's own compiler, so that what is compared is the machine.
            let native =
                output(Command::new("clang-19").args(["-O2", "-static", "-o"]).arg(bench.native(program)).arg(&source));
            native.or_else(|_| {
                output(Command::new("gcc").args(["-O2", "-static", "-o"]).arg(bench.native(program)).arg(&source))
            })?;
            output(Command::new(&guest_cc).args(["-O2", "-o"]).arg(bench.guest(program)).arg(&source))?;
        }
        Ok(bench)
    }

    /// The same for another build of the product.
    pub(crate) fn of(&self, wasmlinux: &Path) -> Self {
        Self { wasmlinux: wasmlinux.into(), dir: self.dir.clone(), rounds: self.rounds, against: Vec::new() }
    }

    /// The product with these arguments.
    pub(crate) fn wasmlinux(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.wasmlinux);
        command.args(args);
        command
    }

    /// An applet of a busybox that was built natively of the guest's source, as a file of its name.
    pub(crate) fn applet(&self, name: &str) -> Result<PathBuf> {
        let busybox = std::env::var_os("WASMLINUX_BUSYBOX").context("no native busybox: run `cargo xtask bench`")?;
        let applet = self.dir.join("applets").join(name);
        std::fs::create_dir_all(self.dir.join("applets"))?;
        let _ = std::fs::remove_file(&applet);
        std::os::unix::fs::symlink(busybox, &applet)?;
        Ok(applet)
    }

    /// Such an applet, with these arguments behind its name.
    pub(crate) fn native_busybox(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(self.applet(args[0])?);
        command.args(&args[1..]);
        Ok(command)
    }

    /// A program, as it was built natively.
    pub(crate) fn native(&self, program: &str) -> PathBuf {
        self.dir.join(format!("{program}-native"))
    }

    fn guest(&self, program: &str) -> PathBuf {
        self.dir.join(format!("{program}-guest"))
    }

    /// The guest's counterpart of running a program of ours.
    pub(crate) fn run(&self, program: &str) -> Command {
        let mut command = self.wasmlinux(&["run"]);
        command.args(self.add(program)).arg(format!("bench-{program}"));
        command
    }

    /// The option that puts a program of ours into the guest.
    pub(crate) fn add(&self, program: &str) -> [OsString; 2] {
        let mut add = self.guest(program).into_os_string();
        add.push(format!(":/bin/bench-{program}"));
        ["--add".into(), add]
    }

    /// `wasmlinux run hello`: from process start to exit.
    fn hello(&self) -> Command {
        let mut command = Command::new(&self.wasmlinux);
        command.args(["run", "hello"]);
        command
    }

    /// Process start to exit, and that of the native program.
    pub(crate) fn start(&self) -> Row {
        let row = Row::new("run hello, start to exit", "ms", Some(Target::Most(22.0)));
        let mut times = (Vec::new(), Vec::new());
        let mut once = || -> Result<()> {
            times.0.push(1e3 * seconds(|| output(&mut self.hello()).map(drop))?);
            times.1.push(1e3 * seconds(|| output(&mut Command::new(self.native("hello"))).map(drop))?);
            Ok(())
        };
        for _ in 0..self.rounds.max(3) * 3 {
            if let Err(error) = once() {
                return row.failed(format!("{error:#}"));
            }
        }
        row.guest(median(times.0)).native(Some(median(times.1)))
    }

    /// The same with a cache that is empty, as after installation.
    pub(crate) fn first_start(&self) -> Row {
        let mut times = Vec::new();
        let mut all = || -> Result<f64> {
            for _ in 0..self.rounds {
                let cache = self.dir.join("empty-cache");
                let _ = std::fs::remove_dir_all(&cache);
                std::fs::create_dir_all(&cache)?;
                times.push(1e3 * seconds(|| output(self.hello().env("XDG_CACHE_HOME", &cache)).map(drop))?);
            }
            Ok(median(std::mem::take(&mut times)))
        };
        Row::new("the same, very first run", "ms", Some(Target::Most(200.0))).of(all())
    }

    /// The most memory of the host that such a run has resident, in all its processes.
    pub(crate) fn resident(&self) -> Row {
        // After it, something waits: so that its processes can still be looked at.
        let once = || -> Result<f64> {
            let mut command = self.wasmlinux(&["run", "sh", "-c", "hello; echo done; read end"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
            ensure!(lines.any(|line| line.is_ok_and(|line| line == "done")), "{command:?}: it has ended");
            let peak = processes::peak(child.id());
            drop(child.stdin.take());
            child.wait()?;
            peak
        };
        let all = || -> Result<f64> {
            let values: Result<Vec<_>> = (0..self.rounds).map(|_| once()).collect();
            Ok(median(values?))
        };
        let native = || -> Result<f64> {
            let mut child = Command::new(self.native("hello")).stdout(Stdio::null()).spawn()?;
            Ok(child.wait4()?.rusage.maxrss as f64 / 1e6)
        };
        Row::new("its peak resident memory", "MB", Some(Target::Most(80.0))).native(native().ok()).of(all())
    }

    /// The executable, stripped.
    pub(crate) fn size(&self) -> Row {
        let size = || -> Result<f64> {
            let stripped = self.dir.join("wasmlinux-stripped");
            output(Command::new("strip").arg("-o").arg(&stripped).arg(&self.wasmlinux))?;
            let size = std::fs::metadata(&stripped)?.len();
            std::fs::remove_file(&stripped)?;
            Ok(size as f64 / 1e6)
        };
        Row::new("the executable, stripped", "MB", Some(Target::Most(64.0))).of(size())
    }

    /// Runs a program that prints names and figures, by turns; the medians.
    pub(crate) fn program(&self, program: &str) -> Result<Measured> {
        let mut guest: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut native = guest.clone();
        for _ in 0..self.rounds {
            let runs = [(&mut guest, self.run(program)), (&mut native, Command::new(self.native(program)))];
            for (figures, mut command) in runs {
                for line in String::from_utf8_lossy(&output(&mut command)?).lines() {
                    let Some((name, value)) = line.split_once(' ') else { bail!("{program} printed {line:?}") };
                    let value = value.parse().with_context(|| format!("{program} printed {line:?}"))?;
                    figures.entry(name.into()).or_default().push(value);
                }
            }
        }
        let medians = |all: BTreeMap<String, Vec<f64>>| all.into_iter().map(|(name, v)| (name, median(v))).collect();
        let known: Vec<String> = native.keys().cloned().collect();
        let others = self.against.iter().map(|system| {
            // One run: each takes long, and prints the least of several batches anyway.
            let figures = system.figures(&self.native(program), &self.dir, &known);
            figures.unwrap_or_else(|error| {
                eprintln!("{}: {program}: {error:#}", system.name());
                BTreeMap::new()
            })
        });
        let others = others.collect();
        Ok(Measured { guest: medians(guest), native: medians(native), others })
    }

    /// Megabytes a second through `cat`.
    pub(crate) fn throughput(&self) -> Row {
        let row = Row::new("256 MiB through cat", "MB/s", None).more();
        let mut rates = (Vec::new(), Vec::new());
        for _ in 0..self.rounds.min(3) {
            let mut guest = Command::new(&self.wasmlinux);
            guest.args(["run", "cat"]);
            match (through(guest), through(Command::new("cat"))) {
                (Ok(guest), Ok(native)) => {
                    rates.0.push(guest);
                    rates.1.push(native);
                }
                (Err(error), _) | (_, Err(error)) => return row.failed(format!("{error:#}")),
            }
        }
        row.guest(median(rates.0)).native(Some(median(rates.1)))
    }
}

/// Sends bytes through a command; megabytes a second, from its start to its end.
fn through(mut command: Command) -> Result<f64> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    let mut from = child.stdout.take().context("a pipe")?;
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        let block = vec![0x5a; 1 << 20];
        (0..THROUGH / block.len()).try_for_each(|_| input.write_all(&block))
    });
    let mut block = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match from.read(&mut block)? {
            0 => break,
            n => total += n,
        }
    }
    let status = child.wait()?;
    let took: Duration = start.elapsed();
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(status.success() && total == THROUGH, "{command:?}: {status}, {total} bytes");
    Ok(total as f64 / 1e6 / took.as_secs_f64())
}
