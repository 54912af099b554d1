//! Programs in C that must say natively and in the guest the same.
use wasmlinux_tests::{Output, Program, Run, wasmlinux_cc};

#[test]
fn hello() {
    Program::new("hello").agree().expect("Hello, world\n");
    Program::new("hello").args(["a", "b c", ""]).agree();
}

#[test]
fn three_forms_of_main() {
    Program::new("main_forms").agree().expect_status(7);
    Program::new("main_void").agree().expect("void\n");
}

#[test]
fn arguments_and_environment() {
    Program::new("args").agree();
    let words = ["", "-e", "--", "--help", "ä€🐧", "a\nb", "\u{1b}[0m", "x=y", "$HOME", "'\"\\"];
    Program::new("args").args(words).env("T_EMPTY", "").env("T_UTF8", "größe 🐧").env("T_EQ", "a=b=c").agree();
    Program::new("args").args((0..1000).map(|n| format!("argument {n}"))).agree();
}

#[test]
fn large_arguments_and_environment() {
    // MAX_ARG_STRLEN is 128 KiB with its final zero natively, where pages are small.
    let long = "x".repeat(128 * 1024 - 1);
    Program::new("args").args([&long]).agree();
    let value = "y".repeat(120 * 1024);
    Program::new("args").args(["a"; 3]).env("T_LONG", &value).env("T_LONG2", value.replace('y', "z")).agree();
    let mut many = Program::new("args").args((0..1000).map(|n| format!("{n:0131}")));
    for n in 0..500 {
        many = many.env(&format!("T_{n}"), format!("value {n}"));
    }
    many.agree();
}

#[test]
fn no_argument_and_no_environment_at_all() {
    Program::new("empty").agree();
}

#[test]
fn printf_integers_and_strings() {
    Program::new("printf_int").agree();
}

#[test]
fn printf_doubles() {
    Program::new("printf_float").agree();
}

#[test]
fn printf_long_doubles() {
    Program::new("printf_long_double").agree();
}

#[test]
fn strtod_strtol_scanf() {
    Program::new("scan").stdin("3,4\nthe line\n1.5 2 0x1p3\n\n 1e300 -7 word").agree();
}

#[test]
fn files() {
    Program::new("files").agree();
}

#[test]
fn folders_links_and_metadata() {
    Program::new("tree").agree();
}

#[test]
fn descriptors() {
    Program::new("descriptors").agree();
}

#[test]
fn time_and_sleep() {
    Program::new("times").agree();
}

#[test]
fn setjmp_and_longjmp() {
    Program::new("jumps").agree();
}

#[test]
fn constructors_destructors_and_ends() {
    for end in ["return", "exit", "_exit", "quick_exit", "big", "negative", "abort"] {
        Program::new("life").args([end]).agree();
    }
}

#[test]
fn exit_statuses_of_children() {
    let output = Program::new("statuses").agree();
    assert!(output.text().starts_with("wrong: 0\n"), "{}", output.text());
}

#[test]
fn exit_statuses_of_the_command() {
    for status in [0, 1, 2, 42, 124, 125, 126, 127, 128, 137, 255] {
        Program::new("statuses").args(["exit", &status.to_string()]).agree().expect_status(status);
    }
    for signal in [1, 2, 6, 9, 11, 15] {
        let run = Program::new("statuses").args(["signal", &signal.to_string()]);
        run.agree().expect_status(128 + signal);
    }
}

#[test]
fn two_processes_at_once() {
    Program::new("pair").agree();
}

#[test]
fn libc_at_large() {
    Program::new("libc").agree();
}

#[test]
fn sorting_keeps_the_order_of_equals() {
    Program::new("sorting").agree();
}

#[test]
fn what_linux_programs_expect_of_their_library() {
    Program::new("expected").agree();
}

#[test]
fn what_compilers_leave_to_their_library() {
    Program::new("arithmetic").agree();
}

/// The table of `badptr.c`, without the calls that only one of the two kernels has.
fn table(output: &Output) -> Vec<String> {
    output.text().lines().map(str::to_owned).collect()
}

#[test]
fn wild_pointers_to_system_calls() {
    // What this kernel has not configured, or what differs with a reason.
    const ABSENT: [&str; 0] = [];
    let (native, guest) = (Program::new("badptr").native(), Program::new("badptr").guest());
    native.expect_status(0);
    guest.expect_status(0);
    let (native, guest) = (table(&native), table(&guest));
    let differ = |(n, g): &(&String, &String)| n != g && !ABSENT.iter().any(|name| n.starts_with(name));
    let wrong: Vec<_> = native.iter().zip(&guest).filter(differ).map(|(n, g)| format!("{g} (natively {n})")).collect();
    assert!(wrong.is_empty() && native.len() == guest.len(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(native.len() > 900, "the table is whole: {} lines", native.len());
}

#[test]
fn callbacks_of_other_types() {
    Program::new("callback_types").agree();
    Program::new("callback_places").agree();
}

#[test]
fn dates_as_other_libraries_write_and_read_them() {
    Program::new("dates").agree();
}

#[test]
fn regular_expressions_and_patterns() {
    Program::new("patterns").agree();
}

#[test]
fn options_of_commands() {
    Program::new("options").agree();
}

#[test]
fn printf_at_its_edges_and_character_sets() {
    Program::new("formats").agree();
}

#[test]
fn what_headers_have() {
    Program::new("headers").agree();
    Program::new("walks").agree();
}

#[test]
fn contexts_are_an_error_when_compiling() {
    let compile =
        |text: &str| Run::new(&wasmlinux_cc()).args(["-x", "c", "-c", "-o", "/dev/null", "-"]).stdin(text).output();
    compile("#include <ucontext.h>\nint pc(ucontext_t *context) { return context->uc_flags; }\n").expect_status(0);
    let output = compile("#include <ucontext.h>\nint get(ucontext_t *context) { return getcontext(context); }\n");
    assert!(output.status != 0 && output.errors().contains("use threads"), "{}", output.errors());
}
