//! A bounded run of the fuzz targets for archives and bundles.
#[path = "../../../fuzz/entries/bundle.rs"]
mod bundle;
#[path = "../../../fuzz/entries/cpio.rs"]
mod cpio;
#[path = "../../../fuzz/entries/mutations.rs"]
mod mutations;

use wasmlinux_image::bundle::{Entry, Kind, Writer};
use wasmlinux_image::tree::Tree;

#[test]
fn hostile_archives_are_errors() {
    let mut tree = Tree::new();
    tree.dir("/bin", 0o755).unwrap();
    tree.file("/bin/hello", 0o755, b"hello, world").unwrap();
    tree.file("/empty", 0o600, b"").unwrap();
    tree.symlink("/link", "bin/hello").unwrap();
    let archive = wasmlinux_image::cpio::write(&tree).unwrap();
    mutations::of(&[archive.clone(), [archive.clone(), archive].concat()], cpio::run);
}

#[test]
fn hostile_bundles_are_errors() {
    let empty = Entry { kind: Kind::Extra, name: "", tag: 0, key: [0; 32], data: &[] };
    let mut writer = Writer::new();
    writer.add(Entry { kind: Kind::KernelCode, name: "kernel", data: b"code", ..empty });
    writer.add(Entry { kind: Kind::KernelSymbol, name: "boot_info", tag: 0x12340, ..empty });
    writer.add(Entry { kind: Kind::ProgramCode, name: "/bin/hello", key: [9; 32], data: b"hello", ..empty });
    mutations::of(&[writer.finish(), Writer::new().finish()], bundle::run);
}
