//! The guest that is inside this library: kernel, compiled programs, base root file system.
use crate::Error;
use std::sync::OnceLock;
use wasmlinux_machine::Guest;

/// At a page's start, so that code in it can be made executable where it lies.
#[repr(C, align(4096))]
struct Aligned<T: ?Sized>(T);

static BUNDLE: Option<&Aligned<[u8]>> = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// The guest, parsed when it is asked for first.
#[expect(unsafe_code, reason = "the one place that says where the executable's own compiled code comes from")]
pub(crate) fn guest() -> Result<&'static Guest, Error> {
    static GUEST: OnceLock<Guest> = OnceLock::new();
    if let Some(guest) = GUEST.get() {
        return Ok(guest);
    }
    let bundle = &BUNDLE.ok_or(Error::NoGuest)?.0;
    // SAFETY: the build script has put it into this executable, whose code it is.
    let loaded = unsafe { Guest::load(bundle)? };
    // If two threads came here, one of the two is dropped.
    Ok(GUEST.get_or_init(|| loaded))
}
