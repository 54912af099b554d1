//! The bundle: refused, or all of it lies within its bytes.
use wasmlinux_image::bundle::Bundle;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(bundle) = Bundle::parse(bytes) else { return };
    for entry in bundle.entries() {
        assert!(entry.data.is_empty() || bytes.as_ptr_range().contains(&entry.data.as_ptr()));
        assert!(entry.data.len() <= bytes.len());
        assert!(bundle.named(entry.kind, entry.name).is_some() && bundle.keyed(entry.kind, &entry.key).is_some());
    }
}
