//! Memory: the machine's, the user address spaces in which it appears, and what each task has of
//! the host's.
pub(crate) mod exceptions;
pub(crate) mod linear;
pub(crate) mod physical;
pub(crate) mod space;
pub(crate) mod stack;
