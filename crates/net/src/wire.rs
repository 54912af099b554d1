//! The host's end of the guest's wire: Ethernet frames to and from the network device.
use crate::address::{GATEWAY_MAC, GUEST_MAC, MTU};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;
use wasmlinux_devices::virtio::{NetDevice, Sent};

/// Bytes in front of a packet.
pub(crate) const ETHERNET: usize = 14;
/// Types of what is in a frame.
pub(crate) const TYPE_IP4: u16 = 0x0800;
pub(crate) const TYPE_ARP: u16 = 0x0806;
pub(crate) const TYPE_IP6: u16 = 0x86dd;
/// Frames that wait for room in the guest. Data is held back long before: these are answers.
const WAITING: usize = 256;

pub(crate) struct Wire {
    device: Arc<NetDevice>,
    guest: [u8; 6],
    frame: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
}

impl Wire {
    pub(crate) fn new(device: Arc<NetDevice>) -> Wire {
        Wire { device, guest: GUEST_MAC, frame: vec![0; frame_size()], waiting: VecDeque::new() }
    }

    /// Takes what the guest has sent into a buffer of [`frame_size`] bytes: the type, and the
    /// length with the Ethernet header. A frame that is for nobody counts as well, so that a guest
    /// that sends many has its turn as others have; its type is 0.
    pub(crate) fn receive(&mut self, frame: &mut [u8]) -> Option<(u16, usize)> {
        let len = self.device.receive(frame)?;
        let [d0, d1, d2, d3, d4, d5, source @ .., t0, t1] = *frame.first_chunk::<ETHERNET>()?;
        let to = [d0, d1, d2, d3, d4, d5];
        if len > ETHERNET && (to == GATEWAY_MAC || d0 & 1 != 0) && source[0] & 1 == 0 {
            self.guest = source;
            return Some((u16::from_be_bytes([t0, t1]), len));
        }
        Some((0, ETHERNET))
    }

    /// Sends a packet of `len` bytes, which `fill` writes.
    pub(crate) fn emit(&mut self, kind: u16, len: usize, fill: impl FnOnce(&mut [u8])) {
        self.emit_as(len, |packet| (fill(packet), kind));
    }

    /// The same, where the type comes out of the packet.
    fn emit_as<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> (R, u16)) -> R {
        let total = ETHERNET + len;
        if self.frame.len() < total {
            self.frame.resize(total, 0);
        }
        let frame = &mut self.frame[..total];
        frame[..6].copy_from_slice(&self.guest);
        frame[6..12].copy_from_slice(&GATEWAY_MAC);
        let (result, kind) = fill(&mut frame[ETHERNET..]);
        frame[12..ETHERNET].copy_from_slice(&kind.to_be_bytes());
        let full = !self.waiting.is_empty() || self.device.send(frame) == Sent::Full;
        if full && self.waiting.len() < WAITING {
            self.waiting.push_back(frame.to_vec());
        }
        result
    }

    /// The guest has no room: nothing but answers should be sent.
    pub(crate) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what waits, as far as there is room.
    pub(crate) fn retry(&mut self) {
        while let Some(frame) = self.waiting.front() {
            if self.device.send(frame) == Sent::Full {
                break;
            }
            self.waiting.pop_front();
        }
    }

    /// Tells the guest what was done.
    pub(crate) fn flush(&self) {
        self.device.flush();
    }
}

/// Bytes of the largest frame.
pub(crate) const fn frame_size() -> usize {
    ETHERNET + MTU as usize
}

/// The wire as smoltcp sees it: at most one packet from the guest, and any number to it.
pub(crate) struct Port<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) packet: Option<&'a [u8]>,
}

impl Device for Port<'_> {
    type RxToken<'b>
        = Received<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Sender<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sender<'_>)> {
        let packet = self.packet.take()?;
        Some((Received(packet), Sender(self.wire)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_>> {
        (!self.wire.is_full()).then_some(Sender(self.wire))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        capabilities()
    }
}

/// Large packets, without checksums but that of IPv4's header.
pub(crate) fn capabilities() -> DeviceCapabilities {
    let mut capabilities = DeviceCapabilities::default();
    capabilities.medium = Medium::Ip;
    capabilities.max_transmission_unit = MTU.into();
    capabilities.checksum.ipv4 = Checksum::Tx;
    capabilities.checksum.tcp = Checksum::None;
    capabilities.checksum.udp = Checksum::None;
    capabilities
}

pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Sender<'a>(&'a mut Wire);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.emit_as(len, |packet| {
            let result = f(packet);
            let six = packet.first().is_some_and(|byte| byte >> 4 == 6);
            (result, if six { TYPE_IP6 } else { TYPE_IP4 })
        })
    }
}
