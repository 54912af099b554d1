//! What a processor has of its own, how the tasks that it runs reach it, and how one suspends.
use crate::{cpu::clock::Clock, limits::Charge, local, sync::ThreadBound, trap, trap::Thrown};
use std::{
    cell::{Cell, OnceCell, RefCell},
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use wasmtime::{Engine, Store, WasmBacktrace};

/// After how long the processor polls the backend of what was sent, if it does not sleep before, in
/// nanoseconds.
const POLL_WITHIN: u64 = 200_000;

/// Why a task suspended; the processor acts on it.
#[derive(Clone, Copy)]
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

/// A task made, with its stack pointer and what it takes of the host, or gone.
pub(crate) enum Change {
    Created(u32, u32, Charge),
    Destroyed(u32),
}

/// A processor. What it has are cells: nothing that suspends or is called from here is ever called
/// with one borrowed.
pub(crate) struct Processor {
    pub(crate) clock: Clock,
    /// The task that runs.
    pub(crate) current: Cell<u32>,
    /// The guest has left work for the backend of a device.
    pub(crate) backend_notified: Cell<bool>,
    /// It has done so since the processor slept.
    pub(crate) notified_since_halt: Cell<bool>,
    /// What became of tasks since this one was polled, in order: an address is used again at once.
    pub(crate) changes: RefCell<Vec<Change>>,
    /// Why the task that was polled has suspended.
    pub(crate) request: Cell<Option<Request>>,
    /// The answer to [`Request::Load`].
    pub(crate) load_result: Cell<i32>,
    /// Set while a task is polled for its frames to end: a backtrace without a frame, as the engine
    /// makes one for an error that has none.
    leave: Cell<Option<WasmBacktrace>>,
    /// Without a frame.
    no_frames: OnceCell<Store<()>>,
}

impl Processor {
    /// The one that the calling thread is. It runs that task.
    pub(crate) fn new(clock: Clock, current: u32) -> ThreadBound<Processor> {
        ThreadBound::new(Processor {
            clock,
            current: Cell::new(current),
            backend_notified: Cell::new(false),
            notified_since_halt: Cell::new(false),
            changes: RefCell::default(),
            request: Cell::new(None),
            load_result: Cell::new(0),
            leave: Cell::new(None),
            no_frames: OnceCell::new(),
        })
    }

    pub(crate) fn change(&self, change: Change) {
        self.changes.borrow_mut().push(change);
    }

    /// The guest has left work for the backend of a device: it is done at once if it is the first
    /// since the processor slept. Guests send one thing after the other, and work for all that
    /// follows costs less: it is done when the processor sleeps, or soon. True if at once.
    pub(crate) fn notify_backend(&self) -> bool {
        let first = !self.notified_since_halt.replace(true);
        if !self.backend_notified.replace(true) && !first {
            self.clock.hurry(POLL_WITHIN);
        }
        first
    }

    /// Calls `f` so that a task that it polls leaves the host function in which it was suspended
    /// with an error.
    pub(crate) fn leaving<R>(&self, engine: &Engine, f: impl FnOnce() -> R) -> R {
        let store = self.no_frames.get_or_init(|| Store::new(engine, ()));
        self.leave.set(Some(WasmBacktrace::capture(store)));
        let result = f();
        self.leave.set(None);
        result
    }
}

struct Suspend(bool);

impl Future for Suspend {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.0, true) {
            let marker = 0u8;
            local::set_suspended_at(&raw const marker as usize);
            return Poll::Pending;
        }
        let limit = local::take_raise_limit();
        if limit != 0 {
            trap::raise_stack_limit(limit);
        }
        Poll::Ready(())
    }
}

/// Suspends the task that runs, for its processor to act on `request`. An error if the task is
/// gone: it unwinds the task's frames.
pub(crate) async fn suspend(processor: &ThreadBound<Processor>, request: Request) -> wasmtime::Result<()> {
    processor.request.set(Some(request));
    Suspend(false).await;
    match processor.leave.take() {
        Some(backtrace) => Err(wasmtime::Error::from(Thrown::Unplugged).context(backtrace)),
        None => Ok(()),
    }
}
