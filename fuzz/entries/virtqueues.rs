//! Devices against a driver that means harm: the bytes are what it does.
#[path = "../../crates/devices/tests/driver/mod.rs"]
mod driver;

pub(crate) fn run(bytes: &[u8]) {
    driver::hostile::drive(bytes);
}
