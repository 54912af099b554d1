//! Physical memory: a memfd, mapped once for all kernel instances of a machine.
use crate::{
    Error,
    host::{
        memory::{self, Access},
        process,
    },
    sizes::SPACE,
};
use std::{
    fs::File,
    io,
    ops::Range,
    ptr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU16, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};
use wasmlinux_boundary::WASM_PAGE;
use wasmlinux_devices::GuestMemory;

/// Bytes of address space without which no machine is started: physical memory has a reservation,
/// and so have the first process and a command.
const ADDRESSES: u64 = 4 * 2 * SPACE as u64;
/// Bytes that are brought in at once.
const PIECE: usize = 128 << 10;
/// Threads that bring in at the same time: one for what the host knows, one for what the kernel
/// says.
const BRINGING_MAX: u32 = 2;

/// A machine's physical memory. Its first page of [`WASM_PAGE`] bytes has no access, so that a null
/// pointer of the kernel is a trap.
pub(crate) struct Physical {
    base: *mut u8,
    size: usize,
    file: File,
    /// Threads of [`Physical::bring_in`].
    bringing: AtomicU32,
    /// Bytes are lent out: see [`Physical::lend`].
    lent: AtomicBool,
}

// SAFETY: the mapping is plain bytes, valid until drop; who may touch which bytes when is each
// method's contract.
unsafe impl Send for Physical {}
// SAFETY: as above.
unsafe impl Sync for Physical {}

impl Physical {
    /// The most bytes a machine can have: the last page stays free, so that no address looks like
    /// an error number.
    pub(crate) const MAX: u64 = SPACE as u64 - WASM_PAGE as u64;

    /// `size` in bytes, a multiple of [`WASM_PAGE`].
    pub(crate) fn new(size: usize) -> Result<Physical, Error> {
        check_limits(size as u64)?;
        let file = memory::file(size as u64).map_err(Error::HostMemory)?;
        let base = memory::reserve(2 * SPACE).map_err(Error::HostMemory)?;
        let physical = Physical { base, size, file, bringing: AtomicU32::new(0), lent: AtomicBool::new(false) };
        let (at, len) = (base.wrapping_add(WASM_PAGE as usize), size - WASM_PAGE as usize);
        // SAFETY: within the reservation that was just made and that nobody else knows.
        if !unsafe { memory::map(at, len, Access::Write, &physical.file, WASM_PAGE) } {
            return Err(Error::HostMemory(io::Error::last_os_error()));
        }
        Ok(physical)
    }

    /// Has the host allocate, on a thread of its own, pages that will be written soon: with a fault
    /// for each, that takes a fourth of a boot. What fails is left to the faults.
    pub(crate) fn bring_in(self: &Arc<Physical>, ranges: impl IntoIterator<Item = Range<usize>> + Send + 'static) {
        let alone = std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
        let memory = self.clone();
        let work = move || {
            ranges.into_iter().for_each(|range| memory.populate(range));
            memory.bringing.fetch_sub(1, Relaxed);
        };
        let begins = || std::thread::Builder::new().name("memory".into()).stack_size(64 << 10).spawn(work).is_ok();
        if !alone && (self.bringing.fetch_add(1, Relaxed) >= BRINGING_MAX || !begins()) {
            self.bringing.fetch_sub(1, Relaxed);
        }
    }

    fn populate(&self, range: Range<usize>) {
        let end = range.end.min(self.size);
        // In pieces, as others wait meanwhile who map something.
        for at in (range.start.max(WASM_PAGE as usize)..end).step_by(PIECE) {
            if !memory::populate(self.base.wrapping_add(at), PIECE.min(end - at)) {
                return;
            }
        }
    }

    pub(crate) fn base(&self) -> *mut u8 {
        self.base
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Lends the bytes at a physical address that the guest named to `f`; None if they are not all
    /// memory. For what would otherwise be copied twice, many kilobytes at a time: everything else
    /// reads and writes by copies ([`GuestMemory`]).
    ///
    /// `f` may read and write the bytes, or hand them to a system call, but decides nothing by them
    /// that it does not read once only: a guest that gives the same bytes to a device at the same
    /// time finds any mixture in them.
    ///
    /// # Panics
    /// If something is lent out already: there are no two views of the same bytes.
    ///
    /// # Safety
    /// The calling thread is the machine's processor, and `f` runs no code of the guest.
    pub(crate) unsafe fn lend<R>(&self, at: u32, len: u32, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let from = self.find(at, len as usize)?;
        let lent = Lent::new(&self.lent);
        // SAFETY: in bounds by find(), mapped readable and writable. Nobody else has a reference:
        // kernel and programs do not run, by this function's contract; other views there are none,
        // by `lent`; devices copy by pointers.
        let result = f(unsafe { std::slice::from_raw_parts_mut(from, len as usize) });
        drop(lent);
        Some(result)
    }

    /// A copy of bytes that the guest named; None if they are not all memory.
    pub(crate) fn copy(&self, at: u32, len: u32) -> Option<Vec<u8>> {
        self.find(at, len as usize)?;
        let mut bytes = vec![0; len as usize];
        self.read(at, &mut bytes)?;
        Some(bytes)
    }

    pub(crate) fn read_u32(&self, at: u32) -> Option<u32> {
        let mut word = [0; 4];
        self.read(at, &mut word)?;
        Some(u32::from_le_bytes(word))
    }
}

/// While it lives, bytes of physical memory are lent out.
struct Lent<'a>(&'a AtomicBool);

impl Lent<'_> {
    fn new(lent: &AtomicBool) -> Lent<'_> {
        assert!(!lent.swap(true, Acquire), "guest memory is lent out already");
        Lent(lent)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.store(false, Release);
    }
}

impl Physical {
    /// Where `len` bytes at a physical address lie, or None if they are not all memory.
    fn find(&self, at: u32, len: usize) -> Option<*mut u8> {
        let at = at as usize;
        (at >= WASM_PAGE as usize && at.checked_add(len)? <= self.size).then(|| self.base.wrapping_add(at))
    }

    fn find_u16(&self, at: u32) -> Option<&AtomicU16> {
        let at: *mut u16 = self.find(at, 2)?.cast();
        // SAFETY: in bounds and mapped for as long as self lives; aligned by the check; the guest's
        // accesses of it are single ones.
        at.is_aligned().then(|| unsafe { AtomicU16::from_ptr(at) })
    }
}

/// For devices, from any thread, while the guest runs. What the guest changes meanwhile arrives in
/// any mixture: no reference to those bytes is made, and all values are valid bytes.
impl GuestMemory for Physical {
    fn read(&self, at: u32, to: &mut [u8]) -> Option<()> {
        let from = self.find(at, to.len())?;
        // SAFETY: in bounds and mapped; `to` is a buffer of the host, which guest memory never is.
        unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
        Some(())
    }

    fn write(&self, at: u32, from: &[u8]) -> Option<()> {
        let to = self.find(at, from.len())?;
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
        Some(())
    }

    fn load_u16(&self, at: u32) -> Option<u16> {
        Some(self.find_u16(at)?.load(Acquire))
    }

    fn store_u16(&self, at: u32, value: u16) -> Option<()> {
        self.find_u16(at)?.store(value, Release);
        Some(())
    }
}

impl Drop for Physical {
    fn drop(&mut self) {
        // SAFETY: the reservation of new(), which nothing uses any more: instances keep it alive by
        // an Arc.
        unsafe { memory::release(self.base, 2 * SPACE) };
    }
}

/// Looks for what fails late: a process that makes a file larger than its limit dies of a signal,
/// and with too few addresses a machine starts in which no program does.
fn check_limits(size: u64) -> Result<(), Error> {
    let (file_size, addresses) = (process::limit(process::RLIMIT_FSIZE), process::limit(process::RLIMIT_AS));
    if file_size < size {
        return Err(Error::FileSize { limit: file_size, size });
    }
    if addresses < ADDRESSES { Err(Error::Addresses(addresses)) } else { Ok(()) }
}
