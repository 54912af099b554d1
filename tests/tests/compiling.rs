//! Programs that have to be compiled: hostile ones, several at once, a compiler that is killed, and
//! what is kept on disk.
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use wasmlinux::{Builder, Compiler, Errno, Error, Machine, Stdio};
use wasmlinux_tests::module::{Module, body, constant, number};
use wasmlinux_tests::{Output, Scratch, add, wasmlinux, wasmlinux_with};

/// What a compiler may be busy with, on a host with much else to do.
const LONG: Duration = Duration::from_secs(300);

/// A program that exits with this status, and has a function beside.
fn program(status: i32, spare: Vec<u8>) -> Vec<u8> {
    Module::program(&Module::exit(status), spare).bytes()
}

/// A function's variables, all i32.
fn variables(count: u64) -> Vec<u8> {
    [number(1), number(count), vec![0x7f]].concat()
}

/// Blocks, each left at once or after it has set a variable; in the end all variables are read.
fn merges(count: u64, blocks: u64) -> Vec<u8> {
    let mut code = Vec::new();
    for at in 0..blocks {
        code.extend([0x02, 0x40, 0x20, 0, 0x0d, 0, 0x20, 0, 0x21]);
        code.extend(number(at % count));
        code.push(0x0b);
    }
    for at in 0..count {
        code.push(0x20);
        code.extend(number(at));
        code.extend([0x20, 0, 0x6a, 0x21, 0]);
    }
    body(&variables(count), &code)
}

/// Many values at the same time.
fn values(count: i32) -> Vec<u8> {
    let mut code = Vec::new();
    for at in 0..count {
        code.extend([0x20, 0]);
        code.extend(constant(at));
        code.push(0x6a);
    }
    code.extend(vec![0x73; count as usize - 1]);
    code.push(0x1a);
    body(&variables(1), &code)
}

/// Jumps through tables.
fn tables(count: u64, targets: u64) -> Vec<u8> {
    let depth = 100;
    let mut code = [0x02, 0x40].repeat(depth);
    for at in 0..count {
        code.extend([0x02, 0x40, 0x20, 0, 0x0e]);
        code.extend(number(targets));
        code.extend((0..=targets).map(|to| ((to * 7 + at) % depth as u64) as u8));
        code.push(0x0b);
    }
    code.extend(vec![0x0b; depth]);
    body(&variables(1), &code)
}

/// Straight code, which takes the compiler about a second for each 100,000 steps.
fn steps(count: i32) -> Vec<u8> {
    let mut code = Vec::new();
    for at in 0..count {
        code.extend([0x20, 0]);
        code.extend(constant(at | 1));
        code.push(0x6c);
        code.extend(constant(at));
        code.extend([0x73, 0x21, 0]);
    }
    body(&variables(1), &code)
}

/// A file that can be executed.
fn file(scratch: &Scratch, bytes: Vec<u8>) -> PathBuf {
    let file = scratch.file("p", bytes);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("permissions");
    file
}

/// Runs a program that is a file of the host, with the compiled code in `cache`.
fn run(cache: &Path, file: &Path) -> Output {
    wasmlinux_with(["run"]).args(add(file, "p")).arg("p").env("XDG_CACHE_HOME", cache).limit(LONG).output()
}

/// It is refused, and the reason has this in it.
fn refused(spare: Vec<u8>, reason: &str) {
    let scratch = Scratch::new();
    let program = file(&scratch, program(7, spare));
    let output = run(scratch.path(), &program);
    output.expect_status(126);
    assert!(output.errors().contains(reason), "{}", output.errors());
    assert!(files(&scratch.path().join("wasmlinux")).is_empty());
}

#[test]
fn what_costs_too_much_is_refused() {
    let start = Instant::now();
    refused(merges(49_000, 100_000), "variables of a function times its branches");
    refused(values(500_000), "values on the stack of a function");
    refused(tables(60, 65_000), "targets of br_table");
    // It was not even tried.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn what_takes_too_much_memory_is_refused() {
    refused(merges(49_000, 1000), " MiB of memory");
}

/// Files of compiled code in a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect());
    entries.unwrap_or_default()
}

#[test]
fn damaged_code_is_not_run() {
    let scratch = Scratch::new();
    let program = file(&scratch, program(7, steps(1000)));
    run(scratch.path(), &program).expect_status(7);
    let kept = files(&scratch.path().join("wasmlinux")).pop().expect("compiled code");
    let whole = fs::read(&kept).expect("compiled code");
    for (name, damaged) in [
        ("a byte", [&whole[..whole.len() / 2], &[!whole[whole.len() / 2]], &whole[whole.len() / 2 + 1..]].concat()),
        ("no end", whole[..whole.len() - 4096].to_vec()),
        ("zeros", vec![0; whole.len()]),
    ] {
        fs::remove_file(&kept).expect("removing");
        fs::write(&kept, damaged).expect("writing");
        let output = run(scratch.path(), &program);
        output.expect_status(7);
        assert!(output.errors().contains("compiled anew"), "{name}: {}", output.errors());
        assert!(fs::read(&kept).is_ok_and(|bytes| bytes == whole), "{name}: it is not whole again");
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("wasmlinux");
    fs::create_dir(&folder).expect("a folder");
    for number in 0..1500 {
        fs::write(folder.join(format!("{number:064x}-{number:016x}")), "old").expect("writing");
    }
    fs::write(folder.join("another's"), "old").expect("writing");
    let program = file(&scratch, program(7, body(&[0], &[])));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("permissions");
    run(scratch.path(), &program).expect_status(7);
    let left = files(&folder);
    assert_eq!(left.len(), 1001);
    assert!(left.contains(&folder.join("another's")));
}

/// A machine whose programs, named by their place, are compiled by `compiler`. This test's process
/// ends if it takes too long.
fn machine(programs: &[Vec<u8>], with: impl FnOnce(Builder) -> Builder) -> Result<Machine, Error> {
    std::thread::spawn(|| {
        std::thread::sleep(LONG);
        eprintln!("hung for {LONG:?}");
        std::process::exit(1);
    });
    let mut builder = Machine::builder().memory(256 << 20).cache(None);
    for (number, program) in programs.iter().enumerate() {
        builder = builder.add_file(OsString::from(format!("/bin/p{number}")), 0o755, program.clone());
    }
    with(builder).boot()
}

fn in_processes(programs: &[Vec<u8>]) -> Machine {
    machine(programs, |builder| builder.compiler(Compiler::Executable(wasmlinux()))).expect("a machine")
}

/// The compilers of this process.
fn compilers() -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        let parent = format!("PPid:\t{}\n", std::process::id());
        if read("cmdline").contains("compile-for-machine") && read("status").contains(&parent) {
            found.push(process);
        }
    }
    found
}

/// Waits until something is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LONG / 2, "{what}: not after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn errno(result: Result<wasmlinux::ExitStatus, Error>) -> Errno {
    match result {
        Err(Error::Spawn { errno, .. }) => errno,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_killed_compiler_is_an_error_of_that_program() {
    let machine = in_processes(&[program(7, steps(200_000)), program(8, steps(10))]);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| machine.command("p0").status());
        until("the compiler runs", || !compilers().is_empty());
        let killed = Command::new("kill").arg("-KILL").args(compilers().iter().map(u32::to_string)).status();
        assert!(killed.expect("kill").success());
        assert_eq!(errno(slow.join().expect("a thread")), Errno::ENOEXEC);
    });
    let messages = machine.kernel_messages();
    assert!(
        messages.contains("program refused: it does not compile: the compiler was ended by signal 9"),
        "{messages}"
    );
    // Another time it may live.
    assert_eq!(machine.command("p0").status().expect("p0").code(), Some(7));
    assert_eq!(machine.command("p1").status().expect("p1").code(), Some(8));
    assert_eq!(compilers(), [0; 0]);
}

#[test]
fn what_nobody_waits_for_is_not_compiled() {
    let scratch = Scratch::new();
    let cache = scratch.path().join("cache");
    let programs = [program(7, steps(200_000)), program(8, steps(200_001)), program(9, steps(10))];
    let machine =
        machine(&programs, |builder| builder.compiler(Compiler::Executable(wasmlinux())).cache(Some(cache.clone())));
    let machine = machine.expect("a machine");
    // The second one waits in the line, as both are large.
    let script = "p0 & first=$!; p1 & second=$!; read x; kill -9 $first $second; wait $first; wait $second; echo $?";
    let mut shell = machine.command("sh");
    let mut shell = shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
    until("the compiler runs", || !compilers().is_empty());
    shell.stdin.take().expect("stdin").write_all(b"\n").expect("writing");
    let mut text = String::new();
    shell.stdout.take().expect("stdout").read_to_string(&mut text).expect("reading");
    assert_eq!(text, "137\n");
    until("the compiler ends", || compilers().is_empty());
    assert_eq!(machine.command("p2").status().expect("p2").code(), Some(9));
    assert_eq!(files(&cache).len(), 1);
}

#[test]
fn a_machine_that_goes_takes_its_compilers_along() {
    let machine = in_processes(&[program(7, steps(200_000))]);
    let mut shell = machine.command("sh");
    let shell = shell.args(["-c", "p0"]).spawn().expect("sh");
    until("the compiler runs", || !compilers().is_empty());
    machine.power_off();
    machine.wait();
    until("the compiler ends", || compilers().is_empty());
    drop(shell);
}

#[test]
fn a_small_program_does_not_wait_for_large_ones() {
    let machine = in_processes(&[program(0, steps(45_000)), program(0, steps(45_001)), program(0, steps(100))]);
    let script = "(p0; echo large) & (p1; echo large) & (p0; echo large) & sleep 0.1; p2; echo small; wait";
    let output = machine.command("sh").args(["-c", script]).output().expect("sh");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "small\nlarge\nlarge\nlarge\n");
}

#[test]
fn without_processes_small_programs_are_compiled() {
    let programs = [program(7, steps(100)), program(8, steps(45_000))];
    // A file that cannot be executed stands for a host that starts none.
    let none = |builder: Builder| builder.compiler(Compiler::Executable("/etc/passwd".into()));
    let without = machine(&programs, none).expect("a machine");
    assert_eq!(without.command("p0").status().expect("p0").code(), Some(7));
    assert_eq!(errno(without.command("p1").status()), Errno::ENOMEM);
    let messages = without.kernel_messages();
    assert!(messages.contains("it cannot be compiled now: no process for the compiler"), "{messages}");

    // As a program that does not offer itself as a compiler: this test.
    let threads = machine(&programs, |builder| builder).expect("a machine");
    assert_eq!(threads.command("p0").status().expect("p0").code(), Some(7));
    assert_eq!(threads.command("p1").status().expect("p1").code(), Some(8));

    let missing = machine(&[], |builder| builder.compiler(Compiler::Executable("/no/such/file".into())));
    let text = missing.expect_err("no machine").to_string();
    assert!(text.starts_with("/no/such/file cannot be the compiler of programs"), "{text}");
}

#[test]
fn a_compiler_is_not_started_by_hand() {
    let output = wasmlinux_with(["compile-for-machine"]).output();
    output.expect_status(125);
    assert!(output.errors().contains("wasmlinux run"), "{}", output.errors());
}
