//! A machine's programs: those in memory, those that wait for the compiler, and those that were
//! refused.
use crate::{
    CompileError, Guest, ProgramError, ResourceError, engine,
    engine::cache::Cache,
    engine::code::{self, Key, Program},
    engine::compiler::{self, Broker, Cancel, Failure},
    error::explained,
    sync::lock,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
};
use wasmlinux_boundary::IRQ_MODULE;
use wasmlinux_devices::{Interrupt, Panic};
use wasmtime::Module;

/// Programs in memory that no task runs any more, at most.
const IDLE_MAX: usize = 32;
/// Refused programs that are remembered, at most.
const REFUSED_MAX: usize = 64;
/// Programs that are compiled at the same time, at most.
const COMPILERS: usize = 2;
/// Bytes of a program that is large: one compiler less takes such, so that others never wait for
/// one.
const LARGE: usize = 512 << 10;
/// Programs that wait, at most, and their bytes.
const WAITING_MAX: usize = 256;
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Bytes of stack of a compiler's thread.
const STACK: usize = 16 << 20;
/// Users of whom it is remembered when they had a compiler last.
const USERS_MAX: usize = 1000;

/// A machine's programs.
pub(crate) struct Programs {
    guest: Guest,
    loaded: HashMap<Key, Arc<Program>>,
    refused: VecDeque<(Key, Arc<ProgramError>)>,
    /// Those that somebody waits for.
    jobs: HashMap<Key, Weak<Job>>,
    queue: Arc<Queue>,
}

/// What a handle of module_load() is good for.
pub(crate) enum Handle {
    Ready(Arc<Program>),
    /// It waits for the compiler; without a handle it does not.
    Waiting(Arc<Job>),
}

/// A program that waits for the compiler, or is there. Whoever waits for it holds it: nobody does,
/// and it is cancelled.
pub(crate) struct Job {
    key: Key,
    /// Who asked first.
    user: u32,
    /// Bytes of the program.
    size: usize,
    /// The program, until a compiler takes it.
    wasm: Mutex<Vec<u8>>,
    result: Mutex<Option<Result<Arc<Program>, Refusal>>>,
    cancel: Arc<Cancel>,
}

/// Why there is no program.
#[derive(Clone)]
struct Refusal {
    error: Arc<ProgramError>,
    /// Another time it may be better.
    again: bool,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Programs {
    /// Programs are compiled in processes of the executable `compiler`, or without one on threads.
    pub(crate) fn new(
        guest: Guest,
        cache: Option<&Path>,
        compiler: Option<PathBuf>,
        broker: Option<Broker>,
        interrupts: Arc<dyn Interrupt>,
    ) -> Programs {
        let cache = cache.and_then(Cache::open_or_warn);
        let queue = Queue { line: Mutex::default(), cache, compiler, broker, interrupts };
        Programs {
            guest,
            loaded: HashMap::new(),
            refused: VecDeque::new(),
            jobs: HashMap::new(),
            queue: Arc::new(queue),
        }
    }

    /// The program of these bytes, or a place in the line for the compiler: then IRQ_MODULE tells
    /// to look for its result.
    pub(crate) fn load(&mut self, wasm: Vec<u8>, user: u32) -> Result<Handle, Arc<ProgramError>> {
        tracing::debug!(bytes = wasm.len(), "the kernel loads a program");
        let key: Key = Sha256::digest(&wasm).into();
        if let Some(program) = self.loaded.get(&key) {
            return Ok(Handle::Ready(program.clone()));
        }
        if let Some((_, error)) = self.refused.iter().find(|(refused, _)| *refused == key) {
            return Err(error.clone());
        }
        if let Some(job) = self.jobs.get(&key).and_then(Weak::upgrade) {
            return Ok(Handle::Waiting(job));
        }
        let kept = || match &self.queue.broker {
            Some(broker) => broker.get(&key),
            None => self.queue.cache.as_ref()?.get(&key),
        };
        if let Some(module) = self.guest.program(&key).or_else(kept) {
            let program = Arc::new(Program::new(module));
            self.keep(key, &program);
            return Ok(Handle::Ready(program));
        }
        self.jobs.retain(|_, job| job.strong_count() > 0);
        let bytes: usize = self.jobs.values().filter_map(Weak::upgrade).map(|job| job.size).sum();
        if self.jobs.len() >= WAITING_MAX || bytes.saturating_add(wasm.len()) > WAITING_BYTES_MAX {
            return Err(ProgramError::from(ResourceError::Waiting).into());
        }
        let job = Arc::new(Job {
            key,
            user,
            size: wasm.len(),
            wasm: Mutex::new(wasm),
            result: Mutex::default(),
            cancel: Arc::default(),
        });
        Queue::add(&self.queue, &job)?;
        self.jobs.insert(key, Arc::downgrade(&job));
        Ok(Handle::Waiting(job))
    }

    /// What has become of a program that waited; None if it waits.
    pub(crate) fn take(&mut self, job: &Job) -> Option<Result<Arc<Program>, Arc<ProgramError>>> {
        let result = lock(&job.result).clone()?;
        self.jobs.remove(&job.key);
        Some(match result {
            Ok(program) => {
                self.keep(job.key, &program);
                Ok(program)
            }
            Err(refusal) => {
                let known = self.refused.iter().any(|(key, _)| *key == job.key);
                if !refusal.again && !known {
                    if self.refused.len() >= REFUSED_MAX {
                        self.refused.pop_front();
                    }
                    self.refused.push_back((job.key, refusal.error.clone()));
                }
                Err(refusal.error)
            }
        })
    }

    /// Forgets all programs that no task runs.
    pub(crate) fn clear_idle(&mut self) {
        self.loaded.retain(|_, program| Arc::strong_count(program) > 1);
    }

    fn keep(&mut self, key: Key, program: &Arc<Program>) {
        if self.loaded.len() >= IDLE_MAX {
            self.clear_idle();
        }
        self.loaded.insert(key, program.clone());
    }
}

/// The line for the compiler, and what compiles: threads that end when nobody is left in the line
/// for them.
struct Queue {
    line: Mutex<Line>,
    cache: Option<Cache>,
    /// The executable whose processes compile.
    compiler: Option<PathBuf>,
    /// Who is asked in place of both.
    broker: Option<Broker>,
    interrupts: Arc<dyn Interrupt>,
}

#[derive(Default)]
struct Line {
    waiting: Vec<Weak<Job>>,
    /// Of those that are compiled: user, and whether it is large.
    running: Vec<(u32, bool)>,
    /// When each user had a compiler last, counted in programs.
    served: HashMap<u32, u64>,
    count: u64,
}

impl Line {
    /// The next one: of the user for whom least is done now, and then longest ago nothing was; of a
    /// user, the first. None if there is none, or none that may run beside those that do.
    fn next(&mut self) -> Option<Arc<Job>> {
        self.waiting.retain(|job| job.strong_count() > 0);
        if self.running.len() >= COMPILERS {
            return None;
        }
        let no_large = self.running.iter().filter(|(_, large)| *large).count() + 1 >= COMPILERS;
        let jobs = self.waiting.iter().enumerate().filter_map(|(at, job)| Some((at, job.upgrade()?)));
        let may = jobs.filter(|(_, job)| !no_large || job.size <= LARGE);
        let (at, job) = may.min_by_key(|(at, job)| {
            let running = self.running.iter().filter(|(user, _)| *user == job.user).count();
            (running, self.served.get(&job.user).copied().unwrap_or(0), *at)
        })?;
        self.waiting.remove(at);
        self.running.push((job.user, job.size > LARGE));
        if self.served.len() >= USERS_MAX {
            self.served.clear();
        }
        self.count += 1;
        self.served.insert(job.user, self.count);
        Some(job)
    }

    fn done(&mut self, user: u32, large: bool) {
        if let Some(at) = self.running.iter().position(|running| *running == (user, large)) {
            self.running.swap_remove(at);
        }
    }
}

impl Queue {
    /// Puts a program at the end of the line, and starts a thread if it is its turn. An error if
    /// nobody would ever take it.
    fn add(this: &Arc<Queue>, job: &Arc<Job>) -> Result<(), ProgramError> {
        lock(&this.line).waiting.push(Arc::downgrade(job));
        let Some(next) = lock(&this.line).next() else { return Ok(()) };
        let (user, large, chosen) = (next.user, next.size > LARGE, Arc::downgrade(&next));
        let queue = this.clone();
        let work = move || {
            let mut next = Some(next);
            while let Some(job) = next {
                next = queue.work(job);
            }
        };
        let thread = std::thread::Builder::new().name("compiler".into()).stack_size(STACK).spawn(work);
        if let Err(error) = thread {
            let mut line = lock(&this.line);
            line.done(user, large);
            line.waiting.insert(0, chosen);
            // A thread that is there takes it in its turn.
            if line.running.is_empty() {
                line.waiting.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(job)));
                return Err(ResourceError::Thread(error).into());
            }
        }
        Ok(())
    }

    /// Compiles a program, gives the result to who waits, and the next one.
    fn work(&self, job: Arc<Job>) -> Option<Arc<Job>> {
        let (key, user, large) = (job.key, job.user, job.size > LARGE);
        let (wasm, cancel) = (std::mem::take(&mut *lock(&job.wasm)), job.cancel.clone());
        // From here on it is there only as long as somebody waits.
        let job = {
            let weak = Arc::downgrade(&job);
            drop(job);
            weak
        };
        let compile = || self.compile(&key, &wasm, &cancel);
        // Whatever happens, who waits gets an answer.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compile));
        let result = result.unwrap_or_else(|panic| {
            let error = ProgramError::from(CompileError::Panic(Panic::caught(&*panic).0));
            Err(Refusal { error: error.into(), again: false })
        });
        let next = {
            let mut line = lock(&self.line);
            line.done(user, large);
            line.next()
        };
        if let Some(job) = job.upgrade() {
            *lock(&job.result) = Some(result);
        }
        self.interrupts.raise(IRQ_MODULE);
        next
    }

    fn compile(&self, key: &Key, wasm: &[u8], cancel: &Cancel) -> Result<Arc<Program>, Refusal> {
        let refusal = |error: ProgramError, again| Refusal { error: error.into(), again };
        let here = || compiler::compile_here(wasm).map_err(|error| Failure::Program { error, again: false });
        let apart = match (&self.broker, &self.compiler) {
            (Some(broker), _) => Some(broker.compile(wasm, cancel)),
            (None, executable) => executable.as_ref().map(|executable| compiler::compile(executable, wasm, cancel)),
        };
        let code = match apart {
            None => here(),
            Some(result) => match result {
                // What is small does little harm here.
                Err(Failure::Unavailable(why)) if wasm.len() <= LARGE => {
                    tracing::warn!(
                        "no process for the compiler ({}): a small program is compiled without",
                        explained(&why)
                    );
                    here()
                }
                result => result,
            },
        };
        let code = code.map_err(|failure| match failure {
            Failure::Program { error, again } => refusal(error, again),
            Failure::Unavailable(why) => refusal(ResourceError::Process(why).into(), true),
        })?;
        // SAFETY: the engine's own, from the compiler.
        let module = engine::get().and_then(|engine| unsafe { Module::deserialize(engine, &code) });
        let module = module.map_err(|e| refusal(CompileError::from(e).into(), true))?;
        code::check(&module).map_err(|error| refusal(error.into(), false))?;
        if let Some(cache) = &self.cache
            && let Err(error) = cache.put(key, &code)
        {
            tracing::warn!("compiled code is not kept: {error}");
        }
        Ok(Arc::new(Program::new(module)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(user: u32, size: usize) -> Arc<Job> {
        let (wasm, result, cancel) = (Mutex::default(), Mutex::default(), Arc::default());
        Arc::new(Job { key: [0; 32], user, size, wasm, result, cancel })
    }

    /// A line of jobs of these users and sizes, and the jobs.
    fn line(jobs: &[(u32, usize)]) -> (Line, Vec<Arc<Job>>) {
        let jobs: Vec<_> = jobs.iter().map(|(user, size)| job(*user, *size)).collect();
        (Line { waiting: jobs.iter().map(Arc::downgrade).collect(), ..Line::default() }, jobs)
    }

    /// The places of the jobs in the order of their turns, one at a time.
    fn turns(mut line: Line, jobs: &[Arc<Job>]) -> Vec<usize> {
        let next = || {
            let next = line.next()?;
            line.done(next.user, next.size > LARGE);
            jobs.iter().position(|job| Arc::ptr_eq(job, &next))
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn the_first_comes_first() {
        let (line, jobs) = line(&[(0, 1), (0, LARGE + 1), (0, 1)]);
        assert_eq!(turns(line, &jobs), [0, 1, 2]);
    }

    #[test]
    fn users_take_turns() {
        let (line, jobs) = line(&[(1, 1), (1, 1), (1, 1), (2, 1), (3, 1), (2, 1)]);
        assert_eq!(turns(line, &jobs), [0, 3, 4, 1, 5, 2]);
    }

    #[test]
    fn large_ones_leave_a_place() {
        let (mut line, jobs) = line(&[(1, LARGE + 1), (2, LARGE + 1), (1, 1), (1, 1)]);
        assert!(Arc::ptr_eq(&line.next().unwrap(), &jobs[0]));
        assert!(Arc::ptr_eq(&line.next().unwrap(), &jobs[2]));
        assert!(line.next().is_none());
        line.done(1, false);
        assert!(Arc::ptr_eq(&line.next().unwrap(), &jobs[3]));
        line.done(1, true);
        assert!(Arc::ptr_eq(&line.next().unwrap(), &jobs[1]));
    }

    #[test]
    fn who_left_has_no_turn() {
        let (line, mut jobs) = line(&[(1, 1), (2, 1), (3, 1)]);
        let cancel = jobs.remove(1).cancel.clone();
        assert!(cancel.cancelled());
        assert_eq!(turns(line, &jobs), [0, 1]);
    }
}
