//! Hands the engine its linear memories: physical memory, user address spaces, and its own heap for exceptions.
use crate::{
    engine::SPACE,
    physical::{Physical, reserve},
    space::Space,
};
use std::{cell::RefCell, sync::Arc};
use wasmlinux_boundary::WASM_PAGE;
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
}

/// Makes an instance of a module with one memory of its own, which shall be `backing`.
pub(crate) async fn with(
    backing: Backing,
    instantiate: impl Future<Output = wasmtime::Result<Instance>>,
) -> wasmtime::Result<Instance> {
    NEXT.set(Some(backing));
    let instance = instantiate.await;
    NEXT.set(None);
    instance
}

pub(crate) struct Creator;

// SAFETY: each memory made is a reservation of at least what was asked for, with guard, valid until it is dropped; the accessible
// part of physical and user memory is fixed, and faults in the rest are either resolved by trap.rs or are traps.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        // The engine reserves a whole address space for a module's memory, and less for its heap.
        let backing = if reserved.is_some_and(|size| size >= SPACE) { NEXT.take() } else { None };
        Ok(match backing {
            Some(Backing::Physical(memory)) => Box::new(OfPhysical(memory)),
            Some(Backing::User(space)) => Box::new(OfUser(space)),
            None => Box::new(Heap::new(minimum, reserved.unwrap_or(0).max(minimum), guard).map_err(|e| e.to_string())?),
        })
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

// SAFETY: as above. Pages without a mapping fault, which trap.rs handles.
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

/// The engine's heap for exception objects.
struct Heap {
    base: *mut u8,
    size: usize,
    capacity: usize,
    total: usize,
}

// SAFETY: the mapping is this object's alone.
unsafe impl Send for Heap {}
// SAFETY: as above; the engine synchronises access.
unsafe impl Sync for Heap {}

impl Heap {
    fn new(size: usize, capacity: usize, guard: usize) -> std::io::Result<Heap> {
        let total = (capacity + guard).max(WASM_PAGE as usize);
        let mut heap = Heap { base: reserve(total)?, size: 0, capacity, total };
        heap.open(size)?;
        Ok(heap)
    }

    fn open(&mut self, size: usize) -> std::io::Result<()> {
        // SAFETY: within the reservation: callers check the capacity.
        if size != 0 && unsafe { libc::mprotect(self.base.cast(), size, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        self.size = size;
        Ok(())
    }
}

// SAFETY: the mapping is valid until drop, accessible up to `size`.
unsafe impl LinearMemory for Heap {
    fn byte_size(&self) -> usize {
        self.size
    }
    fn byte_capacity(&self) -> usize {
        self.capacity
    }
    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        if size > self.capacity {
            wasmtime::bail!("the heap for exceptions is full");
        }
        Ok(self.open(size)?)
    }
    fn as_ptr(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: the reservation of new().
        unsafe { libc::munmap(self.base.cast(), self.total) };
    }
}
