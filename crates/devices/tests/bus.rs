//! The bus: windows, lines, what the kernel is told of them, and whose backend is polled.
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wasmlinux_boundary::{IRQ_DEVICES, IRQ_LINES, MMIO_BASE, MMIO_WINDOW, MMIO_WINDOWS};
use wasmlinux_devices::virtio::{ConsoleDevice, Device, Mmio, NetDevice, Queues};
use wasmlinux_devices::{Backend, Bus, BusFull, GuestMemory, Interrupt, Slot};

/// Memory that is all zeros.
struct Zeros;

impl GuestMemory for Zeros {
    fn read(&self, _: u32, to: &mut [u8]) -> Option<()> {
        to.fill(0);
        Some(())
    }
    fn write(&self, _: u32, _: &[u8]) -> Option<()> {
        Some(())
    }
    fn load_u16(&self, _: u32) -> Option<u16> {
        Some(0)
    }
    fn store_u16(&self, _: u32, _: u16) -> Option<()> {
        Some(())
    }
}

#[derive(Default)]
struct Raised(Mutex<Vec<u32>>);

impl Interrupt for Raised {
    fn raise(&self, line: u32) {
        self.0.lock().unwrap().push(line);
    }
}

/// A device that leaves everything to its backend.
struct Polled {
    queues: Queues,
    backend: Arc<Count>,
}

#[derive(Default)]
struct Count(AtomicU32);

impl Backend for Count {
    fn poll(&self) {
        self.0.fetch_add(1, SeqCst);
    }
    fn processor_sleeps(&self) -> (RawFd, Option<Duration>) {
        (-1, None)
    }
    fn processor_runs(&self) {}
    fn processor_ticks(&self) {}
}

impl Device for Polled {
    fn id(&self) -> u32 {
        42
    }
    fn queues(&self) -> &Queues {
        &self.queues
    }
    fn notified(&self, _: usize) -> bool {
        true
    }
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(self.backend.clone())
    }
}

fn polled() -> (Arc<Mmio>, Arc<Count>) {
    let backend = Arc::new(Count::default());
    (Mmio::new(Arc::new(Polled { queues: Queues::new(&[8]), backend: backend.clone() })), backend)
}

#[test]
fn each_device_has_a_window_and_a_line() {
    let mut bus = Bus::default();
    let (console, _reader, _writer) = ConsoleDevice::new(80, 25);
    assert_eq!(bus.plug(Mmio::new(NetDevice::new([2; 6], 1500))), Ok(Slot { address: 0xffff_0000, line: 8 }));
    assert_eq!(bus.plug(Mmio::new(console.clone())), Ok(Slot { address: 0xffff_1000, line: 9 }));
    let parameters: Vec<_> = bus.kernel_parameters().collect();
    assert_eq!(parameters, ["virtio_mmio.device=4096@0xffff0000:8", "virtio_mmio.device=4096@0xffff1000:9"]);
    let types = [0, 1, 2].map(|window| bus.read(MMIO_BASE + window * MMIO_WINDOW + 8, 4));
    assert_eq!(types, [1, 3, u32::MAX]);
    assert_eq!(bus.read(MMIO_BASE - 4, 4), u32::MAX);
    // The console's is raised.
    let raised = Arc::new(Raised::default());
    let (memory, interrupt): (Arc<dyn GuestMemory>, Arc<dyn Interrupt>) = (Arc::new(Zeros), raised.clone());
    bus.connect(&memory, &interrupt);
    console.resize(100, 30);
    assert_eq!(*raised.0.lock().unwrap(), [9]);
    bus.disconnect();
    console.resize(80, 25);
    assert_eq!(*raised.0.lock().unwrap(), [9], "the machine is off");
}

#[test]
fn the_backend_is_polled_that_was_notified() {
    let mut bus = Bus::default();
    let (first, first_polls) = polled();
    let (second, second_polls) = polled();
    bus.plug(first).unwrap();
    bus.plug(Mmio::new(NetDevice::new([2; 6], 1500))).unwrap();
    bus.plug(second).unwrap();
    assert_eq!(bus.backends().count(), 2, "the network's has none yet");
    let notify = |window: u32, queue| bus.write(MMIO_BASE + window * MMIO_WINDOW + 0x50, 4, queue);
    assert!(notify(2, 0));
    assert!(!notify(2, 1), "there is no such queue");
    bus.poll_notified();
    assert_eq!((first_polls.0.load(SeqCst), second_polls.0.load(SeqCst)), (0, 1));
    bus.poll_notified();
    assert_eq!(second_polls.0.load(SeqCst), 1, "once");
    assert!(notify(0, 0) && notify(0, 0) && notify(2, 0));
    bus.poll_notified();
    assert_eq!((first_polls.0.load(SeqCst), second_polls.0.load(SeqCst)), (1, 2));
}

#[test]
fn a_bus_that_is_full() {
    let mut bus = Bus::default();
    for window in 0..MMIO_WINDOWS {
        let slot = bus.plug(polled().0).unwrap();
        assert_eq!(slot, Slot { address: MMIO_BASE + window * MMIO_WINDOW, line: IRQ_DEVICES + window });
        assert!(slot.line < IRQ_LINES);
    }
    assert_eq!(bus.plug(polled().0), Err(BusFull));
    assert!(bus.write(MMIO_BASE + (MMIO_WINDOWS - 1) * MMIO_WINDOW + 0x50, 4, 0));
    bus.poll_notified();
}
