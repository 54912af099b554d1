//! A driver for virtio devices as a test has one: at the level of registers and rings.
#![allow(dead_code, reason = "each test uses what it needs")]
pub(crate) mod hostile;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use wasmlinux_devices::virtio::{Device, Mmio};
use wasmlinux_devices::{BusDevice, GuestMemory, Interrupt, Line};

/// Bytes of memory.
pub(crate) const SIZE: usize = 1 << 20;
/// Where buffers may be; the rings lie below.
pub(crate) const BUFFERS: u32 = 0x10000;
/// Descriptors of a queue.
pub(crate) const QUEUE: u32 = 8;
/// The line of the device.
pub(crate) const LINE: u32 = 9;

/// Flags of descriptors.
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;

/// Where a queue's descriptors, available ring and used ring are.
pub(crate) const fn rings(queue: u32) -> [u32; 3] {
    let at = 0x1000 + 0x3000 * queue;
    [at, at + 0x1000, at + 0x2000]
}

/// The guest's memory.
pub(crate) struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn new() -> Arc<Memory> {
        Arc::new(Memory(Mutex::new(vec![0; SIZE])))
    }

    fn range(at: u32, len: usize) -> Option<std::ops::Range<usize>> {
        let at = at as usize;
        (at + len <= SIZE).then(|| at..at + len)
    }

    pub(crate) fn put16(&self, at: u32, value: u16) {
        self.write(at, &value.to_le_bytes()).expect("in memory");
    }

    pub(crate) fn get(&self, at: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read(at, &mut bytes).expect("in memory");
        bytes
    }

    pub(crate) fn put_descriptor(&self, queue: u32, index: u32, at: u64, len: u32, flags: u16, next: u16) {
        let mut raw = at.to_le_bytes().to_vec();
        raw.extend(len.to_le_bytes());
        raw.extend(flags.to_le_bytes());
        raw.extend(next.to_le_bytes());
        self.write(rings(queue)[0] + 16 * index, &raw).expect("in memory");
    }

    /// Makes descriptor chains available, so many in all.
    pub(crate) fn offer(&self, queue: u32, heads: &[u16], index: u16) {
        for (i, head) in heads.iter().enumerate() {
            self.put16(rings(queue)[1] + 4 + 2 * i as u32, *head);
        }
        self.put16(rings(queue)[1] + 2, index);
    }

    /// How many the device has given back.
    pub(crate) fn used(&self, queue: u32) -> u16 {
        self.load_u16(rings(queue)[2] + 2).expect("in memory")
    }

    /// The n-th entry of the used ring: a head, and bytes written.
    pub(crate) fn used_entry(&self, queue: u32, n: u16) -> (u32, u32) {
        let raw = self.get(rings(queue)[2] + 4 + 8 * (u32::from(n) % QUEUE), 8);
        (u32::from_le_bytes(raw[..4].try_into().unwrap()), u32::from_le_bytes(raw[4..].try_into().unwrap()))
    }
}

impl GuestMemory for Memory {
    fn read(&self, at: u32, to: &mut [u8]) -> Option<()> {
        to.copy_from_slice(&self.0.lock().unwrap()[Memory::range(at, to.len())?]);
        Some(())
    }

    fn write(&self, at: u32, from: &[u8]) -> Option<()> {
        self.0.lock().unwrap()[Memory::range(at, from.len())?].copy_from_slice(from);
        Some(())
    }

    fn load_u16(&self, at: u32) -> Option<u16> {
        let mut raw = [0; 2];
        self.read(at, &mut raw)?;
        Some(u16::from_le_bytes(raw))
    }

    fn store_u16(&self, at: u32, value: u16) -> Option<()> {
        self.write(at, &value.to_le_bytes())
    }
}

/// The interrupt controller: how often a line was raised.
#[derive(Default)]
pub(crate) struct Lines(AtomicU32);

impl Interrupt for Lines {
    fn raise(&self, line: u32) {
        assert_eq!(line, LINE);
        self.0.fetch_add(1, SeqCst);
    }
}

/// A driver of one device.
pub(crate) struct Driver {
    pub(crate) registers: Arc<Mmio>,
    pub(crate) memory: Arc<Memory>,
    lines: Arc<Lines>,
}

impl Driver {
    /// A device that is plugged in, and a driver that has done nothing yet.
    pub(crate) fn new(device: Arc<dyn Device>) -> Driver {
        let memory = Memory::new();
        Driver::with_memory(device, memory.clone(), memory)
    }

    /// One whose device sees the memory through something else.
    pub(crate) fn with_memory(device: Arc<dyn Device>, memory: Arc<Memory>, seen: Arc<dyn GuestMemory>) -> Driver {
        let (registers, lines) = (Mmio::new(device), Arc::new(Lines::default()));
        registers.connect(seen, Line::new(lines.clone(), LINE));
        Driver { registers, memory, lines }
    }

    /// A driver that is ready, with all features and queues.
    pub(crate) fn ready(device: Arc<dyn Device>) -> Driver {
        let driver = Driver::new(device);
        driver.begin();
        driver
    }

    /// Sets the device up.
    pub(crate) fn begin(&self) {
        assert_eq!((self.read(0), self.read(4)), (0x7472_6976, 2));
        self.write(0x70, 3);
        for page in [0, 1] {
            self.write(0x14, page);
            self.write(0x24, page);
            self.write(0x20, self.read(0x10));
        }
        self.write(0x70, 11);
        assert_eq!(self.read(0x70), 11, "all features that it offers are accepted");
        for queue in 0.. {
            self.write(0x30, queue);
            if self.read(0x34) == 0 {
                break;
            }
            let [descriptors, available, used] = rings(queue);
            for (register, value) in [(0x38, QUEUE), (0x80, descriptors), (0x90, available), (0xa0, used), (0x44, 1)] {
                self.write(register, value);
            }
        }
        self.write(0x70, 15);
        assert_eq!(self.read(0x70), 15);
    }

    /// Resets it, and forgets what is in the rings.
    pub(crate) fn reset(&self) {
        self.write(0x70, 0);
        assert_eq!(self.read(0x70), 0);
        self.memory.write(0, &[0; BUFFERS as usize]).unwrap();
    }

    pub(crate) fn read(&self, offset: u32) -> u32 {
        self.registers.read(offset, 4)
    }

    /// True if the backend is to be polled.
    pub(crate) fn write(&self, offset: u32, value: u32) -> bool {
        self.registers.write(offset, 4, value)
    }

    pub(crate) fn notify(&self, queue: u32) -> bool {
        self.write(0x50, queue)
    }

    pub(crate) fn needs_reset(&self) -> bool {
        self.read(0x70) & 64 != 0
    }

    /// Interrupts so far.
    pub(crate) fn interrupts(&self) -> u32 {
        self.lines.0.load(SeqCst)
    }
}
