//! The bus: which device answers at which window of physical addresses.
use crate::{GuestMemory, Interrupt};
use std::sync::Arc;
use wasmlinux_boundary::{MMIO_BASE, MMIO_WINDOW, MMIO_WINDOWS};

/// A device with registers. The guest's accesses come from the machine's thread and must not wait.
pub trait Device: Send + Sync {
    /// The machine is switched on: from now on the device may use its memory and its interrupt line.
    fn connect(&self, memory: Arc<dyn GuestMemory>, interrupt: Arc<dyn Interrupt>);

    /// The machine is off: the device lets go of what it was connected to.
    fn disconnect(&self);

    /// The guest reads `size` bytes (1, 2 or 4) at an offset in the device's window.
    fn read(&self, offset: u32, size: u32) -> u32;

    /// The guest writes.
    fn write(&self, offset: u32, size: u32, value: u32);
}

/// The devices with registers, by window.
#[derive(Default)]
pub struct Bus {
    windows: [Option<Arc<dyn Device>>; MMIO_WINDOWS as usize],
}

impl Bus {
    /// Plugs a device into the first free window, whose physical address it returns; None if there is none.
    pub fn plug(&mut self, device: Arc<dyn Device>) -> Option<u32> {
        let at = self.windows.iter().position(Option::is_none)?;
        self.windows[at] = Some(device);
        Some(MMIO_BASE + at as u32 * MMIO_WINDOW)
    }

    /// Connects all devices; called by the machine when it is switched on.
    pub fn connect(&self, memory: &Arc<dyn GuestMemory>, interrupt: &Arc<dyn Interrupt>) {
        for device in self.windows.iter().flatten() {
            device.connect(memory.clone(), interrupt.clone());
        }
    }

    /// Disconnects all devices: the machine is off.
    pub fn disconnect(&self) {
        self.windows.iter().flatten().for_each(|device| device.disconnect());
    }

    fn find(&self, at: u32) -> Option<(&dyn Device, u32)> {
        let offset = at.checked_sub(MMIO_BASE)?;
        let device = self.windows.get((offset / MMIO_WINDOW) as usize)?.as_deref()?;
        Some((device, offset % MMIO_WINDOW))
    }

    /// The guest reads at a physical address; where there is no device it reads ones.
    pub fn read(&self, at: u32, size: u32) -> u32 {
        self.find(at).map_or(u32::MAX, |(device, offset)| device.read(offset, size))
    }

    /// The guest writes at a physical address; where there is no device nothing happens.
    pub fn write(&self, at: u32, size: u32, value: u32) {
        if let Some((device, offset)) = self.find(at) {
            device.write(offset, size, value);
        }
    }
}
