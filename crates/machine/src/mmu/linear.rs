//! Hands the engine its linear memories: physical memory, user address spaces, heaps for
//! exceptions.
use crate::{
    mmu::exceptions::{self, Heap},
    mmu::physical::Physical,
    mmu::space::Space,
    sizes::SPACE,
};
use std::{cell::RefCell, sync::Arc};
use wasmtime::{Instance, LinearMemory, MemoryCreator, MemoryType};

/// What a linear memory of ours is.
#[derive(Clone)]
pub(crate) enum Backing {
    Physical(Arc<Physical>),
    User(Arc<Space>),
}

thread_local! {
    /// What the memory that is being made on this thread shall be.
    static NEXT: RefCell<Option<Backing>> = const { RefCell::new(None) };
    /// The heap for exceptions that was made with the last one.
    static HEAP: RefCell<Option<Arc<Heap>>> = const { RefCell::new(None) };
}

/// Makes an instance of a module with one memory of its own, which shall be `backing`. The heap for
/// exceptions comes along, if the Store has just got one.
pub(crate) async fn with(
    backing: Backing,
    instantiate: impl Future<Output = wasmtime::Result<Instance>>,
) -> wasmtime::Result<(Instance, Option<Arc<Heap>>)> {
    NEXT.set(Some(backing));
    let instance = instantiate.await;
    NEXT.set(None);
    let heap = HEAP.take();
    Ok((instance?, heap))
}

pub(crate) struct Creator;

// SAFETY: each memory made is a reservation of at least what was asked for, with guard, valid until
// it is dropped; its size is fixed, and faults in it are either resolved by trap/ or are traps.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        _: Option<usize>,
        _: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        // The memories of modules are made without a size of their own (`crates/module`).
        if minimum == exceptions::SIZE {
            let heap = Arc::new(Heap::new().map_err(|e| e.to_string())?);
            HEAP.set(Some(heap.clone()));
            return Ok(Box::new(exceptions::Memory(heap)));
        }
        match NEXT.take() {
            Some(Backing::Physical(memory)) => Ok(Box::new(OfPhysical(memory))),
            Some(Backing::User(space)) => Ok(Box::new(OfUser(space))),
            None => Err("a memory that nobody asked for".into()),
        }
    }
}

struct OfPhysical(Arc<Physical>);

// SAFETY: a valid mapping for as long as the Arc lives; its size never changes.
unsafe impl LinearMemory for OfPhysical {
    fn byte_size(&self) -> usize {
        self.0.size()
    }
    fn byte_capacity(&self) -> usize {
        self.0.size()
    }
    fn grow_to(&mut self, _: usize) -> wasmtime::Result<()> {
        wasmtime::bail!("physical memory does not grow")
    }
    fn as_ptr(&self) -> *mut u8 {
        self.0.base()
    }
}

struct OfUser(Arc<Space>);

// SAFETY: as above. Pages without a mapping fault, which trap/ handles.
unsafe impl LinearMemory for OfUser {
    fn byte_size(&self) -> usize {
        SPACE
    }
    fn byte_capacity(&self) -> usize {
        SPACE
    }
    fn grow_to(&mut self, _: usize) -> wasmtime::Result<()> {
        wasmtime::bail!("an address space does not grow")
    }
    fn as_ptr(&self) -> *mut u8 {
        self.0.base()
    }
}
