//! Linux as a library: a machine, its commands with pipes, and host tasks.
use std::io::{Read, Write};
use std::time::{Duration, Instant};
use wasmlinux::{Arg, Errno, Error, Failure, FileKind, Machine, Outcome, Resource, SpawnStep, Stdio, flags};
use wasmlinux_tests::{LIMIT, Scratch};

/// Linux's generic numbers of system calls without a typed method.
const GETPID: u32 = 172;
const LSEEK_BADFD: u32 = 62;

/// A machine, up; and the end of this test's process if it takes too long, for a machine that hangs
/// cannot be waited for.
fn boot() -> Machine {
    std::thread::spawn(|| {
        std::thread::sleep(LIMIT);
        eprintln!("hung for {LIMIT:?}");
        std::process::exit(1);
    });
    Machine::builder().memory(256 << 20).boot().expect("a machine")
}

#[test]
fn a_command_and_its_pipes() {
    let machine = boot();
    let output = machine.command("echo").args(["hello", "library"]).stdout(Stdio::piped()).output().expect("echo");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"hello library\n"[..]));

    let mut child = machine.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
    let (mut input, mut output) = (child.stdin.take().expect("stdin"), child.stdout.take().expect("stdout"));
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let expected = bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let mut back = Vec::new();
    output.read_to_end(&mut back).expect("reading");
    writer.join().expect("the writer").expect("writing");
    assert!(back == expected, "{} bytes of {}", back.len(), expected.len());
    assert!(child.wait().expect("its end").success());
    assert_eq!(machine.shutdown().expect("shutdown"), Outcome::Off);
}

#[test]
fn statuses_and_signals() {
    let machine = boot();
    assert_eq!(machine.command("false").status().expect("false").code(), Some(1));
    let child = machine.command("sleep").arg("1000").spawn().expect("sleep");
    child.kill().expect("kill");
    let process = child.process();
    assert_eq!(process.wait_timeout(Duration::from_secs(30)).expect("waiting").expect("ended").signal(), Some(9));
    let missing = machine.command("no-such-command").spawn().expect_err("an error");
    assert!(matches!(missing, Error::Spawn { .. }), "{missing:?}");
    // Several at once, each with its own streams.
    let cats: Vec<_> = (0..20)
        .map(|n| {
            let mut child = machine.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
            child.stdin.take().expect("stdin").write_all(format!("cat {n}").as_bytes()).expect("writing");
            child
        })
        .collect();
    for (n, mut child) in cats.into_iter().enumerate() {
        let mut text = String::new();
        child.stdout.take().expect("stdout").read_to_string(&mut text).expect("reading");
        assert_eq!(text, format!("cat {n}"));
        assert!(child.wait().expect("its end").success());
    }
}

#[test]
fn users_limits_and_what_fails() {
    let machine = boot();
    let script = "id -u; id -G; ulimit -n; echo $HOME; pwd";
    let mut command = machine.command("sh");
    command.args(["-c", script]).user("nobody").group("tty").limit(Resource::Nofile, 50, 60).current_dir("/tmp/new");
    let output = command.output().expect("sh");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "65534\n65534 5\n50\n/nonexistent\n/tmp/new\n");
    // Each step that can fail says so, and with what.
    let failure = |command: &mut wasmlinux::Command| match command.spawn() {
        Err(Error::Spawn { step, subject, errno }) => (step, subject, errno),
        other => panic!("{other:?}"),
    };
    let no = |name: &str| machine.command(name);
    assert_eq!(failure(no("true").user("bob")), (SpawnStep::User, "bob".into(), Errno::ENOENT));
    assert_eq!(failure(no("true").user("root:clan")), (SpawnStep::Group, "clan".into(), Errno::ENOENT));
    assert_eq!(failure(no("true").group("clan")), (SpawnStep::Group, "clan".into(), Errno::ENOENT));
    let directory = failure(no("true").current_dir("/etc/passwd"));
    assert_eq!(directory, (SpawnStep::ChangeDirectory, "/etc/passwd".into(), Errno::ENOTDIR));
    let stream = failure(no("true").stdin(Stdio::path("/no/file")));
    assert_eq!(stream, (SpawnStep::OpenStream, "/no/file".into(), Errno::ENOENT));
    assert_eq!(failure(&mut no("nothing")), (SpawnStep::Execute, "nothing".into(), Errno::ENOENT));
    let limit = failure(no("true").limit(Resource::Nofile, 2, 1));
    assert_eq!(limit, (SpawnStep::Limit, "true".into(), Errno::EINVAL));
    // A script without an interpreter that a user may not read.
    assert_eq!(failure(no("/etc/passwd").user("nobody")), (SpawnStep::Execute, "/etc/passwd".into(), Errno::EACCES));
    assert!(machine.command("true").status().expect("true").success(), "init goes on");
}

#[test]
fn created_and_then_started() {
    let machine = boot();
    let mut command = machine.command("sh");
    command.args(["-c", "echo $$; cat /tmp/before"]).user("nobody").stdout(Stdio::piped());
    let created = command.create().expect("created");
    let pid = created.id();
    let status = machine.read_file(format!("/proc/{pid}/status")).expect("its status");
    assert!(String::from_utf8_lossy(&status).contains("Uid:\t65534\t65534"), "it is the user's already");
    machine.add_file("/tmp/before", 0o644, "made before it runs").expect("a file");
    let mut child = created.start().expect("started");
    let mut text = String::new();
    child.stdout.take().expect("stdout").read_to_string(&mut text).expect("reading");
    assert_eq!(text, format!("{pid}\nmade before it runs"));
    assert!(child.wait().expect("its end").success());
    // It may never be started, or not be what can be.
    drop(command.create().expect("created"));
    let killed = command.create().expect("created");
    let kill = machine.command("kill").args(["-9", &killed.id().to_string()]).status();
    assert!(kill.expect("kill").success());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(killed.start().expect("one that has ended").wait().expect("its end").signal(), Some(9));
    let missing = machine.command("nothing").create().expect("created").start();
    assert!(matches!(missing, Err(Error::Spawn { step: SpawnStep::Execute, .. })), "{missing:?}");
    assert!(machine.command("true").status().expect("true").success());
}

#[test]
fn files_in_and_out_while_commands_run() {
    let machine = boot();
    let mut cat = machine.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat");
    let scratch = Scratch::new();
    let folder = scratch.path().join("folder");
    std::fs::create_dir_all(folder.join("deep")).expect("a folder");
    let bytes: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.join("deep/large"), &bytes).expect("a file");
    std::fs::write(folder.join("empty"), "").expect("a file");
    std::os::unix::fs::symlink("deep/large", folder.join("link")).expect("a link");
    machine.add(&folder, "/srv/in").expect("files in");
    assert!(machine.read_file("/srv/in/link").expect("a file out") == bytes);
    assert_eq!(machine.read_file("/srv/in/empty").expect("an empty file"), b"");

    // While a large file is not being read, everything else goes on.
    let mut files = machine.files("/srv/in").expect("files out");
    let mut seen = Vec::new();
    while let Some(file) = files.next_file().expect("a file") {
        assert!(machine.command("true").status().expect("true").success());
        assert_eq!((file.user, file.group), (0, 0));
        let path = file.path.to_string_lossy().into_owned();
        if path.ends_with("large") {
            let mut content = Vec::new();
            files.read_to_end(&mut content).expect("its content");
            assert!(content == bytes);
        }
        seen.push((path, file.kind));
    }
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("/srv/in", FileKind::Directory),
        ("/srv/in/deep", FileKind::Directory),
        ("/srv/in/deep/large", FileKind::Regular),
        ("/srv/in/empty", FileKind::Regular),
        ("/srv/in/link", FileKind::Symlink("deep/large".into())),
    ];
    assert_eq!(seen, expected.map(|(path, kind)| (path.to_owned(), kind)));

    let missing = machine.read_file("/no/file").expect_err("no file");
    assert!(matches!(&missing, Error::Read { path, errno: Errno::ENOENT } if path == "/no/file"), "{missing:?}");
    assert!(matches!(machine.read_file("/srv"), Err(Error::Read { errno: Errno::EISDIR, .. })));
    let not_made = machine.add_file("/proc/x", 0o644, "x").expect_err("no file there");
    assert!(matches!(&not_made, Error::NotMade { path, .. } if path == "/proc/x"), "{not_made:?}");
    // What does not fit is said, and the machine goes on.
    let large = vec![1; 200 << 20];
    let full = machine.add_file("/tmp/large", 0o644, large).expect_err("no room");
    assert!(matches!(full, Error::NotMade { errno: Errno::ENOSPC, .. }), "{full:?}");
    assert!(machine.command("rm").arg("/tmp/large").status().expect("rm").success());

    cat.stdin.take().expect("stdin").write_all(b"still here").expect("writing");
    let mut text = String::new();
    cat.stdout.take().expect("stdout").read_to_string(&mut text).expect("reading");
    assert_eq!(text, "still here");
    assert!(cat.wait().expect("its end").success());
}

#[test]
fn many_commands_at_once() {
    let machine = boot();
    let start = |n: u64| {
        let machine = &machine;
        move || {
            for round in 0..10 {
                let text = format!("{n} {round}");
                let output = machine.command("echo").arg(&text).output().expect("echo");
                assert_eq!(output.stdout, format!("{text}\n").as_bytes());
                assert!(machine.command("nothing").spawn().is_err());
            }
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|n| drop(scope.spawn(start(n)))));
    // One that waits for a writer of its named pipe keeps nobody waiting.
    assert!(machine.command("mkfifo").arg("/tmp/pipe").status().expect("mkfifo").success());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| machine.command("cat").stdin(Stdio::path("/tmp/pipe")).output());
        std::thread::sleep(Duration::from_millis(200));
        let script = ["-c", "echo through > /tmp/pipe"];
        assert!(machine.command("sh").args(script).status().expect("sh").success());
        assert_eq!(reader.join().expect("the reader").expect("cat").stdout, b"through\n");
    });
}

#[test]
fn host_tasks_make_system_calls() {
    let machine = boot();
    let task = machine.host_task().expect("a host task");
    assert_eq!(task.syscall(GETPID, &mut []).expect("getpid"), task.id());
    let mut nothing = [Arg::Word(77), Arg::Word(0), Arg::Word(0), Arg::Word(0), Arg::Word(0)];
    let Err(Error::System { errno, .. }) = task.syscall(LSEEK_BADFD, &mut nothing) else { panic!("lseek of 77") };
    assert_eq!(errno.0, 9, "EBADF");

    let (read, write) = task.pipe2(0).expect("pipe2");
    assert_eq!(task.write(write, b"through a pipe").expect("write"), 14);
    let mut buffer = [0; 100];
    assert_eq!(task.read(read, &mut buffer).expect("read"), 14);
    assert_eq!(&buffer[..14], b"through a pipe");
    task.close(write).expect("close");
    assert_eq!(task.read(read, &mut buffer).expect("the end"), 0);

    task.mkdir("/tmp/folder", 0o755).expect("mkdir");
    task.mount("none", "/tmp/folder", "tmpfs", 0, "").expect("mount");
    let file = task.open("/tmp/folder/file", flags::O_CREAT | flags::O_WRONLY, 0o644).expect("open");
    task.write(file, b"from the host").expect("write");
    task.close(file).expect("close");
    let output = machine.command("cat").arg("/tmp/folder/file").stdout(Stdio::piped()).output().expect("cat");
    assert_eq!(output.stdout, b"from the host");
    let missing = task.open("/no/such/file", flags::O_RDONLY, 0).expect_err("no file");
    assert!(matches!(missing, Error::System { errno, .. } if errno.0 == 2), "{missing:?}");

    // Another task is another process.
    let second = machine.host_task().expect("a second host task");
    assert_ne!(second.id(), task.id());
    assert!(second.write(read, b"x").is_err(), "its descriptors are its own");
}

#[test]
fn what_a_program_writes_arrives_while_it_runs() {
    let machine = boot();
    let task = machine.host_task().expect("a host task");
    let (read, write) = task.pipe2(flags::O_CLOEXEC).expect("pipe2");
    let output = Stdio::descriptor(&task, write);
    let mut program = machine.command("cat").stdin(Stdio::piped()).stdout(output).spawn().expect("cat");
    task.close(write).expect("close");
    let mut input = program.stdin.take().expect("stdin");
    let mut buffer = [0; 100];
    for n in 0..10 {
        // The program waits for us: what we read can only have come while it ran.
        let line = format!("line {n}\n");
        input.write_all(line.as_bytes()).expect("writing");
        let length = task.read(read, &mut buffer).expect("read");
        assert_eq!(&buffer[..length], line.as_bytes());
    }
    drop(input);
    assert_eq!(task.read(read, &mut buffer).expect("the end"), 0);
    assert!(program.wait().expect("its end").success());
}

/// Ends what was given within a second: what the library promises of a machine that has hung.
fn at_once<R>(end: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = end();
    assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
    result
}

#[test]
fn a_kernel_that_hangs_is_switched_off() {
    let builder = |how: &str| Machine::builder().memory(256 << 20).kernel_arg(format!("provoke={how}"));
    for how in ["loop", "poll"] {
        let machine = builder(how).boot().expect("a machine");
        std::thread::sleep(Duration::from_secs(1));
        let (done, answer) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let command = || done.send(machine.command("true").status().map(|status| status.success()));
            scope.spawn(command);
            assert!(answer.recv_timeout(Duration::from_millis(500)).is_err(), "{how}: it hangs");
            at_once(|| {
                machine.power_off();
                assert_eq!(machine.wait(), Outcome::Unplugged);
            });
            assert!(matches!(answer.recv().expect("an answer"), Err(Error::Off)));
        });
        let machine = builder(how).boot().expect("a machine");
        std::thread::sleep(Duration::from_secs(1));
        at_once(|| drop(machine));
    }
    assert!(boot().command("true").status().expect("true").success(), "others live");
}

/// SIGSEGV that somebody sends to a process with a machine in it, or that a thread of its own makes
/// of itself, is no fault of the machine's: it ends the process, also while a program faults all
/// the time.
#[test]
fn a_fault_of_another_thread_is_not_the_machines() {
    const ROLE: &str = "WASMLINUX_TESTS_FAULT";
    let name = "a_fault_of_another_thread_is_not_the_machines";
    if let Ok(signal) = std::env::var(ROLE) {
        let machine = boot();
        let _busy = machine.command("sh").args(["-c", "while :; do $(:); done"]).spawn().expect("sh");
        std::thread::sleep(Duration::from_millis(300));
        // bash's `kill` takes the process; the thread that gets it is the main one.
        let me = std::process::id().to_string();
        let _ = std::process::Command::new("kill").args([&format!("-{signal}"), &me]).status();
        std::thread::sleep(LIMIT);
        return;
    }
    for (signal, number) in [("SEGV", 11), ("BUS", 7), ("ILL", 4), ("FPE", 8)] {
        let mut child = std::process::Command::new("bash");
        child.args(["-c", "ulimit -c 0; exec \"$@\"", "bash"]).arg(std::env::current_exe().expect("this executable"));
        let child = child.args(["--exact", name, "--nocapture"]).env(ROLE, signal);
        let start = Instant::now();
        let output = child.output().expect("this executable once more");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(number), "{output:?}");
        assert!(start.elapsed() < LIMIT / 2, "{:?}", start.elapsed());
    }
}

/// A writer of kernel messages that does something else once it is told to.
struct Trap(std::sync::Arc<std::sync::atomic::AtomicBool>, fn());

impl Write for Trap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.load(std::sync::atomic::Ordering::SeqCst) {
            (self.1)();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `check` with a machine whose thread does `what` meanwhile, in a call of the guest's.
fn with_trapped(what: fn(), check: impl FnOnce(&Machine)) {
    let sprung = std::sync::Arc::default();
    let log = Trap(std::sync::Arc::clone(&sprung), what);
    let machine = Machine::builder().memory(256 << 20).kernel_log(7, log).boot().expect("a machine");
    sprung.store(true, std::sync::atomic::Ordering::SeqCst);
    std::thread::scope(|scope| {
        // Whether it starts before the machine is gone is not foreseen.
        scope.spawn(|| machine.command("sh").args(["-c", "echo '<1>spring' >/dev/kmsg"]).status());
        check(&machine);
    });
    at_once(|| drop(machine));
}

#[test]
fn a_panic_on_the_machines_thread_is_an_outcome() {
    with_trapped(
        || panic!("provoked"),
        |machine| {
            let outcome = machine.wait();
            assert!(matches!(&outcome, Outcome::Failed(Failure::Panic(why)) if why.0 == "provoked"), "{outcome:?}");
            assert!(matches!(machine.command("true").status(), Err(Error::Off)));
        },
    );
    assert!(boot().command("true").status().expect("true").success(), "others live");
}

#[test]
fn work_of_the_host_that_does_not_end_is_left_alone() {
    // The machine's thread never comes back from the writer; whoever waits for the machine does.
    let blocks = || {
        std::thread::sleep(2 * LIMIT);
    };
    with_trapped(blocks, |machine| {
        std::thread::sleep(Duration::from_secs(1));
        at_once(|| {
            assert!(machine.kernel_messages().contains("Run /init"));
            machine.power_off();
            assert_eq!(machine.wait(), Outcome::Unplugged);
        });
    });
    assert!(boot().command("true").status().expect("true").success(), "others live");
}

#[test]
fn machines_are_independent_and_end() {
    let start = Instant::now();
    let (one, two) = (boot(), boot());
    assert!(one.command("touch").arg("/tmp/mark").status().expect("touch").success());
    assert!(!two.command("test").args(["-e", "/tmp/mark"]).status().expect("test").success());
    one.power_off();
    assert_ne!(one.wait(), Outcome::Panic);
    assert!(matches!(one.command("true").status(), Err(Error::Off)), "off is off");
    assert!(two.command("true").status().expect("true").success());
    assert_eq!(two.shutdown().expect("shutdown"), Outcome::Off);
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(matches!(Machine::builder().memory(1 << 20).boot(), Err(Error::Memory { .. })));
}
