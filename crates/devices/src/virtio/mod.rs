//! Devices after the standard "Virtual I/O Device (VIRTIO) Version 1.2": the transport over MMIO ([`mmio`]), split
//! virtqueues ([`queue`]) and the network device ([`net`]).
mod mmio;
mod net;
mod queue;

pub use net::{NetDevice, Sent};
