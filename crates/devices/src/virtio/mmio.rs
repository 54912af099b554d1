//! The transport over MMIO, version 2: the registers of one device.
use super::queue::{Broken, Layout, Queue};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// "WLNX"
const VENDOR: u32 = 0x584e_4c57;

/// VIRTIO_F_VERSION_1: without it a driver would be one for another layout.
pub(crate) const F_VERSION_1: u64 = 1 << 32;

/// Bits of the status register.
const STATUS_FEATURES_OK: u32 = 8;
const STATUS_DRIVER_OK: u32 = 4;
const STATUS_NEEDS_RESET: u32 = 64;

/// Bits of the interrupt status register.
pub(crate) const INTERRUPT_USED: u32 = 1;
pub(crate) const INTERRUPT_CONFIG: u32 = 2;

/// Where the device's own registers begin.
const CONFIG: u32 = 0x100;

/// What a write has done that the device must act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    /// The driver has put something into this queue.
    Notify(u32),
    /// The driver is ready, with these features: the queues are to be used.
    Ready(u64),
    /// The queues are not to be used any more.
    Reset,
}

#[derive(Default, Clone, Copy)]
struct QueueRegisters {
    layout: Layout,
    ready: bool,
    high: bool,
}

/// The registers that all devices have. They are changed by the guest's accesses only, but for the interrupt status.
pub(crate) struct Transport<const QUEUES: usize> {
    device: u32,
    features: u64,
    queue_size: u16,
    status: u32,
    features_page: u32,
    driver_page: u32,
    accepted: u64,
    selected: u32,
    queues: [QueueRegisters; QUEUES],
}

impl<const QUEUES: usize> Transport<QUEUES> {
    /// A device of this type (5.1 ff. of the standard) with these features.
    pub(crate) fn new(device: u32, features: u64, queue_size: u16) -> Self {
        Transport {
            device,
            features: features | F_VERSION_1,
            queue_size,
            status: 0,
            features_page: 0,
            driver_page: 0,
            accepted: 0,
            selected: 0,
            queues: [QueueRegisters::default(); QUEUES],
        }
    }

    /// The guest reads.
    pub(crate) fn read(&self, offset: u32, size: u32, interrupts: &AtomicU32, config: &[u8]) -> u32 {
        if let Some(at) = offset.checked_sub(CONFIG) {
            let mut value = [0; 4];
            for (i, byte) in value.iter_mut().enumerate().take(size.min(4) as usize) {
                *byte = config.get(at as usize + i).copied().unwrap_or(0);
            }
            return u32::from_le_bytes(value);
        }
        let page = |bits: u64, page: u32| if page < 2 { (bits >> (32 * page)) as u32 } else { 0 };
        match offset {
            0x000 => MAGIC,
            0x004 => VERSION,
            0x008 => self.device,
            0x00c => VENDOR,
            0x010 => page(self.features, self.features_page),
            0x034 if (self.selected as usize) < QUEUES => self.queue_size.into(),
            0x044 => self.queues.get(self.selected as usize).is_some_and(|queue| queue.ready).into(),
            0x060 => interrupts.load(SeqCst),
            0x070 => self.status,
            // No shared memory: a length of -1.
            0x0b0..=0x0bc => u32::MAX,
            _ => 0,
        }
    }

    /// The guest writes.
    pub(crate) fn write(&mut self, offset: u32, value: u32, interrupts: &AtomicU32) -> Event {
        let queue_size = self.queue_size;
        let mut none = QueueRegisters::default();
        let queue = self.queues.get_mut(self.selected as usize).unwrap_or(&mut none);
        match offset {
            0x014 => self.features_page = value,
            0x020 if self.driver_page < 2 => {
                let shift = 32 * self.driver_page;
                self.accepted = self.accepted & !(0xffff_ffff << shift) | u64::from(value) << shift;
            }
            0x024 => self.driver_page = value,
            0x030 => self.selected = value,
            0x038 => queue.layout.size = if value <= queue_size.into() { value as u16 } else { 0 },
            0x044 => queue.ready = value & 1 != 0,
            0x050 => return Event::Notify(value),
            0x064 => {
                interrupts.fetch_and(!value, SeqCst);
            }
            0x070 => return self.set_status(value, interrupts),
            0x080 => queue.layout.descriptors = value,
            0x090 => queue.layout.available = value,
            0x0a0 => queue.layout.used = value,
            // Memory ends below 4 GiB.
            0x084 | 0x094 | 0x0a4 => queue.high |= value != 0,
            _ => {}
        }
        Event::Nothing
    }

    fn set_status(&mut self, mut value: u32, interrupts: &AtomicU32) -> Event {
        if value == 0 {
            *self = Transport::new(self.device, self.features, self.queue_size);
            interrupts.store(0, SeqCst);
            return Event::Reset;
        }
        let was = self.status;
        if value & STATUS_FEATURES_OK != 0 && (self.accepted & !self.features != 0 || self.accepted & F_VERSION_1 == 0)
        {
            value &= !STATUS_FEATURES_OK;
        }
        self.status = value | was & STATUS_NEEDS_RESET;
        let begins = STATUS_DRIVER_OK | STATUS_FEATURES_OK;
        if self.status & begins == begins && was & STATUS_DRIVER_OK == 0 {
            return Event::Ready(self.accepted);
        }
        Event::Nothing
    }

    /// The queue as the driver has set it up; None if it has not.
    pub(crate) fn queue(&self, index: usize) -> Option<Result<Queue, Broken>> {
        let queue = self.queues.get(index)?;
        queue.ready.then(|| if queue.high { Err(Broken) } else { Queue::new(queue.layout) })
    }

    /// The driver has done what makes no sense.
    pub(crate) fn needs_reset(&mut self, interrupts: &AtomicU32) {
        self.status |= STATUS_NEEDS_RESET;
        interrupts.fetch_or(INTERRUPT_CONFIG, SeqCst);
    }
}
