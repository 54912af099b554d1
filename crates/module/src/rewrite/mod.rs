//! Code in the form in which the engine's compiler keeps what it means on this machine.
//!
//! The consumer is Cranelift, in the version to which `crates/machine` is pinned. What is done here
//! rests on these facts about it, which a new version, or another engine, may change:
//!
//! - It takes memory to change by the function's own stores and by calls only, as no other thread
//!   shares this memory in WebAssembly's sense. Atomic instructions count as such changes, whatever
//!   they do.
//! - It does not move an access across another, nor leave one out that may trap, but for two kinds
//!   (`alias_analysis.rs` and `lower.rs` there): a load of what an access of the same address and
//!   width has made known, with no change of memory between; and a store of what is known to be
//!   there, or that another one overwrites with no access between.
//! - "The same address" is one value of its intermediate form and one offset: a constant, or a
//!   local that was not set in between (`known.rs`). It knows what two paths have in common only if
//!   both have passed the same instruction.
//! - It moves a load out of a loop that neither stores nor calls, if its address stays the same.
//! - On x86-64 an atomic load costs what a plain one does; an atomic store costs a fence.
//!
//! On this machine a signal's handler or another thread runs between any two instructions, and
//! changes memory: one processor runs them all. (With several processors, atomic stores could not
//! become plain ones.) `accesses.rs` has what follows from that.
pub(crate) mod accesses;
mod known;
mod scratch;
