//! /init's side of the control protocol against messages that are damaged (docs/control.md). The
//! library's side is tested beside it, in `crates/boundary/src/message.rs`.
use std::process::Command;
use wasmlinux_tests::{Scratch, workspace};

#[test]
fn init_takes_damaged_messages() {
    let scratch = Scratch::new();
    scratch.file("control.h", wasmlinux_boundary::control_header());
    let init = workspace().join("guest/userland/init");
    let compile = |flags: &[&str], name: &str| {
        let program = scratch.path().join(name);
        let mut cc = Command::new("cc");
        cc.args(["-g", "-O1", "-Wall", "-Wextra", "-Werror"]).args(flags).arg("-I").arg(scratch.path());
        cc.arg("-I").arg(&init).arg(workspace().join("tests/hostile/message.c"));
        cc.args(["message.c", "command.c", "user.c"].map(|file| init.join(file))).arg("-o").arg(&program);
        let output = cc.output().expect("a C compiler");
        output.status.success().then_some(program).ok_or(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Not every host has the sanitizers' libraries.
    let sanitized = compile(&["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], "sanitized");
    let program = sanitized.or_else(|_| compile(&[], "plain")).expect("it compiles");
    let output = Command::new(program).arg("10000").output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
}
