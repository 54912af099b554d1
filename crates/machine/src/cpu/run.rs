//! The processor's loop: polls the future of the current task, and acts on what it asked for when it suspends.
use crate::{
    Config, Error, Outcome,
    board::Board,
    cpu::clock::Clock,
    cpu::state::{self, Change, Cpu, Request, cpu},
    cpu::store,
    cpu::task::{Task, TaskEntry},
    engine::programs::Programs,
    error::{Cause, Failure},
    host::{
        signals::{self, Polled},
        time::Alarm,
    },
    interrupt::{self, Interrupts},
    limits::{self, Cost, TASK_ADDRESS, TASK_MAPS},
    local, trap,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use wasmlinux_boundary as boundary;
use wasmlinux_devices::{Backend, Bus};

/// Runs a machine on the calling thread until it ends, tells how, then gives everything back.
pub(crate) fn run(board: Board, config: Config, ended: impl FnOnce(Outcome)) {
    let interrupts = board.interrupts();
    trap::prepare_thread();
    let outcome = match power_on(board, config) {
        Ok(first) => execute(first, &interrupts),
        Err(error) => Outcome::Failed(Failure::Start(Cause::new(error))),
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
        interrupt::set_processor(std::ptr::null(), Alarm::NONE);
    }
    // Not under the borrow: host functions of tasks that are unwound may use it.
    let tasks = TASKS.take();
    drop(tasks);
    store::clear();
    state::remove();
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
    // SAFETY: both are in the Cpu, which is removed after this was taken back; or this machine never runs any code.
    unsafe { interrupt::set_processor(Arc::as_ptr(&interrupts), clock.alarm()) };
    interrupts.set_processor(Some(signals::this_thread()));
    let (init_task, stack) = (board.init_task, board.init_stack_top);
    let ledger = board.ledger.clone();
    limits::set_current(Some(ledger.clone()));
    local::set_trim_stacks(trim_stacks);
    trap::set_kernel(board.kernel.module());
    let charge = ledger.charge_anyway(Cost { tasks: 1, maps: TASK_MAPS, address: TASK_ADDRESS, ..Cost::default() });
    let programs = Programs::new(config.guest, config.cache.as_deref(), compiler, config.broker, interrupts.clone());
    state::set(Cpu {
        ledger,
        board: Arc::new(board),
        clock,
        streams: config.streams,
        bus: config.bus,
        console: config.console,
        programs,
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
    });
    Ok((init_task, Task::new(init_task, TaskEntry::Boot, stack, charge)))
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
                () if cpu(|cpu| cpu.ledger.failed()) => Outcome::Failed(Failure::Unmap),
                () => Outcome::Failed(Failure::Task(Cause::new(error))),
            };
        }
        let (request, changes) = cpu(|cpu| (cpu.request.take(), std::mem::take(&mut cpu.changes)));
        for change in changes {
            // Dropped outside of the borrow: that unwinds its stack.
            let gone = match change {
                Change::Created(new, stack, charge) => {
                    let task = Task::new(new, TaskEntry::Start, stack, charge);
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
                    return Outcome::Failed(Failure::NoTask(next));
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
                    _ => Outcome::Failed(Failure::PowerOff(how)),
                };
            }
            None => {}
        }
    }
}

/// Gives back what the stacks of sleeping tasks do not need.
pub(crate) fn trim_stacks() {
    TASKS.with_borrow(|tasks| tasks.values().for_each(Task::trim_stack));
}
