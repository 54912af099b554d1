//! What a machine's process that somebody has taken over does to the one which started it: that one
//! goes on, and every wait for the other ends.
use std::process::{Command, Stdio};
use wasmlinux_tests::{Output, Run, Scratch};

/// Runs `src/bin/taken-over.rs`.
fn taken_over(what: &str) -> Output {
    let scratch = Scratch::new();
    let run = Run::new(env!("CARGO_BIN_EXE_taken-over").as_ref());
    run.args([what.as_ref(), scratch.path().as_os_str()]).output()
}

#[test]
fn its_end_is_not_waited_for_without_limit() {
    for what in ["ends and delivers nothing", "ends and delivers nothing, unasked", "nothing"] {
        let output = taken_over(what);
        let outcome = if what == "nothing" { "Unplugged\n" } else { "Off\n" };
        assert!(output.status == 0 && output.text().ends_with(outcome), "{what}: {}", output.text());
    }
}

#[test]
fn a_stuck_console_does_not_keep_its_process() {
    let output = taken_over("has a console that is stuck");
    assert_eq!((output.status, output.text()), (0, "Unplugged\n".into()));
}

#[test]
fn a_flood_of_its_is_ended() {
    for what in ["floods the console", "floods standard error"] {
        let output = taken_over(what);
        assert_eq!((output.status, output.text()), (0, "Unplugged\n".into()), "{what}");
        assert!(!output.errors().contains('\u{1b}'), "{what}");
    }
}

#[test]
fn a_stuck_standard_error_does_not_keep_its_process() {
    let scratch = Scratch::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_taken-over"));
    let command = command.arg("floods standard error").arg(scratch.path()).stdout(Stdio::piped());
    let mut starter = command.stderr(Stdio::piped()).spawn().unwrap();
    // Nobody reads it.
    let unread = starter.stderr.take();
    let output = starter.wait_with_output().unwrap();
    drop(unread);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"Unplugged\n"[..]));
}

#[test]
fn it_connects_to_nothing_by_data() {
    let output = taken_over("connects by data");
    assert_eq!((output.status, output.text()), (0, "connected: false\nUnplugged\n".into()));
    assert_eq!(output.errors(), "-1 Operation not permitted (os error 1)\n".repeat(3));
}

#[test]
fn it_has_so_many_compilers_only() {
    assert_eq!(taken_over("compiles without number").errors(), "8 compilers\n");
}

#[test]
fn no_call_of_another_kind_passes() {
    assert_eq!(taken_over("calls").errors(), "passed: []\n");
}
