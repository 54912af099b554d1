//! Programs that no compiler makes, and that try to get out. Whatever they do, they suffer alone:
//! the machine lives on, and says nothing of a fault of its own.
//!
//! With WASMLINUX_HOSTILE_SECONDS set (`cargo xtask test --hostile SECONDS`), those that can go on
//! do so for about that long.
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use wasmlinux_tests::hostile::{COMPLAINTS, file, module, run};
use wasmlinux_tests::{Output, Scratch, random, wasmlinux_with};

/// How long to go on, if that was said.
fn seconds() -> Option<Duration> {
    let text = std::env::var("WASMLINUX_HOSTILE_SECONDS").ok()?;
    Some(Duration::from_secs(text.parse().expect("WASMLINUX_HOSTILE_SECONDS is a number")))
}

/// Runs it, then another program; gives what became of it, by its status.
fn fate(program: &[u8]) -> (i32, Output) {
    let scratch = Scratch::new();
    let output = run(&scratch, program, &["sh", "-c", "hostile; echo $? >&2; echo alive >&2"]).output();
    let errors = output.errors();
    output.expect_status(0);
    let rest = errors.trim_end().strip_suffix("alive").unwrap_or_else(|| panic!("no sign of life: {errors}"));
    assert!(!COMPLAINTS.iter().any(|complaint| errors.contains(complaint)), "{errors}");
    let status = rest.trim_end().rsplit('\n').next().and_then(|line| line.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {errors}")), output)
}

/// Must be refused before any of it runs: the message says for what.
fn refused(name: &str, program: &[u8], reason: &str) {
    let scratch = Scratch::new();
    let output = run(&scratch, program, &["hostile"]).output();
    let errors = output.errors();
    assert!(output.status == 126 && errors.contains(reason), "{name}: {output:?}\n{errors}");
}

/// Instructions that the engine does in one go are no way to keep the processor.
#[test]
fn others_live_beside_one_that_fills_memory() {
    let instructions = [
        "(memory.fill (i32.const 131072) (i32.const 1) (i32.const 67108864))",
        "(memory.copy (i32.const 131072) (i32.const 33685504) (i32.const 33554432))",
    ];
    for instruction in instructions {
        // mmap(2) of 64 MiB, so that there is something to fill, and then nothing else.
        let program = module(&format!(
            r#"(module (prelude) (func (export "_start") (param i32)
              (drop (call $sys (i32.const 222) (i32.const 131072) (i32.const 67108864) (i32.const 3)
                (i32.const 0x32) (i32.const -1) (i32.const 0)))
              (loop $again {instruction} (br $again)))
              (func (export "_signal") (result i32) (call $sigreturn)))"#
        ));
        let scratch = Scratch::new();
        let script = "hostile & i=0; while [ $i -lt 64 ]; do sleep 0.5 & all=\"$all $!\"; i=$((i + 1)); done; \
                      wait $all; kill -0 $! 2>/dev/null || echo slept; kill %1; wait %1; echo $?";
        let output = run(&scratch, &program, &["sh", "-c", script]).output();
        assert_eq!(output.expect_status(0).text(), "slept\n143\n", "{instruction}: {}", output.errors());
    }
}

#[test]
fn what_compilers_do_not_make_is_refused() {
    let start = r#"(func (export "_start") (param i32))"#;
    let cases = [
        ("tail call", "(func $f (return_call $f))", "ReturnCall"),
        ("indirect tail call", "(table 1 funcref) (func (return_call_indirect (i32.const 0)))", "ReturnCallIndirect"),
        ("struct", "(type (struct (field i32)))", "a type other than a function's"),
        ("array", "(type (array i8))", "a type other than a function's"),
        ("group of types", "(rec (type (func)) (type (struct)))", "a type other than a function's"),
        ("reference in a global", "(global exnref (ref.null exn))", "a reference"),
        ("function in a global", "(global funcref (ref.null func))", "a reference"),
        ("table of exceptions", "(table 1 exnref)", "a table of other than functions"),
        ("external table", "(table 1 externref)", "a table of other than functions"),
        ("external parameter", "(func (param externref))", "a reference"),
        ("exception as a parameter", "(func (param exnref))", "a reference"),
        ("exception as a result", "(func (result exnref) unreachable)", "a reference"),
        ("exception in an exception", "(tag (param exnref))", "a reference"),
        ("typed reference", "(type $t (func)) (func (param (ref null $t)))", "a reference"),
        ("local function", "(func (local funcref))", "a reference"),
        ("table.set", "(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))", "the instruction"),
        ("table.grow", "(table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 1))))", "the instruction"),
        (
            "table.init",
            "(table 1 funcref) (elem func) (func (table.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))",
            "a passive segment",
        ),
        ("table.copy", "(table 1 funcref) (func (table.copy (i32.const 0) (i32.const 0) (i32.const 0)))", "TableCopy"),
        ("table with a value", "(func $f) (table 1 funcref (ref.func $f))", "a table of other than functions"),
        ("relaxed SIMD", "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))", "Relaxed"),
        ("wide arithmetic", "(func (param i64) (i64.mul_wide_u (local.get 0) (local.get 0)) (drop) (drop))", "MulWide"),
        ("64-bit table", "(table i64 1 funcref)", "a table of other than functions"),
        ("another memory", "(memory 1)", "a memory of its own"),
    ];
    for (name, text, reason) in cases {
        refused(name, &module(&format!("(module (prelude) {text} {start})")), reason);
    }
}

#[test]
fn tail_calls_do_not_expose_dead_frames() {
    refused("a frame of the guest's making", &file("tail_call", &[]), "ReturnCall");
}

#[test]
fn exceptions_are_held_across_faults() {
    let scratch = Scratch::new();
    run(&scratch, &file("exceptions_held", &[]), &["hostile"]).output().expect("all as they were\n");
}

#[test]
fn exceptions_are_what_they_were_under_a_timer() {
    let started = Instant::now();
    let rounds = if seconds().is_some() { "12000000" } else { "400000" };
    let program = file("exceptions_interrupted", &[("ROUNDS", rounds)]);
    loop {
        let scratch = Scratch::new();
        let run = run(&scratch, &program, &["hostile"]).limit(Duration::from_secs(600));
        run.output().expect("all as they were\n");
        if seconds().is_none_or(|limit| started.elapsed() > limit / 2) {
            break;
        }
    }
}

#[test]
fn a_handlers_exception_is_not_its_programs() {
    let rounds = if seconds().is_some() { "150000000" } else { "3000000" };
    let scratch = Scratch::new();
    let run = run(&scratch, &file("exceptions_at_once", &[("ROUNDS", rounds)]), &["hostile"]);
    run.limit(Duration::from_secs(600)).output().expect("all as they were\n");
}

#[test]
fn a_fault_that_was_none_is_no_surprise_to_the_kernel() {
    assert_eq!(fate(&file("forged_fault", &[])).0, 132);
}

#[test]
fn what_costs_the_host_too_much_is_refused() {
    let catches = "(catch $e $h) ".repeat(257);
    let body = format!("(drop (block $h (result i32) (try_table {catches} (throw $e (i32.const 1))) (i32.const 0)))");
    let nested = format!("{}{}", "(try_table (catch $e $h) ".repeat(300), ")".repeat(300));
    let nested = format!("(drop (block $h (result i32) {nested} (i32.const 0)))");
    let globals = "(global (mut i32) (i32.const 0)) ".repeat(1001);
    let cases = [
        ("clauses", format!("(tag $e (param i32)) (func {body})"), "clauses of try_table"),
        ("clauses in each other", format!("(tag $e (param i32)) (func {nested})"), "clauses of try_table"),
        ("globals", globals, "globals"),
        ("tags", "(tag) ".repeat(101), "tags"),
    ];
    for (name, text, reason) in cases {
        refused(name, &module(&format!("(module (prelude) {text} (func (export \"_start\") (param i32)))")), reason);
    }
}

#[test]
fn too_many_exceptions_end_the_program() {
    let (status, output) = fate(&file("exceptions_without_end", &[]));
    assert_eq!((status, output.text().as_str()), (139, ""));
}

#[test]
fn an_exception_that_nobody_catches_ends_the_program() {
    let text =
        r#"(module (prelude) (tag $e (param i32)) (func (export "_start") (param i32) (throw $e (i32.const 1))))"#;
    assert_eq!(fate(&module(text)).0, 134);
}

/// Programs that do anything, many in one machine: it goes on, and its kernel finds no fault in
/// itself.
#[test]
fn random_programs() {
    const TOGETHER: u64 = 12;
    let started = Instant::now();
    let seed: u64 = std::env::var("WASMLINUX_HOSTILE_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut next = seed * 1_000_000;
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    loop {
        let scratch = Scratch::new();
        for program in next..next + TOGETHER {
            let file = scratch.file(&format!("{program}"), module(&random::program(program)));
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("a file of ours");
        }
        let script = "cd /hostile; for p in *; do timeout -s KILL 2 ./$p >/dev/null 2>&1 </dev/null; \
                      echo $p $? >/dev/console; done; echo alive";
        let mut folder = scratch.path().as_os_str().to_os_string();
        folder.push(":/hostile");
        let run = wasmlinux_with(["run", "--kernel-log=5", "--add"]).arg(folder).args(["--", "sh", "-c", script]);
        let output = run.limit(Duration::from_secs(300)).output();
        let (text, errors) = (output.text(), output.errors());
        let what = format!("programs {next} and on: status {}: {text}{errors}", output.status);
        assert!(output.status == 0 && text == "alive\n", "{what}");
        assert!(!COMPLAINTS.iter().any(|complaint| errors.contains(complaint)), "{what}");
        for line in errors.lines() {
            if let Some((_, end)) = line.split_once(' ').filter(|(name, _)| name.parse::<u64>().is_ok()) {
                *ends.entry(end.into()).or_default() += 1;
            }
        }
        next += TOGETHER;
        if seconds().is_none_or(|limit| started.elapsed() > limit / 2) {
            break;
        }
    }
    println!("{} random programs, by their ends: {ends:?}", next - seed * 1_000_000);
}
