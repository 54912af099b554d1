//! `wasmlinux` itself: streams, statuses, options, and what it says to bad input.
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wasmlinux_tests::module::{Module, body, name, section};
use wasmlinux_tests::{Built, Output, Program, Run, Scratch, add, guest, wasmlinux, wasmlinux_with};

/// Bytes that do not repeat.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn bytes_go_through_unchanged() {
    let bytes = noise(64 << 20);
    let output = guest(["cat"]).stdin(bytes.clone()).output();
    output.expect_status(0);
    assert!(output.stdout == bytes, "{} bytes came back of {}", output.stdout.len(), bytes.len());
    assert_eq!(output.errors(), "");
    for length in [0, 1, 4095, 65536, 65537, 1_000_003] {
        let bytes = noise(length);
        assert!(guest(["cat"]).stdin(bytes.clone()).output().stdout == bytes, "{length} bytes");
    }
}

#[test]
fn sha256sum_is_the_hosts() {
    let bytes = noise(64 << 20);
    let native = Run::new("sha256sum".as_ref()).stdin(bytes.clone()).output();
    guest(["sha256sum"]).stdin(bytes).output().expect_same(&native, "sha256sum");
}

#[test]
fn three_streams() {
    for how in ["both", "bytes", "kinds", "late", "big"] {
        Program::new("streams").args([how]).agree();
    }
    Program::new("streams").args(["read"]).stdin(noise(3_000_001)).agree();
    Program::new("streams").args(["read"]).agree();
    Program::new("streams").args(["others"]).guest().expect("");
}

#[test]
fn a_slow_reader_holds_the_writer() {
    let program = Built::new("streams").guest;
    let run = || wasmlinux_with(["run"]).args(add(&program, "streams")).args(["--", "streams", "big"]);
    let fast = run().output();
    let slow = run().reading(usize::MAX, Duration::from_millis(700));
    slow.expect_same(&fast, "streams big");
    assert_eq!(slow.stdout.len(), 8 << 20);
}

#[test]
fn a_closed_output_ends_the_command() {
    let output = guest(["yes"]).reading(10, Duration::ZERO);
    output.expect_status(141);
    assert_eq!((output.text().as_str(), output.errors().as_str()), ("y\ny\ny\ny\ny\n", ""));
    let program = Built::new("streams").guest;
    let run = wasmlinux_with(["run"]).args(add(&program, "streams")).args(["--", "streams", "closed"]);
    let output = run.reading(10, Duration::ZERO);
    output.expect_status(0);
    assert_eq!(output.errors(), "write: EPIPE\n");
}

#[test]
fn input_that_is_not_read_is_no_problem() {
    guest(["true"]).stdin(noise(4 << 20)).output().expect("");
    guest(["head", "-c", "5"]).stdin("hello and much more\n".repeat(100_000)).output().expect("hello");
}

#[test]
fn options() {
    wasmlinux_with(["run", "-e", "A=b c", "-e", "B=", "env"]).output().expect_status(0);
    let text = wasmlinux_with(["run", "-e", "A=b c", "-e", "B=", "env"]).output().text();
    assert!(text.lines().any(|l| l == "A=b c") && text.lines().any(|l| l == "B="), "{text}");
    assert!(text.lines().any(|l| l.starts_with("PATH=")), "{text}");
    let inherited = wasmlinux_with(["run", "-e", "FROM_HOST", "env"]).env("FROM_HOST", "yes").output().text();
    assert!(inherited.lines().any(|l| l == "FROM_HOST=yes"), "{inherited}");
    wasmlinux_with(["run", "-w", "/tmp", "pwd"]).output().expect("/tmp\n");
    wasmlinux_with(["run", "pwd"]).output().expect("/\n");
    wasmlinux_with(["run", "--hostname", "penguin", "hostname"]).output().expect("penguin\n");
    wasmlinux_with(["run", "--hostname", "penguin", "uname", "-n"]).output().expect("penguin\n");
    wasmlinux_with(["run", "echo", "-n", "--", "-e"]).output().expect("-- -e");
    wasmlinux_with(["run", "--", "echo", "a"]).output().expect("a\n");
}

#[test]
fn memory() {
    let total = |size: &str| -> u64 {
        let output = wasmlinux_with(["run", "--memory", size, "cat", "/proc/meminfo"]).output();
        let text = output.expect_status(0).text();
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:")).expect("MemTotal").to_owned();
        line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    };
    let (small, large) = (total("128M"), total("1G"));
    assert_eq!(total("0.125g"), small);
    assert!((64 << 10..=128 << 10).contains(&small), "{small} KiB of 128 MiB");
    assert!((900 << 10..=1 << 20).contains(&large), "{large} KiB of 1 GiB");
}

#[test]
fn added_files_and_folders() {
    let scratch = Scratch::new();
    let file = scratch.file("data", noise(100_000));
    std::fs::create_dir(scratch.path().join("sub")).expect("a folder");
    scratch.file("sub/inner", "inner text\n");
    std::os::unix::fs::symlink("inner", scratch.path().join("sub/link")).expect("a link");
    let option = format!("{}:/data", scratch.path().display());
    let run = |command: &[&str]| wasmlinux_with(["run", "--add", &option]).args(command).output();
    run(&["cat", "/data/sub/link"]).expect("inner text\n");
    run(&["readlink", "/data/sub/link"]).expect("inner\n");
    assert_eq!(run(&["cat", "/data/data"]).stdout, std::fs::read(&file).expect("the file"));
    let two = [format!("{}:/one", file.display()), format!("{}:/deep/er/two", file.display())];
    let output = wasmlinux_with(["run", "--add", &two[0], "--add", &two[1], "cmp", "/one", "/deep/er/two"]).output();
    output.expect("");
}

#[test]
fn the_clock_is_the_hosts() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let guest: u64 = guest(["date", "+%s"]).output().text().trim().parse().expect("a number");
    let after = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert!((before..=after).contains(&guest), "{before} {guest} {after}");
}

#[test]
fn version_help_and_completions() {
    let version = wasmlinux_with(["--version"]).output();
    assert!(version.expect_status(0).text().starts_with("wasmlinux "), "{}", version.text());
    assert!(wasmlinux_with(["--help"]).output().expect_status(0).text().contains("run"));
    assert!(wasmlinux_with(["run", "--help"]).output().expect_status(0).text().contains("--memory"));
    for shell in ["bash", "zsh", "fish"] {
        let script = wasmlinux_with(["completions", shell]).output();
        assert!(script.expect_status(0).text().contains("kernel-log"), "{shell}");
    }
}

#[test]
fn the_executable_stands_alone() {
    // Copied elsewhere, with nothing of the environment, in an empty directory.
    let scratch = Scratch::new();
    let copy = scratch.path().join("alone");
    std::fs::copy(wasmlinux(), &copy).expect("a copy");
    let run = Run::new(&copy).args(["run", "hello"]).env_clear().env("HOME", scratch.path()).dir(scratch.path());
    assert!(run.output().expect_status(0).text().to_lowercase().contains("hello"));
}

/// One line on standard error that says something about `about`, this exit status, and no trace of
/// the program's inside.
#[track_caller]
fn complains(output: &Output, status: i32, about: &[&str]) {
    output.expect_status(status);
    let errors = output.errors();
    assert_eq!(output.text(), "");
    assert_eq!(errors.trim_end().lines().count(), 1, "not one line: {errors:?}");
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "src/", ".rs:"] {
        assert!(!errors.contains(word), "{errors}");
    }
    for word in about {
        assert!(errors.to_lowercase().contains(word), "{word} is not in {errors:?}");
    }
}

#[test]
fn a_missing_command() {
    complains(&guest(["no-such-command"]).output(), 127, &["no-such-command"]);
    complains(&guest(["/no/such/command"]).output(), 127, &["/no/such/command"]);
    complains(&guest([""]).output(), 127, &[]);
}

/// The output of a file as a command.
fn as_command(bytes: &[u8], mode: u32) -> Output {
    let scratch = Scratch::new();
    let file = scratch.file("prog", bytes);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("its mode");
    wasmlinux_with(["run"]).args(add(&file, "prog")).arg("prog").output()
}

#[test]
fn what_cannot_be_executed() {
    complains(&guest(["/tmp"]).output(), 126, &["/tmp"]);
    complains(&as_command(b"this is no program\n", 0o755), 126, &["prog"]);
    complains(&as_command(b"", 0o755), 126, &["prog"]);
    complains(&as_command(&std::fs::read("/bin/true").expect("a native program"), 0o755), 126, &["prog"]);
    let good = std::fs::read(Built::new("hello").guest).expect("a program");
    complains(&as_command(&good, 0o644), 126, &["prog"]);
    for length in [4, 8, 9, 100, good.len() / 2, good.len() - 1] {
        complains(&as_command(&good[..length], 0o755), 126, &["prog"]);
    }
}

#[test]
fn wasm_that_is_not_for_linux() {
    let program = || Module::program(&Module::exit(0), body(&[0], &[]));
    let import = |from: &str, what: &str| [name(from), name(what), vec![0, 0]].concat();
    let memory = [name("env"), name("memory"), vec![2, 0, 2]].concat();
    let wasi = [import("wasi_snapshot_preview1", "proc_exit")];
    complains(
        &as_command(&program().section(section::IMPORT, &wasi).section(section::MEMORY, &[vec![0, 1]]).bytes(), 0o755),
        126,
        &["prog"],
    );
    complains(
        &as_command(&program().section(section::IMPORT, &[memory, import("env", "no_such_function")]).bytes(), 0o755),
        126,
        &["prog"],
    );
    complains(&as_command(&Module::new().bytes(), 0o755), 126, &["prog"]);
}

#[test]
fn bad_options() {
    complains(&wasmlinux_with(["run", "--memory", "1M", "true"]).output(), 125, &["memory"]);
    complains(&wasmlinux_with(["run", "--memory", "1000G", "true"]).output(), 125, &["memory"]);
    complains(&wasmlinux_with(["run", "--add", "/no/such/file:/x", "true"]).output(), 125, &["/no/such/file"]);
    for wrong in [
        ["run", "--memory", "lots", "true"],
        ["run", "--add", "relative:x", "true"],
        ["run", "--hostname", "two words", "true"],
    ] {
        let output = wasmlinux_with(wrong).output();
        output.expect_status(125);
        assert!(!output.errors().is_empty() && !output.errors().contains("panicked"), "{}", output.errors());
    }
    let output = wasmlinux_with(["run", "--no-such-option", "true"]).output();
    assert!(output.expect_status(125).errors().contains("--no-such-option"));
    let output = wasmlinux_with(["walk"]).output();
    assert!(output.expect_status(125).errors().contains("walk"));
}

#[test]
fn what_docker_has() {
    wasmlinux_with(["run", "--rm", "--entrypoint", "echo", "a", "b"]).output().expect("a b\n");
    wasmlinux_with(["run", "--entrypoint=pwd"]).output().expect("/\n");
    wasmlinux_with(["run", "-h", "penguin", "hostname"]).output().expect("penguin\n");
    wasmlinux_with(["run", "--rm=true", "--init=false", "-i=true", "-t=false", "echo", "a"]).output().expect("a\n");
    wasmlinux_with(["run", "-w", "", "pwd"]).output().expect("/\n");
    // What it cannot have is one line that says what to do, and nothing runs.
    for (options, about) in [
        (&["-v", "/tmp:/x"][..], "--add"),
        (&["--volume=/tmp:/x"], "--add"),
        (&["-vx:/y"], "--add"),
        (&["--mount", "type=bind"], "--add"),
        (&["-d"], "background"),
        (&["-itd"], "background"),
        (&["--name", "x"], "process id"),
        (&["-u", "bob"], "/etc/passwd"),
        (&["-u", "nobody:wheel"], "/etc/group"),
        (&["--group-add", "wheel"], "/etc/group"),
        (&["--ulimit", "files=1"], "nofile"),
        (&["--ulimit", "nofile=2:1"], "soft limit"),
        (&["--pids-limit", "5"], "--ulimit nproc"),
        (&["--cap-drop", "all"], "-u"),
        (&["--privileged"], "capabilities"),
        (&["--read-only"], "remount"),
        (&["--cpus=2"], "one processor"),
        (&["--pull", "always"], "images"),
        (&["--platform=linux/amd64"], "images"),
        (&["--network", "host"], "user,host"),
        (&["-w", "tmp"], "absolute"),
        (&["-m", "1t"], "1048576 mib"),
        (&["-m", "1.2.3g"], "1.5g"),
        (&["--add", "/etc/hosts:/x:ro"], "copy"),
        (&["--rm=maybe"], "true or false"),
    ] {
        let output = wasmlinux_with(["run"]).args(options).args(["echo", "ran"]).output();
        complains(&output, 125, &[about]);
    }
}

#[test]
fn users_and_limits() {
    let run =
        |options: &[&str], script: &str| wasmlinux_with(["run"]).args(options).args(["sh", "-c", script]).output();
    let who = "id -u; id -g; id -G; echo $HOME";
    run(&["-u", "nobody"], who).expect("65534\n65534\n65534\n/nonexistent\n");
    run(&["--user=daemon:users", "--group-add", "tty", "--group-add=1234"], who)
        .expect("1\n100\n100 5 1234\n/usr/sbin\n");
    run(&["-u", "1000"], who).expect("1000\n0\n0\n/\n");
    run(&["-u", "1000:7", "-e", "HOME=/tmp"], who).expect("1000\n7\n7\n/tmp\n");
    run(&["-u", "0"], who).expect("0\n0\n0\n/root\n");
    run(&["--group-add", "users"], who).expect("0\n0\n0 100\n/root\n");
    // Not root: no capabilities, no files of others; but its own streams, by their names too.
    run(&["-u", "nobody"], "grep CapEff /proc/self/status; cat /etc/shadow 2>/dev/null || echo no")
        .expect("CapEff:\t0000000000000000\nno\n");
    run(&["-u", "nobody"], "echo x >/dev/stdout; echo y >/proc/self/fd/1").expect("x\ny\n");
    run(&["-u", "nobody"], "kill -9 1 2>/dev/null || echo no").expect("no\n");
    run(&["--ulimit", "nofile=77:99", "--ulimit=core=0"], "ulimit -n; ulimit -Hn; ulimit -c").expect("77\n99\n0\n");
    run(&["--ulimit", "fsize=-1", "-u", "nobody", "--ulimit", "nofile=100000"], "ulimit -f; ulimit -n")
        .expect("unlimited\n100000\n");
}

#[test]
fn the_machine_is_switched_off_from_inside() {
    guest(["poweroff", "-f"]).output().expect_status(0);
    guest(["halt", "-f"]).output().expect_status(0);
    guest(["reboot", "-f"]).output().expect_status(122);
}

#[test]
fn a_machine_out_of_memory_says_so() {
    // What a line without an end takes is the machine's memory.
    let small = |script| wasmlinux_with(["run", "-m", "64m", "sh", "-c", script]).output();
    let words = ["ran out of memory", "64 mib (-m)"];
    complains(&wasmlinux_with(["run", "-m", "64m", "tail", "/dev/zero"]).output(), 137, &words);
    let output = small("tail /dev/zero 2>/dev/null; exit 3").expect_status(3).errors();
    assert!(output.contains(words[0]), "{output}");
    // One that recovers, and one that is killed by another.
    assert!(!small("tail /dev/zero; true").expect_status(0).errors().contains(words[0]));
    assert_eq!(small("kill -9 $$").expect_status(137).errors(), "");
}

#[test]
fn kernel_messages_are_asked_for() {
    let quiet = guest(["echo", "x"]).output();
    assert_eq!((quiet.text().as_str(), quiet.errors().as_str()), ("x\n", ""));
    let loud = wasmlinux_with(["run", "--kernel-log", "echo", "x"]).output();
    assert_eq!(loud.expect_status(0).text(), "x\n");
    assert!(loud.errors().contains("Linux version 6.12"), "{}", loud.errors());
    let errors_only = wasmlinux_with(["run", "--kernel-log=3", "echo", "x"]).output();
    assert!(!errors_only.errors().contains("Linux version"), "{}", errors_only.errors());
}

#[test]
fn a_failing_kernel_says_where() {
    for (how, name) in [("bug", "fail"), ("trap", "fail"), ("oops", "fail"), ("stack", "use_stack"), ("panic", "fail")]
    {
        let argument = format!("provoke={how}");
        let output = wasmlinux_with(["run", "--kernel-log", "--kernel-arg", &argument, "cat"]).stdin("x").output();
        let errors = output.errors();
        // A task of the kernel that dies is the end of nothing but itself, unless the kernel panics
        // of it.
        assert!([0, 123].contains(&output.status), "{how}: status {}: {errors}", output.status);
        assert!(errors.contains(name), "{how}: no function {name} in {errors}");
        if how == "panic" {
            output.expect_status(123);
        }
    }
}
