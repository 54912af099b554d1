//! What builds ask of a compiler driver, beyond compiling: each either works or ends with a clear
//! error.
use std::ffi::OsStr;
use std::path::PathBuf;

use wasmlinux_tests::{Output, Run, Scratch, add, wasmlinux_cc, wasmlinux_with};

/// A directory with sources, and the driver that works in it.
struct Driver(Scratch);

impl Driver {
    fn new(files: &[(&str, &str)]) -> Driver {
        let scratch = Scratch::new();
        for (name, text) in files {
            scratch.file(name, text);
        }
        Driver(scratch)
    }

    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        Run::new(&wasmlinux_cc()).args(args).dir(self.0.path()).output()
    }

    /// The driver with these arguments, separated by spaces, which must succeed and say nothing.
    #[track_caller]
    fn quiet(&self, line: &str) -> &Driver {
        self.run(line.split(' ')).expect("");
        self
    }

    /// The error of the driver with these arguments.
    #[track_caller]
    fn error(&self, line: &str) -> String {
        let output = self.run(line.split(' '));
        assert!(output.status != 0, "{line} succeeds");
        output.errors()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program `a.out`.
    fn program(&self) -> Output {
        wasmlinux_with(["run"]).args(add(&self.path("a.out"), "p")).args(["--", "p"]).output()
    }
}

#[test]
fn common_variables_are_one() {
    let driver = Driver::new(&[
        (
            "a.c",
            "#include <stdio.h>\nint shared, with_value = 5; char *set(void);\nint main(void) { puts(set()); printf(\"%d %d\\n\", shared, with_value); }\n",
        ),
        ("b.c", "int shared, with_value; char text[8]; char *set(void) { shared = 7; text[0] = 'x'; return text; }\n"),
        ("c.c", "long long shared;\n"),
    ]);
    driver.quiet("-fcommon a.c b.c").program().expect("x\n7 5\n");
    // In objects of their own, at all levels, with dependency files in their places.
    std::fs::create_dir(driver.path("out")).unwrap();
    driver.quiet("-fcommon -O2 -g -MD -c a.c -o out/a.o").quiet("-fcommon -c b.c -o out/b.o");
    assert!(std::fs::read_to_string(driver.path("out/a.d")).unwrap().starts_with("out/a.o:"));
    driver.quiet("out/b.o out/a.o").program().expect("x\n7 5\n");
    assert!(driver.error("a.c b.c").contains("duplicate symbol: shared"));
    assert!(
        driver.error("-fcommon a.c b.c c.c").contains("'shared' has 4 bytes in a.o and 8 in c.o: give it one type")
    );
}

#[test]
fn the_first_of_several_definitions() {
    let driver = Driver::new(&[
        ("a.c", "#include <stdio.h>\nint f(void) { return 1; }\nint main(void) { printf(\"%d\\n\", f()); }\n"),
        ("b.c", "int f(void) { return 2; }\n"),
    ]);
    assert!(driver.error("a.c b.c").contains("duplicate symbol: f"));
    driver.quiet("-Wl,--allow-multiple-definition a.c b.c").program().expect("1\n");
    driver.quiet("-c a.c b.c").quiet("-Wl,-z,muldefs b.o a.o").program().expect("2\n");
}

#[test]
fn used_data_survives_two_links() {
    let entry =
        |name: &str, n: u32| format!("__attribute__((used, section(\"mods\"))) static const int {name} = {n};\n");
    let driver = Driver::new(&[
        ("a.c", &entry("a", 11)),
        ("b.c", &entry("b", 22)),
        (
            "m.c",
            "#include <stdio.h>\nextern const int __start_mods[], __stop_mods[];\nint main(void) { for (const int *p = __start_mods; p < __stop_mods; p++) printf(\"%d\\n\", *p); }\n",
        ),
    ]);
    driver.quiet("-c a.c b.c").quiet("-r a.o b.o -o r.o").quiet("-r r.o -o s.o").quiet("m.c s.o");
    driver.program().expect("11\n22\n");
}

#[test]
fn ends_of_the_parts_of_memory() {
    let driver = Driver::new(&[(
        "a.c",
        "#include <stdio.h>\n#include <unistd.h>\nextern char end[], _end[], edata[], _edata[], etext[], _etext[], __etext[];
static int bss[100]; static int data[3] = { 1 }; static const volatile int text[2] = { 1 };
#define WITHIN(x, a, b) ((char *)(x) >= (a) && (char *)((x) + 1) <= (b))
int main(int n, char **v) {
	bss[n] = data[n];
	volatile char *e = end, *d = edata, *t = etext;
	printf(\"%d%d%d%d \", e == _end, d == _edata, t == _etext, t == __etext);
	printf(\"%d%d%d \", WITHIN(&data, t, d), WITHIN(&bss, d, e), (char *)(text + 2) <= t);
	printf(\"%d\\n\", (char *)sbrk(0) - e < 0x20000 && (char *)sbrk(0) >= e);
}\n",
    )]);
    driver.quiet("-w a.c").program().expect("1111 111 1\n");
    // A program may have such names of its own.
    std::fs::write(
        driver.path("a.c"),
        "int puts(const char *); void end(void) { puts(\"mine\"); } int edata = 1, etext; int main(void) { end(); }\n",
    )
    .unwrap();
    driver.quiet("a.c").program().expect("mine\n");
}

#[test]
fn return_addresses_and_instrumented_functions() {
    let driver = Driver::new(&[(
        "a.c",
        "#include <setjmp.h>\n#include <stdio.h>\n#include <stdlib.h>
#define PLAIN __attribute__((no_instrument_function))
static int depth, calls; static jmp_buf there;
PLAIN void __cyg_profile_func_enter(void *f, void *site) { if (!f) abort(); depth++; calls++; }
PLAIN void __cyg_profile_func_exit(void *f, void *site) { depth--; }
__attribute__((noinline)) int add(int a, int b) { if (a > 100) longjmp(there, 1); return a + b; }
int twice(int n) { return setjmp(there) ? -1 : add(n, n); }
PLAIN int main(void) {
	int r = twice(4);
	printf(\"%d %d %d, \", r, depth, calls);
	printf(\"%d\\n\", __builtin_return_address(0) == NULL && twice(101) == -1);
}\n",
    )]);
    driver.quiet("-finstrument-functions a.c").program().expect("8 0 2, 1\n");
    driver.quiet("-finstrument-functions -O2 -g -c a.c -o x.o").quiet("x.o").program().expect("8 0 2, 1\n");
    driver.quiet("-finstrument-functions -fno-instrument-functions a.c").program().expect("8 0 0, 1\n");
}

#[test]
fn undefined_behaviour() {
    let driver = Driver::new(&[(
        "a.c",
        "#include <stdio.h>\n#include <limits.h>\n#include <setjmp.h>\nint a[4]; jmp_buf j;
int divide(int n) { return setjmp(j) ? 0 : n / (n - 1); }
int main(int n, char **v) { printf(\"%d\\n\", INT_MAX + n); printf(\"%d\\n\", 1 << (n + 31)); a[n + 3] = 1; if (n > 1) return divide(n); return 0; }\n",
    )]);
    let output = driver.quiet("-fsanitize=undefined -w a.c").program();
    output.expect_status(0);
    let said = ["ubsan: add-overflow", "ubsan: shift-out-of-bounds", "ubsan: out-of-bounds"];
    assert!(said.iter().all(|line| output.errors().contains(line)), "{}", output.errors());
    let output = driver.quiet("-fsanitize=undefined -fno-sanitize-recover=all -w a.c").program();
    assert_eq!(output.errors(), "ubsan: add-overflow\n");
    output.expect_status(132);
    driver.quiet("-fsanitize=undefined -fsanitize-trap=undefined -w a.c").program().expect_status(132);
    driver.quiet("-fsanitize=signed-integer-overflow -fsanitize-minimal-runtime -O2 -w a.c").program().expect_status(0);
}

#[test]
fn what_cannot_be_had_is_refused() {
    let driver = Driver::new(&[("a.c", "int main(void) { return 0; }\n")]);
    for option in ["-pg", "--coverage", "-fprofile-arcs", "-fprofile-generate", "-fprofile-instr-generate"] {
        let error = driver.error(&format!("{option} a.c"));
        assert!(error.contains(&format!("error: '{option}': ")) && error.contains("leave the option out"), "{error}");
    }
    assert!(driver.error("-fsanitize=address a.c").contains("'address' needs a run-time library"));
}

#[test]
fn features_of_other_linkers() {
    let driver = Driver::new(&[("a.c", "int main(void) { return 0; }\n"), ("v", "{ global: main; };\n")]);
    driver.quiet("--param ssp-buffer-size=4 --param=lto-partitions=4 -B /usr/bin a.c").program().expect("");
    for option in [
        "--push-state,--as-needed,--pop-state",
        "--package-metadata={}",
        "--package-metadata,{}",
        "--version-script=v",
        "-z,relro",
        "--hash-style=gnu",
        "--fatal-warnings",
        "-x",
    ] {
        driver.quiet(&format!("-Wl,{option} a.c"));
        let verbose = driver.run(["-v", &format!("-Wl,{option}"), "a.c"]);
        let notes = verbose.errors().lines().filter(|line| line.contains("is accepted and does nothing")).count();
        assert!(notes >= 1, "{option}: {}", verbose.errors());
    }
    assert!(driver.error("-Wl,--no-such-option a.c").contains("unknown argument: --no-such-option"));
}
