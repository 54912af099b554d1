//! What belongs to the machine, and is the same for each of its processors.
//!
//! Its parts have a lock each, which is held for the length of a function here. A program's code
//! takes none, nor does a handler of a signal; a task never suspends with one.
use crate::{
    Config, ConsoleSink, ProgramError,
    board::Board,
    cpu::clock::Monotonic,
    cpu::start::{Image, UserStart},
    engine::code::Program,
    engine::programs::{Handle, Programs},
    limits::{CODE_MAPS, Charge, Cost},
    mmu::space::Space,
    sync::lock,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use wasmlinux_boundary as boundary;
use wasmlinux_devices::{Bus, Streams, printable};

/// A machine, as its processors see it.
pub(crate) struct System {
    pub(crate) board: Board,
    pub(crate) clock: Monotonic,
    pub(crate) streams: Arc<Streams>,
    pub(crate) bus: Arc<Bus>,
    console: Mutex<ConsoleSink>,
    loaded: Mutex<Loaded>,
    /// Address spaces by their page directory.
    spaces: Mutex<HashMap<u32, Arc<Space>>>,
    /// By the task, what it runs when it enters user mode next.
    starts: Mutex<HashMap<u32, UserStart>>,
    /// By the task, what it has reserved for the program that it is about to execute.
    images: Mutex<HashMap<u32, Image>>,
}

struct Loaded {
    programs: Programs,
    /// Until module_drop().
    handles: HashMap<u32, Handle>,
    next_handle: u32,
}

impl System {
    /// The machine is switched on now. `compiler` is the executable that [`Config::compiler`]
    /// means.
    pub(crate) fn new(board: Board, config: Config, compiler: Option<PathBuf>) -> System {
        let interrupts = board.interrupts();
        let programs = Programs::new(config.guest, config.cache.as_deref(), compiler, config.broker, interrupts);
        System {
            board,
            clock: Monotonic::new(),
            streams: config.streams,
            bus: config.bus,
            console: Mutex::new(config.console),
            loaded: Mutex::new(Loaded { programs, handles: HashMap::new(), next_handle: 0 }),
            spaces: Mutex::default(),
            starts: Mutex::default(),
            images: Mutex::default(),
        }
    }

    /// What the kernel says to its owner.
    pub(crate) fn console_write(&self, text: &[u8]) {
        lock(&self.console)(text);
    }

    /// The address space of a page directory, once it has one.
    pub(crate) fn space_of(&self, pgd: u32) -> Option<Arc<Space>> {
        lock(&self.spaces).get(&pgd).cloned()
    }

    /// Nobody's yet.
    pub(crate) fn new_space(&self, charge: Charge) -> std::io::Result<Arc<Space>> {
        Space::new(self.board.physical.clone(), self.board.format, charge)
    }

    pub(crate) fn bind_space(&self, pgd: u32, space: Arc<Space>, parent: Option<&Space>) {
        space.bind(pgd, parent);
        lock(&self.spaces).insert(pgd, space);
    }

    /// Calls `f` with the address space of a page directory, once it has one.
    pub(crate) fn with_space(&self, pgd: u32, f: impl FnOnce(&Space)) {
        if let Some(space) = lock(&self.spaces).get(&pgd) {
            f(space);
        }
    }

    pub(crate) fn space_destroy(&self, pgd: u32) {
        let space = lock(&self.spaces).remove(&pgd);
        if let Some(space) = space {
            space.unbind();
        }
    }

    /// The task has been given a program.
    pub(crate) fn set_start(&self, task: u32, start: UserStart) {
        let before = lock(&self.starts).insert(task, start);
        drop(before);
    }

    pub(crate) fn take_start(&self, task: u32) -> Option<UserStart> {
        lock(&self.starts).remove(&task)
    }

    /// What `f` makes of what the task runs next.
    pub(crate) fn with_start<R>(&self, task: u32, f: impl FnOnce(&UserStart) -> R) -> Option<R> {
        lock(&self.starts).get(&task).map(f)
    }

    /// The task has reserved what its next program takes.
    pub(crate) fn set_image(&self, task: u32, image: Image) {
        let before = lock(&self.images).insert(task, image);
        drop(before);
    }

    pub(crate) fn take_image(&self, task: u32) -> Option<Image> {
        lock(&self.images).remove(&task)
    }

    /// The task is gone.
    pub(crate) fn forget_task(&self, task: u32) {
        drop((self.take_start(task), self.take_image(task)));
    }

    /// The program of a handle, if it is ready.
    pub(crate) fn program(&self, handle: u32) -> Option<Arc<Program>> {
        match lock(&self.loaded).handles.get(&handle) {
            Some(Handle::Ready(program)) => Some(program.clone()),
            _ => None,
        }
    }

    pub(crate) fn drop_program(&self, handle: u32) {
        let handle = lock(&self.loaded).handles.remove(&handle);
        drop(handle);
    }

    /// Loads the program at this physical address for this user: a handle, or a negative errno.
    /// `give_back` gives back what is kept for reuse.
    pub(crate) fn load(&self, at: u32, len: u32, user: u32, give_back: impl FnOnce()) -> i32 {
        if let Err(error) = wasmlinux_module::check_size(len.into()) {
            return self.refuse(&error.into());
        }
        // A copy, as it is looked at more than once.
        let Some(wasm) = self.board.physical.copy(at, len) else { return -libc::EFAULT };
        let mut loaded = lock(&self.loaded);
        match loaded.programs.load(wasm, user) {
            Ok(Handle::Ready(program)) if !self.charge_code(&mut loaded, &program, give_back) => -libc::ENOMEM,
            Ok(handle) => loaded.add(handle) as i32,
            Err(error) => self.refuse(&error),
        }
    }

    /// What has become of a program that was asked for: 0, MODULE_PENDING or a negative errno.
    /// `give_back` as for [`System::load`].
    pub(crate) fn load_state(&self, handle: u32, give_back: impl FnOnce()) -> wasmtime::Result<i32> {
        let mut loaded = lock(&self.loaded);
        let job = match loaded.handles.get(&handle) {
            Some(Handle::Ready(_)) => return Ok(0),
            Some(Handle::Waiting(job)) => job.clone(),
            None => return Err(wasmtime::Error::msg("module_state() of no handle")),
        };
        Ok(match loaded.programs.take(&job) {
            None => boundary::MODULE_PENDING,
            Some(Ok(program)) if !self.charge_code(&mut loaded, &program, give_back) => -libc::ENOMEM,
            Some(Ok(program)) => {
                loaded.handles.insert(handle, Handle::Ready(program));
                0
            }
            Some(Err(error)) => self.refuse(&error),
        })
    }

    /// Whether the machine may have the code of this program in memory, if need be after that of
    /// others that nobody runs was forgotten.
    fn charge_code(&self, loaded: &mut Loaded, program: &Program, give_back: impl FnOnce()) -> bool {
        if program.charge.get().is_some() {
            return true;
        }
        let image = program.module.image_range();
        let cost = Cost { maps: CODE_MAPS, code: image.end.addr() - image.start.addr(), ..Cost::default() };
        let charge = self.board.ledger.charge(cost).or_else(|| {
            give_back();
            loaded.programs.clear_idle();
            self.board.ledger.charge(cost)
        });
        charge.is_some_and(|charge| program.charge.set(charge).is_ok())
    }

    /// Says why a program is refused, and gives the errno for it.
    fn refuse(&self, error: &ProgramError) -> i32 {
        // It may name what the program names.
        let text = printable(&error.explained());
        self.console_write(format!("<3>[machine] program refused: {text}\n").as_bytes());
        self.board.reports.refusal(text.to_string());
        match error {
            ProgramError::Resources(_) => -libc::ENOMEM,
            _ => -libc::ENOEXEC,
        }
    }
}

impl Loaded {
    /// A new handle, which is no negative number.
    fn add(&mut self, handle: Handle) -> u32 {
        // Those in use are far fewer.
        while self.handles.contains_key(&self.next_handle) {
            self.next_handle = (self.next_handle + 1) & 0x3fff_ffff;
        }
        self.handles.insert(self.next_handle, handle);
        self.next_handle
    }
}
