//! Addresses, and the memory behind them.
use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd},
    ptr,
};

/// What may be done with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    None,
    Read,
    Write,
    Execute,
}

impl Access {
    /// To read, or also to write.
    pub(crate) fn writable(writable: bool) -> Access {
        if writable { Access::Write } else { Access::Read }
    }

    fn protection(self) -> i32 {
        match self {
            Access::None => libc::PROT_NONE,
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
            Access::Execute => libc::PROT_READ | libc::PROT_EXEC,
        }
    }
}

const RESERVED: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// `size` bytes of addresses without access, at a place of the host's choice.
pub(crate) fn reserve(size: usize) -> io::Result<*mut u8> {
    // SAFETY: a new mapping.
    let at = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_NONE, RESERVED, -1, 0) };
    if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at.cast()) }
}

/// Gives addresses back.
///
/// # Safety
/// They are part of a reservation of the caller's, in whole pages, and nobody uses them any more.
pub(crate) unsafe fn release(at: *mut u8, size: usize) {
    // SAFETY: by this function's contract.
    unsafe { libc::munmap(at.cast(), size) };
}

/// A part of a reservation becomes as it was at first, whatever is there. False if the host
/// refuses: then it is not known what is there. Async-signal-safe.
///
/// # Safety
/// It is part of a reservation of the caller's, in whole pages, and nobody has a reference to what
/// is there.
pub(crate) unsafe fn clear(at: *mut u8, size: usize) -> bool {
    // SAFETY: by this function's contract.
    unsafe { libc::mmap(at.cast(), size, libc::PROT_NONE, RESERVED | libc::MAP_FIXED, -1, 0) == at.cast() }
}

/// `size` bytes of memory, all zero, that can be mapped.
pub(crate) fn file(size: u64) -> io::Result<File> {
    // SAFETY: a constant name; the result is checked.
    let fd = unsafe { libc::memfd_create(c"wasmlinux-memory".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size)?;
    Ok(file)
}

/// Maps a part of such memory, from `offset` on, into a reservation, in place of what is there.
/// False if the host refuses: then it is not known what is there. Async-signal-safe.
///
/// # Safety
/// It is part of a reservation of the caller's, in whole pages, and nobody has a reference to what
/// is there. Who has a reference to what is mapped now, through another mapping, is the caller's
/// affair.
pub(crate) unsafe fn map(at: *mut u8, size: usize, access: Access, file: &File, offset: u32) -> bool {
    let (flags, fd) = (libc::MAP_SHARED | libc::MAP_FIXED, file.as_raw_fd());
    // SAFETY: by this function's contract.
    unsafe { libc::mmap(at.cast(), size, access.protection(), flags, fd, offset.into()) == at.cast() }
}

/// Changes the access to pages. Async-signal-safe.
///
/// # Safety
/// They are the caller's, and who uses them otherwise than is allowed now expects the fault.
pub(crate) unsafe fn protect(at: *mut u8, size: usize, access: Access) -> io::Result<()> {
    // SAFETY: by this function's contract.
    match unsafe { libc::mprotect(at.cast(), size, access.protection()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Private pages become zero, and cost nothing until they are touched again.
///
/// # Safety
/// They are the caller's, and their contents are not needed any more.
pub(crate) unsafe fn discard(at: *mut u8, size: usize) {
    // SAFETY: by this function's contract.
    unsafe { libc::madvise(at.cast(), size, libc::MADV_DONTNEED) };
}

/// Brings in pages that will be written. False if the host does not know how, or will not. It
/// changes no byte: addresses that are not mapped are refused.
pub(crate) fn populate(at: *mut u8, size: usize) -> bool {
    // SAFETY: no byte changes, wherever it is.
    unsafe { libc::madvise(at.cast(), size, libc::MADV_POPULATE_WRITE) == 0 }
}
