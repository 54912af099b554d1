//! Packets of a guest that means harm.
pub(crate) fn run(bytes: &[u8]) {
    wasmlinux_net::fuzz::packets(bytes);
}
