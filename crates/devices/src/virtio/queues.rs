//! The virtqueues of one device, and what it tells its driver beside: shared by the transport, the
//! frontend and the backend, which may be on different threads.
use super::queue::{Broken, Layout, Queue};
use crate::{GuestMemory, Line, Panic};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of the interrupt status register.
const INTERRUPT_USED: u32 = 1;
const INTERRUPT_CONFIG: u32 = 2;

/// The virtqueues of one device. Each has a lock of its own, held while buffers are copied and
/// never longer.
pub struct Queues {
    queues: Box<[Shared]>,
    interrupt_status: AtomicU32,
    needs_reset: AtomicBool,
    config_generation: AtomicU32,
    /// How often the driver was ready.
    generation: AtomicU32,
    connection: Mutex<Option<(Arc<dyn GuestMemory>, Line)>>,
}

struct Shared {
    size: u16,
    /// While the driver is ready and has done nothing that makes no sense.
    queue: Mutex<Option<Queue>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queues {
    /// As many queues as there are sizes: what each has of descriptors at most, a power of two.
    pub fn new(sizes: &[u16]) -> Queues {
        debug_assert!(sizes.iter().all(|size| size.is_power_of_two()));
        Queues {
            queues: sizes.iter().map(|size| Shared { size: *size, queue: Mutex::default() }).collect(),
            interrupt_status: AtomicU32::new(0),
            needs_reset: AtomicBool::new(false),
            config_generation: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            connection: Mutex::default(),
        }
    }

    /// Calls `work` with a queue, under its lock; None if the driver is not ready. A queue that
    /// `work` finds broken is used no more until the driver has reset the device, and it is told
    /// that it must.
    pub fn with<R>(&self, index: usize, work: impl FnOnce(&mut Queue) -> Result<R, Broken>) -> Option<R> {
        let mut queue = self.queues.get(index)?.lock();
        match work(queue.as_mut()?) {
            Ok(result) => Some(result),
            Err(Broken) => {
                *queue = None;
                // Under the lock: a reset that comes after takes it back.
                self.needs_reset.store(true, SeqCst);
                drop(queue);
                self.raise(INTERRUPT_CONFIG);
                None
            }
        }
    }

    /// Tells the driver what was given back since the last call, if it wants to know.
    pub fn signal(&self) {
        let mut wanted = false;
        for shared in &self.queues {
            wanted |= shared.lock().as_mut().is_some_and(Queue::take_signal);
        }
        if wanted {
            self.raise(INTERRUPT_USED);
        }
    }

    /// Tells the driver that the device's configuration has changed.
    pub fn config_changed(&self) {
        self.config_generation.fetch_add(1, SeqCst);
        self.raise(INTERRUPT_CONFIG);
    }

    /// The backend's code has panicked: the machine ends at once.
    pub fn fail(&self, why: Panic) {
        if let Some(line) = self.line() {
            line.fail(why);
        }
    }

    fn raise(&self, why: u32) {
        if let Some(line) = self.line() {
            self.interrupt_status.fetch_or(why, SeqCst);
            line.raise();
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<(Arc<dyn GuestMemory>, Line)>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not used under the lock: raising may have to wait for the processor.
    fn line(&self) -> Option<Line> {
        self.connection().as_ref().map(|(_, line)| line.clone())
    }
}

/// For the transport.
impl Queues {
    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// The most descriptors of a queue; 0 if there is no such queue.
    pub(super) fn size(&self, index: usize) -> u16 {
        self.queues.get(index).map_or(0, |shared| shared.size)
    }

    pub(super) fn connect(&self, memory: Arc<dyn GuestMemory>, line: Line) {
        *self.connection() = Some((memory, line));
    }

    pub(super) fn disconnect(&self) {
        *self.connection() = None;
        self.stop();
    }

    /// The driver is ready: these queues, of those that it has set up, are to be used.
    pub(super) fn start(&self, features: u64, layouts: impl Iterator<Item = (usize, Result<Layout, Broken>)>) {
        let Some(memory) = self.connection().as_ref().map(|(memory, _)| memory.clone()) else { return };
        let generation = self.generation.fetch_add(1, SeqCst).wrapping_add(1);
        let mut broken = false;
        for (index, layout) in layouts {
            let Some(shared) = self.queues.get(index) else { continue };
            match layout.and_then(|layout| Queue::new(memory.clone(), layout, features, generation)) {
                Ok(queue) => *shared.lock() = Some(queue),
                Err(Broken) => broken = true,
            }
        }
        if broken {
            self.needs_reset.store(true, SeqCst);
            self.raise(INTERRUPT_CONFIG);
        }
    }

    /// The driver uses this queue no more.
    pub(super) fn stop_one(&self, index: usize) {
        if let Some(shared) = self.queues.get(index) {
            *shared.lock() = None;
        }
    }

    fn stop(&self) {
        (0..self.len()).for_each(|index| self.stop_one(index));
    }

    /// The driver has reset the device.
    pub(super) fn reset(&self) {
        self.stop();
        self.needs_reset.store(false, SeqCst);
        self.interrupt_status.store(0, SeqCst);
    }

    pub(super) fn needs_reset(&self) -> bool {
        self.needs_reset.load(SeqCst)
    }

    pub(super) fn interrupt_status(&self) -> u32 {
        self.interrupt_status.load(SeqCst)
    }

    pub(super) fn acknowledge(&self, bits: u32) {
        self.interrupt_status.fetch_and(!bits, SeqCst);
    }

    pub(super) fn config_generation(&self) -> u32 {
        self.config_generation.load(SeqCst)
    }
}
