//! The bus: which device answers at which window of physical addresses, and which interrupt line is
//! its own.
use crate::{Backend, GuestMemory, Interrupt, Panic};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use wasmlinux_boundary::{IRQ_DEVICES, MMIO_BASE, MMIO_WINDOW, MMIO_WINDOWS};

/// A device with registers. The guest's accesses come from a processor's thread and must not wait.
pub trait BusDevice: Send + Sync {
    /// The machine is switched on: from now on the device may use its memory and this interrupt
    /// line.
    fn connect(&self, memory: Arc<dyn GuestMemory>, line: Line);

    /// The machine is off: the device lets go of what it was connected to.
    fn disconnect(&self);

    /// The guest reads `size` bytes (1, 2 or 4) at an offset in the device's window.
    fn read(&self, offset: u32, size: u32) -> u32;

    /// The guest writes. True if [`BusDevice::backend`] is to be polled.
    fn write(&self, offset: u32, size: u32, value: u32) -> bool;

    /// Who does the device's work, if the processor's thread polls for it.
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }

    /// What the kernel's command line says of the device, so that its driver finds it.
    fn kernel_parameter(&self, slot: Slot) -> String;
}

/// Where a device is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Physical address of its registers, `MMIO_WINDOW` bytes.
    pub address: u32,
    /// Its interrupt line.
    pub line: u32,
}

impl Slot {
    fn new(index: usize) -> Slot {
        let index = index as u32;
        Slot { address: MMIO_BASE + index * MMIO_WINDOW, line: IRQ_DEVICES + index }
    }
}

/// The interrupt line of a device.
#[derive(Clone)]
pub struct Line {
    interrupt: Arc<dyn Interrupt>,
    number: u32,
}

impl Line {
    /// The line with this number of a machine.
    pub fn new(interrupt: Arc<dyn Interrupt>, number: u32) -> Line {
        Line { interrupt, number }
    }

    /// Raises it, from any thread.
    pub fn raise(&self) {
        self.interrupt.raise(self.number);
    }

    /// The device's code has panicked: the machine ends at once.
    pub fn fail(&self, why: Panic) {
        self.interrupt.fail(why);
    }
}

/// All windows of the bus have a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusFull;

impl std::fmt::Display for BusFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a machine has {MMIO_WINDOWS} devices at most")
    }
}

impl std::error::Error for BusFull {}

/// The devices with registers, by window.
#[derive(Default)]
pub struct Bus {
    devices: Vec<Arc<dyn BusDevice>>,
    /// Devices whose backend is to be polled: a bit each.
    notified: AtomicU32,
}

const _: () = assert!(MMIO_WINDOWS <= u32::BITS);

impl Bus {
    /// Plugs a device into the next free window.
    ///
    /// # Errors
    /// [`BusFull`].
    pub fn plug(&mut self, device: Arc<dyn BusDevice>) -> Result<Slot, BusFull> {
        let index = self.devices.len();
        if index == MMIO_WINDOWS as usize {
            return Err(BusFull);
        }
        self.devices.push(device);
        Ok(Slot::new(index))
    }

    /// What the kernel's command line has to say of the devices: a parameter each, in their order.
    pub fn kernel_parameters(&self) -> impl Iterator<Item = String> + '_ {
        self.devices.iter().enumerate().map(|(index, device)| device.kernel_parameter(Slot::new(index)))
    }

    /// Connects all devices; called by the machine when it is switched on.
    pub fn connect(&self, memory: &Arc<dyn GuestMemory>, interrupt: &Arc<dyn Interrupt>) {
        for (index, device) in self.devices.iter().enumerate() {
            device.connect(memory.clone(), Line::new(interrupt.clone(), Slot::new(index).line));
        }
    }

    /// Disconnects all devices: the machine is off.
    pub fn disconnect(&self) {
        self.devices.iter().for_each(|device| device.disconnect());
    }

    fn find(&self, at: u32) -> Option<(usize, &dyn BusDevice, u32)> {
        let offset = at.checked_sub(MMIO_BASE)?;
        let index = (offset / MMIO_WINDOW) as usize;
        Some((index, self.devices.get(index)?.as_ref(), offset % MMIO_WINDOW))
    }

    /// The guest reads at a physical address; where there is no device it reads ones.
    pub fn read(&self, at: u32, size: u32) -> u32 {
        self.find(at).map_or(u32::MAX, |(_, device, offset)| device.read(offset, size))
    }

    /// The guest writes at a physical address; where there is no device nothing happens. True if
    /// there is work now for [`Bus::poll_notified`].
    pub fn write(&self, at: u32, size: u32, value: u32) -> bool {
        let Some((index, device, offset)) = self.find(at) else { return false };
        let work = device.write(offset, size, value);
        if work {
            self.notified.fetch_or(1 << index, SeqCst);
        }
        work
    }

    /// Polls the backends for which the guest has left work since the last call.
    pub fn poll_notified(&self) {
        let notified = self.notified.swap(0, SeqCst);
        let notified = self.devices.iter().enumerate().filter(|(index, _)| notified >> index & 1 != 0);
        notified.filter_map(|(_, device)| device.backend()).for_each(|backend| backend.poll());
    }

    /// All backends that the processor's thread polls.
    pub fn backends(&self) -> impl Iterator<Item = Arc<dyn Backend>> + '_ {
        self.devices.iter().filter_map(|device| device.backend())
    }
}
