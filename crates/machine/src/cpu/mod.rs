//! A processor: its state and its loop, the tasks that it runs, and what the kernel asks of it.
//!
//! ```text
//!  processor.rs  what a processor has    run.rs        its loop
//!  clock.rs      clocks, and the timer   hypercall.rs  what the kernel imports
//!  task.rs       the life of a task      start.rs      what it will run
//!  instance.rs   its instances           store.rs      the pool that they come from
//! ```
pub(crate) mod clock;
pub(crate) mod hypercall;
pub(crate) mod instance;
pub(crate) mod processor;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod store;
pub(crate) mod task;
