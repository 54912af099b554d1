//! The processor: polls the future of the current task, and acts on what it asked for when it suspends.
use crate::reports::Reports;
use crate::{
    Config, ConsoleSink, Error, Outcome, ProgramError,
    clock::Clock,
    code::Program,
    host::{
        process,
        signals::{self, Polled},
        time::Alarm,
    },
    hypercall,
    instance::{self, TaskData},
    interrupt::Interrupts,
    kernel_code::KernelCode,
    limits::{self, CODE_MAPS, Charge, Cost, Ledger, SPACE_ADDRESS, SPACE_MAPS, TASK_ADDRESS, TASK_MAPS},
    physical::Physical,
    programs::{Job, Programs},
    space::{Format, Space},
    task::{self, Entry, Image, Task, UserStart},
    trap,
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use wasmlinux_boundary as boundary;
use wasmlinux_boundary::{WASM_PAGE, boot_info, kernel as names, program::HEAP_BASE};
use wasmlinux_devices::{Backend, Bus, GuestMemory, Streams, printable};
use wasmtime::{Engine, InstancePre, Store, WasmBacktrace};

/// Memory that a kernel needs beside its image and the initramfs (twice: packed and unpacked) to reach `/init`, in bytes.
const MEMORY_SPARE: u64 = 24 << 20;

/// A kernel's first tables lie below the initramfs: about this share of memory.
const EARLY_SHARE: u64 = 512;
/// Bytes behind the kernel's image that it uses first.
const IMAGE_AFTER: u64 = 2 << 20;

/// After how long the processor polls the backend of what was sent, if it does not sleep before, in nanoseconds.
const POLL_WITHIN: u64 = 200_000;

/// What is soldered on: memory with the kernel in it, as a boot loader leaves it.
pub(crate) struct Board {
    ledger: Arc<Ledger>,
    /// Of physical memory.
    _reserved: Charge,
    pub(crate) physical: Arc<Physical>,
    pub(crate) format: Format,
    pub(crate) kernel: InstancePre<TaskData>,
    pub(crate) oops_buffer: u32,
    interrupts: Arc<Interrupts>,
    pub(crate) reports: Arc<Reports>,
    init_task: u32,
    init_stack_top: u32,
}

impl Board {
    pub(crate) fn new(config: &Config) -> Result<Board, Error> {
        let guest = &config.guest;
        let heap_base = u64::from(guest.symbol(HEAP_BASE)?);
        let initramfs: u64 = config.initramfs.iter().map(|part| part.len().next_multiple_of(4) as u64).sum();
        let min = heap_base + 2 * initramfs + MEMORY_SPARE;
        let size = config.memory - config.memory % u64::from(WASM_PAGE);
        if size < min || size > Physical::MAX {
            return Err(Error::MemorySize { size: config.memory, min, max: Physical::MAX });
        }
        if config.cmdline.len() >= boundary::CMDLINE_SIZE as usize {
            return Err(Error::CommandLine(config.cmdline.len()));
        }

        let ledger = Ledger::new(size);
        let reserved = ledger.charge_anyway(Cost { maps: SPACE_MAPS, address: SPACE_ADDRESS, ..Cost::default() });
        let physical = Arc::new(Physical::new(size as usize)?);
        // At the very end of memory; each part aligned to 4, as cpio wants it.
        let initrd_start = (size - initramfs) & !u64::from(WASM_PAGE - 1);
        let below = initrd_start.saturating_sub(size / EARLY_SHARE);
        physical.bring_in(vec![0..(heap_base + IMAGE_AFTER) as usize, below as usize..size as usize]);
        let kernel = hypercall::linker()?.instantiate_pre(&guest.kernel()?)?;
        let put = |at: u32, bytes: &[u8]| {
            let put = physical.write(at, bytes);
            put.ok_or_else(|| Error::Kernel(format!("its data at {at:#x} is outside memory")))
        };
        // .bss is clear because the memory is new.
        for (at, bytes) in guest.kernel_data() {
            put(at, bytes)?;
        }
        let info = guest.symbol(boundary::BOOT_INFO)?;
        let oops_buffer = guest.symbol(names::OOPS_BUFFER)?;
        put(oops_buffer, &[0; boundary::OOPS_BUFFER as usize])?;
        let code = KernelCode::new(kernel.module())?;
        let interrupts = Arc::new(Interrupts::new(physical.clone(), info, code)?);
        let read = |offset| physical.read_u32(info + offset).unwrap_or(0);
        let version = read(boot_info::VERSION);
        if version != boundary::MACHINE_VERSION {
            return Err(Error::Kernel(format!(
                "made for version {version} of the machine, not {}",
                boundary::MACHINE_VERSION
            )));
        }
        let format = Format::new(read(boot_info::PAGE_SHIFT), read(boot_info::PGDIR_SHIFT));
        let format = format.ok_or_else(|| Error::Kernel("impossible page tables".into()))?;

        let word = |offset, value: u32| put(info + offset, &value.to_le_bytes());
        word(boot_info::MEMORY_SIZE, size as u32)?;
        put(info + boot_info::CMDLINE, config.cmdline.as_bytes())?;
        let mut seed = [0; boundary::SEED_SIZE as usize];
        process::random(&mut seed).map_err(Error::HostMemory)?;
        put(info + boot_info::SEED, &seed)?;
        if initramfs != 0 {
            let mut at = initrd_start as u32;
            for part in &config.initramfs {
                put(at, part)?;
                at += part.len().next_multiple_of(4) as u32;
            }
            word(boot_info::INITRD_START, initrd_start as u32)?;
            word(boot_info::INITRD_SIZE, initramfs as u32)?;
        }
        let (init_task, init_stack_top) = (guest.symbol(names::INIT_TASK)?, guest.symbol(names::INIT_STACK_TOP)?);
        Ok(Board {
            ledger,
            _reserved: reserved,
            physical,
            format,
            kernel,
            oops_buffer,
            interrupts,
            reports: Arc::default(),
            init_task,
            init_stack_top,
        })
    }

    pub(crate) fn interrupts(&self) -> Arc<Interrupts> {
        self.interrupts.clone()
    }

    pub(crate) fn unplugged(&self) -> bool {
        self.interrupts.unplugged()
    }
}

/// Why a task suspended; the processor acts on it.
pub(crate) enum Request {
    Switch(u32),
    Halt,
    /// Do what the backend of a device has to do now.
    Poll,
    /// Load the program at this physical address and length, for this user.
    Load {
        at: u32,
        len: u32,
        user: u32,
    },
    PowerOff(u32),
}

/// What a handle of module_load() is good for.
pub(crate) enum Handle {
    Ready(Arc<Program>),
    /// It waits for the compiler; without a handle it does not.
    Waiting(Arc<Job>),
}

/// A task made, with its stack pointer and what it takes of the host, or gone.
pub(crate) enum Change {
    Created(u32, u32, Charge),
    Destroyed(u32),
}

/// The state of a processor, and of what is plugged into it.
pub(crate) struct Cpu {
    pub(crate) board: Arc<Board>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Clock,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bus: Arc<Bus>,
    pub(crate) console: ConsoleSink,
    programs: Programs,
    /// Programs loaded, until module_drop().
    pub(crate) handles: HashMap<u32, Handle>,
    next_handle: u32,
    /// Address spaces by their page directory.
    spaces: HashMap<u32, Arc<Space>>,
    /// What tasks run when they enter user mode next.
    pub(crate) starts: HashMap<u32, UserStart>,
    /// What tasks have reserved for the program that they are about to execute.
    pub(crate) images: HashMap<u32, Image>,
    /// The task that runs.
    pub(crate) current: u32,
    /// The guest has left work for the backend of a device.
    pub(crate) backend_notified: bool,
    /// It has done so since the processor slept.
    notified_since_halt: bool,
    /// What became of tasks since this one was polled, in order: an address is used again at once.
    pub(crate) changes: Vec<Change>,
    request: Option<Request>,
    load_result: i32,
}

impl Cpu {
    /// The address space of a page directory, once it has one.
    pub(crate) fn space_of(&self, pgd: u32) -> Option<Arc<Space>> {
        self.spaces.get(&pgd).cloned()
    }

    /// Nobody's yet.
    pub(crate) fn new_space(&self, charge: Charge) -> std::io::Result<Arc<Space>> {
        Space::new(self.board.physical.clone(), self.board.format, charge)
    }

    pub(crate) fn bind_space(&mut self, pgd: u32, space: Arc<Space>, parent: Option<&Space>) {
        space.bind(pgd, parent);
        self.spaces.insert(pgd, space);
    }

    pub(crate) fn space_flush(&self, pgd: u32, start: u32, end: u32) {
        if let Some(space) = self.spaces.get(&pgd) {
            space.flush(start, end);
        }
    }

    /// Maps what will be written next, if it can be.
    pub(crate) fn space_load(&self, pgd: u32, address: u32) {
        if let Some(space) = self.spaces.get(&pgd) {
            space.map(address, true);
        }
    }

    pub(crate) fn space_protect(&self, pgd: u32) {
        if let Some(space) = self.spaces.get(&pgd) {
            space.protect();
        }
    }

    pub(crate) fn space_destroy(&mut self, pgd: u32) {
        if let Some(space) = self.spaces.remove(&pgd) {
            space.unbind();
        }
    }

    /// The guest has left work for the backend of a device: it is done at once if it is the first since the processor slept. Guests
    /// send one thing after the other, and work for all that follows costs less: it is done when the processor sleeps, or soon. True
    /// if at once.
    pub(crate) fn notify_backend(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.notified_since_halt, true);
        if !std::mem::replace(&mut self.backend_notified, true) && !first {
            self.clock.hurry(POLL_WITHIN);
        }
        first
    }

    /// Whether the machine may have the code of this program in memory, after that of others that nobody runs was forgotten.
    fn charge_code(&mut self, program: &Program) -> bool {
        if program.charge.get().is_some() {
            return true;
        }
        let image = program.module.image_range();
        let cost = Cost { maps: CODE_MAPS, code: image.end.addr() - image.start.addr(), ..Cost::default() };
        let charge = self.ledger.charge(cost).or_else(|| {
            instance::clear();
            self.programs.clear_idle();
            self.ledger.charge(cost)
        });
        charge.is_some_and(|charge| program.charge.set(charge).is_ok())
    }

    /// A handle, or a negative errno.
    fn load(&mut self, at: u32, len: u32, user: u32) -> i32 {
        if let Err(error) = wasmlinux_module::check_size(len as usize) {
            return self.refuse(&error.into());
        }
        // A copy, as it is looked at more than once.
        let Some(wasm) = self.board.physical.copy(at, len) else { return -libc::EFAULT };
        match self.programs.load(wasm, user) {
            Ok(Handle::Ready(program)) if !self.charge_code(&program) => -libc::ENOMEM,
            Ok(handle) => {
                // Those in use are far fewer.
                while self.handles.contains_key(&self.next_handle) {
                    self.next_handle = (self.next_handle + 1) & 0x3fff_ffff;
                }
                self.handles.insert(self.next_handle, handle);
                self.next_handle as i32
            }
            Err(error) => self.refuse(&error),
        }
    }

    /// What has become of a program that was asked for: 0, MODULE_PENDING or a negative errno.
    pub(crate) fn load_state(&mut self, handle: u32) -> wasmtime::Result<i32> {
        let job = match self.handles.get(&handle) {
            Some(Handle::Ready(_)) => return Ok(0),
            Some(Handle::Waiting(job)) => job.clone(),
            None => return Err(wasmtime::Error::msg("module_state() of no handle")),
        };
        Ok(match self.programs.take(&job) {
            None => boundary::MODULE_PENDING,
            Some(Ok(program)) if !self.charge_code(&program) => -libc::ENOMEM,
            Some(Ok(program)) => {
                self.handles.insert(handle, Handle::Ready(program));
                0
            }
            Some(Err(error)) => self.refuse(&error),
        })
    }

    /// Says why a program is refused, and gives the errno for it.
    fn refuse(&mut self, error: &ProgramError) -> i32 {
        // It may name what the program names.
        let text = printable(&error.to_string());
        (self.console)(format!("<3>[machine] program refused: {text}\n").as_bytes());
        self.board.reports.refusal(text.to_string());
        match error {
            ProgramError::Resources(_) => -libc::ENOMEM,
            _ => -libc::ENOEXEC,
        }
    }
}

thread_local! {
    static CPU: RefCell<Option<Cpu>> = const { RefCell::new(None) };
    /// See [`stack_limit`].
    static STACK_LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Gives access to the processor of this thread: for host functions and task futures.
pub(crate) fn cpu<R>(f: impl FnOnce(&mut Cpu) -> R) -> R {
    CPU.with_borrow_mut(|cpu| f(cpu.as_mut().expect("only the machine's thread runs guest code")))
}

/// The lowest native stack pointer with which the current task may enter the kernel; usize::MAX if something must be looked
/// at first: it is not known yet, or the plug was pulled.
pub(crate) fn stack_limit() -> usize {
    STACK_LIMIT.get()
}

/// Async-signal-safe.
pub(crate) fn set_stack_limit(limit: usize) {
    STACK_LIMIT.set(limit);
}

struct Suspend(bool);

impl Future for Suspend {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.0, true) {
            let marker = 0u8;
            SUSPENDED_AT.set(&raw const marker as usize);
            return Poll::Pending;
        }
        let limit = RAISE_LIMIT.take();
        if limit != 0 {
            trap::raise_stack_limit(limit);
        }
        Poll::Ready(())
    }
}

/// The stack pointer with which a task suspended on this thread last.
pub(crate) fn suspended_at() -> usize {
    SUSPENDED_AT.get()
}

/// The engine's stack limit that the task which is polled next shall go on with; 0 for its own.
pub(crate) fn raise_limit(limit: usize) {
    RAISE_LIMIT.set(limit);
}

/// Gives back what the stacks of sleeping tasks do not need.
pub(crate) fn trim_stacks() {
    TASKS.with_borrow(|tasks| tasks.values().for_each(Task::trim_stack));
}

thread_local! {
    static SUSPENDED_AT: Cell<usize> = const { Cell::new(0) };
    static RAISE_LIMIT: Cell<usize> = const { Cell::new(0) };
    /// Set while a task is polled so that its frames end: no backtrace, so that the engine makes none.
    static LEAVE: Cell<Option<WasmBacktrace>> = const { Cell::new(None) };
    /// Without a frame.
    static NO_FRAMES: OnceCell<Store<()>> = const { OnceCell::new() };
}

/// Suspends the current task, for the processor to act on `request`. An error if the task is gone: it unwinds the task's frames.
pub(crate) async fn suspend(request: Request) -> wasmtime::Result<()> {
    cpu(|cpu| cpu.request = Some(request));
    Suspend(false).await;
    match LEAVE.take() {
        Some(backtrace) => Err(wasmtime::Error::from(task::Thrown::Unplugged).context(backtrace)),
        None => Ok(()),
    }
}

/// Calls `f` so that a task that it polls leaves the host function in which it was suspended with an error.
pub(crate) fn leaving<R>(engine: &Engine, f: impl FnOnce() -> R) -> R {
    let backtrace = NO_FRAMES.with(|store| WasmBacktrace::capture(store.get_or_init(|| Store::new(engine, ()))));
    LEAVE.set(Some(backtrace));
    let result = f();
    LEAVE.set(None);
    result
}

/// The answer to [`Request::Load`].
pub(crate) fn load_result() -> i32 {
    cpu(|cpu| cpu.load_result)
}

/// Runs a machine on the calling thread until it ends, tells how, then gives everything back.
pub(crate) fn run(board: Board, config: Config, ended: impl FnOnce(Outcome)) {
    let interrupts = board.interrupts();
    trap::prepare_thread();
    let outcome = match power_on(board, config) {
        Ok(first) => execute(first, &interrupts),
        Err(error) => Outcome::Failed(match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }),
    };
    interrupts.set_processor(None);
    ended(outcome);
    clear();
}

/// Gives back what the machine of this thread had.
pub(crate) fn clear() {
    // SAFETY: this thread is no processor any more; null needs nothing.
    unsafe {
        trap::set_current(std::ptr::null());
        trap::set_processor(std::ptr::null(), Alarm::NONE);
    }
    // Not under the borrow: host functions of tasks that are unwound may use it.
    let tasks = TASKS.take();
    drop(tasks);
    instance::clear();
    drop(CPU.take());
    limits::set_current(None);
}

thread_local! {
    /// All tasks but the one that is polled.
    static TASKS: RefCell<HashMap<u32, Task>> = RefCell::default();
}

fn power_on(board: Board, config: Config) -> Result<(u32, Task), Error> {
    let interrupts = board.interrupts();
    let clock = Clock::new()?;
    let compiler = config.compiler.resolve()?;
    // SAFETY: both are in CPU, which is cleared after this was taken back; or this machine never runs any code.
    unsafe { trap::set_processor(Arc::as_ptr(&interrupts), clock.alarm()) };
    interrupts.set_processor(Some(signals::this_thread()));
    let (init_task, stack) = (board.init_task, board.init_stack_top);
    let ledger = board.ledger.clone();
    limits::set_current(Some(ledger.clone()));
    trap::set_kernel(board.kernel.module());
    let charge = ledger.charge_anyway(Cost { tasks: 1, maps: TASK_MAPS, address: TASK_ADDRESS, ..Cost::default() });
    CPU.set(Some(Cpu {
        ledger,
        board: Arc::new(board),
        clock,
        streams: config.streams,
        bus: config.bus,
        console: config.console,
        programs: Programs::new(config.guest, config.cache.as_deref(), compiler, interrupts.clone()),
        handles: HashMap::new(),
        next_handle: 0,
        spaces: HashMap::new(),
        starts: HashMap::new(),
        images: HashMap::new(),
        current: init_task,
        backend_notified: false,
        notified_since_halt: false,
        changes: vec![],
        request: None,
        load_result: 0,
    }));
    Ok((init_task, Task::new(init_task, Entry::Boot, stack, charge)))
}

/// Polls the backends that the guest has left work for.
fn poll_notified(bus: &Bus) {
    let notified = cpu(|cpu| {
        cpu.clock.take_time();
        std::mem::take(&mut cpu.backend_notified)
    });
    if notified {
        bus.poll_notified();
    }
}

/// What the processor polls while it sleeps; kept, so that to sleep allocates nothing.
#[derive(Default)]
struct Sleep {
    backends: Vec<Arc<dyn Backend>>,
    descriptors: Polled,
}

impl Sleep {
    /// Sleeps until an interrupt is pending, and meanwhile does the work of devices.
    fn halt(&mut self, bus: &Bus, interrupts: &Interrupts) {
        poll_notified(bus);
        cpu(|cpu| cpu.notified_since_halt = false);
        let ready = || interrupts.pending() || interrupts.unplugged();
        self.backends.extend(bus.backends());
        while !ready() {
            let mut limit: Option<Duration> = None;
            self.descriptors.clear();
            for backend in &self.backends {
                let (fd, most) = backend.processor_sleeps();
                limit = limit.into_iter().chain(most).min();
                self.descriptors.push(fd);
            }
            let work = signals::wait(ready, &mut self.descriptors, limit);
            self.backends.iter().for_each(|backend| backend.processor_runs());
            for (backend, ready) in self.backends.iter().zip(self.descriptors.ready()) {
                if work == Some(0) || work.is_some() && ready {
                    backend.poll();
                }
            }
        }
        self.backends.clear();
    }
}

fn execute((mut id, mut task): (u32, Task), interrupts: &Interrupts) -> Outcome {
    let mut context = Context::from_waker(Waker::noop());
    let bus = cpu(|cpu| cpu.bus.clone());
    let mut sleep = Sleep::default();
    loop {
        if interrupts.unplugged() {
            return interrupts.end();
        }
        let polled = task.run(&mut context);
        if let Poll::Ready(error) = polled {
            // Whatever else went wrong then.
            return match () {
                () if interrupts.unplugged() => interrupts.end(),
                () if cpu(|cpu| cpu.ledger.failed()) => Outcome::Failed("the host refuses to unmap memory".into()),
                () => Outcome::Failed(format!("{error:?}")),
            };
        }
        let (request, changes) = cpu(|cpu| (cpu.request.take(), std::mem::take(&mut cpu.changes)));
        for change in changes {
            // Dropped outside of the borrow: that unwinds its stack.
            let gone = match change {
                Change::Created(new, stack, charge) => {
                    let task = Task::new(new, Entry::Start, stack, charge);
                    TASKS.with_borrow_mut(|tasks| tasks.insert(new, task))
                }
                Change::Destroyed(dead) => TASKS.with_borrow_mut(|tasks| tasks.remove(&dead)),
            };
            drop(gone);
        }
        match request {
            Some(Request::Switch(next)) if next == id => {}
            Some(Request::Switch(next)) => {
                let Some(next_task) = TASKS.with_borrow_mut(|tasks| tasks.remove(&next)) else {
                    return Outcome::Failed(format!("the kernel switched to {next:#x}, which is no task"));
                };
                let before = std::mem::replace(&mut task, next_task);
                TASKS.with_borrow_mut(|tasks| tasks.insert(id, before));
                id = next;
                cpu(|cpu| cpu.current = next);
            }
            Some(Request::Halt) => sleep.halt(&bus, interrupts),
            Some(Request::Poll) => poll_notified(&bus),
            Some(Request::Load { at, len, user }) => cpu(|cpu| cpu.load_result = cpu.load(at, len, user)),
            Some(Request::PowerOff(how)) => {
                poll_notified(&bus);
                return match how {
                    boundary::POWER_OFF => Outcome::Off,
                    boundary::POWER_HALT => Outcome::Halt,
                    boundary::POWER_REBOOT => Outcome::Reboot,
                    boundary::POWER_PANIC => Outcome::Panic,
                    _ => Outcome::Failed(format!("the kernel switched off in an unknown way, {how}")),
                };
            }
            None => {}
        }
    }
}
