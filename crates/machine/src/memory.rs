//! Hands the engine its linear memories: physical memory, user address spaces, and its own heap for exceptions.
use crate::{
    engine::{self, SPACE},
    physical::{Physical, reserve},
    space::Space,
};
use std::{
    cell::RefCell,
    sync::{Arc, OnceLock},
};
use wasm_encoder::{ExportKind, ExportSection, MemorySection};
use wasmlinux_boundary::WASM_PAGE;
use wasmtime::{AsContextMut, Instance, LinearMemory, Memory, MemoryCreator, MemoryType, Module};

/// What a linear memory of ours is.
#[derive(Clone)]
pub(crate) enum Backing {
    Physical(Arc<Physical>),
    User(Arc<Space>),
}

thread_local! {
    /// What the memory that is being made on this thread shall be. The engine asks for its own heaps too: then it is None.
    static NEXT: RefCell<Option<Backing>> = const { RefCell::new(None) };
}

/// Makes a memory over `backing`. The engine's `Memory::new` does not ask the creator, a module's own memory does; so this
/// instantiates a module that only has a memory.
pub(crate) async fn create<T: Send + 'static>(
    mut store: impl AsContextMut<Data = T>,
    backing: Backing,
) -> wasmtime::Result<Memory> {
    let module = holder()?;
    NEXT.set(Some(backing));
    let instance = Instance::new_async(&mut store, module, &[]).await;
    NEXT.set(None);
    instance?.get_memory(&mut store, "memory").ok_or_else(|| wasmtime::Error::msg("no memory"))
}

/// A module with one memory. Its type asks for nothing: how large a memory is, the creator's objects say.
fn holder() -> wasmtime::Result<&'static Module> {
    static HOLDER: OnceLock<Module> = OnceLock::new();
    if let Some(module) = HOLDER.get() {
        return Ok(module);
    }
    let mut memories = MemorySection::new();
    memories.memory(wasm_encoder::MemoryType {
        minimum: 0,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    let mut module = wasm_encoder::Module::new();
    module.section(&memories).section(&exports);
    let module = Module::new(engine::get()?, module.finish())?;
    Ok(HOLDER.get_or_init(|| module))
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
        Ok(match NEXT.take() {
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
