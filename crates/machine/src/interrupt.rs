//! Interrupt lines, and the signal that makes the processor look at them.
use crate::{
    KernelError, Outcome,
    engine::kernel_code::KernelCode,
    host::{
        signals,
        time::{self, Alarm},
    },
    mmu::physical::Physical,
    sync::lock,
};
use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::SeqCst},
};
use std::time::Duration;
use std::{cell::Cell, ptr};
use wasmlinux_boundary::{IRQ_LINES, boot_info};
use wasmlinux_devices::{Interrupt, Panic};

thread_local! {
    /// The machine whose processor this thread is, and its timer.
    static PROCESSOR: Cell<(*const Interrupts, Alarm)> = const { Cell::new((ptr::null(), Alarm::NONE)) };
}

/// This thread is the processor of a machine.
///
/// # Safety
/// `interrupts` is null, or valid until the next call; while it is null, no code of the guest runs
/// on this thread.
pub(crate) unsafe fn set_processor(interrupts: *const Interrupts, timer: Alarm) {
    PROCESSOR.set((interrupts, timer));
}

/// What [`set_processor`] was told: null, or valid. Async-signal-safe.
#[inline]
pub(crate) fn processor() -> (*const Interrupts, Alarm) {
    PROCESSOR.get()
}

fn is_processor(interrupts: &Interrupts) -> bool {
    ptr::eq(PROCESSOR.get().0, interrupts)
}

/// The interrupt controller of a machine: raises lines from any thread.
pub(crate) struct Interrupts {
    physical: Arc<Physical>,
    /// Physical address of `struct boot_info`.
    boot_info: u32,
    /// What the handlers have to know of the kernel.
    pub(crate) kernel: KernelCode,
    unplugged: AtomicBool,
    /// As what it was unplugged.
    end: OnceLock<Outcome>,
    /// The signal was sent to the processor, and its handler has not run since, so it is not sent
    /// again: a handler can be interrupted, and each signal would put a frame on the stack of a
    /// processor that the host lets wait.
    kicked: AtomicBool,
    /// The thread that is the processor, while there is one.
    processor: Mutex<Option<i32>>,
}

impl Interrupts {
    /// An error if there is no `boot_info` at this physical address, as it must lie in memory and
    /// be aligned to words.
    pub(crate) fn new(physical: Arc<Physical>, boot_info: u32, kernel: KernelCode) -> Result<Interrupts, KernelError> {
        if !boot_info.is_multiple_of(4) || physical.copy(boot_info, boot_info::SIZE).is_none() {
            return Err(KernelError::BootInfo(boot_info));
        }
        let (unplugged, kicked) = (AtomicBool::new(false), AtomicBool::new(false));
        let (end, processor) = (OnceLock::new(), Mutex::new(None));
        Ok(Interrupts { physical, boot_info, kernel, unplugged, end, kicked, processor })
    }

    fn at(&self, offset: u32) -> *mut u8 {
        self.physical.base().wrapping_add((self.boot_info + offset) as usize)
    }

    fn pending_word(&self) -> &AtomicU32 {
        // SAFETY: in memory and aligned, by new(); both sides use it as an atomic word.
        unsafe { AtomicU32::from_ptr(self.at(boot_info::IRQ_PENDING).cast()) }
    }

    /// Something is pending.
    pub(crate) fn pending(&self) -> bool {
        self.pending_word().load(SeqCst) != 0
    }

    /// Marks a line as raised, without telling the processor. Async-signal-safe.
    pub(crate) fn mark(&self, line: u32) {
        debug_assert!(line < IRQ_LINES);
        // SAFETY: in memory, by new().
        let line = unsafe { AtomicU8::from_ptr(self.at(boot_info::IRQ_LINE + line)) };
        // In this order: the kernel clears them in the other one.
        line.store(1, SeqCst);
        self.pending_word().store(1, SeqCst);
    }

    /// The calling thread is the processor from now on, or nobody is.
    pub(crate) fn set_processor(&self, thread: Option<i32>) {
        *lock(&self.processor) = thread;
    }

    fn kick(&self) {
        let processor = *lock(&self.processor);
        // The processor's own thread is in a hypercall, or between tasks: the kernel looks before
        // user code goes on.
        if let Some(thread) = processor.filter(|_| !is_processor(self))
            && !self.kicked.swap(true, SeqCst)
            && !signals::interrupt(thread)
        {
            self.kicked.store(false, SeqCst);
        }
    }

    /// The processor handles the signal now. Async-signal-safe.
    pub(crate) fn kick_arrived(&self) {
        self.kicked.store(false, SeqCst);
    }

    /// The machine shall end at once, and in this way if nobody has said another.
    pub(crate) fn unplug(&self, how: Outcome) {
        let _ = self.end.set(how);
        self.kernel.prepare();
        self.unplugged.store(true, SeqCst);
        self.kick();
    }

    /// How a machine ends that is unplugged.
    pub(crate) fn end(&self) -> Outcome {
        self.end.get().cloned().unwrap_or(Outcome::Unplugged)
    }

    pub(crate) fn unplugged(&self) -> bool {
        self.unplugged.load(SeqCst)
    }
}

impl Interrupt for Interrupts {
    fn raise(&self, line: u32) {
        self.mark(line);
        self.kick();
    }

    fn fail(&self, why: Panic) {
        self.unplug(Outcome::Failed(why.into()));
    }

    fn processor_time(&self) -> Option<Duration> {
        let processor = *lock(&self.processor);
        time::of_thread(processor?)
    }
}
