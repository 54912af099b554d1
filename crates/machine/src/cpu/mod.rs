//! A processor: its state and its loop, the tasks that it runs, and what the kernel asks of it.
//!
//! ```text
//!  processor.rs  what it has        run.rs       its loop        hypercall.rs  what the kernel imports
//!  task.rs       the life of one    instance.rs  its instances   store.rs      the pool that they come from
//!  start.rs      what it will run   clock.rs     clocks, and the timer
//! ```
pub(crate) mod clock;
pub(crate) mod hypercall;
pub(crate) mod instance;
pub(crate) mod processor;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod store;
pub(crate) mod task;
