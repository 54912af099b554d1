//! What a process inherits: limits and signals that whoever started it has left, and guests whose
//! text wants to reach the terminal.
use std::time::{Duration, Instant};
use wasmlinux_tests::module::{Module, body, name, section};
use wasmlinux_tests::{Built, Run, Scratch, add, wasmlinux, wasmlinux_with};

/// Runs `echo ok` in a machine, under a limit that the shell sets.
fn limited(limit: &str, options: &str) -> wasmlinux_tests::Output {
    let line = format!("ulimit {limit} && exec \"$0\" run {options} echo ok");
    Run::new("bash".as_ref()).args(["-c", &line]).arg(wasmlinux()).output()
}

/// The same as another user, if this one is root.
fn limited_user(limit: &str) -> wasmlinux_tests::Output {
    let scratch = Scratch::new();
    // Who else than root may not read the directory of the product.
    let copy = scratch.path().join("wasmlinux");
    std::fs::copy(wasmlinux(), &copy).expect("a copy");
    let line = format!(
        "user=; [ $(id -u) != 0 ] || user='setpriv --reuid 65533 --regid 65533 --clear-groups'
        ulimit {limit} && exec $user \"$0\" run -m 64m --network none echo ok"
    );
    let run = Run::new("bash".as_ref()).args(["-c", &line]).arg(copy).env("HOME", "").env("XDG_CACHE_HOME", "");
    run.output()
}

#[test]
fn small_limits_are_an_error_or_enough() {
    for limit in ["-f 100", "-v 1000000", "-v 20000000", "-d 10000", "-d 100000", "-i 0"] {
        let output = limited(limit, "-m 64m");
        output.expect_status(125);
        assert!(
            output.errors().contains("(ulimit ") || output.errors().contains("`ulimit "),
            "{limit}: {}",
            output.errors()
        );
        assert_eq!(output.errors().lines().count(), 1, "{limit}: {}", output.errors());
    }
    for descriptors in 4..24 {
        let limit = format!("-n {descriptors}");
        let output = limited(&limit, "");
        if output.status == 125 {
            assert!(output.errors().ends_with("(ulimit -n)\n"), "{limit}: {}", output.errors());
        } else {
            output.expect("ok\n");
        }
    }
    // Threads of a user who has no others; root may have any number.
    for threads in 1..12 {
        let limit = format!("-u {threads}");
        let output = limited_user(&limit);
        if output.status == 125 {
            assert!(output.errors().contains("(ulimit -u"), "{limit}: {}", output.errors());
            assert_eq!(output.errors().lines().count(), 1, "{limit}: {}", output.errors());
        } else {
            output.expect_status(0);
            assert_eq!(output.text(), "ok\n");
        }
        assert!(threads > 2 || output.status == 125, "{limit}: {output:?}");
    }
    limited("-s 256", "").expect("ok\n");
    limited("-c 0", "").expect("ok\n");
}

#[test]
fn signals_blocked_or_ignored_at_the_start() {
    let surround = Built::new("surround").native;
    let crash = Built::new("crash").guest;
    let script = "for how in divide unreachable 'read 0'; do crash $how >/dev/null; echo $?; done 2>/dev/null
        sleep 0.1; i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo $i";
    for how in ["block", "ignore"] {
        let run = Run::new(&surround).arg(how).arg(wasmlinux()).arg("run").args(add(&crash, "crash"));
        let output = run.args(["--", "sh", "-c", script]).output();
        assert_eq!(output.expect_status(0).text(), "136\n132\n139\n20000\n", "{how}");
    }
}

#[test]
fn a_terminal_obeys_nothing_that_the_guest_has_named() {
    // Through the kernel's log, also by whoever may write to the console.
    let say = "printf '<1>evil \\033]0;title\\007\\n' >/dev/kmsg; printf 'evil \\033[2J\\n' >/dev/console";
    let output = wasmlinux_with(["run", "--kernel-log=7", "--", "sh", "-c", say]).output();
    let errors = output.expect_status(0).errors();
    assert!(errors.contains("evil \\u{1b}]0;title") && errors.contains("evil \\u{1b}[2J"), "{errors}");
    assert!(!errors.contains("\\r"), "{errors}");
    assert!(!errors.contains(['\u{1b}', '\u{7}']), "{errors:?}");
    // By the name of an import, in the reason why a program is refused.
    let evil = "evil\u{1b}]0;title\u{7}\nWARN";
    let memory = [name("env"), name("memory"), vec![2, 1, 2, 2]].concat();
    let import = [name("linux"), name(evil), vec![0, 0]].concat();
    let module = Module::program(&Module::exit(33), body(&[0], &[])).section(section::IMPORT, &[memory, import]);
    let scratch = Scratch::new();
    let file = scratch.file("evil", module.bytes());
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("making it executable");
    let output = wasmlinux_with(["run"]).args(add(&file, "evil")).arg("evil").output();
    let errors = output.expect_status(126).errors();
    assert!(errors.contains("evil\\u{1b}]0;title\\u{7}\\nWARN"), "{errors:?}");
    // What the command itself writes is its own affair.
    let output = wasmlinux_with(["run", "--", "printf", "\\033[1m"]).output();
    assert_eq!(output.expect_status(0).text(), "\u{1b}[1m");
}

#[test]
fn a_signal_ends_a_machine_that_hangs() {
    for (signal, status) in [("TERM", 143), ("HUP", 129)] {
        let line = format!(
            "\"$0\" run -m 64m --kernel-arg provoke=loop sleep 100 & sleep 2; kill -{signal} $!; wait $!; exit $?"
        );
        let start = Instant::now();
        let output = Run::new("bash".as_ref()).args(["-c", &line]).arg(wasmlinux()).output();
        output.expect_status(status);
        assert_eq!(output.errors(), "wasmlinux: the machine does not answer: unplugged\n");
        // Half a second of computing, on a host that may have much else to do.
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    }
}
