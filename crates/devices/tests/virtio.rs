//! The network device, driven as a driver would, and as one that is broken or hostile.
mod driver;

use driver::{BUFFERS, Driver, Memory, QUEUE, SIZE, rings};
use std::sync::Arc;
use wasmlinux_devices::virtio::{NetDevice, Sent};
use wasmlinux_devices::{BusDevice, GuestMemory};

const RX: u32 = 0;
const TX: u32 = 1;
const HEADER: usize = 12;

fn ready() -> (Arc<NetDevice>, Driver) {
    let device = NetDevice::new([2, 0, 0, 0, 0, 1], 9000);
    let driver = Driver::ready(device.clone());
    assert_eq!(driver.read(8), 1);
    (device, driver)
}

#[test]
fn the_configuration_is_readable() {
    let registers = ready().1.registers;
    assert_eq!((registers.read(0x100, 1), registers.read(0x105, 1), registers.read(0x10a, 2)), (2, 1, 9000));
    assert_eq!(registers.read(0x10b, 4), 9000 >> 8, "what lies behind reads as zero");
    assert_eq!(registers.read(0xffc, 4), 0);
}

#[test]
fn frames_of_the_guest() {
    let (device, driver) = ready();
    let memory = &driver.memory;
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
    assert_eq!((memory.used(TX), driver.interrupts()), (1, 0));
    device.flush();
    assert_eq!((driver.interrupts(), driver.read(0x60)), (1, 1));
    driver.write(0x64, 1);
    assert_eq!(driver.read(0x60), 0);
    // Nothing new: no interrupt.
    device.flush();
    assert_eq!(driver.interrupts(), 1);
    // One that is too long is dropped and given back.
    memory.put_descriptor(TX, 0, BUFFERS.into(), 500, 0, 0);
    memory.offer(TX, &[0, 0], 2);
    assert_eq!(device.receive(&mut frame), Some(0));
    assert_eq!(device.receive(&mut frame), None);
    assert_eq!(memory.used(TX), 2);
    assert!(!driver.needs_reset());
}

#[test]
fn frames_for_the_guest() {
    let (device, driver) = ready();
    let memory = &driver.memory;
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
    memory.put16(rings(RX)[1], 1);
    device.flush();
    assert_eq!(driver.interrupts(), 0);
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
        let (device, driver) = ready();
        let memory = &driver.memory;
        prepare(memory);
        assert_eq!(device.receive(&mut [0; 100]), None, "{what}");
        assert!(driver.needs_reset() && driver.interrupts() > 0, "{what}");
        // The other queue goes on.
        memory.put_descriptor(RX, 0, BUFFERS.into(), 20, 2, 0);
        memory.offer(RX, &[0], 1);
        assert_eq!((device.send(b"x"), memory.used(RX)), (Sent::Yes, 1), "{what}");
        // This one does when the driver has reset it.
        memory.put_descriptor(TX, 0, BUFFERS.into(), 20, 0, 0);
        memory.offer(TX, &[0], 1);
        assert_eq!(device.receive(&mut [0; 100]), None, "{what}");
        driver.reset();
        assert_eq!(device.send(b"x"), Sent::Lost, "{what}");
        driver.begin();
        memory.put_descriptor(TX, 0, BUFFERS.into(), 20, 0, 0);
        memory.offer(TX, &[0], 1);
        assert_eq!(device.receive(&mut [0; 100]), Some(8), "{what}");
    }
}

#[test]
fn queues_that_make_no_sense() {
    let cases = [(0x38, 3), (0x38, 0), (0x38, 100_000), (0x80, 0x1001), (0x80, 0xffff_fff0), (0x84, 1), (0xa0, 0x3002)];
    for (offset, value) in cases {
        let driver = ready().1;
        driver.reset();
        driver.write(0x70, 3);
        driver.write(0x24, 1);
        driver.write(0x20, 1);
        driver.write(0x70, 11);
        for queue in 0..2 {
            driver.write(0x30, queue);
            driver.write(0x38, QUEUE);
            driver.write(offset, value);
            driver.write(0x44, 1);
        }
        driver.write(0x70, 15);
        assert!(driver.needs_reset(), "{offset:#x} = {value:#x}");
    }
    // Features that were not offered are not accepted.
    let driver = Driver::new(NetDevice::new([2; 6], 1500));
    driver.write(0x24, 0);
    driver.write(0x20, u32::MAX);
    driver.write(0x70, 11);
    assert_eq!(driver.read(0x70), 3);
}

#[test]
fn small_buffers() {
    let (device, driver) = ready();
    let memory = &driver.memory;
    // The header does not fit into the first.
    for index in 0..8 {
        memory.put_descriptor(RX, index, u64::from(BUFFERS + 100 * index), 5, 2, 0);
    }
    memory.offer(RX, &[0, 1, 2, 3, 4, 5, 6, 7], 8);
    assert_eq!(device.send(b"abcdefgh"), Sent::Yes);
    assert_eq!(
        (memory.used(RX), memory.get(BUFFERS + 200, 5), memory.get(BUFFERS + 300, 5)),
        (4, b"\x04\0abc".to_vec(), b"defgh".to_vec())
    );
    // All that the driver has are too small together: waiting would be for ever.
    memory.offer(RX, &[0, 1, 2, 3, 4, 5, 6, 7], 12);
    assert_eq!(device.send(&[0; 40]), Sent::Lost);
    assert_eq!(memory.used(RX), 4);
}
