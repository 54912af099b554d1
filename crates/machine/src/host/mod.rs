//! What the machine asks of its host's kernel, and the only code that calls it, beside the standard
//! library: the contract for a port to another host.
//!
//! | function | what it must do | called by |
//! | --- | --- | --- |
//! | [`memory::reserve`], [`memory::release`] | addresses without access, tens of GiB of them, that cost no memory | all that has memory |
//! | [`memory::file`] | memory that can be mapped more than once, at the same time | `physical` |
//! | [`memory::map`] | pages of that at a given address of a reservation, in place of what is there; async-signal-safe | `physical`, `space` |
//! | [`memory::clear`] | a range of a reservation is as it was at first; async-signal-safe | `space`, `exceptions` |
//! | [`memory::protect`] | changes access to pages; async-signal-safe | `space`, `stack`, `exceptions`, `engine`, `hidden` |
//! | [`memory::discard`], [`memory::populate`] | hints: contents not needed; will be written soon | `stack`, `physical` |
//! | [`time::monotonic`], [`time::of_thread`] | clocks, in nanoseconds | `clock`, `interrupt` |
//! | [`time::Timer`] | sends the interrupt signal to one thread; set from signal handlers too | `clock`, `trap` |
//! | [`signals::this_thread`], [`signals::interrupt`] | the interrupt signal for one thread, async-signal-safe | `interrupt` |
//! | [`signals::wait`] | sleeps until descriptors are ready or that signal comes, and never overlooks it | `cpu` |
//! | [`signals::prepare_thread`], [`signals::handle`], [`signals::forward`] | handlers with the interrupted registers, on the stack of what was interrupted | `trap` |
//! | [`process::limit`], [`process::lower_limit`] | limits of the process | `limits`, `physical`, `compiler` |
//! | [`process::random`] | bytes that nobody can guess | `board` |
//! | [`confine`] | what a machine's process gives up before the guest runs | `wasmlinux`'s `apart` |
//! | [`process::user`], [`process::be_compiler`], [`process::end`] | what a compiler's process is | `cache`, `compiler` |
//!
//! Numbers of errors and signals elsewhere in this crate are the guest's, which are Linux's; types
//! of signal frames are in `trap` and
//! `arch`.
pub(crate) mod confine;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod time;
