//! The bus: which device answers at which window of physical addresses.
use crate::{Attendant, GuestMemory, Interrupt};
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

    /// The guest writes. True if there is work now for the [`Attendant`].
    fn write(&self, offset: u32, size: u32, value: u32) -> bool;

    /// Who does the device's work, if the processor may.
    fn attendant(&self) -> Option<Arc<dyn Attendant>> {
        None
    }
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

    /// The guest writes at a physical address; where there is no device nothing happens. True if there is work now for the [`Attendant`].
    pub fn write(&self, at: u32, size: u32, value: u32) -> bool {
        self.find(at).is_some_and(|(device, offset)| device.write(offset, size, value))
    }

    /// Who does work of a device on the processor's thread; the machine has one such device at most.
    pub fn attendant(&self) -> Option<Arc<dyn Attendant>> {
        self.windows.iter().flatten().find_map(|device| device.attendant())
    }
}
