//! What a task runs when it enters user mode.
use crate::{engine::code::Program, limits::Charge, mmu::space::Space};
use std::sync::Arc;
use wasmlinux_boundary::ENTRY_FORK;
use wasmtime::Val;

/// What a task runs when it enters user mode.
pub(crate) struct UserStart {
    pub(crate) program: Arc<Program>,
    /// Physical address of the page directory.
    pub(crate) pgd: u32,
    /// The export to call.
    pub(crate) entry: UserEntry,
    /// What fork() copied to make the address space.
    pub(crate) parent: Option<Arc<Space>>,
    /// What instances and address space take, if they have to be made.
    pub(crate) image: Image,
    /// Values of its mutable globals, by index in [`Program::globals`]; others are as in a new
    /// instance.
    pub(crate) globals: Vec<(usize, Val)>,
}

/// What a program that is about to run takes of the host at most.
pub(crate) struct Image {
    pub(crate) tables: Charge,
    /// None on an address space that exists.
    pub(crate) space: Option<Charge>,
}

#[derive(Clone, Copy)]
pub(crate) enum UserEntry {
    /// `_start(sp)`
    Start(u32),
    /// `_clone_start(sp)`
    Clone(u32),
    /// `_fork_child()`
    Fork,
}

impl UserEntry {
    /// By the numbers ENTRY_*.
    pub(crate) fn of_clone(entry: u32, sp: u32) -> UserEntry {
        if entry == ENTRY_FORK { UserEntry::Fork } else { UserEntry::Clone(sp) }
    }
}
