//! Archives: what can be read can be written, and read again as it was.
use wasmlinux_image::cpio::{entries, write};
use wasmlinux_image::tree::Tree;

pub(crate) fn run(archive: &[u8]) {
    let size: usize = entries(archive).flatten().map(|entry| entry.name.len() + entry.content.len()).sum();
    assert!(size <= archive.len());
    let Ok(tree) = Tree::on_top_of(archive) else { return };
    if let Ok(written) = write(&tree) {
        let read: Vec<_> = entries(&written).collect::<Result<_, _>>().expect("what was written");
        assert_eq!(read.len(), tree.entries().len());
    }
}
