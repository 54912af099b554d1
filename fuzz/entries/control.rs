//! Messages of a guest that means harm, one after the other.
use wasmlinux_boundary::Received;

/// What a receiver takes at most, in bytes.
const LIMIT: u32 = 1 << 16;

pub(crate) fn run(mut bytes: &[u8]) {
    while let Ok(Some(message)) = Received::read(&mut bytes, LIMIT) {
        let mut size = 0;
        for field in message.fields() {
            size += 8 + field.value.len();
            let _ = (field.text(), field.list(), field.words::<2>(), message.words::<1>(field.tag));
        }
        assert!(size <= LIMIT as usize);
        let _ = message.knows(&[]);
    }
}
