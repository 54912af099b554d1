//! The console device, driven as a driver would.
mod driver;

use driver::{BUFFERS, Driver, NEXT, QUEUE, WRITE};
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use wasmlinux_devices::virtio::ConsoleDevice;
use wasmlinux_devices::{BusDevice, GuestMemory};

const RX: u32 = 0;
const TX: u32 = 1;

fn wait_for(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < end, "nothing happens");
        thread::yield_now();
    }
}

#[test]
fn its_size_is_in_the_configuration() {
    let (device, _reader, _writer) = ConsoleDevice::new(80, 25);
    let driver = Driver::ready(device.clone());
    assert_eq!((driver.read(8), driver.read(0x10), driver.read(0x100)), (3, 1, 25 << 16 | 80));
    let generation = driver.read(0xfc);
    device.resize(132, 50);
    assert_eq!((driver.read(0x100), driver.read(0x60), driver.interrupts()), (50 << 16 | 132, 2, 1));
    assert_ne!(driver.read(0xfc), generation);
}

#[test]
fn the_guest_writes() {
    let (device, mut reader, _writer) = ConsoleDevice::new(80, 25);
    let driver = Driver::ready(device);
    let memory = &driver.memory;
    memory.write(BUFFERS, b"one two").unwrap();
    memory.put_descriptor(TX, 0, BUFFERS.into(), 4, NEXT, 1);
    memory.put_descriptor(TX, 1, u64::from(BUFFERS) + 4, 3, 0, 0);
    memory.offer(TX, &[0], 1);
    assert!(!driver.notify(TX));
    assert_eq!((memory.used(TX), driver.interrupts()), (1, 1));
    let mut text = [0; 7];
    reader.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"one two");
    // The machine is off.
    driver.registers.disconnect();
    assert_eq!(reader.read(&mut text).unwrap(), 0);
}

#[test]
fn a_reader_that_is_slow() {
    const LEN: u32 = 100_000;
    let (device, mut reader, _writer) = ConsoleDevice::new(80, 25);
    let driver = Driver::ready(device);
    let memory = &driver.memory;
    for index in 0..QUEUE {
        memory.put_descriptor(TX, index, u64::from(BUFFERS), LEN, 0, 0);
    }
    memory.offer(TX, &[0, 1, 2, 3, 4, 5, 6, 7], QUEUE as u16);
    driver.notify(TX);
    let taken = memory.used(TX);
    assert!(taken < QUEUE as u16, "the host has room for all");
    // Its thread gives back what was held.
    let mut all = vec![0; (QUEUE * LEN) as usize];
    reader.read_exact(&mut all).unwrap();
    assert_eq!(memory.used(TX), QUEUE as u16);
    assert!(driver.interrupts() >= 2);
}

#[test]
fn a_buffer_of_before_a_reset() {
    const LEN: u32 = 200_000;
    let (device, mut reader, _writer) = ConsoleDevice::new(80, 25);
    let driver = Driver::ready(device);
    let memory = &driver.memory;
    let fill = || {
        memory.put_descriptor(TX, 0, BUFFERS.into(), LEN, 0, 0);
        memory.offer(TX, &[0, 0], 2);
        driver.notify(TX);
    };
    fill();
    assert_eq!(memory.used(TX), 1, "the second is in work");
    driver.reset();
    driver.begin();
    let mut part = vec![0; LEN as usize];
    reader.read_exact(&mut part).unwrap();
    assert_eq!(memory.used(TX), 0, "the new ring knows nothing of it");
    // What had been copied is read; then the new ring's turn comes.
    fill();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = vec![0; (256 << 10) - LEN as usize + 2 * LEN as usize];
            reader.read_exact(&mut rest).unwrap();
        });
    });
    assert_eq!(memory.used(TX), 2);
    assert!(!driver.needs_reset());
}

#[test]
fn the_host_writes() {
    let (device, _reader, mut writer) = ConsoleDevice::new(80, 25);
    let driver = Driver::new(device);
    // Before there is a driver, and before it has room.
    writer.write_all(b"early ").unwrap();
    driver.begin();
    let memory = &driver.memory;
    for index in 0..2 {
        memory.put_descriptor(RX, index, u64::from(BUFFERS + 100 * index), 100, WRITE, 0);
    }
    memory.offer(RX, &[0, 1], 1);
    driver.notify(RX);
    assert_eq!((memory.used(RX), memory.used_entry(RX, 0), memory.get(BUFFERS, 6)), (1, (0, 6), b"early ".to_vec()));
    // From a thread of the host's, while the guest has room.
    memory.offer(RX, &[0, 1], 2);
    driver.notify(RX);
    thread::spawn(move || writer.write_all(b"late").unwrap());
    wait_for(|| memory.used(RX) == 2);
    assert_eq!((memory.used_entry(RX, 1), memory.get(BUFFERS + 100, 4)), ((1, 4), b"late".to_vec()));
    wait_for(|| driver.interrupts() == 2);
}

#[test]
fn what_makes_no_sense() {
    for (queue, flags, len) in [(TX, WRITE, 10), (TX, 0, 2 << 20)] {
        let (device, _reader, mut writer) = ConsoleDevice::new(80, 25);
        let driver = Driver::ready(device);
        driver.memory.put_descriptor(queue, 0, BUFFERS.into(), len, flags, 0);
        driver.memory.offer(queue, &[0], 1);
        driver.notify(queue);
        assert!(driver.needs_reset());
        // The other queue goes on.
        driver.memory.put_descriptor(RX, 0, BUFFERS.into(), 10, WRITE, 0);
        driver.memory.offer(RX, &[0], 1);
        writer.write_all(b"still").unwrap();
        assert_eq!(driver.memory.used(RX), 1);
    }
}
