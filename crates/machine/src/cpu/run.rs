//! The processor's loop: polls the future of the current task, and acts on what it asked for when
//! it suspends.
use crate::{
    Config, Error, Outcome,
    board::Board,
    cpu::clock::Clock,
    cpu::processor::{Change, Processor, Request},
    cpu::store::{Pool, TaskData},
    cpu::task::{Task, TaskEntry},
    error::{Cause, Failure},
    host::{
        signals::{self, Polled},
        time::Alarm,
    },
    interrupt::{self, Interrupts},
    limits::{self, Cost, TASK_ADDRESS, TASK_MAPS},
    local,
    system::System,
    trap,
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
use wasmtime::InstancePre;

/// Runs a machine on the calling thread until it ends: how. What is to be given back then by
/// [`clear`] is put into `on`.
pub(crate) fn run(board: Board, kernel: InstancePre<TaskData>, config: Config, on: &mut Option<Arc<Pool>>) -> Outcome {
    trap::prepare_thread();
    match power_on(board, kernel, config, on) {
        Ok((pool, first)) => execute(&pool, first),
        Err(error) => Outcome::Failed(Failure::Start(Cause::new(error))),
    }
}

/// Gives back what the machine of this thread had.
pub(crate) fn clear(on: Option<Arc<Pool>>) {
    // SAFETY: this thread is no processor any more; null needs nothing.
    unsafe {
        trap::set_current(std::ptr::null());
        interrupt::set_processor(std::ptr::null(), Alarm::NONE);
    }
    // Not under the borrow: host functions of tasks that are unwound may use it.
    let tasks = TASKS.take();
    drop(tasks);
    if let Some(pool) = on {
        pool.clear();
    }
    limits::set_current(None);
}

thread_local! {
    /// All tasks but the one that is polled. They are not in the [`Processor`], as a handler looks
    /// at them too, if the stack of its task must grow.
    static TASKS: RefCell<HashMap<u32, Task>> = RefCell::default();
}

fn power_on(
    board: Board,
    kernel: InstancePre<TaskData>,
    config: Config,
    on: &mut Option<Arc<Pool>>,
) -> Result<(Arc<Pool>, (u32, Task)), Error> {
    let compiler = config.compiler.resolve()?;
    let system = Arc::new(System::new(board, config, compiler));
    let board = &system.board;
    let (init_task, stack, interrupts, ledger) =
        (board.init_task, board.init_stack_top, board.interrupts(), board.ledger.clone());
    let processor = Arc::new(Processor::new(Clock::new(system.clock)?, init_task));
    let alarm = processor.clock.alarm();
    let pool = on.insert(Pool::new(system.clone(), processor, kernel)).clone();
    // SAFETY: they live as long as the pool, which clear() drops after it has taken this back.
    unsafe { interrupt::set_processor(Arc::as_ptr(&interrupts), alarm) };
    interrupts.set_processor(Some(signals::this_thread()));
    limits::set_current(Some(ledger.clone()));
    local::set_trim_stacks(trim_stacks);
    trap::set_kernel(&board.kernel);
    let charge = ledger.charge_anyway(Cost { tasks: 1, maps: TASK_MAPS, address: TASK_ADDRESS, ..Cost::default() });
    let first = Task::new(&pool, init_task, TaskEntry::Boot, stack, charge);
    Ok((pool, (init_task, first)))
}

/// Polls the backends that the guest has left work for.
fn poll_notified(processor: &Processor, bus: &Bus) {
    processor.clock.take_time();
    if processor.backend_notified.take() {
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
    fn halt(&mut self, processor: &Processor, bus: &Bus, interrupts: &Interrupts) {
        poll_notified(processor, bus);
        processor.notified_since_halt.set(false);
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

fn execute(pool: &Arc<Pool>, (mut id, mut task): (u32, Task)) -> Outcome {
    let mut context = Context::from_waker(Waker::noop());
    let (system, processor) = (&*pool.system, &**pool.processor);
    let (bus, interrupts) = (&*system.bus, &*system.board.interrupts());
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
                () if system.board.ledger.failed() => Outcome::Failed(Failure::Unmap),
                () => Outcome::Failed(Failure::Task(Cause::new(error))),
            };
        }
        for change in processor.changes.take() {
            // Dropped outside of the borrow: that unwinds its stack.
            let gone = match change {
                Change::Created(new, stack, charge) => {
                    let task = Task::new(pool, new, TaskEntry::Start, stack, charge);
                    TASKS.with_borrow_mut(|tasks| tasks.insert(new, task))
                }
                Change::Destroyed(dead) => TASKS.with_borrow_mut(|tasks| tasks.remove(&dead)),
            };
            drop(gone);
        }
        match processor.request.take() {
            Some(Request::Switch(next)) if next == id => {}
            Some(Request::Switch(next)) => {
                let Some(next_task) = TASKS.with_borrow_mut(|tasks| tasks.remove(&next)) else {
                    return Outcome::Failed(Failure::NoTask(next));
                };
                let before = std::mem::replace(&mut task, next_task);
                TASKS.with_borrow_mut(|tasks| tasks.insert(id, before));
                id = next;
                processor.current.set(next);
            }
            Some(Request::Halt) => sleep.halt(processor, bus, interrupts),
            Some(Request::Poll) => poll_notified(processor, bus),
            Some(Request::Load { at, len, user }) => {
                processor.load_result.set(system.load(at, len, user, || pool.clear()));
            }
            Some(Request::PowerOff(how)) => {
                poll_notified(processor, bus);
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
