//! What the kernel imports: `docs/machine.md` describes each.
use crate::{
    cpu::clock,
    cpu::processor::{Change, Request, suspend},
    cpu::start::{UserEntry, UserStart},
    cpu::store::TaskData,
    cpu::task::names,
    engine,
    limits::{Cost, TASK_ADDRESS, TASK_MAPS},
    local,
    mmu::space::Space,
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

/// What [`Physical::lend`](crate::mmu::physical::Physical::lend) lends of the bytes that the kernel
/// named, to a stream; a trap of the kernel if they are not all memory.
fn lend(caller: &Kernel<'_>, at: u32, len: u32, f: impl FnOnce(&Streams, &mut [u8]) -> i32) -> Result<i32> {
    let system = &*caller.data().system;
    if system.board.unplugged() {
        return Err(Error::from(Thrown::Unplugged));
    }
    // SAFETY: in a host function, on the processor's thread. A stream copies the bytes, or gives
    // them to a system call.
    let lent = unsafe { system.board.physical.lend(at, len, |bytes| f(&system.streams, bytes)) };
    lent.ok_or_else(|| no_memory(at, len))
}

/// A trap of the kernel, which named bytes that are not all memory.
fn no_memory(at: u32, len: u32) -> Error {
    Error::msg(format!("bad physical address {at:#x}, {len} bytes"))
}

fn console_write(caller: Kernel<'_>, at: u32, len: u32) -> Result<()> {
    let system = &caller.data().system;
    if system.board.unplugged() {
        return Err(Error::from(Thrown::Unplugged));
    }
    // A copy: whoever takes it may look at it twice.
    let text = system.board.physical.copy(at, len).ok_or_else(|| no_memory(at, len))?;
    system.console_write(&text);
    Ok(())
}

/// The timer is the one that stops a kernel which loops. True if a backend has work to do.
fn timer_set(task: &TaskData, nanoseconds: u64) -> Result<bool> {
    if task.system.board.unplugged() {
        return Err(Error::from(Thrown::Unplugged));
    }
    let processor = &**task.processor;
    processor.clock.set(nanoseconds);
    task.system.bus.backends().for_each(|backend| backend.processor_ticks());
    Ok(processor.backend_notified.get())
}

fn devices(linker: &mut Linker<TaskData>) -> Result<()> {
    let m = IMPORT_MODULE;
    linker.func_wrap(m, "console_write", console_write)?;
    linker.func_wrap(m, "clock_monotonic", |caller: Kernel<'_>| caller.data().clock.now())?;
    linker.func_wrap(m, "clock_realtime", clock::realtime)?;
    // What a device has to do takes more stack than a task has, so the processor's loop does it.
    linker.func_wrap_async(m, "timer_set", |caller: Kernel<'_>, (nanoseconds,): (u64,)| {
        Box::new(async move {
            let task = caller.data();
            if timer_set(task, nanoseconds)? { suspend(&task.processor, Request::Poll).await } else { Ok(()) }
        })
    })?;
    linker.func_wrap_async(m, "halt", |caller: Kernel<'_>, ()| {
        Box::new(async move { suspend(&caller.data().processor, Request::Halt).await })
    })?;
    linker.func_wrap_async(m, "power_off", |caller: Kernel<'_>, (how,): (u32,)| {
        Box::new(async move { suspend(&caller.data().processor, Request::PowerOff(how)).await })
    })?;
    linker.func_wrap(m, "stream_read", |caller: Kernel<'_>, id: u32, at: u32, len: u32| {
        lend(&caller, at, len, |streams, buf| streams.guest_read(id, buf))
    })?;
    linker.func_wrap(m, "stream_write", |caller: Kernel<'_>, id: u32, at: u32, len: u32| {
        lend(&caller, at, len, |streams, buf| streams.guest_write(id, buf))
    })?;
    linker.func_wrap(m, "stream_poll", |caller: Kernel<'_>, id: u32| caller.data().system.streams.guest_poll(id))?;
    linker.func_wrap(m, "stream_close", |caller: Kernel<'_>, id: u32| caller.data().system.streams.guest_close(id))?;
    linker
        .func_wrap(m, "mmio_read", |caller: Kernel<'_>, at: u32, size: u32| caller.data().system.bus.read(at, size))?;
    linker.func_wrap_async(m, "mmio_write", |caller: Kernel<'_>, (at, size, value): (u32, u32, u32)| {
        Box::new(async move {
            let task = caller.data();
            let at_once = task.system.bus.write(at, size, value) && task.processor.notify_backend();
            if at_once { suspend(&task.processor, Request::Poll).await } else { Ok(()) }
        })
    })?;
    Ok(())
}

fn tasks(linker: &mut Linker<TaskData>) -> Result<()> {
    let m = IMPORT_MODULE;
    linker.func_wrap(m, "task_create", |caller: Kernel<'_>, task: u32, sp: u32| -> Result<i32> {
        let cost = Cost { tasks: 1, maps: TASK_MAPS, address: TASK_ADDRESS, ..Cost::default() };
        let Some(charge) = caller.data().pool()?.charge(cost) else { return Ok(-libc::EAGAIN) };
        caller.data().processor.change(Change::Created(task, sp, charge));
        Ok(0)
    })?;
    linker.func_wrap(m, "task_destroy", |caller: Kernel<'_>, task: u32| {
        caller.data().system.forget_task(task);
        caller.data().processor.change(Change::Destroyed(task));
    })?;
    linker.func_wrap_async(m, "task_switch", |caller: Kernel<'_>, (next,): (u32,)| {
        Box::new(async move { suspend(&caller.data().processor, Request::Switch(next)).await })
    })?;
    linker.func_wrap(m, "stack_check", stack_check)?;
    linker.func_wrap(m, "backtrace", |caller: Kernel<'_>, at: u32, len: u32| {
        let text = names(&WasmBacktrace::force_capture(&caller));
        let text = &text.as_bytes()[..text.len().min(len as usize)];
        let written = caller.data().system.board.physical.write(at, text);
        written.ok_or_else(|| no_memory(at, text.len() as u32))?;
        Ok(text.len() as i32)
    })?;
    linker.func_wrap(m, "memory_use", |caller: Kernel<'_>, at: u32, len: u32| {
        let range = at as usize..at as usize + len as usize;
        caller.data().system.board.physical.bring_in(std::iter::once(range));
    })?;
    linker.func_wrap(m, "tlb_flush", |caller: Kernel<'_>, pgd: u32, start: u32, end: u32| {
        caller.data().with_space(pgd, |space| space.flush(start, end));
    })?;
    linker.func_wrap(m, "tlb_protect", |caller: Kernel<'_>, pgd: u32| {
        caller.data().with_space(pgd, Space::protect);
    })?;
    // What will be written next is mapped, if it can be.
    linker.func_wrap(m, "tlb_load", |caller: Kernel<'_>, pgd: u32, address: u32| {
        caller.data().with_space(pgd, |space| {
            space.map(address, true);
        });
    })?;
    linker.func_wrap(m, "mm_destroy", |caller: Kernel<'_>, pgd: u32| caller.data().system.space_destroy(pgd))?;
    Ok(())
}

fn stack_check(caller: Kernel<'_>) -> Result<()> {
    let marker = 0u8;
    let here = &raw const marker as usize;
    if here > local::stack_limit() { Ok(()) } else { stack_check_slow(caller.data(), here) }
}

#[cold]
fn stack_check_slow(task: &TaskData, here: usize) -> Result<()> {
    let board = &task.system.board;
    if board.unplugged() || board.ledger.failed() {
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
    linker.func_wrap_async(m, "module_load", |caller: Kernel<'_>, (at, len, user): (u32, u32, u32)| {
        Box::new(async move {
            let processor = &caller.data().processor;
            suspend(processor, Request::Load { at, len, user }).await?;
            Ok(processor.load_result.get())
        })
    })?;
    linker.func_wrap(m, "module_state", |caller: Kernel<'_>, handle: u32| {
        let task = caller.data();
        let pool = task.pool()?;
        task.system.load_state(handle, || pool.clear())
    })?;
    linker.func_wrap(m, "module_drop", |caller: Kernel<'_>, handle: u32| caller.data().system.drop_program(handle))?;
    linker.func_wrap(m, "user_reserve", |caller: Kernel<'_>, handle: u32| -> Result<i32> {
        let task = caller.data();
        let program = task.system.program(handle);
        let program = program.ok_or_else(|| Error::msg("user_reserve() of no loaded program"))?;
        let Some(image) = task.pool()?.image(&program, true) else { return Ok(-libc::ENOMEM) };
        task.system.set_image(task.processor.current.get(), image);
        Ok(0)
    })?;
    linker.func_wrap(m, "user_exec", |caller: Kernel<'_>, handle: u32, pgd: u32, sp: u32| -> Result<()> {
        let task = caller.data();
        let program = task.system.program(handle);
        let program = program.ok_or_else(|| Error::msg("user_exec() of no loaded program"))?;
        let current = task.processor.current.get();
        let image = task.system.take_image(current);
        let image = image.ok_or_else(|| Error::msg("user_exec() without user_reserve()"))?;
        let globals = program.stack_pointer.map(|index| (index, Val::I32(sp as i32))).into_iter().collect();
        let entry = UserEntry::Start(sp);
        task.system.set_start(current, UserStart { program, pgd, entry, parent: None, image, globals });
        Ok(())
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
            let data = caller.data();
            let new_space = data.system.space_of(pgd).is_none();
            let Some(image) = data.pool()?.image(&program, new_space) else { return Ok(-libc::ENOMEM) };
            let parent = if entry == ENTRY_FORK { data.space.clone() } else { None };
            let entry = UserEntry::of_clone(entry, sp);
            data.system.set_start(task, UserStart { program, pgd, entry, parent, image, globals });
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
