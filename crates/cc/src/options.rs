//! The command line, as configure scripts and Makefiles write it for gcc.
//!
//! Options of the compiler go to clang unchanged unless they mean nothing here; options of the
//! linker are kept in their order among the inputs and sorted out by [`crate::linker_flags`].

use anyhow::{Context, Result, bail};

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Something is printed (`--version`, `-print-*`, …): the option that asks.
    Query(String),
    /// One run of clang that does not link.
    Compile,
    /// Compile what is source, then link.
    Link,
}

/// An input of the link, in the order of the command line.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) enum Input {
    /// A source file, with the language that `-x` gave.
    Source(String, Option<String>),
    /// An object or archive.
    Object(String),
    /// An option for the linker, or one word of it.
    Linker(String),
}

/// Which functions of a program that forks can be unwound.
#[derive(Debug, PartialEq, Eq, Clone, Copy, Default)]
pub(crate) enum Fork {
    /// Those that may reach fork, as far as the driver can tell.
    #[default]
    Paths,
    /// Every function.
    All,
}

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) output: Option<String>,
    pub(crate) inputs: Vec<Input>,
    /// Every argument for clang in a run that does not link, inputs included.
    pub(crate) all: Vec<String>,
    /// The options among them that also apply to each source file of a link.
    pub(crate) flags: Vec<String>,
    pub(crate) sysroot: Option<String>,
    pub(crate) verbose: bool,
    /// `-###`: print the commands, run none.
    pub(crate) dry_run: bool,
    pub(crate) strip: bool,
    pub(crate) relocatable: bool,
    pub(crate) start_files: bool,
    pub(crate) default_libs: bool,
    pub(crate) standard_includes: bool,
    pub(crate) builtin_includes: bool,
    pub(crate) fork: Fork,
    pub(crate) fork_in_handler: bool,
    /// Files of functions whose indirect calls never fork.
    pub(crate) fork_quiet: Vec<String>,
    /// What was left out, and why: shown under `-v`.
    pub(crate) notes: Vec<String>,
}

/// Options of clang whose value is the next argument.
const SEPARATE: &[&str] = &[
    "-D",
    "-U",
    "-I",
    "-F",
    "-include",
    "-imacros",
    "-isystem",
    "-idirafter",
    "-iquote",
    "-iprefix",
    "-iwithprefix",
    "-iwithprefixbefore",
    "-MF",
    "-MT",
    "-MQ",
    "-MJ",
    "-Xclang",
    "-Xpreprocessor",
    "-Xassembler",
    "-mllvm",
    "-working-directory",
    "-ivfsoverlay",
    "-dependency-file",
    "-serialize-diagnostics",
];
/// Options of gcc's that mean nothing here, whose value is the next argument.
const MEANINGLESS_WITH_VALUE: &[&str] =
    &["--param", "-B", "-dumpbase", "-dumpbase-ext", "-dumpdir", "-wrapper", "-aux-info"];
/// What cannot be had, and what to do instead. An entry that ends in `*` is a prefix.
const REFUSED: &[(&str, &str)] = &[
    ("-pg", NO_PROFILE),
    ("-p", NO_PROFILE),
    ("--coverage", NO_COVERAGE),
    ("-coverage", NO_COVERAGE),
    ("-fprofile-arcs", NO_COVERAGE),
    ("-ftest-coverage", NO_COVERAGE),
    ("-fcoverage-mapping", NO_COVERAGE),
    ("-fprofile-generate*", NO_COVERAGE),
    ("-fprofile-instr-generate*", NO_COVERAGE),
    ("-fcs-profile-generate*", NO_COVERAGE),
];
const NO_PROFILE: &str = "gprof needs addresses of code, which programs do not have; leave the option out \
     (-finstrument-functions calls hooks, and perf samples on the host with WASMLINUX_PERF_MAP=1)";
const NO_COVERAGE: &str = "there is no run-time library for coverage and profiles of wasm32; leave the option out, and measure \
     coverage in a build for the host";
/// Sanitizers that need a run-time library of their own.
const NO_SANITIZERS: &[&str] =
    &["address", "hwaddress", "kernel-address", "leak", "memory", "thread", "dataflow", "fuzzer"];
/// Options of the linker whose value is the next argument.
const SEPARATE_LINKER: &[&str] = &["-L", "-l", "-u", "-T", "-z", "-e", "-R", "-Map", "-rpath", "-h", "-soname"];
/// Options that have no meaning for a static wasm32 program. An entry that ends in `*` is a prefix.
const MEANINGLESS: &[(&str, &str)] = &[
    ("-static", "every program is static"),
    ("-static-pie", "every program is static"),
    ("-static-libgcc", "every program is static"),
    ("-static-libstdc++", "every program is static"),
    ("-pie", "addresses in a program are fixed"),
    ("-no-pie", "addresses in a program are fixed"),
    ("-nopie", "addresses in a program are fixed"),
    ("-fPIC", "addresses in a program are fixed"),
    ("-fpic", "addresses in a program are fixed"),
    ("-fPIE", "addresses in a program are fixed"),
    ("-fpie", "addresses in a program are fixed"),
    ("-fno-plt", "addresses in a program are fixed"),
    ("-rdynamic", "there are no shared libraries"),
    ("-m32", "wasm32 has one word size"),
    ("-mx32", "wasm32 has one word size"),
    ("-march=*", "there is one instruction set"),
    ("-mtune=*", "there is one instruction set"),
    ("-mcpu=*", "there is one instruction set"),
    ("-mfpmath=*", "there is one instruction set"),
    ("-msse*", "there is one instruction set"),
    ("-mavx*", "there is one instruction set"),
    ("-mpreferred-stack-boundary=*", "the stack's alignment is fixed"),
    ("-mno-red-zone", "the stack's layout is fixed"),
    ("-fstack-protector*", "return addresses are not in memory"),
    ("-fstack-clash-protection", "the stack has a guard"),
    ("-fcf-protection*", "the machine checks every indirect call"),
    ("-falign-*", "code has no addresses"),
    ("-flto*", "objects are linked as machine code"),
    ("-fno-lto", "objects are linked as machine code"),
    ("-ffat-lto-objects", "objects are linked as machine code"),
    ("-fuse-linker-plugin", "objects are linked as machine code"),
    ("-fno-guess-branch-probability", "clang has no such option"),
    ("-fno-delete-null-pointer-checks", "page 0 is never mapped"),
    ("-fuse-ld=*", "wasm-ld is the linker"),
    ("-specs=*", "gcc's specs"),
    ("-B*", "the tools' place is fixed"),
    ("-pipe", "clang needs no files in between"),
    ("-mexec-stack", "code is not in memory"),
    ("--param=*", "of gcc's own optimiser"),
];

impl Options {
    /// Parses the arguments, response files already expanded.
    pub(crate) fn parse(args: &[String]) -> Result<Options> {
        let mut o = Options {
            mode: Mode::Link,
            output: None,
            inputs: Vec::new(),
            all: Vec::new(),
            flags: Vec::new(),
            sysroot: None,
            verbose: false,
            dry_run: false,
            strip: false,
            relocatable: false,
            start_files: true,
            default_libs: true,
            standard_includes: true,
            builtin_includes: true,
            fork: Fork::default(),
            fork_in_handler: false,
            fork_quiet: Vec::new(),
            notes: Vec::new(),
        };
        if let Ok(file) = std::env::var("WASMLINUX_FORK_QUIET") {
            o.fork_quiet.push(file);
        }
        let (mut language, mut strict_warnings, mut iso) = (None::<String>, false, false);
        let mut it = args.iter();
        while let Some(arg) = it.next() {
            let mut value =
                |option: &str| it.next().cloned().with_context(|| format!("the option '{option}' needs a value"));
            match arg.as_str() {
                "-" => o.input("-", &language),
                a if !a.starts_with('-') => o.input(a, &language),
                "-c" | "-S" | "-E" | "-M" | "-MM" | "-fsyntax-only" | "-emit-llvm" => {
                    if arg != "-emit-llvm" && o.mode == Mode::Link {
                        o.mode = Mode::Compile;
                    }
                    o.all.push(arg.clone());
                }
                "-o" => o.output = Some(value(arg)?),
                "-x" => o.set_language(value(arg)?, &mut language),
                "-v" => o.verbose = true,
                "-###" => o.dry_run = true,
                "-s" => o.strip = true,
                "-r" | "--relocatable" => o.relocatable = true,
                "-nostdlib" | "--no-standard-libraries" => (o.start_files, o.default_libs) = (false, false),
                "-nostartfiles" => o.start_files = false,
                "-nodefaultlibs" | "-nolibc" => o.default_libs = false,
                "-nostdinc" | "-nostdlibinc" => {
                    o.standard_includes = false;
                    o.builtin_includes &= arg == "-nostdlibinc";
                }
                "-nobuiltininc" => o.builtin_includes = false,
                "-shared" | "-dynamiclib" => {
                    bail!("'{arg}': there are no shared libraries; make a static one (wasmlinux-ar)")
                }
                "-m64" => bail!("'-m64': programs are 32-bit (wasm32)"),
                // gcc's; clang does not know it.
                "-fno-instrument-functions" => {
                    for list in [&mut o.flags, &mut o.all] {
                        list.retain(|flag| !flag.starts_with("-finstrument-functions"));
                    }
                }
                "-pthread" | "-pthreads" => o.flag("-D_REENTRANT"),
                "-mfork-in-handler" => o.fork_in_handler = true,
                "--version" | "-dumpversion" | "-dumpfullversion" | "-dumpmachine" | "--help" | "-help" | "-V" => {
                    o.mode = Mode::Query(arg.clone());
                }
                "--sysroot" => o.sysroot = Some(value(arg)?),
                "-target" | "--target" => target(&value(arg)?)?,
                "-Xlinker" => {
                    let v = value(arg)?;
                    o.inputs.push(Input::Linker(v));
                }
                a if MEANINGLESS_WITH_VALUE.contains(&a) => {
                    let v = value(arg)?;
                    o.notes.push(format!("'{a} {v}' is left out: means nothing to clang"));
                }
                a if SEPARATE.contains(&a) => {
                    let v = value(arg)?;
                    o.flag(a);
                    o.flag(&v);
                }
                a if SEPARATE_LINKER.contains(&a) => {
                    let v = value(arg)?;
                    o.inputs.extend([Input::Linker(a.into()), Input::Linker(v)]);
                }
                a => {
                    if let Some((_, why)) = REFUSED.iter().find(|(p, _)| matches(p, a)) {
                        bail!("'{a}': {why}");
                    } else if let Some((_, why)) = MEANINGLESS.iter().find(|(p, _)| matches(p, a)) {
                        o.notes.push(format!("'{a}' is left out: {why}"));
                    } else if a.starts_with("-print-") || a.starts_with("--print-") {
                        o.mode = Mode::Query(a.into());
                    } else if let Some(words) = a.strip_prefix("-Wl,") {
                        o.inputs.extend(words.split(',').map(|w| Input::Linker(w.into())));
                    } else if let Some(v) = a.strip_prefix("-o") {
                        o.output = Some(v.into());
                    } else if let Some(v) = a.strip_prefix("-x") {
                        o.set_language(v.into(), &mut language);
                    } else if let Some(v) = a.strip_prefix("--sysroot=") {
                        o.sysroot = Some(v.into());
                    } else if let Some(v) = a.strip_prefix("--target=") {
                        target(v)?;
                    } else if let Some(v) = a.strip_prefix("-mfork=") {
                        o.fork = match v {
                            "paths" => Fork::Paths,
                            "all" => Fork::All,
                            _ => bail!("'{a}': the choices are paths and all"),
                        };
                    } else if let Some(v) = a.strip_prefix("-mfork-quiet=") {
                        o.fork_quiet.push(v.into());
                    } else if a.starts_with("-L") || a.starts_with("-l") || is_joined_linker(a) {
                        o.inputs.push(Input::Linker(a.into()));
                    } else {
                        strict_warnings |= a == "-Werror";
                        if let Some(standard) = a.strip_prefix("-std=") {
                            iso = !standard.starts_with("gnu");
                        }
                        iso |= a == "-ansi";
                        o.flag(a);
                    }
                }
            }
        }
        o.sanitize()?;
        let mut dialect: Vec<&str> = Vec::new();
        if !iso {
            dialect.extend(["-Dlinux=1", "-Dunix=1"]);
        }
        // Errors in clang 16 and later, warnings in the gcc of the same age, and harmless where the
        // types agree on wasm32, as they mostly do (an int and a pointer are alike).
        if !strict_warnings {
            dialect.extend([
                "-Wno-error=implicit-int",
                "-Wno-error=implicit-function-declaration",
                "-Wno-error=int-conversion",
                "-Wno-error=incompatible-function-pointer-types",
            ]);
        }
        for list in [&mut o.flags, &mut o.all] {
            list.splice(0..0, dialect.iter().map(|s| (*s).to_owned()));
        }
        if o.mode == Mode::Link && !o.inputs.iter().any(|i| !matches!(i, Input::Linker(w) if !w.starts_with("-l"))) {
            // Nothing to link: `-v` alone asks for the version, `-Wl,--version` is the linker's to
            // answer.
            let asks_linker = o
                .inputs
                .iter()
                .any(|i| matches!(i, Input::Linker(w) if w == "--version" || w == "-v" || w == "--help"));
            if !asks_linker {
                if !o.verbose {
                    bail!("no input files");
                }
                o.mode = Mode::Query("-v".into());
            }
        }
        Ok(o)
    }

    fn flag(&mut self, flag: &str) {
        self.all.push(flag.into());
        self.flags.push(flag.into());
    }

    /// Whether `on` comes later than `off` among the flags, or alone.
    pub(crate) fn is_on(&self, on: &str, off: &str) -> bool {
        self.flags.iter().rev().find(|f| *f == on || *f == off).is_some_and(|f| f == on)
    }

    /// Of clang's sanitizers that of undefined behaviour works: without a run-time library, or with
    /// the small one that libc has.
    fn sanitize(&mut self) -> Result<()> {
        let mut on = false;
        for flag in &self.flags {
            if let Some(list) = flag.strip_prefix("-fsanitize=") {
                if let Some(name) = list.split(',').find(|name| NO_SANITIZERS.contains(name)) {
                    bail!(
                        "'{flag}': the sanitizer '{name}' needs a run-time library that wasm32 does not have; \
                         leave it out (-fsanitize=undefined works), and look for such faults in a build for the host"
                    );
                }
                on = true;
            }
            on &= !flag.starts_with("-fno-sanitize=all");
        }
        let has = |prefix: &str| self.flags.iter().any(|flag| flag.starts_with(prefix));
        let own = ["-fsanitize-trap", "-fsanitize-undefined-trap-on-error", "-fsanitize-minimal-runtime"];
        if on && !own.into_iter().any(has) {
            self.flag("-fsanitize-minimal-runtime");
            self.notes.push("'-fsanitize-minimal-runtime' is added: libc has that form of the run-time library".into());
        }
        Ok(())
    }

    fn set_language(&mut self, name: String, language: &mut Option<String>) {
        self.all.extend(["-x".into(), name.clone()]);
        *language = (name != "none").then_some(name);
    }

    fn input(&mut self, file: &str, language: &Option<String>) {
        self.all.push(file.into());
        self.inputs.push(if language.is_some() || is_source(file) {
            Input::Source(file.into(), language.clone())
        } else {
            Input::Object(file.into())
        });
    }
}

/// Whether the name is that of a source file (or of standard input); all else goes to the linker.
fn is_source(file: &str) -> bool {
    const EXTENSIONS: &[&str] =
        &["c", "i", "s", "S", "sx", "h", "C", "cc", "cp", "cpp", "cxx", "c++", "ii", "m", "ll", "bc"];
    file == "-"
        || std::path::Path::new(file).extension().is_some_and(|e| e.to_str().is_some_and(|e| EXTENSIONS.contains(&e)))
}

fn is_joined_linker(a: &str) -> bool {
    a.starts_with("-u") && !a.starts_with("-undef")
        || a.starts_with("-T")
        || a.starts_with("-z")
        || a.starts_with("-Map=")
}

fn matches(pattern: &str, arg: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(p) => arg.starts_with(p),
        None => arg == pattern,
    }
}

fn target(name: &str) -> Result<()> {
    if !name.starts_with("wasm32") {
        bail!("'{name}': the only target is {}", crate::query::TARGET);
    }
    Ok(())
}

/// Replaces each `@FILE` by the arguments in that file, quoted as gcc has it. An unreadable one
/// stays as it is.
pub(crate) fn expand(args: Vec<String>) -> Result<Vec<String>> {
    fn walk(args: Vec<String>, depth: usize, out: &mut Vec<String>) -> Result<()> {
        if depth > 32 {
            bail!("response files nested too deeply");
        }
        for a in args {
            match a.strip_prefix('@').map(std::fs::read_to_string) {
                Some(Ok(text)) => walk(split_words(&text), depth + 1, out)?,
                _ => out.push(a),
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    walk(args, 0, &mut out)?;
    Ok(out)
}

/// Splits at white space outside quotes; a backslash takes the next character as it is, except
/// within `'`.
fn split_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', q) if q != Some('\'') => word.get_or_insert_default().extend(chars.next()),
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        Options::parse(&split_words(line)).unwrap()
    }

    fn error(line: &str) -> String {
        Options::parse(&split_words(line)).unwrap_err().to_string()
    }

    #[test]
    fn compiles_and_links_in_one_step() {
        let o = parse("-O2 -g never-seen.c -o prog -lm");
        assert_eq!(o.mode, Mode::Link);
        assert_eq!(o.output.as_deref(), Some("prog"));
        assert_eq!(o.inputs, [Input::Source("never-seen.c".into(), None), Input::Linker("-lm".into())]);
        assert!(o.flags.ends_with(&["-O2".into(), "-g".into()]));
    }

    #[test]
    fn does_not_link_when_told() {
        for line in ["-c x.c", "-E x.c", "-S x.c", "-M x.c", "-MM x.c", "-fsyntax-only x.c", "-E -"] {
            assert_eq!(parse(line).mode, Mode::Compile, "{line}");
        }
        assert_eq!(parse("-MD -MF x.d x.c").mode, Mode::Link);
    }

    #[test]
    fn keeps_values_with_their_options() {
        let o = parse("-D A=1 -I dir -include h.h -MF x.d -c -x c y.txt");
        assert!(o.all.ends_with(&split_words("-D A=1 -I dir -include h.h -MF x.d -c -x c y.txt")));
        assert_eq!(o.inputs, [Input::Source("y.txt".into(), Some("c".into()))]);
        assert_eq!(error("x.c -o"), "the option '-o' needs a value");
    }

    #[test]
    fn language_ends_with_none() {
        let o = parse("-x c a.txt -xnone b.o");
        assert_eq!(o.inputs, [Input::Source("a.txt".into(), Some("c".into())), Input::Object("b.o".into())]);
    }

    #[test]
    fn leaves_out_what_means_nothing() {
        let o = parse("-static -fPIC -march=native -fstack-protector-strong -pie x.c");
        assert_eq!(o.notes.len(), 5);
        assert!(!o.flags.iter().any(|f| f == "-fPIC" || f.starts_with("-march")));
    }

    #[test]
    fn splits_linker_options() {
        let o = parse("x.o -Wl,--gc-sections,-Map,x.map -Xlinker --verbose -L lib -lfoo");
        let words: Vec<_> =
            o.inputs[1..].iter().map(|i| if let Input::Linker(w) = i { w.as_str() } else { "?" }).collect();
        assert_eq!(words, ["--gc-sections", "-Map", "x.map", "--verbose", "-L", "lib", "-lfoo"]);
    }

    #[test]
    fn answers_questions() {
        for q in ["--version", "-dumpmachine", "-print-search-dirs", "--print-file-name=libc.a"] {
            assert_eq!(parse(q).mode, Mode::Query(q.into()));
        }
        assert_eq!(parse("-v").mode, Mode::Query("-v".into()));
        assert_eq!(error(""), "no input files");
        assert_eq!(error("-O2"), "no input files");
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert!(error("-shared x.c").contains("no shared libraries"));
        assert!(error("-m64 x.c").contains("32-bit"));
        assert!(error("--target=x86_64-linux-gnu x.c").contains("only target"));
    }

    #[test]
    fn says_what_to_do_instead() {
        for line in ["-pg x.c", "--coverage x.c", "-fprofile-generate=dir x.c"] {
            assert!(error(line).contains("leave the option out"), "{line}");
        }
        assert!(error("-fsanitize=undefined,address x.c").contains("'address' needs"));
    }

    #[test]
    fn undefined_behaviour_is_reported_by_libc() {
        let minimal = |line: &str| parse(line).all.iter().any(|f| f == "-fsanitize-minimal-runtime");
        assert!(minimal("-fsanitize=undefined x.c"));
        assert!(!minimal("-fsanitize=undefined -fsanitize-trap=undefined x.c"));
        assert!(!minimal("-fsanitize=undefined -fno-sanitize=all x.c"));
        assert!(!minimal("x.c"));
    }

    #[test]
    fn values_of_gccs_options_are_no_files() {
        let o = parse("--param ssp-buffer-size=4 -B /usr/bin -dumpbase x -O2 x.c");
        assert_eq!(o.inputs, [Input::Source("x.c".into(), None)]);
        assert_eq!(o.notes.len(), 3);
    }

    #[test]
    fn the_last_of_two_options_counts() {
        let common = |line: &str| parse(line).is_on("-fcommon", "-fno-common");
        assert!(common("-fno-common -fcommon x.c") && !common("-fcommon -fno-common x.c") && !common("x.c"));
        let o = parse("-finstrument-functions -fno-instrument-functions x.c");
        assert!(!o.all.iter().any(|f| f.contains("instrument")));
    }

    #[test]
    fn strict_warnings_stay_strict() {
        assert!(parse("x.c").flags.iter().any(|f| f == "-Wno-error=implicit-int"));
        assert!(!parse("-Werror x.c").flags.iter().any(|f| f == "-Wno-error=implicit-int"));
        assert!(!parse("-std=c99 x.c").flags.iter().any(|f| f == "-Dunix=1"));
    }

    #[test]
    fn quotes_in_response_files() {
        assert_eq!(split_words(r#"a "b c" 'd\e' f\ g "" "\"q""#), ["a", "b c", r"d\e", "f g", "", "\"q"]);
    }
}
