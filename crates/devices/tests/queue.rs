//! Queues as a backend sees them that keeps buffers for a while, and gives them back from another
//! thread.
mod driver;

use driver::{BUFFERS, Driver, NEXT, WRITE, rings};
use std::sync::{Arc, Mutex};
use std::thread;
use wasmlinux_devices::GuestMemory;
use wasmlinux_devices::virtio::{Chain, Device, Queues};

/// Takes what the driver offers, and nothing more.
struct Taking {
    queues: Queues,
    taken: Mutex<Vec<Chain>>,
}

impl Device for Taking {
    fn id(&self) -> u32 {
        42
    }
    fn queues(&self) -> &Queues {
        &self.queues
    }
    fn notified(&self, queue: usize) -> bool {
        self.queues.with(queue, |queue| {
            while let Some(chain) = queue.pop()? {
                self.taken.lock().unwrap().push(chain);
            }
            Ok(())
        });
        false
    }
}

impl Taking {
    fn new() -> (Arc<Taking>, Driver) {
        let device = Arc::new(Taking { queues: Queues::new(&[8]), taken: Mutex::default() });
        let driver = Driver::ready(device.clone());
        for index in 0..8 {
            driver.memory.put_descriptor(0, index, u64::from(BUFFERS + 100 * index), 100, WRITE, 0);
        }
        (device, driver)
    }

    fn complete(&self, at: usize, bytes: &[u8]) -> Option<usize> {
        let mut chain = self.taken.lock().unwrap().remove(at);
        let written = self.queues.with(0, |queue| {
            let len = queue.write(&mut chain, bytes)?;
            queue.push(chain)?;
            Ok(len)
        });
        self.queues.signal();
        written
    }
}

#[test]
fn buffers_are_given_back_in_any_order() {
    let (device, driver) = Taking::new();
    driver.memory.offer(0, &[0, 1, 2], 3);
    driver.notify(0);
    let worker = device.clone();
    thread::spawn(move || {
        assert_eq!(worker.complete(2, b"third"), Some(5));
        assert_eq!(worker.complete(0, &[7; 200]), Some(100));
    })
    .join()
    .unwrap();
    let memory = &driver.memory;
    assert_eq!((memory.used(0), memory.used_entry(0, 0), memory.used_entry(0, 1)), (2, (2, 5), (0, 100)));
    assert_eq!(
        (memory.get(BUFFERS + 200, 5), memory.get(BUFFERS, 101)),
        (b"third".to_vec(), [&[7; 100][..], &[0]].concat())
    );
    assert_eq!(driver.interrupts(), 2);
    // Nothing new; and then something that the driver does not want to hear of.
    device.queues.signal();
    memory.put16(rings(0)[1], 1);
    assert_eq!(device.complete(0, b"second"), Some(6));
    assert_eq!((memory.used(0), driver.interrupts()), (3, 2));
}

#[test]
fn a_buffer_of_before_a_reset_is_nobodys() {
    let (device, driver) = Taking::new();
    driver.memory.offer(0, &[0], 1);
    driver.notify(0);
    driver.reset();
    assert_eq!(device.queues.with(0, |_| Ok(())), None);
    driver.begin();
    assert_eq!(device.complete(0, b"late"), Some(0));
    assert_eq!((driver.memory.used(0), driver.memory.get(BUFFERS, 4)), (0, vec![0; 4]));
    assert!(!driver.needs_reset());
}

#[test]
fn more_than_a_driver_has() {
    let (device, driver) = Taking::new();
    // All eight are taken, and one of them once more.
    driver.memory.offer(0, &[0, 1, 2, 3, 4, 5, 6, 7], 8);
    driver.notify(0);
    assert!(!driver.needs_reset());
    driver.memory.offer(0, &[3], 9);
    driver.notify(0);
    assert!(driver.needs_reset());
    assert_eq!(device.taken.lock().unwrap().len(), 8);
}

#[test]
fn a_queue_that_the_driver_takes_back() {
    let (device, driver) = Taking::new();
    driver.memory.offer(0, &[0], 1);
    driver.notify(0);
    driver.write(0x30, 0);
    driver.write(0x44, 0);
    assert_eq!((driver.read(0x44), device.complete(0, b"late")), (0, None));
    assert_eq!((driver.memory.get(BUFFERS, 4), driver.needs_reset()), (vec![0; 4], false));
}

#[test]
fn chains_are_read_and_written_piece_by_piece() {
    let (device, driver) = Taking::new();
    let memory = &driver.memory;
    memory.write(BUFFERS, b"abcdef").unwrap();
    for (index, at, len, flags, next) in
        [(0, 0, 4, NEXT, 1), (1, 4, 2, NEXT, 2), (2, 100, 3, WRITE | NEXT, 3), (3, 200, 10, WRITE, 0)]
    {
        memory.put_descriptor(0, index, u64::from(BUFFERS) + at, len, flags, next);
    }
    memory.offer(0, &[0], 1);
    driver.notify(0);
    let mut chain = device.taken.lock().unwrap().remove(0);
    assert_eq!((chain.readable(), chain.writable()), (6, 13));
    let done = device.queues.with(0, |queue| {
        let (mut five, mut rest) = ([0; 5], [0; 5]);
        assert_eq!((queue.read(&mut chain, &mut five)?, queue.read(&mut chain, &mut rest)?), (5, 1));
        assert_eq!((&five, rest[0]), (b"abcde", b'f'));
        assert_eq!((queue.write(&mut chain, b"12")?, queue.write(&mut chain, b"3456")?), (2, 4));
        queue.push(chain)
    });
    assert!(done.is_some());
    assert_eq!((memory.get(BUFFERS + 100, 4), memory.get(BUFFERS + 200, 4)), (b"123\0".to_vec(), b"456\0".to_vec()));
    assert_eq!(memory.used_entry(0, 0), (0, 6));
}
