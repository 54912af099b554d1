//! `cargo xtask test --ports`: programs of others from Debian's archive, unpatched, by the SDK;
//! their own tests, in the machine and natively.
//!
//! How each is built and tested is in `tests/ports`; `docs/porting.md` explains it.

use crate::conformance::within;
use crate::steps::sources::{self, Source};
use crate::steps::{Build, Step, sdk};
use crate::support::cache::{Key, Node, Workplace};
use crate::support::files;
use crate::support::task::Task;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "tests/ports";
/// How long one program's tests may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Commands of the host that builds of this kind use, from the packages of these names.
const COMMANDS: [&str; 2] = ["cmake", "pkg-config"];

struct Port {
    /// Its directory in `tests/ports`.
    name: &'static str,
    /// What shows that it is being built.
    step: &'static str,
    driver: &'static str,
    /// Its source, and others with the directories in it that they go to.
    sources: &'static [(&'static str, Source)],
}

const PORTS: [Port; 3] = [
    Port {
        name: "lua",
        step: "port-lua",
        driver: "make",
        sources: &[
            (
                "",
                Source {
                    package: "lua5.4",
                    upstream: "lua5.4_5.4.4.orig.tar.gz",
                    sha256: "164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61",
                },
            ),
            (
                "lpeg",
                Source {
                    package: "lua-lpeg",
                    upstream: "lua-lpeg_1.0.2.orig.tar.gz",
                    sha256: "48d66576051b6c78388faad09b70493093264588fcd0f258ddaab1cdd4a15ffe",
                },
            ),
        ],
    },
    Port {
        name: "cjson",
        step: "port-cjson",
        driver: "CMake, pkg-config",
        sources: &[(
            "",
            Source {
                package: "cjson",
                upstream: "cjson_1.7.15.orig.tar.gz",
                sha256: "5308fd4bd90cef7aa060558514de6a1a4a0819974a26e6ed13973c5f624c24b2",
            },
        )],
    },
    Port {
        name: "pcre2",
        step: "port-pcre2",
        driver: "configure",
        sources: &[(
            "",
            Source {
                package: "pcre2",
                upstream: "pcre2_10.42.orig.tar.gz",
                sha256: "c33b418e3b936ee3153de2c61cc638e7e4fe3156022a5c77d0711bcbb9d64f1f",
            },
        )],
    },
];

/// A place where programs run.
#[derive(Clone, Copy)]
enum World {
    Native,
    Machine,
}

impl World {
    fn name(self) -> &'static str {
        match self {
            World::Native => "native",
            World::Machine => "machine",
        }
    }
}

/// Builds and tests all, and prints a table. Fails if a test passes natively only.
pub(crate) fn run(build: &Build) -> Result<ExitCode> {
    for command in COMMANDS {
        let there = Command::new(command).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            bail!("there is no {command}: apt-get install {}", COMMANDS.join(" "));
        }
    }
    let mut table = String::from("program  built by           native passed   machine passed   native only\n");
    let mut worse = false;
    for port in &PORTS {
        let (mut native, mut machine) = (Outcome::default(), Outcome::default());
        build.extra(port.step, |task| {
            let node = compile(build, task, port)?;
            native = test(build, task, port, &node, World::Native)?;
            machine = test(build, task, port, &node, World::Machine)?;
            Ok(())
        })?;
        if native.count(true) == 0 {
            bail!("{}: no test passed natively; see target/ports/{}/native.log", port.name, port.name);
        }
        let lost: Vec<&str> = native.passed().filter(|test| machine.tests.get(*test) != Some(&true)).collect();
        worse |= !lost.is_empty();
        let time = |outcome: &Outcome| {
            format!("{} of {} {:>5.1} s", outcome.count(true), outcome.tests.len(), outcome.time.as_secs_f64())
        };
        let lost = if lost.is_empty() { "none".into() } else { lost.join(", ") };
        table += &format!("{:8} {:18} {:15} {:16} {lost}\n", port.name, port.driver, time(&native), time(&machine));
    }
    print!("{table}");
    Ok(if worse { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a run of tests printed, and how long it took.
#[derive(Default)]
struct Outcome {
    tests: BTreeMap<String, bool>,
    time: Duration,
}

impl Outcome {
    fn parse(text: &str, time: Duration) -> Outcome {
        let verdict = |line: &str| match line.strip_prefix("not ok ") {
            Some(name) => Some((name.to_string(), false)),
            None => line.strip_prefix("ok ").map(|name| (name.to_string(), true)),
        };
        Outcome { tests: text.lines().filter_map(verdict).collect(), time }
    }

    fn count(&self, passed: bool) -> usize {
        self.tests.values().filter(|verdict| **verdict == passed).count()
    }

    fn passed(&self) -> impl Iterator<Item = &str> {
        self.tests.iter().filter(|(_, passed)| **passed).map(|(name, _)| name.as_str())
    }
}

/// A node with the build trees `native` and `machine`.
fn compile(build: &Build, task: &Task, port: &Port) -> Result<Node> {
    let cc = build.done(Step::Cc)?;
    let scripts = build.project.root.join(FOLDER).join(port.name);
    let key = || {
        let mut key = Key::new(include_str!("ports.rs")).node("cc", &cc).opaque();
        for (_, source) in port.sources {
            key = key.text(source.package, source.sha256);
        }
        // Tests can change without a new build, but they lie in the same directory.
        key.tree("scripts", &scripts)?.tree("sdk", &build.project.root.join(sdk::FOLDER))
    };
    build.store.node(task, key, |place: &Workplace| {
        let toolkit = place.work.join("sdk");
        sdk::assemble(build, &toolkit)?;
        let source = place.work.join("source");
        for (folder, part) in port.sources {
            sources::upstream(build, task, part, &place.work, &source.join(folder))?;
        }
        for world in [World::Native, World::Machine] {
            let tree = place.out.join(world.name());
            // Not copied file by file: make looks at their times.
            files::folder(&place.out)?;
            let mut copy = Command::new("cp");
            copy.args(["--archive", "--"]).arg(&source).arg(&tree);
            task.run(copy)?;
            let mut script = Command::new("sh");
            script.arg(scripts.join("build.sh")).current_dir(&tree).env("HERE", &scripts).env_remove("MAKEFLAGS");
            environment(&mut script, world, place, &toolkit);
            task.run(script).with_context(|| format!("{} cannot be built", port.name))?;
        }
        Ok(())
    })
}

/// How to build for a world.
fn environment(script: &mut Command, world: World, place: &Workplace, toolkit: &Path) {
    let (native, staged) = (place.work.join("stage"), toolkit.join("sysroot"));
    match world {
        World::Native => {
            let found = ["lib", "lib/x86_64-linux-gnu"].map(|lib| format!("{}/usr/{lib}/pkgconfig", native.display()));
            script.envs([("CC", "gcc"), ("AR", "ar"), ("RANLIB", "ranlib"), ("PKG_CONFIG", "pkg-config")]);
            script.env("CONFIGURE_FLAGS", "").env("CMAKE_FLAGS", "").env("STAGE", &native);
            script.env("PKG_CONFIG_SYSROOT_DIR", &native).env("PKG_CONFIG_PATH", found.join(":"));
        }
        World::Machine => {
            let mut path = toolkit.join("bin").into_os_string();
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap_or_default());
            script.envs([("CC", "wasmlinux-cc"), ("AR", "wasmlinux-ar"), ("RANLIB", "wasmlinux-ranlib")]);
            script.env("PKG_CONFIG", "wasmlinux-pkg-config").env("PATH", path).env("STAGE", staged);
            script.env("CONFIGURE_FLAGS", format!("--host={}", sdk::TARGET));
            let file = toolkit.join("share/cmake/wasmlinux.cmake");
            script.env("CMAKE_FLAGS", format!("-DCMAKE_TOOLCHAIN_FILE={}", file.display()));
        }
    }
}

/// Runs the tests on a copy of what was built.
fn test(build: &Build, task: &Task, port: &Port, node: &Node, world: World) -> Result<Outcome> {
    task.status(&format!("tests {} ({})", port.name, world.name()));
    let place = build.project.target.join("ports").join(port.name);
    let (tree, log) = (place.join(world.name()), place.join(format!("{}.log", world.name())));
    files::remove(&tree)?;
    files::copy_tree(&node.out.join(world.name()), &tree)?;
    files::copy(&build.project.root.join(FOLDER).join(port.name).join("test.sh"), &tree.join("test.sh"))?;
    let command = match world {
        World::Native => {
            let mut command = Command::new("sh");
            command.arg("test.sh").current_dir(&tree);
            command
        }
        World::Machine => {
            let mut command = Command::new(build.project.release("wasmlinux"));
            let mut add = tree.into_os_string();
            add.push(":/port");
            command.args(["run", "-w", "/port", "--add"]).arg(add).args(["--", "sh", "test.sh"]);
            command
        }
    };
    let begun = Instant::now();
    within(LIMIT, command, &log)?;
    Ok(Outcome::parse(&String::from_utf8_lossy(&std::fs::read(&log)?), begun.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_tests_print() {
        let outcome = Outcome::parse("ok a b\nnoise\nnot ok c\n  ok indented\n", Duration::ZERO);
        assert_eq!(outcome.passed().collect::<Vec<_>>(), ["a b"]);
        assert_eq!((outcome.count(true), outcome.count(false)), (1, 1));
    }

    #[test]
    fn every_port_has_its_scripts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER);
        for port in &PORTS {
            for script in ["build.sh", "test.sh"] {
                assert!(folder.join(port.name).join(script).is_file(), "{} {script}", port.name);
            }
        }
    }
}
