//! A bounded run of the fuzz target for the control protocol.
#[path = "../../../fuzz/entries/control.rs"]
mod control;
#[path = "../../../fuzz/entries/mutations.rs"]
mod mutations;

use wasmlinux_boundary::Message;

#[test]
fn hostile_messages_are_errors() {
    let mut message = Message::new(2, 7);
    message.words(1, &[3, u32::MAX]).text(0x8009, b"/tmp").list(0x8007, [&b"a"[..], b"", b"c d"]);
    message.words(0x8011, &[]).words_and_list(0x800b, &[1], [&b"/dev/null"[..]]).bytes(0x8017, &[0, 1, 2]);
    let one = message.finish().expect("it fits");
    mutations::of(&[one.clone(), [one.clone(), one].concat(), vec![0; 40]], control::run);
}
