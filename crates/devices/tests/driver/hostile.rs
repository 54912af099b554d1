//! A hostile driver: what it does is read from bytes, random ones or a fuzzer's. [`drive`] is what
//! a fuzz target calls.
use super::{BUFFERS, Driver, Memory, NEXT, QUEUE, SIZE, WRITE, rings};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use wasmlinux_devices::virtio::{ConsoleDevice, ConsoleReader, ConsoleWriter, Device, NetDevice, Sent};
use wasmlinux_devices::{BusDevice, GuestMemory};

const RX: u32 = 0;
const TX: u32 = 1;
/// Accesses of memory in one call of a device: more would be one that does not end.
const CALL: u32 = 100_000;
/// Bytes that the host writes to the console, at most: less than it holds, so that it never waits.
const INPUT: usize = 200_000;

/// What is left of the bytes. When there are none it reads zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::from(self.byte()) % end
    }

    /// A number as one writes it who looks for a mistake.
    fn number(&mut self) -> u32 {
        match self.below(6) {
            0 => self.byte().into(),
            1 => BUFFERS + 64 * u32::from(self.byte()),
            2 => 0x1000 * self.below(16),
            3 => (SIZE as u32).wrapping_add(self.below(16)).wrapping_sub(8),
            4 => 0_u32.wrapping_sub(self.byte().into()),
            _ => u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }
}

/// Memory that sees what the device does, and may change under its hands.
struct Watched {
    memory: Arc<Memory>,
    accesses: AtomicU32,
    /// The rings are where they belong and stay as they are while the device works: then is known
    /// what it may write.
    strict: AtomicBool,
    /// Numbers that come into the rings as the device reads.
    mischief: Mutex<Vec<u8>>,
}

impl Watched {
    fn access(&self) {
        assert!(self.accesses.fetch_add(1, SeqCst) < CALL, "one call does not end");
        let mut mischief = self.mischief.lock().unwrap();
        if let [.., value, high, low] = **mischief {
            let len = mischief.len() - 3;
            mischief.truncate(len);
            let at = 0x1000 + (u32::from(high) << 8 | u32::from(low)) % 0x6000;
            self.memory.put16(at, value.into());
        }
    }

    /// Whether the driver lets the device write there.
    fn allows(&self, at: u32, len: usize) -> bool {
        let (begin, end) = (u64::from(at), u64::from(at) + len as u64);
        (0..2).any(|queue| {
            let used = u64::from(rings(queue)[2]);
            let ring = begin >= used + 2 && end <= used + 4 + 8 * u64::from(QUEUE);
            ring || (0..QUEUE).any(|index| {
                let raw = self.memory.get(rings(queue)[0] + 16 * index, 16);
                let at = u64::from_le_bytes(raw[..8].try_into().unwrap());
                let len = u64::from(u32::from_le_bytes(raw[8..12].try_into().unwrap()));
                let writable = u16::from_le_bytes([raw[12], raw[13]]) & WRITE != 0;
                writable && begin >= at && end <= at.saturating_add(len)
            })
        })
    }
}

impl GuestMemory for Watched {
    fn read(&self, at: u32, to: &mut [u8]) -> Option<()> {
        self.access();
        self.memory.read(at, to)
    }

    fn write(&self, at: u32, from: &[u8]) -> Option<()> {
        self.access();
        assert!(!self.strict.load(SeqCst) || self.allows(at, from.len()), "{} bytes at {at:#x}", from.len());
        self.memory.write(at, from)
    }

    fn load_u16(&self, at: u32) -> Option<u16> {
        self.access();
        self.memory.load_u16(at)
    }

    fn store_u16(&self, at: u32, value: u16) -> Option<()> {
        self.access();
        assert!(!self.strict.load(SeqCst) || self.allows(at, 2), "an index at {at:#x}");
        self.memory.store_u16(at, value)
    }
}

/// A device, and its backend as the test plays it.
enum Backend {
    Net(Arc<NetDevice>),
    Console { reader: ConsoleReader, writer: ConsoleWriter, written: usize },
}

impl Backend {
    fn new(net: bool) -> (Backend, Arc<dyn Device>) {
        if net {
            let device = NetDevice::new([2; 6], 9000);
            return (Backend::Net(device.clone()), device);
        }
        let (device, reader, writer) = ConsoleDevice::new(80, 25);
        (Backend::Console { reader, writer, written: 0 }, device)
    }

    /// Does some of its work.
    fn work(&mut self, what: u8) {
        match self {
            Backend::Net(device) => match what % 4 {
                0 => drop(device.receive(&mut [0; 500])),
                1 => drop(device.send(&vec![7; 2 * usize::from(what)])),
                _ => device.flush(),
            },
            Backend::Console { writer, written, .. } => {
                let len = usize::from(what).min(INPUT - *written);
                *written += len;
                writer.write_all(&vec![7; len]).expect("somebody reads");
            }
        }
    }

    /// Whether the queue that the driver receives in works: a buffer is there.
    fn receives(&mut self, driver: &Driver) {
        let before = driver.memory.used(RX);
        match self {
            Backend::Net(device) => assert_eq!(device.send(b"x"), Sent::Yes),
            Backend::Console { writer, .. } => writer.write_all(b"x").expect("somebody reads"),
        }
        driver.notify(RX);
        assert_ne!(driver.memory.used(RX), before);
    }
}

/// Does to a device what the bytes say, and looks whether it does what it must: it writes nowhere
/// but where it may, each call ends, a queue that is left alone still works, and after a reset all
/// do.
pub(crate) fn drive(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let kind = bytes.byte();
    let (mut backend, device) = Backend::new(kind & 1 != 0);
    let (registers, changing, only_tx) = (kind & 2 != 0, kind & 4 != 0, kind & 8 != 0);
    let memory = Memory::new();
    let mischief = if changing { bytes.0.iter().rev().copied().collect() } else { vec![] };
    let watched = Arc::new(Watched {
        memory: memory.clone(),
        accesses: AtomicU32::new(0),
        strict: AtomicBool::new(!registers && !changing),
        mischief: Mutex::new(mischief),
    });
    let driver = Driver::with_memory(device, memory.clone(), watched.clone());
    driver.begin();
    if only_tx && !registers && !changing {
        // Left alone; one buffer is for the end.
        for index in 0..QUEUE {
            memory.put_descriptor(RX, index, u64::from(BUFFERS + 4096 * index), 4096, WRITE, 0);
        }
        memory.offer(RX, &[0, 1, 2, 3, 4, 5, 6, 7], 1);
    }
    let queue = |bytes: &mut Bytes<'_>| if only_tx { TX } else { bytes.below(2) };
    while !bytes.0.is_empty() {
        watched.accesses.store(0, SeqCst);
        let what = bytes.below(8);
        match what {
            0 | 1 => {
                let (queue, index) = (queue(&mut bytes), bytes.below(QUEUE));
                let (at, len) = (bytes.number(), bytes.number());
                let high = u64::from(bytes.byte() == 255) << 32;
                let flags = u16::from(bytes.byte()) & (NEXT | WRITE | 4);
                memory.put_descriptor(queue, index, high | u64::from(at), len, flags, u16::from(bytes.byte()) % 9);
            }
            2 => {
                let (queue, slot) = (queue(&mut bytes), bytes.below(QUEUE));
                memory.put16(rings(queue)[1] + 4 + 2 * slot, u16::from(bytes.byte()) % 9);
            }
            3 => {
                let at = rings(queue(&mut bytes))[1] + 2;
                let more = match bytes.below(8) {
                    0 => bytes.number() as u16,
                    more => more as u16 / 2,
                };
                memory.put16(at, memory.load_u16(at).unwrap_or_default().wrapping_add(more));
            }
            4 => drop(driver.notify(queue(&mut bytes))),
            5 if only_tx && matches!(backend, Backend::Console { .. }) => {}
            // Frames for the guest would take the buffer that is left alone.
            5 if only_tx => backend.work(bytes.byte() & !1),
            5 => backend.work(bytes.byte()),
            6 if registers => {
                let (offset, size) = (u32::from(bytes.byte()) * 4 % 0x110, 1 << bytes.below(3));
                let value = bytes.number();
                driver.registers.write(offset, size, value);
                driver.registers.read(offset, size);
            }
            6 => drop(driver.write(0x64, 3)),
            // Its hand is steady now and then.
            _ if bytes.byte() > 250 && !only_tx => {
                driver.reset();
                driver.begin();
            }
            _ => drop(driver.notify(queue(&mut bytes))),
        }
    }
    watched.accesses.store(0, SeqCst);
    watched.mischief.lock().unwrap().clear();
    if only_tx && !registers && !changing {
        backend.receives(&driver);
    }
    driver.reset();
    driver.begin();
    memory.put_descriptor(RX, 0, BUFFERS.into(), 4096, WRITE, 0);
    memory.offer(RX, &[0], 1);
    backend.receives(&driver);
    memory.put_descriptor(TX, 0, BUFFERS.into(), 100, 0, 0);
    memory.offer(TX, &[0], 1);
    driver.notify(TX);
    driver.registers.disconnect();
    match backend {
        Backend::Net(device) => assert_eq!(device.receive(&mut [0; 500]), None),
        // It ends.
        Backend::Console { mut reader, .. } => drop(reader.read_to_end(&mut vec![]).expect("reading")),
    }
}
