//! The pool, with a kernel and programs that are as small as can be.
use super::*;
use crate::{
    Config, Guest,
    board::Board,
    cpu::clock::Clock,
    cpu::start::{UserEntry, UserStart},
    engine,
    engine::code::{compile_kernel, compile_program},
};
use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use wasmlinux_boundary::{MACHINE_VERSION, boot_info, program::START};
use wasmlinux_image::bundle::{Entry, Kind, Writer};
use wasmtime::{Linker, Module};

const MEMORY: usize = 64 << 20;
/// Where the kernel has `struct boot_info`, and what it says of page tables.
const BOOT_INFO: u32 = 0x1_0000;
const SHIFTS: [u8; 2] = [16, 26];
/// Page directories, all of them empty.
const PGD: u32 = 0x10_0000;

fn kernel() -> Vec<u8> {
    let word = |offset: u32, value: u8| format!(r#"(data (i32.const {}) "\{value:02x}")"#, BOOT_INFO + offset);
    let data = word(boot_info::VERSION, MACHINE_VERSION as u8)
        + &word(boot_info::PAGE_SHIFT, SHIFTS[0])
        + &word(boot_info::PGDIR_SHIFT, SHIFTS[1]);
    let constant = |name, value: u32| format!(r#"(global (export "{name}") i32 (i32.const {value}))"#);
    let constants = [("boot_info", BOOT_INFO), ("oops_buffer", 0x2_0000), ("__heap_base", 0x8_0000)];
    let constants: String = constants.into_iter().map(|(name, value)| constant(name, value)).collect();
    let text = format!(
        r#"(module (import "env" "memory" (memory 2))
            (global (export "__stack_pointer") (mut i32) (i32.const 0))
            {constants} {} {}
            (func (export "syscall") (param i32 i32 i32 i32 i32 i32 i32) (result i32) local.get 0)
            (func (export "fault") (param i32 i32) (result i32) local.get 0)
            (func (export "irq") (param i32) (result i32) local.get 0)
            (func (export "trap") (param i32 i32 i32) (result i32) local.get 0)
            (func (export "abort") (param i32))
            (func (export "stop") unreachable)
            {data})"#,
        constant("init_task", 0x3_0000),
        constant("init_stack_top", 0x4_0000)
    );
    wat::parse_str(text).unwrap()
}

fn bundle() -> Guest {
    let kernel = compile_kernel(&kernel()).unwrap();
    let empty = Entry { kind: Kind::Extra, name: "", tag: 0, key: [0; 32], data: &[] };
    let mut writer = Writer::new();
    writer.add(Entry { kind: Kind::KernelCode, data: &kernel.code, ..empty });
    for (at, bytes) in &kernel.data {
        writer.add(Entry { kind: Kind::KernelData, tag: (*at).into(), data: bytes, ..empty });
    }
    for (name, value) in &kernel.symbols {
        writer.add(Entry { kind: Kind::KernelSymbol, name, tag: (*value).into(), ..empty });
    }
    // SAFETY: just made, and nobody else has it.
    unsafe { Guest::load(writer.finish().leak()) }.unwrap()
}

/// Of a machine that was never switched on.
fn pool() -> Arc<Pool> {
    let config = Config::new(MEMORY as u64, bundle());
    let board = Board::new(&config).unwrap();
    let kernel = Linker::new(engine::get().unwrap()).instantiate_pre(&board.kernel).unwrap();
    let system = Arc::new(System::new(board, config, None));
    let clock = Clock::new(system.clock).unwrap();
    Pool::new(system, Arc::new(Processor::new(clock, 0)), kernel)
}

/// A program with a table of so many entries and a variable, which is 7 until `_start` is called.
fn program(entries: usize) -> Arc<Program> {
    let text = format!(
        r#"(module (import "env" "memory" (memory 1))
            (table {entries} funcref)
            (global $value (mut i32) (i32.const 7))
            (func (export "_start") (param i32) local.get 0 global.set $value))"#
    );
    let (_, code) = compile_program(&wat::parse_str(text).unwrap()).unwrap();
    // SAFETY: just made by the engine.
    Arc::new(Program::new(unsafe { Module::deserialize(engine::get().unwrap(), code) }.unwrap()))
}

/// Nothing here waits for anything.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it suspends"),
    }
}

fn get(pool: &Arc<Pool>, stack: u32, wanted: Option<Wanted>) -> Pooled {
    done(Pooled::new(pool, stack, wanted)).unwrap()
}

/// Instances for a program on this page directory, which a fork of `parent` made if there is one.
fn enter(pool: &Arc<Pool>, program: &Arc<Program>, pgd: u32, parent: Option<Arc<Space>>) -> Pooled {
    let (is_fork, space) = (parent.is_some(), pool.system.space_of(pgd));
    let image = pool.image(program, space.is_none()).unwrap();
    let mut instances = get(pool, 0, Some(Wanted { program: program.clone(), space, is_fork }));
    let (entry, globals) = (UserEntry::Start(0), vec![]);
    done(instances.enter(UserStart { program: program.clone(), pgd, entry, parent, image, globals })).unwrap();
    instances
}

/// The stack pointers of what is kept.
fn kept(pool: &Pool) -> Vec<i32> {
    let mut ready = lock(&pool.ready);
    ready.iter_mut().map(|kernel| kernel.stack_pointer.get(&mut kernel.store).unwrap_i32()).collect()
}

fn value(instances: &mut Instances) -> i32 {
    let globals = instances.user.as_ref().unwrap().globals.clone();
    assert_eq!(globals.len(), 1);
    globals[0].get(&mut instances.store).unwrap_i32()
}

#[test]
fn the_one_unused_longest_goes_first() {
    let pool = pool();
    let all: Vec<_> = (0..POOL as u32 + 3).map(|number| get(&pool, number, None)).collect();
    assert!(kept(&pool).is_empty());
    // In this order.
    all.into_iter().for_each(drop);
    assert_eq!(kept(&pool), Vec::from_iter(3..POOL as i32 + 3));
    // The latest are used first.
    let last = get(&pool, 100, None);
    assert_eq!(kept(&pool), Vec::from_iter(3..POOL as i32 + 2));
    drop(last);
    assert_eq!(kept(&pool).last(), Some(&100));
    pool.clear();
    assert!(kept(&pool).is_empty());
}

#[test]
fn what_is_given_out_is_clean() {
    let (pool, program) = (pool(), program(1));
    let mut first = enter(&pool, &program, PGD, None);
    assert_eq!(value(&mut first), 7);
    done(first.call_user::<i32, ()>(START, 42)).unwrap();
    assert_eq!(value(&mut first), 42);
    let data = first.store.data();
    assert!(data.program.is_some() && data.space.is_some() && !data.globals.is_empty());
    let instance = first.user.as_ref().unwrap().instance;
    pool.system.space_destroy(PGD);
    drop(first);
    {
        let mut ready = lock(&pool.ready);
        let data = ready[0].store.data_mut();
        assert!(data.program.is_none() && data.space.is_none());
        assert!(data.globals.is_empty() && data.stack_pointer.is_none());
    }
    // The very same one, as if it were new.
    let mut second = enter(&pool, &program, PGD + 0x1000, None);
    assert!(second.programs == 1 && second.user.as_ref().unwrap().instance == instance);
    assert_eq!(value(&mut second), 7);
    let stack_pointer = second.stack_pointer;
    assert_eq!(stack_pointer.get(&mut second.store).unwrap_i32(), 0);
    assert!(second.user.as_ref().unwrap().context.space.is_bound());
}

#[test]
fn a_task_gets_what_fits() {
    let (pool, program, other) = (pool(), program(1), program(2));
    let wanted =
        |space: Option<&Arc<Space>>, is_fork| Some(Wanted { program: program.clone(), space: space.cloned(), is_fork });
    let of = |instances: &Instances| instances.user.as_ref().map(|user| user.context.program.clone());
    let parent = enter(&pool, &program, PGD, None);
    let space = parent.store.data().space.clone().unwrap();
    let child = enter(&pool, &program, PGD + 0x1000, Some(space.clone()));
    let foreign = enter(&pool, &other, PGD + 0x2000, None);
    let plain = get(&pool, 0, None);
    let (mine, forked) = (space.clone(), child.store.data().space.clone().unwrap());
    [parent, child, foreign, plain].into_iter().for_each(drop);

    // Address spaces that somebody has are for their own threads only.
    let take = |wanted: Option<Wanted>| pool.take(wanted.as_ref());
    let thread = take(wanted(Some(&mine), false)).unwrap();
    assert!(Arc::ptr_eq(&thread.user.as_ref().unwrap().context.space, &mine));
    drop(thread.pooled());
    let none = take(wanted(None, false)).unwrap();
    assert!(of(&none).is_none(), "the one without a program");
    drop(none.pooled());

    // And when nobody has them, for their like; but the only one of another sort is left.
    (0..3).for_each(|number| pool.system.space_destroy(PGD + number * 0x1000));
    let fork = take(wanted(None, true)).unwrap();
    assert!(Arc::ptr_eq(&fork.user.as_ref().unwrap().context.space, &forked));
    let none = take(wanted(None, true)).unwrap();
    assert!(of(&none).is_none());
    // Nobody takes another's while there is room for more.
    assert!(take(wanted(None, true)).is_none());
    drop((fork.pooled(), none.pooled()));
    let rest: Vec<_> = lock(&pool.ready).iter().map(|kernel| of(kernel).is_some()).collect();
    assert_eq!(rest, [true, true, true, false]);
}

#[test]
fn what_is_kept_is_given_back_in_need() {
    let (pool, program) = (pool(), program(1000));
    let both = [PGD, PGD + 0x1000].map(|pgd| enter(&pool, &program, pgd, None));
    let latest = both[1].user.as_ref().unwrap().instance;
    both.into_iter().for_each(drop);
    // One of the two has to go, and then there is room.
    let tables = MEMORY - 2 * program.tables + 1;
    let charge = pool.charge(Cost { tables, ..Cost::default() });
    assert!(charge.is_some());
    {
        let ready = lock(&pool.ready);
        assert!(ready.len() == 1 && ready[0].user.as_ref().unwrap().instance == latest);
    }
    // What can never be had is refused, after all was given back.
    assert!(pool.charge(Cost { tables: MEMORY, ..Cost::default() }).is_none());
    assert!(kept(&pool).is_empty());
}

#[test]
fn what_holds_too_much_is_not_kept() {
    let pool = pool();
    let mut full = get(&pool, 1, None);
    full.programs = PROGRAMS + 1;
    drop(full);
    assert!(kept(&pool).is_empty());
    // Nor anything after the machine's end.
    let last = get(&pool, 1, None);
    drop(pool);
    assert!(last.store.data().pool().is_err());
}
