//! The machine, as a caller sees it: built, booted, given commands, switched off.
use crate::apart;
use crate::command::Command;
use crate::control::{Control, Phase};
use crate::files::{self, Cost, Sending};
use crate::files_out::{FileKind, Files};
use crate::guest::guest;
use crate::task::HostTask;
use crate::{Compiler, Confine, Errno, Error, Outcome};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmlinux_boundary::{self as boundary, Message};
use wasmlinux_devices::virtio::Mmio;
use wasmlinux_devices::{Bus, Console, Streams};
use wasmlinux_image::cpio;
use wasmlinux_image::tree::{Content, Tree};
use wasmlinux_machine as computer;
use wasmlinux_net::{GATEWAY, Local, Network, Ports, Publish, Reach, Refusals, Refused, Share};

/// Least memory of a machine, in bytes.
pub const MEMORY_MIN: u64 = 32 << 20;
/// Most memory of a machine, in bytes: what 32-bit addresses reach, but for one page.
pub const MEMORY_MAX: u64 = (4 << 30) - boundary::WASM_PAGE as u64;
/// Memory of a machine if nothing else is said, in bytes. The host gives only what is used.
pub const MEMORY_DEFAULT: u64 = 1 << 30;

/// Kernel messages that are kept for the report of a machine that failed, in bytes.
const MESSAGES: usize = 64 << 10;
/// A boot takes milliseconds; a host may be busy.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// How long a machine whose first process is gone may take to end.
const LOST_LIMIT: Duration = Duration::from_secs(10);

/// What a machine will be: see [`Machine::builder`].
pub struct Builder {
    memory: u64,
    hostname: String,
    files: Vec<(PathBuf, OsString)>,
    contents: Vec<(OsString, u32, Vec<u8>)>,
    kernel_args: Vec<String>,
    kernel_log: Option<(u8, Box<dyn Write + Send>)>,
    cache: Option<PathBuf>,
    compiler: Compiler,
    network: bool,
    reach: Reach,
    hosts: Vec<(String, IpAddr)>,
    publish: Vec<Publish>,
}

/// Names of this host in a guest that may reach it: ours and docker's.
const HOST_NAMES: [&str; 2] = ["host.internal", "host.docker.internal"];

impl Builder {
    fn new() -> Builder {
        Builder {
            memory: MEMORY_DEFAULT,
            hostname: "wasmlinux".into(),
            files: Vec::new(),
            contents: Vec::new(),
            kernel_args: Vec::new(),
            kernel_log: None,
            cache: default_cache(),
            compiler: Compiler::Default,
            network: true,
            reach: Reach::default(),
            hosts: Vec::new(),
            publish: Vec::new(),
        }
    }

    /// Physical memory in bytes, [`MEMORY_MIN`] to [`MEMORY_MAX`], rounded down to a multiple of
    /// 64 KiB. The default is [`MEMORY_DEFAULT`].
    pub fn memory(mut self, bytes: u64) -> Builder {
        self.memory = bytes;
        self
    }

    /// The guest's host name; `wasmlinux` is the default.
    pub fn hostname(mut self, name: impl Into<String>) -> Builder {
        self.hostname = name.into();
        self
    }

    /// Puts a copy of a file or directory of the host into the guest's root file system, when the
    /// machine boots. The guest's path is absolute; directories that are missing on the way are
    /// created.
    pub fn add(mut self, host: impl Into<PathBuf>, guest: impl Into<OsString>) -> Builder {
        self.files.push((host.into(), guest.into()));
        self
    }

    /// Puts a file with this content and these permissions (0o755, say) into the guest's root file
    /// system.
    pub fn add_file(mut self, guest: impl Into<OsString>, permissions: u32, content: impl Into<Vec<u8>>) -> Builder {
        self.contents.push((guest.into(), permissions, content.into()));
        self
    }

    /// Adds to the kernel's command line.
    pub fn kernel_arg(mut self, arg: impl Into<String>) -> Builder {
        self.kernel_args.push(arg.into());
        self
    }

    /// Makes another program of the guest its first process, such as busybox's `/sbin/init`, which
    /// starts what `/etc/inittab` names. Commands and host tasks run all the same. The default is
    /// an init of our own, which starts nothing else.
    pub fn init(mut self, path: impl AsRef<str>) -> Builder {
        self.kernel_args.push(format!("SYSTEM_INIT={}", path.as_ref()));
        self
    }

    /// Copies kernel messages of up to `level` (0 emergencies to 7 debugging) to a writer as they
    /// come; the machine waits for it. Programs of the guest can write there too: see
    /// [`Machine::kernel_messages`].
    pub fn kernel_log(mut self, level: u8, writer: impl Write + Send + 'static) -> Builder {
        self.kernel_log = Some((level, Box::new(writer)));
        self
    }

    /// The directory in which compiled programs are kept; None keeps them nowhere. What lies in it
    /// is executed, so it must not be writable by others. It holds 1 GiB and 1,000 programs at
    /// most, of which the oldest go first; other files in it are left alone. The default is
    /// `wasmlinux` in the user's cache directory.
    pub fn cache(mut self, directory: Option<PathBuf>) -> Builder {
        self.cache = directory;
        self
    }

    /// Where programs of the guest are compiled that neither came with this library nor are in the
    /// cache: see [`Compiler`]. Whoever runs what they do not trust should call
    /// [`crate::compile_if_asked`] first in `main`, or name an executable here.
    pub fn compiler(mut self, compiler: Compiler) -> Builder {
        self.compiler = compiler;
        self
    }

    /// Whether the machine has a network; the default is yes. The guest then reaches public
    /// addresses, and what [`Builder::reach`] adds. The guest itself is reached by
    /// [`Builder::publish`] only.
    pub fn network(mut self, on: bool) -> Builder {
        self.network = on;
        self
    }

    /// What the guest may reach beside public addresses: this host, by the name `host.internal`;
    /// private networks; link-local addresses. The default is none of these. Checked at each
    /// connection, however the guest came by the address.
    pub fn reach(mut self, reach: Reach) -> Builder {
        self.reach = reach;
        self
    }

    /// Gives a name an address, in the guest's `/etc/hosts`.
    pub fn host(mut self, name: impl Into<String>, address: IpAddr) -> Builder {
        self.hosts.push((name.into(), address));
        self
    }

    /// Publishes a port of the guest on a port of this host. Without a network it does nothing.
    pub fn publish(mut self, port: Publish) -> Builder {
        self.publish.push(port);
        self
    }

    /// Switches the machine on and waits until its first process is up.
    ///
    /// # Errors
    /// See the variants of [`Error`].
    pub fn boot(self) -> Result<Machine, Error> {
        let (memory, tree, cost) = self.prepare()?;
        let bundle = guest()?;
        let limits = computer::Limits::of(memory);
        let share = Share { sockets: limits.sockets, buffers: limits.buffers };
        let local = Local::new(self.reach);
        let refusals = local.refusals();
        let (network, published) = if self.network {
            let ports = Ports::open(&self.publish)?;
            let published = ports.published().to_vec();
            (Some(Network::new(ports, Box::new(local), self.reach.host, share)), published)
        } else {
            (None, vec![])
        };
        let mut bus = Bus::default();
        if let Some(network) = &network {
            bus.plug(Mmio::new(network.device()))?;
        }
        let cmdline = cmdline(&self.first_arguments(), &bus, self.kernel_args.iter().map(String::as_str))?;
        let network = network.map(Network::start).transpose()?;
        let console = console(self.kernel_log);
        let streams = Streams::new();
        let control = Control::open(&streams)?;
        let files = Sending::start(&streams, tree)?;
        tracing::debug!(memory, cmdline, added = cost.count, "power on");
        let switched_on = computer::Machine::power_on(computer::Config {
            cmdline,
            initramfs: vec![Cow::Borrowed(bundle.initramfs())],
            cache: self.cache,
            compiler: self.compiler,
            streams: streams.clone(),
            bus: Arc::new(bus),
            console: Box::new(console.sink()),
            ..computer::Config::new(memory, bundle.clone())
        });
        let computer = Computer::Here(switched_on.inspect_err(|_| streams.shut())?);
        // From here on an error drops the machine, which pulls the plug.
        let kept = None;
        Machine { computer, control, console, network: Mutex::new(network), published, refusals, kept }
            .wait_for_init(files)
    }

    /// As [`Builder::boot`], but the machine runs in a process of its own, which gives up what it
    /// does not need before the guest runs: see [`Confine`]. It asks this process for connections
    /// to what the guest may reach, and for compiled code. It is started from this executable,
    /// whose `main` must begin with [`crate::machine_if_asked`], and ends with this process at the
    /// latest.
    ///
    /// What the machine logs, and what it says when it fails, appears on this process's standard
    /// error.
    ///
    /// # Errors
    /// See the variants of [`Error`].
    pub fn boot_apart(mut self, confine: Confine) -> Result<Machine, Error> {
        if !apart::has_been_offered() {
            return Err(Error::NotOffered);
        }
        let first = self.first_arguments();
        // Checked before a process is started in vain; the devices' part is added later.
        cmdline(&first, &Bus::default(), self.kernel_args.iter().map(String::as_str))?;
        let console = console(self.kernel_log.take());
        // It begins while this process prepares the rest.
        let process = apart::Process::spawn(console.clone())?;
        let (memory, tree, cost) = self.prepare()?;
        let local = Local::new(self.reach);
        let refusals = local.refusals();
        let ports = if self.network { Ports::open(&self.publish)? } else { Ports::default() };
        let published = ports.published().to_vec();
        let broker = computer::BrokerServer::new(self.cache.as_deref(), &self.compiler)?;
        let streams = Streams::apart(process.streams());
        let control = Control::open(&streams)?;
        let files = Sending::start(&streams, tree)?;
        let arguments: Vec<_> =
            [first.as_str()].into_iter().chain(self.kernel_args.iter().map(String::as_str)).collect();
        tracing::debug!(memory, process = process.pid(), added = cost.count, "power on");
        let kept = process.start(apart::Given {
            memory,
            arguments: &arguments,
            confine,
            ports: &ports,
            network: self.network.then_some((local, self.reach.host)),
            broker,
        })?;
        let computer = Computer::Apart(process);
        if let Some(kept) = &kept {
            tracing::debug!("the machine's process could not give up all: {kept}");
        }
        Machine { computer, control, console, network: Mutex::new(None), published, refusals, kept }
            .wait_for_init(files)
    }

    /// Checks memory and files: bytes of memory, the files, and what these take of it.
    fn prepare(&self) -> Result<(u64, Tree, Cost), Error> {
        let memory = self.memory / u64::from(boundary::WASM_PAGE) * u64::from(boundary::WASM_PAGE);
        if !(MEMORY_MIN..=MEMORY_MAX).contains(&memory) {
            return Err(Error::Memory { asked: self.memory });
        }
        let tree = self.tree(guest()?.initramfs())?;
        let cost = Cost::of(&tree);
        if cost.needs() > memory {
            let (count, files, needed) = (cost.count, cost.memory, cost.needs());
            return Err(Error::FilesTooLarge { memory, count, files, needed });
        }
        Ok((memory, tree, cost))
    }

    /// What is put into the base root file system.
    fn tree(&self, base: &[u8]) -> Result<Tree, Error> {
        let name = &self.hostname;
        if name.is_empty() || name.len() > 64 || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::Hostname(name.clone()));
        }
        let mut tree = Tree::on_top_of(base)?;
        tree.file("/etc/hostname", 0o644, format!("{name}\n").as_bytes())?;
        for (host, guest) in &self.files {
            tree.add_host(host, guest.as_bytes())?;
        }
        for (guest, permissions, content) in &self.contents {
            tree.file(guest.as_bytes(), *permissions, content)?;
        }
        if let Some(lines) = self.host_lines() {
            let mut hosts = hosts(&tree, base);
            if !hosts.is_empty() && !hosts.ends_with(b"\n") {
                hosts.push(b'\n');
            }
            hosts.extend(lines.bytes());
            tree.file("/etc/hosts", 0o644, &hosts)?;
        }
        Ok(tree)
    }

    /// What is added to the guest's `/etc/hosts`, if anything is.
    fn host_lines(&self) -> Option<String> {
        let own = HOST_NAMES.iter().flat_map(|name| GATEWAY.map(|address| (*name, address)));
        let own = own.filter(|_| self.network && self.reach.host);
        let given = self.hosts.iter().map(|(name, address)| (name.as_str(), *address));
        let lines: String = own.chain(given).map(|(name, address)| format!("{address}\t{name}\n")).collect();
        (!lines.is_empty()).then_some(lines)
    }

    /// The kernel's command line, up to the parameters of the devices.
    fn first_arguments(&self) -> String {
        // The kernel prints what is below its level. Warnings cost little and explain a failure.
        let level = self.kernel_log.as_ref().map_or(4, |(level, _)| level.saturating_add(1).min(8));
        // With pages of 64 KiB a page block is 64 MiB. At the first sign of fragmentation the
        // kernel would keep one free, which is most of a small machine's memory. So is the eighth
        // of it that a processor's page lists may hold: the kernel drains those for files only if
        // it can reclaim something else.
        format!("loglevel={level} sysctl.vm.watermark_boost_factor=0 sysctl.vm.percpu_pagelist_high_fraction=128")
    }
}

/// The kernel's command line: `first`, the parameters of the devices, `arguments`.
pub(crate) fn cmdline<'a>(first: &str, bus: &Bus, arguments: impl Iterator<Item = &'a str>) -> Result<String, Error> {
    let mut text = first.to_owned();
    for arg in bus.kernel_parameters().chain(arguments.map(str::to_owned)) {
        text.push(' ');
        text.push_str(&arg);
    }
    if text.len() >= boundary::CMDLINE_SIZE as usize || text.contains('\0') {
        return Err(Error::KernelArguments);
    }
    Ok(text)
}

fn console(log: Option<(u8, Box<dyn Write + Send>)>) -> Console {
    match log {
        Some((_, writer)) => Console::with_live(MESSAGES, writer),
        None => Console::new(MESSAGES),
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("memory", &self.memory)
            .field("hostname", &self.hostname)
            .field("files", &self.files)
            .field("kernel_args", &self.kernel_args)
            .finish_non_exhaustive()
    }
}

/// The `/etc/hosts` that the guest would have.
fn hosts(tree: &Tree, base: &[u8]) -> Vec<u8> {
    const PATH: &[u8] = b"etc/hosts";
    match tree.entries().iter().rfind(|entry| entry.path == PATH).map(|entry| &entry.content) {
        Some(Content::Bytes(bytes)) => bytes.clone(),
        // If it cannot be read, sending it fails and says so.
        Some(Content::Host(path, _)) => std::fs::read(path).unwrap_or_default(),
        _ => {
            let entries = cpio::entries(base).filter_map(Result::ok);
            entries.filter(|entry| entry.name == PATH).last().map_or(vec![], |entry| entry.content.to_vec())
        }
    }
}

/// `$XDG_CACHE_HOME/wasmlinux` or `~/.cache/wasmlinux`.
fn default_cache() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("wasmlinux"))
}

/// Where the machine runs.
enum Computer {
    Here(computer::Machine),
    Apart(apart::Process),
}

/// A machine that is running. Dropping it pulls the plug; [`Machine::shutdown`] switches it off in
/// order.
pub struct Machine {
    computer: Computer,
    control: Arc<Control>,
    console: Console,
    /// While the machine is on.
    network: Mutex<Option<wasmlinux_net::Running>>,
    published: Vec<Publish>,
    refusals: Refusals,
    kept: Option<String>,
}

impl Machine {
    /// Begins to describe a machine.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Waits until its first process is up.
    fn wait_for_init(self, files: Sending) -> Result<Machine, Error> {
        let mut sent = 0;
        loop {
            match self.control.ready(BOOT_LIMIT) {
                Phase::Lost { .. } => {
                    if self.wait_timeout(LOST_LIMIT).is_none() {
                        self.power_off();
                    }
                    let outcome = self.wait();
                    return Err(match files.end() {
                        // The files were not the reason.
                        Ok(()) | Err(Error::Off) => Error::Boot { outcome, messages: self.kernel_messages() },
                        Err(error) => error,
                    });
                }
                // Files may be many, and come from far away.
                Phase::Starting if files.sent() > sent => sent = files.sent(),
                Phase::Starting => {
                    return Err(Error::BootTimeout { after: BOOT_LIMIT, messages: self.kernel_messages() });
                }
                Phase::Failed(failure) => {
                    return Err(Error::Version { theirs: failure.text.unwrap_or_default() });
                }
                _ => return files.end().map(|()| self),
            }
        }
    }

    /// A command to be run in this machine. A name without a slash is looked up in the command's
    /// PATH.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        Command::new(self.control.clone(), program.into())
    }

    /// Starts a host task: a process of the guest whose system calls are made from here.
    ///
    /// # Errors
    /// [`Error::Task`], [`Error::Off`].
    pub fn host_task(&self) -> Result<HostTask, Error> {
        HostTask::start(&self.control)
    }

    /// Puts a copy of a file or directory of the host into the guest, as [`Builder::add`] does at
    /// boot. Commands run meanwhile, and may see a part of it.
    ///
    /// # Errors
    /// [`Error::Add`], [`Error::NotMade`], [`Error::Off`].
    pub fn add(&self, host: impl AsRef<Path>, guest: impl AsRef<OsStr>) -> Result<(), Error> {
        let mut tree = Tree::new();
        tree.add_host(host, guest.as_ref().as_bytes())?;
        files::put(&self.control, &tree)
    }

    /// Puts a file with this content and these permissions (0o755, say) into the guest.
    ///
    /// # Errors
    /// As [`Machine::add`].
    pub fn add_file(&self, guest: impl AsRef<OsStr>, permissions: u32, content: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut tree = Tree::new();
        tree.file(guest.as_ref().as_bytes(), permissions, content.as_ref())?;
        files::put(&self.control, &tree)
    }

    /// A file of the guest, or a directory and all that is in it, one after the other. Symbolic
    /// links are not followed.
    ///
    /// # Errors
    /// [`Error::Read`] (here or with the first file), [`Error::Off`].
    pub fn files(&self, guest: impl AsRef<OsStr>) -> Result<Files, Error> {
        Files::open(&self.control, guest.as_ref(), false)
    }

    /// The content of a file of the guest; a symbolic link is followed. It must fit into this
    /// process's memory: [`Machine::files`] gives a large one in pieces.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Off`].
    pub fn read_file(&self, guest: impl AsRef<OsStr>) -> Result<Vec<u8>, Error> {
        let mut files = Files::open(&self.control, guest.as_ref(), true)?;
        let path = || guest.as_ref().to_string_lossy().into_owned();
        match files.next_file()?.map(|file| file.kind) {
            Some(FileKind::Regular) => {}
            Some(FileKind::Directory) => return Err(Error::Read { path: path(), errno: Errno::EISDIR }),
            _ => return Err(Error::Read { path: path(), errno: Errno::EINVAL }),
        }
        let mut content = Vec::new();
        files.read_to_end(&mut content)?;
        Ok(content)
    }

    /// Asks the guest to switch the machine off, and waits until it has.
    ///
    /// # Errors
    /// [`Error::Off`] if it was off already.
    pub fn shutdown(&self) -> Result<Outcome, Error> {
        self.control.send(Message::new(boundary::SHUTDOWN, 0))?;
        Ok(self.wait())
    }

    /// Waits until the machine is off, for whatever reason, and what it has sent to the network is
    /// delivered.
    pub fn wait(&self) -> Outcome {
        let outcome = match &self.computer {
            Computer::Here(machine) => machine.wait(),
            Computer::Apart(process) => process.wait(),
        };
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner).take();
        match network {
            Some(network) if outcome == Outcome::Unplugged => network.cut(),
            network => drop(network),
        }
        outcome
    }

    /// Waits until the machine is off, not longer than `limit`; None if it is still on.
    pub fn wait_timeout(&self, limit: Duration) -> Option<Outcome> {
        let start = Instant::now();
        let is_off = self.control.off(limit)
            && match &self.computer {
                Computer::Here(_) => true,
                // What it says to its control and of its end need not agree.
                Computer::Apart(process) => process.wait_timeout(limit.saturating_sub(start.elapsed())),
            };
        is_off.then(|| self.wait())
    }

    /// How the machine ended; None while it is on.
    pub fn try_wait(&self) -> Option<Outcome> {
        match &self.computer {
            Computer::Here(machine) => machine.try_wait(),
            Computer::Apart(process) => process.try_wait(),
        }
    }

    /// The published ports, with the host's ports that were chosen for those that asked for any.
    pub fn published(&self) -> &[Publish] {
        &self.published
    }

    /// What the guest wanted to reach and was kept from: the first address of each kind.
    pub fn kept_from(&self) -> Vec<Refused> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pulls the plug: nothing in the guest learns of it.
    pub fn power_off(&self) {
        match &self.computer {
            Computer::Here(machine) => machine.power_off(),
            Computer::Apart(process) => process.power_off(),
        }
    }

    /// What the host did not let the machine's process give up, and why ([`Builder::boot_apart`]).
    /// None if it gave up all that it was asked to.
    pub fn not_given_up(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// Stops the process of a machine that has one of its own, and all that runs in the machine, or
    /// continues it. A caller that a shell's job control stops does this, as the shell does not
    /// know of that process. It does nothing to a machine in this process.
    pub fn stop(&self, stopped: bool) {
        if let Computer::Apart(process) = &self.computer {
            process.stop(stopped);
        }
    }

    /// Has the machine's process try what it must not be able to do: a line for each attempt, with
    /// the host's answer. None if the machine is in this process.
    ///
    /// # Errors
    /// [`Error::Process`]
    #[doc(hidden)]
    pub fn try_to_escape(&self) -> Result<Option<String>, Error> {
        match &self.computer {
            Computer::Here(_) => Ok(None),
            Computer::Apart(process) => process.attempts().map(Some),
        }
    }

    /// How often the kernel has met a bug of its own and gone on; [`Machine::kernel_messages`] says
    /// more.
    pub fn oopses(&self) -> u64 {
        match &self.computer {
            Computer::Here(machine) => machine.oopses(),
            Computer::Apart(process) => process.status().0,
        }
    }

    /// Why the loader refused the last program that it refused: not made for WasmLinux, say, or
    /// larger than its limits. None if it refused none. The text may contain names from the
    /// program.
    pub fn last_refusal(&self) -> Option<String> {
        match &self.computer {
            Computer::Here(machine) => machine.refusals().1,
            Computer::Apart(process) => process.status().1,
        }
    }

    /// The last kernel messages (64 KiB at most), in whole lines. Programs of the guest can write
    /// there too: whoever shows them in a terminal must escape control characters.
    pub fn kernel_messages(&self) -> String {
        self.console.tail()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A process of its own is ended with all that it has.
        let Computer::Here(machine) = &self.computer else { return };
        machine.power_off();
        machine.wait();
        // Whoever wants to have delivered what the guest has sent waits for it before.
        let network = self.network.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(network) = network {
            network.cut();
        }
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("outcome", &self.try_wait()).finish_non_exhaustive()
    }
}
