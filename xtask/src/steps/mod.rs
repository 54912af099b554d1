//! The graph of what is built, and its execution: every step begins as soon as what it needs is
//! there.

mod binaryen;
mod busybox;
mod compiler;
mod engine;
mod extras;
mod image;
mod kernel;
mod libc;
pub(crate) mod packages;
mod programs;
pub(crate) mod sdk;
pub(crate) mod sources;

use crate::support::cache::{Node, Store};
use crate::support::files;
use crate::support::project::Project;
use crate::support::task::{Crew, Task};
use crate::support::ui::Ui;
use anyhow::{Context, Error, Result};
use clap::ValueEnum;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, mpsc};

/// A part of the build.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, ValueEnum)]
pub(crate) enum Step {
    /// Debian packages: the compiler, the kernel's source, tools
    Packages,
    /// Binaryen from npm, which the linking of programs needs
    Binaryen,
    /// The kernel's source with our patches
    KernelSource,
    /// The kernel's headers for programs
    KernelHeaders,
    /// vmlinux.wasm
    Kernel,
    /// The C library's source
    LibcSource,
    /// The C library and all headers: target/guest/sysroot
    Libc,
    /// wasmlinux-cc and its companions as programs
    CcTool,
    /// They, the sysroot and Binaryen together: target/guest/bin
    Cc,
    /// Busybox's source
    BusyboxSource,
    /// Busybox
    Busybox,
    /// init and the programs of guest/userland
    Programs,
    /// The root file system: target/guest/base.cpio
    Rootfs,
    /// The engine and the tool that makes the bundle
    Engine,
    /// Kernel and root file system, precompiled: target/guest/bundle
    Bundle,
    /// The command line and the examples: target/release/wasmlinux
    Wasmlinux,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Packages => "packages",
            Step::Binaryen => "binaryen",
            Step::KernelSource => "kernel-source",
            Step::KernelHeaders => "kernel-headers",
            Step::Kernel => "kernel",
            Step::LibcSource => "libc-source",
            Step::Libc => "libc",
            Step::CcTool => "cc-tool",
            Step::Cc => "cc",
            Step::BusyboxSource => "busybox-source",
            Step::Busybox => "busybox",
            Step::Programs => "programs",
            Step::Rootfs => "rootfs",
            Step::Engine => "engine",
            Step::Bundle => "bundle",
            Step::Wasmlinux => "wasmlinux",
        }
    }

    fn needs(self) -> &'static [Step] {
        match self {
            Step::Packages | Step::CcTool => &[],
            Step::Binaryen | Step::KernelSource | Step::LibcSource | Step::BusyboxSource => &[Step::Packages],
            Step::KernelHeaders => &[Step::KernelSource],
            // In the same tree as the headers, and what waits for the headers shall not wait for
            // the kernel.
            Step::Kernel => &[Step::KernelHeaders],
            Step::Libc => &[Step::LibcSource, Step::KernelHeaders],
            Step::Cc => &[Step::CcTool, Step::Libc, Step::Binaryen],
            Step::Busybox => &[Step::BusyboxSource, Step::Cc],
            Step::Programs => &[Step::Cc],
            Step::Rootfs => &[Step::Programs, Step::Busybox],
            // The small tool first: the guest waits for it, and Cargo builds one thing at a time.
            Step::Engine => &[Step::CcTool],
            Step::Bundle => &[Step::Engine, Step::Kernel, Step::Rootfs],
            Step::Wasmlinux => &[Step::Bundle],
        }
    }

    fn perform(self, build: &Build, task: &Task) -> Result<()> {
        match self {
            Step::Packages => packages::install(build, task),
            Step::Binaryen => binaryen::fetch(build, task),
            Step::KernelSource => kernel::source(build, task),
            Step::KernelHeaders => kernel::headers(build, task),
            Step::Kernel => kernel::image(build, task),
            Step::LibcSource => sources::libc(build, task),
            Step::Libc => libc::sysroot(build, task),
            Step::CcTool => compiler::tool(build, task),
            Step::Cc => compiler::toolchain(build, task),
            Step::BusyboxSource => sources::busybox(build, task),
            Step::Busybox => busybox::build(build, task),
            Step::Programs => programs::build(build, task),
            Step::Rootfs => image::rootfs(build, task),
            Step::Engine => engine::bundler(build, task),
            Step::Bundle => image::bundle(build, task),
            Step::Wasmlinux => engine::wasmlinux(build, task),
        }
    }
}

/// What all steps of one build share.
pub(crate) struct Build {
    pub(crate) project: Project,
    pub(crate) ui: Ui,
    pub(crate) store: Store,
    crew: Crew,
    nodes: Mutex<BTreeMap<Step, Node>>,
    packages: packages::Plan,
    cargo: Mutex<()>,
}

impl Build {
    /// Looks at what the machine has, and asks before anything is installed on it unless `yes`.
    pub(crate) fn new(yes: bool) -> Result<Build> {
        let (project, ui) = (Project::find()?, Ui::new());
        let store = Store::new(&project.cache);
        let packages = packages::Plan::make(yes, &ui)?;
        Ok(Build {
            project,
            ui,
            store,
            crew: Crew::default(),
            nodes: Mutex::default(),
            packages,
            cargo: Mutex::default(),
        })
    }

    /// Brings this step and all that it needs up to date; says how many steps had something to do.
    pub(crate) fn bring(&self, goal: Step) -> Result<usize> {
        let mut waiting = closure(goal);
        let mut done: BTreeSet<Step> = BTreeSet::new();
        let (mut running, mut worked, mut failure) = (0, 0, None);
        let (sender, receiver) = mpsc::channel::<(Step, Result<bool>)>();
        std::thread::scope(|scope| {
            loop {
                let ready: Vec<Step> = waiting
                    .iter()
                    .copied()
                    .filter(|step| step.needs().iter().all(|need| done.contains(need)))
                    .collect();
                for step in ready {
                    waiting.remove(&step);
                    running += 1;
                    let sender = sender.clone();
                    scope.spawn(move || sender.send((step, self.perform(step))));
                }
                if running == 0 {
                    return;
                }
                let Ok((step, result)) = receiver.recv() else { return };
                running -= 1;
                match result {
                    Ok(had_work) => {
                        done.insert(step);
                        worked += usize::from(had_work);
                    }
                    Err(error) => {
                        // The others end because they are stopped: only the first error says
                        // something.
                        if failure.is_none() {
                            failure = Some(error);
                            self.crew.stop();
                        }
                        waiting.clear();
                    }
                }
            }
        });
        match failure {
            Some(error) => Err(error),
            None => {
                if worked > 0 {
                    self.store.prune()?;
                }
                Ok(worked)
            }
        }
    }

    fn perform(&self, step: Step) -> Result<bool> {
        let task = Task::new(step.name(), &self.project, &self.ui, &self.crew);
        let result = step.perform(self, &task).map_err(|error: Error| error.context(format!("step {}", step.name())));
        let worked = task.end(result.is_ok());
        result.map(|()| worked)
    }

    /// Does something that is no step, with a log and progress as for one.
    pub(crate) fn extra(&self, name: &'static str, work: impl FnOnce(&Task) -> Result<()>) -> Result<()> {
        let task = Task::new(name, &self.project, &self.ui, &self.crew);
        let result = work(&task);
        task.end(result.is_ok());
        result
    }

    /// A directory or file of the checkout.
    fn source(&self, path: &str) -> PathBuf {
        self.project.root.join(path)
    }

    /// The result of a step that has been done.
    pub(crate) fn done(&self, step: Step) -> Result<Node> {
        self.nodes().get(&step).cloned().with_context(|| format!("{} has not been built", step.name()))
    }

    fn keep(&self, step: Step, node: Node) {
        self.nodes().insert(step, node);
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<Step, Node>> {
        self.nodes.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Cargo builds one thing at a time in one checkout.
    fn cargo(&self) -> MutexGuard<'_, ()> {
        self.cargo.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Copies a file of a node into target/guest, unless it is there already. A copy, not a link:
    /// Cargo looks at its time.
    fn install(&self, node: &Node, name: &str) -> Result<()> {
        let (target, mark) = (self.project.guest.join(name), self.project.guest.join(".installed").join(name));
        let current = std::fs::read_to_string(&mark).is_ok_and(|digest| digest == node.digest);
        if current && target.exists() {
            return Ok(());
        }
        // Renamed into place: whoever builds in the same checkout at the same time sees a whole
        // file.
        let fresh = self.project.guest.join(format!(".{name}.{}", std::process::id()));
        files::copy(&node.out.join(name), &fresh)?;
        std::fs::rename(&fresh, &target).with_context(|| format!("cannot write {}", target.display()))?;
        files::write(&mark, &node.digest)
    }
}

/// A step and all that it needs.
fn closure(goal: Step) -> BTreeSet<Step> {
    let mut steps = BTreeSet::new();
    let mut open = vec![goal];
    while let Some(step) = open.pop() {
        if steps.insert(step) {
            open.extend(step.needs());
        }
    }
    steps
}

/// The `-j` for make.
pub(crate) fn jobs() -> String {
    format!("-j{}", std::thread::available_parallelism().map_or(2, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_needs_all_others() {
        assert_eq!(closure(Step::Wasmlinux).len(), Step::value_variants().len());
    }

    #[test]
    fn names_on_the_command_line_are_those_of_the_logs() {
        for step in Step::value_variants() {
            assert_eq!(
                step.to_possible_value().map(|value| value.get_name().to_string()).as_deref(),
                Some(step.name())
            );
        }
    }
}
