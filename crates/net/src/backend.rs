//! On which thread the network works. Waking a thread costs more than carrying a packet, so the
//! processor's thread does it: when the guest has sent something, and while it has nothing else to
//! do. The network's own thread does it while the processor is busy with the guest's programs.
use crate::reactor::{Reactor, WAKER};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Waker};
use std::io;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};
use wasmlinux_devices::virtio::NetDevice;
use wasmlinux_devices::{Backend, Panic};

/// Turns of one call; then others have their turn.
const TURNS: usize = 8;
/// How long the processor may be busy until the network's own thread works: it sleeps often enough
/// if it is not.
const BUSY: Duration = Duration::from_millis(1);
/// No time at all, in [`Shared::next`].
const NEVER: u64 = u64::MAX;

/// A network that runs. Dropping it ends all connections, after what the guest had sent (5 seconds
/// at most).
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    cut: bool,
}

struct Shared {
    reactor: Mutex<Reactor>,
    /// Readable when there is something to do.
    descriptor: RawFd,
    /// There is something to do that no socket tells.
    wanted: AtomicBool,
    waker: Waker,
    epoch: Instant,
    /// When there is something to do in any case, in microseconds since the epoch.
    next: AtomicU64,
    /// The processor sleeps and polls; if not, when it began to run, in microseconds since the
    /// epoch.
    asleep: AtomicBool,
    since: AtomicU64,
    /// The network's own thread leaves the work to the processor.
    parked: AtomicBool,
    thread: Mutex<Option<Thread>>,
    ended: AtomicBool,
    failed: AtomicBool,
    /// For the tests: the next work panics.
    #[cfg(test)]
    provoked: AtomicBool,
}

impl Running {
    pub(crate) fn start(mut reactor: Reactor, waker: Waker, device: &Arc<NetDevice>) -> io::Result<Running> {
        let shared = Arc::new(Shared {
            descriptor: reactor.descriptor(),
            next: AtomicU64::new(reactor.next_time().map_or(NEVER, |next| next.as_micros() as u64)),
            reactor: Mutex::new(reactor),
            wanted: AtomicBool::new(false),
            waker,
            epoch: Instant::now(),
            asleep: AtomicBool::new(false),
            since: AtomicU64::new(0),
            parked: AtomicBool::new(false),
            thread: Mutex::default(),
            ended: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            #[cfg(test)]
            provoked: AtomicBool::new(false),
        });
        let backend: Arc<dyn Backend> = shared.clone();
        device.set_backend(Arc::downgrade(&backend));
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&shared.descriptor), WAKER, Interest::READABLE)?;
        let (of_thread, device) = (shared.clone(), device.clone());
        let run = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| of_thread.run(poll))) {
                of_thread.failed.store(true, SeqCst);
                device.fail(Panic::caught(&*panic));
            }
        };
        let thread = std::thread::Builder::new().name("network".into()).spawn(run)?;
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread.thread().clone());
        Ok(Running { shared, thread: Some(thread), cut: false })
    }

    /// Ends all connections at once.
    pub fn cut(mut self) {
        self.cut = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        // Its thread is awake then, or there is nothing that could be done about it.
        let _ = self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        // What a panic has left is not worth another.
        if !self.cut && !self.shared.reactor.is_poisoned() {
            self.shared.reactor().finish();
        }
    }
}

impl Shared {
    /// The network's own thread.
    fn run(&self, mut poll: Poll) {
        let mut events = Events::with_capacity(1);
        while !self.ended.load(SeqCst) && !self.failed.load(SeqCst) {
            if self.processor_polls() {
                self.parked.store(true, SeqCst);
                // Woken by the processor's timer, if that is busy for long.
                if !self.ended.load(SeqCst) {
                    std::thread::park();
                }
                self.parked.store(false, SeqCst);
                continue;
            }
            if let Err(error) = poll.poll(&mut events, self.time_left())
                && error.kind() != io::ErrorKind::Interrupted
            {
                return self.fail(&error);
            }
            self.work();
        }
    }

    /// The processor sleeps, or has slept a moment ago.
    fn processor_polls(&self) -> bool {
        self.asleep.load(SeqCst) || self.since.load(SeqCst) != 0 && !self.is_busy()
    }

    fn is_busy(&self) -> bool {
        self.now().saturating_sub(self.since.load(SeqCst)) > BUSY.as_micros() as u64
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    fn time_left(&self) -> Option<Duration> {
        match self.next.load(SeqCst) {
            NEVER => None,
            next => Some(Duration::from_micros(next.saturating_sub(self.now()))),
        }
    }

    fn reactor(&self) -> MutexGuard<'_, Reactor> {
        self.reactor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: &io::Error) {
        if !self.failed.swap(true, SeqCst) {
            tracing::error!("the network has failed: {error}");
        }
    }

    /// Works, if nobody else does; who does looks again.
    fn work(&self) {
        self.wanted.store(true, SeqCst);
        #[cfg(test)]
        assert!(!self.provoked.load(SeqCst), "provoked");
        let mut turns = 0;
        // Whoever holds the reactor looks again after having let go.
        while self.wanted.load(SeqCst) && !self.failed.load(SeqCst) {
            if turns >= TURNS {
                // Whoever looks at the descriptor next goes on.
                let _ = self.waker.wake();
                return;
            }
            let mut reactor = match self.reactor.try_lock() {
                Ok(reactor) => reactor,
                Err(TryLockError::Poisoned(reactor)) => reactor.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            while turns < TURNS && self.wanted.swap(false, SeqCst) {
                turns += 1;
                match reactor.turn() {
                    Ok(more) => self.wanted.fetch_or(more, SeqCst),
                    Err(error) => return self.fail(&error),
                };
            }
            let next = reactor.next_time().map_or(NEVER, |next| self.now() + next.as_micros() as u64);
            self.next.store(next, SeqCst);
        }
    }
}

impl Backend for Shared {
    fn poll(&self) {
        self.work();
    }

    fn processor_sleeps(&self) -> (RawFd, Option<Duration>) {
        self.asleep.store(true, SeqCst);
        (self.descriptor, self.time_left())
    }

    fn processor_runs(&self) {
        self.since.store(self.now().max(1), SeqCst);
        self.asleep.store(false, SeqCst);
    }

    fn processor_ticks(&self) {
        if self.parked.load(SeqCst)
            && !self.asleep.load(SeqCst)
            && self.is_busy()
            && let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner)
        {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Network;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;
    use wasmlinux_devices::virtio::Mmio;
    use wasmlinux_devices::{BusDevice, GuestMemory, Interrupt, Line, Panic};

    /// A machine that is told that its network has failed.
    struct Told(Mutex<mpsc::Sender<Panic>>);

    impl Interrupt for Told {
        fn raise(&self, _: u32) {}

        fn fail(&self, why: Panic) {
            self.0.lock().unwrap().send(why).unwrap();
        }
    }

    struct NoMemory;

    impl GuestMemory for NoMemory {
        fn read(&self, _: u32, _: &mut [u8]) -> Option<()> {
            None
        }
        fn write(&self, _: u32, _: &[u8]) -> Option<()> {
            None
        }
        fn load_u16(&self, _: u32) -> Option<u16> {
            None
        }
        fn store_u16(&self, _: u32, _: u16) -> Option<()> {
            None
        }
    }

    #[test]
    fn a_panic_of_the_networks_thread_is_told_to_the_machine() {
        let share = crate::Share { sockets: 64, buffers: 1 << 20 };
        let network = Network::new(crate::Ports::default(), Box::new(crate::Local::default()), false, share);
        let (teller, told) = mpsc::channel();
        let device = network.device();
        let line = Line::new(Arc::new(Told(Mutex::new(teller))), 8);
        Mmio::new(device).connect(Arc::new(NoMemory), line);
        let running = network.start().unwrap();
        running.shared.provoked.store(true, SeqCst);
        running.shared.waker.wake().unwrap();
        let why = told.recv_timeout(Duration::from_secs(10)).expect("to be told");
        assert_eq!(why, Panic("provoked".into()));
        drop(running);
    }
}
