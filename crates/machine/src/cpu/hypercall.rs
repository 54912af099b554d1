//! What the kernel imports: `docs/machine.md` describes each.
use crate::{
    cpu::clock::{self, Clock},
    cpu::start::{UserEntry, UserStart},
    cpu::state::{self, Change, Request, cpu, suspend},
    cpu::store::{self, TaskData},
    cpu::task::names,
    engine,
    engine::programs::Handle,
    limits::{Cost, TASK_ADDRESS, TASK_MAPS},
    local,
    trap::{self, Thrown},
};
use std::sync::OnceLock;
use wasmlinux_boundary::{ENTRY_FORK, IMPORT_MODULE};
use wasmlinux_devices::{GuestMemory, Streams};
use wasmtime::{AsContextMut, Caller, Error, Linker, Result, Val, WasmBacktrace};

type Kernel<'a> = Caller<'a, TaskData>;

/// The imports, but for memory.
pub(crate) fn linker() -> Result<&'static Linker<TaskData>> {
    static LINKER: OnceLock<Result<Linker<TaskData>, String>> = OnceLock::new();
    LINKER.get_or_init(|| make().map_err(|e| format!("{e:#}"))).as_ref().map_err(Error::msg)
}

fn make() -> Result<Linker<TaskData>> {
    let mut linker = Linker::new(engine::get()?);
    devices(&mut linker)?;
    tasks(&mut linker)?;
    users(&mut linker)?;
    Ok(linker)
}

/// What [`Physical::lend`](crate::mmu::physical::Physical::lend) lends of the bytes that the kernel named, to a stream; a trap of the
/// kernel if they are not all memory.
fn lend(at: u32, len: u32, f: impl FnOnce(&Streams, &mut [u8]) -> i32) -> Result<i32> {
    cpu(|cpu| {
        if cpu.board.unplugged() {
            return Err(Error::from(Thrown::Unplugged));
        }
        // SAFETY: in a host function, on the processor's thread. A stream copies the bytes, or gives them to a system call.
        let lent = unsafe { cpu.board.physical.lend(at, len, |bytes| f(&cpu.streams, bytes)) };
        lent.ok_or_else(|| no_memory(at, len))
    })
}

/// A trap of the kernel, which named bytes that are not all memory.
fn no_memory(at: u32, len: u32) -> Error {
    Error::msg(format!("bad physical address {at:#x}, {len} bytes"))
}

fn console_write(at: u32, len: u32) -> Result<()> {
    cpu(|cpu| {
        if cpu.board.unplugged() {
            return Err(Error::from(Thrown::Unplugged));
        }
        // A copy: whoever takes it may look at it twice.
        let text = cpu.board.physical.copy(at, len).ok_or_else(|| no_memory(at, len))?;
        (cpu.console)(&text);
        Ok(())
    })
}

fn devices(linker: &mut Linker<TaskData>) -> Result<()> {
    let m = IMPORT_MODULE;
    linker.func_wrap(m, "console_write", console_write)?;
    linker.func_wrap(m, "clock_monotonic", clock::monotonic)?;
    linker.func_wrap(m, "clock_realtime", Clock::realtime)?;
    // What a device has to do takes more stack than a task has, so the processor's loop does it.
    linker.func_wrap_async(m, "timer_set", |_: Kernel<'_>, (nanoseconds,): (u64,)| {
        Box::new(async move {
            let notified = cpu(|cpu| {
                if cpu.board.unplugged() {
                    // The timer is the one that stops a kernel which loops.
                    return Err(Error::from(Thrown::Unplugged));
                }
                cpu.clock.set(nanoseconds);
                cpu.bus.backends().for_each(|backend| backend.processor_ticks());
                Ok(cpu.backend_notified)
            })?;
            if notified { suspend(Request::Poll).await } else { Ok(()) }
        })
    })?;
    linker.func_wrap_async(m, "halt", |_: Kernel<'_>, ()| Box::new(suspend(Request::Halt)))?;
    linker
        .func_wrap_async(m, "power_off", |_: Kernel<'_>, (how,): (u32,)| Box::new(suspend(Request::PowerOff(how))))?;
    linker.func_wrap(m, "stream_read", |id: u32, at: u32, len: u32| {
        lend(at, len, |streams, buf| streams.guest_read(id, buf))
    })?;
    linker.func_wrap(m, "stream_write", |id: u32, at: u32, len: u32| {
        lend(at, len, |streams, buf| streams.guest_write(id, buf))
    })?;
    linker.func_wrap(m, "stream_poll", |id: u32| cpu(|cpu| cpu.streams.guest_poll(id)))?;
    linker.func_wrap(m, "mmio_read", |at: u32, size: u32| cpu(|cpu| cpu.bus.read(at, size)))?;
    linker.func_wrap_async(m, "mmio_write", |_: Kernel<'_>, (at, size, value): (u32, u32, u32)| {
        Box::new(async move {
            let at_once = cpu(|cpu| cpu.bus.write(at, size, value) && cpu.notify_backend());
            if at_once { suspend(Request::Poll).await } else { Ok(()) }
        })
    })?;
    linker.func_wrap(m, "stream_close", |id: u32| cpu(|cpu| cpu.streams.guest_close(id)))?;
    Ok(())
}

fn tasks(linker: &mut Linker<TaskData>) -> Result<()> {
    let m = IMPORT_MODULE;
    linker.func_wrap(m, "task_create", |task: u32, sp: u32| {
        let Some(charge) = store::charge(Cost { tasks: 1, maps: TASK_MAPS, address: TASK_ADDRESS, ..Cost::default() })
        else {
            return -libc::EAGAIN;
        };
        cpu(|cpu| cpu.changes.push(Change::Created(task, sp, charge)));
        0
    })?;
    linker.func_wrap(m, "task_destroy", |task: u32| {
        cpu(|cpu| {
            cpu.starts.remove(&task);
            cpu.images.remove(&task);
            cpu.changes.push(Change::Destroyed(task));
        });
    })?;
    linker
        .func_wrap_async(m, "task_switch", |_: Kernel<'_>, (next,): (u32,)| Box::new(suspend(Request::Switch(next))))?;
    linker.func_wrap(m, "stack_check", stack_check)?;
    linker.func_wrap(m, "backtrace", |caller: Kernel<'_>, at: u32, len: u32| {
        let text = names(&WasmBacktrace::force_capture(&caller));
        let text = &text.as_bytes()[..text.len().min(len as usize)];
        let written = cpu(|cpu| cpu.board.physical.write(at, text));
        written.ok_or_else(|| no_memory(at, text.len() as u32))?;
        Ok(text.len() as i32)
    })?;
    linker.func_wrap(m, "memory_use", |at: u32, len: u32| {
        let range = at as usize..at as usize + len as usize;
        cpu(|cpu| cpu.board.physical.bring_in(std::iter::once(range)));
    })?;
    linker.func_wrap(m, "tlb_flush", |pgd: u32, start: u32, end: u32| cpu(|cpu| cpu.space_flush(pgd, start, end)))?;
    linker.func_wrap(m, "tlb_protect", |pgd: u32| cpu(|cpu| cpu.space_protect(pgd)))?;
    linker.func_wrap(m, "tlb_load", |pgd: u32, address: u32| cpu(|cpu| cpu.space_load(pgd, address)))?;
    linker.func_wrap(m, "mm_destroy", |pgd: u32| cpu(|cpu| cpu.space_destroy(pgd)))?;
    Ok(())
}

fn stack_check() -> Result<()> {
    let marker = 0u8;
    let here = &raw const marker as usize;
    if here > local::stack_limit() { Ok(()) } else { stack_check_slow(here) }
}

#[cold]
fn stack_check_slow(here: usize) -> Result<()> {
    if cpu(|cpu| cpu.board.unplugged() || cpu.ledger.failed()) {
        return Err(Error::from(Thrown::Unplugged));
    }
    // SAFETY: the stack pointer of a host function that a task has called.
    match unsafe { trap::grow_for_entry(here) } {
        Some(limit) => {
            local::set_stack_limit(limit);
            Ok(())
        }
        None => Err(Error::from(Thrown::StackExhausted)),
    }
}

fn users(linker: &mut Linker<TaskData>) -> Result<()> {
    let m = IMPORT_MODULE;
    // Reading compiled code needs more stack than a task has, so the processor's thread does it.
    linker.func_wrap_async(m, "module_load", |_: Kernel<'_>, (at, len, user): (u32, u32, u32)| {
        Box::new(async move {
            suspend(Request::Load { at, len, user }).await?;
            Ok(state::load_result())
        })
    })?;
    linker.func_wrap(m, "module_state", |handle: u32| cpu(|cpu| cpu.load_state(handle)))?;
    linker.func_wrap(m, "module_drop", |handle: u32| cpu(|cpu| drop(cpu.handles.remove(&handle))))?;
    linker.func_wrap(m, "user_reserve", |handle: u32| {
        let program = cpu(|cpu| match cpu.handles.get(&handle) {
            Some(Handle::Ready(program)) => Some(program.clone()),
            _ => None,
        });
        let program = program.ok_or_else(|| Error::msg("user_reserve() of no loaded program"))?;
        Ok::<_, Error>(match store::image(&program, true) {
            Some(image) => {
                cpu(|cpu| cpu.images.insert(cpu.current, image));
                0
            }
            None => -libc::ENOMEM,
        })
    })?;
    linker.func_wrap(m, "user_exec", |handle: u32, pgd: u32, sp: u32| {
        cpu(|cpu| {
            let Some(Handle::Ready(program)) = cpu.handles.get(&handle) else {
                return Err(Error::msg("user_exec() of no loaded program"));
            };
            let program = program.clone();
            let image = cpu.images.remove(&cpu.current);
            let image = image.ok_or_else(|| Error::msg("user_exec() without user_reserve()"))?;
            let globals = program.stack_pointer.map(|index| (index, Val::I32(sp as i32))).into_iter().collect();
            let entry = UserEntry::Start(sp);
            cpu.starts.insert(cpu.current, UserStart { program, pgd, entry, parent: None, image, globals });
            Ok(())
        })
    })?;
    linker.func_wrap(
        m,
        "user_clone",
        |mut caller: Kernel<'_>, task: u32, pgd: u32, entry: u32, sp: u32, tp: u32| {
            let Some(program) = caller.data().program.clone() else {
                return Err(Error::msg("user_clone() without a program"));
            };
            let copied = caller.data().globals.clone();
            let mut globals: Vec<(usize, Val)> =
                copied.iter().map(|global| global.get(caller.as_context_mut())).enumerate().collect();
            if entry != ENTRY_FORK {
                for (index, value) in &mut globals {
                    if Some(*index) == program.stack_pointer {
                        *value = Val::I32(sp as i32);
                    } else if Some(*index) == program.thread_pointer && tp != 0 {
                        *value = Val::I32(tp as i32);
                    }
                }
            }
            let Some(image) = store::image(&program, cpu(|cpu| cpu.space_of(pgd)).is_none()) else {
                return Ok(-libc::ENOMEM);
            };
            let parent = if entry == ENTRY_FORK { caller.data().space.clone() } else { None };
            let entry = UserEntry::of_clone(entry, sp);
            cpu(|cpu| cpu.starts.insert(task, UserStart { program, pgd, entry, parent, image, globals }));
            Ok(0)
        },
    )?;
    linker.func_wrap(m, "user_restart", || -> Result<()> { Err(Error::from(Thrown::Restart)) })?;
    linker.func_wrap(m, "user_sp_get", |mut caller: Kernel<'_>| {
        caller.data().stack_pointer.map_or(0, |global| global.get(caller.as_context_mut()).i32().unwrap_or(0))
    })?;
    linker.func_wrap(m, "user_sp_set", |mut caller: Kernel<'_>, sp: i32| {
        caller.data().stack_pointer.map_or(Ok(()), |global| global.set(caller.as_context_mut(), Val::I32(sp)))
    })?;
    Ok(())
}
