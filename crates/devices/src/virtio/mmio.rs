//! The transport over MMIO, version 2 (4.2 of the standard): the registers of one device.
use super::queue::{Broken, Layout};
use super::{Device, Queues};
use crate::{Backend, BusDevice, GuestMemory, Line, Slot};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmlinux_boundary::MMIO_WINDOW;

/// What some registers say.
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "WLNX"
const VENDOR: u32 = 0x584e_4c57;

/// VIRTIO_F_VERSION_1: without it a driver would be one for another layout.
const F_VERSION_1: u64 = 1 << 32;

/// Bits of the status register.
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_FEATURES_OK: u32 = 8;
const STATUS_NEEDS_RESET: u32 = 64;

/// Offsets of registers.
const MAGIC_VALUE: u32 = 0x000;
const VERSION_NUMBER: u32 = 0x004;
const DEVICE_ID: u32 = 0x008;
const VENDOR_ID: u32 = 0x00c;
const DEVICE_FEATURES: u32 = 0x010;
const DEVICE_FEATURES_SEL: u32 = 0x014;
const DRIVER_FEATURES: u32 = 0x020;
const DRIVER_FEATURES_SEL: u32 = 0x024;
const QUEUE_SEL: u32 = 0x030;
const QUEUE_SIZE_MAX: u32 = 0x034;
const QUEUE_SIZE: u32 = 0x038;
const QUEUE_READY: u32 = 0x044;
const QUEUE_NOTIFY: u32 = 0x050;
const INTERRUPT_STATUS: u32 = 0x060;
const INTERRUPT_ACK: u32 = 0x064;
const STATUS: u32 = 0x070;
const QUEUE_DESC: u32 = 0x080;
const QUEUE_DESC_HIGH: u32 = 0x084;
const QUEUE_DRIVER: u32 = 0x090;
const QUEUE_DRIVER_HIGH: u32 = 0x094;
const QUEUE_DEVICE: u32 = 0x0a0;
const QUEUE_DEVICE_HIGH: u32 = 0x0a4;
const SHM_LEN: u32 = 0x0b0;
const SHM_BASE_HIGH: u32 = 0x0bc;
const CONFIG_GENERATION: u32 = 0x0fc;
/// Where the device's own begin.
const CONFIG: u32 = 0x100;

/// A virtio device on the bus.
pub struct Mmio {
    device: Arc<dyn Device>,
    registers: Mutex<Registers>,
}

impl Mmio {
    /// The registers of a device.
    pub fn new(device: Arc<dyn Device>) -> Arc<Mmio> {
        let registers = Mutex::new(Registers::new(&*device));
        Arc::new(Mmio { device, registers })
    }

    fn registers(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BusDevice for Mmio {
    fn connect(&self, memory: Arc<dyn GuestMemory>, line: Line) {
        self.device.queues().connect(memory, line);
    }

    fn disconnect(&self) {
        self.device.queues().disconnect();
        self.device.disconnected();
    }

    fn read(&self, offset: u32, size: u32) -> u32 {
        let (device, queues) = (&*self.device, self.device.queues());
        if let Some(at) = offset.checked_sub(CONFIG) {
            let mut value = [0; 4];
            device.read_config(at as usize, &mut value[..size.min(4) as usize]);
            return u32::from_le_bytes(value);
        }
        match offset {
            MAGIC_VALUE => MAGIC,
            VERSION_NUMBER => VERSION,
            DEVICE_ID => device.id(),
            VENDOR_ID => VENDOR,
            INTERRUPT_STATUS => queues.interrupt_status(),
            // No shared memory: a length of -1.
            SHM_LEN..=SHM_BASE_HIGH => u32::MAX,
            CONFIG_GENERATION => queues.config_generation(),
            _ => self.registers().read(offset, queues),
        }
    }

    fn write(&self, offset: u32, size: u32, value: u32) -> bool {
        let (device, queues) = (&*self.device, self.device.queues());
        if let Some(at) = offset.checked_sub(CONFIG) {
            device.write_config(at as usize, &value.to_le_bytes()[..size.min(4) as usize]);
            return false;
        }
        match offset {
            // The way of every packet: no lock.
            QUEUE_NOTIFY => return (value as usize) < queues.len() && device.notified(value as usize),
            INTERRUPT_ACK => {
                queues.acknowledge(value);
                return false;
            }
            _ => {}
        }
        // Held until it is done: two processors that set up one device do it one after the other.
        let mut registers = self.registers();
        match registers.write(offset, value, queues) {
            Event::Nothing => false,
            Event::Stop(queue) => {
                queues.stop_one(queue);
                false
            }
            Event::Reset => {
                *registers = Registers::new(device);
                queues.reset();
                device.reset();
                false
            }
            Event::Ready => {
                queues.start(registers.accepted, registers.layouts());
                device.ready(registers.accepted)
            }
        }
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        self.device.backend()
    }

    fn kernel_parameter(&self, slot: Slot) -> String {
        format!("virtio_mmio.device={MMIO_WINDOW}@{:#x}:{}", slot.address, slot.line)
    }
}

/// What a write has done that the device must act on.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    /// The driver is ready: the queues are to be used.
    Ready,
    /// This queue is not to be used any more.
    Stop(usize),
    /// None is.
    Reset,
}

#[derive(Default, Clone, Copy)]
struct QueueRegisters {
    layout: Layout,
    ready: bool,
    /// Some address is one above 4 GiB, where no memory is.
    high: bool,
}

/// What the driver has said of itself and its queues.
struct Registers {
    offered: u64,
    status: u32,
    device_page: u32,
    driver_page: u32,
    accepted: u64,
    selected: u32,
    queues: Box<[QueueRegisters]>,
}

impl Registers {
    fn new(device: &dyn Device) -> Registers {
        Registers {
            offered: device.features() | F_VERSION_1,
            status: 0,
            device_page: 0,
            driver_page: 0,
            accepted: 0,
            selected: 0,
            queues: vec![QueueRegisters::default(); device.queues().len()].into(),
        }
    }

    fn read(&self, offset: u32, queues: &Queues) -> u32 {
        match offset {
            DEVICE_FEATURES if self.device_page < 2 => (self.offered >> (32 * self.device_page)) as u32,
            QUEUE_SIZE_MAX => queues.size(self.selected as usize).into(),
            QUEUE_READY => self.queues.get(self.selected as usize).is_some_and(|queue| queue.ready).into(),
            STATUS => self.status | if queues.needs_reset() { STATUS_NEEDS_RESET } else { 0 },
            _ => 0,
        }
    }

    fn write(&mut self, offset: u32, value: u32, queues: &Queues) -> Event {
        let selected = self.selected as usize;
        let mut none = QueueRegisters::default();
        let queue = self.queues.get_mut(selected).unwrap_or(&mut none);
        match offset {
            DEVICE_FEATURES_SEL => self.device_page = value,
            DRIVER_FEATURES if self.driver_page < 2 => {
                let shift = 32 * self.driver_page;
                self.accepted = self.accepted & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }
            DRIVER_FEATURES_SEL => self.driver_page = value,
            QUEUE_SEL => self.selected = value,
            QUEUE_SIZE => queue.layout.size = if value <= queues.size(selected).into() { value as u16 } else { 0 },
            QUEUE_READY => {
                queue.ready = value & 1 != 0;
                if !queue.ready {
                    return Event::Stop(selected);
                }
            }
            STATUS => return self.set_status(value),
            QUEUE_DESC => queue.layout.descriptors = value,
            QUEUE_DRIVER => queue.layout.available = value,
            QUEUE_DEVICE => queue.layout.used = value,
            QUEUE_DESC_HIGH | QUEUE_DRIVER_HIGH | QUEUE_DEVICE_HIGH => queue.high |= value != 0,
            _ => {}
        }
        Event::Nothing
    }

    fn set_status(&mut self, mut value: u32) -> Event {
        if value == 0 {
            return Event::Reset;
        }
        let was = self.status;
        if value & STATUS_FEATURES_OK != 0 && (self.accepted & !self.offered != 0 || self.accepted & F_VERSION_1 == 0) {
            value &= !STATUS_FEATURES_OK;
        }
        self.status = value & !STATUS_NEEDS_RESET;
        let begins = STATUS_DRIVER_OK | STATUS_FEATURES_OK;
        if self.status & begins == begins && was & STATUS_DRIVER_OK == 0 { Event::Ready } else { Event::Nothing }
    }

    /// The queues as the driver has set them up.
    fn layouts(&self) -> impl Iterator<Item = (usize, Result<Layout, Broken>)> + '_ {
        let ready = self.queues.iter().enumerate().filter(|(_, queue)| queue.ready);
        ready.map(|(index, queue)| (index, if queue.high { Err(Broken) } else { Ok(queue.layout) }))
    }
}
