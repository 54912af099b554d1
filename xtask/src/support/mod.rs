//! What all steps use.

pub(crate) mod cache;
pub(crate) mod crates;
pub(crate) mod digest;
pub(crate) mod files;
pub(crate) mod project;
pub(crate) mod task;
pub(crate) mod ui;
