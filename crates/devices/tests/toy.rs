//! How little a device takes: one that answers in capitals.
mod driver;

use driver::{BUFFERS, Driver, NEXT, WRITE};
use std::sync::Arc;
use wasmlinux_devices::GuestMemory;
use wasmlinux_devices::virtio::{Device, Queues, copy_config};

struct Capitals {
    queues: Queues,
}

impl Device for Capitals {
    fn id(&self) -> u32 {
        42
    }

    fn queues(&self) -> &Queues {
        &self.queues
    }

    fn read_config(&self, offset: usize, to: &mut [u8]) {
        copy_config(b"A to Z", offset, to);
    }

    fn notified(&self, queue: usize) -> bool {
        self.queues.with(queue, |queue| {
            while let Some(mut chain) = queue.pop()? {
                let mut text = [0; 64];
                let len = queue.read(&mut chain, &mut text)?;
                text.make_ascii_uppercase();
                queue.write(&mut chain, &text[..len])?;
                queue.push(chain)?;
            }
            Ok(())
        });
        self.queues.signal();
        false
    }
}

#[test]
fn a_device_of_one_screen() {
    let driver = Driver::ready(Arc::new(Capitals { queues: Queues::new(&[8]) }));
    assert_eq!((driver.read(8), driver.read(0x104).to_le_bytes()), (42, *b" Z\0\0"));
    let memory = &driver.memory;
    memory.write(BUFFERS, b"hello").unwrap();
    memory.put_descriptor(0, 0, BUFFERS.into(), 5, NEXT, 1);
    memory.put_descriptor(0, 1, u64::from(BUFFERS) + 64, 8, WRITE, 0);
    memory.offer(0, &[0], 1);
    driver.notify(0);
    assert_eq!(memory.get(BUFFERS + 64, 8), b"HELLO\0\0\0");
    assert_eq!((memory.used(0), memory.used_entry(0, 0), driver.interrupts()), (1, (0, 5), 1));
}
