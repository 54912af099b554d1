//! Programs that die: of the right signal, alone.
use wasmlinux_tests::module::{Module, body, constant, name, number, section};
use wasmlinux_tests::{Program, Scratch, add, wasmlinux_with};

/// Dies natively and in the guest of the same signal.
fn dies(args: &[&str], status: i32) {
    let program = Program::new("crash").args(args);
    let guest = program.agree();
    guest.expect_status(status);
}

#[test]
fn division() {
    for how in ["divide", "remainder", "divide64", "overflow"] {
        dies(&[how], 136);
    }
}

#[test]
fn unreachable() {
    dies(&["unreachable"], 132);
}

#[test]
fn null_pointers() {
    dies(&["read", "0"], 139);
    dies(&["write", "0"], 139);
    dies(&["read64", "8"], 139);
    dies(&["memset", "0"], 139);
    dies(&["memcpy", "0"], 139);
}

#[test]
fn wild_pointers() {
    for address in ["0x1000", "0xfffff000", "0xffffffff", "0xfffffffc", "0xc0000000"] {
        dies(&["read", address], 139);
        dies(&["write", address], 139);
    }
    dies(&["read64", "0xffffffff"], 139);
    dies(&["far", "0xfffffff0"], 139);
    dies(&["memset", "0xffff0000"], 139);
}

#[test]
fn protected_pages() {
    for how in ["readonly", "none", "unmapped"] {
        dies(&[how], 139);
    }
}

#[test]
fn calls_through_wild_pointers() {
    dies(&["call", "0"], 139);
    dies(&["call", "0x7fffff0"], 139);
    // Native code runs on through a pointer of another type; WebAssembly traps, which docs/abi.md
    // makes this signal.
    Program::new("crash").args(["mistyped"]).guest().expect_status(139);
}

#[test]
fn abort_and_signals_to_self() {
    dies(&["abort"], 134);
    dies(&["ignored-abort"], 134);
    for signal in ["1", "9", "11", "15"] {
        let status = 128 + signal.parse::<i32>().expect("a number");
        dies(&["raise", signal], status);
        dies(&["kill", signal], status);
    }
}

#[test]
fn recursion_without_end() {
    dies(&["recursion"], 139);
    // gcc makes a loop of this; what it uses up in the guest is the machine's stack and not the
    // program's.
    Program::new("crash").args(["recursion-without-memory"]).guest().expect_status(139);
}

#[test]
fn the_kernel_entered_at_the_end_of_the_stack() {
    // Natively there is no such stack: only what becomes of the machine counts, whose kernel would
    // complain on standard error.
    for way in ["call", "page", "many pages", "divide", "handler", "timer"] {
        let guest = Program::new("deep_entries").args([way]).guest();
        assert_eq!(guest.expect_status(0).text(), format!("{way}: 0 wrong\n"));
        assert_eq!(guest.errors(), "");
    }
}

#[test]
fn a_program_that_only_fills_memory_is_interrupted() {
    // It is in a routine of the host's nearly always; others have their turn all the same, and a
    // signal reaches it.
    let script =
        "filling & for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 0.1; done; kill -9 $!; wait $!; echo $?";
    let filling = wasmlinux_tests::Built::new("filling").guest;
    let run = wasmlinux_with(["run", "-m", "256m"]).args(add(&filling, "filling"));
    assert_eq!(run.args(["--", "sh", "-c", script]).output().expect_status(0).text(), "filling\n137\n");
}

#[test]
fn the_machine_lives_on() {
    let mut args = Vec::new();
    let ways: [&[&str]; 12] = [
        &["crash", "recursion"],
        &["crash", "divide"],
        &["crash", "write", "0"],
        &["crash", "read", "0xfffff000"],
        &["crash", "unreachable"],
        &["crash", "call", "0x7fffff0"],
        &["crash", "memset", "0xffff0000"],
        &["crash", "readonly"],
        &["crash", "abort"],
        &["crash", "kill", "9"],
        &["hello", "again"],
        &["crash", "far", "0xfffffff0"],
    ];
    for way in ways {
        args.extend_from_slice(way);
        args.extend(["--", "hello", "alive", "--"]);
    }
    Program::new("each").with("crash").with("hello").args(args).agree().expect_status(0);
    let twice = ["crash", "recursion-without-memory", "--"].repeat(10);
    let guest = Program::new("each").with("crash").with("hello").args(twice).args(["hello", "alive"]).guest();
    let text = guest.expect_status(0).text();
    assert_eq!(text.matches("crash: signal 11\n").count(), 10, "{text}");
    assert!(text.ends_with("1: alive\nhello: exit status 0\n"), "{text}");
}

/// A function that does nothing.
fn nothing() -> Vec<u8> {
    body(&[0], &[])
}

/// A program that exits with status 33.
fn good() -> Module {
    Module::program(&Module::exit(33), nothing())
}

/// Runs a hostile program, then a good one in the same machine; returns what became of the hostile
/// one.
fn hostile(name: &str, bytes: &[u8]) -> String {
    let scratch = Scratch::new();
    let file = scratch.file(name, bytes);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("making it executable");
    let mut run = wasmlinux_with(["run"]).args(add(&file, name));
    for program in ["each", "hello"] {
        run = run.args(add(&wasmlinux_tests::Built::new(program).guest, program));
    }
    let output = run.args(["--", "each", name, "--", "hello"]).output();
    let text = output.expect_status(0).text();
    let fate = text.strip_suffix("Hello, world\nhello: exit status 0\n");
    let fate = fate.unwrap_or_else(|| panic!("{name}: the machine does not live on: {text}"));
    fate.trim_start_matches(name).trim_start_matches(": ").trim_end().to_owned()
}

/// Refused, or killed: in any case not a success.
fn refused_or_killed(name: &str, module: Module) {
    let fate = hostile(name, &module.bytes());
    assert!(fate.starts_with("not started: ") || fate.starts_with("signal "), "{name}: {fate}");
}

#[test]
fn the_smallest_program() {
    // What the hostile ones below are made of is a good program without what makes them hostile.
    assert_eq!(hostile("good", &good().bytes()), "exit status 33");
}

#[test]
fn a_start_function_does_not_run_unseen() {
    // Code before _start would run where the kernel does not expect any: the file is refused, or
    // the function is left out.
    let endless =
        Module::program(&Module::exit(33), body(&[0], &[0x03, 0x40, 0x0c, 0, 0x0b])).raw(section::START, vec![1]);
    let fate = hostile("start", &endless.bytes());
    assert!(fate == "exit status 33" || fate.starts_with("not started: ") || fate.starts_with("signal "), "{fate}");
}

#[test]
fn memories_of_its_own_are_refused() {
    refused_or_killed("memory", good().section(section::MEMORY, &[vec![0, 1]]));
}

#[test]
fn a_huge_table_is_refused_or_limited() {
    for size in [20_000_000, 4_000_000_000] {
        refused_or_killed("table", good().section(section::TABLE, &[[vec![0x70, 0], number(size)].concat()]));
    }
}

#[test]
fn growing_memory_or_a_table_gives_nothing() {
    // They fail, or change nothing that the kernel knows.
    let grow_memory = [constant(100), vec![0x40, 0, 0x1a]].concat();
    let grow_table = [vec![0xd0, 0x70], constant(2_000_000_000), vec![0xfc, 0x0f, 0, 0x1a]].concat();
    for (name, grow) in [("memory-grow", grow_memory), ("table-grow", grow_table)] {
        let fate = hostile(name, &Module::program(&[grow, Module::exit(34)].concat(), nothing()).bytes());
        assert!(
            fate == "exit status 34" || fate.starts_with("not started: ") || fate.starts_with("signal "),
            "{name}: {fate}"
        );
    }
}

#[test]
fn huge_locals_are_refused_or_overflow() {
    // One group of 49,000 variables of 64 bits, in a function that calls itself.
    let locals = [vec![1], number(49_000), vec![0x7e]].concat();
    refused_or_killed("locals", Module::program(&[0x10, 1], body(&locals, &[0x10, 1])));
}

#[test]
fn deep_nesting_is_no_danger() {
    let depth = 20_000;
    let nested = [[0x02, 0x40].repeat(depth), vec![0x0b; depth]].concat();
    let fate = hostile("nested", &Module::program(&[nested, Module::exit(35)].concat(), nothing()).bytes());
    assert!(fate == "exit status 35" || fate.starts_with("not started: "), "{fate}");
}

#[test]
fn wild_data_is_refused_or_faults() {
    for at in [0, -4, i32::MIN] {
        let data = [vec![0], constant(at), vec![0x0b], name("wild data")].concat();
        let fate = hostile("data", &good().section(section::DATA, &[data]).bytes());
        assert!(
            fate == "exit status 33" || fate.starts_with("not started: ") || fate.starts_with("signal "),
            "{at}: {fate}"
        );
    }
}

#[test]
fn noise_for_a_module_is_refused() {
    // Sections that contradict each other, sizes that lie, bytes changed at random: the kernel says
    // ENOEXEC, nothing falls.
    let good = good().bytes();
    let mut seed = 7_u32;
    for round in 0..20 {
        let mut bytes = good.clone();
        for _ in 0..=round % 3 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = 8 + seed as usize / 7 % (bytes.len() - 8);
            bytes[at] = bytes[at].wrapping_add((seed >> 24) as u8 | 1);
        }
        // What became of it is its own affair; `hostile` checks that the machine lives on.
        hostile("noise", &bytes);
    }
}
