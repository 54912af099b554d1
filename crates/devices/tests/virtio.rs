//! The network device, driven as a driver would, and as one that is broken or hostile.
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use wasmlinux_devices::{Device, GuestMemory, Interrupt, NetDevice, Sent};

const SIZE: usize = 1 << 20;
/// Where the test's driver puts its rings: descriptors, available, used; and its buffers.
const RINGS: [[u32; 3]; 2] = [[0x1000, 0x2000, 0x3000], [0x4000, 0x5000, 0x6000]];
const BUFFERS: u32 = 0x10000;
const QUEUE: u32 = 8;
const RX: usize = 0;
const TX: usize = 1;
const HEADER: usize = 12;

struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn range(at: u32, len: usize) -> Option<std::ops::Range<usize>> {
        let at = at as usize;
        (at + len <= SIZE).then(|| at..at + len)
    }

    fn put16(&self, at: u32, value: u16) {
        self.write(at, &value.to_le_bytes()).expect("in memory");
    }

    fn put_descriptor(&self, queue: usize, index: u32, at: u64, len: u32, flags: u16, next: u16) {
        let mut raw = at.to_le_bytes().to_vec();
        raw.extend(len.to_le_bytes());
        raw.extend(flags.to_le_bytes());
        raw.extend(next.to_le_bytes());
        self.write(RINGS[queue][0] + 16 * index, &raw).expect("in memory");
    }

    /// Makes descriptor chains available, so many in all.
    fn offer(&self, queue: usize, heads: &[u16], index: u16) {
        for (i, head) in heads.iter().enumerate() {
            self.put16(RINGS[queue][1] + 4 + 2 * i as u32, *head);
        }
        self.put16(RINGS[queue][1] + 2, index);
    }

    fn used(&self, queue: usize) -> u16 {
        self.load_u16(RINGS[queue][2] + 2).expect("in memory")
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

#[derive(Default)]
struct Lines(AtomicU32);

impl Interrupt for Lines {
    fn raise(&self, _: u32) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A device whose driver is ready.
fn ready() -> (Arc<NetDevice>, Arc<Memory>, Arc<Lines>) {
    let device = NetDevice::new([2, 0, 0, 0, 0, 1], 9000);
    let memory = Arc::new(Memory(Mutex::new(vec![0; SIZE])));
    let lines = Arc::new(Lines::default());
    device.connect(memory.clone(), lines.clone());
    let write = |offset, value| device.write(offset, 4, value);
    assert_eq!((device.read(0, 4), device.read(4, 4), device.read(8, 4)), (0x7472_6976, 2, 1));
    write(0x70, 3);
    for page in [0, 1] {
        write(0x14, page);
        let features = device.read(0x10, 4);
        write(0x24, page);
        write(0x20, features);
    }
    write(0x70, 11);
    assert_eq!(device.read(0x70, 4), 11, "all features that it offers are accepted");
    for (queue, [descriptors, available, used]) in RINGS.into_iter().enumerate() {
        write(0x30, queue as u32);
        write(0x38, QUEUE);
        write(0x80, descriptors);
        write(0x90, available);
        write(0xa0, used);
        write(0x44, 1);
    }
    write(0x70, 15);
    assert_eq!(device.read(0x70, 4), 15);
    (device, memory, lines)
}

fn needs_reset(device: &NetDevice) -> bool {
    device.read(0x70, 4) & 64 != 0
}

#[test]
fn the_configuration_is_readable() {
    let (device, ..) = ready();
    assert_eq!((device.read(0x100, 1), device.read(0x105, 1), device.read(0x10a, 2)), (2, 1, 9000));
    assert_eq!(device.read(0x10b, 4), 9000 >> 8, "what lies behind reads as zero");
    assert_eq!(device.read(0xffc, 4), 0);
}

#[test]
fn frames_of_the_guest() {
    let (device, memory, lines) = ready();
    let mut frame = [0; 100];
    assert_eq!(device.receive(&mut frame), None);
    // The header and the frame's pieces in three descriptors.
    memory.write(BUFFERS + HEADER as u32, b"ab").unwrap();
    memory.write(BUFFERS + 100, b"cdef").unwrap();
    memory.put_descriptor(TX, 0, BUFFERS.into(), 14, 1, 3);
    memory.put_descriptor(TX, 3, u64::from(BUFFERS) + 100, 3, 1, 1);
    memory.put_descriptor(TX, 1, u64::from(BUFFERS) + 103, 1, 0, 0);
    memory.offer(TX, &[0], 1);
    assert_eq!(device.receive(&mut frame), Some(6));
    assert_eq!(&frame[..6], b"abcdef");
    assert_eq!((memory.used(TX), lines.0.load(SeqCst)), (1, 0));
    device.flush();
    assert_eq!((lines.0.load(SeqCst), device.read(0x60, 4)), (1, 1));
    device.write(0x64, 4, 1);
    assert_eq!(device.read(0x60, 4), 0);
    // Nothing new: no interrupt.
    device.flush();
    assert_eq!(lines.0.load(SeqCst), 1);
    // One that is too long is dropped and given back.
    memory.put_descriptor(TX, 0, BUFFERS.into(), 500, 0, 0);
    memory.offer(TX, &[0, 0], 2);
    assert_eq!(device.receive(&mut frame), None);
    assert_eq!(memory.used(TX), 2);
    assert!(!needs_reset(&device));
}

#[test]
fn frames_for_the_guest() {
    let (device, memory, lines) = ready();
    assert_eq!(device.send(b"early"), Sent::Full);
    // Two buffers of 20 bytes: a frame of 25 takes both, with the header in front.
    for index in 0..4 {
        memory.put_descriptor(RX, index, u64::from(BUFFERS + 100 * index), 20, 2, 0);
    }
    memory.offer(RX, &[0, 1, 2, 3], 2);
    let frame: Vec<u8> = (0..25).collect();
    assert_eq!(device.send(&frame), Sent::Yes);
    let mut first = [0; 20];
    memory.read(BUFFERS, &mut first).unwrap();
    assert_eq!((&first[HEADER..], first[10]), (&frame[..8], 2));
    let mut second = [0; 17];
    memory.read(BUFFERS + 100, &mut second).unwrap();
    assert_eq!(second, frame[8..]);
    assert_eq!(memory.used(RX), 2);
    // One buffer is too little for the next, and stays available.
    memory.offer(RX, &[0, 1, 2, 3], 3);
    assert_eq!(device.send(&frame), Sent::Full);
    memory.offer(RX, &[0, 1, 2, 3], 4);
    assert_eq!(device.send(&frame), Sent::Yes);
    // The driver does not want to be told.
    memory.put16(RINGS[RX][1], 1);
    device.flush();
    assert_eq!(lines.0.load(SeqCst), 0);
}

#[test]
fn rings_that_make_no_sense() {
    let chain = |flags: u16, at: u64, len: u32, next: u16| {
        move |memory: &Memory| {
            memory.put_descriptor(TX, 0, at, len, flags, next);
            memory.offer(TX, &[0], 1);
        }
    };
    type Damage = Box<dyn Fn(&Memory)>;
    let cases: Vec<(&str, Damage)> = vec![
        ("a loop", Box::new(chain(1, BUFFERS.into(), 1, 0))),
        ("a next that is not there", Box::new(chain(1, BUFFERS.into(), 1, 100))),
        ("behind memory", Box::new(chain(0, SIZE as u64 - 10, 60, 0))),
        ("beyond 32 bits", Box::new(chain(0, 1 << 32, 60, 0))),
        ("an address that wraps", Box::new(chain(0, 0xffff_fff8, 60, 0))),
        ("writable", Box::new(chain(2, BUFFERS.into(), 60, 0))),
        ("a head that is not there", Box::new(|memory: &Memory| memory.offer(TX, &[8], 1))),
        ("more than there can be", Box::new(|memory: &Memory| memory.offer(TX, &[0], 9))),
    ];
    for (what, prepare) in cases {
        let (device, memory, lines) = ready();
        prepare(&memory);
        assert_eq!(device.receive(&mut [0; 100]), None, "{what}");
        assert!(needs_reset(&device) && lines.0.load(SeqCst) > 0, "{what}");
        // Nothing works until the driver resets it.
        assert_eq!(device.send(b"x"), Sent::Lost, "{what}");
        device.write(0x70, 4, 0);
        assert_eq!(device.read(0x70, 4), 0, "{what}");
    }
}

#[test]
fn queues_that_make_no_sense() {
    for (offset, value) in [(0x38, 3), (0x38, 0), (0x38, 100_000), (0x80, 0x1001), (0x84, 1), (0xa0, 0x3002)] {
        let (device, ..) = ready();
        device.write(0x70, 4, 0);
        device.write(0x70, 4, 3);
        device.write(0x24, 4, 1);
        device.write(0x20, 4, 1);
        device.write(0x70, 4, 11);
        for queue in 0..2 {
            device.write(0x30, 4, queue);
            device.write(0x38, 4, QUEUE);
            device.write(offset, 4, value);
            device.write(0x44, 4, 1);
        }
        device.write(0x70, 4, 15);
        assert!(needs_reset(&device), "{offset:#x} = {value:#x}");
    }
    // Features that were not offered are not accepted.
    let device = NetDevice::new([2; 6], 1500);
    device.write(0x24, 4, 0);
    device.write(0x20, 4, u32::MAX);
    device.write(0x70, 4, 11);
    assert_eq!(device.read(0x70, 4), 3);
}
