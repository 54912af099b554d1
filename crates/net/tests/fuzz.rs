//! A bounded run of the fuzz target for packets.
#[path = "../../../fuzz/entries/mutations.rs"]
mod mutations;
#[path = "../../../fuzz/entries/packets.rs"]
mod packets;

/// A packet as the target takes it: its type and length, then its bytes.
fn framed(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(packet.len() as u16).to_be_bytes(), packet].concat()
}

/// IPv4 from the guest to `to`, and IPv6 to a public address.
fn ip4(protocol: u8, to: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len() as u16).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 2, 15];
    framed(0x800, &[&head[..], &to, payload].concat())
}

fn ip6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, protocol, 255];
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15]);
    packet.extend([0x26, 6, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x11]);
    packet.extend(payload);
    framed(0x86dd, &packet)
}

/// A segment of TCP.
fn segment(flags: u8) -> Vec<u8> {
    let head = [0x80, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, flags, 0xff, 0xff, 0, 0, 0, 0];
    [&head[..], &[2, 4, 5, 0xb4]].concat()
}

#[test]
fn hostile_packets_harm_nobody() {
    let (syn, ack) = (segment(2), segment(0x10));
    let datagram = [&[0x80, 0, 0, 53, 0, 28, 0, 0][..], b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01"].concat();
    let mut dhcp = vec![0, 68, 0, 67, 0, 252, 0, 0, 1, 1, 6, 0, 1, 2, 3, 4];
    dhcp.resize(244, 0);
    dhcp.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]);
    let arp = [&[0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2][..]].concat();
    let far = [93, 184, 216, 34];
    let seeds = [
        [ip4(6, far, &syn), ip4(6, far, &ack), ip4(6, far, &segment(4))].concat(),
        [ip4(17, far, &datagram), ip4(17, [10, 0, 2, 3], &datagram)].concat(),
        [ip4(1, [10, 0, 2, 2], &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9]), ip4(1, far, &[8, 0, 0, 0, 0, 1, 0, 1])].concat(),
        [ip6(6, &syn), ip6(17, &datagram), ip6(58, &[128, 0, 0, 0, 0, 1, 0, 1])].concat(),
        [framed(0x806, &arp), ip4(17, [255; 4], &dhcp)].concat(),
    ];
    mutations::of(&seeds, packets::run);
}
